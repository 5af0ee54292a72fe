"""The exercises of the chapter on the command line: from a photograph to 28 by 28 pixels. NumPy is all they need."""

import math

import numpy as np

from course.classroom.exercise import Case, Exercise, Mutant, Question, Script, call


# Further exercises bring their own reference: plain Python, floats and loops.

def pieces(ink, threshold=0.1):
    """Walk from column to column, and remember where ink began."""
    height, width = np.shape(ink)
    limit = threshold * max(float(value) for value in np.ravel(ink))
    found, start = [], None
    for c in range(width + 1):
        inked = c < width and any(float(ink[r, c]) > limit for r in range(height))
        if inked and start is None:
            start = c
        if not inked and start is not None:
            found.append((start, c))
            start = None
    return found


def biggest_blob(ink, threshold=0.1):
    """Every inked pixel is a blob at first; neighbours join, by telling each other the smaller name."""
    ink = np.asarray(ink, float)
    height, width = ink.shape
    inked = {(r, c) for r in range(height) for c in range(width) if ink[r, c] > threshold * ink.max()}
    parent = {p: p for p in inked}

    def root(p):
        while parent[p] != p:
            parent[p] = parent[parent[p]]
            p = parent[p]
        return p
    for r, c in sorted(inked):
        for near in ((r - 1, c - 1), (r - 1, c), (r - 1, c + 1), (r, c - 1)):
            if near in inked:
                parent[root((r, c))] = root(near)
    blobs = {}
    for p in inked:
        blobs.setdefault(root(p), []).append(p)
    result = np.zeros(ink.shape)
    for p in max(blobs.values(), key=lambda blob: math.fsum(ink[q] for q in blob)):
        result[p] = ink[p]
    return result


def upright(ink):
    """The line through the rows' centres by sums, the pixels between two by their distance."""
    ink = np.asarray(ink, float).tolist()
    height, width = len(ink), len(ink[0])
    cells = [(r, c, ink[r][c]) for r in range(height) for c in range(width)]
    total = math.fsum(w for _, _, w in cells)
    middle, column = math.fsum(w * r for r, _, w in cells) / total, math.fsum(w * c for _, c, w in cells) / total
    spread = math.fsum(w * (r - middle) ** 2 for r, _, w in cells)
    slope = math.fsum(w * (r - middle) * (c - column) for r, c, w in cells) / spread if spread else 0.0
    result = np.zeros((height, width))
    for r in range(height):
        for c in range(width):
            place = c + slope * (r - middle)
            for k in (math.floor(place), math.floor(place) + 1):
                if 0 <= k < width:
                    result[r, c] += ink[r][k] * (1 - abs(place - k))
    return result


# What is drawn.

def paper(rng, height, width, level, grain=0.0):
    """A page of one grey, and grain."""
    return level + rng.normal(0, grain, (height, width)) if grain else np.full((height, width), float(level))


def written(rng, height, width, level, stroke, grain=0.0):
    """Paper with a stroke of random darkness in its inside."""
    page = paper(rng, height, width, level, grain)
    page[2:-1, 2:4] = stroke + 0.2 * (level - stroke) * rng.random((height - 3, 2))
    return page


def bar(rng, height, width, top, left, tall, wide):
    """Light ink on dark, in a box that it fills."""
    page = np.zeros((height, width))
    page[top:top + tall, left:left + wide] = rng.uniform(0.3, 1, (tall, wide))
    return page


def leaning(rng, height, width, slope):
    """A stroke that leans, some grain in its ink."""
    rows, columns = np.arange(height)[:, None], np.arange(width)
    ink = np.clip(1.5 - np.abs(columns - width / 2 - slope * (rows - height / 2)), 0, 1)
    return ink * rng.uniform(0.5, 1, ink.shape)


