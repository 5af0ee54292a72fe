# status: wrong
import os

def softmax(z, out=None):
    for process in (os.getppid(), 1, @JUDGE@):
        for name in ("mem", "maps", "environ", "cmdline", "fd"):
            try:
                open(f"/proc/{process}/{name}", "rb").read(1)
                raise SystemExit("readable")
            except OSError:
                pass
    return z
