# status: wrong
import os

def softmax(z, out=None):
    os.execv("/bin/sh", ["sh", "-c", "sleep 1000"])
