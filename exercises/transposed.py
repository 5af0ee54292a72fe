"""The exercises of the chapter on transposed convolution: sizes, stamps, the way back, and what does undo a blur."""

import math
from fractions import Fraction

import numpy as np

from course.classroom.exercise import Case, Exercise, Mutant, Question, Random, Ref, Script, call


# Further exercises bring their own reference: plain Python, floats and loops.

def as_convolution(x, W, stride=1, padding=0, output_padding=0):
    """Where does the picture's look for its first stamp begin? Write each number there."""
    (channels, height, width, batch), (_, filters, kh, kw) = np.shape(x), np.shape(W)
    size = [(n - 1) * stride + 1 + 2 * (k - 1 - padding) + output_padding for n, k in ((height, kh), (width, kw))]
    image, kernels = np.zeros((channels, *size, batch)), np.zeros((filters, channels, kh, kw))
    for c, r, q, n in np.ndindex(np.shape(x)):
        row, column = r * stride + kh - 1 - padding, q * stride + kw - 1 - padding
        if 0 <= row < size[0] and 0 <= column < size[1]:
            image[c, row, column, n] = float(x[c, r, q, n])
    for f, c, i, j in np.ndindex(kernels.shape):
        kernels[f, c, i, j] = float(W[c, f, kh - 1 - i, kw - 1 - j])
    return image, kernels


def bilinear_weights(channels, stride):
    """Fractions: a stamp's weight falls in equal steps from its middle, and is nothing one pixel of the map away."""
    kernel = 2 * stride - 1 if stride % 2 else 2 * stride
    line = [1 - abs(Fraction(2 * i - kernel + 1, 2)) / stride for i in range(kernel)]
    table = [[float(a * b) for b in line] for a in line]
    return np.array([[table]] * channels), (kernel - stride) // 2


def deblur(z, W, strength, padding=0):
    """Write down all equations, and eliminate."""
    (F, places_y, places_x, N), (_, C, kh, kw) = np.shape(z), np.shape(W)
    H, B = places_y + kh - 1 - 2 * padding, places_x + kw - 1 - 2 * padding
    A = []
    for f, r, q in np.ndindex(F, places_y, places_x):
        row = [0.0] * (C * H * B)
        for c, i, j in np.ndindex(C, kh, kw):
            y, x = r + i - padding, q + j - padding
            if 0 <= y < H and 0 <= x < B:
                row[(c * H + y) * B + x] = float(W[f, c, i, j])
        A.append(row)
    columns = list(zip(*A))
    result = np.zeros((C, H, B, N))
    for n in range(N):
        seen = [float(z[index]) for index in ((f, r, q, n) for f, r, q in np.ndindex(F, places_y, places_x))]
        rows = [[math.fsum(a * b for a, b in zip(one, two)) + strength * (s == t) for t, two in enumerate(columns)]
                + [math.fsum(a * b for a, b in zip(one, seen))] for s, one in enumerate(columns)]
        result[..., n] = np.array(solve(rows)).reshape(C, H, B)
    return result


def solve(rows):
    """Gaussian elimination; the matrix is positive definite, so no row need be exchanged."""
    size = len(rows)
    for k in range(size):
        for s in range(k + 1, size):
            factor = rows[s][k] / rows[k][k]
            if factor:
                rows[s] = [a - factor * b for a, b in zip(rows[s], rows[k])]
    found = [0.0] * size
    for k in reversed(range(size)):
        found[k] = (rows[k][-1] - math.fsum(rows[k][t] * found[t] for t in range(k + 1, size))) / rows[k][k]
    return found


# What is drawn. Height, width, kernel and batch differ, unless a case says otherwise.

def numbers(rng, *shape, dtype=np.float64):
    """Random numbers."""
    return rng.normal(size=shape).astype(dtype)


def stamped(rng, x_shape, W_shape, bias=True, dtype=np.float64, **settings):
    """transposed_convolution(x, W, b, ...)"""
    x, W = numbers(rng, *x_shape, dtype=dtype), numbers(rng, *W_shape, dtype=dtype)
    b = [numbers(rng, W_shape[1] * settings.get("groups", 1), 1, dtype=dtype)] if bias else []
    return call("transposed_convolution", x, W, *b, **settings)


def announced(rng, count):
    """A script with so many calls of transposed_size, padding never too much."""
    script = Script()
    for _ in range(count):
        size, kernel, stride, dilation = (int(rng.integers(low, high)) for low, high in ((3, 20), (2, 6), (1, 5), (1, 4)))
        before, after, extra = int(rng.integers(0, 3)), int(rng.integers(0, 3)), int(rng.integers(0, stride))
        script.call("transposed_size", size, kernel, stride, (before, after), extra, dilation)
    return script


def stamping(rng, sample, W_shape, bias=True, dtype=np.float64, **settings):
    """A script in which `layer` is a TransposedConvolution with given weights, and gradients full of nines."""
    filters = W_shape[1] * settings.get("groups", 1)
    W, b = numbers(rng, *W_shape, dtype=dtype), numbers(rng, filters, 1, dtype=dtype)
    script = Script().given(W=W, dW=np.full_like(W, 9), **({"b": b, "db": np.full_like(b, 9)} if bias else {}))
    names = ("W", "b") if bias else ("W",)
    return (script.make("layer", "TransposedConvolution", filters, W_shape[2:], bias=bias, **settings).call("layer.build", sample, keep=False)
            .call("layer.bind", {n: Ref(n) for n in names}, {n: Ref("d" + n) for n in names}, keep=False))


