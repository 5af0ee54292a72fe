"""The exercises of the chapter on losses: from squared error to a judge of one's own."""

import math

import numpy as np

from course.classroom.exercise import Case, Exercise, Mutant, Question, Script, call


# Further exercises bring their own reference: plain Python, floats and loops.

def rows(array):
    """An array as lists of floats."""
    return np.asarray(array, float).tolist()


def each(f, *arrays):
    """f of the numbers at the same place, as rows."""
    return [[f(*numbers) for numbers in zip(*lists)] for lists in zip(*map(rows, arrays))]


def mean(table):
    """The mean of all numbers of a table."""
    return math.fsum(v for row in table for v in row) / (len(table) * len(table[0]))


def label_columns(y, z):
    """Targets as columns, whether labels or columns came."""
    if np.ndim(y) == 2:
        return rows(y)
    return [[1.0 if label == i else 0.0 for label in np.asarray(y).tolist()] for i in range(len(z))]


class SoftmaxCrossEntropy:
    """Column by column; p as well, which the reference does not keep."""

    def forward(self, z, y):
        self.y, columns = label_columns(y, z), list(zip(*rows(z)))
        total, p = 0.0, []
        for column, target in zip(columns, zip(*self.y)):
            top = max(column)
            norm = math.fsum(math.exp(v - top) for v in column)
            p.append([math.exp(v - top) / norm for v in column])
            total += math.fsum(t * (math.log(norm) - (v - top)) for v, t in zip(column, target))
        self.p = np.array(p).T
        return total / len(columns)

    def backward(self, count=None):
        count = count or self.p.shape[1]
        return np.array(each(lambda p, y: (p - y) / count, self.p, self.y))


class Judge:
    """A loss that is a mean over all numbers; `one` and `slope` make it."""

    def forward(self, p, y):
        self.p, self.y = p, y
        return mean(each(self.one, p, y))

    def backward(self, count=None):
        return np.array(each(self.slope, self.p, self.y)) / (len(self.p) * (count or len(self.p[0])))


class Huber(Judge):
    """Squared near the target, straight far from it."""

    def __init__(self, d=1.0):
        self.d = d

    def one(self, p, y):
        e = abs(p - y)
        return e * e / 2 if e <= self.d else self.d * (e - self.d / 2)

    def slope(self, p, y):
        return max(-self.d, min(self.d, p - y))


class Bell(Judge):
    """Mean and logarithm of the variance are predicted together."""

    def forward(self, p, y):
        self.p, self.y, half = rows(p), rows(y), len(y)
        self.m, self.s = self.p[:half], self.p[half:]
        return mean(each(lambda m, s, y: (s + (y - m) ** 2 * math.exp(-s)) / 2, self.m, self.s, self.y))

    def backward(self, count=None):
        dm = each(lambda m, s, y: (m - y) * math.exp(-s), self.m, self.s, self.y)
        ds = each(lambda m, s, y: (1 - (m - y) ** 2 * math.exp(-s)) / 2, self.m, self.s, self.y)
        return np.array(dm + ds) / (len(self.y) * (count or len(self.y[0])))


def smooth_labels(labels, classes, amount):
    """What is taken from the label is shared among all."""
    return np.array([[amount / classes + (1 - amount) * (label == i) for label in np.asarray(labels).tolist()]
                     for i in range(classes)], np.float32)


# What is drawn.

def pair(rng, features, batch, dtype=np.float64):
    """A prediction and a target."""
    return rng.normal(size=(features, batch)).astype(dtype), rng.normal(size=(features, batch)).astype(dtype)


def distributions(rng, classes, batch):
    """Columns of positive numbers that sum to one."""
    p = rng.uniform(0.1, 1.0, (classes, batch))
    return p / p.sum(axis=0)


def logits(rng, classes, batch, scale=2.0, dtype=np.float64):
    """Random logits."""
    return rng.normal(0.0, scale, (classes, batch)).astype(dtype)


def both(loss, p, y):
    """A loss and its gradient."""
    return call(loss, p, y).call(f"{loss}_backward", p, y)


def judged(made, p, y, *args, **count):
    """An object's loss, and its gradient."""
    return Script().make("loss", made, *args).call("loss.forward", p, y).call("loss.backward", **count)


