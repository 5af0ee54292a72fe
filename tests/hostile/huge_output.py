# status: wrong
import os
import sys

def softmax(z, out=None):
    line = b"x" * 10**6 + b"\n"
    for _ in range(20):
        os.write(1, line)
        os.write(2, line)
        print(line)
        print(line, file=sys.stderr)
        sys.__stdout__.write("y" * 10**6)
    return z