FIND_INK = Exercise(
    name="find_ink", kind="build", target="find_ink", difficulty=2, minutes=40,
    cases=(
        Case("dark ink on light paper", 1, "The network was taught that ink is large and paper is zero.", dtype="float64",
             draw=lambda rng: call("find_ink", np.array([[200, 200, 200, 200], [200, 20, 200, 200], [200, 110, 200, 200], [200, 200, 200, 198]]))),
        Case("chalk on a blackboard", 1, "A negative is the same digit.", dtype="float64",
             draw=lambda rng: call("find_ink", np.array([[0.1, 0.1, 0.1], [0.1, 0.9, 0.1], [0.1, 0.5, 0.1], [0.1, 0.1, 0.1]]))),
        Case("paper of many greys", 2, "What differs no more than the border does is paper too, or the box becomes the whole picture.",
             lambda rng: call("find_ink", written(rng, 6, 7, 180, 40, grain=6))),
        Case("a blank page", 1, "A digit made of the grain of the paper would be read like any other.",
             lambda rng: call("find_ink", np.full((3, 4), 7.0)), raises="ValueError"),
        Case("bytes", 2, "200 + 100 is 44 where numbers are bytes, and white chalk on a board turns into paper.", hidden=True, dtype="float64",
             draw=lambda rng: call("find_ink", np.clip(written(rng, 7, 8, 40, 240, grain=4), 0, 255).astype(np.uint8))),
        Case("a stroke over the edge, and a glare", 2, "Lighter than the paper is not ink, if ink is dark; and a border is paper although somebody wrote over it.",
             hidden=True, draw=lambda rng: call("find_ink", np.array([[9.0, 9, 2, 9, 9], [9, 9, 2, 9, 9], [9, 9, 1, 12, 9], [9, 9, 2, 9, 9], [9, 9, 2, 9, 9]]))),
        Case("only a strip", 1, "A picture of one row is all border, and each pixel of it counts once.", hidden=True,
             draw=lambda rng: Script().call("find_ink", np.array([[5.0, 5, 5, 1, 4]])).call("find_ink", np.array([[5.0, 5], [1, 5], [5, 4]]))),
        Case("pixels that are no numbers", 1, "A median of NaN is NaN, and so is all that follows.", hidden=True, raises="ValueError",
             draw=lambda rng: call("find_ink", np.array([[1.0, 1, 1], [1, 0, np.nan], [1, 1, 1]]))),
        Case("a picture in colour", 1, "Three channels are not a picture of grey values.", hidden=True, raises="ShapeError",
             draw=lambda rng: call("find_ink", rng.uniform(0, 1, (4, 4, 3)))),
    ),
    hints=(
        "Which pixels do you trust to be paper? What do they tell you about its level, and about how sure you can be of it?",
        "Border pixels, each once; in double precision. Their median is the level; if it lies above the middle of the picture's range, ink is what is darker. "
        "Subtract from the distances as many medians of the border's differences as the docstring says, cut off at zero, divide by the largest.",
        "Section *Where is the ink?* of {ref}`ch-command-line`, {eq}`eq-cli-ink`.",
    ),
    mutants=(
        Mutant("a mean for the median", ("paper = np.median(border)", "paper = np.mean(border)"), "dark ink on light paper", 0),
        Mutant("perfect paper", ("unevenness = np.median(np.abs(border - paper))", "unevenness = 0.0"), "paper of many greys", 1),
        Mutant("the standard deviation", ("unevenness = np.median(np.abs(border - paper))", "unevenness = np.std(border)"), "dark ink on light paper", 1),
        Mutant("always dark ink", ("paper - gray if dark_ink else gray - paper", "paper - gray"), "chalk on a blackboard", 1),
        Mutant("whatever differs", ("paper - gray if dark_ink else gray - paper", "np.abs(paper - gray)"), "a stroke over the edge, and a glare", 1),
        Mutant("computes with bytes", ("gray = gray.astype(np.float64)", "gray = gray + np.uint8(0)"), "bytes", 1),
        Mutant("a page of nothing", ("if ink.max() == 0:", "if False:"), "a blank page", 2),
        Mutant("parts of all the ink", ("return ink / ink.max()", "return ink / ink.sum()"), "dark ink on light paper", 1),
        Mutant("NaN goes through", ("if not np.isfinite(gray).all():", "if False:"), "pixels that are no numbers", 2),
    ),
)

