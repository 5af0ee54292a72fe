"""The exercises of the chapter on augmentation: warps as matrices, reading between pixels, and the way back."""

import math

import numpy as np

from course.classroom.exercise import Case, Exercise, Mutant, Question, Random, Ref, Script, call


# Further exercises bring their own reference: plain Python, floats and loops.

def compose_warps(first, shifts1, second, shifts2):
    """Follow three points through both warps: the centre, one below it and one to its right."""
    matrices, shifts = np.zeros(np.shape(first)), np.zeros(np.shape(shifts1))
    for n in range(len(first)):
        def through(point):
            for A, t in ((first[n], shifts1[n]), (second[n], shifts2[n])):
                point = [float(A[i][0]) * point[0] + float(A[i][1]) * point[1] + float(t[i]) for i in range(2)]
            return point
        shifts[n] = through((0.0, 0.0))
        for j, point in enumerate(((1.0, 0.0), (0.0, 1.0))):
            for i, number in enumerate(through(point)):
                matrices[n, i, j] = number - shifts[n, i]
    return matrices, shifts


def change_width(images, amount):
    """Look at every pixel and its four neighbours."""
    result = np.zeros(np.shape(images))
    n, height, width = np.shape(images)
    for k, r, c in np.ndindex(n, height, width):
        ink = float(images[k, r, c])
        near = [ink] + [float(images[k, i, j]) if 0 <= i < height and 0 <= j < width else 0.0
                        for i, j in ((r - 1, c), (r + 1, c), (r, c - 1), (r, c + 1))]
        share = float(amount[k])
        goal = max(near) if share > 0 else min(near)
        result[k, r, c] = ink + abs(share) * (goal - ink)
    return result


def bilinear_backward(dy, image_shape, points):
    """Each pixel's weight at each point falls off with the distance, down and across."""
    dx = np.zeros(image_shape)
    for n, r, c in np.ndindex(np.shape(dy)):
        row, column = float(points[n, 0, r, c]), float(points[n, 1, r, c])
        for i in (math.floor(row), math.floor(row) + 1):
            for j in (math.floor(column), math.floor(column) + 1):
                if 0 <= i < image_shape[1] and 0 <= j < image_shape[2]:
                    dx[n, i, j] += float(dy[n, r, c]) * (1 - abs(row - i)) * (1 - abs(column - j))
    return dx


# What is drawn. Height and width differ, unless a case says otherwise.

def some_warps(rng, n, dtype=np.float64):
    """Matrices that are far from singular, none of them symmetric, and shifts."""
    turn = np.radians(rng.uniform(-40, 40, n))
    tall, wide, slant = rng.uniform(0.7, 1.5, n), rng.uniform(0.7, 1.5, n), rng.uniform(-0.5, 0.5, n)
    R = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]).transpose(2, 0, 1)
    H = np.array([[np.ones(n), np.zeros(n)], [-slant, np.ones(n)]]).transpose(2, 0, 1)
    S = np.array([[tall, np.zeros(n)], [np.zeros(n), wide]]).transpose(2, 0, 1)
    return (R @ H @ S).astype(dtype), rng.uniform(-2, 2, (n, 2)).astype(dtype)


def sources(rng, n, height, width, dtype=np.float64):
    """affine_points for drawn warps."""
    return call("affine_points", *some_warps(rng, n, dtype), height, width)


def page(rng, *shape, dtype=np.float64):
    """Images with ink everywhere, between 0 and 1."""
    return rng.uniform(0.1, 1.0, shape).astype(dtype)


def places(rng, n, height, width, rows, columns, margin=0.0, dtype=np.float64):
    """Random points on images of this size, and beyond by a margin."""
    points = np.stack([rng.uniform(-margin, length - 1 + margin, (n, rows, columns)) for length in (height, width)], axis=1)
    return points.astype(dtype)


def scattered(rng, n, height, width, rows, columns, margin=0.0, dtype=np.float64):
    """bilinear_backward for random points."""
    return call("bilinear_backward", rng.normal(size=(n, rows, columns)).astype(dtype), (n, height, width),
                places(rng, n, height, width, rows, columns, margin, dtype))


