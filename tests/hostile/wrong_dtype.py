# status: wrong
import numpy as np

def softmax(z, out=None):
    e = np.exp(z - z.max(axis=0))
    return (e / e.sum(axis=0)).astype(np.float16)
