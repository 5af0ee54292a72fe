from reference._edge import each, to_array

FACTOR = 2.0


def scale(x, factor=FACTOR):
    return to_array(each(lambda v: v * factor, x))


class Scaler:
    def __init__(self, factor):
        self.factor = factor

    def __call__(self, x):
        return scale(x, self.factor)