MATRICES = Exercise(
    name="warp_matrices", kind="build", target="rotation_matrix", also=("scaling_matrix", "shear_matrix"), difficulty=1, minutes=15,
    cases=(
        Case("a quarter turn", 1, "The point below the centre swings out to the right, and the one on the right goes up.", atol=1e-9,
             draw=lambda rng: Script().call("rotation_matrix", 90.0).call("rotation_matrix", 0.0)),
        Case("tall and narrow", 1, "Rows come first, and rows make it tall.",
             lambda rng: Script().call("scaling_matrix", 2.0, 0.5)),
        Case("italics", 1, "What lies below the centre goes to the left.",
             lambda rng: Script().call("shear_matrix", 0.25)),
        Case("a stack of each", 2, "Every image of a batch gets a matrix of its own.",
             lambda rng, size=2: Script().call("rotation_matrix", rng.uniform(-180, 180, size)).call("shear_matrix", rng.normal(size=size))
             .call("scaling_matrix", rng.uniform(0.5, 2, size), rng.uniform(0.5, 2, size))),
        Case("stacks of stacks", 1, "An orbit has two axes, one for the turn and one for the slant.", hidden=True,
             draw=lambda rng: Script().call("rotation_matrix", rng.uniform(-90, 90, (3, 2))).call("shear_matrix", rng.normal(size=(2, 1, 4)))),
        Case("one factor for all heights", 1, "A number and an array together: the number is repeated.", hidden=True,
             draw=lambda rng, size=4: Script().call("scaling_matrix", 1.5, rng.uniform(0.5, 2, size)).call("scaling_matrix", rng.uniform(0.5, 2, size), 0.75)),
    ),
    hints=(
        "Where does the point one pixel below the centre go? Where the one to its right? These are the columns.",
        "`matrices` takes the four entries in reading order, numbers or arrays. Angles come in degrees, and `np.cos` wants radians.",
        "Section *Where does a pixel go?* of {ref}`ch-augmentation`, {eq}`eq-aug-matrices`.",
    ),
    mutants=(
        Mutant("clockwise", ("np.cos(angle), -np.sin(angle), np.sin(angle), np.cos(angle)", "np.cos(angle), np.sin(angle), -np.sin(angle), np.cos(angle)"),
               "a quarter turn", 0),
        Mutant("degrees for radians", ("np.radians(degrees)", "np.asarray(degrees)"), "a quarter turn", 1),
        Mutant("wide and low", ("matrices(rows, 0.0, 0.0, columns)", "matrices(columns, 0.0, 0.0, rows)"), "tall and narrow", 0),
        Mutant("leans backwards", ("np.negative(amount)", "amount"), "italics", 2),
        Mutant("leans upwards", ("matrices(1.0, 0.0, np.negative(amount), 1.0)", "matrices(1.0, np.negative(amount), 0.0, 1.0)"), "italics", 0),
    ),
)

AFFINE_POINTS = Exercise(
    name="affine_points", kind="build", target="affine_points", difficulty=3, minutes=45,
    cases=(
        Case("the leaning bar", 1, "Ask each pixel where it comes from, not where it goes.",
             lambda rng: call("affine_points", np.array([[[1.0, 0.0], [-0.5, 1.0]]]), np.zeros((1, 2)), 3, 3)),
        Case("moved, nothing else", 1, "What is moved down comes from further up.",
             lambda rng: call("affine_points", np.eye(2)[None], np.array([[1.0, -0.5]]), 2, 3)),
        Case("one warp, all parts", 2, "The centre stays where it is, except for the shift.",
             lambda rng, size=2: sources(rng, 1, size, size + 1)),
        Case("twice as large", 1, "Of four rows the middle is between the second and the third, at one and a half.",
             lambda rng: call("affine_points", 2 * np.eye(2)[None], np.zeros((1, 2)), 4, 2)),
        Case("a batch, wide pages", 2, "Rows and columns have each their own centre.", hidden=True,
             draw=lambda rng, size=3: sources(rng, size, size, 2 * size + 1)),
        Case("a warp that flattens", 1, "What was pressed onto a line cannot be brought back.", hidden=True,
             draw=lambda rng: call("affine_points", np.array([[[1.0, 2.0], [2.0, 4.0]]]), np.zeros((1, 2)), 3, 3), raises="LinAlgError"),
        Case("points of single precision", 1, "Twice the width, twice the time, for every pixel of every epoch.", hidden=True,
             draw=lambda rng: sources(rng, 2, 4, 5, np.float32)),
    ),
    hints=(
        "A pixel at p goes to q = A(p - m) + m + t. Solve for p.",
        "p is the inverse of A times q, plus an offset that is the same for all pixels of an image: m minus the inverse times (m + t). "
        "`np.indices` lists all q; `np.linalg.inv` and `@` take stacks.",
        "Section *Ask every pixel where it comes from* of {ref}`ch-augmentation`, {eq}`eq-aug-inverse`.",
    ),
    mutants=(
        Mutant("the inverse forgotten", ("inverse = np.linalg.inv(forward)", "inverse = forward"), "the leaning bar", 0),
        Mutant("transposed for inverted", ("inverse = np.linalg.inv(forward)", "inverse = forward.swapaxes(1, 2)"), "one warp, all parts", 0),
        Mutant("the centre at half the height", ("[(height - 1) / 2], [(width - 1) / 2]", "[height / 2], [width / 2]"), "twice as large", 1),
        Mutant("about the corner", ("offset = centre - inverse @ (centre + shifts[..., None])", "offset = 0 * centre - inverse @ shifts[..., None]"),
               "twice as large", 1),
        Mutant("moved the other way", ("(centre + shifts[..., None])", "(centre - shifts[..., None])"), "moved, nothing else", 1),
        Mutant("columns before rows", ("reshape(2, height * width)", "reshape(2, height * width)[::-1]"), "moved, nothing else", 2),
    ),
)