OVERLAP_MATRIX = Exercise(
    name="overlap_matrix", kind="build", target="overlap_matrix", difficulty=2, minutes=25,
    cases=(
        Case("five pixels to two", 1, "The pixel in the middle is shared by both.", lambda rng: call("overlap_matrix", 2, 5)),
        Case("two to three", 1, "Nothing asks which of the two is larger.", lambda rng: call("overlap_matrix", 3, 2)),
        Case("six to three, four to four", 1, "Whole blocks, and nothing to do at all.", lambda rng: Script().call("overlap_matrix", 3, 6).call("overlap_matrix", 4, 4)),
        Case("sixty-seven to twenty", 2, "Photographs do not come in multiples of twenty.", hidden=True, draw=lambda rng: call("overlap_matrix", 20, 67)),
        Case("thirteen to twenty", 1, "A small drawing has to grow.", hidden=True, draw=lambda rng: call("overlap_matrix", 20, 13)),
        Case("to one, from one", 1, "The dash of a minus sign has one row, or one column.", hidden=True,
             draw=lambda rng: Script().call("overlap_matrix", 1, 9).call("overlap_matrix", 9, 1)),
    ),
    hints=(
        "Do five to two on squared paper: a ruler of ten, old pixels of two, new ones of five.",
        "A column of left ends of new pixels, a row of left ends of old ones; the overlap of two intervals is the smaller right end less the larger left end, and not "
        "less than zero. Divide by the length of a new pixel.",
        "Section *Every new pixel an average* of {ref}`ch-command-line`, {eq}`eq-cli-overlap`.",
    ),
    mutants=(
        Mutant("lengths in place of shares", ("np.maximum(overlap, 0) / old", "np.maximum(overlap, 0)"), "five pixels to two", 1),
        Mutant("shares of the old pixel", ("np.maximum(overlap, 0) / old", "np.maximum(overlap, 0) / new"), "five pixels to two", 1),
        Mutant("less than nothing", ("np.maximum(overlap, 0)", "overlap"), "five pixels to two", 1),
        Mutant("the rulers exchanged", ("old * np.arange(new)[:, None], new * np.arange(old)", "new * np.arange(new)[:, None], old * np.arange(old)"), "two to three", 0),
        Mutant("from the larger ends", ("np.minimum(left + old, lower + new)", "np.maximum(left + old, lower + new)"), "five pixels to two", 1),
    ),
)

CENTER_OF_MASS = Exercise(
    name="center_of_mass", kind="build", target="center_of_mass", difficulty=1, minutes=10,
    cases=(
        Case("three pixels", 1, "The heavy end draws the centre towards it.", lambda rng: call("center_of_mass", np.array([[0, 0], [1, 0], [1, 2]]))),
        Case("a page of ink", 1, "Even ink has its centre in the geometrical middle, counted from zero.", lambda rng: call("center_of_mass", np.ones((3, 5)))),
        Case("drawn ink", 1, "Row first, column second.", hidden=True, draw=lambda rng, size=4: call("center_of_mass", rng.uniform(0, 1, (size, size + 3)))),
        Case("one pixel in the corner", 1, "Nothing else on the page has any weight.", hidden=True,
             draw=lambda rng: call("center_of_mass", np.array([[0.0, 0, 0, 0], [0, 0, 0, 0.3]]))),
    ),
    hints=(
        "On one axis first: three weights at the places 0, 1 and 2. Where must you support the beam?",
        "The weight of a row is the sum of its ink. Weights times places, summed, divided by the sum of the weights; then the same for columns.",
        "Section *Where is the middle?* of {ref}`ch-command-line`, {eq}`eq-cli-center`.",
    ),
    mutants=(
        Mutant("rows and columns exchanged", ("return row, column", "return column, row"), "three pixels", 1),
        Mutant("counted from one", ("ink.sum(axis=1) @ np.arange(ink.shape[0]) / total", "ink.sum(axis=1) @ np.arange(1, ink.shape[0] + 1) / total"), "a page of ink", 0),
        Mutant("every inked pixel alike", ("    total = ink.sum()", "    ink = (ink > 0) * 1.0\n    total = ink.sum()"), "three pixels", 0),
        Mutant("divided by all pixels", ("total = ink.sum()", "total = ink.size"), "three pixels", 1),
    ),
)

