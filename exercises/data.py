"""The exercises of the chapter on digits: bytes, pixels, batches, parts, and a first classifier."""

import math
import struct

import numpy as np

from course.classroom.exercise import Case, Exercise, Mutant, Question, Random, Ref, Script, call

CODES = {0x08: ("B", "uint8"), 0x09: ("b", "int8"), 0x0B: ("h", "int16"), 0x0C: ("i", "int32"),
         0x0D: ("f", "float32"), 0x0E: ("d", "float64")}


# What is expected, one number at a time.

def parse_idx(raw, name="IDX data"):
    """The array in the bytes of a good IDX file; the reference does not look at widths."""
    letter, dtype = CODES[raw[2]]
    shape = [int.from_bytes(raw[4 + 4 * k:8 + 4 * k], "big") for k in range(raw[3])]
    values = [v for (v,) in struct.iter_unpack(">" + letter, raw[4 + 4 * raw[3]:])]
    array = np.array(values, dtype).reshape(shape)
    array.flags.writeable = False
    return array


def recentre(images):
    """Every pixel by itself: where does it go?"""
    n, height, width = images.shape
    moved = [[[0] * width for _ in range(height)] for _ in range(n)]
    for image, page in zip(images.tolist(), moved):
        inked = [(i, j, image[i][j]) for i in range(height) for j in range(width) if image[i][j]]
        ink = sum(v for _, _, v in inked)
        if ink:
            down = round(sum(i * v for i, _, v in inked) / ink) - height // 2
            across = round(sum(j * v for _, j, v in inked) / ink) - width // 2
        for i, j, v in inked:
            if 0 <= i - down < height and 0 <= j - across < width:
                page[i - down][j - across] = v
    return np.array(moved, np.uint8)


def nearest_labels(queries, images, labels, k=1):
    """Sort (distance, place) pairs, count the first k labels."""
    answers = []
    for query in queries.tolist():
        far = sorted((sum((a - b) ** 2 for a, b in zip(query, image)), place)
                     for place, image in enumerate(images.tolist()))
        votes = {}
        for _, place in far[:k]:
            votes[int(labels[place])] = votes.get(int(labels[place]), 0) + 1
        most = max(votes.values())
        answers.append(next(label for label, count in votes.items() if count == most))
    return np.array(answers)


# What is drawn.

def pixels(rng, *shape):
    """Bytes, paper and full ink among them."""
    image = rng.integers(0, 256, shape, dtype=np.uint8)
    image.flat[0], image.flat[-1] = 0, 255
    return image


def idx(rng, code, *shape):
    """The bytes of an IDX file, as an array (bytes themselves cannot be inputs)."""
    letter, _ = CODES[code]
    count = math.prod(shape)
    numbers = rng.integers(0, 256, count) if code == 0x08 else rng.integers(-128, 128, count)
    if code == 0x0B:
        numbers = numbers * 250 + 1
    if code == 0x0C:
        numbers = numbers * 16_000_000 + 1
    values = rng.normal(size=count).tolist() if letter in "fd" else numbers.tolist()
    raw = struct.pack(f">BBBB{len(shape)}I{count}{letter}", 0, 0, code, len(shape), *shape, *values)
    return np.frombuffer(raw, np.uint8).copy()


def parsed(file):
    """Hand the bytes of `file` to parse_idx."""
    return Script().given(file=file).make("raw", "file.tobytes").call("parse_idx", Ref("raw"), name="array")


def all_six(rng):
    """A file of every type, with the dtype that comes out."""
    script = Script()
    for code in CODES:
        script.given(**{f"file_{code:02x}": idx(rng, code, 2, 2)}).make("raw", f"file_{code:02x}.tobytes")
        script.call("parse_idx", Ref("raw"), name="array").get("array.dtype.name").get("array.dtype.isnative")
    return script


def dealt(*args, batches, **kwargs):
    """The first batches of minibatches(...)."""
    script = Script().make("batches", "minibatches", *args, **kwargs)
    for _ in range(batches):
        script.call("batches.__next__")
    return script


def two_epochs(rng):
    """One generator, two epochs: the second has an order of its own."""
    script = Script().make("rng", "np.random.default_rng", int(rng.integers(1000)))
    for epoch in ("first", "second"):
        script.make(epoch, "minibatches", 9, 5, Ref("rng")).call(f"{epoch}.__next__").call(f"{epoch}.__next__")
    return script


