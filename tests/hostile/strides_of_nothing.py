# status: out-of-memory
import numpy as np

def softmax(z, out=None):
    return np.lib.stride_tricks.as_strided(z, (10**6, 10**6), (0, 0))
