"""The exercises of the chapter on convolution: where kernels fit, windows as columns, and the way back."""

import math

import numpy as np

from course.classroom.exercise import Case, Exercise, Mutant, Question, Ref, Script, call


# References of the exercises' own: plain Python, floats and loops. Those of im2col and col2im know
# `rows` and `out`, which reference/convolution.py has no use for.

def two(value):
    """A setting as (down, across)."""
    return tuple(value) if isinstance(value, tuple | list) else (value, value)


def meetings(size, kernel, stride, dilation, rows):
    """Every (i, j, row in the band, c, y, x): a number of the kernel, a place, the pixel under it."""
    (kh, kw), (sy, sx), (dy, dx) = two(kernel), two(stride), two(dilation)
    down = (size[0] - dy * (kh - 1) - 1) // sy + 1
    across = (size[1] - dx * (kw - 1) - 1) // sx + 1
    first, stop = rows or (0, down)
    return (kh, kw, stop - first, across), [
        (i, j, r - first, c, r * sy + i * dy, c * sx + j * dx)
        for i in range(kh) for j in range(kw) for r in range(first, stop) for c in range(across)]


def im2col(x, kernel, stride=1, dilation=1, rows=None):
    """Copy number by number."""
    shape, pairs = meetings(x.shape[1:3], kernel, stride, dilation, rows)
    columns = np.zeros((len(x), *shape, x.shape[3]))
    for i, j, r, c, y, z in pairs:
        for k in range(len(x)):
            for n in range(x.shape[3]):
                columns[k, i, j, r, c, n] = x[k, y, z, n]
    return columns


def col2im(columns, x_shape, stride=1, dilation=1, rows=None, out=None):
    """Add number by number; `out` comes by position, or the script would fill it for us."""
    kernel, (channels, height, width, batch) = columns.shape[1:3], x_shape
    image = np.zeros(x_shape) if out is None else out
    _, pairs = meetings((height, width), kernel, stride, dilation, rows)
    for i, j, r, c, y, z in pairs:
        for k in range(channels):
            for n in range(batch):
                image[k, y, z, n] = float(image[k, y, z, n]) + float(columns[k, i, j, r, c, n])
    return image


def merge_convolutions(first, b1, second, b2):
    """Every path from a pixel through both layers, added up where it ends."""
    W1, W2 = np.asarray(first, float).tolist(), np.asarray(second, float).tolist()
    (F1, C, kh, kw), (F2, _, lh, lw) = np.shape(first), np.shape(second)
    W, b = np.zeros((F2, C, kh + lh - 1, kw + lw - 1)), np.zeros((F2, 1))
    for g in range(F2):
        b[g, 0] = b2[g, 0]
        for f in range(F1):
            for p, q in np.ndindex(lh, lw):
                b[g, 0] += W2[g][f][p][q] * float(b1[f, 0])
                for c, i, j in np.ndindex(C, kh, kw):
                    W[g, c, p + i, q + j] += W2[g][f][p][q] * W1[f][c][i][j]
    return W, b


def fft_convolution(x, W):
    """The sum itself."""
    x, W = np.asarray(x, float), np.asarray(W, float)
    (C, H, B, N), (F, _, kh, kw) = x.shape, W.shape
    z = np.zeros((F, H - kh + 1, B - kw + 1, N))
    for f, r, c, n in np.ndindex(z.shape):
        z[f, r, c, n] = math.fsum(W[f, k, i, j] * x[k, r + i, c + j, n] for k, i, j in np.ndindex(C, kh, kw))
    return z


# What is drawn. Height, width, kernel and batch differ, unless a case says otherwise.

def images(rng, channels, height, width, batch, dtype=np.float64):
    """Random images."""
    return rng.normal(size=(channels, height, width, batch)).astype(dtype)


def slid(rng, x_shape, W_shape, bias=True, dtype=np.float64, **settings):
    """convolution(x, W, b, ...)"""
    x, W, b = images(rng, *x_shape, dtype), images(rng, *W_shape, dtype), rng.normal(size=(W_shape[0], 1)).astype(dtype)
    return call("convolution", x, W, b, **settings) if bias else call("convolution", x, W, **settings)


def upstream(rng, z_shape, W_shape, x_shape, dtype=np.float64, **settings):
    """convolution_dx(dz, W, x_shape, ...)"""
    return call("convolution_dx", images(rng, *z_shape, dtype), images(rng, *W_shape, dtype), x_shape, **settings)


def weights_back(rng, z_shape, x_shape, kernel, dtype=np.float64, **settings):
    """convolution_dW(dz, x, kernel, ...)"""
    return call("convolution_dW", images(rng, *z_shape, dtype), images(rng, *x_shape, dtype), kernel, **settings)


def fitting(rng, count):
    """A script with so many calls of output_size in which the kernel fits."""
    script = Script()
    for _ in range(count):
        size, kernel, stride, before, after, dilation = (int(rng.integers(low, high)) for low, high in
                                                         ((12, 40), (1, 6), (1, 5), (0, 4), (0, 4), (1, 3)))
        script.call("output_size", size, kernel, stride, (before, after), dilation)
    return script


