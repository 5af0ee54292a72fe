# Generated from book/19-saving.md by `python -m course tangle`.
# Do not edit: change the chapter, then tangle again.
"""Saving."""

import hashlib
import importlib
import inspect
import io
import json
import math
import pkgutil
import sys
from dataclasses import dataclass, is_dataclass
from itertools import zip_longest
from pathlib import Path

import numpy as np

from nnlib.dense import Layer
from nnlib.network import Network, connect, count_parameters, sample_shape
from nnlib.optimizers import Optimizer, check_state
from nnlib.training import (
    CheckpointError,
    Run,
    arrays_of,
    check_identity,
    join_groups,
    kept_arrays,
    latest_checkpoint,
    put_arrays,
    write_atomically,
)

__all__ = [
    "constructor_arguments",
    "may_be_named",
    "subclasses",
    "vocabularies",
    "find",
    "as_data",
    "as_call",
    "known",
    "from_data",
    "from_call",
    "digits_needed",
    "to_decimal",
    "from_decimal",
    "TENSOR_TYPES",
    "tensor_entry",
    "check_entry",
    "DEPTH_LIMIT",
    "depth_of",
    "strict_json",
    "json_text",
    "JSON_LIMIT",
    "pack_json",
    "unpack_json",
    "pack",
    "HEADER_LIMIT",
    "read_table",
    "check_table",
    "unpack",
    "digest",
    "RUN_LIMIT",
    "SAMPLE_LIMIT",
    "runs_asked_for",
    "make_network",
    "FILE_FORMAT",
    "FILE_VERSION",
    "run_data",
    "contents",
    "fill",
    "make_optimizer",
    "make_run",
    "Checkpoint",
    "rebuild",
    "encode",
    "header_in",
    "decode",
    "save",
    "load",
    "check_same",
    "restore",
    "texts_and_shapes",
    "describe",
    "Checkpoints",
    "take_over",
]


# book/19-saving.md, "A layer in words"
def constructor_arguments(thing):
    """What a constructor must be given to make an object like this one.

    The rule: an argument is kept under its own name, as an attribute or in what
    `config()` returns; `*layers` are kept as `given`.

    Parameters
    ----------
    thing : Layer, Optimizer or learning-rate schedule

    Returns
    -------
    dict
        Name to value, in the constructor's order.

    Raises
    ------
    CheckpointError
        If an argument was not kept.
    """
    kind, found = type(thing), {}
    config = thing.config() if hasattr(kind, "config") else {}
    for name, parameter in inspect.signature(kind).parameters.items():
        many = parameter.kind == parameter.VAR_POSITIONAL
        try:
            found[name] = getattr(thing, "given" if many else name)
        except AttributeError:
            if name not in config:
                raise CheckpointError(f"{kind.__name__} does not keep {name}: expected "
                                      f"an attribute or config()[{name!r}]") from None
            found[name] = config[name]
    return found


# book/19-saving.md, "A layer in words"
def may_be_named(thing):
    """Whether a file may ask for it: layer, optimizer, schedule, starting weights."""
    if isinstance(thing, type):
        optimizer = hasattr(thing, "step") and hasattr(thing, "restore")
        schedule = is_dataclass(thing) and "__call__" in vars(thing)
        return issubclass(thing, Layer) or optimizer or schedule
    if inspect.isfunction(thing):
        return list(inspect.signature(thing).parameters) == ["shape", "rng"]
    return False


# book/19-saving.md, "A layer in words"
def subclasses(kind):
    """All classes derived from one, however far."""
    return [c for child in kind.__subclasses__() for c in (child, *subclasses(child))]


# book/19-saving.md, "A layer in words"
def vocabularies():
    """Dicts of names in which to look for what a file asks for, one after the other."""
    package = importlib.import_module("nnlib")
    modules = [f"nnlib.{found.name}"
               for found in pkgutil.iter_modules(package.__path__)]
    for module in modules:
        if module in sys.modules:
            yield vars(sys.modules[module])
    yield {c.__name__: c for base in (Layer, Optimizer) for c in subclasses(base)}
    for module in modules:
        try:
            yield vars(importlib.import_module(module))
        except ImportError:     # it needs a package that is not installed
            continue


# book/19-saving.md, "A layer in words"
def find(name):
    """The class or function that a file means by a name; None if there is none."""
    found = (words.get(name) for words in vocabularies())
    return next((thing for thing in found if may_be_named(thing)), None)


