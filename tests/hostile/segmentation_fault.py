# status: crashed
import ctypes

def softmax(z, out=None):
    return ctypes.string_at(1)