def widths(rng, count):
    """A script with so many calls of same_padding."""
    script = Script()
    for _ in range(count):
        script.call("same_padding", *(int(rng.integers(low, high)) for low, high in ((9, 40), (2, 8), (1, 4), (1, 4))))
    return script


OUTPUT_SIZE = Exercise(
    name="output_size", kind="build", target="output_size", difficulty=1, minutes=10,
    shown=('stride, dilation = whole("stride", stride), whole("dilation", dilation)',
           'before, after = pair("padding", padding, least=0)'),  # checks that the chapter on transposed convolution makes too
    cases=(
        Case("a digit", 1, "A layer that is off by one place here makes arrays that no image fills.",
             lambda rng: Script().call("output_size", 28, 3).call("output_size", 28, 28).call("output_size", 28, 1)),
        Case("strides that come out even, and that do not", 1, "Half a step is no step: what is left over at the end is not looked at.",
             lambda rng: Script().call("output_size", 11, 3, 2).call("output_size", 10, 3, 2).call("output_size", 10, 2, stride=4)),
        Case("padding, also on one side only", 1, "Zeros on both sides make room on both sides.",
             lambda rng: Script().call("output_size", 28, 3, padding=1).call("output_size", 7, 4, 2, (0, 3))),
        Case("a kernel pulled apart", 1, "Three weights with holes between span more than three pixels, and fewer than three times the gap.",
             lambda rng: Script().call("output_size", 28, 3, dilation=3).call("output_size", 9, 3, 1, 0, 4)),
        Case("a kernel that does not fit", 1, "The formula would still give a number, zero or less.",
             lambda rng: call("output_size", 5, 3, dilation=3), raises="ShapeError"),
        Case("all settings at once", 2, "Each of them alone is easy to get right.", hidden=True,
             draw=lambda rng: fitting(rng, 12)),
        Case("a stride of one half", 1, "Nobody means it; it comes from a division that should have been whole.", hidden=True,
             draw=lambda rng: call("output_size", 20, 3, 0.5), raises="ValueError"),
        Case("one pixel too many", 1, "Just not fitting is not fitting.", hidden=True,
             draw=lambda rng: call("output_size", 6, 3, 2, (1, 0), 4), raises="ShapeError"),
    ),
    hints=(
        "Lay the kernel at the very start. How many pixels are left behind it, and how many whole steps can it take?",
        "The kernel spans d(k-1) + 1 pixels. Room minus span, divided by the stride and rounded down, and one more: it "
        "stood somewhere before the first step. `whole` and `pair` check the settings.",
        "Section *Where a kernel fits* of {ref}`ch-convolution`, {eq}`eq-conv-size`.",
    ),
    mutants=(
        Mutant("the first place forgotten", ("// stride + 1", "// stride"), "a digit", 0),
        Mutant("half a step is taken", ("return (room - span) // stride + 1", "return -(-(room - span) // stride) + 1"),
               "strides that come out even, and that do not", 0),
        Mutant("a hole after the last weight", ("dilation * (kernel - 1) + 1", "dilation * kernel"), "a kernel pulled apart", 1),
        Mutant("padding on one side", ("before + size + after,", "size + after,"), "padding, also on one side only", 1),
        Mutant("never too large", ("if span > room:", "if False:"), "a kernel that does not fit", 2),
        Mutant("any stride will do", ('whole("stride", stride), whole', 'stride, whole'), "a stride of one half", 1),
    ),
)

SAME_PADDING = Exercise(
    name="same_padding", kind="build", target="same_padding", difficulty=2, minutes=20,
    cases=(
        Case("odd kernels", 1, "The common case: half a kernel on each side, and the map is as large as the image.",
             lambda rng: Script().call("same_padding", 28, 3).call("same_padding", 28, 7)),
        Case("even kernels", 1, "They have no middle, so one side gets more; if the sides are exchanged, weights from elsewhere see a shifted picture.",
             lambda rng: Script().call("same_padding", 28, 4).call("same_padding", 9, 2)),
        Case("with a stride", 2, "A place for every second pixel, the last one included.",
             lambda rng: Script().call("same_padding", 28, 5, stride=2).call("same_padding", 27, 3, 2).call("same_padding", 10, 4, 3)),
        Case("nothing is missing", 1, "A kernel of one pixel with a stride leaves pixels over; padding is never negative.", hidden=True,
             draw=lambda rng: Script().call("same_padding", 10, 1, 3).call("same_padding", 9, 1).call("same_padding", 8, 2, 5)),
        Case("many settings, drawn", 2, "Whoever builds a network from tables of settings meets all of them.", hidden=True,
             draw=lambda rng: widths(rng, 15)),
    ),
    hints=(
        "How many places do you want, and where does the last of them begin?",
        "The last place begins at (places - 1) times the stride and is one span long. What of it lies beyond the image is "
        "missing, if anything is. Halve it; an odd one goes after.",
        "Section *Same* of {ref}`ch-convolution`.",
    ),
    mutants=(
        Mutant("the odd one goes before", ("max(missing, 0) // 2, (max(missing, 0) + 1) // 2",
               "(max(missing, 0) + 1) // 2, max(missing, 0) // 2"), "even kernels", 1),
        Mutant("the last place is lost", ("places = -(-size // stride)", "places = size // stride"), "with a stride", 0),
        Mutant("kernel minus one, whatever the stride", ("missing = (places - 1) * stride + dilation * (kernel - 1) + 1 - size",
               "missing = dilation * (kernel - 1)"), "with a stride", 0),
        Mutant("negative padding", ("    return max(missing, 0) // 2, (max(missing, 0) + 1) // 2",
               "    return missing // 2, (missing + 1) // 2"), "nothing is missing", 1),
        Mutant("all of it after", ("max(missing, 0) // 2, (max(missing, 0) + 1) // 2", "0, max(missing, 0)"), "odd kernels", 1),
    ),
)

