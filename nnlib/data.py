# Generated from book/01-digits.md by `python -m course tangle`.
# Do not edit: change the chapter, then tangle again.
"""Digits."""

import difflib
import gzip
import hashlib
import itertools
import json
import math
import mmap
import os
import shutil
import struct
import urllib.request
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

import numpy as np

__all__ = [
    "DataError",
    "MissingFile",
    "require_file",
    "read_bytes",
    "IDX_TYPES",
    "parse_idx",
    "read_idx",
    "MNIST_MD5",
    "read_checked",
    "read_published",
    "data_folder",
    "load_mnist",
    "check_images",
    "check_labels",
    "scale_pixels",
    "shuffle",
    "minibatches",
    "part_sizes",
    "stratified_counts",
    "split",
    "is_number",
    "first_bad_cell",
    "parse_rows",
    "read_header",
    "read_blocks",
    "read_kaggle_csv",
    "DigitRecognizer",
    "load_digit_recognizer",
    "read_digit_recognizer",
    "read_arrays",
    "FASHION_MD5",
    "FASHION_CLASSES",
    "FASHION_URL",
    "DEBIAN_FASHION",
    "download_published",
    "load_fashion_mnist",
    "load_fashion_sample",
    "to_half",
    "write_halves",
    "csv_to_frame",
    "map_array",
    "Frame",
]


# book/01-digits.md, "A reader that says what is wrong"
class DataError(ValueError):
    """A file or an array is not what was expected; says what came."""


# book/01-digits.md, "A reader that says what is wrong"
class MissingFile(DataError, FileNotFoundError):
    """A file or a folder that should be there is not."""


# book/01-digits.md, "A reader that says what is wrong"
def require_file(path):
    """Return `path` as a Path if a file is there.

    Raises
    ------
    MissingFile
        With the name of a similar file in the same folder, if there is one.
    DataError
        If it is a folder.
    """
    path = Path(path)
    if path.is_file():
        return path
    if path.is_dir():
        raise DataError(f"{path}: expected a file, got a folder")
    beside = os.listdir(path.parent) if path.parent.is_dir() else []
    near = difflib.get_close_matches(path.name, beside, n=1)
    hint = "data/README.md says where the data comes from"
    if near:
        hint = f"did you mean {near[0]}?"
    raise MissingFile(f"{path}: no such file; {hint}")


# book/01-digits.md, "A reader that says what is wrong"
def read_bytes(path):
    """Return the bytes of a file, decompressed if the first two say gzip.

    Raises
    ------
    MissingFile, DataError
        If there is no such file; if its gzip data is cut off or damaged.
    """
    raw = require_file(path).read_bytes()
    if raw[:2] != b"\x1f\x8b":
        return raw
    try:
        return gzip.decompress(raw)
    except (EOFError, OSError, zlib.error) as error:
        raise DataError(f"{path}: gzip data cut off or damaged: {error}") from None

# book/01-digits.md, "A reader that says what is wrong"
IDX_TYPES = {
    0x08: ">u1", 0x09: ">i1",  # bytes without and with a sign
    0x0B: ">i2", 0x0C: ">i4",  # integers
    0x0D: ">f4", 0x0E: ">f8",  # floats
}


# book/01-digits.md, "A reader that says what is wrong"
def parse_idx(raw, name="IDX data"):
    """Turn the bytes of an IDX file into an array.

    Parameters
    ----------
    raw : bytes
    name : str
        What error messages call these bytes.

    Returns
    -------
    ndarray
        Of the header's shape and type, in this machine's byte order, read-only.

    Raises
    ------
    DataError
        If the header is not one, or promises more or fewer bytes than came.

    Sources
    -------
    LeCun, Cortes and Burges: the format, at the end of the MNIST page.
    """
    good = len(raw) >= 4 and raw[:2] == b"\0\0" and raw[2] in IDX_TYPES
    if not good or not 1 <= raw[3] <= 32:
        raise DataError(f"{name}: expected an IDX file (bytes 00 00, a type from 08 to "
                        "0e, 1 to 32 dimensions), "
                        f"got {raw[:4].hex(' ') or 'no bytes'}")
    dtype, dimensions = np.dtype(IDX_TYPES[raw[2]]), raw[3]
    start = 4 + 4 * dimensions
    if len(raw) < start:
        raise DataError(f"{name}: expected a header of {start} bytes, "
                        f"got {len(raw)} bytes")
    shape = struct.unpack(f">{dimensions}I", raw[4:start])
    count = math.prod(shape)
    expected = start + count * dtype.itemsize
    if len(raw) != expected:
        raise DataError(f"{name}: the header promises {shape} values of type "
                        f"{dtype.name}, {expected:,} bytes in all, got {len(raw):,}")
    values = np.frombuffer(raw, dtype, count, start).reshape(shape)
    values = values.astype(dtype.newbyteorder("="), copy=False)
    values.flags.writeable = False
    return values