def shares(rng, parts):
    """Fractions that add up to 0.9, none of them tiny, no two of them alike."""
    f = rng.uniform(1.0, 3.0, parts)
    return (0.9 * f / f.sum()).tolist()


SCALE_PIXELS = Exercise(
    name="scale_pixels", kind="build", target="scale_pixels", difficulty=1, minutes=10,
    cases=(
        Case("bytes become numbers from 0 to 1", 1, "Pixels up to 255 make sums that run into hundreds, where the sigmoid is flat.",
             lambda rng, size=3: call("scale_pixels", pixels(rng, size, size + 1)), dtype="float32"),
        Case("scaled twice", 1, "Pixels below 1/255 look like a blank page, training crawls, and nothing else complains.",
             lambda rng: call("scale_pixels", pixels(rng, 2, 3) / 255), raises="DataError"),
        Case("in double precision", 1, "Whoever asks for float64 needs its digits, to check a gradient for example.",
             lambda rng, size=2: call("scale_pixels", pixels(rng, size, size + 1), dtype="float64"), dtype="float64"),
        Case("whole numbers in floats", 1, "A table read from a CSV holds whole numbers as floats; it still belongs to the caller.",
             hidden=True, dtype="float32",
             draw=lambda rng, size=4: call("scale_pixels", pixels(rng, size, 2, size + 1).astype(np.float64))),
        Case("darker than ink", 1, "A pixel of 256 is damage, and damage is said at the door.", hidden=True,
             draw=lambda rng: call("scale_pixels", np.array([[3, 256], [0, 7]])), raises="DataError"),
        Case("lighter than paper", 1, "A negative pixel comes from a subtraction that went wrong.", hidden=True,
             draw=lambda rng: call("scale_pixels", np.array([[3.0, -1.0], [0.0, 7.0]])), raises="DataError"),
        Case("a pixel that is nan", 1, "A single nan becomes nan in every weight within one step.", hidden=True,
             draw=lambda rng: call("scale_pixels", np.array([[3.0, np.nan], [0.0, 7.0]])), raises="DataError"),
    ),
    hints=(
        "Which numbers may a pixel be? What does an image look like that has been scaled before?",
        "Look first: every value at least 0, at most 255, and equal to itself rounded. Then divide; `np.divide` "
        "takes the dtype of its result.",
        "Section *At the door* of {ref}`ch-digits`, the last two paragraphs.",
    ),
    mutants=(
        Mutant("divides by 256", ("np.divide(images, 255,", "np.divide(images, 256,"), "bytes become numbers from 0 to 1", 0),
        Mutant("fractions pass", (" & (images == np.rint(images))", ""), "scaled twice", 0),
        Mutant("dtype ignored", ("255, dtype=dtype)", "255, dtype=np.float32)"), "in double precision", 1),
        Mutant("works in place", ("    return np.divide(images, 255, dtype=dtype)",
                                  "    if images.dtype.kind == \"f\":\n        images /= 255\n        return images.astype(dtype)\n"
                                  "    return np.divide(images, 255, dtype=dtype)"), "whole numbers in floats", 1),
        Mutant("no upper limit", (" & (images <= 255)", ""), "darker than ink", 1),
    ),
    shown=("images = np.asarray(images)", 'if images.dtype.kind not in "uif":',
           'raise DataError(f"expected pixels that are numbers, got type {images.dtype}")'),
)

