"""The exercises of the chapter on saving: nine digits, strict JSON, a file byte by byte, a digest, and a signature."""

import hashlib
import hmac
import json
import math
import struct
from fractions import Fraction

import numpy as np

from course.classroom.exercise import Case, Exercise, Mutant, Question, Ref, Script, call


# Further exercises bring their own reference: plain Python, floats and loops. So does strict_json, of which
# the reference needs to know only what it makes of JSON that is allowed.

def strict_json(data):
    """What allowed JSON means."""
    return json.loads(str(data, "utf-8"))


def signature(message, key):
    """Python's own."""
    return hmac.new(key.encode(), message.encode(), hashlib.sha256).hexdigest()


def changes(old, new):
    """Look at every name, then at every number."""
    found = {}
    for name in {*old, *new}:
        if name not in new:
            found[name] = "gone"
        elif name not in old:
            found[name] = "new"
        elif old[name].shape != new[name].shape:
            found[name] = "another shape"
        elif old[name].dtype != new[name].dtype:
            found[name] = "another type"
        else:
            largest = max((abs(a - b) for a, b in zip(old[name].ravel().tolist(), new[name].ravel().tolist())), default=0)
            if largest:
                found[name] = float(largest)
    return found


def to_bfloat16(array):
    """Of the two patterns around a number the nearer one; of two that are as near, the even one."""
    def value(pattern):
        sign, rest = pattern >> 15, pattern & 0x7FFF
        exponent, fraction = rest >> 7, rest & 0x7F
        size = Fraction(fraction, 128) * Fraction(2) ** -126 if exponent == 0 else (1 + Fraction(fraction, 128)) * Fraction(2) ** (exponent - 127)
        return -size if sign else size

    def nearest(x):
        bits = struct.unpack("<I", struct.pack("<f", x))[0]
        below = bits >> 16
        if math.isnan(x):
            return 0x7FC0
        if math.isinf(x):
            return below
        down, up = abs(Fraction(x) - value(below)), abs(Fraction(x) - value(below + 1))
        return below if down < up or (down == up and below % 2 == 0) else below + 1

    flat = [nearest(x) for x in np.asarray(array).ravel().tolist()]
    return np.array(flat, np.uint16).reshape(np.shape(array))


# What is drawn. Texts and files are arrays, too, so that students see them when a case fails.

def parsed(text):
    """strict_json of a text."""
    return (Script().given(text=np.array(text)).call("text.item", name="line", keep=False)
            .call("line.encode", name="data", keep=False).call("strict_json", Ref("data")))


def in_words(path, *args):
    """A call whose result counts as Python writes it, to the last digit."""
    return call(path, *args, name="found", keep=False).call("found.__repr__")


def file_of(table, *arrays, more=b""):
    """A safetensors file with any header, as an array of bytes."""
    header = json.dumps(table).encode()
    numbers = b"".join(np.asarray(a).tobytes() for a in arrays)
    return np.array(list(len(header).to_bytes(8, "little") + header + numbers + more), np.uint8)


def entry(code, shape, start, end):
    """A tensor's entry in a header."""
    return {"dtype": code, "shape": shape, "data_offsets": [start, end]}


def opened(data, words=False):
    """unpack of the bytes in an array."""
    script = Script().given(file=data).call("file.tobytes", name="data", keep=False)
    return script.call("unpack", Ref("data"), name="found", keep=False).call("found.__repr__") if words else script.call("unpack", Ref("data"))


def single(rng, *shape):
    """Random float32 numbers of very different sizes."""
    return np.asarray(rng.normal(size=shape) * 10.0 ** rng.integers(-20, 20, shape), np.float32)


def numbers(rng, *shape, dtype=np.float64):
    """Random numbers."""
    return rng.normal(size=shape).astype(dtype)


