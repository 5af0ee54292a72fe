"""Values over a pipe, and in files: nothing is ever unpickled.

A message is one value: numbers, text, None, bool, arrays, and tuples, lists and dicts of them.
On a pipe it is a frame of JSON, then one frame for each array, in NumPy's `.npy` format. A frame
is its length in eight bytes, little-endian, and that many bytes. The reading side trusts nothing:
lengths are capped, an array's header must agree with the bytes that came, objects are refused.

This file imports NumPy and the standard library only: workers and students have it too.
"""

import io
import json
import math
import sys
from dataclasses import dataclass, field

import numpy as np
from numpy.lib import format as npy

LIMIT = 64 * 2**20  # bytes of one message
JSON_LIMIT = 4 * 2**20  # of them JSON, which grows when it is read
DEPTH = 150  # lists within lists
BITS = 4096  # of a whole number
KINDS = "biufcU"  # the dtypes that pass: numbers, truth values and text


class ProtocolError(ValueError):
    """What came is not a message, or is too long, or holds what no message may hold."""


@dataclass(frozen=True)
class Ref:
    """In a script: an input or an earlier result, by its name; `Ref("opt.rate")` is its attribute."""

    name: str


@dataclass(frozen=True)
class Name:
    """In a script: something of the namespace or of the upstream package, a function to hand on, say."""

    path: str


@dataclass(frozen=True)
class Random:
    """In a script: a new `numpy.random.Generator` with this seed."""

    seed: int


@dataclass(frozen=True, init=False)
class Made:
    """In a script: an object made from a class of the namespace or of the upstream package.

    `Made("nnlib.dense.Dense", 3, bias=False)`; for the reference, `nnlib` is read as `reference`.
    """

    path: str
    args: tuple = ()
    kwargs: dict = field(default_factory=dict, hash=False)

    def __init__(self, path, *args, **kwargs):
        object.__setattr__(self, "path", path)
        object.__setattr__(self, "args", args)
        object.__setattr__(self, "kwargs", kwargs)


@dataclass(frozen=True)
class Opaque:
    """A result that is no value: only the name of its type crosses the pipe."""

    type: str


def pack(value):
    """A message's bytes.

    Raises
    ------
    ProtocolError
        If the value holds anything but the kinds of values above, or is too large.
    """
    arrays = []
    tree = encode(value, lambda array: keep(array, arrays))
    frames = [json.dumps({"arrays": len(arrays), "value": tree}).encode(), *map(npy_bytes, arrays)]
    if len(frames[0]) > JSON_LIMIT or sum(map(len, frames)) > LIMIT:
        raise ProtocolError("too large to send")
    return b"".join(len(frame).to_bytes(8, "little") + frame for frame in frames)


def unpack(data, limit=LIMIT):
    """The value of one message held as bytes; refuses trailing bytes."""
    stream = io.BytesIO(data)
    value = read_message(reader(stream), limit)
    if stream.read(1):
        raise ProtocolError("bytes after the end of the message")
    return value


def read_message(receive, limit=LIMIT):
    """Read one message by `receive(n)`, which returns exactly n bytes or raises.

    No more than `limit` bytes are asked for in all.
    """
    left = limit

    def frame(most):
        nonlocal left
        size = int.from_bytes(receive(8), "little")
        if size > min(left, most):
            raise ProtocolError(f"a frame of {size} bytes, where at most {min(left, most)} may come")
        left -= size
        return receive(size)

    try:
        header = json.loads(frame(JSON_LIMIT))
        count, tree = header["arrays"], header["value"]
        if type(count) is not int or not 0 <= count <= 10_000:
            raise ProtocolError(f"expected a number of arrays, got {count!r:.40}")
        arrays = [read_npy(frame(limit)) for _ in range(count)]
        return decode(tree, lambda index: arrays[index])
    except (ProtocolError, OSError, EOFError):
        raise
    except Exception as error:  # what reads JSON and .npy raises many kinds
        raise ProtocolError(f"not a message: {type(error).__name__}: {str(error)[:200]}") from None


def reader(stream):
    """A `receive` for a blocking file object; raises EOFError when it ends early."""
    def receive(size):
        parts = []
        while size:
            part = stream.read(min(size, 2**20))
            if not part:
                raise EOFError("the other side closed the pipe")
            parts.append(part)
            size -= len(part)
        return b"".join(parts)
    return receive


