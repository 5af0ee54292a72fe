# status: wrong
import os

def softmax(z, out=None):
    held = [os.open("/dev/null", os.O_RDONLY) for _ in range(100_000)]
    return z