TO_DECIMAL = Exercise(
    name="to_decimal", kind="build", target="to_decimal", difficulty=1, minutes=20,
    cases=(
        Case("a tenth, a third", 2, "Nine digits bring back every float32, eight do not, and more are ballast.",
             lambda rng: in_words("to_decimal", np.array([0.1, 1 / 3, 5.0], np.float32))),
        Case("a small table", 1, "Rows stay rows.",
             lambda rng: in_words("to_decimal", np.array([[1.5, 2e-8], [0.7, -3e5]], np.float32))),
        Case("double precision and whole numbers", 1, "Python writes these with as many digits as they need.",
             lambda rng: Script().call("to_decimal", np.array([0.1, 1 / 3]), name="a", keep=False).call("a.__repr__")
             .call("to_decimal", np.array([[2**53 + 1, -7]]), name="b", keep=False).call("b.__repr__")),
        Case("not a number", 1, "JSON has no word for it, and some readers would make a text of it, some a zero.",
             lambda rng: call("to_decimal", np.array([1.0, np.nan], np.float32)), raises="CheckpointError"),
        Case("the smallest, the largest, less than nothing", 2, "A sign bit is a bit.", hidden=True,
             draw=lambda rng: in_words("to_decimal", np.array([[1e-45, -3.4028235e38], [-0.0, 0.0]], np.float32))),
        Case("random numbers of all sizes", 2, "It must be right for each of four billion.", hidden=True,
             draw=lambda rng: in_words("to_decimal", single(rng, 3, 2, 4))),
        Case("infinity, in double precision", 1, "Weights that have exploded are no checkpoint.", hidden=True,
             draw=lambda rng: call("to_decimal", np.array([[-np.inf], [0.0]])), raises="CheckpointError"),
        Case("a number without axes, a row without numbers", 1, "Both occur, and both have a shape.", hidden=True,
             draw=lambda rng: Script().call("to_decimal", single(rng), name="a", keep=False).call("a.__repr__")
             .call("to_decimal", np.zeros((2, 0), np.float32), name="b", keep=False).call("b.__repr__")),
    ),
    hints=(
        "How does Python write a number with so many *significant* digits, not digits behind the point?",
        "The format `g`, and `float` of what it writes. `digits_needed(24)` says how many. Keep the results in double precision, give them the old shape, and "
        "let `tolist` make lists.",
        "Section *Nine digits* of {ref}`ch-saving`, {eq}`eq-saving-digits`.",
    ),
    mutants=(
        Mutant("eight digits", ("digits = digits_needed(24)", "digits = 8"), "a tenth, a third", 0),
        Mutant("all digits", ("float(f\"{x:.{digits}g}\")", "float(f\"{x:.17g}\")"), "a tenth, a third", 0),
        Mutant("digits behind the point", ("{digits}g}", "{digits}f}"), "a small table", 0),
        Mutant("rounded to single precision again", ("np.array(rounded, np.float64)", "np.array(rounded, np.float32)"), "a tenth, a third", 1),
        Mutant("one long row", (".reshape(array.shape)", ""), "a small table", 1),
        Mutant("double precision rounded as well", ("if array.dtype == np.float32:", "if array.dtype.kind == \"f\":"), "double precision and whole numbers", 2),
        Mutant("anything goes", ("if not np.isfinite(array).all():", "if False:"), "not a number", 2),
        Mutant("looks for NaN only", ("if not np.isfinite(array).all():", "if np.isnan(array).any():"), "infinity, in double precision", 2),
    ),
)

STRICT_JSON = Exercise(
    name="strict_json", kind="build", target="strict_json", difficulty=2, minutes=40, expected=strict_json,
    cases=(
        Case("what is allowed", 1, "Strict is not the same as wrong: whole numbers stay whole, texts keep their letters.",
             lambda rng: parsed('{"a": [1, 2.5, -3e2, true, null], "bäh": {"c": "NaN"}}')),
        Case("a name twice", 2, "One program would read the first network, another the second.",
             lambda rng: parsed('{"network": 1, "notes": {}, "network": 2}'), raises="CheckpointError"),
        Case("NaN", 1, "Python accepts it; it is not JSON, and others will not.",
             lambda rng: parsed('{"loss": NaN}'), raises="CheckpointError"),
        Case("a number beyond all numbers", 1, "Python makes infinity of it without a word.",
             lambda rng: parsed("[1.0, 1e999]"), raises="CheckpointError"),
        Case("no JSON at all", 1, "Whatever goes wrong inside, the caller learns of it by one kind of error.",
             lambda rng: parsed("{'a': 1}"), raises="CheckpointError"),
        Case("lists in lists in lists", 1, "A thousand brackets are a small file and a large stack.", hidden=True,
             draw=lambda rng: parsed("[" * 101 + "]" * 101), raises="CheckpointError"),
        Case("brackets without end", 1, "The reader itself gives up, with an error of its own.", hidden=True,
             draw=lambda rng: parsed("[" * 100_000), raises="CheckpointError"),
        Case("a hundred are allowed", 1, "A limit means up to the limit.", hidden=True,
             draw=lambda rng: parsed("[" * 100 + "]" * 100)),
        Case("twice, deep inside", 1, "Objects in objects have names too.", hidden=True,
             draw=lambda rng: parsed('[[{"a": {"b": 1, "c": 2, "b": 1}}]]'), raises="CheckpointError"),
        Case("minus infinity", 1, "There are three such words.", hidden=True,
             draw=lambda rng: parsed("[-Infinity]"), raises="CheckpointError"),
        Case("bytes that are no letters", 1, "A damaged file need not be text.", hidden=True, raises="CheckpointError",
             draw=lambda rng: Script().given(file=np.array([91, 34, 255, 34, 93], np.uint8)).call("file.tobytes", name="data", keep=False)
             .call("strict_json", Ref("data"))),
    ),
    hints=(
        "`json.loads` will call functions of yours while it reads: for every object, every number with a point, and every word that is not JSON. Look at its arguments.",
        "`object_pairs_hook` gets a list of pairs: compare its length with that of the dict. `parse_float` and `parse_constant` get the text. "
        "Raise ValueError in them, and turn ValueError (UnicodeDecodeError is one) into CheckpointError around all of it; a RecursionError, and a `depth_of` above the limit, too.",
        "Section *The readable form* of {ref}`ch-saving`, the paragraph above the code.",
    ),
    mutants=(
        Mutant("the last one wins", ("        if len(dict(pairs)) != len(pairs):\n            raise ValueError(\"a name twice in one object\")\n", ""), "a name twice", 1),
        Mutant("NaN is a number", (",\n                           parse_constant=finite)", ")"), "NaN", 1),
        Mutant("infinity by the back door", ("parse_float=finite,", "parse_float=float,"), "a number beyond all numbers", 1),
        Mutant("errors as they come", ("except ValueError as error:", "except ZeroDivisionError as error:"), "no JSON at all", 1),
        Mutant("as deep as you like", ("        if depth_of(found) > DEPTH_LIMIT:\n            raise RecursionError\n", ""), "lists in lists in lists", 1),
        Mutant("one less deep", ("depth_of(found) > DEPTH_LIMIT", "depth_of(found) >= DEPTH_LIMIT"), "a hundred are allowed", 1),
        Mutant("the reader's own surrender", ("    except RecursionError:\n", "    except ZeroDivisionError:\n"), "brackets without end", 1),
        Mutant("damaged letters replaced", ("data.decode()", "data.decode(errors=\"replace\")"), "bytes that are no letters", 1),
    ),
)

