"""Reading files and dealing out samples, one number at a time."""

import csv
import gzip
import math
import struct
from fractions import Fraction

import numpy as np

# --- IDX files ---------------------------------------------------------------------

IDX_CODES = {0x08: "B", 0x09: "b", 0x0B: "h", 0x0C: "i", 0x0D: "f", 0x0E: "d"}


def parse_idx(raw, name="IDX data"):
    """Nested lists out of the bytes of an IDX file, then an array."""
    if len(raw) < 4 or raw[0] != 0 or raw[1] != 0 or raw[2] not in IDX_CODES or raw[3] == 0:
        raise ValueError(f"{name}: not an IDX file")
    code, dimensions = IDX_CODES[raw[2]], raw[3]
    shape = []
    for k in range(dimensions):
        b = raw[4 + 4 * k : 8 + 4 * k]
        shape.append(((b[0] * 256 + b[1]) * 256 + b[2]) * 256 + b[3])
    size = struct.calcsize(code)
    values = []
    for start in range(4 + 4 * dimensions, len(raw), size):
        values.append(struct.unpack(">" + code, raw[start : start + size])[0])
    return np.array(nest(values, shape)).reshape(shape)


def nest(values, shape):
    """A flat list as lists within lists: the last index runs fastest."""
    if len(shape) == 1:
        if len(values) != shape[0]:
            raise ValueError(f"expected {shape[0]} values, got {len(values)}")
        return values
    if shape[0] == 0:
        return []
    step = len(values) // shape[0]
    return [nest(values[i * step : (i + 1) * step], shape[1:]) for i in range(shape[0])]


def read_idx(path):
    """The array in an IDX file, plain or gzip."""
    with open(path, "rb") as file:
        raw = file.read()
    if raw[:2] == b"\x1f\x8b":
        raw = gzip.decompress(raw)
    return parse_idx(raw, str(path))


# --- Pixels ------------------------------------------------------------------------


def scale_pixels(images, dtype=np.float64):
    """Divide every pixel by 255."""

    def scaled(x):
        if isinstance(x, list):
            return [scaled(part) for part in x]
        if not (0 <= x <= 255 and x == math.floor(x)):
            raise ValueError(f"expected a whole number from 0 to 255, got {x}")
        return x / 255

    return np.array(scaled(np.asarray(images).tolist()), dtype=dtype)


def to_half(values):
    """Round each number to the nearest one with 11 significant bits, ties to even."""
    rows = []
    for row in np.asarray(values).tolist():
        rounded = [nearest_half(float(x)) for x in row]
        for x, h in zip(row, rounded):
            if abs(h) > 65504 or (x == math.floor(x) and h != x) or (h == 0 and x != 0):
                raise ValueError(f"{x} would become {h}")
        rows.append(rounded)
    return np.array(rows)


def nearest_half(x):
    """The nearest half-precision number to x (its exponent not limited upwards)."""
    if x == 0:
        return 0.0
    exponent = max(math.frexp(x)[1] - 1, -14)
    unit = Fraction(2) ** (exponent - 10)
    return float(round(Fraction(x) / unit) * unit)


# --- Tables ------------------------------------------------------------------------


def read_kaggle_csv(path):
    """(images, labels) from Kaggle's CSV; labels are None when there is no such column."""
    with open(path, encoding="utf-8-sig", newline="") as file:
        rows = list(csv.reader(file))
    columns, images, labels = rows[0], [], []
    for row in rows[1:]:
        cells = {}
        for name, text in zip(columns, row, strict=True):
            cells[name] = int(text)
            if not 0 <= cells[name] <= 255:
                raise ValueError(f"{name}: {text}")
        if "label" in cells:
            labels.append(cells["label"])
        images.append([[cells[f"pixel{28 * i + j}"] for j in range(28)] for i in range(28)])
    return np.array(images), np.array(labels) if "label" in columns else None


# --- Random order ------------------------------------------------------------------
# NumPy's default generator from its published description: a seed is stirred into a pool of
# four words (Melissa O'Neill's seed_seq), which start a PCG64, a 128-bit linear congruential
# generator whose output is scrambled to 64 bits.

MASK32, MASK64, MASK128 = 2**32 - 1, 2**64 - 1, 2**128 - 1


