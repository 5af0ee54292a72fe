# status: wrong crashed
def softmax(z, out=None):
    raise KeyboardInterrupt
