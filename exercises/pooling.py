"""The exercises of the chapter on pooling: windows, winners, shares, and something between mean and maximum."""

import math

import numpy as np

from course.classroom.exercise import Case, Exercise, Mutant, Question, Ref, Script, call


# Further exercises bring their own reference: plain Python, floats and loops.

def windows(length, size, stride, padding):
    """Along one axis: the pixels of each window, those in the padding left out."""
    count = (length + 2 * padding - size) // stride + 1
    return [[p for p in range(w * stride - padding, w * stride - padding + size) if 0 <= p < length] for w in range(count)]


def shared_max_backward(dy, x, y, size=2, stride=None, padding=0):
    """Look through every window again, and divide by how many are as large as its largest."""
    (kh, kw), (ph, pw) = two(size), two(padding)
    sy, sx = two(size if stride is None else stride)
    channels, height, width, batch = x.shape
    dx, x = np.zeros(x.shape), np.asarray(x, float).tolist()
    for r, rows in enumerate(windows(height, kh, sy, ph)):
        for s, columns in enumerate(windows(width, kw, sx, pw)):
            for c, n in np.ndindex(channels, batch):
                largest = max(x[c][i][j][n] for i in rows for j in columns)
                tied = [(i, j) for i in rows for j in columns if x[c][i][j][n] == largest]
                for i, j in tied:
                    dx[c, i, j, n] += float(dy[c, r, s, n]) / len(tied)
    return dx