IM2COL = Exercise(
    name="im2col", kind="build", target="im2col", difficulty=3, minutes=45, expected=im2col,
    cases=(
        Case("one picture", 2, "Column after column, the windows in reading order.",
             lambda rng: call("im2col", np.arange(1.0, 17).reshape(1, 4, 4, 1), 3)),
        Case("channels and a batch", 1, "The rows of a channel stay together, and so do the samples of a place, or the reshape mixes them up.",
             lambda rng, size=2: call("im2col", images(rng, size, size + 2, size + 1, size + 1), 2)),
        Case("stride and dilation", 2, "One moves the window, the other pulls it apart.",
             lambda rng: call("im2col", images(rng, 1, 8, 7, 1), 2, stride=2, dilation=3)),
        Case("out is filled", 1, "The columns are the largest array of a network; nobody wants two of them.",
             lambda rng: Script().given(out=np.full((1, 2, 2, 2, 3, 1), 9.0))
             .call("im2col", images(rng, 1, 3, 4, 1), 2, out=Ref("out"), keep=False).get("out"), modifies=("out",)),
        Case("nothing is square", 2, "Down comes before across, in all four settings.", hidden=True,
             draw=lambda rng, size=2: call("im2col", images(rng, size, 11, 9, size), (3, 2), (1, 2), (2, 3))),
        Case("some rows of places only", 2, "A band begins further down the image.", hidden=True,
             draw=lambda rng: call("im2col", images(rng, 2, 9, 5, 3), (2, 3), stride=2, rows=(1, 3))),
        Case("rows, into out", 1, "This is how a band is made.", hidden=True, modifies=("out",),
             draw=lambda rng: Script().given(out=np.full((2, 2, 3, 2, 3, 3), 9.0))
             .call("im2col", images(rng, 2, 6, 5, 3), (2, 3), rows=(2, 4), out=Ref("out"), keep=False).get("out")),
        Case("columns in single precision", 1, "Twice as wide columns take twice as long to multiply.", hidden=True,
             draw=lambda rng: call("im2col", images(rng, 2, 5, 4, 2, np.float32), 3)),
    ),
    hints=(
        "A loop over places is slow. Take one number of the kernel: which pixels does it meet, at all places?",
        "Those pixels are a slice of the image, with a step. `window_slices` yields the slices for every (i, j); copy each "
        "to where (i, j) stands in the result. `geometry` knows how many places there are.",
        "Section *im2col* of {ref}`ch-convolution`, the paragraph that begins *Now for the code*.",
    ),
    mutants=(
        Mutant("rows and columns of the kernel exchanged", ("out[:, i, j] = x", "out[:, j, i] = x"), "one picture", 1),
        Mutant("stride and dilation exchanged", ("out.shape, stride, dilation, rows", "out.shape, dilation, stride, rows"),
               "stride and dilation", 1),
        Mutant("out is not filled", ("if out is None:", "if True:"), "out is filled", 2),
        Mutant("always from the top", ("stride, dilation, rows):", "stride, dilation):"), "some rows of places only", 2),
        Mutant("double precision for all", ("x.shape[3]), x.dtype)", "x.shape[3]))"), "columns in single precision", 1),
    ),
)