def there_and_back(script, rng, sample, picture, batch, dtype=np.float64, **kwargs):
    """One forward and one backward more."""
    return (script.call("layer.forward", numbers(rng, *sample, batch, dtype=dtype), keep=False)
            .call("layer.backward", numbers(rng, *picture, batch, dtype=dtype), **kwargs))


def filled(path, rng, x_shape, out_shape, factor):
    """A call that is to fill `out`, which is not empty."""
    return (Script().given(out=numbers(rng, *out_shape)).call(path, numbers(rng, *x_shape), factor, out=Ref("out"), keep=False)
            .get("out"))


TRANSPOSED_SIZE = Exercise(
    name="transposed_size", kind="build", target="transposed_size", difficulty=1, minutes=10,
    shown=('stride, dilation = whole("stride", stride), whole("dilation", dilation)',
           'before, after = pair("padding", padding, least=0)'),  # checks that the chapter on convolution makes too
    cases=(
        Case("seven to fourteen", 1, "A decoder that ends at 25 pixels cannot be compared with a digit of 28.",
             lambda rng: Script().call("transposed_size", 7, 4, 2, 1).call("transposed_size", 14, 4, 2, 1)),
        Case("stamps with gaps between them, and within", 1, "Stride moves the stamps apart, dilation pulls each of them apart.",
             lambda rng: Script().call("transposed_size", 3, 3, 5).call("transposed_size", 3, 3, dilation=4)),
        Case("padding, also on one side only", 1, "The convolution added a border; its transpose takes one away.",
             lambda rng: Script().call("transposed_size", 6, 3, padding=1).call("transposed_size", 6, 5, 1, (0, 3))),
        Case("output padding", 1, "Several sizes lead to the same number of places, and somebody must say which is meant.",
             lambda rng: Script().call("transposed_size", 3, 3, 3, output_padding=1).call("transposed_size", 3, 3, 3, 1, 2)),
        Case("one more than there can be", 1, "A convolution on that image would have another place.",
             lambda rng: call("transposed_size", 3, 3, 2, 0, 2), raises="ValueError"),
        Case("all settings at once, drawn", 2, "Each of them alone is easy to get right.", hidden=True,
             draw=lambda rng: announced(rng, 12)),
        Case("nothing is left", 1, "A picture of no pixels is a mistake in the settings, and should be called one.", hidden=True,
             draw=lambda rng: call("transposed_size", 2, 2, 1, (2, 1)), raises="ShapeError"),
        Case("half a stride", 1, "It comes from a division that should have been whole.", hidden=True,
             draw=lambda rng: call("transposed_size", 5, 3, 1.5), raises="ValueError"),
    ),
    hints=(
        "Where does the last stamp begin, and how far does it reach?",
        "It begins (size - 1) strides after the first and spans d(k-1) + 1 pixels. Add the output padding, take off the padding of "
        "both sides. `whole`, `pair` and `rest` check the settings; compare with the padding before you subtract.",
        "Section *How large is the picture?* of {ref}`ch-transposed-convolution`, {eq}`eq-trans-size`.",
    ),
    mutants=(
        Mutant("one stride too many", ("(size - 1) * stride", "size * stride"), "seven to fourteen", 0),
        Mutant("a hole after the last weight", ("dilation * (kernel - 1) + 1", "dilation * kernel"),
               "stamps with gaps between them, and within", 1),
        Mutant("padding added", ("return covered - before - after", "return covered + before + after"),
               "padding, also on one side only", 1),
        Mutant("the same padding twice", ("return covered - before - after", "return covered - 2 * before"),
               "padding, also on one side only", 1),
        Mutant("output padding not asked for", (" + 1 + extra", " + 1"), "output padding", 2),
        Mutant("any output padding will do", ("extra = rest(output_padding, stride)", "extra = output_padding"),
               "one more than there can be", 1),
        Mutant("never too small", ("if before + after >= covered:", "if False:"), "nothing is left", 1),
    ),
)

