# status: wrong out-of-memory
def softmax(z, out=None):
    raise ValueError("x" * 10**8)