CONVOLUTION = Exercise(
    name="convolution", kind="build", target="convolution", difficulty=3, minutes=60,
    cases=(
        Case("one filter, one channel", 1, "The slide itself, and a bias added at every place.",
             lambda rng, size=2: slid(rng, (1, size + 2, size + 1, 1), (1, 1, 2, 2))),
        Case("filters, channels and a batch", 2, "A filter adds up all channels and makes one.",
             lambda rng, size=2: slid(rng, (size + 1, size + 2, size + 3, size), (size + 2, size + 1, 2, 3))),
        Case("without a bias", 1, "In front of batch normalization a bias would be subtracted again.",
             lambda rng: slid(rng, (2, 4, 3, 1), (2, 2, 2, 2), bias=False)),
        Case("padding and stride", 1, "Padding makes room at the edges; the stride thins out the places.",
             lambda rng: slid(rng, (1, 5, 4, 2), (2, 1, 3, 3), stride=2, padding=1)),
        Case("channels that do not match", 1, "Filters made for a photograph do not fit on a digit.",
             lambda rng: slid(rng, (2, 5, 5, 1), (1, 3, 3, 3)), raises="ShapeError"),
        Case("everything at once", 2, "Each setting moves what the others count.", hidden=True,
             draw=lambda rng: slid(rng, (4, 8, 7, 2), (2, 2, 3, 2), stride=(2, 1), padding=((1, 0), (2, 1)), dilation=(1, 2), groups=2)),
        Case("as many groups as channels", 2, "A depthwise layer gives every channel filters of its own, in their order.", hidden=True,
             draw=lambda rng, size=3: slid(rng, (size, 5, 4, 2), (2 * size, 1, 2, 2), groups=size)),
        Case("same, on an even kernel", 1, "The odd zero goes after.", hidden=True,
             draw=lambda rng: slid(rng, (1, 6, 5, 2), (2, 1, 4, 2), padding="same")),
        Case("more columns than one band holds", 2, "Each band must land in its own rows of the result.", hidden=True,
             draw=lambda rng: slid(rng, (1, 36, 34, 40), (1, 1, 2, 4))),
        Case("images of single precision", 1, "Twice the width is twice the time.", hidden=True,
             draw=lambda rng: slid(rng, (3, 5, 6, 4), (2, 3, 3, 3), dtype=np.float32)),
    ),
    hints=(
        "If every window were a column, what would one filter be? And all filters?",
        "Pad; take z from the workspace; for each of the `bands`, fill its columns with `im2col`, reshape filters to (groups, "
        "filters of a group, ...) and columns to match, multiply into the rows of z that the band stands for, and add the bias there.",
        "Sections *One product, a band at a time* and *Groups* of {ref}`ch-convolution`.",
    ),
    mutants=(
        Mutant("a true convolution", ("np.asarray(x, np.result_type(x, W)), np.asarray(W)",
               "np.asarray(x, np.result_type(x, W)), np.asarray(W)[:, :, ::-1, ::-1]"), "one filter, one channel", 0),
        Mutant("the bias is forgotten", ("if b is not None:", "if False:"), "one filter, one channel", 1),
        Mutant("a bias is demanded", ("        if b is not None:\n            band", "        if True:\n            band"), "without a bias", 1),
        Mutant("never padded", ("x = pad_image(x, g.padding, workspace)", "x = x + 0"), "padding and stride", 1),
        Mutant("every filter sees the first group", ("columns.reshape(groups, W.shape[2], -1)",
               "columns.reshape(groups, W.shape[2], -1)[:1]"), "as many groups as channels", 2),
        Mutant("groups dealt out in turn", ("W = W.reshape(groups, len(W) // groups, -1)",
               "W = W.reshape(len(W) // groups, groups, -1).swapaxes(0, 1)"), "as many groups as channels", 2),
        Mutant("every band has the first one's columns", ("im2col(x, *g[:3], rows, columns)", "im2col(x, *g[:3], (0, rows[1] - rows[0]), columns)"),
               "more columns than one band holds", 1),
    ),
)

CONVOLUTION_DW = Exercise(
    name="convolution_dw", kind="build", target="convolution_dW", difficulty=3, minutes=45,
    cases=(
        Case("one weight, four places", 1, "A weight was used at every place, each time on another pixel.",
             lambda rng, size=2: weights_back(rng, (1, size, size, 1), (1, size + 1, size + 2, 1), (2, 3))),
        Case("several of everything", 2, "Filters times channels, summed over places and samples.",
             lambda rng, size=2: weights_back(rng, (size + 1, 3, 2, size), (size, 4, 3, size), (2, 2))),
        Case("padded, with a stride", 1, "A weight that met only padding has learned nothing there.",
             lambda rng: weights_back(rng, (2, 3, 2, 1), (1, 5, 4, 1), 3, stride=2, padding=1)),
        Case("into out", 1, "A network keeps all its gradients in one long array, and expects them there.",
             lambda rng: Script().given(out=np.full((2, 1, 2, 2), 9.0)).call("convolution_dW", images(rng, 2, 2, 3, 2), images(rng, 1, 3, 4, 2),
                                                                           2, out=Ref("out"), keep=False).get("out"), modifies=("out",)),
        Case("three groups, pulled apart", 2, "The filters of a group saw the channels of that group, in this order.", hidden=True,
             draw=lambda rng: weights_back(rng, (6, 4, 3, 2), (3, 6, 5, 2), (2, 3), dilation=(2, 1), groups=3)),
        Case("a sum over bands", 2, "Every band of places has its share in every weight.", hidden=True,
             draw=lambda rng: weights_back(rng, (1, 35, 31, 40), (1, 36, 34, 40), (2, 4))),
        Case("dz of another batch", 1, "Shapes that happen to multiply are no proof that they belong together.", hidden=True,
             draw=lambda rng: weights_back(rng, (1, 2, 2, 3), (1, 3, 3, 2), 2), raises="ShapeError"),
        Case("filters' gradient in single precision", 1, "It will be subtracted from float32 weights.", hidden=True,
             draw=lambda rng: weights_back(rng, (3, 4, 3, 2), (2, 5, 5, 2), (2, 3), dtype=np.float32)),
    ),
    hints=(
        "The forward pass was a dense layer whose samples are windows. What is the gradient of a dense layer's weights?",
        "The columns are gone, so make them again, band by band. Each band's columns times its dz, transposed, within each group; "
        "add up over the bands, bring the axes in order, reshape.",
        "Section *The way back* of {ref}`ch-convolution`, {eq}`eq-conv-back`.",
    ),
    mutants=(
        Mutant("the last band only", ("dW += np.matmul(", "dW = np.matmul("), "a sum over bands", 1),
        Mutant("not transposed back", ("dW.swapaxes(1, 2).reshape(len(dz)", "dW.reshape(len(dz)"), "several of everything", 1),
        Mutant("the mean over the batch", ("part)\n", "part) / x.shape[3]\n"), "several of everything", 0),
        Mutant("out is not filled", ("dW if out is None else np.positive(dW, out=out)", "dW"), "into out", 2),
        Mutant("the columns of the first rows", ("im2col(x, *g[:3], rows, columns)", "im2col(x, *g[:3], (0, rows[1] - rows[0]), columns)"),
               "a sum over bands", 1),
        Mutant("the padding is forgotten", ("x = pad_image(x, g.padding, workspace)", "x = np.roll(pad_image(x, g.padding, workspace), -1, 1)"),
               "padded, with a stride", 2),
    ),
)