BILINEAR = Exercise(
    name="bilinear", kind="build", target="bilinear", difficulty=3, minutes=60,
    shown=("corner = start + top * step + left",),  # explained line by line
    cases=(
        Case("between four pixels", 1, "Each corner weighs as much as the rectangle on the other side of the point.",
             lambda rng: call("bilinear", np.array([[[10.0, 20.0], [30.0, 60.0]]]), np.array([[[[0.5, 0.0]], [[0.25, 0.75]]]]))),
        Case("points on a page", 2, "Down comes before across, in the points and in the picture.",
             lambda rng, size=2: call("bilinear", page(rng, 1, size + 1, size + 2), places(rng, 1, size + 1, size + 2, 2, size))),
        Case("over the edge", 2, "The page is endless and blank, and a point half over its edge sees half of the ink.",
             lambda rng: call("bilinear", np.full((1, 2, 2), 8.0), np.array([[[[-0.5, 0.5, 1.25, -3.0, 9.0]], [[0.0, 1.5, 1.5, 0.0, 0.5]]]]))),
        Case("several images with channels", 2, "All channels of an image read at the same points, and each image at its own.", hidden=True,
             draw=lambda rng, size=2: call("bilinear", page(rng, size + 1, size, 4, 5), places(rng, size + 1, 4, 5, 3, 2, margin=1.5))),
        Case("exactly on the pixels", 1, "Nothing is blurred that is not between.", hidden=True,
             draw=lambda rng: call("bilinear", page(rng, 2, 3, 4), np.broadcast_to(np.indices((3, 4), float), (2, 2, 3, 4)).copy())),
        Case("points for another batch", 1, "Three lists of points for two images: somebody has lost one.", hidden=True,
             draw=lambda rng: call("bilinear", page(rng, 2, 4, 4), places(rng, 3, 4, 4, 2, 2)), raises="ShapeError"),
        Case("pages of single precision", 1, "A share subtracted from a whole number can widen everything after it.", hidden=True,
             draw=lambda rng: call("bilinear", page(rng, 2, 5, 6, dtype=np.float32), places(rng, 2, 5, 6, 4, 4, 0.5, np.float32))),
    ),
    hints=(
        "Which four pixels does a point lie between, and what share of the way is it down, and to the right?",
        "Put the images `on_blank_page`; `before_and_beyond` gives the pixel before each point and the share beyond it, rows and columns apart. "
        "Number the pixels of the flattened pages, `take` all four corners, and `mix` three times.",
        "Section *Between four pixels* of {ref}`ch-augmentation`, and what is said line by line below its last code.",
    ),
    mutants=(
        Mutant("the nearest corner before", ("mix(mix(a, b, right), mix(c, d, right), down)", "a"), "between four pixels", 0),
        Mutant("shares exchanged", ("mix(mix(a, b, right), mix(c, d, right), down)", "mix(mix(a, b, down), mix(c, d, down), right)"), "between four pixels", 1),
        Mutant("the last pixel goes on for ever", ("points[:, None, 0]", "np.clip(points[:, None, 0], 0, height - 1)"), "over the edge", 1),
        Mutant("everybody reads the first image", ("corner = start + top", "corner = start % page[0].size + top"), "several images with channels", 2),
        Mutant("every channel reads the first", ("corner = start + top", "corner = start[:, :1] + 0 * start + top"), "several images with channels", 2),
        Mutant("rows as long as columns", ("step = page.shape[-1]", "step = page.shape[-2]"), "points on a page", 1),
        Mutant("shapes are not asked for", ('    expect_shape("bilinear", "points", np.shape(points), (n, 2, "rows", "columns"))\n', "    points = points[:n]\n"),
               "points for another batch", 2),
    ),
)