MINIBATCHES = Exercise(
    name="minibatches", kind="build", target="minibatches", difficulty=1, minutes=15,
    cases=(
        Case("in order", 1, "To evaluate, one goes through the samples as they lie; the last batch holds what is left.",
             lambda rng: dealt(10, 4, batches=3)),
        Case("shuffled", 1, "A network forgets: fed class by class it ends up believing in the last class.",
             lambda rng: dealt(10, 4, Random(1), batches=3)),
        Case("there is an end", 1, "An epoch shows each sample once.",
             lambda rng: dealt(8, 4, batches=3), raises="StopIteration"),
        Case("the short one is left out", 1, "A batch of one sample makes a rough gradient, and for some layers none at all.",
             lambda rng: dealt(10, 4, drop_last=True, batches=3), raises="StopIteration"),
        Case("batches of nothing", 1, "An error that waits until training begins is an error far from its cause.",
             lambda rng: Script().make("batches", "minibatches", 10, 0).get("batches"), raises="DataError"),
        Case("a new order each epoch", 2, "The same order every epoch lets the same samples have the last word.", hidden=True,
             draw=two_epochs),
        Case("a batch larger than the data", 1, "A small set in one batch is the plainest way to test a network.", hidden=True,
             draw=lambda rng: dealt(int(rng.integers(3, 9)), 64, batches=1)),
        Case("full batches stay", 1, "Where all batches are full there is nothing to leave out.", hidden=True,
             draw=lambda rng: dealt(15, 5, Random(int(rng.integers(99))), drop_last=True, batches=3)),
    ),
    hints=(
        "Write down the batches of 10 samples, 4 at a time, by hand. Where does each begin?",
        "Make the order once: 0 to n - 1, or one permutation from `rng`. A batch is a slice of it. Check the arguments in "
        "a plain function that returns a generator; a function with `yield` in it checks nothing until it is first asked.",
        "Section *Order* of {ref}`ch-digits`, the paragraph before its second function.",
    ),
    mutants=(
        Mutant("the last batch is always dropped", ("stop = n - n % size if drop_last else n", "stop = n - n % size"), "in order", 0),
        Mutant("drop_last ignored", ("stop = n - n % size if drop_last else n", "stop = n"), "the short one is left out", 0),
        Mutant("never shuffled", ("np.arange(n) if rng is None else rng.permutation(n)", "np.arange(n)"), "shuffled", 1),
        Mutant("always the same shuffle", ("else rng.permutation(n)", "else np.random.default_rng(1).permutation(n)"),
               "a new order each epoch", 1),
        Mutant("checks too late", ("return (order[start : start + size] for start in range(0, stop, size))",
                                   "for start in range(0, stop, size):\n        yield order[start : start + size]"),
               "batches of nothing", 1),
    ),
)

PART_SIZES = Exercise(
    name="part_sizes", kind="build", target="part_sizes", difficulty=2, minutes=30,
    cases=(
        Case("ten samples, by hand", 1, "Shares rarely come out whole, and every sample must go somewhere.",
             lambda rng: call("part_sizes", 10, (0.55, 0.25, 0.2))),
        Case("the largest remainder first", 2, "Who lost most by rounding down is served first, not who comes first.",
             lambda rng: call("part_sizes", 10, (0.21, 0.29, 0.5))),
        Case("of equals the earlier", 1, "Two people who split the same data must get the same parts.",
             lambda rng: call("part_sizes", 10, (0.25, 0.25, 0.25, 0.25))),
        Case("more than there is", 1, "Parts that add up to more than everything would share samples, and a test set that "
             "was trained on proves nothing.",
             lambda rng: call("part_sizes", 10, (0.8, 0.3)), raises="DataError"),
        Case("any fractions", 2, "Rounding each share by itself can deal out more samples than there are.", hidden=True,
             draw=lambda rng, size=5: call("part_sizes", int(rng.integers(150, 200)), shares(rng, size + 1))),
        Case("rounded up there would be too many", 1, "A sample that is dealt out twice is in two parts at once.", hidden=True,
             draw=lambda rng: call("part_sizes", 10, (0.27, 0.27, 0.46))),
        Case("counts are taken as they are", 1, "Who says 1,000 means 1,000.", hidden=True,
             draw=lambda rng: call("part_sizes", 100, [int(rng.integers(10, 40)), int(rng.integers(10, 40))])),
        Case("a part without samples", 1, "An accuracy over no samples is 0/0.", hidden=True,
             draw=lambda rng: call("part_sizes", 3, (0.9, 0.05, 0.05)), raises="DataError"),
        Case("a negative part", 1, "A minus sign typed by accident must not lengthen another part.", hidden=True,
             draw=lambda rng: call("part_sizes", 10, (0.7, -0.1, 0.4)), raises="DataError"),
    ),
    hints=(
        "Four samples in shares of 1.6, 1.6 and 0.8. Rounded to the nearest whole number, how many are dealt out?",
        "Round every share down. Add up the shares, round that: so many are to be dealt in all. Give the missing ones, "
        "one each, to the parts whose shares lost most; `sorted` keeps equals in their order.",
        "Section *Splitting fairly* of {ref}`ch-digits`, the first paragraph.",
    ),
    mutants=(
        Mutant("the first ones are served", ("key=lambda k: sizes[k] - exact[k]", "key=lambda k: k"), "the largest remainder first", 1),
        Mutant("the last of equals", ("sorted(range(len(sizes)), key", "sorted(reversed(range(len(sizes))), key"),
               "of equals the earlier", 1),
        Mutant("rounds to the nearest", ("math.floor(share)", "round(share)"), "rounded up there would be too many", 0),
        Mutant("what is left over is lost", ("        sizes[k] += 1", "        pass"), "ten samples, by hand", 1),
        Mutant("deals out everything", ("round(math.fsum(exact)) - sum(sizes)", "n - sum(sizes)"), "any fractions", 1),
        Mutant("counts as fractions", ("exact = fractions if counts else [n", "exact = [n"), "counts are taken as they are", 2),
        Mutant("empty parts pass", ("    if 0 in sizes:", "    if False:"), "a part without samples", 2),
    ),
)

