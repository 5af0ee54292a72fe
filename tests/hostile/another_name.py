# status: missing
def soft_max(z):
    return z