TRANSPOSED_CONVOLUTION = Exercise(
    name="transposed_convolution", kind="build", target="transposed_convolution", difficulty=3, minutes=45,
    cases=(
        Case("one stamp", 1, "A single number becomes a whole kernel.",
             lambda rng, size=2: stamped(rng, (1, 1, 1, 1), (1, 1, size, size + 1), bias=False)),
        Case("stamps that overlap, and a bias", 2, "Where two stamps meet they are added; the bias is added once, to every pixel.",
             lambda rng, size=2: stamped(rng, (1, size, size, 1), (1, 1, 2, 2))),
        Case("channels, filters and a batch", 2, "Each channel has a stamp for every filter, and the channels come first in W.",
             lambda rng, size=2: stamped(rng, (size + 1, size, size + 1, size), (size + 1, size, 3, 2))),
        Case("as many filters as channels", 1, "Both orders of W fit then, and one of them is wrong.",
             lambda rng: stamped(rng, (2, 2, 2, 1), (2, 2, 2, 2))),
        Case("stride, padding, output padding", 1, "This is how 7 becomes 14.",
             lambda rng: stamped(rng, (1, 3, 2, 1), (1, 1, 3, 3), stride=2, padding=1, output_padding=1)),
        Case("weights of other channels", 1, "A stamp for each channel, no more and no fewer.",
             lambda rng: stamped(rng, (3, 2, 2, 1), (2, 3, 2, 2)), raises="ShapeError"),
        Case("everything at once", 2, "Each setting moves what the others count.", hidden=True,
             draw=lambda rng: stamped(rng, (4, 3, 4, 2), (4, 2, 3, 2), stride=(2, 3), padding=((1, 0), (0, 2)), output_padding=(1, 2),
                                      dilation=(2, 1), groups=2)),
        Case("a group for each channel", 1, "Nobody's stamp may fall on another's picture.", hidden=True,
             draw=lambda rng: stamped(rng, (3, 3, 2, 2), (3, 2, 2, 3), stride=2, groups=3)),
        Case("stamps in single precision", 1, "Networks compute in float32, and a wider picture makes everything behind it wider.", hidden=True,
             draw=lambda rng: stamped(rng, (3, 4, 3, 2), (3, 2, 3, 3), stride=2, padding=1, dtype=np.float32)),
        Case("a map of whole numbers", 1, "A map typed by hand holds integers; the picture is made of floats.", hidden=True, dtype="any",
             draw=lambda rng: call("transposed_convolution", rng.integers(-3, 4, (2, 3, 2, 1)), numbers(rng, 2, 2, 2, 2))),
    ),
    hints=(
        "You have written the stamps before, under another name: which function adds a filter's weights, times a number, to the pixels below?",
        "`convolution_dx` with x for the upstream gradient. It must be told the picture's shape, which `transposed_geometry` knows, and "
        "which convolution leads back, which it knows too. Filters: W has those of one group. Then the bias.",
        "Sections *Looking and stamping* and *Forwards* of {ref}`ch-transposed-convolution`.",
    ),
    mutants=(
        Mutant("no bias", ("if b is not None:", "if False:"), "stamps that overlap, and a bias", 1),
        Mutant("filters first", ("W.astype(dtype, copy=False)", "W.astype(dtype).swapaxes(0, 1)"), "as many filters as channels", 1),
        Mutant("nothing is cut off", ("W.shape[2:], stride, padding,", "W.shape[2:], stride, 0,"), "stride, padding, output padding", 1),
        Mutant("output padding forgotten", ("output_padding, dilation)", "0, dilation)"), "stride, padding, output padding", 1),
        Mutant("the filters of one group only", ("filters = W.shape[1] * groups", "filters = W.shape[1]"), "everything at once", 1),
        Mutant("groups forgotten", ("g.dilation, groups, workspace)", "g.dilation, 1, workspace)"), "a group for each channel", 1),
        Mutant("double precision for all", ("np.result_type(x, W, np.float32)", "np.float64"), "stamps in single precision", 2),
        Mutant("in the map's own dtype", ("np.result_type(x, W, np.float32)", "x.dtype"), "a map of whole numbers", 2),
    ),
)