# book/19-saving.md, "Objects become data"
def as_data(value, place, arrays):
    """A setting in values that JSON knows; `from_data` is the way back.

    Parameters
    ----------
    value : number, text, None, tuple, list, ndarray, function or
        layer, optimizer, schedule
    place : str
        Where it was found: for messages, and as the name of an array.
    arrays : dict
        Gets the arrays that are met, by place.

    Raises
    ------
    CheckpointError
        For a value that a file cannot hold.
    """
    value = value.item() if isinstance(value, np.generic) else value
    if isinstance(value, (tuple, list)):
        return [as_data(part, f"{place}.{i}", arrays) for i, part in enumerate(value)]
    if isinstance(value, np.ndarray):
        arrays[place] = value
        return {"array": place}
    if isinstance(value, float) and not math.isfinite(value):
        return {"number": str(value)}
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if inspect.isfunction(value) and find(value.__name__) is value:
        return {"function": value.__name__}
    if may_be_named(type(value)) and find(type(value).__name__) is type(value):
        return as_call(value, place, arrays)
    came = getattr(value, "__qualname__", repr(value))
    raise CheckpointError(f"{place}: expected a value that a file can hold or name, "
                          f"got {came}")


# book/19-saving.md, "Objects become data"
def as_call(thing, place, arrays):
    """A layer, optimizer or schedule: the name of its class, and its arguments.

    In place of an `init` that is not nnlib's stands the constructor's default.
    """
    settings, parameters = {}, inspect.signature(type(thing)).parameters
    for name, value in constructor_arguments(thing).items():
        if name == "init" and find(getattr(value, "__name__", "")) is not value:
            value = parameters[name].default
        settings[name] = as_data(value, f"{place}.{name}", arrays)
    return {type(thing).__name__: settings}


# book/19-saving.md, "Objects become data"
def known(name):
    """`find`, or a CheckpointError that says what to do."""
    thing = find(name)
    if thing is None:
        raise CheckpointError(f"the file asks for {name!r}: expected a layer, an "
                              "optimizer, a schedule or starting weights of nnlib "
                              "(what is your own must be imported first)")
    return thing


# book/19-saving.md, "Objects become data"
def from_data(data, arrays):
    """What `as_data` was given; lists come back as tuples.

    Raises
    ------
    Exception
        Whatever a constructor makes of arguments that do not fit.
    """
    if isinstance(data, list):
        return tuple(from_data(part, arrays) for part in data)
    if not isinstance(data, dict):
        return data
    [(kind, value)] = data.items()
    plain = {"function": known, "number": float, "array": arrays.__getitem__}
    return plain[kind](value) if kind in plain else from_call(kind, value, arrays)


# book/19-saving.md, "Objects become data"
def from_call(name, settings, arrays):
    """A layer, optimizer or schedule from the name of its class and its arguments."""
    kind, many = known(name), ()
    settings = {name: from_data(value, arrays) for name, value in settings.items()}
    for name, parameter in inspect.signature(kind).parameters.items():
        if parameter.kind == parameter.VAR_POSITIONAL:
            many = settings.pop(name, ())
    return kind(*many, **settings)


# book/19-saving.md, "Nine digits"
def digits_needed(bits):
    """Decimal digits that bring back every float of so many significant bits."""
    return 1 + math.ceil(bits * math.log10(2))


# book/19-saving.md, "Nine digits"
def to_decimal(array):
    """An array as nested lists of numbers that JSON can hold without loss.

    Parameters
    ----------
    array : ndarray of float32, float64 or int64

    Returns
    -------
    nested list of float or int
        float32 rounded to nine decimal digits, all else as it is.

    Raises
    ------
    CheckpointError
        For NaN and infinity, for which JSON has no words.
    """
    if not np.isfinite(array).all():
        raise CheckpointError("JSON has no word for NaN and infinity: expected finite "
                              "numbers, or a .safetensors file")
    if array.dtype == np.float32:
        digits = digits_needed(24)
        rounded = [float(f"{x:.{digits}g}") for x in array.ravel().tolist()]
        array = np.array(rounded, np.float64).reshape(array.shape)
    return array.tolist()


