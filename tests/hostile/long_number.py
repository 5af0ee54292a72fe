# status: wrong
def softmax(z, out=None):
    return 10**5000
