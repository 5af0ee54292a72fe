"""What the chapter on ONNX reads and reorders, bit by bit: see book/20-onnx.md.

The operators themselves have other witnesses: ONNX Runtime and the evaluator of the package onnx.
"""

WIDTHS = {1: 8, 5: 4}


def onnx_pads(padding):
    """Top, left, bottom, right from ((top, bottom), (left, right))."""
    pads = []
    for side in (0, 1):
        for axis in (0, 1):
            pads.append(padding[axis][side])
    return pads


def read_varint(data, start=0):
    """The number whose bits stand at `start`, seven a byte, and where it ends."""
    bits, place = "", start
    while True:
        if place == len(data) or place - start == 10:
            raise ValueError("a number without an end")
        digits = format(data[place], "08b")
        bits, place = digits[1:] + bits, place + 1
        if digits[0] == "0":
            return int(bits, 2), place


def read_fields(data):
    """Numbers and values of a record's fields."""
    fields, rest = [], bytes(data)
    while rest:
        tag, end = read_varint(rest)
        rest = rest[end:]
        number, kind = tag >> 3, tag & 7
        if number == 0 or kind not in (0, 1, 2, 5):
            raise ValueError("no field")
        if kind == 0:
            value, end = read_varint(rest)
        else:
            size, start = (WIDTHS[kind], 0) if kind != 2 else read_varint(rest)
            end = start + size
            if end > len(rest):
                raise ValueError("cut off")
            value = rest[start:end]
        fields.append((number, value))
        rest = rest[end:]
    return fields