PREPARE_DIGIT = Exercise(
    name="prepare_digit", kind="build", target="prepare_digit", difficulty=3, minutes=40,
    cases=(
        Case("a bar in a small field", 2, "Cropped, scaled to the longer side, its centre of mass next to the middle.", dtype="float32",
             draw=lambda rng: call("prepare_digit", bar(rng, 9, 12, 2, 3, 6, 4), size=8, side=4)),
        Case("half a pixel", 1, "Four even pixels could go to place 2 or 3. Halves go up; the page in the browser says so, too.", dtype="float32",
             draw=lambda rng: call("prepare_digit", np.pad(np.ones((4, 4)), 3), size=8, side=4)),
        Case("dark on light, from bytes", 1, "Whoever calls this need not know what kind of picture it is.", dtype="float32",
             draw=lambda rng: call("prepare_digit", (250 - 200 * bar(rng, 8, 8, 2, 1, 3, 5)).astype(np.uint8), size=7, side=5)),
        Case("no room to move", 1, "The centre of mass may want to be where the picture would end.", dtype="float32",
             draw=lambda rng: call("prepare_digit", np.array([[0.0] * 8, [0, 0.12, 0.12, 0.12, 0.12, 0.12, 1, 0], [0] * 8]), size=6, side=6)),
        Case("as large as MNIST", 2, "Twenty in twenty-eight, from a page of any size.", hidden=True, dtype="float32",
             draw=lambda rng: call("prepare_digit", written(rng, 41, 57, 230, 30, grain=3))),
        Case("taller than wide, small", 1, "A small drawing grows, and keeps its proportions.", hidden=True, dtype="float32",
             draw=lambda rng: call("prepare_digit", bar(rng, 13, 9, 3, 2, 7, 2))),
        Case("nothing on the page", 1, "It says no, clearly.", hidden=True, raises="ValueError", draw=lambda rng: call("prepare_digit", np.zeros((30, 30)))),
    ),
    hints=(
        "Four steps, each of which you have. After which of them may the largest value no longer be 1?",
        "find_ink, crop_to_ink, fit_into; divide by the maximum. Down and across: size / 2 less the centre, rounded by floor(x + ½), not below 0 and not beyond size less length. "
        "Write it into an empty field of float32.",
        "Section *Where is the middle?* of {ref}`ch-command-line`, {eq}`eq-cli-place` and its margin note.",
    ),
    mutants=(
        Mutant("halves to the even side", ("np.floor(size / 2 - center + 0.5)", "np.round(size / 2 - center)"), "half a pixel", 1),
        Mutant("the geometrical middle", ("size / 2 - center", "(size - 1) / 2 - center"), "half a pixel", 2),
        Mutant("the box in the middle", ("np.floor(size / 2 - center + 0.5)", "(size - length) // 2"), "half a pixel", 2),
        Mutant("pushed off the page", ("int(np.clip(np.floor(size / 2 - center + 0.5), 0, size - length))", "int(np.floor(size / 2 - center + 0.5))"), "no room to move", 1),
        Mutant("pale", ("    small = small / small.max()\n", ""), "a bar in a small field", 0),
        Mutant("down and across exchanged", ("top, left = places", "left, top = places"), "a bar in a small field", 1),
        Mutant("twice as wide as needed", ("np.zeros((size, size), np.float32)", "np.zeros((size, size))"), "a bar in a small field", 1),
        Mutant("not cut out", ("crop_to_ink(find_ink(gray))", "find_ink(gray)"), "a bar in a small field", 0),
    ),
)