# book/01-digits.md, "A reader that says what is wrong"
def read_idx(path):
    """Return the array in an IDX file, plain or gzip; see `parse_idx`."""
    return parse_idx(read_bytes(path), str(path))

# book/01-digits.md, "Is it the right file?"
MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}


# book/01-digits.md, "Is it the right file?"
def read_checked(path, digest):
    """Return the bytes of a file, decompressed, if they have this MD5.

    Raises
    ------
    MissingFile, DataError
        Also if the content is not, to the bit, what was published.
    """
    raw = read_bytes(path)
    found = hashlib.md5(raw, usedforsecurity=False).hexdigest()
    if found != digest:
        raise DataError(f"{path}: expected content with MD5 {digest}, got {found}")
    return raw


# book/01-digits.md, "Is it the right file?"
def read_published(folder, name, digests=None):
    """Return one of four published arrays, from `folder/name.gz` or `folder/name`.

    MNIST's, unless other digests are given. Raises what `read_checked` does.
    """
    path = folder / f"{name}.gz"
    if not path.is_file() and (folder / name).is_file():
        path = folder / name
    return parse_idx(read_checked(path, (digests or MNIST_MD5)[name]), str(path))


# book/01-digits.md, "Is it the right file?"
def data_folder():
    """Return the folder with the MNIST files.

    It is the one that the environment variable NNLIB_DATA names, or else the
    first `data` with MNIST's files in it, from the current folder upwards.

    Raises
    ------
    MissingFile
        If there is none.
    """
    chosen = os.environ.get("NNLIB_DATA")
    if chosen:
        if not Path(chosen).is_dir():
            raise MissingFile(f"NNLIB_DATA names {chosen!r}, "
                              "expected an existing folder")
        return Path(chosen)
    for place in (Path.cwd(), *Path.cwd().parents):
        if any((place / "data").glob("train-images-idx3-ubyte*")):
            return place / "data"
    raise MissingFile(f"no folder data/ with the MNIST files in {Path.cwd()} or above; "
                      "set the environment variable NNLIB_DATA to where they are")


# book/01-digits.md, "Is it the right file?"
def load_mnist(folder=None):
    """Load the 60,000 training and the 10,000 test digits.

    Parameters
    ----------
    folder : path, optional
        Where the four files are, gzip or plain; `data_folder()` by default.

    Returns
    -------
    (train_images, train_labels), (test_images, test_labels)
        Images: uint8, shape (n, 28, 28), 0 is paper and 255 is ink.
        Labels: uint8, shape (n,), 0 to 9. All read-only.

    Raises
    ------
    MissingFile, DataError
        If a file is not there, or not exactly as published.

    Sources
    -------
    LeCun, Bottou, Bengio and Haffner (1998);
    http://yann.lecun.com/exdb/mnist/
    """
    folder = data_folder() if folder is None else Path(folder)
    arrays = [read_published(folder, name) for name in MNIST_MD5]
    return tuple(arrays[:2]), tuple(arrays[2:])