# book/19-saving.md, "Nine digits"
def from_decimal(values, shape, dtype):
    """Nested lists of numbers as an array; `to_decimal` is the way there.

    Parameters
    ----------
    values : nested list
    shape : tuple of int
    dtype : numpy.dtype
        float32, float64 or int64.

    Raises
    ------
    CheckpointError
        If they are not numbers, not in this shape, or too large for the dtype.
    """
    kinds, flat = {"f": (float, int), "i": (int,)}[dtype.kind], [values]
    for length in shape:
        if any(not isinstance(row, list) or len(row) != length for row in flat):
            raise CheckpointError(f"expected numbers shaped {shape}, got other lists")
        flat = [part for row in flat for part in row]
    try:
        if any(type(number) not in kinds for number in flat):
            raise ValueError("something else among them")
        with np.errstate(over="ignore"):
            array = np.array(flat, dtype).reshape(shape)
        if not np.isfinite(array).all():
            raise ValueError("one that is too large")
    except (ValueError, OverflowError) as error:
        raise CheckpointError(f"expected numbers of {dtype}, got {error}") from error
    return array

# book/19-saving.md, "The readable form"
TENSOR_TYPES = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8"), "I64": np.dtype("<i8")}


# book/19-saving.md, "The readable form"
def tensor_entry(name, array):
    """What a file says about an array: its type and its shape.

    Raises
    ------
    CheckpointError
        For a type other than float32, float64 and int64.
    """
    for code, dtype in TENSOR_TYPES.items():
        if array.dtype.newbyteorder("<") == dtype:
            return {"dtype": code, "shape": list(array.shape)}
    raise CheckpointError(f"{name}: expected float32, float64 or int64, "
                          f"got {array.dtype}")


# book/19-saving.md, "The readable form"
def check_entry(name, entry, more):
    """The dtype and the shape that an entry of a file gives.

    Parameters
    ----------
    name : str
        The tensor's, for the message.
    entry : object
        A dict, if all is well.
    more : str
        What it has besides dtype and shape.

    Raises
    ------
    CheckpointError
        If it is not made like that.
    """
    if isinstance(entry, dict) and set(entry) == {"dtype", "shape", more}:
        code, shape = entry["dtype"], entry["shape"]
        if (code in list(TENSOR_TYPES) and isinstance(shape, list) and len(shape) <= 8
                and all(type(length) is int and length >= 0 for length in shape)):
            return TENSOR_TYPES[code], tuple(shape)
    raise CheckpointError(f"tensor {name!r}: expected dtype (F32, F64 or I64), shape "
                          f"and {more}, got {str(entry)[:100]}")

# book/19-saving.md, "The readable form"
DEPTH_LIMIT = 100


# book/19-saving.md, "The readable form"
def depth_of(value):
    """How deep lists and dicts are nested; 1 for a plain value."""
    level, depth = [value], 0
    while level:
        level = [part for nest in level if isinstance(nest, (dict, list))
                 for part in (nest.values() if isinstance(nest, dict) else nest)]
        depth += 1
    return depth


# book/19-saving.md, "The readable form"
def strict_json(data):
    """Parse JSON; refuse what one reader takes in one way and another in another.

    Parameters
    ----------
    data : bytes

    Raises
    ------
    CheckpointError
        For what is not JSON in UTF-8, a name twice in one object, NaN, a number beyond
        float64, and nesting deeper than DEPTH_LIMIT.
    """
    def once(pairs):
        if len(dict(pairs)) != len(pairs):
            raise ValueError("a name twice in one object")
        return dict(pairs)

    def finite(word):
        if not math.isfinite(float(word)):
            raise ValueError(f"the number {word}")
        return float(word)

    try:
        found = json.loads(data.decode(), object_pairs_hook=once, parse_float=finite,
                           parse_constant=finite)
        if depth_of(found) > DEPTH_LIMIT:
            raise RecursionError
    except ValueError as error:
        raise CheckpointError(f"expected JSON, got {error}") from error
    except RecursionError:
        raise CheckpointError("expected JSON, nested not more than "
                              f"{DEPTH_LIMIT} deep") from None
    return found


# book/19-saving.md, "The readable form"
def json_text(value, margin=""):
    """JSON with whatever is short, and every row of numbers, on one line."""
    line, named = json.dumps(value, allow_nan=False), isinstance(value, dict)
    parts = list(value.values()) if named else value
    if not isinstance(parts, list) or len(margin) + len(line) < 80 or not any(
            isinstance(part, (dict, list)) for part in parts):
        return line
    inner = margin + " "
    texts = [json_text(part, inner) for part in parts]
    if named:
        texts = [f"{json.dumps(name)}: {text}" for name, text in zip(value, texts)]
    body = f",\n{inner}".join(texts)
    return f"{'[{'[named]}\n{inner}{body}\n{margin}{']}'[named]}"