PARSE_IDX = Exercise(
    name="parse_idx", kind="build", target="parse_idx", difficulty=3, minutes=45,
    cases=(
        Case("bytes", 2, "This is the file that the digits come in.", lambda rng: parsed(idx(rng, 0x08, 2, 3))),
        Case("two bytes a number", 2, "In the wrong order every number is wrong, and nothing complains.",
             lambda rng: parsed(idx(rng, 0x0B, 2, 2))),
        Case("nobody may write", 1, "Training data that changes halfway is a bug that takes days to find.",
             lambda rng: parsed(idx(rng, 0x08, 4)).get("array.flags.writeable")),
        Case("one byte too few", 1, "A download that was cut off must not pass for a smaller data set.",
             lambda rng: parsed(idx(rng, 0x08, 2, 3)[:-1]), raises="DataError"),
        Case("not an IDX file", 1, "Somebody will hand it a picture.",
             lambda rng: parsed(np.frombuffer(b"GIF89a, no digits", np.uint8).copy()), raises="DataError"),
        Case("all six types, in this machine's order", 3, "Arrays in foreign byte order are slow, and some libraries refuse them.",
             hidden=True, draw=all_six),
        Case("three axes, four axes", 1, "Images have three, colour images four.", hidden=True,
             draw=lambda rng: parsed(idx(rng, 0x08, 2, 3, 4)).make("raw", "more.tobytes").given(more=idx(rng, 0x0C, 2, 1, 2, 3))
             .call("parse_idx", Ref("raw"))),
        Case("one byte too many", 1, "A byte nobody can account for means that the format was misunderstood.", hidden=True,
             draw=lambda rng: parsed(np.append(idx(rng, 0x08, 2, 3), np.uint8(7))), raises="DataError"),
        Case("half a header", 1, "The shortest damaged files end before the data begins.", hidden=True,
             draw=lambda rng: parsed(idx(rng, 0x08, 2, 3)[:9]), raises="DataError"),
        Case("no bytes at all", 1, "A full disk leaves files of length zero.", hidden=True,
             draw=lambda rng: parsed(np.zeros(0, np.uint8)), raises="DataError"),
        Case("an unknown type", 1, "A type that the format does not have is no type to guess.", hidden=True,
             draw=lambda rng: parsed(np.append(np.array([0, 0, 10, 1, 0, 0, 0, 1], np.uint8), np.uint8(5))), raises="DataError"),
    ),
    expected=parse_idx,
    hints=(
        "Take the sixteen bytes of the chapter's figure and say what each is for. What do they promise about the rest?",
        "`IDX_TYPES` has the dtype; `struct.unpack` reads big-endian sizes; the product of the sizes, times the bytes of a "
        "number, plus the header, is the length that must come. `np.frombuffer` takes an offset. `astype` with the "
        "dtype's `newbyteorder` gives native numbers.",
        "Sections *A file of bytes* and *A reader that says what is wrong* of {ref}`ch-digits`.",
    ),
    mutants=(
        Mutant("little-endian numbers", ("np.frombuffer(raw, dtype, count, start)",
                                         'np.frombuffer(raw, dtype.newbyteorder("<"), count, start)'), "two bytes a number", 0),
        Mutant("stays big-endian", ('    values = values.astype(dtype.newbyteorder("="), copy=False)\n', ""),
               "all six types, in this machine's order", 1),
        Mutant("anyone may write", ("    values.flags.writeable = False", "    values = values.copy()"), "nobody may write", 2),
        Mutant("what is too much is ignored", ("if len(raw) != expected:", "if len(raw) < expected:"), "one byte too many", 1),
        Mutant("reads what there is", ("    if len(raw) != expected:", "    if False:"), "one byte too few", 1),
        Mutant("believes the header is whole", ("    if len(raw) < start:", "    if False:"), "half a header", 0),
    ),
)