PACK = Exercise(
    name="pack", kind="build", target="pack", difficulty=2, minutes=45,
    cases=(
        Case("one tensor", 2, "The length, the header, the blanks, the numbers: eight bytes, then as many as these say.",
             lambda rng: in_words("pack", {}, {"W": np.array([[2.0, -1.0], [1.0, -1.0]], np.float32)})),
        Case("a text, two tensors", 1, "Each tensor begins where the one before it ends, counted from the end of the header.",
             lambda rng: in_words("pack", {"made by": "hand"}, {"a": np.array([1.0, 0.5], np.float32), "b": np.array([[-0.0]], np.float32)})),
        Case("eight bytes before four", 1, "Every number lies at a multiple of its own size, and programs need not copy it.",
             lambda rng: in_words("pack", {}, {"a": np.array([1.0], np.float32), "n": np.array([3, -1]), "c": np.array([0.25])})),
        Case("numbers of half precision", 1, "What the reader refuses should not be written.",
             lambda rng: call("pack", {}, {"a": np.zeros(2, np.float16)}), raises="CheckpointError"),
        Case("names of many lengths", 2, "The header is filled up to a multiple of eight, with blanks, whatever its length.", hidden=True,
             draw=lambda rng: Script().call("pack", {}, {"x" * 1: numbers(rng, 2, 3)}, name="a", keep=False).call("a.__repr__")
             .call("pack", {"n": "1"}, {"x" * 4: numbers(rng, 2, 3, dtype=np.float32)}, name="b", keep=False).call("b.__repr__")
             .call("pack", {"note": "späte Stunde"}, {"x" * 7: numbers(rng, 5)}, name="c", keep=False).call("c.__repr__")),
        Case("turned tables, empty ones, single numbers", 1, "Row after row, however NumPy keeps them in memory.", hidden=True,
             draw=lambda rng: in_words("pack", {"t": ""}, {"T": np.asfortranarray(numbers(rng, 2, 3)), "e": np.zeros((0, 3), np.float32), "s": np.array(7)})),
        Case("nothing in it", 1, "A file without tensors is a file.", hidden=True, draw=lambda rng: in_words("pack", {}, {})),
    ),
    hints=(
        "Write the file for one tensor of four numbers by hand, on paper with boxes for bytes.",
        "Sort by the size of a number, large ones first, names otherwise in their order. `tensor_entry` begins an entry; add `data_offsets`. "
        "`json.dumps` with `separators=(\",\", \":\")`, blanks up to a multiple of eight, the length as `to_bytes(8, \"little\")` of the filled header.",
        "Section *The compact form* of {ref}`ch-saving`, the list of three, and {numref}`fig-saving-bytes`.",
    ),
    mutants=(
        Mutant("the large end first", ("(8, \"little\")", "(8, \"big\")"), "one tensor", 1),
        Mutant("the header as long as it is", ("    header += b\" \" * (-len(header) % 8)\n", ""), "one tensor", 1),
        Mutant("filled with zeros", ("b\" \" * (", "b\"\\0\" * ("), "one tensor", 1),
        Mutant("counted from the start of the file", ("\"data_offsets\": [start, end]", "\"data_offsets\": [start + 8, end + 8]"), "one tensor", 2),
        Mutant("in the order given", ("sorted(tensors.items(), key=lambda pair: -pair[1].itemsize)", "tensors.items()"), "eight bytes before four", 1),
        Mutant("small numbers first", ("-pair[1].itemsize", "pair[1].itemsize"), "eight bytes before four", 1),
        Mutant("an empty text", ("{\"__metadata__\": texts} if texts else {}", "{\"__metadata__\": texts}"), "one tensor", 2),
        Mutant("column after column", (".tobytes())", ".tobytes(\"F\"))"), "one tensor", 2),
        Mutant("as it lies in memory", (".tobytes())", ".tobytes(\"A\"))"), "turned tables, empty ones, single numbers", 2),
    ),
)

