# status: wrong
import numpy as np

def softmax(z, out=None):
    z -= z.max(axis=0)
    np.exp(z, out=z)
    z /= z.sum(axis=0)
    return z.copy()