MEAN_SQUARED_ERROR = Exercise(
    name="mean_squared_error", kind="build", target="mean_squared_error_backward", also=("mean_squared_error",),
    difficulty=1, minutes=10,
    cases=(
        Case("the loss", 1, "One number for the whole batch: learning is to make it smaller.",
             lambda rng, size=2: call("mean_squared_error", *pair(rng, size + 1, size))),
        Case("the gradient", 2, "Its size decides how far a step goes; a forgotten factor is a wrong learning rate.",
             lambda rng, size=2: call("mean_squared_error_backward", *pair(rng, size + 1, size))),
        Case("a target that stands upright", 1, "Broadcasting compares everything with everything, and the network learns the average.",
             lambda rng: call("mean_squared_error", np.array([[1.0, 2.0, 3.0]]), np.array([[1.0], [2.0], [3.0]])), raises="ShapeError"),
        Case("more samples, more features", 1, "The average must not grow with the batch, nor with the number of outputs.", hidden=True,
             draw=lambda rng, size=12: both("mean_squared_error", *pair(rng, 5, size))),
        Case("the gradient's upright target", 1, "The backward half can be called without the forward one.", hidden=True,
             draw=lambda rng: call("mean_squared_error_backward", np.ones((1, 3)), np.ones((3, 1))), raises="ShapeError"),
        Case("a wide target", 1, "A float64 target must not widen the whole way back through the network.", hidden=True, dtype="float32",
             draw=lambda rng: call("mean_squared_error_backward", pair(rng, 3, 4, np.float32)[0], pair(rng, 3, 4)[1])),
    ),
    hints=(
        "Two features, two samples, differences of 1, 0, 2 and 3: what is the loss? And its slope at the last of them?",
        "`paired` looks at shapes and dtypes. Then the mean of the squares, as a Python float; the gradient is twice the "
        "difference, divided by how many numbers there are, F times N.",
        "Section *Distances: squared error* of {ref}`ch-losses`, {eq}`eq-losses-mse`.",
    ),
    mutants=(
        Mutant("the sum", ("np.square(p - y).mean()", "np.square(p - y).sum()"), "the loss", 0),
        Mutant("averaged over samples only", ("(2 / p.size)", "(2 / p.shape[1])"), "the gradient", 1),
        Mutant("the 2 is missing", ("(2 / p.size)", "(1 / p.size)"), "the gradient", 0),
        Mutant("uphill", ("return (p - y) *", "return (y - p) *"), "the gradient", 1),
        Mutant("shapes are not looked at", ("    p, y = paired(p, y)\n    return float(", "    return float("),
               "a target that stands upright", 1),
    ),
)

CROSS_ENTROPY = Exercise(
    name="cross_entropy", kind="build", target="cross_entropy", also=("cross_entropy_backward",), difficulty=3, minutes=40,
    cases=(
        Case("labels", 1, "The loss is the average surprise at the right class.",
             lambda rng, size=2: both("cross_entropy", distributions(rng, 3, size), np.arange(size) % 3)),
        Case("distributions", 1, "Where several people disagree, the truth is a column of shares.",
             lambda rng, size=2: both("cross_entropy", distributions(rng, 3, size), distributions(rng, 3, size))),
        Case("certain, and right", 2, "0 log 0 is nan to NumPy; a class that never happens surprises nobody.",
             lambda rng: both("cross_entropy", np.array([[0.0, 1.0], [1.0, 0.0]]), np.array([1, 0]))),
        Case("certain, and wrong", 1, "A floor under the logarithm hides that something is wrong.",
             lambda rng: both("cross_entropy", np.array([[0.0, 0.5], [1.0, 0.5]]), np.array([0, 0]))),
        Case("logits by mistake", 1, "Numbers above one are no probabilities, and their logarithm looks harmless.",
             lambda rng: call("cross_entropy", np.array([[2.5, 0.1], [-1.0, 0.9]]), np.array([0, 1])), raises="ValueError"),
        Case("a large batch", 1, "The same surprise, whether ten samples or a thousand were looked at.", hidden=True,
             draw=lambda rng, size=40: both("cross_entropy", distributions(rng, 5, size), rng.integers(0, 5, size))),
        Case("shares of zero", 1, "A target may rule out a class without being sure of another.", hidden=True,
             draw=lambda rng: both("cross_entropy", np.array([[0.0, 0.3], [0.4, 0.7], [0.6, 0.0]]),
                                   np.array([[0.0, 0.5], [0.25, 0.5], [0.75, 0.0]]))),
        Case("the gradient in single precision", 1, "One-hot columns have a dtype too, and it must be the prediction's.", hidden=True,
             draw=lambda rng, size=4: call("cross_entropy_backward", distributions(rng, 3, size).astype(np.float32),
                                           rng.integers(0, 3, size))),
        Case("a label that is no class", 1, "NumPy takes label -1 for the last class, without a word.", hidden=True,
             draw=lambda rng: call("cross_entropy", distributions(rng, 3, 2), np.array([0, -1])), raises="ValueError"),
    ),
    hints=(
        "Which terms of the sum count when the target is one-hot? What are the others, when p is zero there?",
        "`as_prediction`, `class_columns` and `check_probabilities` look at the arguments; `xlogy` knows what 0 log 0 is. "
        "In the gradient divide only where y is positive: `np.divide` takes `where=` and `out=`.",
        "Section *Cross-entropy as a loss* of {ref}`ch-losses`, from {eq}`eq-losses-ce-batch` to {eq}`eq-losses-ce-gradient`.",
    ),
    mutants=(
        Mutant("averaged over classes too", ("xlogy(y, p).sum() / p.shape[1]", "xlogy(y, p).mean()"), "labels", 0),
        Mutant("zero times the logarithm of zero", ("xlogy(y, p)", "(y * np.log(p))"), "certain, and right", 0),
        Mutant("a floor under the logarithm", ("xlogy(y, p)", "xlogy(y, p.clip(1e-12))"), "certain, and wrong", 0),
        Mutant("the gradient is not averaged", ("dp *= -1 / p.shape[1]", "dp *= -1"), "labels", 1),
        Mutant("divides by zero", ("np.divide(y, p, out=dp, where=y > 0)", "np.divide(y, p, out=dp)"), "certain, and right", 1),
        Mutant("the slope after a softmax", ("np.divide(y, p, out=dp, where=y > 0)", "np.subtract(y, p, out=dp)"), "labels", 2),
        Mutant("logits pass", ("    check_probabilities(p)\n    return float(", "    return float("), "logits by mistake", 1),
    ),
    shown=('with np.errstate(divide="ignore"):',),
)