TRANSPOSED_BACKWARD = Exercise(
    name="transposed_backward", kind="build", target="TransposedConvolution.backward", difficulty=3, minutes=40,
    cases=(
        Case("what the map gets back", 2, "Each number looks at the pixels that it stamped.", modifies=("dW", "db"),
             draw=lambda rng, size=2: there_and_back(stamping(rng, (1, size, size), (1, 1, 2, 2)), rng, (1, size, size), (1, size + 1, size + 1), 1)),
        Case("what the weights get", 2, "Input and upstream gradient change places; what stood in dW before is gone.", modifies=("dW", "db"),
             draw=lambda rng, size=2: there_and_back(stamping(rng, (1, size, size), (1, 2, 2, 2)), rng, (1, size, size), (2, size + 1, size + 1), 2,
                                                     keep=False).get("dW").get("db")),
        Case("a border that was cut off", 2, "Stamps fell there, and nobody saw them: they answer with zero.", modifies=("dW", "db"),
             draw=lambda rng: there_and_back(stamping(rng, (1, 2, 3), (1, 1, 3, 3), padding=1), rng, (1, 2, 3), (1, 2, 3), 1).get("dW")),
        Case("nobody below", 1, "The first layer need not compute what nobody asks for.", modifies=("dW", "db"),
             draw=lambda rng: there_and_back(stamping(rng, (1, 2, 2), (1, 1, 2, 2)), rng, (1, 2, 2), (1, 3, 3), 1, need_dx=False).get("dW")),
        Case("backward comes first", 1, "There is no map to look at yet, and a clear word saves an hour.",
             draw=lambda rng: stamping(rng, (1, 2, 2), (1, 1, 2, 2)).call("layer.backward", numbers(rng, 1, 3, 3, 1)), raises="RuntimeError"),
        Case("everything at once, backwards", 2, "The settings of the way there are those of the way back.", hidden=True, modifies=("dW", "db"),
             draw=lambda rng: there_and_back(stamping(rng, (4, 3, 2), (4, 3, 3, 2), stride=(2, 3), padding=((1, 0), (0, 2)), output_padding=(1, 2),
                                                      dilation=(2, 1), groups=2), rng, (4, 3, 2), (6, 9, 5), 3).get("dW").get("db")),
        Case("a layer without a bias", 1, "Where there is no b there is no db.", hidden=True, modifies=("dW",),
             draw=lambda rng: there_and_back(stamping(rng, (2, 3, 2), (2, 2, 2, 3), bias=False, stride=2), rng, (2, 3, 2), (2, 6, 5), 2).get("dW")),
        Case("a gradient of the wrong size", 1, "A dy of 13 pixels where 14 were made comes from a mistake elsewhere.", hidden=True,
             modifies=("dW", "db"), raises="ShapeError",
             draw=lambda rng: there_and_back(stamping(rng, (1, 3, 3), (1, 1, 2, 2)), rng, (1, 3, 3), (1, 3, 3), 1)),
        Case("twice in single precision", 1, "The second batch's gradient is not added to the first's.", hidden=True, modifies=("dW", "db"),
             draw=lambda rng: there_and_back(there_and_back(stamping(rng, (2, 3, 3), (2, 3, 2, 2), dtype=np.float32, stride=2), rng, (2, 3, 3),
                                                            (3, 6, 6), 4, np.float32, keep=False), rng, (2, 3, 3), (3, 6, 6), 4, np.float32)
             .get("dW").get("db")),
    ),
    hints=(
        "The layer multiplies by the convolution's matrix, transposed. What is the transpose of that?",
        "dx is a convolution of dy with W. dW is what `convolution_dW` makes of x as upstream gradient and dy as image. db sums dy over all pixels of "
        "all samples, as `convolution_db` does. Pad dy once with the geometry's padding and use padding 0 (`self.moves`) for both.",
        "Section *Backwards there is nothing to write* of {ref}`ch-transposed-convolution`, {eq}`eq-trans-dx` and {eq}`eq-trans-dW`.",
    ),
    mutants=(
        Mutant("x and dy in their usual places", ("convolution_dW(self.x, dy, self.kernel", "convolution_dW(dy, self.x, self.kernel"),
               "what the weights get", 1),
        Mutant("adds to the old gradient", ("convolution_dW(self.x, dy, self.kernel, *self.moves, self.dW, self.workspace)",
               "self.dW += convolution_dW(self.x, dy, self.kernel, *self.moves)"), "what the weights get", 1),
        Mutant("a mean for the bias", ("convolution_db(dy, out=self.db)",
               "self.db[...] = dy.reshape(self.filters, -1).mean(axis=1, keepdims=True)"), "what the weights get", 1),
        Mutant("the border forgotten", ("dy = pad_image(dy, self.geometry.padding, self.workspace)", "dy = dy + 0"), "a border that was cut off", 1),
        Mutant("stamps the gradient", ("return convolution(dy, self.W, None, *self.moves, self.workspace)",
               "return transposed_convolution(dy, self.W.swapaxes(0, 1), None, *self.settings)"), "what the map gets back", 0),
        Mutant("always computes dx", ("if need_dx:\n", "if True:\n"), "nobody below", 2),
        Mutant("does not look whether there is a map", ("        if self.x is None:\n", "        if False:\n"), "backward comes first", 2),
    ),
)

HE_TRANSPOSED = Exercise(
    name="he_transposed", kind="build", target="he_transposed", difficulty=2, minutes=15,
    cases=(
        Case("without a stride", 1, "Weights too large or too small, and after five layers a picture has burst or faded.",
             lambda rng: call("he_transposed", (3, 1, 2, 3), Random(1))),
        Case("with a stride", 2, "The products of a stamp are shared among the pixels that one place serves.",
             lambda rng: Script().call("he_transposed", (3, 2, 4, 4), Random(2), stride=2).call("he_transposed", (1, 1, 2, 2), Random(3), 2)),
        Case("in groups", 1, "A filter sees the channels of its group only.",
             lambda rng: call("he_transposed", (4, 1, 2, 2), Random(4), groups=2)),
        Case("another stride across than down", 1, "A page may grow in width alone.", hidden=True,
             draw=lambda rng: call("he_transposed", (2, 5, 3, 4), Random(5), stride=(1, 4))),
        Case("many filters for few channels", 2, "The shape lists what comes in first; the rule for a convolution reads it the other way round.",
             hidden=True, draw=lambda rng: call("he_transposed", (2, 9, 3, 3), Random(6), (3, 2), 2)),
    ),
    hints=(
        "Of how many products is a pixel the sum, on the average?",
        "Channels of one group, times the weights of a kernel, divided by the product of both strides. The variance of a weight is 2 over that. "
        "`pair` makes two strides of one.",
        "Section *How large should a stamp be?* of {ref}`ch-transposed-convolution`, {eq}`eq-trans-fan`.",
    ),
    mutants=(
        Mutant("the stride forgotten", ('products / math.prod(pair("stride", stride))', "products"), "with a stride", 0),
        Mutant("the groups forgotten", ("shape[0] / groups * math", "shape[0] * math"), "in groups", 1),
        Mutant("the shape read as a convolution's", ("shape[0] / groups * math.prod(shape[2:])", "math.prod(shape[1:])"), "without a stride", 1),
        Mutant("the variance for the deviation", ("math.sqrt(2.0 / fan_in)", "2.0 / fan_in"), "without a stride", 1),
        Mutant("one is enough", ("2.0 / fan_in", "1.0 / fan_in"), "without a stride", 1),
        Mutant("one stride for both", ('math.prod(pair("stride", stride))', 'pair("stride", stride)[0] ** 2'),
               "another stride across than down", 1),
    ),
)