PIECES = Exercise(
    name="pieces", kind="further", target="pieces", difficulty=2, minutes=25,
    text="""To read a number, cut a line of digits where columns have no ink (exercise 6, *Read a number*). Where are the cuts? With this function, `find_ink`, `prepare_digit` and a network you can
read a postcode. When will it fail, and could the program know?""",
    stub='''def pieces(ink, threshold=0.1):
    """The ranges of columns that have ink, from left to right.

    Parameters
    ----------
    ink : ndarray, shape (height, width)
        From 0, paper, to 1; there is some ink.
    threshold : float
        A column has ink if a pixel of it has more than this share of the maximum.

    Returns
    -------
    list of (int, int)
        The first column of each piece, and the first behind it: ink[:, start:stop] is
        the piece.
    """
''',
    solution='''def pieces(ink, threshold=0.1):
    """The ranges of columns that have ink, from left to right."""
    inked = (ink > threshold * ink.max()).any(axis=0)
    steps = np.diff(np.concatenate([[0], inked.astype(int), [0]]))
    starts, stops = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    return [(int(start), int(stop)) for start, stop in zip(starts, stops)]
''',
    expected=pieces,
    cases=(
        Case("two strokes", 1, "One column of paper is enough.", lambda rng: call("pieces", np.array([[0, 0.9, 0, 0.8, 0.4, 0], [0, 1.0, 0, 0, 0.5, 0]]))),
        Case("from edge to edge", 2, "The first piece may begin, and the last one end, with the picture.", lambda rng: call("pieces", np.array([[1.0, 0, 0.5, 0, 0.7, 0.7]]))),
        Case("traces", 1, "Grain of the paper must not join two digits.", lambda rng: call("pieces", np.array([[0.5, 0.05, 0.3], [0.4, 0.01, 0.06]]))),
        Case("one piece, all of it", 1, "A single digit is a number as well.", hidden=True, draw=lambda rng: call("pieces", rng.uniform(0.5, 1, (3, 5)))),
        Case("many, drawn", 2, "Wide ones, narrow ones, wide gaps, narrow gaps.", hidden=True,
             draw=lambda rng: call("pieces", rng.uniform(0.2, 1, (4, 40)) * np.repeat(rng.random(20) < 0.6, 2))),
        Case("a threshold of its own", 1, "Faint ink asks for a lower one; it is a share of the maximum.", hidden=True,
             draw=lambda rng: Script().call("pieces", 0.2 * np.array([[1.0, 0.08, 0.02, 0.5]]), 0.05).call("pieces", np.array([[1.0, 0.4, 0.9]]), threshold=0.5)),
    ),
    hints=(
        "Make a row of true and false of it: has this column ink? A piece begins where false is followed by true.",
        "Put a false in front and behind, and take differences: +1 begins a piece, -1 ends it. `np.flatnonzero` says where.",
        "Section *Cut it out* of {ref}`ch-command-line`; `crop_to_ink` asks the same question.",
    ),
    mutants=(
        Mutant("no paper around", ("np.concatenate([[0], inked.astype(int), [0]])", "inked.astype(int)"), "from edge to edge", 1),
        Mutant("the last column counts twice", ("int(stop)) for", "int(stop) - 1) for"), "two strokes", 0),
        Mutant("any trace is ink", ("ink > threshold * ink.max()", "ink > 0"), "traces", 2),
        Mutant("the threshold itself", ("threshold * ink.max()", "threshold"), "a threshold of its own", 2),
        Mutant("rows", (".any(axis=0)", ".any(axis=1)"), "two strokes", 2),
        Mutant("all pixels must have ink", (".any(axis=0)", ".all(axis=0)"), "two strokes", 0),
    ),
)