LOG_SOFTMAX = Exercise(
    name="log_softmax", kind="build", target="log_softmax", difficulty=2, minutes=15,
    cases=(
        Case("ordinary logits", 1, "The logarithm of a probability is what the loss is made of.",
             lambda rng, size=2: call("log_softmax", logits(rng, size + 1, size))),
        Case("a thousand", 2, "The information that a probability of zero has lost does not come back.",
             lambda rng: call("log_softmax", np.array([[0.0, 1000.0, -1000.0], [200.0, -1000.0, -1001.0]]))),
        Case("every column for itself", 2, "One shift for the whole batch takes logarithms of zero for the smaller samples.", hidden=True,
             draw=lambda rng, size=4: call("log_softmax", logits(rng, 3, size) + np.linspace(-3000, 3000, size))),
        Case("far up, in single precision", 2, "Near 10,000 neighbouring float32 numbers are 0.001 apart; what was added to them is gone.",
             hidden=True, draw=lambda rng: call("log_softmax", (10_000 + rng.integers(-2, 3, (4, 3))).astype(np.float32))),
        Case("many classes", 1, "Ten digits today, a thousand kinds of dog tomorrow.", hidden=True,
             draw=lambda rng, size=6: call("log_softmax", logits(rng, 30 * size, size))),
    ),
    hints=(
        "Softmax first and logarithm after: what comes out for logits 0 and 1000? What should?",
        "Take each column's largest logit away. From what is left subtract the logarithm of the column's sum of exponentials, "
        "and never add the largest back.",
        "Section *Not so harmless* of {ref}`ch-losses`, {eq}`eq-losses-log-softmax`.",
    ),
    mutants=(
        Mutant("no shift", ("z - z.max(axis=0)", "z - 0"), "a thousand", 0),
        Mutant("one shift for all", ("z.max(axis=0)", "z.max()"), "every column for itself", 1),
        Mutant("by way of the softmax", ("return shifted - np.log(np.exp(shifted).sum(axis=0))",
               "return np.log(np.exp(shifted) / np.exp(shifted).sum(axis=0))"), "a thousand", 0),
        Mutant("sums over the batch", (".sum(axis=0))", ".sum(axis=1, keepdims=True))"), "ordinary logits", 1),
        Mutant("adds the largest back", ("return shifted - np.log(np.exp(shifted).sum(axis=0))",
               "return z - (z.max(axis=0) + np.log(np.exp(shifted).sum(axis=0)))"), "far up, in single precision", 1),
    ),
)

