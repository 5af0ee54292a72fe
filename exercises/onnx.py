"""The exercises of the chapter on ONNX: bytes read and written, a small runtime, a normalization folded away. NumPy is all they need."""

import math

import numpy as np

from course.classroom.exercise import Case, Exercise, Mutant, Question, Ref, Script, call


# Further exercises bring their own reference: plain Python, floats and loops.

def write_record(fields):
    """Bits first: groups of seven, cut from the end of a text of zeros and ones."""
    def varint(value):
        bits = format(value if value >= 0 else 2**64 + value, "b")
        bits = bits.zfill(-(-len(bits) // 7) * 7)
        groups = [bits[k:k + 7] for k in range(0, len(bits), 7)][::-1]
        return bytes(int(("0" if g is groups[-1] else "1") + g, 2) for g in groups)

    parts = []
    for number, value in fields:
        if isinstance(value, int):
            parts += [varint(number << 3), varint(value)]
        else:
            inner = bytes(value, "utf-8") if isinstance(value, str) else write_record(value)
            parts += [varint(number << 3 | 2), varint(len(inner)), inner]
    return b"".join(parts)


def run_nodes(nodes, values):
    """One number at a time."""
    values = {name: np.asarray(array, float) for name, array in values.items()}
    for operator, inputs, output, settings in nodes:
        values[output] = np.array(OPERATORS[operator](*(values[name] for name in inputs), **settings), float)
    return values[nodes[-1][2]]


def gemm(A, B, C, transB=0):
    """Rows of A, columns (or rows) of B, plus C."""
    B = B.T.tolist() if transB else B.tolist()
    return [[math.fsum([a * B[k][j] for k, a in enumerate(row)]) + float(np.broadcast_to(C, (len(A), len(B[0])))[i, j])
             for j in range(len(B[0]))] for i, row in enumerate(A.tolist())]


def places(x, kernel, strides, pads):
    """Every (n, r, c) with the (i, j, y, x) of the pixels that a window there sees."""
    height, width = x.shape[2:]
    down = (height + pads[0] + pads[2] - kernel[0]) // strides[0] + 1
    across = (width + pads[1] + pads[3] - kernel[1]) // strides[1] + 1
    for n, r, c in np.ndindex(len(x), down, across):
        seen = [(i, j, r * strides[0] + i - pads[0], c * strides[1] + j - pads[1]) for i in range(kernel[0]) for j in range(kernel[1])]
        yield (n, r, c), [(i, j, y, z) for i, j, y, z in seen if 0 <= y < height and 0 <= z < width]


def conv(x, W, b=None, strides=(1, 1), pads=(0, 0, 0, 0)):
    """The sum itself."""
    found = {}
    for (n, r, c), seen in places(x, W.shape[2:], strides, pads):
        for f in range(len(W)):
            terms = [float(x[n, k, y, z]) * float(W[f, k, i, j]) for k in range(x.shape[1]) for i, j, y, z in seen]
            found[n, f, r, c] = math.fsum([*terms, 0.0 if b is None else float(b[f])])
    return table(found)


def max_pool(x, kernel_shape, strides=(1, 1), pads=(0, 0, 0, 0)):
    """The largest of those that are there."""
    return table({(n, k, r, c): max(float(x[n, k, y, z]) for _, _, y, z in seen)
                  for (n, r, c), seen in places(x, kernel_shape, strides, pads) for k in range(x.shape[1])})


def table(found):
    """An array from its numbers by index."""
    result = np.zeros([1 + max(index[a] for index in found) for a in range(4)])
    for index, number in found.items():
        result[index] = number
    return result


def softmax_rows(x):
    """The largest is taken out first."""
    rows = [[math.exp(v - max(row)) for v in row] for row in x.tolist()]
    return [[v / math.fsum(row) for v in row] for row in rows]


OPERATORS = {
    "Gemm": gemm, "Conv": conv, "MaxPool": max_pool, "Softmax": softmax_rows,
    "Relu": lambda x: np.where(x > 0, x, 0), "Flatten": lambda x: [np.ravel(sample).tolist() for sample in x],
    "Sum": lambda *terms: sum(terms[1:], terms[0])}


def fold_norm(W, b, gamma, beta, mean, var, eps=1e-5):
    """Filter by filter."""
    folded, bias = np.zeros(np.shape(W)), np.zeros((len(W), 1))
    for f in range(len(W)):
        factor = float(gamma[f, 0]) / math.sqrt(float(var[f, 0]) + eps)
        for index in np.ndindex(np.shape(W)[1:]):
            folded[(f, *index)] = factor * float(W[(f, *index)])
        before = 0.0 if b is None else float(b[f, 0])
        bias[f, 0] = factor * (before - float(mean[f, 0])) + float(beta[f, 0])
    return folded, bias


def from_channels_last(kernels, W, shape):
    """Number by number, by the formulas for their places."""
    (kh, kw, channels, filters), (C, H, B) = np.shape(kernels), shape
    ours, dense = np.zeros((filters, channels, kh, kw)), np.zeros((np.shape(W)[1], C * H * B))
    for i, j, c, f in np.ndindex(np.shape(kernels)):
        ours[f, c, i, j] = float(kernels[i, j, c, f])
    for c, h, w in np.ndindex(C, H, B):
        for u in range(len(dense)):
            dense[u, (c * H + h) * B + w] = float(W[(h * B + w) * C + c, u])
    return ours, dense


# What is drawn. Bytes are arrays, so that students see them when a case fails.

def of_bytes(path, data, *args):
    """A call with bytes."""
    return (Script().given(bytes=np.array(list(data), np.uint8)).call("bytes.tobytes", name="data", keep=False)
            .call(path, Ref("data"), *args))


def fields_of(data):
    """read_fields, as Python writes its result."""
    script = of_bytes("read_fields", data)
    last = script.steps[-1]
    script.steps[-1] = type(last)(last.do, last.path, last.args, last.kwargs, "fields", last.times, False)
    return script.call("fields.__repr__")


def written(fields):
    """write_record, its bytes in hexadecimal."""
    return call("write_record", fields, name="data", keep=False).call("data.hex", " ")


def numbers(rng, *shape, dtype=np.float64):
    """Random numbers."""
    return rng.normal(size=shape).astype(dtype)


def normalized(rng, *shape, bias=True, dtype=np.float64):
    """fold_norm for random numbers."""
    columns = [numbers(rng, shape[0], 1, dtype=dtype) for _ in range(4)]
    var = rng.uniform(0.2, 3.0, (shape[0], 1)).astype(dtype)
    b, gamma, beta, mean = columns
    return call("fold_norm", numbers(rng, *shape, dtype=dtype), b if bias else None, gamma, beta, mean, var)


def dense_graph(rng, batch, inputs, hidden, outputs):
    """Two dense layers with a ReLU between and a softmax behind."""
    nodes = [("Gemm", ["images", "W1", "b1"], "z", {"transB": 1}), ("Relu", ["z"], "h", {}),
             ("Gemm", ["h", "W2", "b2"], "logits", {"transB": 1}), ("Softmax", ["logits"], "p", {})]
    return call("run_nodes", nodes, {"images": numbers(rng, batch, inputs), "W1": numbers(rng, hidden, inputs), "b1": numbers(rng, hidden),
                                     "W2": numbers(rng, outputs, hidden), "b2": numbers(rng, outputs)})


def image_graph(rng, dtype=np.float64):
    """A convolution, ReLU, pooling, a dense layer: a reader of digits, very small."""
    nodes = [("Conv", ["images", "K", "k"], "c", {"strides": [2, 1], "pads": [1, 0, 2, 1]}), ("Relu", ["c"], "r", {}),
             ("MaxPool", ["r"], "m", {"kernel_shape": [2, 3], "strides": [1, 2]}), ("Flatten", ["m"], "f", {}),
             ("Gemm", ["f", "W", "b"], "logits", {"transB": 1})]
    shapes = {"images": (2, 2, 6, 7), "K": (3, 2, 3, 2), "k": (3,), "W": (4, 3 * 3 * 3), "b": (4,)}
    return call("run_nodes", nodes, {name: numbers(rng, *shape, dtype=dtype) for name, shape in shapes.items()})


def one_node(operator, settings, *arrays):
    """A graph of a single node."""
    names = [f"x{k}" for k in range(len(arrays))]
    return call("run_nodes", [(operator, names, "y", settings)], dict(zip(names, arrays)))


ONNX_PADS = Exercise(
    name="onnx_pads", kind="build", target="onnx_pads", difficulty=1, minutes=3,
    cases=(
        Case("four different numbers", 1, "With equal ones nobody sees the difference, until somebody uses \"same\" and an even kernel.",
             lambda rng: call("onnx_pads", ((1, 2), (3, 4)))),
        Case("at the end only", 1, "This is what an odd pixel of \"same\" looks like.", lambda rng: call("onnx_pads", ((0, 1), (0, 1)))),
        Case("drawn", 1, "Any four.", hidden=True,
             draw=lambda rng: Script().call("onnx_pads", tuple((int(a), int(b)) for a, b in rng.integers(0, 20, (2, 2))))
             .call("onnx_pads", tuple((int(a), int(b)) for a, b in rng.integers(0, 20, (2, 2))))),
        Case("lists in place of tuples", 1, "A file of JSON knows lists only.", hidden=True, draw=lambda rng: call("onnx_pads", [[5, 0], [7, 2]])),
    ),
    hints=(
        "Beginnings before ends. Which two of the four are beginnings?",
        "A pair for down, a pair for across: first the first of each, then the second of each. `zip(*pairs)` regroups.",
        "Section *Windows* of {ref}`ch-onnx`, its first paragraph.",
    ),
    mutants=(
        Mutant("in our order", ("return [*before, *after]", "return [*padding[0], *padding[1]]"), "four different numbers", 0),
        Mutant("ends first", ("return [*before, *after]", "return [*after, *before]"), "four different numbers", 0),
        Mutant("across before down", ("return [*before, *after]", "return [*before[::-1], *after[::-1]]"), "four different numbers", 1),
        Mutant("as if both sides were equal", ("return [*before, *after]", "return [*before, *before]"), "at the end only", 0),
    ),
)

READ_VARINT = Exercise(
    name="read_varint", kind="build", target="read_varint", difficulty=2, minutes=20,
    cases=(
        Case("one byte", 1, "Most lengths in a file fit into one.",
             lambda rng: of_bytes("read_varint", [7])),
        Case("three hundred", 2, "The lowest seven bits come first.", lambda rng: of_bytes("read_varint", [172, 2])),
        Case("in the midst of others", 1, "A number is read where the last thing ended.", lambda rng: of_bytes("read_varint", [8, 7, 229, 142, 38, 18], 2)),
        Case("cut off", 1, "The last byte promises more, and there is nothing.", lambda rng: of_bytes("read_varint", [172, 130]), raises="ValueError"),
        Case("sixty-four bits", 1, "A negative number is written as its 64 bits: ten bytes.", hidden=True,
             draw=lambda rng: of_bytes("read_varint", [254, *[255] * 8, 1, 99])),
        Case("many bytes that promise more", 1, "Eleven bytes are no number but damage.", hidden=True, raises="ValueError",
             draw=lambda rng: of_bytes("read_varint", [128] * 10 + [1])),
        Case("random numbers", 1, "Zeros in the middle must not end anything.", hidden=True,
             draw=lambda rng: of_bytes("read_varint", [0, 128, 128, *rng.integers(128, 256, 3).tolist(), 1, 5], 1)),
        Case("behind the end", 1, "A number of no bytes is no number.", hidden=True, raises="ValueError",
             draw=lambda rng: of_bytes("read_varint", [1, 2], 2)),
    ),
    hints=(
        "Write 300 in binary and cut it, from the right, into groups of seven.",
        "Byte i contributes its lower seven bits, moved up by 7 i. A byte below 128 is the last. Look at ten bytes at most; if none of them was the last, raise.",
        "Section *Byte by byte* of {ref}`ch-onnx`, the paragraph above the code.",
    ),
    mutants=(
        Mutant("the highest first", ("value |= (byte & 127) << 7 * i", "value = value << 7 | byte & 127"), "three hundred", 0),
        Mutant("eight bits a byte", ("<< 7 * i", "<< 8 * i"), "three hundred", 0),
        Mutant("the flag counts", ("(byte & 127)", "byte"), "three hundred", 1),
        Mutant("ends counted from the number's start", ("return value, start + i + 1", "return value, i + 1"), "in the midst of others", 2),
        Mutant("ends on its last byte", ("return value, start + i + 1", "return value, start + i"), "one byte", 2),
        Mutant("as long as you like", ("data[start:start + 10]", "data[start:]"), "many bytes that promise more", 1),
        Mutant("what there is will do", ('raise ValueError(f"expected a number at byte {start}, got one that does not end")', "return value, len(data)"), "cut off", 1),
    ),
)

READ_FIELDS = Exercise(
    name="read_fields", kind="build", target="read_fields", difficulty=3, minutes=45,
    cases=(
        Case("the first ten bytes", 2, "Field 1 is a number, field 2 a text: every ONNX file begins about like this.",
             lambda rng: fields_of(bytes.fromhex("0807 1205 6e6e6c6962"))),
        Case("eight bytes, four bytes", 1, "Doubles and floats have lengths that need not be said.",
             lambda rng: fields_of(bytes([9, 1, 2, 3, 4, 5, 6, 7, 8, 21, 1, 2, 3, 4, 8, 1]))),
        Case("cut off in a text", 1, "Python's slices forgive everything; a reader must not.",
             lambda rng: fields_of(bytes.fromhex("0807 1205 6e6e6c")), raises="ValueError"),
        Case("a large field number", 1, "The tag is a varint, too: from field 16 on it needs two bytes.", hidden=True,
             draw=lambda rng: fields_of(bytes([130, 1, 2, 65, 66, 136, 125, 172, 2]))),
        Case("the same field again, empty ones, nothing", 1, "A field may come often, hold nothing, or not come at all.", hidden=True,
             draw=lambda rng: fields_of(bytes([18, 0, 18, 1, 97, 18, 0, 8, 0]))),
        Case("a long text", 1, "A length above 127 has two bytes.", hidden=True, draw=lambda rng: fields_of(bytes([34, 200, 1, *b"x" * 200, 24, 5]))),
        Case("an unknown kind", 1, "Kinds 3 and 4 were given up long ago, 6 and 7 never were.", hidden=True, raises="ValueError",
             draw=lambda rng: fields_of(bytes([8, 1, 15, 1]))),
        Case("field zero", 1, "There is none; whoever finds it is reading something else.", hidden=True, raises="ValueError",
             draw=lambda rng: fields_of(bytes([8, 1, 2, 1, 65]))),
        Case("cut off in four bytes", 1, "They, too, must all be there.", hidden=True, raises="ValueError", draw=lambda rng: fields_of(bytes([21, 1, 2, 3]))),
    ),
    hints=(
        "Read the ten bytes of the chapter aloud, with a finger on the page. What do you need to remember from byte to byte?",
        "A place in the data. `read_varint` gives a tag and the next place; divide by eight: quotient the number, remainder the kind. A varint for kinds 0 and 2; for 1, 2 and 5 a slice, "
        "whose length is 8, the varint, or 4. Then compare the place with the length of the data.",
        "Section *Byte by byte* of {ref}`ch-onnx`, from *Each field begins with a varint that holds two things*.",
    ),
    mutants=(
        Mutant("number and kind exchanged", ("number, kind = divmod(tag, 8)", "kind, number = divmod(tag, 8)"), "the first ten bytes", 1),
        Mutant("four and eight exchanged", ("{1: 8, 5: 4}", "{1: 4, 5: 8}"), "eight bytes, four bytes", 1),
        Mutant("a tag is one byte", ("start, (tag, place) = place, read_varint(data, place)", "start, tag, place = place, data[place], place + 1"),
               "a large field number", 1),
        Mutant("nobody looks at the end", (" or place > len(data)", ""), "cut off in a text", 1),
        Mutant("field zero is a field", (" or number == 0", ""), "field zero", 2),
        Mutant("a length is one byte", ("value, place = read_varint(data, place)", "value, place = data[place], place + 1"), "a long text", 1),
        Mutant("each field once", ("    return fields", "    return list(dict(fields).items())"), "the same field again, empty ones, nothing", 0),
    ),
)

WRITE_RECORD = Exercise(
    name="write_record", kind="further", target="write_record", difficulty=2, minutes=40,
    text="""The other direction. With it, and with the field numbers that ONNX publishes, you can write an ONNX file without the package `onnx`: a page of Python is enough for
our two dense layers. A record is a list of fields; a value is a whole number, a text, or a record again. Negative numbers are written as their 64 bits
in two's complement, which takes ten bytes.""",
    stub='''def write_record(fields):
    """A record of Protocol Buffers; `read_fields` is the way back.

    Parameters
    ----------
    fields : list of (int, value)
        The field's number, and an int from -2**63 to 2**64 - 1 (written as a varint),
        a str (its UTF-8 bytes, with their length), or a list of fields (a record, as
        bytes with their length).

    Returns
    -------
    bytes
    """
''',
    solution='''def write_record(fields):
    """A record of Protocol Buffers; `read_fields` is the way back."""
    def varint(rest):
        rest, found = rest & (2**64 - 1), bytearray()
        while rest > 127:
            found.append(rest & 127 | 128)
            rest >>= 7
        return bytes([*found, rest])

    record = b""
    for number, value in fields:
        if isinstance(value, int):
            record += varint(8 * number) + varint(value)
        else:
            inner = value.encode() if isinstance(value, str) else write_record(value)
            record += varint(8 * number + 2) + varint(len(inner)) + inner
    return record
''',
    expected=write_record,
    cases=(
        Case("the chapter's ten bytes", 2, "Version seven, made by nnlib.", lambda rng: written([(1, 7), (2, "nnlib")])),
        Case("three hundred and zero", 1, "Zero has a byte of its own, and 128 needs two.", lambda rng: written([(3, 300), (3, 0), (3, 127), (3, 128)])),
        Case("a record in a record", 2, "Outside it is a field of bytes like any other.", lambda rng: written([(7, [(1, [(2, "Relu")]), (2, "worked")])])),
        Case("less than zero", 1, "Python's numbers have no end to the left; sixty-four bits have.", hidden=True, draw=lambda rng: written([(1, -1), (2, -300)])),
        Case("field numbers of two bytes, long texts", 2, "Everything that counts is a varint: tag, length, value.", hidden=True,
             draw=lambda rng: written([(16, "x" * 130), (2000, [(20, "y" * 200)]), (17, 2**63)])),
        Case("letters of two bytes, nothing at all", 1, "A length counts bytes.", hidden=True, draw=lambda rng: written([(2, "Größe"), (3, ""), (4, [])])),
    ),
    hints=(
        "Do 300 by hand, the way back of the chapter's example: which seven bits are written first, and how does the reader know that there are more?",
        "A varint: while more than seven bits are left, write the lowest seven with 128 added, and shift. A tag is 8 times the number, plus 2 for everything with a length. "
        "Of a negative number take the value modulo 2⁶⁴. For a record in a record the function calls itself.",
        "Section *Byte by byte* of {ref}`ch-onnx`.",
    ),
    mutants=(
        Mutant("the flag on the last byte", ("found.append(rest & 127 | 128)", "found.append(rest & 127)"), "three hundred and zero", 0),
        Mutant("the highest first", ("return bytes([*found, rest])", "return bytes([*found, rest][::-1])"), "three hundred and zero", 0),
        Mutant("128 in one byte", ("while rest > 127:", "while rest > 128:"), "three hundred and zero", 1),
        Mutant("a text has no length", ("varint(len(inner)) + inner", "inner"), "the chapter's ten bytes", 1),
        Mutant("letters counted", ("varint(len(inner)) + inner", "varint(len(value) if isinstance(value, str) else len(inner)) + inner"), "letters of two bytes, nothing at all", 1),
        Mutant("tags of one byte", ("varint(8 * number + 2)", "bytes([(8 * number + 2) % 256])"), "field numbers of two bytes, long texts", 1),
        Mutant("the sign is lost", ("rest, found = rest & (2**64 - 1), bytearray()", "rest, found = abs(rest), bytearray()"), "less than zero", 1),
    ),
)

RUN_NODES = Exercise(
    name="run_nodes", kind="further", target="run_nodes", difficulty=4, minutes=120,
    text="""A bigger runtime (exercise 5): seven operators, with which `reader.onnx` of this chapter can nearly be run. Here a graph is a list of nodes as plain Python: operator, names of the inputs, name of the output,
settings. All arrays have the samples *first*. The definitions, as ONNX has them:

- `Gemm(A, B, C)`: $AB+C$, with `transB=1` $AB^\\top+C$ (0 if not given);
- `Relu`, and `Sum` of one array or more, element by element;
- `Flatten`: all axes behind the first become one;
- `Conv(X, W)` or `Conv(X, W, b)`: X is (n, channels, height, width), W (filters, channels, kh, kw), b (filters,); `strides` (if not given, 1 and 1) and `pads`, top, left, bottom, right (if not given, 0);
- `MaxPool(X)` with `kernel_shape`, `strides` and `pads` likewise; padding takes no part;
- `Softmax`: over axis 1 of a table.""",
    stub='''def run_nodes(nodes, values):
    """Run a graph; what its last node makes.

    Parameters
    ----------
    nodes : list of (str, list of str, str, dict)
        Operator, names of its inputs, name of its output, settings; in an order in
        which every value is made before it is used.
    values : dict of str to ndarray
        The graph's input and its initializers, by name. It is left as it is.

    Returns
    -------
    ndarray
        In the dtype of what came in.
    """
''',
    solution='''def windows_of(x, kernel, strides, pads, fill):
    """(n, channels, rows, columns, kh, kw): what a window sees at every place."""
    top, left, bottom, right = pads
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)), constant_values=fill)
    seen = np.lib.stride_tricks.sliding_window_view(x, tuple(kernel), axis=(2, 3))
    return seen[:, :, ::strides[0], ::strides[1]]


def slide(x, W, b=None, strides=(1, 1), pads=(0, 0, 0, 0)):
    """Conv."""
    seen = windows_of(x, W.shape[2:], strides, pads, 0)
    z = np.einsum("nkrcij,fkij->nfrc", seen, W)
    return z if b is None else z + b[:, None, None]


def largest(x, kernel_shape, strides=(1, 1), pads=(0, 0, 0, 0)):
    """MaxPool."""
    return windows_of(x, kernel_shape, strides, pads, -np.inf).max(axis=(4, 5))


def share(x):
    """Softmax."""
    powers = np.exp(x - x.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def run_nodes(nodes, values):
    """Run a graph; what its last node makes."""
    known = dict(values)
    operators = {"Gemm": lambda A, B, C, transB=0: A @ (B.T if transB else B) + C,
                 "Relu": lambda x: np.maximum(x, 0), "Sum": lambda *terms: sum(terms),
                 "Flatten": lambda x: x.reshape(len(x), -1),
                 "Conv": slide, "MaxPool": largest, "Softmax": share}
    for operator, inputs, output, settings in nodes:
        arrays = [known[name] for name in inputs]
        known[output] = operators[operator](*arrays, **settings)
    return known[output]
''',
    expected=run_nodes,
    cases=(
        Case("the worked network", 1, "Two in, two neurons, one out: z = (1, -1), h = (1, 0), and 2.",
             lambda rng: call("run_nodes", [("Gemm", ["images", "W1", "b1"], "z", {"transB": 1}), ("Relu", ["z"], "h", {}),
                                            ("Gemm", ["h", "W2", "b2"], "logits", {"transB": 1})],
                              {"images": np.array([[1.0, 2.0]]), "W1": np.array([[2.0, -1], [1, -1]]), "b1": np.array([1.0, 0]),
                               "W2": np.array([[3.0, 5]]), "b2": np.array([-1.0])})),
        Case("two layers and a softmax", 1, "Each sample's probabilities add up to one.", lambda rng, size=2: dense_graph(rng, size, 3, size + 1, 3)),
        Case("a convolution, padded unevenly", 2, "Beginnings before ends: top, left, bottom, right.",
             lambda rng: one_node("Conv", {"pads": [1, 0, 2, 0]}, numbers(rng, 1, 1, 2, 3), numbers(rng, 1, 1, 2, 2), np.array([0.5]))),
        Case("flatten and sum", 1, "Channel after channel, row after row.",
             lambda rng: call("run_nodes", [("Flatten", ["x"], "f", {}), ("Sum", ["f", "y", "f"], "s", {})], {"x": numbers(rng, 2, 2, 1, 2), "y": numbers(rng, 2, 4)})),
        Case("a reader of digits", 3, "All of it at once, strides and pads different down and across.", hidden=True, draw=lambda rng: image_graph(rng)),
        Case("a matrix as it stands", 1, "Without transB there is nothing to turn.", hidden=True,
             draw=lambda rng: one_node("Gemm", {}, numbers(rng, 2, 3), numbers(rng, 3, 3), numbers(rng, 3))),
        Case("the largest of negative numbers", 1, "A zero from the padding would win, and it is not there.", hidden=True,
             draw=lambda rng: one_node("MaxPool", {"kernel_shape": [2, 2], "strides": [2, 1], "pads": [1, 1, 0, 1]}, -rng.uniform(1, 2, (2, 2, 3, 3)))),
        Case("logits of a thousand", 1, "An exponential function overflows at 710.", hidden=True,
             draw=lambda rng: one_node("Softmax", {}, np.array([[1000.0, 999.0], [-1000.0, 0.0], [3.0, 3.0]]))),
        Case("a skip around, no bias", 1, "A value may be used twice, and the order of the nodes is all there is.", hidden=True,
             draw=lambda rng: call("run_nodes", [("Conv", ["x", "K"], "c", {"pads": [1, 1, 1, 1]}), ("Relu", ["c"], "r", {}), ("Sum", ["r", "x"], "y", {}),
                                                 ("MaxPool", ["y"], "m", {"kernel_shape": [2, 3]})], {"x": numbers(rng, 2, 2, 3, 4), "K": numbers(rng, 2, 2, 3, 3)})),
        Case("a reader in single precision", 1, "A runtime that widens is a slow one.", hidden=True, draw=lambda rng: image_graph(rng, np.float32)),
    ),
    hints=(
        "The chapter's dozen lines are most of it. Begin with `Gemm` and `Relu`, then one operator after the other; each is a function of arrays with settings as keyword arguments.",
        "`np.lib.stride_tricks.sliding_window_view` shows all windows of a padded array; a slice with a step takes the strides; `einsum` or `max` does the rest. Or move the axes and use "
        "`nnlib.convolution.convolution`. Pad with minus infinity for the maximum. Softmax: subtract each row's largest.",
        "Sections *Arithmetic with names* and *Windows* of {ref}`ch-onnx`.",
    ),
    mutants=(
        Mutant("pads in our order", ("top, left, bottom, right = pads", "top, bottom, left, right = pads"), "a convolution, padded unevenly", 1),
        Mutant("the mathematicians' convolution", ("slide(x, W, b=None, strides=(1, 1), pads=(0, 0, 0, 0)):\n    \"\"\"Conv.\"\"\"\n",
               "slide(x, W, b=None, strides=(1, 1), pads=(0, 0, 0, 0)):\n    \"\"\"Conv.\"\"\"\n    W = W[:, :, ::-1, ::-1]\n"), "a convolution, padded unevenly", 2),
        Mutant("always transposed", ("B.T if transB else B", "B.T"), "a matrix as it stands", 0),
        Mutant("zeros in the competition", ("pads, -np.inf)", "pads, 0)"), "the largest of negative numbers", 1),
        Mutant("strides exchanged", ("::strides[0], ::strides[1]", "::strides[1], ::strides[0]"), "a reader of digits", 1),
        Mutant("over the samples", ("x.max(axis=1, keepdims=True))\n    return powers / powers.sum(axis=1", "x.max(axis=1, keepdims=True))\n    return powers / powers.sum(axis=0"),
               "two layers and a softmax", 1),
        Mutant("nothing subtracted", ("np.exp(x - x.max(axis=1, keepdims=True))", "np.exp(x)"), "logits of a thousand", 1),
        Mutant("channels last", ("x.reshape(len(x), -1)", "np.moveaxis(x, 1, -1).reshape(len(x), -1)"), "flatten and sum", 2),
        Mutant("a sum of two", ("sum(terms)", "terms[0] + terms[1]"), "flatten and sum", 0),
    ),
)

FOLD_NORM = Exercise(
    name="fold_norm", kind="further", target="fold_norm", difficulty=2, minutes=30,
    text="""After training, a batch normalization right behind a convolution or a dense layer multiplies each channel by a number and adds another. The layer in front of it can do that by itself
(exercise 7, *Nothing left of it*). Find its new weights. Then export a network from which all normalizations are gone, and compare logits and times.""",
    stub='''def fold_norm(W, b, gamma, beta, mean, var, eps=1e-5):
    """Weights and bias of the layer that does what a layer and a BatchNorm do.

    The normalization uses its running statistics: gamma (z - mean) / sqrt(var + eps)
    + beta, for each channel of z.

    Parameters
    ----------
    W : ndarray, shape (channels, ...)
        Of a convolution or a dense layer: the channels of z come first.
    b : ndarray, shape (channels, 1), or None
    gamma, beta, mean, var : ndarray, shape (channels, 1)
    eps : float

    Returns
    -------
    W : ndarray, shape (channels, ...)
    b : ndarray, shape (channels, 1)
    """
''',
    solution='''def fold_norm(W, b, gamma, beta, mean, var, eps=1e-5):
    """Weights and bias of the layer that does what a layer and a BatchNorm do."""
    factor = gamma / np.sqrt(var + eps)
    shift = -mean if b is None else b - mean
    return W * factor.reshape(-1, *[1] * (W.ndim - 1)), factor * shift + beta
''',
    expected=fold_norm,
    cases=(
        Case("a dense layer", 1, "One row of W for each unit.", lambda rng, size=2: normalized(rng, size, size + 1)),
        Case("filters", 2, "Every weight of a filter gets that filter's factor.", lambda rng, size=2: normalized(rng, size, 1, size, 2)),
        Case("no bias in front", 1, "A layer before a normalization mostly has none; the folded one needs one.", lambda rng: normalized(rng, 2, 2, bias=False)),
        Case("as many filters as channels", 2, "Both axes have the same length, and only one is right.", hidden=True, draw=lambda rng: normalized(rng, 3, 3, 3, 3)),
        Case("a channel that is always the same", 1, "Its variance is zero, and eps is all there is.", hidden=True,
             draw=lambda rng: call("fold_norm", numbers(rng, 2, 3), numbers(rng, 2, 1), numbers(rng, 2, 1), numbers(rng, 2, 1), numbers(rng, 2, 1), np.array([[0.0], [1e-4]]), 1e-3)),
        Case("filters of single precision", 1, "The folded layer is as wide as the one it replaces.", hidden=True, draw=lambda rng: normalized(rng, 4, 2, 3, 3, dtype=np.float32)),
    ),
    hints=(
        "Put z = W x + b into the formula of the normalization, and collect what stands before x.",
        "With s = gamma / sqrt(var + eps), one for each channel: the new W is s times W, filter by filter, and the new b is s (b - mean) + beta.",
        "Section *Windows* of {ref}`ch-onnx`, its end; {ref}`ch-a-convolutional-network` on batch normalization.",
    ),
    mutants=(
        Mutant("the variance for the deviation", ("np.sqrt(var + eps)", "(var + eps)"), "a dense layer", 0),
        Mutant("eps outside the root", ("np.sqrt(var + eps)", "(np.sqrt(var) + eps)"), "a channel that is always the same", 1),
        Mutant("the mean not scaled", ("factor * shift + beta", "factor * (0 if b is None else b) - mean + beta"), "a dense layer", 0),
        Mutant("beta scaled as well", ("factor * shift + beta", "factor * (shift + beta)"), "a dense layer", 1),
        Mutant("the inputs' factor", ("factor.reshape(-1, *[1] * (W.ndim - 1))", "factor.reshape(1, -1, *[1] * (W.ndim - 2))"), "as many filters as channels", 1),
        Mutant("a dense layer only", ("factor.reshape(-1, *[1] * (W.ndim - 1))", "factor"), "filters", 1),
        Mutant("the bias forgotten", ("-mean if b is None else b - mean", "-mean"), "a dense layer", 0),
    ),
)

FROM_CHANNELS_LAST = Exercise(
    name="from_channels_last", kind="further", target="from_channels_last", difficulty=2, minutes=25,
    text="""Other tools keep images as (samples, height, width, channels), kernels as (kh, kw, channels, filters), and the weights of a dense layer as (inputs, units), with the inputs in *their* order of pixels. You have
been sent a convolution's kernels and the weights of the dense layer behind its Flatten. Bring both into our shapes so that the network says what it said before.""",
    stub='''def from_channels_last(kernels, W, shape):
    """A convolution's and a dense layer's weights, from a tool with channels last.

    Parameters
    ----------
    kernels : ndarray, shape (kh, kw, channels, filters)
        They slide as ours do, without being turned.
    W : ndarray, shape (height * width * channels, units)
        Behind a Flatten of (height, width, channels).
    shape : (int, int, int)
        (channels, height, width) in front of our Flatten.

    Returns
    -------
    kernels : ndarray, shape (filters, channels, kh, kw)
    W : ndarray, shape (units, channels * height * width)
    """
''',
    solution='''def from_channels_last(kernels, W, shape):
    """A convolution's and a dense layer's weights, from a tool with channels last."""
    channels, height, width = shape
    table = W.reshape(height, width, channels, -1).transpose(3, 2, 0, 1)
    return kernels.transpose(3, 2, 0, 1), table.reshape(W.shape[1], -1)
''',
    expected=from_channels_last,
    cases=(
        Case("one channel", 1, "Then both orders of pixels are the same, and only the axes are not.",
             lambda rng: call("from_channels_last", numbers(rng, 2, 3, 1, 1), numbers(rng, 4, 2), (1, 2, 2))),
        Case("two channels of three pixels", 2, "Their first two numbers are the first pixel's, ours the first channel's.",
             lambda rng: call("from_channels_last", numbers(rng, 1, 2, 2, 3), np.arange(12.0).reshape(6, 2), (2, 1, 3))),
        Case("nothing is equal", 2, "Four axes of different lengths leave no way to be right by chance.", hidden=True,
             draw=lambda rng: call("from_channels_last", numbers(rng, 3, 2, 4, 5), numbers(rng, 5 * 3 * 2, 7), (5, 3, 2))),
        Case("everything is equal", 2, "Equal lengths leave every way to be wrong.", hidden=True,
             draw=lambda rng: call("from_channels_last", numbers(rng, 3, 3, 3, 3), numbers(rng, 27, 27), (3, 3, 3))),
        Case("sent in single precision", 1, "Moving numbers around does not change them.", hidden=True,
             draw=lambda rng: call("from_channels_last", numbers(rng, 2, 2, 3, 2, dtype=np.float32), numbers(rng, 12, 3, dtype=np.float32), (3, 2, 2))),
    ),
    hints=(
        "Number the pixels of a map of two channels, two rows and two columns, once in their order and once in ours.",
        "Their input stands at (h W + w) C + c. So give W's first axis the shape (height, width, channels), exchange axes until units come first, then channels, rows, columns, and "
        "flatten the last three again.",
        "Section *Samples first* of {ref}`ch-onnx`, {eq}`eq-onnx-flatten` and {numref}`fig-onnx-order`.",
    ),
    mutants=(
        Mutant("transposed, no more", ("table.reshape(W.shape[1], -1)", "W.T"), "two channels of three pixels", 0),
        Mutant("the wrong way round", ("W.reshape(height, width, channels, -1).transpose(3, 2, 0, 1)", "W.reshape(channels, height, width, -1).transpose(3, 1, 2, 0)"),
               "two channels of three pixels", 0),
        Mutant("rows and columns exchanged", ("-1).transpose(3, 2, 0, 1)", "-1).transpose(3, 2, 1, 0)"), "one channel", 1),
        Mutant("kernels on their side", ("kernels.transpose(3, 2, 0, 1)", "kernels.transpose(3, 2, 1, 0)"), "everything is equal", 2),
        Mutant("channels before filters", ("kernels.transpose(3, 2, 0, 1)", "kernels.transpose(2, 3, 0, 1)"), "everything is equal", 2),
        Mutant("kernels turned", ("kernels.transpose(3, 2, 0, 1)", "kernels[::-1, ::-1].transpose(3, 2, 0, 1)"), "one channel", 2),
    ),
)

EXERCISES = [ONNX_PADS, READ_VARINT, READ_FIELDS, WRITE_RECORD, RUN_NODES, FOLD_NORM, FROM_CHANNELS_LAST]

QUESTIONS = [
    Question(
        "Leave out `coordinate_transformation_mode` and `nearest_mode` in `translate_upsample`, so that `Resize` uses its defaults: output pixel $i$ looks at place $(i+\\tfrac12)/f-\\tfrac12$, rounded to the nearest pixel. Does "
        "anything change for whole factors $f$? For a factor of 1.5?",
        "Write $i=qf+r$ with $0\\le r<f$. Then $(i+\\tfrac12)/f-\\tfrac12=q+\\bigl((r+\\tfrac12)/f-\\tfrac12\\bigr)$, and since $r+\\tfrac12$ lies between $\\tfrac12$ and $f-\\tfrac12$, the bracket lies strictly "
        "between $-\\tfrac12$ and $\\tfrac12$. The nearest pixel is $q=\\lfloor i/f\\rfloor$, there is never a tie, and nothing changes. For $f=1.5$ it does: $i=1$ looks at $0.5$, exactly between two pixels, and the rounding rule "
        "decides; floor of $1/1.5$ gives 0. And $i=2$ looks at $1.17$, so 1, as before. We write the settings all the same: a reader of the file should not need this proof, nor "
        "a runtime the right defaults."),
    Question(
        "You may test an exported file with *one* batch of images. Which shapes, and which pixels, would you choose so that as many mistakes as possible show? Which mistake of this chapter does no batch of images find?",
        "No two lengths equal: a batch of 5, if there are 3 channels, 7 rows, 4 columns and 10 outputs, so that a wrong order of axes is a wrong shape, and a column of biases cannot pass for a row. Random pixels, with no symmetry, so that "
        "turned, mirrored and transposed images differ. Both signs, so that ReLU and the padding of a maximum show. Sizes at which \"same\" padding is odd and strides leave something over. Weights after some training, "
        "biases and running statistics not at their starting values: with a shift of 0 and a scale of 1 a normalization can be left out and nobody sees it. What no batch finds: images "
        "prepared differently by whoever uses the file, pixels not divided by 255, dark strokes on white. The two programs agree, and both are asked the wrong question. That "
        "can only be written down, as a note or into the graph."),
    Question(
        "A recurrent network reads a text of any length. Why can its loop not be unrolled in a file, as `translate_feedback` does? What must an operator for loops be told?",
        "Unrolling writes the body of the loop once for each run. The number of runs must be known when the file is *written*. Ours is a setting of the layer; a text's length is known when the file is *used*. One could unroll for "
        "the longest text that is allowed and switch the rest off, and pay for all runs every time. A loop operator holds the body as a graph of its own. It must be told which values the body gets and returns, which of them are carried from run to run "
        "and what they are at first, which are taken apart along an axis (one word a run) and which are the same in every run; which outputs are collected; and when to stop, after a number that is computed or "
        "while a condition holds. ONNX has `Loop` and `Scan` for this. The body's weights are initializers outside of it, stored once, as in our unrolled graph."),
]
