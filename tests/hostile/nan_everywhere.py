# status: wrong
import numpy as np

def softmax(z, out=None):
    return np.full_like(z, np.nan)