# book/01-digits.md, "At the door"
def check_images(images):
    """Return `images` as an array, if that is what they are.

    Parameters
    ----------
    images : array-like, shape (n, 28, 28) or (n, 784)
        At least one image; integers, or floats without NaN and infinity.

    Raises
    ------
    DataError
        With the shape, type or first bad value that came.
    """
    images = np.asarray(images)
    if images.shape[1:] not in ((28, 28), (784,)):
        raise DataError("expected images shaped (n, 28, 28) or (n, 784), "
                        f"got {images.shape}")
    if len(images) == 0:
        raise DataError(f"expected at least one image, got none: shape {images.shape}")
    if images.dtype.kind not in "uif":
        raise DataError(f"expected pixels that are numbers, got type {images.dtype}")
    if images.dtype.kind == "f" and not np.isfinite(images).all():
        where = tuple(np.argwhere(~np.isfinite(images))[0].tolist())
        raise DataError(f"expected finite pixels, got {images[where]} at index {where}")
    return images


# book/01-digits.md, "At the door"
def check_labels(labels, n, classes=10):
    """Return `labels` as an array, if they are `n` integers from 0 to classes - 1.

    Raises
    ------
    DataError
        With the shape, type or first bad label that came.
    """
    labels = np.asarray(labels)
    if labels.shape != (n,):
        raise DataError(f"expected labels shaped ({n},), got {labels.shape}")
    if labels.dtype.kind not in "ui":
        raise DataError(f"expected labels that are integers, got type {labels.dtype}")
    wrong = np.flatnonzero((labels < 0) | (labels >= classes))
    if len(wrong):
        raise DataError(f"expected labels from 0 to {classes - 1}, "
                        f"got {labels[wrong[0]]} at index {wrong[0]}")
    return labels


# book/01-digits.md, "At the door"
def scale_pixels(images, dtype=np.float32):
    """Scale pixels from 0..255 to 0..1.

    Parameters
    ----------
    images : array-like of whole numbers from 0 to 255, any shape
        Of any type: floats are fine if they hold whole numbers.
    dtype : float16, float32 or float64

    Returns
    -------
    ndarray of `dtype`, the same shape
        A new array; `images` is not touched.

    Raises
    ------
    DataError
        If a value is not a whole number from 0 to 255, as after scaling twice.
    """
    images = np.asarray(images)
    if images.dtype.kind not in "uif":
        raise DataError(f"expected pixels that are numbers, got type {images.dtype}")
    if images.dtype != np.uint8:
        good = (images >= 0) & (images <= 255) & (images == np.rint(images))
        if not good.all():
            where = tuple(np.argwhere(~good)[0].tolist())
            raise DataError("expected whole numbers from 0 to 255, got "
                            f"{images[where]} at index {where}: scaled already?")
    return np.divide(images, 255, dtype=dtype)


# book/01-digits.md, "Order"
def shuffle(n, seed):
    """Return the numbers 0 to n - 1 in random order, as an array.

    `seed` is a whole number; the same seed gives the same order.
    """
    return np.random.default_rng(seed).permutation(n)


# book/01-digits.md, "Order"
def minibatches(n, size, rng=None, drop_last=False):
    """Deal the numbers 0 to n - 1 into batches.

    Parameters
    ----------
    n, size : int
        Samples in all, and in each batch. The last batch holds what is left.
    rng : numpy.random.Generator, optional
        Draws the order (one permutation). In order without it.
    drop_last : bool
        Leave out a last batch that is not full.

    Returns
    -------
    iterator of ndarray of integers, shape (size,) or less
    """
    if n < 1 or size < 1:
        raise DataError(f"expected n and size of at least 1, got n={n} and size={size}")
    order = np.arange(n) if rng is None else rng.permutation(n)
    stop = n - n % size if drop_last else n
    return (order[start : start + size] for start in range(0, stop, size))


# book/01-digits.md, "Splitting fairly"
def part_sizes(n, fractions):
    """How many of n samples each part gets.

    Parameters
    ----------
    n : int
    fractions : sequence of float, or of int
        Shares that add up to at most 1, or counts that add up to at most n.
        What they leave belongs to no part.

    Returns
    -------
    list of int
        By the method of largest remainders; of equals, the earlier part first.

    Raises
    ------
    DataError
        If the fractions are too much, not positive, or a part would be empty.
    """
    fractions = list(fractions)
    counts = all(isinstance(f, (int, np.integer)) for f in fractions)
    too_much = math.fsum(fractions) > (n if counts else 1 + 1e-9)
    if too_much or not fractions or not all(f > 0 for f in fractions):
        raise DataError("expected positive fractions that add up to at most 1, or "
                        f"counts that add up to at most n={n}, got {fractions}")
    exact = fractions if counts else [n * f for f in fractions]
    sizes = [math.floor(share) for share in exact]
    most_cut = sorted(range(len(sizes)), key=lambda k: sizes[k] - exact[k])
    for k in most_cut[: round(math.fsum(exact)) - sum(sizes)]:
        sizes[k] += 1
    if 0 in sizes:
        raise DataError(f"n={n} samples are too few for {fractions}: "
                        f"part {sizes.index(0)} is empty")
    return sizes


