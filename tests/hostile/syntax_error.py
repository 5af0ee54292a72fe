# status: unreadable
def softmax(z, out=None)
    return z