class PowerPool:
    """Window by window, everything divided by the window's largest number before powers are taken."""

    def __init__(self, size, p):
        self.size, self.p = size, p

    def each(self, x):
        """Every window: where its result goes, and where its pixels are."""
        channels, height, width, batch = x.shape
        for c, r, s, n in np.ndindex(channels, height // self.size, width // self.size, batch):
            yield (c, r, s, n), [(c, r * self.size + i, s * self.size + j, n) for i, j in np.ndindex(self.size, self.size)]

    def forward(self, x, training=False):
        self.x = np.array(x, float)
        channels, height, width, batch = x.shape
        self.y = np.zeros((channels, height // self.size, width // self.size, batch))
        for place, pixels in self.each(self.x):
            numbers = [float(self.x[pixel]) for pixel in pixels]
            largest = max(numbers)
            if largest > 0:
                mean = math.fsum((v / largest) ** self.p for v in numbers) / len(numbers)
                self.y[place] = largest * mean ** (1 / self.p)
        return self.y.copy()

    def backward(self, dy, need_dx=True):
        if not need_dx:
            return None
        dx = np.zeros(self.x.shape)
        for place, pixels in self.each(self.x):
            for pixel in pixels:
                if self.y[place] > 0:
                    dx[pixel] = float(dy[place]) * (float(self.x[pixel]) / float(self.y[place])) ** (self.p - 1) / len(pixels)
        return dx


def two(value):
    """A setting as (down, across)."""
    return tuple(value) if isinstance(value, tuple | list) else (value, value)


# What is drawn. Height, width and batch differ, unless a case says otherwise.

def images(rng, channels, height, width, batch, dtype=np.float64):
    """Random images; no two numbers are equal."""
    return rng.normal(size=(channels, height, width, batch)).astype(dtype)


def few_greys(rng, *shape):
    """Images of three shades, full of ties."""
    return rng.integers(0, 3, shape).astype(np.float64)


def way_back(rng, x, pooled, *settings, target="max_pool_backward", **kwargs):
    """A maximum's way back: max_pool first, whose result is handed on as y."""
    dy = rng.normal(size=(x.shape[0], *pooled, x.shape[3])).astype(x.dtype)
    return (Script().given(x=x).call("max_pool", Ref("x"), *settings, name="y", keep=False)
            .call(target, dy, Ref("x"), Ref("y"), *settings, **kwargs))


def mean_back(rng, pooled, x_shape, *settings, dtype=np.float64):
    """average_pool_backward(dy, x_shape, ...)"""
    return call("average_pool_backward", rng.normal(size=(x_shape[0], *pooled, x_shape[3])).astype(dtype), x_shape, *settings)


def power(rng, size, p, x, back=True, **kwargs):
    """PowerPool forwards, and backwards if wanted."""
    script = Script().make("layer", "PowerPool", size, p).call("layer.forward", x, keep=not back)
    shape = x.shape[0], x.shape[1] // size, x.shape[2] // size, x.shape[3]
    return script.call("layer.backward", rng.normal(size=shape).astype(x.dtype), **kwargs) if back else script


def ink(rng, channels, height, width, batch, dtype=np.float64):
    """Random images of positive pixels."""
    return rng.uniform(0.1, 1.0, (channels, height, width, batch)).astype(dtype)


LOOP = ("for window, pixels in places:",)  # fold_windows has it too

POOL_SETTINGS = Exercise(
    name="pool_settings", kind="build", target="pool_settings", difficulty=1, minutes=5,
    cases=(
        Case("a size alone", 1, "Windows lie side by side unless somebody says otherwise.",
             lambda rng: Script().call("pool_settings", 2).call("pool_settings", (3, 2))),
        Case("a stride of its own", 1, "Overlapping windows lose less of what is where.",
             lambda rng: Script().call("pool_settings", 3, 2).call("pool_settings", (3, 4), (1, 2), 1)),
        Case("a window in the padding", 1, "The largest of no numbers is minus infinity, and it spreads.",
             lambda rng: call("pool_settings", 2, 2, 2), raises="ValueError"),
        Case("too much padding across only", 1, "Down it fits, across it does not.", hidden=True,
             draw=lambda rng: call("pool_settings", (4, 2), None, (1, 3)), raises="ValueError"),
        Case("too much padding down only", 1, "Across it fits, down it does not.", hidden=True,
             draw=lambda rng: call("pool_settings", (2, 4), None, (2, 1)), raises="ValueError"),
        Case("pairs of everything", 1, "Digits are square; not everything is.", hidden=True,
             draw=lambda rng: Script().call("pool_settings", (5, 3), (2, 4), (4, 2)).call("pool_settings", 7, (1, 2), (0, 6))
             .call("pool_settings", (2, 6), None, (0, 5))),
    ),
    hints=(
        "`pair` makes two numbers of one, and complains where they are none.",
        "A stride of None becomes the size. The padding may be 0, so tell `pair`; then compare it with the size, down and across.",
        "Section *One number for a window* of {ref}`ch-pooling`, its end.",
    ),
    mutants=(
        Mutant("a stride of one", ("stride = size if stride is None", "stride = (1, 1) if stride is None"), "a size alone", 1),
        Mutant("looks down only", ("padding[0] >= size[0] or padding[1] >= size[1]", "padding[0] >= size[0]"), "too much padding across only", 1),
        Mutant("looks across only", ("padding[0] >= size[0] or padding[1] >= size[1]", "padding[1] >= size[1]"), "too much padding down only", 1),
        Mutant("padding as large as the window", ("padding[0] >= size[0] or padding[1] >= size[1]",
               "padding[0] > size[0] or padding[1] > size[1]"), "a window in the padding", 2),
        Mutant("the stride given is lost", ('pair("stride", stride)', "size"), "a stride of its own", 1),
    ),
)

MAX_POOL = Exercise(
    name="max_pool", kind="build", target="max_pool", difficulty=1, minutes=10,
    cases=(
        Case("two by two", 1, "The strongest of four answers stays.",
             lambda rng, size=2: call("max_pool", images(rng, 1, 2 * size, 2 * size, 1))),
        Case("windows that overlap", 1, "A pixel may win in several windows.",
             lambda rng, size=2: call("max_pool", images(rng, size, 4, 5, size), 3, stride=1)),
        Case("all pixels negative, padded", 2, "Padding is not part of the picture, and must not win.",
             lambda rng: call("max_pool", -ink(rng, 1, 3, 4, 1), 3, 2, 1)),
        Case("pooled into out", 1, "Layers use their arrays again and again.", modifies=("out",),
             draw=lambda rng: Script().given(out=np.full((1, 2, 2, 2), 9.0))
             .call("max_pool", images(rng, 1, 4, 4, 2), out=Ref("out"), keep=False).get("out")),
        Case("tall windows, and a row left over", 1, "What belongs to no window is not looked at.", hidden=True,
             draw=lambda rng: call("max_pool", images(rng, 2, 7, 6, 3), (3, 1), (2, 4), (1, 0))),
        Case("a window larger than the picture", 1, "No window fits; better to say so than to answer with an empty map.", hidden=True,
             draw=lambda rng: call("max_pool", images(rng, 1, 3, 8, 1), 4), raises="ShapeError"),
        Case("whole-numbered pixels", 1, "Pixels come as bytes from a file.", hidden=True, dtype="float64",
             draw=lambda rng: call("max_pool", rng.integers(0, 256, (1, 4, 6, 2)), 2)),
    ),
    hints=(
        "Taking the larger of two numbers, again and again: which function of the section before does that for all windows at once?",
        "`fold_windows` wants to know what to combine with, where to start, and the settings as `pool_settings` makes them. "
        "Which number changes nothing when the larger of the two is taken?",
        "Section *Two poolings, one fold* of {ref}`ch-pooling`.",
    ),
    mutants=(
        Mutant("zeros from outside", ("-np.inf", "0.0"), "all pixels negative, padded", 1),
        Mutant("out ignored", ("x, settings, out)", "x, settings)"), "pooled into out", 2),
        Mutant("the smallest", ("np.maximum", "np.minimum"), "two by two", 0),
        Mutant("side by side, whatever was asked", ("pool_settings(size, stride, padding)", "pool_settings(size, None, padding)"),
               "windows that overlap", 1),
        Mutant("the largest in size, signs dropped", ("-np.inf, x,", "-np.inf, np.abs(x),"), "all pixels negative, padded", 0),
    ),
)

AVERAGE_POOL = Exercise(
    name="average_pool", kind="build", target="average_pool", difficulty=2, minutes=15,
    cases=(
        Case("the mean of four", 1, "A blur, and then every second pixel.",
             lambda rng, size=2: call("average_pool", images(rng, 1, 2 * size, 2 * size, 1))),
        Case("a grey picture stays grey", 2, "Zeros that count as pixels darken the rim of every picture, and no digit has asked for a frame.",
             lambda rng: call("average_pool", np.full((1, 5, 5, 1), 0.5), 3, 2, 1)),
        Case("averaged into out", 1, "Layers use their arrays again and again.", modifies=("out",),
             draw=lambda rng: Script().given(out=np.full((2, 1, 2, 1), 9.0))
             .call("average_pool", images(rng, 2, 3, 5, 1), (3, 2), out=Ref("out"), keep=False).get("out")),
        Case("means of overlapping, padded windows", 2, "Corners have four pixels, edges six, the middle nine.", hidden=True,
             draw=lambda rng, size=2: call("average_pool", images(rng, size, 6, 7, size + 1), (3, 4), (1, 2), (1, 3))),
        Case("the mean of bytes", 1, "The mean of whole numbers need not be one.", hidden=True, dtype="float64",
             draw=lambda rng: call("average_pool", rng.integers(0, 256, (1, 4, 6, 2)), 2)),
        Case("means in single precision", 1, "One layer that widens is enough to slow down all that follow.", hidden=True,
             draw=lambda rng: call("average_pool", images(rng, 2, 6, 5, 3, np.float32), 3, 1, 1)),
    ),
    hints=(
        "A mean is a sum, divided. By how much is the window in the corner divided?",
        "Fold with the sum, starting at what changes no sum; then multiply by `window_shares`, which knows how many pixels "
        "each window has. The second step may write over the first one's result.",
        "Section *Two poolings, one fold* of {ref}`ch-pooling`, from {eq}`eq-pooling-definition` on what padding counts.",
    ),
    mutants=(
        Mutant("the padding counts", ("window_shares(np.shape(x)[1:3], *settings)", "1.0 / (settings[0][0] * settings[0][1])"),
               "a grey picture stays grey", 1),
        Mutant("the sum", ("return np.multiply(y, window_shares(np.shape(x)[1:3], *settings), out=y)", "return y"), "the mean of four", 0),
        Mutant("out ignored", ("x, settings, out)", "x, settings)"), "averaged into out", 2),
        Mutant("widens", ("return np.multiply(y, window_shares(np.shape(x)[1:3], *settings), out=y)",
               "return y * window_shares(np.shape(x)[1:3], *settings)"), "means in single precision", 1),
    ),
)

MAX_POOL_BACKWARD = Exercise(
    name="max_pool_backward", kind="build", target="max_pool_backward", difficulty=3, minutes=60,
    shown=("counts, places = window_places(x.shape[1:3], *settings)",),  # how fold_windows begins too
    cases=(
        Case("to the winner", 1, "Only the largest pixel moved the maximum, so only it gets a gradient.",
             lambda rng, size=2: way_back(rng, images(rng, 1, 2 * size, 2 * size, 1), (size, size))),
        Case("a blank page", 2, "On blank paper all four pixels tie, and most of a digit is blank paper: the first takes all.",
             lambda rng: way_back(rng, np.zeros((1, 4, 4, 1)), (2, 2))),
        Case("several wins", 2, "Where windows overlap, a pixel collects from each window that it has won.",
             lambda rng: way_back(rng, images(rng, 1, 4, 5, 1), (2, 3), 3, 1)),
        Case("a row that no window reaches", 1, "Nobody looked at it, so its gradient is zero, whatever stood in the array before.", modifies=("out",),
             draw=lambda rng: (lambda x: way_back(rng, x, (2, 1), 2, out=Ref("out")).given(out=np.full((1, 5, 3, 1), 9.0)))(images(rng, 1, 5, 3, 1))),
        Case("ties everywhere, windows overlapping", 2, "First in reading order is a rule for each window by itself.", hidden=True,
             draw=lambda rng, size=2: way_back(rng, few_greys(rng, size, 6, 5, 3), (4, 3), 3, (1, 1))),
        Case("padded, uneven and tied", 2, "At the rim a window's first place may lie outside the picture, and then the second is first.", hidden=True,
             draw=lambda rng: way_back(rng, few_greys(rng, 2, 7, 6, 2), (4, 4), (3, 2), 2, 1)),
        Case("a dy that is too large", 1, "It belongs to another picture.", hidden=True,
             draw=lambda rng: way_back(rng, images(rng, 1, 4, 4, 1), (3, 2)), raises="ShapeError"),
        Case("winners in single precision", 1, "What comes back is as wide as what went in.", hidden=True,
             draw=lambda rng: way_back(rng, images(rng, 2, 4, 6, 3, np.float32), (2, 3))),
    ),
    hints=(
        "If a pixel that is not the largest grows by a little, what does the maximum do? And if two are largest?",
        "Go through the places of the window in reading order, with one flag for each window: nobody has won here yet. A pixel wins "
        "if it equals y and its window is still free; then the window is not free any more. Add dy where a pixel wins.",
        "Section *The way back through a maximum* of {ref}`ch-pooling`, its part *Ties*.",
    ),
    mutants=(
        Mutant("everybody who ties wins", ("            np.logical_xor(wins, free[window], out=free[window])\n", ""), "a blank page", 1),
        Mutant("the last of those who tie", ("in enumerate(places, 1):", "in enumerate(places[::-1], 1):"), "a blank page", 1),
        Mutant("the last window's gradient only", ("dx[pixels] += dy[window] * wins", "dx[pixels] = dy[window] * wins"), "several wins", 0),
        Mutant("the rest of the picture is forgotten", ("        clear_rest(dx, counts, settings[0])\n", "        pass\n"),
               "a row that no window reaches", 2),
        Mutant("shapes are not asked for", ('(("dy", dy), ("y", y)):', '(("y", y),):\n        dy = dy[:, :counts[0], :counts[1]]'),
               "a dy that is too large", 2),
        Mutant("by columns, then rows", ("    free.fill(True)\n", "    free.fill(True)\n    places = [places[k // settings[0][0] + k % settings[0][0] * settings[0][1]] for k in range(len(places))]\n"),
               "ties everywhere, windows overlapping", 1),
    ),
)

AVERAGE_POOL_BACKWARD = Exercise(
    name="average_pool_backward", kind="build", target="average_pool_backward", difficulty=2, minutes=30,
    shown=LOOP,
    cases=(
        Case("a quarter for each", 1, "The mean blames all of its pixels a little.",
             lambda rng, size=2: mean_back(rng, (size, size), (1, 2 * size, 2 * size, 1))),
        Case("windows that share pixels", 2, "A pixel in the middle belongs to several windows, and gets a share from each.",
             lambda rng, size=2: mean_back(rng, (2, 3), (size, 4, 5, 1), 3, 1)),
        Case("larger shares at the rim", 2, "A window with four pixels gives each a quarter, not a ninth.",
             lambda rng: mean_back(rng, (2, 3), (1, 4, 5, 1), 3, 2, 1)),
        Case("a column that no mean has seen", 1, "Its gradient is zero, and it has to be written.", hidden=True, modifies=("out",),
             draw=lambda rng: Script().given(out=np.full((2, 4, 5, 2), 9.0))
             .call("average_pool_backward", images(rng, 2, 2, 2, 2), (2, 4, 5, 2), 2, out=Ref("out"))),
        Case("gaps, edges, nothing square", 2, "All three settings differ down and across.", hidden=True,
             draw=lambda rng: mean_back(rng, (3, 4), (2, 8, 7, 3), (2, 3), (3, 2), (0, 1))),
        Case("a dy of other samples", 1, "A gradient for three samples does not belong to two.", hidden=True,
             draw=lambda rng: call("average_pool_backward", images(rng, 1, 2, 2, 3), (1, 4, 4, 2)), raises="ShapeError"),
        Case("shares in single precision", 1, "What comes back is as wide as what came.", hidden=True,
             draw=lambda rng: mean_back(rng, (4, 4), (2, 4, 4, 2), 3, 1, 1, dtype=np.float32)),
    ),
    hints=(
        "If one pixel grows by a little, by how much does the mean of its window grow?",
        "Multiply dy by `window_shares` once. Then hand the result to the pixels of every place in the window: written where windows lie "
        "side by side, added to zeros where they do not.",
        "Section *The way back through a mean* of {ref}`ch-pooling`, {eq}`eq-pooling-average-back`.",
    ),
    mutants=(
        Mutant("not divided", ("np.multiply(dy, shares,", "np.multiply(dy, 1.0,"), "a quarter for each", 0),
        Mutant("the padding counts", ("np.multiply(dy, shares,", "np.multiply(dy, 1.0 / (settings[0][0] * settings[0][1]),"), "larger shares at the rim", 1),
        Mutant("the last window's share only", ("dx[pixels] += share[window]", "dx[pixels] = share[window]"), "windows that share pixels", 1),
        Mutant("the rest of the picture is forgotten", ("        clear_rest(dx, counts, settings[0])\n", "        pass\n"),
               "a column that no mean has seen", 1),
        Mutant("shapes are not asked for", ('    expect_shape("pooling", "dy", dy.shape, (channels, *counts, batch))\n', "    dy = dy[..., :batch]\n"),
               "a dy of other samples", 2),
    ),
)

GLOBAL_AVERAGE_POOL = Exercise(
    name="global_average_pool", kind="build", target="GlobalAveragePool", difficulty=2, minutes=30,
    shown=('words = ("channels", "height", "width")',  # in Pool too, and in later layers
           'dx = self.workspace("dx", self.x_shape, dy.dtype)'),
    cases=(
        Case("announces its shape", 1, "The layer above needs to know how many numbers come.",
             lambda rng: Script().make("layer", "GlobalAveragePool").call("layer.build", (3, 4, 5))),
        Case("one number for each map", 1, "How much of a feature there is, anywhere.",
             lambda rng, size=2: Script().make("layer", "GlobalAveragePool").call("layer.forward", images(rng, size, 2, 3, size + 1))),
        Case("and back", 2, "Every pixel had the same share in the mean.",
             lambda rng, size=2: Script().make("layer", "GlobalAveragePool").call("layer.forward", images(rng, size, 2, 3, size + 1), keep=False)
             .call("layer.backward", rng.normal(size=(size, size + 1)))),
        Case("back before forth", 1, "There is no picture yet whose shape the gradient could have.",
             lambda rng: Script().make("layer", "GlobalAveragePool").call("layer.backward", rng.normal(size=(2, 3))), raises="RuntimeError"),
        Case("another size of picture", 1, "A mean does not ask over how many, so the same layer takes any picture.", hidden=True,
             draw=lambda rng: Script().make("layer", "GlobalAveragePool").call("layer.build", (2, 4, 4), keep=False)
             .call("layer.forward", images(rng, 2, 4, 4, 3)).call("layer.forward", images(rng, 2, 7, 5, 2)).call("layer.backward", rng.normal(size=(2, 2)))),
        Case("nobody needs dx", 1, "The first layer of a network is not asked for it.", hidden=True,
             draw=lambda rng: Script().make("layer", "GlobalAveragePool").call("layer.forward", images(rng, 2, 3, 3, 4))
             .call("layer.backward", rng.normal(size=(2, 4)), need_dx=False)),
        Case("dy with a wrong batch", 1, "Broadcasting would make a gradient of it, of a single sample for all.", hidden=True,
             draw=lambda rng: Script().make("layer", "GlobalAveragePool").call("layer.forward", images(rng, 2, 3, 3, 4), keep=False)
             .call("layer.backward", rng.normal(size=(2, 1))), raises="ShapeError"),
        Case("a global mean in single precision", 1, "The dense layer above computes in the width it is given.", hidden=True,
             draw=lambda rng: Script().make("layer", "GlobalAveragePool").call("layer.forward", images(rng, 3, 5, 4, 2, np.float32))
             .call("layer.backward", rng.normal(size=(3, 2)).astype(np.float32))),
    ),
    hints=(
        "Which axes of (channels, height, width, batch) disappear?",
        "Merge height and width by a reshape, take the mean along that axis, remember the shape. On the way back each pixel "
        "gets dy divided by the number of pixels. A dy that does not fit is refused before anything is broadcast.",
        "Section *The mean of everything* of {ref}`ch-pooling`; `Pool` shows what a layer checks.",
    ),
    mutants=(
        Mutant("over the batch too", ("axis=1, out=self.y)", "axis=(1, 2), keepdims=True)[:, 0]"), "one number for each map", 0),
        Mutant("the gradient undivided", ("1.0 / pixels", "1.0"), "and back", 1),
        Mutant("always computes dx", ("        if need_dx:\n", "        if True:\n"), "nobody needs dx", 2),
        Mutant("shapes are not asked for", ('        expect_shape("GlobalAveragePool", "dy", dy.shape, self.y.shape)\n', ""),
               "dy with a wrong batch", 1),
        Mutant("announces the maps", ("return (input_shape[0],)", "return (input_shape[0], 1, 1)"), "announces its shape", 0),
        Mutant("divides by one side only", ("self.x_shape[1] * self.x_shape[2]", "self.x_shape[1]"), "and back", 1),
    ),
)

SHARED = Exercise(
    name="shared_max_backward", kind="further", target="shared_max_backward", difficulty=2, minutes=40,
    shown=LOOP,
    text="""The first pixel takes all, says our rule for ties, and the gradient drifts up and to the left. Be fair: divide it equally
among all pixels that tie (exercise 4 above). At a tie, compare with finite differences from both sides: which of the two does
the fair answer agree with? Then train with it. If you can measure a difference, we would like to know.""",
    stub='''def shared_max_backward(dy, x, y, size=2, stride=None, padding=0):
    """The images' gradient of `max_pool`: each window's dy, shared equally by its largest pixels.

    Parameters
    ----------
    dy : ndarray, shape of y
        The upstream gradient.
    x : ndarray of floats, shape (channels, height, width, batch)
    y : ndarray, shape of the pooled images
        What `max_pool` made of x.
    size, stride, padding
        As for `max_pool`.

    Returns
    -------
    ndarray, shape and dtype of x
        A new array. Where windows overlap, what reaches a pixel is added up.
    """
''',
    solution='''def shared_max_backward(dy, x, y, size=2, stride=None, padding=0):
    """The images' gradient of `max_pool`: each window's dy, shared equally by its largest pixels."""
    _, places = window_places(x.shape[1:3], *pool_settings(size, stride, padding))
    tied, dx = np.zeros_like(y), np.zeros_like(x)
    for window, pixels in places:
        tied[window] += x[pixels] == y[window]
    share = dy / tied
    for window, pixels in places:
        dx[pixels] += share[window] * (x[pixels] == y[window])
    return dx
''',
    expected=shared_max_backward,
    cases=(
        Case("one largest pixel", 1, "Without ties it is the ordinary way back.",
             lambda rng, size=2: way_back(rng, images(rng, 1, 2 * size, 2 * size, 1), (size, size), target="shared_max_backward")),
        Case("a page without ink", 2, "Four pixels, a quarter each: what is handed out must add up to what came in.",
             lambda rng: way_back(rng, np.zeros((1, 4, 4, 1)), (2, 2), target="shared_max_backward")),
        Case("ties in windows that overlap", 2, "How many tie is a question to every window by itself.",
             lambda rng: way_back(rng, few_greys(rng, 1, 4, 5, 1), (2, 3), 3, 1, target="shared_max_backward")),
        Case("fair at the rim", 2, "What lies in the padding does not share.", hidden=True,
             draw=lambda rng, size=2: way_back(rng, -few_greys(rng, size, 5, 6, 3), (3, 4), (3, 2), 2, 1, target="shared_max_backward")),
        Case("pixels left over get nothing", 1, "A row beyond the last window took no part.", hidden=True,
             draw=lambda rng: way_back(rng, few_greys(rng, 2, 7, 5, 2), (2, 2), (3, 2), target="shared_max_backward")),
        Case("fair in single precision", 1, "A gradient is as wide as the picture.", hidden=True,
             draw=lambda rng: way_back(rng, few_greys(rng, 1, 6, 6, 4).astype(np.float32), (3, 3), target="shared_max_backward")),
    ),
    hints=(
        "Before you can divide, you must know by how much.",
        "Two passes over the places that `window_places` gives: in the first, count for each window how many pixels equal its maximum; "
        "in the second, add the window's share to each of these.",
        "Section *The way back through a maximum* of {ref}`ch-pooling`, and `window_shares`, which counts in the same manner.",
    ),
    mutants=(
        Mutant("the full gradient for each", ("share = dy / tied", "share = dy"), "a page without ink", 0),
        Mutant("the last window's share only", ("dx[pixels] += share", "dx[pixels] = share"), "ties in windows that overlap", 1),
        Mutant("shared by all pixels of the window", ("share = dy / tied", "share = dy / len(places)"), "one largest pixel", 1),
        Mutant("for losers too", ("share[window] * (x[pixels] == y[window])", "share[window]"), "one largest pixel", 1),
    ),
)

POWER_POOL = Exercise(
    name="power_pool", kind="further", target="PowerPool", difficulty=4, minutes=120,
    text="""Between the mean and the maximum lies a whole family: for numbers $x_i\\ge0$ the *power mean*

$$y = \\Bigl(\\frac1n\\sum_{i=1}^n x_i^{\\,p}\\Bigr)^{1/p}$$

is the mean for $p=1$ and comes as close as you like to the maximum as $p$ grows (exercise 6 above). Derive its gradient and write
the layer. It must survive $p=200$ on pixels of 1000, where $x^p$ is larger than any floating-point number, and windows without
ink, where the gradient of the root is infinite and we say 0. Afterwards, look at digits through it, and let the network learn $p$.""",
    stub='''class PowerPool(Layer):
    """Power means of windows that lie side by side: (mean of x ** p) ** (1 / p).

    PowerPool(size, p) has windows of size by size pixels; p is a number larger than 1. Pixels are
    zero or positive, height and width are multiples of size.
    """

    def __init__(self, size, p):
        """Keep the settings."""

    def forward(self, x, training=False):
        """Return (channels, height / size, width / size, batch) for x (channels, height, width, batch).

        Nothing overflows, in the dtype of x. A window of zeros gives 0.
        """

    def backward(self, dy, need_dx=True):
        """Return dx, shaped like the last x; None if need_dx is False.

        All pixels of a window of zeros get 0.
        """
''',
    solution='''class PowerPool(Layer):
    """Power means of windows that lie side by side: (mean of x ** p) ** (1 / p)."""

    def __init__(self, size, p):
        super().__init__()
        self.size, self.p = size, p

    def spread(self, y):
        """Every window's number, at each of its pixels."""
        return y.repeat(self.size, axis=1).repeat(self.size, axis=2)

    def forward(self, x, training=False):
        largest = max_pool(x, self.size)
        self.ratio = x / self.spread(np.where(largest > 0, largest, 1))
        self.mean = average_pool(self.ratio ** self.p, self.size)
        return largest * self.mean ** (1 / self.p)

    def backward(self, dy, need_dx=True):
        if need_dx:
            slope = np.where(self.mean > 0, self.mean, 1) ** (1 / self.p - 1)
            return self.ratio ** (self.p - 1) * self.spread(dy * slope) / self.size ** 2
''',
    expected=PowerPool,
    cases=(
        Case("the root of mean squares", 1, "For p = 2 it is the length of the window, divided by the root of n.",
             lambda rng, size=2: power(rng, 2, 2, ink(rng, 1, 2 * size, 2, size), back=False)),
        Case("its gradient", 2, "Large pixels get more of the blame than small ones.",
             lambda rng, size=2: power(rng, 2, 3, ink(rng, size, 4, 2, 1))),
        Case("almost the maximum", 2, "A thousand to the power of two hundred has six hundred digits.",
             lambda rng: power(rng, 2, 200, 1000 * ink(rng, 1, 2, 4, 1), back=False)),
        Case("windows without ink", 2, "Most of a digit is blank paper, and one nan there spoils every weight.", hidden=True,
             draw=lambda rng: power(rng, 2, 3, np.kron(np.array([[[[0.0]], [[1.0]]]]), np.ones((1, 2, 2, 2))) * ink(rng, 1, 4, 2, 2))),
        Case("blame close to the maximum", 2, "The gradient of a large power has large powers too.", hidden=True,
             draw=lambda rng: power(rng, 3, 150.5, 50 * ink(rng, 2, 6, 3, 2))),
        Case("value and blame of bright pixels", 1, "Both ways, with windows of three.", hidden=True,
             draw=lambda rng: Script().make("layer", "PowerPool", 3, 2.5).call("layer.forward", ink(rng, 2, 3, 6, 2) * 255)
             .call("layer.backward", rng.normal(size=(2, 1, 2, 2)))),
        Case("no dx wanted", 1, "Nobody below, nothing to do.", hidden=True,
             draw=lambda rng: power(rng, 2, 2, ink(rng, 1, 2, 2, 1), need_dx=False)),
        Case("powers in single precision", 1, "float32 ends at 3e38, and a window of 255s gets there for p = 17.", hidden=True,
             draw=lambda rng: Script().make("layer", "PowerPool", 2, 20.0).call("layer.forward", 255 * ink(rng, 1, 4, 4, 3, np.float32))
             .call("layer.backward", rng.normal(size=(1, 2, 2, 3)).astype(np.float32))),
    ),
    hints=(
        "The power mean of ten times the numbers is ten times the power mean. So what may you divide by before taking powers?",
        "With r the pixels divided by the largest of their window and m the mean of r to the p: y is the largest times m to the 1/p, and "
        "the gradient is dy/n times r to the p-1 times m to the 1/p - 1. Where the largest is 0, divide by 1 instead.",
        "Sections *Two poolings, one fold* and *As layers* of {ref}`ch-pooling`; softmax in {ref}`ch-activations` uses the same trick.",
    ),
    mutants=(
        Mutant("powers of the pixels themselves", ("np.where(largest > 0, largest, 1))", "np.ones_like(largest))"), "almost the maximum", 0),
        Mutant("blank paper divided by zero", ("self.spread(np.where(largest > 0, largest, 1))", "self.spread(largest)"), "windows without ink", 1),
        Mutant("a blank window's slope", ("np.where(self.mean > 0, self.mean, 1)", "self.mean"), "windows without ink", 1),
        Mutant("the sum instead of the mean", ("/ self.size ** 2", "* 1"), "its gradient", 1),
        Mutant("the root forgotten", ("self.mean ** (1 / self.p)\n", "self.mean\n"), "the root of mean squares", 1),
        Mutant("always computes dx", ("        if need_dx:\n", "        if True:\n"), "no dx wanted", 2),
    ),
)

EXERCISES = [POOL_SETTINGS, MAX_POOL, AVERAGE_POOL, MAX_POOL_BACKWARD, AVERAGE_POOL_BACKWARD, GLOBAL_AVERAGE_POOL, SHARED, POWER_POOL]

QUESTIONS = [
    Question(
        "Does it matter whether a ReLU stands before or after a max pooling? Before or after an average pooling? Where it does not "
        "matter, which order would you choose, and what do you save?",
        "ReLU never changes which of two numbers is larger (it may make them equal), so the largest of the rectified numbers is "
        "the rectified largest: $\\max_i\\operatorname{relu}(z_i)=\\operatorname{relu}(\\max_i z_i)$. The gradients agree as well: they go "
        "to the first largest pixel if it is positive, and to nobody otherwise (of several zeros made by a ReLU one is chosen, and then blocked). With "
        "windows of two by two, ReLU after the pooling works on a quarter of the numbers. That is three quarters of a cheap pass over memory, "
        "forwards and backwards. For the mean it does matter: of $1$ and $-1$ the mean is 0, but the mean of $1$ and $0$ is "
        "$\\tfrac12$. The first order lets a strong no cancel a strong yes."),
    Question(
        "Which single pooling does the same as `MaxPool(3, 1)` after `MaxPool(3, 1)`? And `AveragePool(3, 1)` after `AveragePool(3, 1)`? "
        "Leave the edges out of it.",
        "The largest of the largest of some numbers is the largest of all of them. Three windows of three, each one pixel further on, cover five "
        "pixels, so it is `MaxPool(5, 1)`. The mean of means is a mean too, but not with equal weights: along one axis the middle pixel is "
        "in three of the three windows, its neighbours in two, the outermost in one, so the weights are $\\tfrac19(1, 2, 3, 2, 1)$, a triangle. No "
        "average pooling does that. It is a better blur than the box: repeat it, and the weights approach a Gaussian bell. A maximum, on the other "
        "hand, can be repeated as often as you like and only gets larger windows."),
    Question(
        "A network ends with global average pooling and a dense layer. It was trained on 28 by 28 pixels. Hand it 40 by 40: which layers "
        "mind, and what would change in the answer even if none did?",
        "Convolutions, ReLUs and poolings use the same weights at every place, so more places are no difficulty; the global mean does not ask over how many "
        "it is taken; the dense layer gets as many numbers as there are channels. Only the bookkeeping minds: our `Convolution` remembers the "
        "shape it was built for, and so does the network; both would have to build themselves again, with the same weights. The answer may still be "
        "wrong. If the digit is as large as before with more paper around it, every mean is taken over about twice as many places, so the same "
        "strokes count about half, while the biases count as before. If the digit itself is enlarged, its strokes are thicker than any the filters have seen."),
]