COL2IM = Exercise(
    name="col2im", kind="build", target="col2im", difficulty=2, minutes=30, expected=col2im,
    cases=(
        Case("columns full of ones", 1, "How many windows look at each pixel? So many gradients reach it.",
             lambda rng, size=2: call("col2im", np.ones((1, 2, 2, size, size + 1, 1)), (1, size + 1, size + 2, 1))),
        Case("random columns", 2, "A pixel that was copied nine times gets nine gradients, each from its own copy.",
             lambda rng, size=2: call("col2im", rng.normal(size=(size, 3, 2, 2, size + 1, size + 1)), (size, 4, size + 2, size + 1))),
        Case("a stride that leaves pixels out", 1, "Nobody looked at the last row, so its gradient is zero, and it is there all the same.",
             lambda rng: call("col2im", rng.normal(size=(1, 2, 2, 2, 2, 1)), (1, 5, 4, 1), 2)),
        Case("pulled apart, not square", 2, "The kernel's numbers lie on pixels with holes between, and down comes first.", hidden=True,
             draw=lambda rng, size=2: call("col2im", rng.normal(size=(size, 3, 2, 3, 4, 2)), (size, 9, 7, 2), (2, 1), (2, 3))),
        Case("a second band, added to the first", 2, "Bands share rows of pixels; the second must not erase what the first has left there.",
             hidden=True, modifies=("out",), draw=lambda rng: Script().given(out=np.zeros((1, 6, 4, 2)))
             .call("col2im", rng.normal(size=(1, 3, 2, 2, 3, 2)), (1, 6, 4, 2), 1, 1, (0, 2), Ref("out"), keep=False)
             .call("col2im", rng.normal(size=(1, 3, 2, 2, 3, 2)), (1, 6, 4, 2), 1, 1, (2, 4), Ref("out"), keep=False).get("out")),
        Case("gradients in single precision", 1, "What comes back must be as wide as what went in.", hidden=True,
             draw=lambda rng: call("col2im", rng.normal(size=(2, 2, 2, 3, 3, 2)).astype(np.float32), (2, 4, 4, 2))),
    ),
    hints=(
        "A pixel stands in the columns several times. If it grows by a little, which copies grow?",
        "It is im2col run backwards: the same slices from `window_slices`, but now the image is on the left, and what "
        "arrives is added.",
        "Section *Back to the image* of {ref}`ch-convolution`.",
    ),
    mutants=(
        Mutant("the last copy wins", ("out[:, down, across] += columns", "out[:, down, across] = columns"), "columns full of ones", 0),
        Mutant("kernel transposed", ("columns[:, i, j]", "columns[:, j % columns.shape[1], i % columns.shape[2]]"), "random columns", 1),
        Mutant("stride and dilation exchanged", ("columns.shape, stride, dilation, rows", "columns.shape, dilation, stride, rows"),
               "a stride that leaves pixels out", 1),
        Mutant("starts from zeros", ("    for i, j", "    out[...] = 0\n    for i, j"), "a second band, added to the first", 2),
        Mutant("every band at the top", ("stride, dilation, rows):", "stride, dilation):"), "a second band, added to the first", 1),
        Mutant("double precision", ("np.zeros(x_shape, columns.dtype)", "np.zeros(x_shape)"), "gradients in single precision", 1),
    ),
)