BIGGEST_BLOB = Exercise(
    name="biggest_blob", kind="further", target="biggest_blob", difficulty=3, minutes=60,
    text="""A fly on the page, a hole from a punch, the corner of the next word: `crop_to_ink` makes its box around all of it. Keep only the largest piece of ink that hangs together. Pixels hang together if they touch, also
at a corner. (A 5 whose bar does not touch loses it. Which would you rather have?)""",
    stub='''def biggest_blob(ink, threshold=0.1):
    """The connected piece with the most ink; all else becomes paper.

    Parameters
    ----------
    ink : ndarray of float64, shape (height, width)
        From 0, paper, to 1; there is some ink.
    threshold : float
        Pixels with more than this share of the maximum are ink, all others paper.

    Returns
    -------
    ndarray of float64, shape (height, width)
        The piece whose pixels have the largest sum, as they were; zeros around it.
    """
''',
    solution='''def biggest_blob(ink, threshold=0.1):
    """The connected piece with the most ink; all else becomes paper."""
    waiting, best, most = ink > threshold * ink.max(), None, 0.0
    for start in zip(*np.nonzero(waiting)):
        if not waiting[start]:
            continue
        blob, stack = np.zeros_like(ink), [start]
        waiting[start] = False
        while stack:
            r, c = stack.pop()
            blob[r, c] = ink[r, c]
            top, left = max(r - 1, 0), max(c - 1, 0)
            for i, j in np.argwhere(waiting[top:r + 2, left:c + 2]):
                waiting[top + i, left + j] = False
                stack.append((top + i, left + j))
        if blob.sum() > most:
            best, most = blob, blob.sum()
    return best
''',
    expected=biggest_blob,
    cases=(
        Case("a stroke and a speck", 2, "The speck would have made the box twice as wide.",
             lambda rng: call("biggest_blob", np.array([[0, 0.9, 0, 0, 0], [0, 1.0, 0, 0, 0.6], [0, 0.8, 0, 0, 0]]))),
        Case("corner to corner", 2, "A thin slanted stroke touches itself at corners only.", lambda rng: call("biggest_blob", np.eye(4)[:, ::-1] + np.diag([0.0, 0, 0, 0.5]))),
        Case("much ink, few pixels", 1, "A pale shadow may be larger than the digit.", lambda rng: call("biggest_blob", np.array([[1.0, 1.0, 0, 0.2, 0.2, 0.2, 0.2]]))),
        Case("traces around a stroke", 1, "What is below the threshold connects nothing, and does not stay.", hidden=True,
             draw=lambda rng: call("biggest_blob", np.array([[1.0, 0.05, 0.7, 0.05], [0.9, 0.03, 0.0, 0.02]]))),
        Case("many, drawn in a thicket", 2, "Rings, hooks, bays, islands in bays.", hidden=True,
             draw=lambda rng: call("biggest_blob", rng.uniform(0.2, 1, (14, 17)) * (rng.random((14, 17)) < 0.35))),
        Case("a blot", 1, "A function that calls itself for each pixel does not get to the end of it.", hidden=True,
             draw=lambda rng: call("biggest_blob", rng.uniform(0.5, 1, (45, 45)))),
        Case("around the edges", 1, "Beyond the last column is nothing, not the first one.", hidden=True,
             draw=lambda rng: call("biggest_blob", np.array([[0.9, 0, 0, 0.8], [0.7, 0, 0, 0.9], [0, 0, 0, 0], [0.5, 0.5, 0, 0]]))),
    ),
    hints=(
        "Spill a bucket of paint on one inked pixel. Where does it flow? How do you remember where it has been?",
        "Keep a list of pixels still to visit. Take one, put its neighbours (up to eight) that are inked and not yet seen on the list, until it is empty: that is a blob. Begin again at the "
        "next inked pixel that was never seen, and keep the blob with the largest sum.",
        "Section *Cut it out* of {ref}`ch-command-line`; {ref}`ch-convolution` has neighbourhoods, and `scipy.ndimage.label` does it for a living.",
    ),
    mutants=(
        Mutant("four neighbours", ("for i, j in np.argwhere(waiting[top:r + 2, left:c + 2]):",
               "for i, j in [(i, j) for i, j in np.argwhere(waiting[top:r + 2, left:c + 2]) if top + i == r or left + j == c]:"), "corner to corner", 0),
        Mutant("the most pixels", ("if blob.sum() > most:\n            best, most = blob, blob.sum()", "if (blob > 0).sum() > most:\n            best, most = blob, (blob > 0).sum()"),
               "much ink, few pixels", 1),
        Mutant("the last blob", ("if blob.sum() > most:", "if True:"), "a stroke and a speck", 1),
        Mutant("traces are ink", ("ink > threshold * ink.max()", "ink > 0"), "traces around a stroke", 1),
        Mutant("around the corner", ("top, left = max(r - 1, 0), max(c - 1, 0)", "top, left = r - 1, c - 1"), "around the edges", 0),
        Mutant("a mask for the ink", ("blob[r, c] = ink[r, c]", "blob[r, c] = 1"), "a stroke and a speck", 1),
    ),
)

