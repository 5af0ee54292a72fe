# status: wrong crashed out-of-memory
import numpy as np

def softmax(z, out=None):
    return np.zeros(12_000_000)