def write_message(stream, value):
    """Pack a value onto a file object."""
    stream.write(pack(value))
    stream.flush()


def keep(array, arrays):
    """Put an array into the list, and say where."""
    arrays.append(array)
    return len(arrays) - 1


def npy_bytes(array):
    """An array as the bytes of a `.npy` file."""
    stream = io.BytesIO()
    npy.write_array(stream, array, version=(1, 0), allow_pickle=False)
    return stream.getvalue()


def read_npy(data):
    """An array from the bytes of a `.npy` file; its header must agree with the bytes."""
    stream = io.BytesIO(data)
    if npy.read_magic(stream) != (1, 0):
        raise ProtocolError("expected a .npy of version 1.0")
    shape, fortran, dtype = npy.read_array_header_1_0(stream)
    check_dtype(dtype)
    body = data[stream.tell():]
    if min(shape, default=0) < 0 or len(shape) > 32 or len(body) != math.prod(shape) * dtype.itemsize:
        raise ProtocolError(f"an array said to be shaped {shape} came with {len(body)} bytes")
    if dtype.kind == "U" and np.frombuffer(body, f"{dtype.byteorder}u4").max(initial=0) > sys.maxunicode:
        raise ProtocolError("an array of text with characters that do not exist")
    flat = np.frombuffer(body, dtype).astype(dtype.newbyteorder("="))
    return flat.reshape(shape, order="F" if fortran else "C")


def check_dtype(dtype):
    """Refuse arrays of objects, records, dates and of nothing."""
    if dtype.kind not in KINDS or dtype.itemsize == 0 or dtype.hasobject:
        raise ProtocolError(f"arrays of {str(dtype)[:40]} are not accepted")


def encode(value, store, depth=DEPTH):
    """A value as JSON can hold it: what JSON has stays, the rest is a list that begins with a tag."""
    def inner(part):
        return encode(part, store, depth - 1)

    if not depth:
        raise ProtocolError("nested too deeply")
    if value is None or type(value) in (bool, str) or type(value) is int and value.bit_length() <= BITS:
        return value
    if type(value) is float:
        return value if math.isfinite(value) else ["float", repr(value)]
    if isinstance(value, np.ndarray | np.generic):
        array = np.asarray(value)
        check_dtype(array.dtype)
        return ["array" if isinstance(value, np.ndarray) else "scalar", store(array)]
    if type(value) in (list, tuple):
        return [type(value).__name__, list(map(inner, value))]
    if type(value) is dict:
        return ["dict", [[inner(k), inner(v)] for k, v in value.items()]]
    if type(value) in MARKERS.values():
        return [type(value).__name__, list(map(inner, vars(value).values()))]
    raise ProtocolError(f"a {type(value).__name__} is not a value that can be sent")


def decode(tree, load, depth=DEPTH):
    """The value that `encode` made this from."""
    def inner(part):
        return decode(part, load, depth - 1)

    if not depth:
        raise ProtocolError("nested too deeply")
    if not isinstance(tree, list):
        if tree is None or isinstance(tree, bool | int | float | str):
            return tree
        raise ProtocolError(f"unexpected {type(tree).__name__}")
    tag, content = tree
    if tag == "float":
        return {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[content]
    if tag in ("array", "scalar"):
        array = load(content)
        return array if tag == "array" else array[()]
    if tag == "dict":
        return {inner(k): inner(v) for k, v in content}
    if tag in ("list", "tuple"):
        return list(map(inner, content)) if tag == "list" else tuple(map(inner, content))
    if tag == "Made":
        path, args, kwargs = map(inner, content)
        return Made(path, *args, **kwargs)
    return MARKERS[tag](*map(inner, content))


def to_json(value):
    """A value for a JSON file, arrays as lists of numbers: people can read it."""
    def store(array):
        numbers = [encode(x, None) for x in array.ravel().tolist()]
        return {"dtype": array.dtype.str, "shape": array.shape, "numbers": numbers}
    return encode(value, store)


def from_json(tree):
    """The value of a tree that `to_json` made."""
    def load(content):
        numbers = [decode(x, None) for x in content["numbers"]]
        return np.array(numbers, np.dtype(content["dtype"])).reshape(content["shape"])
    return decode(tree, load)


MARKERS = {kind.__name__: kind for kind in (Ref, Name, Random, Made, Opaque)}