SIGMOID_BINARY_CROSS_ENTROPY = Exercise(
    name="sigmoid_binary_cross_entropy", kind="build", target="sigmoid_binary_cross_entropy",
    also=("sigmoid_binary_cross_entropy_backward",), difficulty=2, minutes=25,
    cases=(
        Case("two questions", 1, "Each row is a coin of its own: is there a cat, is it night?",
             lambda rng, size=2: both("sigmoid_binary_cross_entropy", logits(rng, 2, size), rng.random((2, size)).round())),
        Case("sure of itself", 2, "An infinite loss, or a nan, ends a training that was only badly wrong.",
             lambda rng: both("sigmoid_binary_cross_entropy", np.array([[-1000.0, 0.0, 1000.0, 1000.0]]), np.array([[1.0, 1.0, 1.0, 0.0]]))),
        Case("a target of two", 1, "Targets are probabilities; a class number in their place makes the loss negative.",
             lambda rng: call("sigmoid_binary_cross_entropy", np.array([[1.0, 2.0]]), np.array([[0.0, 2.0]])), raises="ValueError"),
        Case("almost right", 2, "A small loss is a tiny number added to one; rounded away, it stops being small and becomes nothing.",
             hidden=True, atol=0.0,
             draw=lambda rng: call("sigmoid_binary_cross_entropy", rng.uniform(38, 300, (2, 3)), np.ones((2, 3)))),
        Case("between yes and no", 1, "Of ten people seven said yes: the target is 0.7.", hidden=True,
             draw=lambda rng, size=5: both("sigmoid_binary_cross_entropy", logits(rng, 3, size, 5.0), rng.random((3, size)))),
        Case("the gradient in single precision", 1, "A wide gradient widens everything on the way back.", hidden=True, dtype="float32",
             draw=lambda rng: call("sigmoid_binary_cross_entropy_backward", logits(rng, 3, 4, dtype=np.float32), rng.random((3, 4)))),
    ),
    hints=(
        "What is log(1 + exp(-z)) for z = -1000? Write it so that the exponential is never larger than one.",
        "max(z, 0) - z y + log(1 + exp(-|z|)), the logarithm by `np.log1p`, averaged over features and samples; the gradient "
        "is prediction minus target, averaged.",
        "Section *Sigmoid and binary cross-entropy, fused* of {ref}`ch-losses`.",
    ),
    mutants=(
        Mutant("by way of the sigmoid", ("np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))",
               "-(y * np.log(sigmoid(z)) + (1 - y) * np.log(1 - sigmoid(z)))"), "sure of itself", 0),
        Mutant("the exponential overflows", ("np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))",
               "z - z * y + np.log1p(np.exp(-z))"), "sure of itself", 0),
        Mutant("log of 1 + q", ("np.log1p(np.exp(-np.abs(z)))", "np.log(1 + np.exp(-np.abs(z)))"), "almost right", 1),
        Mutant("averaged over samples only", ("(sigmoid(z) - y) / z.size", "(sigmoid(z) - y) / z.shape[1]"), "two questions", 1),
        Mutant("the sigmoid's slope once more", ("(sigmoid(z) - y) / z.size",
               "(sigmoid(z) - y) * sigmoid(z) * (1 - sigmoid(z)) / z.size"), "two questions", 2),
    ),
    shown=('check_probabilities(y, "y")',),
)