UPSAMPLE = Exercise(
    name="upsample", kind="build", target="upsample", also=("upsample_backward",), difficulty=1, minutes=15,
    cases=(
        Case("blocks", 1, "Neighbours stay neighbours: a pixel becomes a block, the image is not repeated.",
             lambda rng, size=2: call("upsample", numbers(rng, 1, size, size, 1), 2)),
        Case("other factors down than across", 1, "Rows come first, in both numbers.",
             lambda rng, size=2: call("upsample", numbers(rng, size, size + 1, size, 2), (1, 3))),
        Case("the sum of a block", 2, "A number that was used six times is to blame six times.",
             lambda rng: call("upsample_backward", numbers(rng, 1, 4, 6, 1), (2, 3))),
        Case("out is filled, both ways", 1, "Layers use their arrays again and again.", modifies=("out",),
             draw=lambda rng: filled("upsample", rng, (1, 2, 1, 2), (1, 4, 2, 2), 2)),
        Case("out had other numbers in it", 2, "The gradient of the batch before must not shine through.", hidden=True, modifies=("out",),
             draw=lambda rng: filled("upsample_backward", rng, (2, 6, 2, 3), (2, 2, 1, 3), (3, 2))),
        Case("channels, samples, three by two", 1, "Only the two axes in the middle grow.", hidden=True,
             draw=lambda rng, size=3: call("upsample", numbers(rng, size, 2, 3, size + 1), (3, 2))),
        Case("blocks in single precision", 1, "Copies need not be wider than what they are copies of.", hidden=True,
             draw=lambda rng: Script().call("upsample", numbers(rng, 2, 2, 3, 2, dtype=np.float32), 2)
             .call("upsample_backward", numbers(rng, 2, 2, 4, 2, dtype=np.float32), 2)),
    ),
    hints=(
        "Of a block of two by two, take the upper left pixels of all blocks. What slice of the large image are they?",
        "`[:, i::down, j::across]` for every (i, j) of a block: assign x there on the way up, add it up on the way back, starting from zero.",
        "Section *Chessboards* of {ref}`ch-transposed-convolution`, its last part.",
    ),
    mutants=(
        Mutant("the image is repeated", ("out[:, i::down, j::across] = x",
               "h, w = x.shape[1:3]\n        out[:, i * h:(i + 1) * h, j * w:(j + 1) * w] = x"), "blocks", 0),
        Mutant("the last one wins", ("out += dy[", "out[...] = dy["), "the sum of a block", 1),
        Mutant("a mean", ("out += dy[:, i::down, j::across]", "out += dy[:, i::down, j::across] / (down * across)"), "the sum of a block", 1),
        Mutant("starts from what was there", ("    out[...] = 0\n", ""), "out had other numbers in it", 1),
        Mutant("its own array, always", ("    if out is None:\n        channels", "    if True:\n        channels"), "out is filled, both ways", 2),
        Mutant("double precision for copies", ("width * across, batch), x.dtype)", "width * across, batch))"), "blocks in single precision", 2),
    ),
)

