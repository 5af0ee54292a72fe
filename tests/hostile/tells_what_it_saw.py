# status: wrong
seen = []

def softmax(z, out=None):
    seen.append(z.shape)
    raise ValueError(f"saw {len(seen)} inputs")