UNPACK = Exercise(
    name="unpack", kind="build", target="unpack", also=("check_table",), difficulty=4, minutes=90,
    cases=(
        Case("one tensor, read", 1, "Rows first, as they were written.",
             lambda rng: opened(file_of({"__metadata__": {"by": "hand"}, "W": entry("F32", [2, 3], 0, 24)}, np.arange(6, dtype="<f4")))),
        Case("bytes in another order than names", 2, "The header says where things are; nothing says that it says so in order.",
             lambda rng: opened(file_of({"b": entry("F32", [2], 8, 16), "a": entry("F64", [1], 0, 8), "n": entry("I64", [1, 1], 16, 24)},
                                        np.array([0.5], "<f8"), np.array([1, 2], "<f4"), np.array([-3], "<i8")))),
        Case("cut off", 1, "An interrupted download must not become a network.", raises="CheckpointError",
             draw=lambda rng: opened(file_of({"a": entry("F32", [4], 0, 16)}, np.ones(3, "<f4")))),
        Case("the same bytes twice", 1, "Two tensors that share numbers were made by somebody who wants something.", raises="CheckpointError",
             draw=lambda rng: opened(file_of({"a": entry("F32", [2], 0, 8), "b": entry("F32", [2], 0, 8)}, np.ones(2, "<f4")))),
        Case("the types, too", 1, "A reader that widens everything needs twice the memory.", hidden=True,
             draw=lambda rng: opened(file_of({"a": entry("F32", [2], 0, 8), "b": entry("F64", [1, 2], 8, 24), "c": entry("I64", [1], 24, 32)},
                                             np.array([1, 2.5], "<f4"), np.array([0.1, 3], "<f8"), np.array([2**60], "<i8")), words=True)),
        Case("a hole between two", 2, "Bytes that no tensor owns are a place to hide something.", hidden=True, raises="CheckpointError",
             draw=lambda rng: opened(file_of({"a": entry("F32", [2], 0, 8), "b": entry("F32", [1], 12, 16)}, np.ones(4, "<f4")))),
        Case("bytes behind the last", 1, "The same, at the end.", hidden=True, raises="CheckpointError",
             draw=lambda rng: opened(file_of({"a": entry("F32", [2], 0, 8)}, np.ones(2, "<f4"), more=b"boo"))),
        Case("a trillion numbers", 1, "The claim is refused before anybody asks for the memory.", hidden=True, raises="CheckpointError",
             draw=lambda rng: opened(file_of({"a": entry("F64", [10**6, 10**6], 0, 8 * 10**12)}, np.ones(2, "<f8")))),
        Case("a shape that does not fit its bytes", 1, "Two of the three numbers in an entry may agree, and the third be a lie.", hidden=True,
             raises="CheckpointError", draw=lambda rng: opened(file_of({"a": entry("F64", [2], 0, 8), "b": entry("F32", [2], 8, 16)}, np.ones(2, "<f8")))),
        Case("places that are no whole numbers", 1, "0.0 is equal to 0, and is not a place.", hidden=True, raises="CheckpointError",
             draw=lambda rng: opened(file_of({"a": entry("F32", [2], 0.0, 8.0)}, np.ones(2, "<f4")))),
        Case("notes that are no texts", 1, "Whoever prints them relies on it.", hidden=True, raises="CheckpointError",
             draw=lambda rng: opened(file_of({"__metadata__": {"by": ["hand"]}, "a": entry("F32", [1], 0, 4)}, np.ones(1, "<f4")))),
        Case("empty tables and single numbers", 1, "No axes is a shape, and so is none of three.", hidden=True,
             draw=lambda rng: opened(file_of({"e": entry("F32", [0, 3], 0, 0), "s": entry("F64", [], 0, 8)}, np.array(4.5, "<f8")))),
    ),
    hints=(
        "Trust nothing. For each number in the header: what if it is wrong? Which check notices?",
        "`read_table` gives the header and how many bytes follow. For each tensor `check_entry`, and two whole numbers as offsets. Sorted by offsets, each must begin where the one "
        "before ended, and end as many bytes later as its shape and type need; the last one ends with the file. Only then make arrays: "
        "`np.ndarray(shape, dtype, data, offset)` reads at a place, `astype` makes a copy in the machine's own byte order.",
        "Section *The compact form* of {ref}`ch-saving`, from *Reading asks for more care than writing*.",
    ),
    mutants=(
        Mutant("in the header's order", ("sorted(found, key=lambda place: place[0])", "found"), "bytes in another order than names", 1),
        Mutant("counts from the start of the file", ("len(data) - room + start", "8 + start"), "one tensor, read", 1),
        Mutant("four bytes a number", ("math.prod(shape) * dtype.itemsize", "math.prod(shape) * 4"), "bytes in another order than names", 1),
        Mutant("column after column", ("data, len(data) - room + start)", "data, len(data) - room + start, order=\"F\")"), "one tensor, read", 1),
        Mutant("holes allowed", ("        if offsets != [start, end]:", "        start, end = (offsets[0], offsets[1]) if offsets[0] >= start else (start, end)\n        if offsets != [start, end]:"),
               "a hole between two", 1),
        Mutant("the end not looked at", ("    if end != room:", "    if end > room:"), "bytes behind the last", 1),
        Mutant("the shape believed", ("        if offsets != [start, end]:", "        end = offsets[1]\n        if offsets[0] != start:"),
               "a shape that does not fit its bytes", 1),
        Mutant("any numbers as places", (" or [type(n) for n in offsets] != [int, int]", ""), "places that are no whole numbers", 1),
        Mutant("any notes", (" or any(type(t) is not str for t in texts.values())", ""), "notes that are no texts", 0),
        Mutant("all in double precision", ("view.astype(dtype.newbyteorder(\"=\"))", "view.astype(np.float64)"), "the types, too", 1),
    ),
)

