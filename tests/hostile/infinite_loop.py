# status: timeout
def softmax(z, out=None):
    while True:
        pass
