# status: out-of-memory
def softmax(z, out=None):
    hoard = []
    while True:
        hoard.append(bytearray(2**24))