DIGEST = Exercise(
    name="digest", kind="build", target="digest", difficulty=2, minutes=20,
    cases=(
        Case("one tensor's digest", 1, "Sixty-four digits that anyone can compute again.",
             lambda rng: call("digest", {"made by": "hand"}, {"b": np.array([1.0, 0.0], np.float32)})),
        Case("the order of names", 2, "A dict that was filled in another order holds the same.",
             lambda rng: Script().call("digest", {"b": 1, "a": [2, None]}, {"y": np.array([2.0]), "x": np.array([1.0])})
             .call("digest", {"a": [2, None], "b": 1}, {"x": np.array([1.0]), "y": np.array([2.0])})),
        Case("the same bytes, another shape", 1, "A square of four numbers and a column of four are different tensors.",
             lambda rng: Script().call("digest", {}, {"W": np.ones((2, 2), np.float32)}).call("digest", {}, {"W": np.ones((4, 1), np.float32)})),
        Case("types, turned tables, nested headers", 2, "The content counts, not how it lies in memory.", hidden=True,
             draw=lambda rng: call("digest", {"z": {"b": "ä", "a": 1.5}, "network": {"layers": [{"Dense": {"units": 3}}]}},
                                   {"n": np.array([[1, -2]]), "T": np.asfortranarray(numbers(rng, 3, 2)), "s": numbers(rng, 4, dtype=np.float32)})),
        Case("nothing at all", 1, "An empty header has a digest too.", hidden=True, draw=lambda rng: call("digest", {}, {})),
        Case("names exchanged", 1, "Weights that have changed places are other weights.", hidden=True,
             draw=lambda rng: Script().call("digest", {}, {"a": np.array([1.0]), "b": np.array([2.0])})
             .call("digest", {}, {"b": np.array([1.0]), "a": np.array([2.0])})),
    ),
    hints=(
        "What is part of the content, and what is an accident of this machine, this file, this afternoon?",
        "SHA-256 of the header as JSON with sorted names and without blanks; then, names sorted, for each tensor the JSON of [name, `tensor_entry`] and its "
        "numbers as little-endian bytes of the type in `TENSOR_TYPES`. `update` goes on, `hexdigest` ends.",
        "Section *A fingerprint* of {ref}`ch-saving`, the paragraph behind the code.",
    ),
    mutants=(
        Mutant("in the order given", ("in sorted(tensors)", "in tensors"), "the order of names", 1),
        Mutant("the header in its order", ("sort_keys=True, ", ""), "the order of names", 1),
        Mutant("with blanks", ("separators=(\",\", \":\")", "separators=(\", \", \": \")"), "one tensor's digest", 1),
        Mutant("shapes do not count", ("text([name, entry])", "text([name, entry[\"dtype\"]])"), "the same bytes, another shape", 1),
        Mutant("names do not count", ("text([name, entry])", "text(entry)"), "one tensor's digest", 1),
        Mutant("as it lies in memory", (".tobytes())", ".tobytes(\"A\"))"), "types, turned tables, nested headers", 0),
    ),
)