CONVOLUTION_DX = Exercise(
    name="convolution_dx", kind="build", target="convolution_dx", difficulty=3, minutes=45,
    cases=(
        Case("one kernel goes back", 1, "While the place moves on, the weight moves back.",
             lambda rng, size=2: upstream(rng, (1, size, size + 1, 1), (1, 1, 2, 2), (1, size + 1, size + 2, 1))),
        Case("filters add up in every channel", 2, "A channel was seen by all filters, and each of them has something to say.",
             lambda rng, size=2: upstream(rng, (size + 1, 2, 3, size), (size + 1, size, 2, 3), (size, 3, 5, size))),
        Case("the padding is cut off", 1, "The zeros of the border have a gradient too; nobody asked for it.",
             lambda rng: upstream(rng, (2, 3, 2, 1), (2, 1, 3, 3), (1, 5, 4, 1), stride=2, padding=1)),
        Case("a gradient of another shape", 1, "A dz that does not belong to these images would be added to the wrong pixels.",
             lambda rng: upstream(rng, (1, 3, 3, 1), (1, 1, 2, 2), (1, 5, 5, 1)), raises="ShapeError"),
        Case("two groups, and nothing square", 2, "What goes forward in groups must come back in groups.", hidden=True,
             draw=lambda rng: upstream(rng, (4, 3, 4, 2), (4, 1, 3, 2), (2, 5, 6, 2), stride=(2, 1), padding=((1, 1), (0, 0)), dilation=(1, 2), groups=2)),
        Case("several bands overlap", 2, "Rows of pixels that two bands have in common get gradients from both.", hidden=True,
             draw=lambda rng: upstream(rng, (1, 35, 31, 40), (1, 1, 2, 4), (1, 36, 34, 40))),
        Case("upstream in single precision", 1, "One wide gradient widens all layers below.", hidden=True,
             draw=lambda rng: upstream(rng, (3, 4, 3, 2), (3, 2, 2, 3), (2, 5, 5, 2), np.float32)),
    ),
    hints=(
        "Between x and z stands one matrix product, of the filters and the columns. What is its gradient for the columns?",
        "Band by band: the filters, transposed within each group, times the band's dz, into the band's columns; then `col2im` "
        "adds these to the padded image, which began as zeros. At the end `crop`.",
        "Sections *The way back* and *Back to the image* of {ref}`ch-convolution`.",
    ),
    mutants=(
        Mutant("kernels turned by half a circle", ("W = W.reshape(groups", "W = W[:, :, ::-1, ::-1].reshape(groups"), "one kernel goes back", 0),
        Mutant("the border is kept", ("return crop(dx, g.padding)", "return dx"), "the padding is cut off", 1),
        Mutant("the far side of the border is kept", ("return crop(dx, g.padding)", "return dx[:, :x_shape[1], :x_shape[2]]"),
               "the padding is cut off", 1),
        Mutant("every band at the top", ("g.dilation, rows, dx)", "g.dilation, None, dx)"), "several bands overlap", 2),
        Mutant("zeros again for every band", ("        band = dz", "        dx[...] = 0\n        band = dz"), "several bands overlap", 1),
        Mutant("shapes are not asked for", ('    expect_shape("convolution_dx", "dz", dz.shape, (len(W), *g.out, x_shape[3]))\n',
               '    dz = np.zeros((len(W), *g.out, x_shape[3]))\n'), "a gradient of another shape", 2),
        Mutant("stride and dilation exchanged", ("g.stride, g.dilation, rows, dx", "g.dilation, g.stride, rows, dx"), "the padding is cut off", 1),
    ),
)

