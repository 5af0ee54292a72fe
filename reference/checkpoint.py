"""Saving, digit by digit and bit by bit: see book/19-saving.md.

Decimals come from whole numbers and fractions, bytes from the formula of a float.
"""

import hashlib
import json
from fractions import Fraction

import numpy as np

CODES = {"float32": "F32", "float64": "F64", "int64": "I64"}
BITS = {"F32": (8, 23), "F64": (11, 52)}      # of the exponent, of the fraction


def digits_needed(bits):
    """The smallest n for which 10^(n - 1) exceeds 2^bits."""
    digits = 1
    while 10 ** (digits - 1) <= 2**bits:
        digits += 1
    return digits


def to_decimal(array):
    """Nested lists of numbers; those of float32 rounded to nine digits."""
    array = np.asarray(array)
    short = array.dtype == np.float32

    def convert(value):
        if isinstance(value, list):
            return [convert(part) for part in value]
        if isinstance(value, float) and value - value != 0:
            raise ValueError(f"no decimal for {value}")
        return nearest_decimal(value, digits_needed(24)) if short and value else value

    return convert(array.tolist())


def nearest_decimal(x, digits):
    """The float nearest to the decimal of so many digits that is nearest to x."""
    exact, power = abs(Fraction(x)), 0
    while exact >= Fraction(10) ** power:
        power += 1
    while exact < Fraction(10) ** (power - 1):
        power -= 1
    unit = Fraction(10) ** (power - digits)
    count = exact / unit
    whole = count.numerator // count.denominator
    rest = count - whole
    if rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2 == 1):
        whole += 1
    value = whole * unit
    return (-1.0 if x < 0 else 1.0) * (value.numerator / value.denominator)


def float_bits(x, code):
    """Sign, exponent and fraction of a float, as one whole number."""
    exponent_bits, fraction_bits = BITS[code]
    bias, top = 2 ** (exponent_bits - 1) - 1, 2**exponent_bits - 1
    sign = 1 if str(x)[0] == "-" else 0
    if x != x:
        exponent, fraction = top, 2 ** (fraction_bits - 1)
    elif abs(x) == float("inf"):
        exponent, fraction = top, 0
    else:
        exponent, fraction = 0, abs(Fraction(x)) * Fraction(2) ** (bias - 1 + fraction_bits)
        while fraction >= 2 ** (fraction_bits + 1):
            exponent, fraction = exponent + 1, fraction / 2
        if fraction >= 2**fraction_bits:
            exponent, fraction = exponent + 1, fraction - 2**fraction_bits
    return (sign << exponent_bits | exponent) << fraction_bits | int(fraction)


def float_value(pattern, code):
    """The float whose bits these are."""
    exponent_bits, fraction_bits = BITS[code]
    bias, top = 2 ** (exponent_bits - 1) - 1, 2**exponent_bits - 1
    fraction = pattern % 2**fraction_bits
    exponent = pattern // 2**fraction_bits % 2**exponent_bits
    sign = -1.0 if pattern >> exponent_bits + fraction_bits else 1.0
    if exponent == top:
        return float("nan") if fraction else sign * float("inf")
    if exponent == 0:
        return sign * float(fraction * Fraction(2) ** (1 - bias - fraction_bits))
    return sign * float((2**fraction_bits + fraction) * Fraction(2) ** (exponent - bias - fraction_bits))


def number_bytes(x, code):
    """A number as bytes, the one of the smallest weight first."""
    size = 4 if code == "F32" else 8
    pattern = x % 2**64 if code == "I64" else float_bits(x, code)
    return bytes(pattern // 256**k % 256 for k in range(size))


def flat(values):
    """The numbers of nested lists, row after row."""
    return [x for part in values for x in flat(part)] if isinstance(values, list) else [values]


def array_bytes(array):
    """All numbers of an array, row after row."""
    code = CODES[array.dtype.name]
    return b"".join(number_bytes(x, code) for x in flat(array.tolist()))


def pack(texts, tensors):
    """A safetensors file, as bytes."""
    names = [n for n in tensors if tensors[n].dtype != np.float32]
    names += [n for n in tensors if tensors[n].dtype == np.float32]
    table, numbers = {"__metadata__": texts} if texts else {}, b""
    for name in names:
        block = array_bytes(tensors[name])
        table[name] = {"dtype": CODES[tensors[name].dtype.name],
                       "shape": list(tensors[name].shape),
                       "data_offsets": [len(numbers), len(numbers) + len(block)]}
        numbers += block
    header = json.dumps(table, separators=(",", ":")).encode()
    while len(header) % 8:
        header += b" "
    return bytes(len(header) // 256**k % 256 for k in range(8)) + header + numbers


def unpack(data):
    """The texts of a safetensors file, and its tensors."""
    length = sum(byte * 256**k for k, byte in enumerate(data[:8]))
    table = json.loads(data[8:8 + length])
    texts, tensors = table.pop("__metadata__", {}), {}
    for name, entry in table.items():
        code, (start, end) = entry["dtype"], entry["data_offsets"]
        block, size = data[8 + length + start:8 + length + end], 4 if entry["dtype"] == "F32" else 8
        values = []
        for first in range(0, len(block), size):
            pattern = sum(byte * 256**k for k, byte in enumerate(block[first:first + size]))
            if code == "I64":
                values.append(pattern - 2**64 if pattern >= 2**63 else pattern)
            else:
                values.append(float_value(pattern, code))
        dtype = {"F32": np.float32, "F64": np.float64, "I64": np.int64}[code]
        tensors[name] = np.array(values, dtype).reshape(entry["shape"])
    return texts, tensors


def digest(header, tensors):
    """SHA-256 over the header and all numbers, as hexadecimal digits."""
    parts = [json.dumps(header, sort_keys=True, separators=(",", ":")).encode()]
    for name in sorted(tensors):
        array = tensors[name]
        entry = {"dtype": CODES[array.dtype.name], "shape": list(array.shape)}
        parts.append(json.dumps([name, entry], sort_keys=True, separators=(",", ":")).encode())
        parts.append(array_bytes(array))
    return hashlib.sha256(b"".join(parts)).hexdigest()