SIGNATURE = Exercise(
    name="signature", kind="further", target="signature", difficulty=2, minutes=30,
    text="""Whoever changes a weight can compute a new digest. Nobody can who would need a *secret* for it (exercise 5, *A signature*). Putting the secret in front of the message and
taking SHA-256 looks safe and is not: who knows the result can append to the message and go on computing. The remedy is *HMAC*: with $K$ the key filled up with zero
bytes to 64, and $\\oplus$ the exclusive or with one byte, again and again,

$$
\\mathrm{HMAC} = H\\bigl((K\\oplus \\mathtt{5c})\\;\\|\\;H((K\\oplus \\mathtt{36})\\;\\|\\;\\text{message})\\bigr),
$$

where $H$ is SHA-256 and $\\|$ puts bytes behind each other. A key of more than 64 bytes is replaced by its SHA-256 first. Write it with `hashlib` alone. Then sign a checkpoint's digest. (In earnest one takes
Python's `hmac`, and compares with `hmac.compare_digest`. Why not with `==`?)""",
    stub='''def signature(message, key):
    """HMAC with SHA-256.

    Parameters
    ----------
    message, key : str
        Taken as bytes in UTF-8.

    Returns
    -------
    str
        64 hexadecimal digits.
    """
''',
    solution='''def signature(message, key):
    """HMAC with SHA-256."""
    secret = key.encode()
    if len(secret) > 64:
        secret = hashlib.sha256(secret).digest()
    secret = secret.ljust(64, b"\\0")
    inner = hashlib.sha256(bytes(k ^ 0x36 for k in secret) + message.encode()).digest()
    return hashlib.sha256(bytes(k ^ 0x5C for k in secret) + inner).hexdigest()
''',
    expected=signature,
    cases=(
        Case("a published example", 2, "Here the key is *Jefe*, and others have computed it before.",
             lambda rng: call("signature", "what do ya want for nothing?", "Jefe")),
        Case("no message, no key", 1, "Sixty-four zero bytes are a key as well.", lambda rng: call("signature", "", "")),
        Case("a long key", 2, "A sentence as a key is easier to remember.", hidden=True,
             draw=lambda rng: call("signature", "Hi There", "once upon a time there was a network that " * 3)),
        Case("exactly sixty-four", 1, "More than sixty-four is more than sixty-four.", hidden=True, draw=lambda rng: call("signature", "a", "k" * 64)),
        Case("letters of two bytes", 1, "A key is as long as its bytes, not as its letters.", hidden=True,
             draw=lambda rng: call("signature", "Grüße", "ü" * 40)),
    ),
    hints=(
        "Follow the formula from the inside to the outside, in bytes; digits come only at the very end.",
        "`bytes(k ^ 0x36 for k in secret)` is the exclusive or with one byte. `digest()` returns bytes, `hexdigest()` text: the inner one must be bytes.",
        "Section *A fingerprint* of {ref}`ch-saving`, its end. The standard is RFC 2104, the published example in RFC 4231.",
    ),
    mutants=(
        Mutant("the inner digest as text", ("message.encode()).digest()", "message.encode()).hexdigest().encode()"), "a published example", 1),
        Mutant("the two bytes exchanged", ("(k ^ 0x36 for k in secret) + message.encode()).digest()\n    return hashlib.sha256(bytes(k ^ 0x5C",
               "(k ^ 0x5C for k in secret) + message.encode()).digest()\n    return hashlib.sha256(bytes(k ^ 0x36"), "a published example", 0),
        Mutant("not filled up", ("    secret = secret.ljust(64, b\"\\0\")\n", ""), "a published example", 0),
        Mutant("once is enough", ("return hashlib.sha256(bytes(k ^ 0x5C for k in secret) + inner).hexdigest()", "return inner.hex()"), "no message, no key", 0),
        Mutant("a long key cut off", ("hashlib.sha256(secret).digest()", "secret[:64]"), "a long key", 0),
        Mutant("hashed at sixty-four", ("len(secret) > 64", "len(secret) >= 64"), "exactly sixty-four", 0),
        Mutant("letters counted", ("len(secret) > 64", "len(key) > 64"), "letters of two bytes", 1),
    ),
)