# book/01-digits.md, "Splitting fairly"
def stratified_counts(class_counts, sizes):
    """How many samples of each class each part gets.

    Parameters
    ----------
    class_counts : list of int
        Samples of each class, n in all.
    sizes : list of int
        Samples of each part, at most n in all.

    Returns
    -------
    list of lists of int
        A row for each class; a column for each part, and a last one for what
        no part takes. Every entry is within one of its share,
        class_count * size / n, and all sums are exact.

    Sources
    -------
    Gale (1957), Ryser (1957): the construction of 0/1 matrices with given sums.
    """
    n = sum(class_counts)
    sizes = [*sizes, n - sum(sizes)]
    table = [[count * size // n for size in sizes] for count in class_counts]
    missing = [size - sum(column) for size, column in zip(sizes, zip(*table))]
    for row, count in zip(table, class_counts):
        neediest = sorted(range(len(sizes)), key=lambda k: -missing[k])
        for k in neediest[: count - sum(row)]:
            row[k] += 1
            missing[k] -= 1
    return table


# book/01-digits.md, "Splitting fairly"
def split(n, fractions, seed, stratify=None):
    """Split n samples at random, as into training, validation and test.

    Parameters
    ----------
    n : int
    fractions : sequence of float or int
        See `part_sizes`.
    seed : int
    stratify : array-like, shape (n,), optional
        Labels. Each part then gets its share of each class, within one sample.

    Returns
    -------
    tuple of ndarray of integers
        The indices of each part, in random order. No index is in two parts.
    """
    sizes = part_sizes(n, fractions)
    order = shuffle(n, seed)
    if stratify is None:
        return tuple(np.split(order, np.cumsum(sizes))[: len(sizes)])
    labels = np.asarray(stratify)
    if labels.shape != (n,):
        raise DataError(f"expected labels shaped ({n},) to stratify by, "
                        f"got {labels.shape}")
    classes, labels = np.unique(labels, return_inverse=True)
    table = stratified_counts(np.bincount(labels).tolist(), sizes)
    part = np.empty(n, dtype=np.int64)
    for c in range(len(classes)):
        members = order[labels[order] == c]
        part[members] = np.repeat(np.arange(len(sizes) + 1), table[c])
    return tuple(order[part[order] == k] for k in range(len(sizes)))


# book/01-digits.md, "Kaggle's version"
def is_number(text, dtype):
    """Is `text` a whole number from 0 to 255 (uint8), or finite (float64)?"""
    if dtype == np.uint8:
        return text.isascii() and text.isdigit() and float(text) <= 255
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


# book/01-digits.md, "Kaggle's version"
def first_bad_cell(lines, columns, dtype, line):
    """Say what is wrong with lines of CSV, as text; "" if nothing is.

    Parameters
    ----------
    lines : list of str
    columns : list of str
        The names from the header.
    dtype : uint8 or float64
        See `is_number`.
    line : int
        The number of lines[0] in its file.
    """
    kind = "a whole number from 0 to 255" if dtype == np.uint8 else "a finite number"
    for number, text in enumerate(lines, line):
        cells = [cell.strip().strip('"') for cell in text.split(",")]
        if len(cells) != len(columns):
            return f"line {number}: expected {len(columns)} values, got {len(cells)}"
        for column, cell in zip(columns, cells):
            if not is_number(cell, dtype):
                came = repr(cell) if cell else "nothing"
                return f"line {number}, column {column!r}: expected {kind}, got {came}"
    return ""


# book/01-digits.md, "Kaggle's version"
def parse_rows(lines, columns, dtype, line=2, name="CSV"):
    """Turn lines of CSV into a table of numbers.

    Parameters
    ----------
    lines, columns, dtype, line
        See `first_bad_cell`.
    name : str
        What error messages call the file.

    Returns
    -------
    ndarray of `dtype`, shape (len(lines), len(columns))

    Raises
    ------
    DataError
        With line and column of the first cell that is no such number.
    """
    if not any(text.isspace() for text in lines):
        try:
            table = np.loadtxt(lines, dtype, comments=None, delimiter=",",
                               quotechar='"', ndmin=2)
            if table.shape == (len(lines), len(columns)) and np.isfinite(table).all():
                return table
        except ValueError:
            pass
    problem = first_bad_cell(lines, columns, dtype, line)
    problem = problem or f"line {line} or below: expected only numbers"
    raise DataError(f"{name}, {problem}")


# book/01-digits.md, "Kaggle's version"
def read_header(file, name="CSV"):
    """Return the column names in the first line of an open CSV file."""
    first = file.readline()
    if "\0" in first or "\ufffd" in first:
        raise DataError(f"{name}: expected text, got binary data; unpack it first "
                        "if it is an archive")
    if not first.strip():
        raise DataError(f"{name}: expected a first line with column names, "
                        "got an empty line or file")
    columns = [column.strip().strip('"') for column in first.split(",")]
    for column in columns:
        if columns.count(column) > 1:
            raise DataError(f"{name}: expected column {column!r} once, got it "
                            f"{columns.count(column)} times")
    return columns


# book/01-digits.md, "Kaggle's version"
def read_blocks(file, columns, dtype, name="CSV", rows=4096):
    """Yield an open CSV file's tables, `rows` rows at a time, after its header."""
    line = 2
    while lines := list(itertools.islice(file, rows)):
        yield parse_rows(lines, columns, dtype, line, name)
        line += len(lines)
    if line == 2:
        raise DataError(f"{name}: expected rows after the header, got none")


# book/01-digits.md, "Kaggle's version"
def read_kaggle_csv(path):
    """Read a file of Kaggle's Digit Recognizer.

    Parameters
    ----------
    path : path
        CSV, with LF or CRLF line endings: columns pixel0 to pixel783 and, in
        training files, label.

    Returns
    -------
    images : ndarray of uint8, shape (n, 28, 28)
    labels : ndarray of uint8, shape (n,), or None if there is no column label

    Raises
    ------
    MissingFile, DataError
        With file, line and column of what is wrong.
    """
    pixels = [f"pixel{i}" for i in range(784)]
    with open(require_file(path), encoding="utf-8-sig", errors="replace") as file:
        columns = read_header(file, path)
        missing = [c for c in pixels if c not in columns]
        extra = [c for c in columns if c not in pixels and c != "label"]
        if missing or extra:
            raise DataError(f"{path}: expected columns pixel0 to pixel783 and maybe "
                            f"label, got {len(columns)} columns; "
                            f"missing: {', '.join(missing[:3]) or 'none'}, "
                            f"not expected: {', '.join(extra[:3]) or 'none'}")
        table = np.concatenate(list(read_blocks(file, columns, np.uint8, path)))
    images = table.take([columns.index(c) for c in pixels], axis=1)
    images = images.reshape(-1, 28, 28)
    if "label" not in columns:
        return images, None
    labels = table[:, columns.index("label")].copy()
    for row in np.flatnonzero(labels > 9)[:1]:
        raise DataError(f"{path}, line {row + 2}, column 'label': expected 0 to 9, "
                        f"got {labels[row]}")
    return images, labels


# book/01-digits.md, "Kaggle's version"
class DigitRecognizer(NamedTuple):
    """Kaggle's Digit Recognizer, or a stand-in of the same shapes.

    Images are uint8, shape (n, 28, 28), labels uint8, shape (n,). `source` is
    "Kaggle", then test_labels is None; or "stand-in", then they are known.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray | None
    source: str


# book/01-digits.md, "Kaggle's version"
def load_digit_recognizer(folder=None, seed=0):
    """Load 42,000 digits to train on and 28,000 to hand in answers for.

    Parameters
    ----------
    folder : path, optional
        The data folder, `data_folder()` by default. Kaggle's files are used if
        they are in its subfolder digit-recognizer.
    seed : int
        Shuffles MNIST's 70,000 images for the stand-in, made if they are not.

    Returns
    -------
    DigitRecognizer

    Raises
    ------
    MissingFile, DataError
        Also if only one of Kaggle's two files is there, or one is cut off.
    """
    folder = data_folder() if folder is None else Path(folder)
    kaggle = folder / "digit-recognizer"
    if (kaggle / "train.csv").exists() or (kaggle / "test.csv").exists():
        return read_digit_recognizer(kaggle / "train.csv", kaggle / "test.csv")
    images, labels = map(np.concatenate, zip(*load_mnist(folder)))
    train, test = np.split(shuffle(len(images), seed), [42_000])
    return DigitRecognizer(images[train], labels[train],
                           images[test], labels[test], "stand-in")


# book/01-digits.md, "Kaggle's version"
def read_digit_recognizer(train, test):
    """Read Kaggle's train.csv and test.csv; see `load_digit_recognizer`."""
    for file, other in ((train, test), (test, train)):
        if not file.exists():
            raise MissingFile(f"{file}: no such file, but {other.name} is there; "
                              "Kaggle's two files come together (with neither, a "
                              "stand-in is used)")
    parts = []
    for file, rows, labelled in ((train, 42_000, True), (test, 28_000, False)):
        images, labels = read_kaggle_csv(file)
        if (labels is not None) != labelled:
            raise DataError(f"{file}: expected {'a' if labelled else 'no'} column "
                            f"label, got {'one' if labels is not None else 'none'}")
        if len(images) != rows:
            raise DataError(f"{file}: expected {rows:,} rows, got {len(images):,}: "
                            "is it cut off?")
        parts += [images, labels]
    return DigitRecognizer(*parts, "Kaggle")


# book/01-digits.md, "Kaggle's version"
def read_arrays(path):
    """Read images, and labels if there are any, from a .npy or .npz file.

    Parameters
    ----------
    path : path
        A .npy file with images, or a .npz file with `images` and maybe `labels`.

    Returns
    -------
    images : ndarray, shape (n, 28, 28) or (n, 784)
    labels : ndarray of integers from 0 to 9, shape (n,), or None

    Raises
    ------
    MissingFile, DataError
        Also if the file holds Python objects: nothing is unpickled.
    """
    try:
        with open(require_file(path), "rb") as file:
            found = np.load(file, allow_pickle=False)
            if isinstance(found, np.ndarray):
                found = {"images": found}
            if not {"images"} <= set(found) <= {"images", "labels"}:
                raise DataError("expected arrays images and maybe labels, "
                                f"got {', '.join(found)}")
            images, labels = check_images(found["images"]), None
            if "labels" in found:
                labels = check_labels(found["labels"], len(images))
            return images, labels
    except MissingFile:
        raise
    except (ValueError, OSError, EOFError, zlib.error, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: {error}") from None

# book/01-digits.md, "The same names, with trousers"
FASHION_MD5 = {
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}
FASHION_CLASSES = ("T-shirt", "trouser", "pullover", "dress", "coat",
                   "sandal", "shirt", "sneaker", "bag", "ankle boot")
FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
DEBIAN_FASHION = "/usr/share/datasets/fashion-mnist"


# book/01-digits.md, "The same names, with trousers"
def download_published(url, folder, digests):
    """Download the files that a folder lacks; each must have the expected content.

    Parameters
    ----------
    url : str
        Where name.gz is for each name.
    folder : path
        Made if it is not there.
    digests : dict
        Name to MD5 of the decompressed content.

    Raises
    ------
    DataError
        If a file cannot be had, or is another one. Nothing is left of it then.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for name in digests:
        path, partial = folder / f"{name}.gz", folder / f".{name}.gz.{os.getpid()}"
        if path.is_file() or (folder / name).is_file():
            continue
        try:
            with urllib.request.urlopen(f"{url}/{path.name}", timeout=60) as source:
                with open(partial, "wb") as file:
                    shutil.copyfileobj(source, file)
            read_checked(partial, digests[name])
            partial.rename(path)
        except OSError as error:
            raise DataError(f"{url}/{path.name}: download failed: {error}") from None
        finally:
            partial.unlink(missing_ok=True)


# book/01-digits.md, "The same names, with trousers"
def load_fashion_mnist(folder=None, download=False):
    """Load the 60,000 training and the 10,000 test pictures of Fashion-MNIST.

    Parameters
    ----------
    folder : path, optional
        Where the four files are, gzip or plain. By default `fashion-mnist` in
        `data_folder()`, or else where Debian's package has them.
    download : bool
        Whether to download what is not there, 31 MB in all.

    Returns
    -------
    (train_images, train_labels), (test_images, test_labels)
        As `load_mnist`; label k is the class FASHION_CLASSES[k].

    Raises
    ------
    MissingFile, DataError
        If a file is not there, cannot be had, or is not exactly as published.

    Sources
    -------
    Xiao, Rasul and Vollgraf (2017); https://github.com/zalandoresearch/fashion-mnist
    """
    places = [data_folder() / "fashion-mnist", Path(DEBIAN_FASHION)]
    places = places if folder is None else [Path(folder)]
    for place in places:
        if all(any(place.glob(f"{name}*")) for name in FASHION_MD5):
            break
    else:
        place = places[0]
        if not download:
            raise MissingFile(f"{place}: expected Fashion-MNIST's four files. To fetch "
                              "them (31 MB), call load_fashion_mnist(download=True); "
                              "or, on Debian, apt-get install dataset-fashion-mnist")
        download_published(FASHION_URL, place, FASHION_MD5)
    arrays = [read_published(place, name, FASHION_MD5) for name in FASHION_MD5]
    return tuple(arrays[:2]), tuple(arrays[2:])


# book/01-digits.md, "The same names, with trousers"
def load_fashion_sample(folder=None):
    """Load 600 training and 300 test pictures of Fashion-MNIST, each class equally.

    Parameters
    ----------
    folder : path, optional
        The data folder, `data_folder()` by default.

    Returns
    -------
    (train_images, train_labels), (test_images, test_labels)
        As `load_fashion_mnist`.

    Raises
    ------
    MissingFile, DataError
        If fashion-mnist-sample.npz is not there, or is damaged.
    """
    folder = data_folder() if folder is None else Path(folder)
    images, labels = read_arrays(folder / "fashion-mnist-sample.npz")
    return (images[:600], labels[:600]), (images[600:], labels[600:])


# book/01-digits.md, "More data than memory"
def to_half(values, columns=None, line=0, name="values, row"):
    """Round a table to half precision, refusing what that would falsify.

    Parameters
    ----------
    values : array-like, shape (rows, columns)
    columns : list of str, optional
    line, name
        How error messages count and call the rows.

    Returns
    -------
    ndarray of float16, the same shape

    Raises
    ------
    DataError
        If a whole number would become another, or a number infinite, or zero.
    """
    values = np.asarray(values, dtype=np.float64)
    with np.errstate(over="ignore"):
        halves = values.astype(np.float16)
    changed = (values == np.rint(values)) & (halves != values)
    vanished = (halves == 0) & (values != 0)
    bad = changed | vanished | ~np.isfinite(halves)
    for row, k in np.argwhere(bad)[:1]:
        column = k if columns is None else repr(columns[k])
        raise DataError(f"{name} {line + row}, column {column}: half precision would "
                        f"turn {values[row, k]:.17g} into {float(halves[row, k]):g}")
    return halves


# book/01-digits.md, "More data than memory"
def write_halves(path, blocks):
    """Write float16 blocks of equal width, below each other, into a .npy file."""
    header = {"descr": "<f2", "fortran_order": False, "shape": (0, 0)}
    rows = width = 0
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        start = file.tell()
        for block in blocks:
            file.write(block.astype("<f2", copy=False).tobytes())
            rows, width = rows + len(block), block.shape[1]
        file.seek(0)
        header["shape"] = (rows, width)
        np.lib.format.write_array_header_1_0(file, header)
        if file.tell() != start:
            raise RuntimeError(f"{path}: expected a header of {start} bytes again, "
                               f"got {file.tell()}")


# book/01-digits.md, "More data than memory"
def csv_to_frame(csv, path, chunk_rows=4096):
    """Convert a CSV of numbers, of any length, into a frame on disk.

    Parameters
    ----------
    csv : path
        With a header line. Every cell must be a number that half precision can
        hold, see `to_half`.
    path : path
        The frame, a folder that must not exist yet.
    chunk_rows : int
        Rows in memory at a time.

    Returns
    -------
    Frame

    Raises
    ------
    MissingFile, DataError
        With line and column of what is wrong. Nothing is left behind then.
    """
    source, path = require_file(csv), Path(path)
    if path.exists():
        raise DataError(f"{path}: exists already; expected the name of a new frame")
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.mkdir(parents=True, exist_ok=True)
    try:
        with open(source, encoding="utf-8-sig", errors="replace") as file:
            columns = read_header(file, csv)
            names = json.dumps(columns)
            (partial / "columns.json").write_text(names, encoding="utf-8")
            lines = itertools.count(2, chunk_rows)
            blocks = read_blocks(file, columns, np.float64, csv, chunk_rows)
            halves = (to_half(block, columns, line, f"{csv}, line")
                      for block, line in zip(blocks, lines))
            write_halves(partial / "values.npy", halves)
        partial.rename(path)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return Frame(path)


# book/01-digits.md, "More data than memory"
def map_array(path):
    """Map a .npy file: a read-only array whose pages are read when touched.

    Raises
    ------
    ValueError, TypeError
        If it is no such file, or shorter than its header says.
    """
    with open(path, "rb") as file:
        np.lib.format.read_magic(file)
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        pages = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        if hasattr(mmap, "MADV_RANDOM"):
            pages.madvise(mmap.MADV_RANDOM)
        return np.ndarray(shape, dtype, pages, file.tell())


# book/01-digits.md, "More data than memory"
class Frame:
    """A table of half-precision numbers that stays on disk; see `csv_to_frame`.

    `frame[rows]` and `frame[rows, columns]` read what they return, as new
    float16 arrays. `rows` is a slice, a number, an array of numbers or of
    booleans; `columns` is a name (for one dimension less) or a list of names.
    Rows lie together on disk: reading few rows is cheap, reading one column of
    all rows touches every page.

    Parameters
    ----------
    path : path
        The folder that `csv_to_frame` made.

    Raises
    ------
    MissingFile, DataError
        If it is not such a folder, or damaged.
    """

    def __init__(self, path):
        names, values = Path(path) / "columns.json", Path(path) / "values.npy"
        try:
            self.columns = json.loads(require_file(names).read_text("utf-8"))
            self.values = map_array(require_file(values))
        except MissingFile:
            raise MissingFile(f"{path}: no frame there; "
                              "csv_to_frame makes one") from None
        except (ValueError, TypeError) as error:
            raise DataError(f"{path}: damaged frame: {error}") from None
        self.shape = self.values.shape
        self.places = {name: place for place, name in enumerate(self.columns)}
        if self.values.dtype != np.float16 or self.shape[1:] != (len(self.columns),):
            raise DataError(f"{path}: expected float16 in {len(self.columns)} columns, "
                            f"got {self.values.dtype} shaped {self.shape}")

    def __len__(self):
        return len(self.values)

    def __getitem__(self, key):
        rows, names = key if isinstance(key, tuple) else (key, None)
        if names is None:
            return np.array(self.values[rows])
        if isinstance(names, str):
            return np.array(self.values[rows, self.index(names)])
        places = [self.index(name) for name in names]
        if not isinstance(rows, (slice, int, np.integer)):
            rows = np.arange(len(self))[np.asarray(rows)][:, None]
        return np.array(self.values[rows, places])

    def index(self, name):
        """The place of a column."""
        if name not in self.places:
            near = difflib.get_close_matches(str(name), self.columns, n=1)
            raise DataError("expected a column of the frame, as "
                            f"{(near or self.columns)[0]!r}, got {name!r}")
        return self.places[name]