SMOOTH = Exercise(
    name="smooth_noise", kind="build", target="smoothing_matrix", also=("smooth_noise",), difficulty=2, minutes=30,
    cases=(
        Case("a small matrix", 1, "A row is a bell about its own place, cut off where the page ends.",
             lambda rng, size=2: call("smoothing_matrix", size + 1, 1.0), dtype="float64"),
        Case("a single spot", 1, "Smoothed down and across, a spot becomes a hill.",
             lambda rng: call("smooth_noise", np.array([[0.0, 0.0, 0.0], [0.0, 1.0, 0.0]]), 1.5)),
        Case("noise on a wide page", 2, "Rows and columns have each a matrix of their own length.",
             lambda rng, size=2: call("smooth_noise", rng.normal(size=(size, size + 2)), 0.8)),
        Case("a wide bell", 1, "The width is a standard deviation, in pixels.", hidden=True, dtype="float64",
             draw=lambda rng: call("smoothing_matrix", 9, float(rng.uniform(2, 5)))),
        Case("many fields at once", 2, "Two for each image of a band, one down and one across.", hidden=True,
             draw=lambda rng, size=3: call("smooth_noise", rng.normal(size=(size, 2, 5, 7)), 2.0)),
        Case("fields of single precision", 1, "The noise is float32, so is what becomes of it.", hidden=True,
             draw=lambda rng: call("smooth_noise", rng.normal(size=(2, 6, 4)).astype(np.float32), 1.2)),
    ),
    hints=(
        "What must the squares of a row's weights add up to, so that noise of variance 1 keeps it?",
        "exp(-(distance / smoothness)² / 2), every row divided by the root of the sum of its squares. Then two products: rows' matrix, noise, "
        "columns' matrix transposed, both in the noise's dtype.",
        "Section *Wobble* of {ref}`ch-augmentation`, {eq}`eq-aug-smooth` and {eq}`eq-aug-variance`.",
    ),
    mutants=(
        Mutant("rows that add up to one", ("np.sqrt((bumps**2).sum(axis=1, keepdims=True))", "bumps.sum(axis=1, keepdims=True)"), "a small matrix", 0),
        Mutant("columns normalized", ("axis=1, keepdims=True", "axis=0, keepdims=True"), "a small matrix", 1),
        Mutant("a bell too narrow", ("np.exp(-0.5 *", "np.exp(-1.0 *"), "a small matrix", 1),
        Mutant("down only", ("return down @ noise @ across.T", "return down @ noise"), "a single spot", 1),
        Mutant("across not transposed", ("across.T", "across"), "noise on a wide page", 1),
        Mutant("double precision", (".astype(noise.dtype)", ""), "fields of single precision", 1),
    ),
)