CHANGES = Exercise(
    name="changes", kind="further", target="changes", difficulty=1, minutes=15,
    text="""Two checkpoints of one run, or of two runs that should have been equal: where do they differ? Write what every such search begins with. Tensors come as
`unpack` returns them.""",
    stub='''def changes(old, new):
    """Where two files' tensors differ.

    Parameters
    ----------
    old, new : dict of str to ndarray of float32, float64 or int64
        Of finite numbers.

    Returns
    -------
    dict
        Name to "gone" (only in old), "new" (only in new), "another shape", "another
        type" (of the same shape), or the largest difference of two numbers in the same
        place, a float. Tensors whose numbers are all equal are left out.
    """
''',
    solution='''def changes(old, new):
    """Where two files' tensors differ."""
    found = {name: "gone" for name in old.keys() - new.keys()}
    found.update({name: "new" for name in new.keys() - old.keys()})
    for name in old.keys() & new.keys():
        a, b = old[name], new[name]
        if a.shape != b.shape:
            found[name] = "another shape"
        elif a.dtype != b.dtype:
            found[name] = "another type"
        elif not np.array_equal(a, b):
            found[name] = float(np.abs(a.astype(np.float64) - b).max())
    return found
''',
    expected=changes,
    cases=(
        Case("one weight moved", 1, "After one step of training every tensor should be in this list.",
             lambda rng: call("changes", {"W": np.array([[1.0, 2.0], [3.0, 4.0]]), "b": np.ones(2)}, {"W": np.array([[1.0, 2.5], [2.2, 4.0]]), "b": np.ones(2)})),
        Case("come and gone", 1, "A layer that was added shows by its names.",
             lambda rng: call("changes", {"a": np.ones(1), "c": np.ones(1)}, {"a": np.ones(1), "b": np.ones(2)})),
        Case("shape before type", 1, "NumPy would compare a row with a table, by stretching it.",
             lambda rng: call("changes", {"a": np.ones((1, 2)), "b": np.ones(2), "c": np.ones((2, 1), np.float32)},
                              {"a": np.ones((2, 2)), "b": np.ones(2, np.float32), "c": np.ones((1, 2))})),
        Case("as far apart as can be", 1, "The difference of two float32 numbers may be none.", hidden=True,
             draw=lambda rng: call("changes", {"a": np.array([3e38, 1], np.float32)}, {"a": np.array([-3e38, 1], np.float32)})),
        Case("empty tensors, whole numbers", 1, "Nothing has no largest difference.", hidden=True,
             draw=lambda rng: call("changes", {"e": np.zeros((0, 2)), "n": np.array([1, 2, 3]), "s": np.array(1.0)},
                                   {"e": np.zeros((0, 2)), "n": np.array([1, -4, 3]), "s": np.array(1.0)})),
        Case("two runs, drawn", 1, "Downwards counts as much as upwards.", hidden=True,
             draw=lambda rng: (lambda a, b: call("changes", a, b))(*({name: numbers(rng, 3, 4) for name in "xyz"} for _ in range(2)))),
    ),
    hints=(
        "Which three groups of names are there?",
        "Sets of names: `old.keys() - new.keys()` and so on. For those in both compare shape, then dtype, then numbers; take differences in double precision.",
        "Section *Everything in its place* of {ref}`ch-saving`: `fill` asks the same questions, to refuse.",
    ),
    mutants=(
        Mutant("the largest of the old", ("new[name]\n        if a.shape", "new[name] * 0 + old[name]\n        if a.shape"), "one weight moved", 1),
        Mutant("upwards only", ("np.abs(a.astype(np.float64) - b).max()", "(b.astype(np.float64) - a).max()"), "one weight moved", 1),
        Mutant("in its own precision", ("a.astype(np.float64) - b", "a - b"), "as far apart as can be", 1),
        Mutant("equal ones are listed", ("elif not np.array_equal(a, b):", "else:"), "one weight moved", 0),
        Mutant("gone and new exchanged", ("\"gone\" for name in old.keys() - new.keys()", "\"gone\" for name in new.keys() - old.keys()"), "come and gone", 0),
        Mutant("type before shape", ("        if a.shape != b.shape:\n            found[name] = \"another shape\"\n        elif a.dtype != b.dtype:\n            found[name] = \"another type\"\n",
               "        if a.dtype != b.dtype:\n            found[name] = \"another type\"\n        elif a.shape != b.shape:\n            found[name] = \"another shape\"\n"),
               "shape before type", 1),
    ),
)

