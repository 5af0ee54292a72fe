# status: wrong
def softmax(z, out=None):
    return input("password: ")
