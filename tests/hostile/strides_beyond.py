# status: crashed out-of-memory
import numpy as np

def softmax(z, out=None):
    return np.lib.stride_tricks.as_strided(z, (1000, 1000), (10**12, 8))