BFLOAT16 = Exercise(
    name="to_bfloat16", kind="further", target="to_bfloat16", difficulty=3, minutes=60,
    text="""Files of large networks mostly hold *bfloat16*: a float32 of which only the upper sixteen bits are kept, sign, exponent and seven bits of the fraction. NumPy does not know it, but a uint16 holds
the bits. Simply cutting off the lower half rounds towards zero, and all weights shrink a little. Round to the *nearest* bfloat16, and where two are equally near to
the one whose last bit is 0. (The way back is one line: the bits, shifted by 16, viewed as float32.) Then make the weights of a trained network shorter like this. How many test digits
change their answer?""",
    stub='''def to_bfloat16(array):
    """Round float32 numbers to bfloat16; of two equally near ones, to the even one.

    Parameters
    ----------
    array : ndarray of float32
        Beyond the largest bfloat16 they may round to infinity; infinity stays, and of
        NaN becomes the NaN with the bits 0x7fc0.

    Returns
    -------
    ndarray of uint16, same shape
        The upper sixteen bits.
    """
''',
    solution='''def to_bfloat16(array):
    """Round float32 numbers to bfloat16; of two equally near ones, to the even one."""
    bits = np.ascontiguousarray(array).view(np.uint32).reshape(array.shape)
    last = bits >> 16 & 1
    with np.errstate(over="ignore"):
        rounded = (bits + last + 0x7FFF) >> 16
    return np.where(np.isnan(array), 0x7FC0, rounded).astype(np.uint16)
''',
    expected=to_bfloat16,
    cases=(
        Case("numbers that fit", 1, "One, minus two and a half: nothing is lost.",
             lambda rng: call("to_bfloat16", np.array([[1.0, -2.5], [0.0, 96.0]], np.float32))),
        Case("up and down", 2, "A third is nearer to the one above, a tenth and three tenths are not cut off either.",
             lambda rng: call("to_bfloat16", np.array([1 / 3, 0.1, 0.3, -0.7, 1.001, 3.14159], np.float32))),
        Case("exactly in the middle", 2, "Always upwards, and a sum of many would drift upwards.",
             lambda rng: call("to_bfloat16", np.array([1 + 2.0**-8, 1 + 3 * 2.0**-8, -(1 + 2.0**-8)], np.float32))),
        Case("many, drawn", 2, "All sizes, both signs, two axes.", hidden=True, draw=lambda rng: call("to_bfloat16", single(rng, 6, 9))),
        Case("carried into the exponent", 1, "The next number after 1.99… is 2, in another binade.", hidden=True,
             draw=lambda rng: call("to_bfloat16", np.array([1.999, 255.9, -3.4e38, 1e-40, 1e-45], np.float32))),
        Case("no number, infinity, minus nothing", 1, "A NaN whose lower bits are all ones, plus one, is something else.", hidden=True,
             draw=lambda rng: call("to_bfloat16", np.array([0x7FFFFFFF, 0xFFFFFFFF, 0x7F800001, 0x7F800000, 0xFF800000, 0x80000000], np.uint32).view(np.float32))),
        Case("numbers without axes, and turned", 1, "The shape is that of the array, the bits belong to their places.", hidden=True,
             draw=lambda rng: Script().call("to_bfloat16", single(rng)).call("to_bfloat16", np.asfortranarray(single(rng, 3, 4)))),
    ),
    hints=(
        "View the numbers as uint32. Between two neighbours in bfloat16 there are 65,536 patterns; where is the middle?",
        "Add 0x7FFF, and one more if bit 16 (the last that is kept) is 1, then shift by 16. A carry walks into the exponent, which is as it should be. "
        "NaN must be treated apart.",
        "Section *The compact form* of {ref}`ch-saving`, {eq}`eq-saving-float` and {numref}`fig-saving-bits`.",
    ),
    mutants=(
        Mutant("cut off", ("(bits + last + 0x7FFF) >> 16", "bits >> 16"), "up and down", 0),
        Mutant("always upwards", ("bits + last + 0x7FFF", "bits + 0x8000"), "exactly in the middle", 1),
        Mutant("always downwards", ("bits + last + 0x7FFF", "bits + 0x7FFF"), "exactly in the middle", 1),
        Mutant("to the odd one", ("bits + last + 0x7FFF", "bits + (1 - last) + 0x7FFF"), "exactly in the middle", 1),
        Mutant("NaN as it comes", ("np.where(np.isnan(array), 0x7FC0, rounded)", "rounded"), "no number, infinity, minus nothing", 1),
        Mutant("the lower half", ("0x7FFF) >> 16", "0x7FFF)"), "numbers that fit", 0),
    ),
)

EXERCISES = [TO_DECIMAL, STRICT_JSON, PACK, UNPACK, DIGEST, SIGNATURE, CHANGES, BFLOAT16]

QUESTIONS = [
    Question(
        "We write the decimal with nine digits that is nearest to $x$. The *shortest* decimal that comes back as $x$ may have fewer digits. Why is it safe for us, and possibly "
        "unsafe for the shortest one, when a reader rounds to `float64` first and then to `float32`?",
        "The nine-digit decimal is within a fifth of the way to the middle between $x$ and its neighbour. Rounding it to `float64` moves it in the sixteenth digit, "
        "which is nothing against the four fifths that are left; the second rounding finds $x$. The shortest decimal need only lie on the right side of the middle, "
        "and it may lie as close to it as it likes. If it is nearer to the middle than half a gap of `float64`, the first rounding can put it *exactly* on the "
        "middle, and then the rule for ties decides, without knowing on which side the decimal was: half of the time it takes the neighbour. "
        "Rounding twice is not rounding once. Writers of shortest decimals assume a reader who rounds once, straight to the target."),
    Question(
        "A friend's file has the right digest, loads without complaint, and reads digits badly. List what the digest excludes as a cause, and what it does not. What would you compare first?",
        "If the digest was computed by the writer and you know it from the writer, no bit of the header or the numbers has changed on the way: not the weights, not their names, "
        "shapes, types, nor the layers' settings. If it only stands in the file, accidents are excluded, forgery is not. It says nothing about what is *not* in "
        "the file. The commonest cause is preparation: pixels from 0 to 255 in place of 0 to 1, black on white, an uncentred digit, axes in another order; that is why notes have a place. "
        "Another is code: a layer of the same name that computes something else in another version of the library. And the network may just be bad: a "
        "digest knows nothing about quality. First compare the logits for one given image, stored as 784 bytes, on both machines. If they agree, look at the data."),
    Question(
        "`unpack` checks all offsets before it makes an array, although NumPy would raise an error by itself for most broken files. What is gained?",
        "Three things. *Memory*: a header of a hundred bytes can ask for an array of terabytes, and systems that promise memory before they have it may only notice when it "
        "is filled, by ending the program, which no `except` catches. After the check, no array can be larger than the file. *One kind of error*: a caller can "
        "catch CheckpointError and go on to the next file; without the check it would be ValueError here, TypeError there, OverflowError for shapes beyond 64 bits, and for overlaps or gaps no error "
        "at all. *No second reading*: where two readers of one file can disagree (overlapping tensors, bytes that nobody owns), somebody can show one network to the "
        "program that checks and another to the program that runs. What is refused has no meaning to disagree about."),
]