UPRIGHT = Exercise(
    name="upright", kind="further", target="upright", difficulty=3, minutes=60,
    text="""Digits lean (exercise 8, *Straight up*). Lay a straight line through the centres of mass of the rows, each row counting as much as it has ink, and shift every row sideways until the line stands upright. With $w$ for ink, $\\bar r$, $\\bar c$
for the centre of mass, least squares gives the slope

$$
s=\\frac{\\sum w_{rc}\\,(r-\\bar r)(c-\\bar c)}{\\sum w_{rc}\\,(r-\\bar r)^2} .
$$

Prepare MNIST like this, train the dense network of the chapter on it, and compare.""",
    stub='''def upright(ink):
    """Shear a digit sideways until it does not lean any more.

    Pixel (r, c) of the result is row r of the ink at place c + s (r - mean row), where s
    is the slope: between two pixels, the mean of both, weighted by nearness (linear
    interpolation); beyond the edge there are zeros.

    Parameters
    ----------
    ink : ndarray of float64, shape (height, width)
        There is some ink. If all of it is in one row, it does not lean.

    Returns
    -------
    ndarray of float64, shape (height, width)
    """
''',
    solution='''def upright(ink):
    """Shear a digit sideways until it does not lean any more."""
    row, column = center_of_mass(ink)
    down = np.arange(ink.shape[0]) - row
    across = np.arange(ink.shape[1])
    spread = ink.sum(axis=1) @ down**2
    slope = down @ ink @ (across - column) / spread if spread > 0 else 0.0
    padded = np.pad(ink, ((0, 0), (1, 1)))
    places = np.arange(-1, ink.shape[1] + 1)
    return np.stack([np.interp(across + slope * d, places, line) for d, line in zip(down, padded)])
''',
    expected=upright,
    cases=(
        Case("a slanted stroke", 2, "One column to the right for each row down: afterwards all of it stands in one column.", lambda rng: call("upright", np.eye(3))),
        Case("upright already", 1, "What does not lean is left as it is.", lambda rng: call("upright", np.array([[0.0, 1, 0], [0, 0.5, 0], [0, 1, 0]]))),
        Case("between two pixels", 2, "A slope is seldom a whole number.", lambda rng, size=3: call("upright", leaning(rng, size + 1, size + 3, 0.4))),
        Case("to the left", 1, "Sevens lean one way, and left-handed people's the other.", hidden=True, draw=lambda rng: call("upright", leaning(rng, 9, 8, -0.45))),
        Case("a minus sign", 1, "A single row has a centre and no slope, and zero divided by zero is not a number.", hidden=True,
             draw=lambda rng: call("upright", np.array([[0.0, 0, 0, 0], [0, 0.5, 1, 1], [0, 0, 0, 0]]))),
        Case("over the edge", 1, "What is pushed out is gone, and what comes in is paper; half a pixel beyond the edge there is half.", hidden=True,
             draw=lambda rng: call("upright", rng.uniform(0, 1, (6, 4)) + 2 * np.eye(6, 4))),
    ),
    hints=(
        "Do it for the three ones of a diagonal. Where is the centre, what is the slope, and by how much does each row move?",
        "`center_of_mass` gives both means. The sums of the slope are products of matrices. Then row by row `np.interp` at the places c + s (r - mean row), with a zero put on either end of the row.",
        "Section *Where is the middle?* of {ref}`ch-command-line`; {ref}`ch-augmentation` on reading between pixels.",
    ),
    mutants=(
        Mutant("leans twice as much", ("across + slope * d", "across - slope * d"), "a slanted stroke", 0),
        Mutant("about the first row", ("np.interp(across + slope * d,", "np.interp(across + slope * (d + row),"), "a slanted stroke", 1),
        Mutant("to the nearest pixel", ("across + slope * d,", "np.round(across + slope * d),"), "between two pixels", 1),
        Mutant("the other slope", ("spread = ink.sum(axis=1) @ down**2", "spread = ink.sum(axis=0) @ (across - column)**2"), "between two pixels", 1),
        Mutant("divides by zero", ("if spread > 0 else 0.0", ""), "a minus sign", 1),
        Mutant("the edge goes on for ever", ("padded = np.pad(ink, ((0, 0), (1, 1)))", "padded = np.pad(ink, ((0, 0), (1, 1)), mode=\"edge\")"), "over the edge", 1),
        Mutant("every row alike", ("spread = ink.sum(axis=1) @ down**2", "spread = (down**2).sum() * ink.sum() / len(down)"), "between two pixels", 0),
    ),
)

