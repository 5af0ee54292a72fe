# status: wrong
def softmax(z, out=None):
    return ["x" * 100_000] * 100