# book/19-saving.md, "The readable form"
JSON_LIMIT = 64 * 2**20


# book/19-saving.md, "The readable form"
def pack_json(texts, tensors):
    """A JSON file, as bytes.

    Parameters
    ----------
    texts : dict of str to values that JSON knows
    tensors : dict of str to ndarray of float32, float64 or int64

    Raises
    ------
    CheckpointError
        For NaN and infinity, for other types, and for a file too long to be read.
    """
    entries = {name: {**tensor_entry(name, array), "values": to_decimal(array)}
               for name, array in tensors.items()}
    data = (json_text({**texts, "tensors": entries}) + "\n").encode()
    if len(data) > JSON_LIMIT:
        raise CheckpointError(f"expected at most {JSON_LIMIT} bytes of JSON, got "
                              f"{len(data)}: a .safetensors file is smaller")
    return data


# book/19-saving.md, "The readable form"
def unpack_json(data):
    """What `pack_json` was given, (texts, tensors); CheckpointError for other bytes."""
    if len(data) > JSON_LIMIT:
        raise CheckpointError(f"expected at most {JSON_LIMIT} bytes, got {len(data)}")
    texts, tensors = strict_json(data), {}
    entries = texts.pop("tensors", None) if isinstance(texts, dict) else None
    if not isinstance(entries, dict):
        raise CheckpointError("expected an object with tensors")
    for name, entry in entries.items():
        dtype, shape = check_entry(name, entry, "values")
        tensors[name] = from_decimal(entry["values"], shape, dtype.newbyteorder("="))
    return texts, tensors