SOFTMAX_CROSS_ENTROPY = Exercise(
    name="softmax_cross_entropy_loss", kind="build", target="SoftmaxCrossEntropy", difficulty=4, minutes=90,
    expected=SoftmaxCrossEntropy,
    cases=(
        Case("labels", 2, "This is the loss that all our classifiers are trained on.",
             lambda rng, size=2: judged("SoftmaxCrossEntropy", logits(rng, 3, size), np.arange(size) % 3)),
        Case("distributions", 1, "Smoothed labels, or several opinions, come as columns.",
             lambda rng, size=2: judged("SoftmaxCrossEntropy", logits(rng, 3, size), distributions(rng, 3, size))),
        Case("the probabilities stay", 1, "Accuracy is counted from them, and backward begins with them.",
             lambda rng, size=2: judged("SoftmaxCrossEntropy", logits(rng, 3, size), np.arange(size) % 3).get("loss.p")),
        Case("a part of a batch", 1, "Two threads with half a batch each must together take the step of the whole.",
             lambda rng: judged("SoftmaxCrossEntropy", logits(rng, 3, 2), np.array([2, 0]), count=6)),
        Case("confident logits", 2, "A confident mistake is a large loss, not an infinite one.", hidden=True,
             draw=lambda rng: judged("SoftmaxCrossEntropy", np.array([[0.0, 1000.0, -1000.0], [200.0, -1000.0, 1000.0]]), np.array([0, 1, 1]))),
        Case("the next batch is smaller", 1, "The last batch of an epoch seldom is full.", hidden=True,
             draw=lambda rng: judged("SoftmaxCrossEntropy", logits(rng, 4, 6), rng.integers(0, 4, 6))
             .call("loss.forward", logits(rng, 4, 2), rng.integers(0, 4, 2)).call("loss.backward")),
        Case("asked twice", 1, "A gradient must not change because somebody looked at it.", hidden=True,
             draw=lambda rng: judged("SoftmaxCrossEntropy", logits(rng, 3, 4), rng.integers(0, 3, 4), count=8)
             .call("loss.backward").get("loss.p")),
        Case("a part larger than the whole", 1, "A count below the batch's own is a mistake in somebody's bookkeeping.", hidden=True,
             draw=lambda rng: judged("SoftmaxCrossEntropy", logits(rng, 3, 4), rng.integers(0, 3, 4), count=2), raises="ValueError"),
        Case("the gradient in single precision", 1, "Twice the memory, and nobody asked for it.", hidden=True,
             draw=lambda rng: Script().make("loss", "SoftmaxCrossEntropy")
             .call("loss.forward", logits(rng, 5, 7, dtype=np.float32), rng.integers(0, 5, 7), keep=False).call("loss.backward")),
    ),
    hints=(
        "Which functions of this chapter do it already, and what do they compute twice? Begin with those, then save work.",
        "forward: check z by `as_prediction`, the targets by `class_targets`; keep z as `prediction`, the targets as `y`, "
        "the softmax as `p`; the loss comes from the shifted logits. backward: p minus the targets, times `share(count)`, "
        "over the batch. For labels, subtract from one number a column.",
        "Sections *Why the average* and *A loss as an object* of {ref}`ch-losses`.",
    ),
    mutants=(
        Mutant("overwrites its probabilities", ("np.multiply(self.p, share, out=dz)",
               "self.p *= share\n        dz = self.p"), "asked twice", 1),
        Mutant("count is ignored", ("self.share(count)", "self.share(None)"), "a part of a batch", 2),
        Mutant("not averaged", ("self.share(count) / self.prediction.shape[1]", "self.share(count)"), "labels", 1),
        Mutant("no shift", ("np.subtract(z, z.max(axis=0), out=p)", "np.copyto(p, z)"), "confident logits", 1),
        Mutant("one from every column, whatever the share", ("[self.at] -= share", "[self.at] -= 1"), "labels", 1),
        Mutant("changes the logits", ('p = self.p = self.workspace("p", z.shape, z.dtype)', "p = self.p = z"), "labels", 2),
        Mutant("the wrong sample's label", ("self.at = y * batch + np.arange(batch)", "self.at = y * batch + np.arange(batch)[::-1]"),
               "labels", 0),
    ),
)