def seed_words(seed, count):
    """`count` well-stirred 32-bit words from an integer seed."""
    entropy = [seed & MASK32]
    while seed := seed >> 32:
        entropy.append(seed & MASK32)
    constant = 0x43B0D7E5

    def scramble(value):
        nonlocal constant
        value ^= constant
        constant = constant * 0x931E8875 & MASK32
        value = value * constant & MASK32
        return value ^ value >> 16

    def mix(x, y):
        value = (0xCA01F9DD * x - 0x4973F715 * y) & MASK32
        return value ^ value >> 16

    pool = [scramble(entropy[i] if i < len(entropy) else 0) for i in range(4)]
    for source in range(4):
        for target in range(4):
            if source != target:
                pool[target] = mix(pool[target], scramble(pool[source]))
    for word in entropy[4:]:
        for target in range(4):
            pool[target] = mix(pool[target], scramble(word))
    words, constant = [], 0x8B51F9DD
    for i in range(count):
        value = pool[i % 4] ^ constant
        constant = constant * 0x58F38DED & MASK32
        value = value * constant & MASK32
        words.append(value ^ value >> 16)
    return words


class Generator:
    """Random 32-bit words, as NumPy's default_rng(seed) makes them."""

    def __init__(self, seed):
        words = seed_words(seed, 8)
        a, b, c, d = (words[2 * i] | words[2 * i + 1] << 32 for i in range(4))
        self.increment = ((c << 64 | d) << 1 | 1) & MASK128
        self.state = 0
        self.spare = None
        self.step()
        self.state = (self.state + (a << 64 | b)) & MASK128
        self.step()

    def step(self):
        self.state = (self.state * 0x2360ED051FC65DA44385DF649FCCF645 + self.increment) & MASK128

    def word(self):
        """32 random bits: each step makes 64, the upper half is kept for the next call."""
        if self.spare is not None:
            value, self.spare = self.spare, None
            return value
        self.step()
        value = (self.state >> 64) ^ (self.state & MASK64)
        turn = self.state >> 122
        value = (value >> turn | value << (64 - turn)) & MASK64
        self.spare = value >> 32
        return value & MASK32

    def up_to(self, largest):
        """A whole number from 0 to `largest`, each equally likely: draw until one fits."""
        mask = (1 << largest.bit_length()) - 1
        while (value := self.word() & mask) > largest:
            pass
        return value


def shuffle(n, seed):
    """Fisher and Yates: swap each place with a random one at or before it."""
    generator = Generator(seed)
    order = list(range(n))
    for i in range(n - 1, 0, -1):
        j = generator.up_to(i)
        order[i], order[j] = order[j], order[i]
    return np.array(order, dtype=np.int64)


# --- Dealing out samples -----------------------------------------------------------


def minibatches(n, size, rng=None, drop_last=False):
    """Arrays of indices: `size` at a time."""
    order = list(range(n)) if rng is None else rng.permutation(n).tolist()
    batch = []
    for index in order:
        batch.append(index)
        if len(batch) == size:
            yield np.array(batch)
            batch = []
    if batch and not drop_last:
        yield np.array(batch)


def part_sizes(n, fractions):
    """How many samples each part gets: largest remainders first, the earlier part on ties."""
    fractions = list(fractions)
    if all(type(f) is int for f in fractions):
        return fractions
    exact = [n * f for f in fractions]
    sizes = [math.floor(q) for q in exact]
    left = round(math.fsum(exact)) - sum(sizes)
    for _ in range(left):
        best = 0
        for k in range(len(sizes)):
            if exact[k] - sizes[k] > exact[best] - sizes[best]:
                best = k
        sizes[best] += 1
    return sizes


def stratified_counts(class_counts, sizes):
    """A table: samples of each class in each part, the last part being what no part takes."""
    n = sum(class_counts)
    sizes = list(sizes) + [n - sum(sizes)]
    table = []
    for count in class_counts:
        table.append([math.floor(Fraction(count) * Fraction(size, n)) for size in sizes])
    missing = []
    for k in range(len(sizes)):
        missing.append(sizes[k] - sum(row[k] for row in table))
    for row, count in zip(table, class_counts):
        taken = set()
        for _ in range(count - sum(row)):
            best = None
            for k in range(len(sizes)):
                if k not in taken and (best is None or missing[k] > missing[best]):
                    best = k
            taken.add(best)
        for k in taken:
            row[k] += 1
            missing[k] -= 1
    return table


def split(n, fractions, seed, stratify=None):
    """Index arrays, one for each part."""
    sizes = part_sizes(n, fractions)
    order = shuffle(n, seed).tolist()
    if stratify is None:
        parts, start = [], 0
        for size in sizes:
            parts.append(order[start : start + size])
            start += size
        return tuple(np.array(part) for part in parts)
    labels = np.asarray(stratify).tolist()
    classes = sorted(set(labels))
    table = stratified_counts([labels.count(c) for c in classes], sizes)
    parts = [[] for _ in range(len(sizes) + 1)]
    for index in order:
        room = table[classes.index(labels[index])]
        k = 0
        while room[k] == 0:
            k += 1
        room[k] -= 1
        parts[k].append(index)
    return tuple(np.array(part, dtype=np.int64) for part in parts[: len(sizes)])