# book/19-saving.md, "The compact form"
def pack(texts, tensors):
    """A safetensors file, as bytes: the header's length, the header, the numbers.

    Parameters
    ----------
    texts : dict of str to str
    tensors : dict of str to ndarray of float32, float64 or int64

    Raises
    ------
    CheckpointError
        For other types.

    References
    ----------
    Hugging Face, Safetensors, https://huggingface.co/docs/safetensors
    """
    table, blocks, end = {"__metadata__": texts} if texts else {}, [], 0
    for name, array in sorted(tensors.items(), key=lambda pair: -pair[1].itemsize):
        entry = tensor_entry(name, array)
        blocks.append(array.astype(TENSOR_TYPES[entry["dtype"]]).tobytes())
        start, end = end, end + len(blocks[-1])
        table[name] = {**entry, "data_offsets": [start, end]}
    header = json.dumps(table, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return b"".join([len(header).to_bytes(8, "little"), header, *blocks])

# book/19-saving.md, "The compact form"
HEADER_LIMIT = 16 * 2**20


# book/19-saving.md, "The compact form"
def read_table(file, size):
    """The header of an open safetensors file of so many bytes.

    Returns
    -------
    table : dict
        Not checked yet.
    room : int
        How many bytes follow.

    Raises
    ------
    CheckpointError
    """
    start = file.read(8)
    length = int.from_bytes(start, "little")
    if length > min(size - 8, HEADER_LIMIT):
        raise CheckpointError("expected a header that lies within the file and has at "
                              f"most {HEADER_LIMIT} bytes, got one of {length} in a "
                              f"file of {size}")
    table = strict_json(file.read(length))
    if not isinstance(table, dict):
        raise CheckpointError(f"expected a table of tensors, got {str(table)[:100]}")
    return table, size - 8 - length


# book/19-saving.md, "The compact form"
def check_table(table, room):
    """Where every tensor of a safetensors header lies, if they fill the room exactly.

    Returns
    -------
    dict
        Name to (dtype, shape, start), in the order of the numbers.

    Raises
    ------
    CheckpointError
        For gaps, overlaps, a shape that does not fit its bytes, bytes too few or many.
    """
    found, places, end = [], {}, 0
    for name, entry in table.items():
        dtype, shape = check_entry(name, entry, "data_offsets")
        offsets = entry["data_offsets"]
        if not isinstance(offsets, list) or [type(n) for n in offsets] != [int, int]:
            raise CheckpointError(f"tensor {name!r}: expected data_offsets [start, "
                                  f"end], got {str(offsets)[:100]}")
        found.append((offsets, name, dtype, shape))
    for offsets, name, dtype, shape in sorted(found, key=lambda place: place[0]):
        start, end = end, end + math.prod(shape) * dtype.itemsize
        if offsets != [start, end]:
            raise CheckpointError(f"tensor {name!r}: expected its bytes from {start} "
                                  f"to {end}, got {offsets}")
        places[name] = dtype, shape, start
    if end != room:
        raise CheckpointError(f"expected {end} bytes of numbers, got {room}")
    return places


# book/19-saving.md, "The compact form"
def unpack(data):
    """Texts and tensors of a safetensors file, made by `pack` or by another program.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    texts : dict of str to str
    tensors : dict of str to ndarray
        In the machine's own byte order.

    Raises
    ------
    CheckpointError
        For other bytes. No array is made before all sizes are known to fit.
    """
    table, room = read_table(io.BytesIO(data), len(data))
    texts, tensors = table.pop("__metadata__", {}), {}
    if not isinstance(texts, dict) or any(type(t) is not str for t in texts.values()):
        raise CheckpointError(f"expected texts as __metadata__, got {str(texts)[:100]}")
    for name, (dtype, shape, start) in check_table(table, room).items():
        view = np.ndarray(shape, dtype, data, len(data) - room + start)
        tensors[name] = view.astype(dtype.newbyteorder("="))
    return texts, tensors


# book/19-saving.md, "A fingerprint"
def digest(header, tensors):
    """A fingerprint of a checkpoint: SHA-256 over its header and all its numbers.

    Parameters
    ----------
    header : values that JSON knows
    tensors : dict of str to ndarray of float32, float64 or int64

    Returns
    -------
    str
        64 hexadecimal digits, whatever kind of file holds the content.
    """
    def text(value):
        return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()

    sha = hashlib.sha256(text(header))
    for name in sorted(tensors):
        entry = tensor_entry(name, tensors[name])
        sha.update(text([name, entry]))
        sha.update(tensors[name].astype(TENSOR_TYPES[entry["dtype"]]).tobytes())
    return sha.hexdigest()

# book/19-saving.md, "Files from strangers"
RUN_LIMIT = 10_000
SAMPLE_LIMIT = 2**28


# book/19-saving.md, "Files from strangers"
def runs_asked_for(data):
    """How often a description runs layers: what has `times` counts so many times."""
    if isinstance(data, list):
        return sum(map(runs_asked_for, data))
    if not isinstance(data, dict):
        return 0
    [settings] = data.values()
    if not isinstance(settings, dict):
        return 0
    once = 1 + sum(map(runs_asked_for, settings.values()))
    return once * max(1, settings.get("times", 1))


# book/19-saving.md, "Files from strangers"
def make_network(data, arrays, numbers):
    """The network that a header describes, with starting weights.

    Parameters
    ----------
    data : dict
        "layers", "input_shape" and "dtype", as `contents` writes them.
    arrays : dict
        For settings that are arrays.
    numbers : int
        How many parameters it may have. They are counted before any array is made.

    Raises
    ------
    CheckpointError
        If it has more, if it runs more than RUN_LIMIT layers, or if a sample is larger
        than SAMPLE_LIMIT anywhere on its way.
    Exception
        Whatever a constructor makes of arguments that do not fit.
    """
    if (runs := runs_asked_for(data["layers"])) > RUN_LIMIT:
        raise CheckpointError("expected a network that runs at most "
                              f"{RUN_LIMIT} layers, got {runs}")
    layers, shape = from_data(data["layers"], arrays), sample_shape(data["input_shape"])
    connected, shapes = connect(layers, shape)
    if (count := count_parameters(connected)) > numbers:
        raise CheckpointError(f"expected a network of at most {numbers} parameters, "
                              f"which is all that the file holds, got one of {count}")
    if max(map(math.prod, shapes)) > SAMPLE_LIMIT:
        raise CheckpointError(f"expected samples of at most {SAMPLE_LIMIT} numbers, "
                              f"got the shapes {shapes}")
    return Network(*layers, dtype=data["dtype"]).build(shape)

# book/19-saving.md, "Everything in its place"
FILE_FORMAT = "nnlib checkpoint"
FILE_VERSION = 1


# book/19-saving.md, "Everything in its place"
def run_data(run):
    """What a `Run` has noted, in values that JSON knows; its arrays left out."""
    rows = [{name: as_data(value, name, {}) for name, value in row.items()}
            for row in run.rows]
    return {"settings": run.settings, "rows": rows, "waited": run.waited,
            "best_loss": as_data(run.best_loss, "best_loss", {})}


# book/19-saving.md, "Everything in its place"
def contents(network, optimizer=None, run=None, notes=None):
    """What goes into a checkpoint; parameters as for `save`.

    Returns
    -------
    header : dict
        In values that JSON knows.
    tensors : dict of str to ndarray
        dense1.W and so on; state/... of the optimizer, best/... of the run, and
        settings/... for settings that are arrays.
    """
    arrays, state, best = {}, {}, {}
    header = {"format": FILE_FORMAT, "version": FILE_VERSION, "network": {
        "input_shape": list(network.input_shape), "dtype": network.dtype.name,
        "layers": as_data(network.given, "layers", arrays)}}
    if optimizer is not None:
        header["optimizer"] = as_data(optimizer, "optimizer", arrays)
        header["steps"], state = optimizer.steps, optimizer.state
    if run is not None:
        header["run"], best = run_data(run), run.best
    if notes:
        header["notes"] = notes
    tensors = dict([*network.named_parameters(), *network.named_buffers()])
    return header, {**tensors, **join_groups(settings=arrays, state=state, best=best)}


# book/19-saving.md, "Everything in its place"
def fill(targets, sources):
    """Copy arrays into others of the same names, shapes and dtypes.

    Parameters
    ----------
    targets, sources : dict of str to ndarray

    Raises
    ------
    CheckpointError
        If one does not fit; then nothing has been copied.
    """
    for name in sorted(targets.keys() ^ sources.keys()):
        there = "in the file" if name in sources else "in the network"
        raise CheckpointError(f"expected the same arrays in file and network, got "
                              f"{name!r} only {there}")
    for name, target in targets.items():
        for what in ("shape", "dtype"):
            came, expected = getattr(sources[name], what), getattr(target, what)
            if came != expected:
                raise CheckpointError(f"{name}: expected {what} {expected}, got {came}")
    put_arrays(targets, sources)


# book/19-saving.md, "Everything in its place"
def make_optimizer(header, arrays, state, network):
    """The optimizer that a header describes, ready for the network's next step."""
    optimizer = from_data(header["optimizer"], arrays)
    optimizer.restore(state, header["steps"])
    if state:
        check_state(state, list(state), network.parameters)
    return optimizer


# book/19-saving.md, "Everything in its place"
def make_run(data, network, optimizer, best):
    """The `Run` that a header describes, ready for its next epoch."""
    run = Run(network, optimizer, data["settings"])
    run.rows = [{name: from_data(value, {}) for name, value in row.items()}
                for row in data["rows"]]
    run.best_loss, run.waited = from_data(data["best_loss"], {}), data["waited"]
    fill(run.best, best)
    return run


# book/19-saving.md, "Everything in its place"
@dataclass
class Checkpoint:
    """What `load` returns.

    Attributes
    ----------
    network : Network
    optimizer : Optimizer or None
        With its state and steps.
    run : Run or None
        Its history as a table is `history_table(run.rows)`.
    notes : dict
        What `save` was given.
    sha256 : str
        The digest of the content.
    """
    network: object
    optimizer: object
    run: object
    notes: dict
    sha256: str


# book/19-saving.md, "Everything in its place"
def rebuild(header, tensors):
    """A `Checkpoint` from what `contents` returned.

    Raises
    ------
    CheckpointError
        If header and tensors do not belong together, or ask for the impossible.
    """
    groups = {name: arrays_of(name, tensors) for name in ("settings", "state", "best")}
    arrays, numbers = groups["settings"], sum(a.size for a in tensors.values())
    own = {name: a for name, a in tensors.items() if name.split("/")[0] not in groups}
    optimizer = run = None
    try:
        network = make_network(header["network"], arrays, numbers)
        fill(dict([*network.named_parameters(), *network.named_buffers()]), own)
        if "optimizer" in header:
            optimizer = make_optimizer(header, arrays, groups["state"], network)
        if "run" in header:
            run = make_run(header["run"], network, optimizer, groups["best"])
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError("expected a description that can be followed, "
                              f"got {error!r}") from error
    return Checkpoint(network, optimizer, run, header.get("notes", {}),
                      digest(header, tensors))


# book/19-saving.md, "Everything in its place"
def encode(kind, header, tensors):
    """A checkpoint's content as the bytes of a file.

    Parameters
    ----------
    kind : str
        ".json" or ".safetensors".
    header, tensors
        From `contents`.

    Raises
    ------
    CheckpointError
        For another kind, and for what such a file cannot hold.
    """
    sha256 = digest(header, tensors)
    if kind == ".json":
        return pack_json({"sha256": sha256, "header": header}, tensors)
    if kind == ".safetensors":
        return pack({"sha256": sha256, "header": json.dumps(header)}, tensors)
    raise CheckpointError("expected a name ending in .json or .safetensors, "
                          f"got {kind!r}")


# book/19-saving.md, "Everything in its place"
def header_in(texts):
    """The header among a file's texts, if it is one and of this version."""
    header = texts.get("header")
    if isinstance(header, str):
        header = strict_json(header.encode())
    if not isinstance(header, dict) or header.get("format") != FILE_FORMAT:
        raise CheckpointError(f"expected a header with format {FILE_FORMAT!r}, "
                              f"got {str(header)[:100]}")
    if header.get("version") != FILE_VERSION:
        raise CheckpointError(f"expected format version {FILE_VERSION}, "
                              f"got {header.get('version')!r}")
    notes = header.get("notes", {})
    if not isinstance(notes, dict):
        raise CheckpointError(f"expected notes by name, got {str(notes)[:100]}")
    return header


# book/19-saving.md, "Everything in its place"
def decode(kind, data):
    """What `encode` was given, (header, tensors), true to their digest.

    Raises
    ------
    CheckpointError
        For bytes that it did not make.
    """
    if kind not in (".json", ".safetensors"):
        raise CheckpointError("expected a name ending in .json or .safetensors, "
                              f"got {kind!r}")
    texts, tensors = (unpack_json if kind == ".json" else unpack)(data)
    header = header_in(texts)
    if digest(header, tensors) != texts.get("sha256"):
        raise CheckpointError("the content does not have the digest that stands in the "
                              "file: it was damaged or changed")
    return header, tensors


# book/19-saving.md, "Everything in its place"
def save(path, network, optimizer=None, run=None, notes=None):
    """Write a checkpoint, from which `load` rebuilds everything.

    What would not come back to the last bit is refused, and no file is touched.

    Parameters
    ----------
    path : str or Path
        Ends in .json or .safetensors.
    network : Network, built
    optimizer : Optimizer, optional
        With its settings, state and steps.
    run : Run, optional
        With its history, settings and best arrays.
    notes : dict, optional
        In values that JSON knows, for people and programs: how images were prepared,
        for instance.

    Returns
    -------
    str
        The digest.

    Raises
    ------
    CheckpointError
        For something that such a file cannot hold.
    """
    kind = Path(path).suffix
    try:
        header, tensors = contents(network, optimizer, run, notes)
        data = encode(kind, header, tensors)
        again = rebuild(*decode(kind, data))
        same = digest(*contents(again.network, again.optimizer, again.run, notes))
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be saved: {error}") from error
    if same != again.sha256:
        raise CheckpointError(f"{path}: cannot be saved: it would come back different")
    write_atomically(path, lambda file: file.write(data))
    return again.sha256


# book/19-saving.md, "Everything in its place"
def load(path, sha256=None):
    """Rebuild what `save` has written, from the file alone.

    Parameters
    ----------
    path : str or Path
    sha256 : str, optional
        The digest that the content must have, known from elsewhere.

    Returns
    -------
    Checkpoint

    Raises
    ------
    CheckpointError
        For a file that is missing, damaged, something else, of another version, or of
        another digest.
    """
    try:
        found = rebuild(*decode(Path(path).suffix, Path(path).read_bytes()))
    except (OSError, CheckpointError) as error:
        raise CheckpointError(f"{path}: {error}") from error
    if sha256 not in (None, found.sha256):
        raise CheckpointError(f"{path}: expected digest {sha256}, got {found.sha256}")
    return found


# book/19-saving.md, "Into a network that exists"
def check_same(path, saved, network, optimizer=None, settings=None):
    """Refuse the checkpoint of another network, optimizer or run; name the difference.

    Parameters
    ----------
    path : str or Path
        For the message.
    saved : Checkpoint
    network : Network
    optimizer : Optimizer, optional
        None: it is not compared.
    settings : dict, optional
        A run's.
    """
    old = saved.run.settings if settings and saved.run else {}
    came = Run(saved.network, saved.optimizer if optimizer else None, old).identity
    expected = Run(network, optimizer, settings or {}).identity
    layers = zip_longest(came.pop("architecture"), expected.pop("architecture"))
    for i, (theirs, ours) in enumerate(layers):
        if theirs != ours:
            raise CheckpointError(f"{path} belongs to another network: expected layer "
                                  f"{i} to be {ours}, got {theirs}")
    check_identity(path, came, expected)


# book/19-saving.md, "Into a network that exists"
def restore(path, network, optimizer=None):
    """Put a checkpoint's numbers into a network, and an optimizer, that exist.

    Parameters
    ----------
    path : str or Path
    network : Network, built
    optimizer : Optimizer, optional

    Returns
    -------
    Checkpoint

    Raises
    ------
    CheckpointError
        As `load`, and for the checkpoint of another network or optimizer; nothing has
        been changed.
    """
    saved = load(path)
    check_same(path, saved, network, optimizer)
    if optimizer is not None:
        optimizer.restore(saved.optimizer.state, saved.optimizer.steps)
    put_arrays(kept_arrays(network), kept_arrays(saved.network))
    return saved


# book/19-saving.md, "Into a network that exists"
def texts_and_shapes(path):
    """A file's texts and tensors' shapes; of .safetensors only the header is read."""
    if path.suffix != ".safetensors":
        texts, tensors = unpack_json(path.read_bytes())
        return texts, {name: array.shape for name, array in tensors.items()}
    with open(path, "rb") as file:
        table, room = read_table(file, path.stat().st_size)
    texts = table.pop("__metadata__", {})
    places = check_table(table, room)
    return texts, {name: shape for name, (_, shape, _) in places.items()}


# book/19-saving.md, "Into a network that exists"
def describe(path):
    """What a checkpoint says of itself. Builds nothing, and does not check the digest.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict
        sha256, bytes, input_shape, dtype, layers (names), numbers (how many the network
        keeps), optimizer (its name or None), steps, epochs, last (the last row of the
        history or None), notes.

    Raises
    ------
    CheckpointError
        As `load`, as far as can be seen without the numbers.
    """
    path = Path(path)
    try:
        texts, shapes = texts_and_shapes(path)
        header = header_in(texts)
        network, rows = header["network"], header.get("run", {}).get("rows", [])
        numbers = sum(math.prod(s) for name, s in shapes.items() if "/" not in name)
        return {"sha256": texts.get("sha256"), "bytes": path.stat().st_size,
                "input_shape": tuple(network["input_shape"]), "dtype": network["dtype"],
                "layers": [name for layer in network["layers"] for name in layer],
                "numbers": numbers, "steps": header.get("steps", 0),
                "optimizer": next(iter(header.get("optimizer", {})), None),
                "epochs": len(rows), "last": rows[-1] if rows else None,
                "notes": header.get("notes", {})}
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path}: {error}") from error