DRAW = Exercise(
    name="augmentation_draw", kind="build", target="Augmentation.draw", difficulty=2, minutes=25,
    cases=(
        Case("one warp", 1, "Six numbers decide what becomes of an image.", dtype="float64",
             draw=lambda rng: Script().make("augment", "Augmentation").call("augment.draw", 1, Random(1))),
        Case("a few warps", 2, "Each image has six numbers of its own, drawn before the next image's.", dtype="float64",
             draw=lambda rng, size=3: Script().make("augment", "Augmentation", 30.0, 0.3, 0.3, 3.0).call("augment.draw", size, Random(2))),
        Case("sizes only", 1, "Half as tall and twice as tall should be equally likely.", dtype="float64",
             draw=lambda rng: Script().make("augment", "Augmentation", 0.0, 0.7, 0.0, 0.0).call("augment.draw", 2, Random(3))),
        Case("all ranges different", 2, "Scaled, then slanted, then turned, and moved at last.", hidden=True, dtype="float64",
             draw=lambda rng, size=5: Script().make("augment", "Augmentation", *rng.uniform(0.1, 0.6, 4).tolist())
             .call("augment.draw", size, Random(int(rng.integers(1000))))),
        Case("many images, no shear", 1, "A range of zero uses up its random numbers all the same.", hidden=True, dtype="float64",
             draw=lambda rng: Script().make("augment", "Augmentation", 20.0, 0.2, 0.0, 2.0).call("augment.draw", 12, Random(int(rng.integers(1000))))),
        Case("no warp at all", 1, "With all ranges at zero nothing happens to anybody.", hidden=True, dtype="float64",
             draw=lambda rng: Script().make("augment", "Augmentation", 0.0, 0.0, 0.0, 0.0).call("augment.draw", 3, Random(5))),
    ),
    hints=(
        "How many random numbers does an image need, and in which order is an array of n rows filled?",
        "One draw of shape (n, 6) between -1 and 1; its columns are turn, tall, wide, slant, down, right. Multiply each by its range, take "
        "the exponential of the two scales, and multiply the three matrices, the last to act standing first.",
        "Sections *A machine for other hands* and *Where does a pixel go?* of {ref}`ch-augmentation`.",
    ),
    mutants=(
        Mutant("drawn setting by setting", ("rng.uniform(-1.0, 1.0, (n, 6)).T", "rng.uniform(-1.0, 1.0, (6, n))"), "a few warps", 0),
        Mutant("only to one side", ("rng.uniform(-1.0, 1.0, (n, 6))", "rng.uniform(0.0, 1.0, (n, 6))"), "one warp", 1),
        Mutant("factors around one", ("scaling_matrix(np.exp(self.scale * tall),", "scaling_matrix(1 + self.scale * tall,"), "sizes only", 1),
        Mutant("slanted before it is scaled", ("                   @ shear_matrix(self.shear * slant)\n", ""), "a few warps", 1),
        Mutant("across before down", ("np.stack([down, right], axis=1)", "np.stack([right, down], axis=1)"), "one warp", 1),
        Mutant("tall is wide", ("turn, tall, wide, slant", "turn, wide, tall, slant"), "sizes only", 1),
    ),
)

COMPOSE = Exercise(
    name="compose_warps", kind="further", target="compose_warps", difficulty=1, minutes=15,
    text="""*One warp, not ten*, says the chapter, and multiplies matrices. But warps have shifts too, and after the first shift the second
matrix turns the picture about a centre that the first has moved away from. Which single matrix and which single shift do what two warps do,
one after the other? With the answer you can also undo a warp: find the one that, composed with it, does nothing.""",
    stub='''def compose_warps(first, shifts1, second, shifts2):
    """The warps that do what two do, `first` before `second`.

    affine_warp(images, *compose_warps(A, s, B, t)) shows what affine_warp(affine_warp(images, A, s), B, t)
    shows, only sharper.

    Parameters
    ----------
    first, second : ndarray, shape (n, 2, 2)
        What each warp does to (row, column), measured from the centre.
    shifts1, shifts2 : ndarray, shape (n, 2)
        How far it then moves.

    Returns
    -------
    matrices : ndarray, shape (n, 2, 2)
    shifts : ndarray, shape (n, 2)
    """
''',
    solution='''def compose_warps(first, shifts1, second, shifts2):
    """The warps that do what two do, `first` before `second`."""
    carried = (second @ shifts1[..., None])[..., 0]
    return second @ first, carried + shifts2
''',
    expected=compose_warps,
    cases=(
        Case("turn, then move", 1, "Nothing turns after the move, so the shift is what it was.",
             lambda rng: call("compose_warps", some_warps(rng, 1)[0], np.zeros((1, 2)), np.eye(2)[None], np.array([[1.0, 2.0]]))),
        Case("move, then turn", 2, "What was moved to the right is carried up by a quarter turn.",
             lambda rng: call("compose_warps", np.eye(2)[None], np.array([[0.0, 3.0]]), np.array([[[0.0, -1.0], [1.0, 0.0]]]), np.zeros((1, 2)))),
        Case("a batch of pairs", 1, "Every image has a pair of its own.",
             lambda rng, size=2: call("compose_warps", *some_warps(rng, size), *some_warps(rng, size))),
        Case("two pairs of two", 1, "With as many images as axes a product along the wrong one fits.", hidden=True,
             draw=lambda rng: call("compose_warps", *some_warps(rng, 2), *some_warps(rng, 2))),
        Case("many pairs in single precision", 1, "Matrices of float32 stay that.", hidden=True,
             draw=lambda rng: call("compose_warps", *some_warps(rng, 9, np.float32), *some_warps(rng, 9, np.float32))),
    ),
    hints=(
        "Put q = A p + s into B q + t, everything measured from the centre, and multiply out.",
        "The matrix is B A. The first shift is multiplied by B, each image's by its own: make it a stack of columns, (n, 2, 1), for `@`.",
        "Sections *Where does a pixel go?* and *One warp, not ten* of {ref}`ch-augmentation`.",
    ),
    mutants=(
        Mutant("the other order", ("return second @ first", "return first @ second"), "a batch of pairs", 0),
        Mutant("shifts just added", ("carried + shifts2", "shifts1 + shifts2"), "move, then turn", 0),
        Mutant("the second shift forgotten", ("carried + shifts2", "carried"), "turn, then move", 0),
        Mutant("carried by the first matrix", ("(second @ shifts1", "(first @ shifts1"), "move, then turn", 1),
        Mutant("rows for columns", ("(second @ shifts1[..., None])", "(second.swapaxes(1, 2) @ shifts1[..., None])"), "move, then turn", 1),
    ),
)

