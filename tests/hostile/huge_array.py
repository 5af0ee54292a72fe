# status: out-of-memory
import numpy as np

def softmax(z, out=None):
    return np.ones((2**16, 2**16))