# book/19-saving.md, "A run goes on"
class Checkpoints:
    """A folder with the checkpoints of a run, for fit(checkpoint=Checkpoints("run")).

    Parameters
    ----------
    folder : str or Path
        Made when it is needed.
    kind : str
        ".safetensors" or ".json".
    keep : int, optional
        How many of the latest to keep; all, if not given.
    notes : dict, optional
        For every file, see `save`.
    """

    def __init__(self, folder, kind=".safetensors", keep=None, notes=None):
        if keep is not None and keep < 1:
            raise ValueError(f"expected keep to be at least 1, got {keep}")
        self.folder, self.kind, self.keep, self.notes = Path(folder), kind, keep, notes

    def paths(self):
        """The checkpoints that are there, the earliest first."""
        return sorted(self.folder.glob(f"epoch-*{self.kind}"))

    def save(self, run):
        """Write a checkpoint; then remove those that need not be kept."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"epoch-{len(run.rows):06d}{self.kind}"
        save(path, run.network, run.optimizer, run, self.notes)
        for old in self.paths()[:-self.keep] if self.keep else ():
            old.unlink()

    def restore(self, run):
        """Take everything from the latest checkpoint, if there is one; from one that
        `fit` wrote into the folder by itself, if there is none of this kind.

        Raises
        ------
        CheckpointError
            If it cannot be used, or belongs to another run; nothing has been changed.
        """
        old = latest_checkpoint(self.folder)
        if self.paths():
            path = self.paths()[-1]
            saved = load(path)
            check_same(path, saved, run.network, run.optimizer, run.settings)
            take_over(run, saved)
        elif old:
            run.restore(old)


# book/19-saving.md, "A run goes on"
def take_over(run, saved):
    """Give a run all that a checkpoint of the same run holds."""
    run.optimizer.restore(saved.optimizer.state, saved.optimizer.steps)
    put_arrays(kept_arrays(run.network), kept_arrays(saved.network))
    put_arrays(run.best, saved.run.best)
    for name in ("rows", "best_loss", "waited"):
        setattr(run, name, getattr(saved.run, name))