WIDTH = Exercise(
    name="change_width", kind="further", target="change_width", difficulty=2, minutes=40,
    text="""Pens differ (exercise 5 above). The maximum over each pixel and its four neighbours makes strokes fatter by a pixel on each
side, the minimum makes them thinner; a share of the way in between is a pen in between. Write the change of width as a function of images
and amounts; then make an `augment` of it that draws an amount between -0.5 and 0.5 for each image, and see whether it helps a thousand digits
beside the warps.""",
    stub='''def change_width(images, amount):
    """Thicken or thin the strokes of every image by its own amount.

    Parameters
    ----------
    images : ndarray of floats, shape (n, height, width)
        Ink is positive; beyond the edges the page is blank, 0.
    amount : ndarray, shape (n,)
        From -1 to 1. Where it is positive, each pixel goes this share of the way to the largest among itself
        and its four neighbours; where it is negative, |amount| of the way to the smallest.

    Returns
    -------
    ndarray, shape and dtype of the images
        A new array.
    """
''',
    solution='''def change_width(images, amount):
    """Thicken or thin the strokes of every image by its own amount."""
    paper = np.pad(images, ((0, 0), (1, 1), (1, 1)))
    near = (images, paper[:, :-2, 1:-1], paper[:, 2:, 1:-1], paper[:, 1:-1, :-2], paper[:, 1:-1, 2:])
    share = amount[:, None, None]
    goal = np.where(share > 0, np.maximum.reduce(near), np.minimum.reduce(near))
    return images + np.abs(share) * (goal - images)
''',
    expected=change_width,
    cases=(
        Case("a dot becomes a cross", 1, "Four neighbours, no corners.",
             lambda rng: call("change_width", np.pad(np.ones((1, 1, 1)), ((0, 0), (1, 2), (1, 1))), np.array([1.0]))),
        Case("a thinner pen", 1, "The rim of a stroke loses ink to the paper beside it.",
             lambda rng, size=2: call("change_width", page(rng, 1, size + 1, size + 2), np.array([-0.5]))),
        Case("each by its own amount", 2, "One image becomes fatter, the other thinner, the third stays.",
             lambda rng: call("change_width", page(rng, 3, 3, 4), np.array([0.25, -0.75, 0.0]))),
        Case("ink up to the edge", 1, "What leaves the page on the left must not come back on the right.", hidden=True,
             draw=lambda rng: call("change_width", page(rng, 2, 4, 5) * (np.arange(5) != 2), np.array([0.6, -0.6]))),
        Case("as many images as rows", 2, "Where sizes agree, an amount can go to a row.", hidden=True,
             draw=lambda rng, size=4: call("change_width", page(rng, size, size, size), rng.uniform(-1, 1, size))),
        Case("pens of single precision", 1, "Images of float32 stay that.", hidden=True,
             draw=lambda rng: call("change_width", page(rng, 3, 6, 5, dtype=np.float32), rng.uniform(-1, 1, 3).astype(np.float32))),
    ),
    hints=(
        "The neighbour above, for all pixels at once, is a slice of a page with a blank margin.",
        "Five slices of the padded images; `np.maximum.reduce` and `np.minimum.reduce` take a tuple of arrays. Amounts are shaped (n, 1, 1) to meet their "
        "images; `np.where` chooses between largest and smallest.",
        "Section *Turning the loop inside out* of {ref}`ch-pooling`; {eq}`eq-aug-mix` for the share of the way.",
    ),
    mutants=(
        Mutant("corners too", ("near = (images,", "near = (images, paper[:, :-2, :-2], paper[:, 2:, 2:], paper[:, :-2, 2:], paper[:, 2:, :-2],"), "a dot becomes a cross", 0),
        Mutant("around the corner", ("((0, 0), (1, 1), (1, 1)))", '((0, 0), (1, 1), (1, 1)), mode="wrap")'), "ink up to the edge", 0),
        Mutant("an amount for each row", ("amount[:, None, None]", "amount[:, None] if len(amount) == images.shape[1] else amount[:, None, None]"), "as many images as rows", 1),
        Mutant("never thinner", ("np.where(share > 0, np.maximum.reduce(near), np.minimum.reduce(near))", "np.maximum.reduce(near)"), "a thinner pen", 1),
        Mutant("the sign is kept", ("np.abs(share)", "share"), "a thinner pen", 1),
        Mutant("all the way", ("np.abs(share) * (goal - images)", "(goal - images)"), "each by its own amount", 2),
    ),
)

