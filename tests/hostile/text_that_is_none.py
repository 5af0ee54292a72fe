# status: crashed
import numpy as np

def softmax(z, out=None):
    return np.full(z.shape, 0x7fffffff, np.uint32).view("U1")
