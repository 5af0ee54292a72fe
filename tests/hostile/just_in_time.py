# status: timeout
import time

def softmax(z, out=None):
    time.sleep(1.8)
    return z
