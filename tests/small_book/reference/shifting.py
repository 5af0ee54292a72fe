from reference._edge import each, to_array


def shift(x, by):
    return to_array(each(lambda v: v + by, x))
