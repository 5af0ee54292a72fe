# status: wrong
def softmax(z, out=None):
    for place in ("@ROOT@/tests/hostile/PWNED", "/var/tmp/PWNED", "/etc/PWNED", "@SUBMISSIONS@/PWNED", "../PWNED"):
        try:
            open(place, "w").write("x")
        except OSError:
            pass
    return z
