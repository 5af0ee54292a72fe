from reference._edge import each, to_array


def line(x, slope, height):
    return to_array(each(lambda v: v * slope + height, x))