HUBER = Exercise(
    name="huber", kind="further", target="Huber", difficulty=2, minutes=30,
    text="""Squared error is pulled about by one wild target, absolute error never comes to rest. *Huber's* loss is
squared near the target and straight far from it: with $e=p-y$ and a width $d$ it is $\\tfrac12e^2$ where
$|e|\\le d$, and $d\\,(|e|-\\tfrac12d)$ beyond, averaged over features and samples. Write it as a `Loss`, check it with
`slopes`, and walk downhill on the fourteen points (exercise 3 above).""",
    stub='''class Huber(Loss):
    """Huber's loss: squared for errors up to d, straight beyond.

    Used as `Huber(d).forward(p, y)` and `.backward(count=None)`, which `Loss` provides.
    """

    def __init__(self, d=1.0):
        """Keep the width; raise ValueError unless d > 0."""

    def value(self, p, y):
        """The loss, a float, averaged over features and samples. p and y must have one shape."""

    def gradient(self, p, y):
        """Its gradient at p, an array of p's shape and dtype."""
''',
    solution='''class Huber(Loss):
    """Huber's loss: squared for errors up to d, straight beyond."""

    def __init__(self, d=1.0):
        super().__init__()
        if not d > 0:
            raise ValueError(f"Huber: expected a width above 0, got {d!r}")
        self.d = d

    def value(self, p, y):
        p, y = paired(p, y)
        e = np.abs(p - y)
        near = np.minimum(e, self.d)
        return float((near * (e - near / 2)).mean())

    def gradient(self, p, y):
        p, y = paired(p, y)
        return np.clip(p - y, -self.d, self.d) / p.size
''',
    expected=Huber,
    cases=(
        Case("near and far", 2, "One formula near the target, another far from it, without a step between.",
             lambda rng: judged("Huber", np.array([[0.0, 0.5, -0.5, 3.0, -4.0]]), np.zeros((1, 5)))),
        Case("a width of one's own", 1, "The width is in the target's unit; only who knows the data can say what is far.",
             lambda rng: judged("Huber", *pair(rng, 2, 3), 0.25)),
        Case("no width", 1, "With a width of zero nothing would ever be learned.",
             lambda rng: Script().make("loss", "Huber", 0.0).get("loss.d"), raises="ValueError"),
        Case("counted as part of more", 1, "Parts of a batch must add up to the whole.", hidden=True,
             draw=lambda rng: judged("Huber", *pair(rng, 3, 4), 0.5, count=12)),
        Case("many", 1, "Features and samples are both averaged over.", hidden=True,
             draw=lambda rng, size=9: judged("Huber", *(3 * a for a in pair(rng, 4, size)), 1.5)),
        Case("three against three", 1, "Broadcasting is silent here too.", hidden=True,
             draw=lambda rng: judged("Huber", np.ones((1, 3)), np.ones((3, 1))), raises="ShapeError"),
        Case("the gradient in single precision", 1, "It travels all the way back.", hidden=True,
             draw=lambda rng: Script().make("loss", "Huber", 0.7)
             .call("loss.forward", *pair(rng, 3, 4, np.float32), keep=False).call("loss.backward")),
    ),
    hints=(
        "Draw the slope against the error. Which NumPy function cuts a straight line off at both ends?",
        "With a = min(|e|, d) both formulas are one: a (|e| - a/2). The gradient is the error, clipped to [-d, d], over F N. "
        "`Loss.__init__` must be called.",
        "Sections *Mean or median* and *A loss as an object* of {ref}`ch-losses`.",
    ),
    mutants=(
        Mutant("squared everywhere", ("near = np.minimum(e, self.d)", "near = e"), "near and far", 0),
        Mutant("a step at the width", ("(e - near / 2)", "(e - near / 2 * (e <= self.d))"), "near and far", 1),
        Mutant("the gradient is not clipped", ("np.clip(p - y, -self.d, self.d)", "(p - y)"), "near and far", 0),
        Mutant("one half is missing", ("near / 2", "near * 0"), "near and far", 1),
        Mutant("averaged over samples only", ("/ p.size", "/ p.shape[-1]"), "a width of one's own", 1),
        Mutant("the width stays 1", ("self.d = d", "self.d = 1.0"), "a width of one's own", 2),
    ),
)

SMOOTH_LABELS = Exercise(
    name="smooth_labels", kind="further", target="smooth_labels", difficulty=1, minutes=5,
    text="""A one-hot target asks for a probability of exactly 1, which no finite logits give, so the weights grow as long as
one trains. *Label smoothing* takes a little from the label and shares it equally among all classes, the label's own
included: `amount` 0.1 and ten classes make 0.91 and nine times 0.01 (exercise 5 above).""",
    stub='''def smooth_labels(labels, classes, amount):
    """Columns with most of their probability at the label, the rest spread evenly.

    Parameters
    ----------
    labels : array_like of int, shape (n,)
    classes : int
    amount : float
        What is taken from the label and shared among all classes, from 0 to 1.

    Returns
    -------
    ndarray of float32, shape (classes, n)

    Raises
    ------
    ValueError
        For labels that are not integers, or not in 0 ... classes - 1.
    """
''',
    solution='''def smooth_labels(labels, classes, amount):
    """Columns with most of their probability at the label, the rest spread evenly."""
    return (1 - amount) * one_hot(labels, classes) + amount / classes
''',
    expected=smooth_labels,
    cases=(
        Case("four classes", 1, "A column of targets must sum to one, or the loss refuses it.", dtype="float32",
             draw=lambda rng, size=3: call("smooth_labels", rng.integers(0, 4, size), 4, 0.2)),
        Case("not smoothed", 1, "With an amount of zero nothing may have changed.", dtype="float32",
             draw=lambda rng: call("smooth_labels", np.array([1, 0]), 3, 0.0)),
        Case("digits", 1, "Nine times 0.01 and once 0.91.", hidden=True, dtype="float32",
             draw=lambda rng, size=8: call("smooth_labels", rng.integers(0, 10, size), 10, 0.1)),
        Case("a label too large", 1, "A wrong label must be found here, not after a night of training.", hidden=True,
             draw=lambda rng: call("smooth_labels", np.array([0, 3]), 3, 0.1), raises="ValueError"),
    ),
    hints=(
        "What should a column with four classes and an amount of 0.2 hold? Check that it sums to one.",
        "Shrink one-hot columns by the factor 1 - amount, then add the same number to every entry.",
        "Section *Cross-entropy as a loss* of {ref}`ch-losses`, the function `one_hot`.",
    ),
    mutants=(
        Mutant("columns sum to more than one", ("(1 - amount) * one_hot", "one_hot"), "four classes", 0),
        Mutant("shared among the others only", ("amount / classes", "amount / (classes - 1)"), "four classes", 1),
        Mutant("everybody gets the whole amount", ("amount / classes", "amount"), "four classes", 0),
        Mutant("widens", ("one_hot(labels, classes)", "one_hot(labels, classes, np.float64)"), "not smoothed", 1),
    ),
)

