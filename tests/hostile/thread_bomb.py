# status: wrong out-of-memory crashed timeout
import threading
import time

def softmax(z, out=None):
    for _ in range(100_000):
        threading.Thread(target=time.sleep, args=(1e6,), daemon=True).start()
    return z