RECENTRE = Exercise(
    name="recentre", kind="further", target="recentre", difficulty=3, minutes=45,
    text="""Move every test digit two pixels to the right and the nearest mean stumbles (exercise 6 above). A classifier
that centres each image before it looks is immune. Write the step that does it, for images of any size, and measure
the nearest mean again, on moved digits and on those of the files.""",
    stub='''def recentre(images):
    """Move each image by whole pixels so that its ink is centred.

    Parameters
    ----------
    images : ndarray of uint8, shape (n, height, width)

    Returns
    -------
    ndarray of uint8, shape (n, height, width)
        A new array. The centre of mass of each image (the mean of its row numbers, weighted by
        ink, and of its column numbers), rounded to whole numbers as `round` does, is moved to row
        height // 2 and column width // 2, in MNIST 14 and 14. Ink that is moved over the edge is
        lost; what comes in from the other side is paper. A blank image stays blank.
    """
''',
    solution='''def recentre(images):
    """Move each image by whole pixels so that its ink is centred."""
    moved = np.zeros_like(images)
    height, width = images.shape[1:]
    for image, page in zip(images, moved):
        rows, columns = np.nonzero(image)
        if not len(rows):
            continue
        ink = image[rows, columns].astype(np.int64)
        down = round(float(rows @ ink / ink.sum())) - height // 2
        across = round(float(columns @ ink / ink.sum())) - width // 2
        i, j = rows - down, columns - across
        inside = (i >= 0) & (i < height) & (j >= 0) & (j < width)
        page[i[inside], j[inside]] = image[rows[inside], columns[inside]]
    return moved
''',
    expected=recentre,
    cases=(
        Case("one stroke in a corner", 2, "The same stroke elsewhere is, to the nearest mean, another digit.",
             lambda rng: call("recentre", np.pad(rng.integers(1, 256, (1, 2, 2), dtype=np.uint8), ((0, 0), (0, 4), (0, 4))))),
        Case("ink has weight", 1, "The centre of mass is not the middle of the box around the digit.",
             lambda rng: call("recentre", np.array([[[9, 0, 0, 0, 0, 3], *[[0] * 6] * 3]], np.uint8))),
        Case("a blank page", 1, "Dividing by no ink makes nan, and nan has no place to be moved to.",
             lambda rng: call("recentre", np.zeros((2, 4, 4), np.uint8))),
        Case("over the edge", 2, "Ink that comes in again on the other side belongs to no digit.", hidden=True,
             draw=lambda rng: call("recentre", np.array([[[0, 0, 0, 0, 0, 7], *[[0] * 6] * 4, [250, 250, 0, 0, 0, 0]]], np.uint8))),
        Case("a batch of digits", 2, "Each image has a centre of its own.", hidden=True,
             draw=lambda rng, size=5: call("recentre", (pixels(rng, size, 28, 28) // 128 * pixels(rng, size, 28, 28)
                                           * (rng.random((size, 28, 28)) < 0.1)).astype(np.uint8))),
        Case("neither square nor 28 pixels wide", 1, "The next data set has other sizes.", hidden=True,
             draw=lambda rng, size=3: call("recentre", pixels(rng, size, 5, 8) * (rng.random((size, 5, 8)) < 0.4).astype(np.uint8))),
    ),
    hints=(
        "You have seen the centre of mass computed, for all training images at once. What if there is no ink?",
        "List the inked pixels with `np.nonzero`, move their places, keep those that are still on the page, and write them "
        "onto an empty one. `np.roll` is tempting, and brings lost ink back on the other side.",
        "The end of section *Looking at the data* of {ref}`ch-digits`.",
    ),
    mutants=(
        Mutant("rolls around", ("page[i[inside], j[inside]] = image[rows[inside], columns[inside]]",
                                "page[...] = np.roll(image, (-down, -across), (0, 1))"), "over the edge", 1),
        Mutant("moves the wrong way", ("i, j = rows - down, columns - across", "i, j = rows + down, columns + across"),
               "one stroke in a corner", 0),
        Mutant("the middle of the box", ("round(float(columns @ ink / ink.sum()))", "(columns.min() + columns.max()) // 2"),
               "ink has weight", 0),
        Mutant("every inked pixel counts the same", ("ink = image[rows, columns].astype(np.int64)", "ink = np.ones(len(rows))"),
               "ink has weight", 0),
        Mutant("blank pages divide by zero", ("        if not len(rows):\n            continue\n", ""), "a blank page", 0),
        Mutant("rows and columns swapped", ("across = round(float(columns @", "across = round(float(rows @"), "ink has weight", 0),
    ),
)

