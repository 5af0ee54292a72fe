# status: wrong crashed timeout out-of-memory
import sys
sys.setrecursionlimit(10**9)

def softmax(z, out=None):
    return softmax(z)