BELL = Exercise(
    name="bell", kind="further", target="Bell", difficulty=4, minutes=90,
    text="""*Say how sure you are.* Squared error assumes noise of one width everywhere. Let the network predict
the width too: for every target it says a mean $m$ and the logarithm of a variance, $s=\\log\\sigma^2$ (any number will
do for $s$; a variance would have to be positive). Minus the logarithm of the bell curve's height at $y$, without the
constant, is $\\tfrac12\\big(s+(y-m)^2e^{-s}\\big)$. Derive both slopes, write the loss, and predict the ink of a digit
from its label: which digits are the network least sure of?""",
    stub='''class Bell(Loss):
    """Minus log-likelihood of targets under bell curves whose mean and width are both predicted.

    The prediction has twice as many rows as the target: first the means m, then, in the same order,
    the logarithms s of the variances. `forward` and `backward` are those of `Loss`.
    """

    def value(self, p, y):
        """The mean of (s + (y - m)² exp(-s)) / 2 over all numbers of y, a float.

        p is (2 F, batch), y is (F, batch); raises ShapeError if they do not fit.
        """

    def gradient(self, p, y):
        """Its gradient at p, an array of p's shape and dtype."""
''',
    solution='''class Bell(Loss):
    """Minus log-likelihood of targets under bell curves whose mean and width are both predicted."""

    def parts(self, p, y):
        if len(p) != 2 * len(y):
            raise ShapeError(f"expected two rows of p for each of y, got {p.shape} and {y.shape}")
        m, s = np.split(p, 2)
        return *paired(m, y), s

    def value(self, p, y):
        m, y, s = self.parts(p, y)
        return float((s + np.square(y - m) * np.exp(-s)).mean() / 2)

    def gradient(self, p, y):
        m, y, s = self.parts(p, y)
        e, precision = m - y, np.exp(-s)
        return np.concatenate([e * precision, (1 - e * e * precision) / 2]) / m.size
''',
    expected=Bell,
    cases=(
        Case("one target a sample", 1, "To be wrong and sure of it costs most.",
             lambda rng: judged("Bell", np.array([[1.0, 3.0, 0.0], [0.0, -1.0, 2.0]]), np.array([[1.0, 2.0, 4.0]]))),
        Case("two targets a sample", 2, "Means above, widths below: whoever mixes up the rows trains the wrong outputs.",
             lambda rng, size=2: judged("Bell", rng.normal(size=(4, size)), rng.normal(size=(2, size)))),
        Case("half a prediction", 1, "A mean without a width would be broadcast, or taken for one.",
             lambda rng: judged("Bell", np.ones((3, 2)), np.ones((3, 2))), raises="ShapeError"),
        Case("one sample for three targets", 1, "Broadcasting would compare one mean with all targets.", hidden=True,
             draw=lambda rng: judged("Bell", np.ones((2, 1)), np.ones((1, 3))), raises="ShapeError"),
        Case("counted as part of more", 1, "Parts of a batch must add up to the whole.", hidden=True,
             draw=lambda rng: judged("Bell", rng.normal(size=(6, 4)), rng.normal(size=(3, 4)), count=10)),
        Case("many", 2, "The average is over targets, of which there are half as many as outputs.", hidden=True,
             draw=lambda rng, size=8: judged("Bell", 2 * rng.normal(size=(8, size)), rng.normal(size=(4, size)))),
        Case("the gradient in single precision", 1, "It travels all the way back.", hidden=True, dtype="float32",
             draw=lambda rng: Script().make("loss", "Bell")
             .call("loss.forward", rng.normal(size=(4, 5)).astype(np.float32), rng.normal(size=(2, 5)), keep=False)
             .call("loss.backward")),
    ),
    hints=(
        "Treat s as a number like any other: what is the derivative of exp(-s)? What is the slope in s when (y - m)² = exp(s)?",
        "dm = (m - y) exp(-s), ds = (1 - (y - m)² exp(-s)) / 2, both divided by how many numbers y has. Put them below each "
        "other in the order of the prediction. `paired` compares the means with y.",
        "Section *Where the square comes from* of {ref}`ch-losses`, {eq}`eq-losses-likelihood`, with sigma inside the sum.",
    ),
    mutants=(
        Mutant("the width costs nothing", ("(s + np.square", "(np.square"), "one target a sample", 2),
        Mutant("s taken for the deviation's logarithm", ("precision = m - y, np.exp(-s)", "precision = m - y, np.exp(-2 * s)"),
               "two targets a sample", 0),
        Mutant("widths above, means below", ("np.concatenate([e * precision, (1 - e * e * precision) / 2])",
               "np.concatenate([(1 - e * e * precision) / 2, e * precision])"), "two targets a sample", 1),
        Mutant("averaged over outputs", ("/ m.size", "/ p.size"), "two targets a sample", 1),
        Mutant("uphill in the width", ("(1 - e * e * precision) / 2", "(e * e * precision - 1) / 2"), "one target a sample", 1),
        Mutant("shapes are not looked at", ("return *paired(m, y), s", "return m, y, s"), "one sample for three targets", 1),
        Mutant("rows are not counted", ("if len(p) != 2 * len(y):", "if False:"), "half a prediction", 1),
    ),
)