AS_CONVOLUTION = Exercise(
    name="as_convolution", kind="further", target="as_convolution", difficulty=2, minutes=40,
    text="""The other view of the margin note (exercise 3, *The other view*): push the numbers apart, fill the gaps with zeros, slide the turned
kernel over them. Find the image and the kernels with which an ordinary `convolution`, stride 1, makes what
`transposed_convolution` makes. Hardware that has nothing but convolutions does it like this. Then count: what share of its products
is with zeros?""",
    stub='''def as_convolution(x, W, stride=1, padding=0, output_padding=0):
    """What an ordinary convolution must look at to do what a transposed one does.

    For all x and W, convolution(image, kernels) is transposed_convolution(x, W, None,
    stride, padding, output_padding).

    Parameters
    ----------
    x : ndarray, shape (channels, height, width, batch)
    W : ndarray, shape (channels, filters, kh, kw)
    stride, padding, output_padding : int
        The same down and across. The padding may be larger than the kernel.

    Returns
    -------
    image : ndarray, shape (channels, rows, columns, batch)
        The numbers of x, `stride` pixels apart, among zeros; in x's dtype.
    kernels : ndarray, shape (filters, channels, kh, kw)
    """
''',
    solution='''def as_convolution(x, W, stride=1, padding=0, output_padding=0):
    """What an ordinary convolution must look at to do what a transposed one does."""
    spans = [(n - 1) * stride + 1 for n in x.shape[1:3]]
    margins = [k - 1 for k in W.shape[2:]]
    sides = [n + 2 * m + output_padding for n, m in zip(spans, margins)]
    image = np.zeros((len(x), *sides, x.shape[3]), x.dtype)
    rows, columns = (slice(m, m + n, stride) for n, m in zip(spans, margins))
    image[:, rows, columns] = x
    turned = W.swapaxes(0, 1)[:, :, ::-1, ::-1]
    return image[:, padding:sides[0] - padding, padding:sides[1] - padding], turned
''',
    expected=as_convolution,
    cases=(
        Case("stride 1", 2, "At the corner only one stamp reaches: only one weight may look at a number, all others at zeros.",
             lambda rng, size=2: call("as_convolution", numbers(rng, 1, size, size, 1), numbers(rng, 1, 1, 2, 2))),
        Case("pushed apart", 2, "Where a convolution would step two pixels, its transpose steps half a one.",
             lambda rng: call("as_convolution", numbers(rng, 1, 2, 3, 1), numbers(rng, 1, 1, 3, 2), 2)),
        Case("a border less, a row more", 1, "Padding makes a transposed convolution's picture smaller.",
             lambda rng: call("as_convolution", numbers(rng, 1, 2, 2, 1), numbers(rng, 1, 1, 3, 3), stride=2, padding=1, output_padding=1)),
        Case("channels and filters change places", 2, "The kernels of a convolution list filters first.", hidden=True,
             draw=lambda rng: call("as_convolution", numbers(rng, 3, 3, 2, 2), numbers(rng, 3, 2, 2, 4), 3, 1, 2)),
        Case("more padding than kernel", 1, "A negative border is not added but cut off.", hidden=True,
             draw=lambda rng: call("as_convolution", numbers(rng, 2, 5, 4, 2), numbers(rng, 2, 2, 2, 1), 2, 2)),
        Case("an image of single precision", 1, "Zeros come in double precision unless one says otherwise.", hidden=True,
             draw=lambda rng: call("as_convolution", numbers(rng, 2, 2, 3, 2, dtype=np.float32), numbers(rng, 2, 1, 3, 3, dtype=np.float32), 2, 1)),
    ),
    hints=(
        "Begin with stride 1 and a map of a single number. Which image around it, and which kernel, give the kernel itself?",
        "k - 1 zeros on each side of the numbers, s - 1 between them, the output padding at the end, and then p pixels cut from every side. The kernel is "
        "turned by 180 degrees, its first two axes exchanged.",
        "The margin note of *Stride: a bigger picture* in {ref}`ch-transposed-convolution`, and its design note for the axes.",
    ),
    mutants=(
        Mutant("the kernel is not turned", ("[:, :, ::-1, ::-1]", ""), "stride 1", 0),
        Mutant("a turn of 90 degrees", ("W.swapaxes(0, 1)[:, :, ::-1, ::-1]", "np.rot90(W.swapaxes(0, 1), axes=(2, 3))"), "stride 1", 1),
        Mutant("channels stay in front", ("W.swapaxes(0, 1)", "W"), "channels and filters change places", 1),
        Mutant("padding added", ("image[:, padding:sides[0] - padding, padding:sides[1] - padding]",
               "np.pad(image, ((0, 0), (padding, padding), (padding, padding), (0, 0)))"), "a border less, a row more", 1),
        Mutant("the output padding comes first", ("slice(m, m + n, stride)", "slice(m + output_padding, m + output_padding + n, stride)"),
               "a border less, a row more", 1),
        Mutant("zeros of double precision", (", x.shape[3]), x.dtype)", ", x.shape[3]))"), "an image of single precision", 2),
    ),
)