NEAREST_LABELS = Exercise(
    name="nearest_labels", kind="further", target="nearest_labels", difficulty=2, minutes=40,
    text="""The nearest training image is right more often than the nearest mean. Are several neighbours wiser than one?
Let the $k$ nearest vote, and choose $k$ on a validation set (exercise 5 above).""",
    stub='''def nearest_labels(queries, images, labels, k=1):
    """The label most common among the k nearest images, for each query.

    Parameters
    ----------
    queries : ndarray of uint8, shape (m, pixels)
    images : ndarray of uint8, shape (n, pixels)
    labels : ndarray of integers, shape (n,)
    k : int
        From 1 to n.

    Returns
    -------
    ndarray of integers, shape (m,)
        Near is what has a small sum of squared differences; of images equally far, the earlier
        counts as nearer. Of labels with equally many votes, the one that holds the nearest image.
    """
''',
    solution='''def nearest_labels(queries, images, labels, k=1):
    """The label most common among the k nearest images, for each query."""
    stored, answers = images.astype(np.float64), []
    for query in queries:
        distances = np.square(stored - query).sum(axis=1)
        near = labels[np.argsort(distances, kind="stable")[:k]].tolist()
        answers.append(max(near, key=near.count))
    return np.array(answers)
''',
    expected=nearest_labels,
    cases=(
        Case("one neighbour", 1, "A classifier that stores everything and looks up the answer.",
             lambda rng, size=3: call("nearest_labels", pixels(rng, 2, 4), pixels(rng, size + 2, 4), rng.permutation(size + 2))),
        Case("three vote", 2, "One wrong label among the neighbours should not decide alone.",
             lambda rng: call("nearest_labels", np.array([[10, 10]], np.uint8),
                              np.array([[11, 10], [13, 10], [10, 14], [200, 9]], np.uint8), np.array([7, 1, 1, 7]), k=3)),
        Case("a tie", 1, "With two neighbours of two opinions, the nearer one knows better.",
             lambda rng: call("nearest_labels", np.array([[10, 10]], np.uint8),
                              np.array([[10, 14], [11, 10], [99, 99]], np.uint8), np.array([2, 5, 2]), k=2)),
        Case("many of each", 2, "Bytes that are subtracted as bytes wrap around: 3 - 5 is 254.", hidden=True,
             draw=lambda rng, size=20: call("nearest_labels", pixels(rng, size, 16), pixels(rng, 4 * size, 16),
                                            rng.integers(0, 4, 4 * size), k=min(7, size))),
        Case("equally far", 1, "The answer must not depend on how a library sorts.", hidden=True,
             draw=lambda rng: call("nearest_labels", np.array([[50, 50]], np.uint8),
                                   np.tile(np.array([[50, 53], [53, 50], [90, 90]], np.uint8), (12, 1)), rng.permutation(36), k=1)),
        Case("everyone votes", 1, "At k = n all queries get the same answer, the commonest label.", hidden=True,
             draw=lambda rng: call("nearest_labels", pixels(rng, 3, 5), pixels(rng, 9, 5), np.array([3, 1, 3, 0, 3, 1, 3, 2, 3]), k=9)),
    ),
    hints=(
        "What is `np.uint8(3) - np.uint8(5)`? And which of two images at the same distance comes first in a stable sort?",
        "One query at a time: squared differences to all images, in floats; the places of the k smallest, in order; their "
        "labels. `max(..., key=...)` returns the first of equals.",
        "The end of section *A baseline to beat* of {ref}`ch-digits`.",
    ),
    mutants=(
        Mutant("subtracts bytes", ("images.astype(np.float64)", "images"), "many of each", 0),
        Mutant("k is ignored", ("[:k]]", "[:1]]"), "three vote", 1),
        Mutant("the smallest label wins a tie", ("max(near, key", "max(sorted(near), key"), "a tie", 1),
        Mutant("the farthest vote", ("np.argsort(distances,", "np.argsort(-distances,"), "one neighbour", 1),
        Mutant("of equals the later", ('np.argsort(distances, kind="stable")[:k]',
                                       'len(labels) - 1 - np.argsort(distances[::-1], kind="stable")[:k]'), "equally far", 0),
    ),
)