MERGE = Exercise(
    name="merge_convolutions", kind="further", target="merge_convolutions", difficulty=2, minutes=40,
    text="""Two convolutions with nothing in between are one convolution (exercise 5 above, *Two at once*). Which one? Write
the function that finds it. Then put a ReLU in between and see that no such function can exist: for $x$ and $-x$, one
convolution without biases gives opposite answers.""",
    stub='''def merge_convolutions(first, b1, second, b2):
    """The one convolution that does what two do, one after the other.

    With stride 1, no padding, no dilation and one group: for all images x,
    convolution(convolution(x, first, b1), second, b2) is convolution(x, W, b).

    Parameters
    ----------
    first : ndarray, shape (filters1, channels, kh, kw)
    b1 : ndarray, shape (filters1, 1)
    second : ndarray, shape (filters2, filters1, lh, lw)
    b2 : ndarray, shape (filters2, 1)

    Returns
    -------
    W : ndarray, shape (filters2, channels, kh + lh - 1, kw + lw - 1)
    b : ndarray, shape (filters2, 1)
    """
''',
    solution='''def merge_convolutions(first, b1, second, b2):
    """The one convolution that does what two do, one after the other."""
    filters2, _, lh, lw = second.shape
    _, channels, kh, kw = first.shape
    W = np.zeros((filters2, channels, kh + lh - 1, kw + lw - 1), first.dtype)
    for i, j in np.ndindex(lh, lw):
        W[:, :, i:i + kh, j:j + kw] += np.tensordot(second[:, :, i, j], first, axes=1)
    return W, second.sum(axis=(2, 3)) @ b1 + b2
''',
    expected=merge_convolutions,
    cases=(
        Case("one filter after one filter", 2, "A 3×3 window of 2×2 windows.",
             lambda rng, size=2: call("merge_convolutions", *pair_of_layers(rng, 1, 1, 1, (size, size), (size, size)))),
        Case("many filters after many", 2, "Every filter of the second layer adds up all filters of the first.",
             lambda rng, size=2: call("merge_convolutions", *pair_of_layers(rng, size, size + 1, size + 2, (2, 1), (1, 2)))),
        Case("the biases", 1, "The second layer sees the first one's bias through all its weights.",
             lambda rng: call("merge_convolutions", *pair_of_layers(rng, 1, 2, 1, (1, 1), (2, 2)))),
        Case("five after three, not square", 2, "Two small windows see as far as one large one.", hidden=True,
             draw=lambda rng: call("merge_convolutions", *pair_of_layers(rng, 2, 3, 2, (3, 2), (5, 4)))),
        Case("two layers in single precision", 1, "What was float32 must not come out twice as wide.", hidden=True,
             draw=lambda rng: call("merge_convolutions", *pair_of_layers(rng, 3, 2, 4, (3, 3), (3, 3), np.float32))),
    ),
    hints=(
        "Send one image through both that has a single one and else zeros. What comes out, and how large is it?",
        "A pixel meets weight i of the first kernel and the result weight j of the second: the product belongs to the "
        "weight i + j of the merged one. Add up over the filters in between. A bias of the first is multiplied by the sum of a whole kernel.",
        "Sections *Is it a convolution?* and *A dense layer in disguise* of {ref}`ch-convolution`.",
    ),
    mutants=(
        Mutant("the second kernel turned", ("second[:, :, i, j], first", "second[:, :, ::-1, ::-1][:, :, i, j], first"),
               "one filter after one filter", 0),
        Mutant("the last copy wins", ("j:j + kw] += np", "j:j + kw] = np"), "one filter after one filter", 1),
        Mutant("the first bias passes unchanged", ("second.sum(axis=(2, 3)) @ b1 + b2", "b1.sum() + b2"), "the biases", 1),
        Mutant("the first bias is forgotten", ("second.sum(axis=(2, 3)) @ b1 + b2", "b2"), "the biases", 1),
        Mutant("one weight of each kernel carries the bias", ("second.sum(axis=(2, 3))", "second[:, :, 0, 0]"), "the biases", 1),
        Mutant("double precision for two", (", first.dtype)", ")"), "two layers in single precision", 2),
    ),
)

FFT = Exercise(
    name="fft_convolution", kind="further", target="fft_convolution", difficulty=4, minutes=120,
    text="""The design note says that for large kernels *the Fourier transform turns a convolution into products, number by
number*. Try it: transform images and kernels, multiply, add up the channels, transform back. `np.fft` has all the
transforms. Then measure: from which kernel size on is it faster than `convolution`, on $28\\times28$ pixels?
(You need to know about the discrete Fourier transform that the transform of a circular convolution is the product of
the transforms, and that images are treated as if they repeated for ever.)""",
    stub='''def fft_convolution(x, W):
    """`convolution` by Fourier transforms, with stride 1 and without padding or bias.

    Parameters
    ----------
    x : ndarray, shape (channels, height, width, batch)
    W : ndarray, shape (filters, channels, kh, kw)
        Not larger than the images.

    Returns
    -------
    ndarray, shape (filters, height - kh + 1, width - kw + 1, batch)
        The cross-correlation, up to rounding, as `convolution` gives it; real, in the dtype of x.
    """
''',
    solution='''def fft_convolution(x, W):
    """`convolution` by Fourier transforms, with stride 1 and without padding or bias."""
    size, (kh, kw) = x.shape[1:3], W.shape[2:]
    images = np.fft.rfft2(x, axes=(1, 2))
    kernels = np.fft.rfft2(W, size, axes=(2, 3)).conj()
    products = np.einsum("fkuv,kuvn->fuvn", kernels, images)
    z = np.fft.irfft2(products, size, axes=(1, 2))
    return z[:, :size[0] - kh + 1, :size[1] - kw + 1]
''',
    expected=fft_convolution,
    cases=(
        Case("one kernel on one picture", 2, "The same sums, by another way.", rtol=1e-6, atol=1e-10,
             draw=lambda rng, size=2: call("fft_convolution", images(rng, 1, size + 3, size + 3, 1), images(rng, 1, 1, 2, 3))),
        Case("filters, channels, batch", 2, "Channels can be added up before the way back, so there is one for each filter and sample only.",
             atol=1e-10, draw=lambda rng, size=2: call("fft_convolution", images(rng, size, 4, 6, size + 1), images(rng, size + 1, size, 2, 2))),
        Case("as large as the image", 1, "One place is left, and nothing has wrapped around to it.", atol=1e-10,
             draw=lambda rng: call("fft_convolution", images(rng, 1, 4, 4, 2), images(rng, 2, 1, 4, 4))),
        Case("an odd number of columns", 2, "Half of a real spectrum does not say whether the width was even.", hidden=True, atol=1e-10,
             draw=lambda rng: call("fft_convolution", images(rng, 2, 6, 7, 2), images(rng, 2, 2, 3, 2))),
        Case("wide images, low kernels", 1, "Rows and columns have each their own size.", hidden=True, atol=1e-10,
             draw=lambda rng: call("fft_convolution", images(rng, 1, 3, 12, 1), images(rng, 1, 1, 1, 7))),
        Case("spectra of single precision", 1, "complex64 is enough for float32, and half as wide.", hidden=True,
             draw=lambda rng: call("fft_convolution", images(rng, 2, 8, 8, 3, np.float32), images(rng, 3, 2, 5, 5, np.float32))),
    ),
    hints=(
        "The product of two transforms belongs to a convolution, with minus signs. What has to be done to one of them so that it "
        "belongs to a cross-correlation?",
        "Kernels must be as large as the images before they are transformed: zeros behind them, which `rfft2` adds if it is told the "
        "size. Conjugate them. Of the circular result, the first height - kh + 1 rows have not wrapped around; tell `irfft2` the size.",
        "Section *Is it a convolution?* of {ref}`ch-convolution`, its design note, and the documentation of `np.fft`.",
    ),
    mutants=(
        Mutant("a true convolution", ("axes=(2, 3)).conj()", "axes=(2, 3))"), "one kernel on one picture", 0),
        Mutant("the width is guessed", ("irfft2(products, size, axes=(1, 2))", "irfft2(products, axes=(1, 2))"), "an odd number of columns", 1),
        Mutant("what wrapped around is kept", ("z[:, :size[0] - kh + 1, :size[1] - kw + 1]", "z"), "one kernel on one picture", 1),
        Mutant("the wrong end is cut off", ("z[:, :size[0] - kh + 1, :size[1] - kw + 1]", "z[:, kh - 1:, kw - 1:]"), "one kernel on one picture", 1),
        Mutant("channels are not added up", ('"fkuv,kuvn->fuvn", kernels, images', '"fuv,uvn->fuvn", kernels[:, 0], images[0]'),
               "filters, channels, batch", 2),
    ),
)