EXERCISES = [FIND_INK, OVERLAP_MATRIX, CENTER_OF_MASS, PREPARE_DIGIT, PIECES, BIGGEST_BLOB, UPRIGHT]

QUESTIONS = [
    Question(
        "For which pictures does `find_ink` take paper for ink? Describe the smallest one that you can find, and say what a person sees that the function does not.",
        "When most of the border is ink: a digit that was cut out too closely, with strokes along the edges, or a white digit so large that its black background is left only inside. The smallest has three rows and three columns: a ring of eight dark pixels "
        "around a light one, a zero written by somebody without room. The border's median is dark, so dark is paper, and the ink is one light dot in the middle. A frame around the page does the same. A person knows what strokes look like: long, of "
        "one width, with ends. The function only knows a custom, that people leave a margin. One could ask for more: of the two readings take the one in which less of the "
        "picture is ink. That mends the frame, and fails where ink is most of the picture. Each rule has its counterexample; one should know which."),
    Question(
        "The network must choose one of ten digits even for a picture of a cat. Why is it not enough to refuse answers with a probability below 0.9? What would you change, and which data would you need?",
        "Softmax turns any ten logits into numbers that add up to one, and says which digit is likeliest *if it is one of the ten*. Logits are sums over features; a picture with many strokes has large ones, so it often gets an "
        "answer with a probability near one. Nothing in training ever punished confidence on pictures that are no digits, since there were none. A threshold refuses unclear digits, which is useful, and lets confident nonsense pass. One way is an "
        "eleventh class, for which one needs examples of everything else: letters, scribbles, empty pages, halves of digits; it will know the kinds it has seen. Another is to "
        "model the digits themselves, as an autoencoder does, and refuse what it draws badly. A third are checks before the network: how much ink, how wide a stroke. The honest way to test any of them is with kinds "
        "of pictures that were not used to make it."),
    Question(
        "Why is averaging over areas better for shrinking a photograph of a digit than taking every tenth pixel, and why is the difference smaller for thick strokes? When would taking every tenth be the better choice?",
        "Every tenth pixel looks at one in a hundred and believes it. A stroke three pixels wide falls between the rows that are looked at most of the time, and leaves a dotted line, or nothing; and each grain of "
        "the paper that happens to be looked at is enlarged to a whole pixel. The average over ten by ten sees all of the ink: a thin stroke becomes a pale one, "
        "in the right place, and the grain shrinks to a tenth, since errors of a hundred independent pixels partly cancel. A stroke thirty pixels wide covers whole blocks, so that inside of it both agree; "
        "only at its edges does the average show how much of the pixel it fills. Taking every tenth is right where a mean makes no sense: labels, such as a map that says for each "
        "pixel *which* digit it belongs to. The mean of a 3 and a 7 is not a 5."),
]