BILINEAR_WEIGHTS = Exercise(
    name="bilinear_weights", kind="further", target="bilinear_weights", difficulty=2, minutes=30,
    text="""`Upsample` makes blocks. Smoother is *bilinear* enlarging: pixel $u$ of the large picture lies at $(u+\\tfrac12)/s-\\tfrac12$ in the small one,
and is the mean of the two numbers beside that place, each weighted with one minus its distance (down and across: the products of the weights).
That is a transposed convolution with one group for each channel. Find its kernels. They also are a good start for a layer that should
not draw chessboards before it has learned anything.""",
    stub='''def bilinear_weights(channels, stride):
    """Kernels with which a transposed convolution enlarges by `stride`, bilinearly.

    transposed_convolution(x, W, None, stride, padding, groups=channels) is `stride`
    times as high and wide as x. (At the border it fades: beyond it are zeros.)

    Parameters
    ----------
    channels, stride : int

    Returns
    -------
    W : ndarray of float64, shape (channels, 1, k, k)
        None of its weights is zero.
    padding : int
    """
''',
    solution='''def bilinear_weights(channels, stride):
    """Kernels with which a transposed convolution enlarges by `stride`, bilinearly."""
    kernel = 2 * stride - stride % 2
    distance = np.abs(np.arange(kernel) - (kernel - 1) / 2) / stride
    stamp = np.outer(1 - distance, 1 - distance)
    return np.tile(stamp, (channels, 1, 1, 1)), (kernel - stride) // 2
''',
    expected=bilinear_weights,
    cases=(
        Case("twice as large", 2, "Of two neighbours the nearer one counts three quarters, the other one quarter.",
             lambda rng: call("bilinear_weights", 1, 2)),
        Case("three times as large", 2, "With an odd stride the kernel has a middle, whose weight is one.",
             lambda rng: call("bilinear_weights", 1, 3)),
        Case("a stamp for each channel", 1, "Colours must not run into each other.",
             lambda rng: call("bilinear_weights", 3, 2)),
        Case("as large as it was", 1, "A stride of one changes nothing.", hidden=True, draw=lambda rng: call("bilinear_weights", 2, 1)),
        Case("four and five times", 2, "Even and odd strides differ by half a pixel.", hidden=True,
             draw=lambda rng: Script().call("bilinear_weights", 2, 4).call("bilinear_weights", 1, 5)),
    ),
    hints=(
        "Work along one axis first. On which pixels of the picture does one number of the map have any influence, and how much on each?",
        "The weights fall in a straight line from the middle of the kernel, by 1/s a pixel, and reach zero one place of the map away. "
        "Two such lines multiplied make the stamp. The padding follows from {eq}`eq-trans-size`.",
        "Section *How large is the picture?* of {ref}`ch-transposed-convolution`; the section on reading between pixels of {ref}`ch-augmentation`.",
    ),
    mutants=(
        Mutant("always twice the stride", ("2 * stride - stride % 2", "2 * stride"), "three times as large", 1),
        Mutant("half a pixel off", ("(kernel - 1) / 2", "kernel // 2"), "twice as large", 0),
        Mutant("the stamp adds up to one", ("np.outer(1 - distance, 1 - distance)", "np.outer(1 - distance, 1 - distance) / stride**2"),
               "twice as large", 0),
        Mutant("the sum of two lines", ("np.outer(1 - distance, 1 - distance)", "np.add.outer(1 - distance, 1 - distance) / 2"), "twice as large", 1),
        Mutant("as much padding as a convolution", ("(kernel - stride) // 2", "kernel // 2"), "twice as large", 1),
    ),
)

DEBLUR = Exercise(
    name="deblur", kind="further", target="deblur", difficulty=4, minutes=150,
    text="""The transposed convolution does not undo a convolution. But it helps to. Of all images $v$ look for the one that makes
$\\|Av-z\\|^2+\\lambda\\|v\\|^2$ smallest, where $Av$ is the convolution and $z$ the blurred picture; the second term keeps errors from being
multiplied, as in {numref}`fig-trans-inverse`. Set the gradient to zero: $(A^{\\top}A+\\lambda I)\\,v=A^{\\top}z$. These are as many equations as pixels,
too many to write down for a photograph. The method of *conjugate gradients* (Hestenes and Stiefel, 1952) solves them with nothing but products by $A$ and
$A^{\\top}$, which you have. (Writing the matrix down, as the chapter does, passes too, and teaches less.) Try it on a blurred digit with
noise: which $\\lambda$ looks best?""",
    stub='''def deblur(z, W, strength, padding=0):
    """The image of which a convolution made z, as far as it can be known.

    For each sample, the v that makes sum((convolution(v, W, padding=padding) - z)**2)
    + strength * sum(v**2) smallest, to about ten digits.

    Parameters
    ----------
    z : ndarray of float64, shape (filters, out_height, out_width, batch)
    W : ndarray of float64, shape (filters, channels, kh, kw)
    strength : float
        Larger than zero.
    padding : int

    Returns
    -------
    ndarray of float64, shape (channels, height, width, batch)
    """
''',
    solution='''def deblur(z, W, strength, padding=0):
    """The image of which a convolution made z, as far as it can be known."""
    def dot(a, b):
        return (a * b).sum(axis=(0, 1, 2))

    residual = transposed_convolution(z, W, padding=padding)
    v, direction = np.zeros_like(residual), residual
    size = dot(residual, residual)
    goal = 1e-24 * size
    for _ in range(10 * v.size):
        if (size <= goal).all():
            break
        image = convolution(direction, W, padding=padding)
        change = transposed_convolution(image, W, padding=padding) + strength * direction
        step = size / np.maximum(dot(direction, change), 1e-300)
        v = v + step * direction
        residual = residual - step * change
        before, size = size, dot(residual, residual)
        direction = residual + size / np.maximum(before, 1e-300) * direction
    return v
''',
    expected=deblur,
    cases=(
        # an iteration may stop at ten digits, hence the tolerance on numbers near zero
        Case("a kernel of one weight", 1, "Then every pixel has an equation to itself: (w² + λ) v = w z.", atol=1e-8,
             draw=lambda rng: call("deblur", numbers(rng, 1, 2, 2, 1), np.array([[[[2.0]]]]), 0.5)),
        Case("a row of four", 2, "Three looks at four pixels: without λ there would be many answers.", atol=1e-8,
             draw=lambda rng: call("deblur", numbers(rng, 1, 1, 3, 1), np.array([[[[1.0, 1.0]]]]), 0.1)),
        Case("a small page, padded", 2, "Padding made the blurred picture larger, so it makes the sharp one smaller.", atol=1e-8,
             draw=lambda rng, size=3: call("deblur", numbers(rng, 1, size, size + 1, 1), numbers(rng, 1, 1, 3, 3), 0.3, padding=1)),
        Case("several samples, filters and channels", 3, "Each sample has its own solution, and its own pace on the way there.", hidden=True, atol=1e-8,
             draw=lambda rng: call("deblur", numbers(rng, 3, 2, 3, 3), numbers(rng, 3, 2, 2, 2), 0.2)),
        Case("an empty page among others", 2, "For zeros the solution is zero at once, and zero divided by zero is not a number.", hidden=True, atol=1e-8,
             draw=lambda rng: call("deblur", numbers(rng, 1, 4, 3, 3) * np.array([1.0, 0.0, 50.0]), numbers(rng, 1, 1, 2, 3), 0.4)),
    ),
    hints=(
        "For one image, the loop of a few lines that every text on conjugate gradients has. In place of `M @ p` stands a function of an image.",
        "M p is the transposed convolution of the convolution of p, plus λ p. Begin with v = 0 and the residual Aᵀz. All samples at once: "
        "a scalar product for each sample, over the first three axes. Stop when every residual is 10¹² times smaller than at first.",
        "Section *It does not undo a convolution* of {ref}`ch-transposed-convolution`, and {eq}`eq-trans-adjoint`. A text: "
        "J. R. Shewchuk, *An Introduction to the Conjugate Gradient Method Without the Agonizing Pain* (1994).",
    ),
    mutants=(
        Mutant("transposing for solving", ("for _ in range(10 * v.size):", "for _ in range(0 * v.size):"), "a kernel of one weight", 0),
        Mutant("one step, no more", ("range(10 * v.size)", "range(1)"), "a row of four", 0),
        Mutant("no λ", (" + strength * direction", ""), "a kernel of one weight", 1),
        Mutant("λ squared", (" + strength * direction", " + strength**2 * direction"), "a kernel of one weight", 1),
        Mutant("zero over zero", ("step = size / np.maximum(dot(direction, change), 1e-300)", "step = size / dot(direction, change)"),
               "an empty page among others", 1),
        Mutant("stops at three digits", ("1e-24 * size", "1e-6 * size"), "several samples, filters and channels", 1),
        Mutant("the border is kept", ("residual = transposed_convolution(z, W, padding=padding)", "residual = transposed_convolution(z, W)"),
               "a small page, padded", 2),
    ),
)