def pair_of_layers(rng, channels, between, filters, kernel1, kernel2, dtype=np.float64):
    """W and b of two layers, the second on top of the first."""
    shapes = (between, channels, *kernel1), (between, 1), (filters, between, *kernel2), (filters, 1)
    return [rng.normal(size=shape).astype(dtype) for shape in shapes]


EXERCISES = [OUTPUT_SIZE, SAME_PADDING, IM2COL, CONVOLUTION, CONVOLUTION_DW, COL2IM, CONVOLUTION_DX, MERGE, FFT]

QUESTIONS = [
    Question(
        "A classmate's `col2im` has `=` where it needs `+=`. His network of two convolutions and a dense layer still reads 96 % of "
        "the digits, and he concludes that his code is right. Which of the network's parameters get right gradients, which do "
        "not, and would a network with a single convolution have shown anything at all?",
        "The dense layer's gradient and the second convolution's $\\mathrm{dW}$ and $\\mathrm{db}$ are right: `col2im` comes in only "
        "where a gradient passes *through* a convolution to what lies below. So only the first convolution's $\\mathrm{dW}$ "
        "and $\\mathrm{db}$ are wrong, computed from a $\\mathrm{dz}$ in which every pixel kept one of up to nine terms. They still "
        "point roughly somewhere useful, and even random filters serve a trained dense layer well, so the score says little. With one "
        "convolution, first in the network, `col2im` is never called (`need_dx=False`), and no test of the network could notice. "
        "The two scalar products of {eq}`eq-conv-adjoint` notice in one line, with any random pair."),
    Question(
        "Train both networks of the taste on centred digits and show them digits that are moved by four pixels. A convolution "
        "treats all places alike. Why does the network with filters fail too?",
        "The convolution does its part: where the digit moves by three pixels, which is the stride, its feature maps move by one "
        "place, number for number (except at the edges, where something may leave the image). But on top of it stands a dense layer, which "
        "has a weight of its own for each of the 1,024 numbers. That a stroke's feature means a 7 at place (2, 5) says nothing about "
        "place (2, 6); it learned each place separately, from centred digits. And shifts that are no multiples of the stride change the maps "
        "themselves, since the kernel lands on other pixels. Moving along with the image is called *equivariance*; "
        "not caring about the move is *invariance*, and takes something that forgets places, such as the pooling of the next chapter."),
    Question(
        "Name data on a grid for which sharing weights between all places is the wrong prejudice, and say what you would do about it "
        "without giving up convolutions.",
        "A table whose columns are age, income and height: neighbours there are neighbours by accident, and shuffling the columns changes "
        "nothing that matters, so a dense layer is right. Passport photographs, where the eyes are always in the same rows: an edge high up is "
        "hair, the same edge low down is a collar. A board game, where a pawn near the far edge means something else than in the middle. "
        "In the last two, neighbours do belong together and only the *sameness* of places is false. A cheap way out is to tell the filters where they "
        "are: two more channels, one with every pixel's row and one with its column. A filter can learn to use them, or to ignore them. "
        "(Zeros from the padding already tell filters near the rim that they are near the rim.)"),
]