EXERCISES = [MEAN_SQUARED_ERROR, CROSS_ENTROPY, LOG_SOFTMAX, SIGMOID_BINARY_CROSS_ENTROPY, SOFTMAX_CROSS_ENTROPY,
             SMOOTH_LABELS, HUBER, BELL]

QUESTIONS = [
    Question(
        "The mean minimises the squared error and the median the absolute error. Which constant minimises the *largest* "
        "absolute error? What is it for the five walking times 2, 3, 5, 6 and 34, and how robust is it?",
        "The middle between the smallest and the largest target, the *midrange*. At $c=(y_{\\min}+y_{\\max})/2$ both "
        "extremes are equally far away, and everything between them is nearer; move $c$ to either side, and one of the two gets "
        "farther. For the walking times it is $(2+34)/2=18$ minutes, a number that is wrong by at least 12 for everybody. It is the least robust "
        "of the three: only two of the five numbers count, and they are the two most likely to be mistakes. Let the one long walk become an hour "
        "longer: the median stays at 5, the mean goes from 10 to 22, the midrange from 18 to 48. The three belong to one family, the "
        "error raised to the power 1, 2 or, in the limit, infinity. The higher the power, the more the farthest point decides."),
    Question(
        "A network ends with a softmax *and* is trained with `SoftmaxCrossEntropy`. Nothing fails. Show that with ten classes "
        "its loss can never fall below $\\log(1+9/e)\\approx1.461$. How would you notice the mistake in a log of the training?",
        "What the loss takes for logits are probabilities, between 0 and 1 and summing to one. The best it can be given is 1 at the label and "
        "0 elsewhere: any probability that is moved from the label to others lowers the right logit and raises wrong ones. Of these "
        "numbers it makes a softmax of its own, $e^1/(e^1+9e^0)$ at the label, and the surprise at that is "
        "$\\log\\big((e+9)/e\\big)=\\log(1+9/e)\\approx1.461$. At the start the loss is $\\log10\\approx2.303$ as it should be, so "
        "the first-loss test does not catch it. What gives it away: the loss creeps towards 1.46 and stays, while the accuracy may be good, far "
        "better than a surprise of 1.46, a probability of 0.23, would suggest. And learning is slow, since the gradient has to pass the inner "
        "softmax, which is flat where it is sure."),
    Question(
        "A forecaster believes in rain with probability $q=0.7$ and must announce a number $p$. She is judged by an expected "
        "loss. What does she announce under cross-entropy, squared error and absolute error? Why should whoever "
        "trains a network care?",
        "Under cross-entropy the expected loss is $-q\\log p-(1-q)\\log(1-p)$, lowest at $p=q$ by Gibbs' inequality: she says 0.7. Under "
        "squared error it is $q(1-p)^2+(1-q)p^2$, with slope $2(p-q)$: 0.7 again. Under absolute error it is $q(1-p)+(1-q)p=q+(1-2q)\\,p$, "
        "a straight line in $p$. With $q>\\tfrac12$ it falls all the way, and the best she can do is to announce 1: the median of "
        "her belief, not its mean. Announcing 0.7 would cost her $0.42$ instead of $0.3$. The first two judges are honest: "
        "they reward saying what one believes. A network has no scruples. Trained under a dishonest judge, it learns to "
        "exaggerate, and its outputs are no probabilities, however well they are named."),
]