BILINEAR_BACKWARD = Exercise(
    name="bilinear_backward", kind="further", target="bilinear_backward", difficulty=4, minutes=90,
    text="""Reading between pixels is linear in the image, so it has a way back (exercise 8 above): each $\\mathrm{dy}$ is dealt out to the
four pixels that it was mixed from, by the same four weights. Write it, and check it as {eq}`eq-conv-adjoint` checks `col2im`. A network could then
warp its own maps on the way, and learn from what comes back. (For learning *where* to read there is a second gradient, at the points. That one is
another evening.)""",
    stub='''def bilinear_backward(dy, image_shape, points):
    """The images' gradient of `bilinear`, for images without an axis for channels.

    Parameters
    ----------
    dy : ndarray of floats, shape (n, rows, columns)
        The upstream gradient: what `bilinear` returned had this shape.
    image_shape : (int, int, int)
        n, height, width.
    points : ndarray of dy's dtype, shape (n, 2, rows, columns)
        As given to `bilinear`.

    Returns
    -------
    ndarray, shape image_shape, dtype of dy
        What fell on the blank page outside is lost.
    """
''',
    solution='''def bilinear_backward(dy, image_shape, points):
    """The images' gradient of `bilinear`, for images without an axis for channels."""
    n, height, width = image_shape
    page = np.zeros((n, height + 3, width + 3), dy.dtype)
    top, down = before_and_beyond(points[:, 0], height)
    left, right = before_and_beyond(points[:, 1], width)
    which = np.arange(n)[:, None, None]
    for i, row_share in ((0, 1 - down), (1, down)):
        for j, column_share in ((0, 1 - right), (1, right)):
            np.add.at(page, (which, top + i, left + j), dy * row_share * column_share)
    return page[:, 1:-2, 1:-2]
''',
    expected=bilinear_backward,
    cases=(
        Case("one point", 2, "A quarter down and half-way to the right: four weights that add up to one.",
             lambda rng: call("bilinear_backward", np.full((1, 1, 1), 8.0), (1, 2, 2), np.array([[[[0.25]], [[0.5]]]]))),
        Case("points between the same pixels", 2, "Where two points read the same pixel, it gets two gradients.",
             lambda rng, size=2: scattered(rng, 1, 2, 2, size, size + 1)),
        Case("points beyond the edge", 1, "The blank page has no gradient, and the pixels at its edge keep only their share.",
             lambda rng: call("bilinear_backward", np.ones((1, 1, 3)), (1, 2, 3), np.array([[[[-0.5, 1.25, 7.0]], [[0.0, 2.5, 1.0]]]]))),
        Case("several images, many points", 2, "Each image gets back what was read from it.", hidden=True,
             draw=lambda rng, size=3: scattered(rng, size, 4, 3, 5, 6, margin=1.5)),
        Case("points right on pixels", 1, "Then one pixel gets all of it.", hidden=True,
             draw=lambda rng: call("bilinear_backward", rng.normal(size=(2, 3, 4)), (2, 3, 4), np.broadcast_to(np.indices((3, 4), float), (2, 2, 3, 4)).copy())),
        Case("scattered in single precision", 1, "Gradients as wide as the pictures.", hidden=True,
             draw=lambda rng: scattered(rng, 2, 5, 4, 6, 6, 0.5, np.float32)),
    ),
    hints=(
        "Four pixels were mixed into one number. If one of the four grows by a little, by how much does the number grow?",
        "Find corners and shares with `before_and_beyond`, as `bilinear` does, and add dy times each weight to its corner, on a page with margins, "
        "which are cut off at the end. Many points may name one pixel, so an indexed `+=` would lose some; `np.add.at` does not.",
        "Section *Between four pixels* of {ref}`ch-augmentation`; *What can go wrong* of {ref}`ch-convolution` on the plus sign that does not add.",
    ),
    mutants=(
        Mutant("a plus sign that does not add", ("np.add.at(page, (which, top + i, left + j), dy * row_share * column_share)",
               "page[which, top + i, left + j] += dy * row_share * column_share"), "points between the same pixels", 1),
        Mutant("the weights of the opposite corners", ("((0, 1 - down), (1, down))", "((0, down), (1, 1 - down))"), "one point", 0),
        Mutant("shares exchanged", ("dy * row_share * column_share", "dy * (1 - row_share) * column_share"), "one point", 0),
        Mutant("to the nearest pixel before", ("dy * row_share * column_share", "dy * (i + j == 0)"), "one point", 0),
        Mutant("all for the first image", ("np.arange(n)[:, None, None]", "np.zeros((n, 1, 1), int)"), "several images, many points", 1),
        Mutant("cut off one row too far", ("page[:, 1:-2, 1:-2]", "page[:, 2:-1, 2:-1]"), "one point", 2),
    ),
)