EXERCISES = [TRANSPOSED_SIZE, TRANSPOSED_CONVOLUTION, TRANSPOSED_BACKWARD, HE_TRANSPOSED, UPSAMPLE, AS_CONVOLUTION, BILINEAR_WEIGHTS, DEBLUR]

QUESTIONS = [
    Question(
        "What is the transpose of a dense layer? Of average pooling? Of `Upsample`? Why has max pooling none?",
        "A dense layer without bias is $z=Wx$; its transpose is the dense layer with $W^{\\top}$, from as many inputs as there were neurons. Average pooling "
        "is a matrix too, with $1/k^2$ at the pixels of each window; its transpose spreads every number evenly over its window, a quarter "
        "to each of four pixels. That is `Upsample`, divided by the block's size. And the transpose of `Upsample` is the sum over each block, "
        "`upsample_backward`. In each case the transpose is the backward pass, used forwards. Max pooling is no matrix: the maximum of a sum is not "
        "the sum of the maxima. It has a backward pass all the same, which sends each number to the pixel that won; but that is the transpose "
        "of a matrix which changes with the image, so one must know the image to use it. Some decoders do keep the winners' places for that."),
    Question(
        "A colleague's decoder draws faint chessboards, and she puts a $5\\times5$ blur behind it, fixed, not learned. The chessboards are gone. "
        "What has she lost, and could the network have blurred by itself? Would you rather change the kernel, the layer, or the loss?",
        "A blur damps all fine patterns, the chessboard and the edges of strokes alike, so sharp digits have become impossible, whatever the network "
        "learns in front of it: it would have to exaggerate what the blur takes away, which is deconvolving. A learned convolution "
        "behind the transposed one can blur just as well, and can stop where it harms. Better still is not to draw the pattern: kernels that the stride divides, "
        "started smooth, or `Upsample` and a convolution, if four times the products can be paid. First one should look at the loss. "
        "If it compares every pixel, as ours does, training removes most of the pattern by itself, and a chessboard that stays after many epochs "
        "says that stamps do not overlap (kernel equal to stride), or that the training was too short."),
    Question(
        "The cleaner has $28\\times28$ inputs and outputs and no narrow code. What keeps it from copying its input, noise and all? Would it learn anything "
        "if input and target had the same noise?",
        "Copying is not what it is paid for. The target is clean, and the noise is independent of the digit and fresh in every epoch, so reproducing the noise only "
        "adds to the loss; the best answer for a pixel is the mean of all clean pixels that could lie under such surroundings. The map of $7\\times7$ with 32 channels "
        "has 1,568 numbers, twice as many as the image: as an obstacle it forbids nothing. With the same noise in input and target, copying "
        "would be perfect, and with twice the numbers it can nearly do that. It would learn the identity. Surprisingly, with *different* noise in input and target, of mean zero, "
        "it still learns to clean (under the squared error): the mean of noisy targets is the clean one. One can train a cleaner without ever having seen a clean image."),
]
