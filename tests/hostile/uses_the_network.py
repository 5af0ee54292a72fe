# status: wrong
import socket
import urllib.request

def softmax(z, out=None):
    for family in (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX, 16):
        for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_RAW):
            try:
                s = socket.socket(family, kind)
                s.connect(("127.0.0.1", @PORT@))
                raise SystemExit("connected")
            except (OSError, TypeError):
                pass
    try:
        urllib.request.urlopen("http://127.0.0.1:@PORT@/", timeout=1)
        raise SystemExit("connected")
    except (OSError, ImportError):
        pass
    return z