EXERCISES = [SCALE_PIXELS, MINIBATCHES, PART_SIZES, PARSE_IDX, RECENTRE, NEAREST_LABELS]

QUESTIONS = [
    Question(
        "Divide all pixels by 255. How many of the nearest mean's 10,000 answers change? Then divide each pixel by its own "
        "standard deviation over the training set instead. Do answers change now, and what about the pixels that no "
        "training image touches?",
        "Dividing everything by 255 divides every distance by 255, so what was nearest stays nearest: not one answer changes. "
        "Dividing each pixel by its own spread is another matter. It stretches space by a different factor in each direction, "
        "so a pixel near the border, inked once in a thousand images, comes to weigh as much as one in the middle, and one "
        "stray spot of ink there can outweigh a whole stroke. About a thousand answers change, and the accuracy falls from "
        "82.0 % to 80.9 %. A blank pixel has standard deviation zero: in the training set it becomes 0/0, and the one test image that "
        "has ink on such a pixel would be infinitely far from everything. Such pixels must be left out, or left alone."),
    Question(
        "Two networks read the same 10,000 test digits, one 98.0 % of them correctly, the other 98.2 %. How sure can you be "
        "that the second is better? Why does it help to know on which digits they differ?",
        "By the formula for the spread of a score, each has a standard deviation of "
        "$\\sqrt{0.98\\cdot0.02/10000}\\approx0.0014$. Were the two tested on different digits, their difference of 0.002 "
        "would have one of $\\sqrt2\\cdot0.0014=0.002$: one standard deviation, which chance alone exceeds in one direction "
        "about one time in six. But they read the same digits, and most are easy or hard for both. Only those on "
        "which exactly one is right can tell them apart. Say there are 60: then the second won 40 and the first 20. If both "
        "were equally good, that would be 60 tosses of a fair coin, with a standard deviation of $\\sqrt{60}/2\\approx3.9$; "
        "40 is 2.6 of these above 30. Now it is hard to call it luck. Had they differed on 400 digits, 210 against 190, it would be "
        "nothing. The same two scores can be strong evidence or none."),
    Question(
        "In the running guess, replace 0.001 by $1/t$ for the $t$-th image. What is the guess after all 60,000, and what "
        "becomes of the difference between the two orders? Why does training a network not simply do this?",
        "The first image replaces the guess, since $1/1=1$. After the second it is the mean of two, after the third "
        "$\\tfrac23\\cdot\\tfrac12(x_1+x_2)+\\tfrac13x_3$, the mean of three, and so on: after image $t$ it is exactly the mean of the "
        "first $t$. After an epoch both orders give the mean image, up to rounding, and the difference is gone, because every "
        "image has the same weight $1/n$ however late it came. For a mean that is perfect. In a network the pull of an image depends on "
        "where the weights are at the moment: the early steps were taken with poor weights, and are better forgotten. A rate that falls as "
        "fast as $1/t$ remembers them for good and soon hardly moves. So rates fall more slowly, and the data are shuffled."),
]