EXERCISES = [MATRICES, AFFINE_POINTS, BILINEAR, SMOOTH, DRAW, COMPOSE, WIDTH, BILINEAR_BACKWARD]

QUESTIONS = [
    Question(
        "With the default settings, by what factors can a warp change the area that a digit covers? Which of the six random numbers matter?",
        "A linear map multiplies areas by its determinant, and $\\det(RHS)=\\det R\\,\\det H\\,\\det S$. A rotation has "
        "$\\cos^2\\alpha+\\sin^2\\alpha=1$, the shear $1\\cdot1-0\\cdot(-k)=1$, and the scaling $s_rs_c=e^{u}e^{v}=e^{u+v}$ with $u$ and $v$ between "
        "$-0.1$ and $0.1$. So the factor lies between $e^{-0.2}\\approx0.82$ and $e^{0.2}\\approx1.22$, and only two of the six numbers decide it; "
        "shifts move and do not stretch. Both ends are rare, because $u$ and $v$ must be near their limit together. A slanted or turned digit has "
        "exactly as much ink as before, up to interpolation and what has left the frame; a test of `affine_warp` can use that."),
    Question(
        "Suppose `affine_points` had used $A$ in place of $A^{-1}$. The chapter says that training would hardly suffer. With which settings, or in which "
        "use of warps, would it show?",
        "In training each angle is as likely as its opposite, and likewise slants and the exponents of the scales: a crowd of warps with $A$ looks like one with "
        "$A^{-1}$ (the shifts too, turned a little). It would show wherever a direction has a meaning. If the angles were drawn from 0° to 20°, because "
        "a scanner always pulls the page askew to one side, the network would learn the wrong side. If a label says where something is, a box or a pen's path, it is "
        "moved by $A$ while the picture goes the other way. If one *undoes* a known slant before reading, it is doubled instead. And strong scalings show: a "
        "determinant of 4 would shrink the picture. One picture of one known warp finds it at once, and so does `np.rot90`."),
    Question(
        "Add normal noise to the pixels instead of warping (exercise 4). What does that claim about pictures, is it true, and why does it help less than a warp "
        "even though it changes many more pixels?",
        "It claims that a picture means the same if every pixel is a little lighter or darker, each independently of its neighbours. That is true, as true as for a "
        "warp. But it is not what distinguishes one hand from another: no test digit differs from a training digit by independent noise, so the "
        "network is made safe against a danger that does not come. In the space of 784 numbers, noise surrounds a digit with a ball, nearly all of whose "
        "directions lead to no digit that anybody writes; a warp moves it along the few directions in which digits really vary, and far. Noise still restrains "
        "a little, much like weight decay, since a network with large weights would react to it. An augmentation is worth as much as the knowledge in it."),
]
