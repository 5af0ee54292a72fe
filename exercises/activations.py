"""The exercises of the chapter on activations. The pattern for all others: see README.md."""

import math

import numpy as np

from course.classroom.exercise import Case, Exercise, Mutant, Question, Ref, Script, call


def logits(rng, size=5, scale=2.0, dtype=np.float64):
    """Random numbers shaped (classes, batch)."""
    return rng.normal(0.0, scale, (size, size + 1)).astype(dtype)


def probabilities(rng, size):
    """Columns of positive numbers that sum to one."""
    p = rng.uniform(0.1, 1.0, (size + 1, size))
    return p / p.sum(axis=0)


# Further exercises bring their own reference: plain Python, floats and loops.

def each(f, *arrays):
    """f of the numbers at the same place, in arrays of one shape."""
    lists = [np.asarray(a, float).ravel().tolist() for a in arrays]
    return np.array([f(*numbers) for numbers in zip(*lists)]).reshape(np.shape(arrays[0]))


def softplus(z):
    """ln(1 + e^z), the large part taken out first."""
    return each(lambda z: max(z, 0.0) + math.log1p(math.exp(-abs(z))), z)


def logistic(z):
    """1 / (1 + e^-z)"""
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


class SiLU:
    """z σ(z), remembering z."""

    def forward(self, z, training=False):
        self.z = np.array(z, float)
        return each(lambda z: z * logistic(z), z)

    def backward(self, dy, need_dx=True):
        def slope(z):
            s = logistic(z)
            return s + z * s * (1 - s)
        return each(lambda dy, z: dy * slope(z), dy, self.z) if need_dx else None


RELU = Exercise(
    name="relu", kind="build", target="relu", difficulty=1, minutes=5,
    cases=(
        Case("negative numbers become zero", 1, "This bend is all that makes two layers more than one.",
             lambda rng, size=4: call("relu", logits(rng, size))),
        Case("float32 stays float32", 1, "A network in single precision doubles its work where one layer widens its numbers.",
             lambda rng, size=3: call("relu", logits(rng, size, dtype=np.float32))),
        Case("out is filled", 1, "Layers use their arrays again and again; a new one for every batch costs page faults.",
             lambda rng, size=3: Script().given(out=np.full((size, size + 1), 9.0))
             .call("relu", logits(rng, size), out=Ref("out"), keep=False).get("out"), modifies=("out",)),
        Case("large and small numbers", 1, "Pre-activations are not always of size one.", hidden=True,
             draw=lambda rng, size=6: call("relu", logits(rng, size, scale=1e4))),
        Case("any shape", 1, "Images have four axes; the function looks at one number at a time.", hidden=True,
             draw=lambda rng: call("relu", rng.normal(size=(2, 3, 4, 5)))),
    ),
    hints=(
        "What is relu(-2)? relu(0)? relu(3)? One NumPy function of one array answers all three.",
        "`clip` limits an array from below and from above, and takes `out`. So does `np.maximum`.",
        "Section *ReLU* of {ref}`ch-activations`, the paragraph after its code.",
    ),
    mutants=(
        Mutant("absolute value", ("np.asarray(z).clip(0, np.inf, out=out)", "np.abs(z, out=out)"),
               "negative numbers become zero", 0),
        Mutant("limited at one", ("np.inf", "1.0"), "negative numbers become zero", 0),
        Mutant("widens to float64", ("np.asarray(z)", "np.asarray(z, dtype=np.float64)"), "float32 stays float32", 1),
        Mutant("forgets out", (", out=out)", ")"), "out is filled", 1),
        Mutant("works in place", ("out=out)", "out=z if out is None else out)"), "negative numbers become zero", 1),
    ),
)

SIGMOID = Exercise(
    name="sigmoid", kind="build", target="sigmoid", difficulty=2, minutes=20,
    cases=(
        Case("ordinary numbers", 1, "Between 0 and 1, one half at zero: a probability.",
             lambda rng, size=4: call("sigmoid", logits(rng, size))),
        Case("a thousand, and minus a thousand", 2, "One overflow becomes nan, and one nan spreads through all the weights.",
             lambda rng: call("sigmoid", np.array([-1000.0, -100.0, 0.0, 100.0, 1000.0]))),
        Case("whole numbers", 1, "A list typed by hand holds integers; the answer is not one.", dtype="float64",
             draw=lambda rng: call("sigmoid", np.array([[-2, 0], [1, 3]]))),
        Case("far out on the left", 2, "Where the answer is tiny, its digits count: the loss takes its logarithm.", hidden=True,
             atol=0.0, draw=lambda rng: call("sigmoid", -rng.uniform(30, 600, (3, 4)))),
        Case("float32", 1, "Networks compute in single precision.", hidden=True,
             draw=lambda rng, size=4: call("sigmoid", logits(rng, size, scale=40, dtype=np.float32))),
    ),
    hints=(
        "Which of the two exponentials, of z and of -z, is never larger than one?",
        "Compute q = exp(-|z|) once. For z ≥ 0 the answer is 1 / (1 + q); what is it for z < 0?",
        "Section *One formula, three ways to fail* of {ref}`ch-activations`.",
    ),
    mutants=(
        Mutant("the sign forgotten", ("np.greater_equal(z, 0)", "1"), "ordinary numbers", 1),
        Mutant("exp(z) / (1 + exp(z))", ("q = np.exp(-np.abs(z))", "return np.exp(z) / (1 + np.exp(z))"),
               "a thousand, and minus a thousand", 0),
        Mutant("one minus the other side", ("q = np.exp(-np.abs(z))",
               "q = np.exp(-np.abs(z))\n    return np.where(z >= 0, 1 / (1 + q), 1 - 1 / (1 + q))"), "far out on the left", 1),
        Mutant("whole numbers stay whole", ("return np.divide(top, 1 + q, out=out)",
               "return np.divide(top, 1 + q, out=out).astype(int)"), "ordinary numbers", 0),
    ),
)

SOFTMAX = Exercise(
    name="softmax", kind="build", target="softmax", difficulty=2, minutes=20,
    cases=(
        Case("columns sum to one", 2, "Each column is one sample's probabilities.",
             lambda rng, size=3: call("softmax", logits(rng, size))),
        Case("large logits do not overflow", 2, "Only differences count; a network that is sure of itself has large logits.",
             lambda rng, size=3: call("softmax", logits(rng, size) + 1000.0)),
        Case("one sample", 1, "A single sample may come without a batch axis.",
             lambda rng, size=4: call("softmax", rng.normal(size=size))),
        Case("no samples", 1, "An empty batch is a mistake made elsewhere: say so here, not three layers later.",
             lambda rng: call("softmax", np.zeros((3, 0))), raises="ShapeError"),
        Case("every column has its own maximum", 2, "One shift for the whole batch lets a sample with small logits vanish.", hidden=True,
             draw=lambda rng, size=4: call("softmax", logits(rng, size) + np.linspace(-2000, 2000, size + 1))),
        Case("float32", 1, "Networks compute in single precision.", hidden=True,
             draw=lambda rng, size=5: call("softmax", logits(rng, size, scale=9, dtype=np.float32))),
    ),
    hints=(
        "What happens to the result when you add the same number to all logits of a column?",
        "Take each column's largest logit away before you exponentiate, then divide by each column's sum. `axis=0` runs down a column.",
        "Section *Only differences count* of {ref}`ch-activations`.",
    ),
    mutants=(
        Mutant("no shift", ("z.max(axis=0)", "0"), "large logits do not overflow", 0),
        Mutant("one shift for all", ("z.max(axis=0)", "z.max()"), "every column has its own maximum", 1),
        Mutant("sums over the batch", ("e.sum(axis=0)", "e.sum(axis=-1, keepdims=True)"), "columns sum to one", 1),
        Mutant("not divided", ("return np.divide(e, e.sum(axis=0), out=out)", "return e"), "columns sum to one", 1),
        Mutant("empty batches pass", ("if z.ndim == 0 or z.size == 0:", "if z.ndim == 0:"), "no samples", 2),
    ),
)

SOFTMAX_BACKWARD = Exercise(
    name="softmax_backward", kind="build", target="softmax_backward", difficulty=3, minutes=40,
    cases=(
        Case("a random upstream gradient", 2, "Every logit changes every probability of its column.",
             lambda rng, size=3: call("softmax_backward", rng.normal(size=(size + 1, size)), probabilities(rng, size))),
        Case("dy and y are left alone", 1, "The layer above still needs its gradient, and y is what this layer remembers.",
             lambda rng, size=2: call("softmax_backward", rng.normal(size=(size + 1, size)), probabilities(rng, size))),
        Case("writes over dy", 2, "`out` may be dy: the arithmetic must not read what it has already overwritten.", hidden=True,
             draw=lambda rng, size=4: Script().given(dy=rng.normal(size=(size + 1, size)))
             .call("softmax_backward", Ref("dy"), probabilities(rng, size)), modifies=("dy",)),
        Case("a constant gradient gives zero", 1, "Adding the same to all logits changes nothing, so the gradient's column sums to zero.", hidden=True,
             draw=lambda rng, size=4: call("softmax_backward", np.full((size + 1, size), 3.0), probabilities(rng, size)), atol=1e-9),
    ),
    hints=(
        "It is not dy y (1 - y): that is the diagonal of the Jacobian only.",
        "Per column: y times (dy minus s), where s is one number, the sum over the classes of dy y.",
        "Section *Its gradient* of {ref}`ch-activations`, where the Jacobian is multiplied out.",
    ),
    mutants=(
        Mutant("the diagonal only", ("d.sum(axis=0)", "d"), "a random upstream gradient", 0),
        Mutant("sums over the batch", ("d.sum(axis=0)", "d.sum(axis=1, keepdims=True)"), "a random upstream gradient", 1),
        Mutant("the sum forgotten", ("d.sum(axis=0)", "0"), "a random upstream gradient", 1),
        Mutant("overwrites dy", ("return np.multiply(y, d, out=out)", "return np.multiply(y, d, out=dy)"),
               "dy and y are left alone", 2),
    ),
)

SOFTPLUS = Exercise(
    name="softplus", kind="further", target="softplus", difficulty=2, minutes=30,
    text="""The *softplus*, $f(z)=\\ln(1+e^z)$, is a ReLU with its kink rounded off. Far to the right it is $z$,
far to the left it is nearly zero, and nowhere may it overflow: $f(1000)$ is 1000.""",
    stub='''def softplus(z):
    """ln(1 + exp(z)), computed so that nothing overflows.

    Parameters
    ----------
    z : ndarray of floats
        Of any shape.

    Returns
    -------
    ndarray, shape and dtype of z
        A new array. Correct to almost all digits also where it is tiny: softplus(-30) is
        9.357622968839737e-14.
    """
''',
    solution='''def softplus(z):
    """ln(1 + exp(z)), computed so that nothing overflows."""
    return np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))
''',
    expected=softplus,
    cases=(
        Case("ordinary numbers", 1, "A ReLU without a kink.", lambda rng, size=4: call("softplus", logits(rng, size))),
        Case("a thousand", 1, "An infinite activation makes every gradient nan.",
             lambda rng: call("softplus", np.array([-1000.0, 0.0, 1000.0]))),
        Case("far out on the left", 2, "1 + tiny is 1 in floating point; log1p exists for this.", hidden=True, atol=0.0,
             draw=lambda rng: call("softplus", -rng.uniform(25, 600, 8))),
        Case("float32", 1, "Networks compute in single precision.", hidden=True,
             draw=lambda rng, size=4: call("softplus", logits(rng, size, dtype=np.float32))),
    ),
    hints=(
        "For large z, ln(1 + e^z) = z + ln(1 + e^-z). Which of the two can overflow?",
        "One formula for both sides: max(0, z) + ln(1 + e^-|z|).",
        "See `np.log1p`, and section *One formula, three ways to fail* of {ref}`ch-activations`.",
    ),
    mutants=(
        Mutant("as it is written", ("np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z)))", "np.log(1 + np.exp(z))"), "a thousand", 0),
        Mutant("log of 1 + q", ("np.log1p(np.exp(-np.abs(z)))", "np.log(1 + np.exp(-np.abs(z)))"), "far out on the left", 2),
        Mutant("a plain ReLU", (" + np.log1p(np.exp(-np.abs(z)))", ""), "ordinary numbers", 1),
    ),
)

SILU = Exercise(
    name="silu", kind="further", target="SiLU", difficulty=3, minutes=60,
    text="""The *SiLU* is $f(z)=z\\,\\sigma(z)$. It falls before it rises, so the output alone does not tell the slope, and
`Activation` cannot serve. Write a layer that keeps its input. Use `sigmoid`.""",
    stub='''class SiLU(Layer):
    """y = z sigmoid(z), a layer without parameters that remembers its input."""

    def forward(self, z, training=False):
        """Return y, shaped like z, in z's dtype; keep what backward needs. z is left alone."""

    def backward(self, dy, need_dx=True):
        """Return the gradient with respect to z, shaped like dy; None if need_dx is False.

        Uses the z of the last forward, as it was then, even if the caller has overwritten it.
        """
''',
    solution='''class SiLU(Layer):
    """y = z sigmoid(z), a layer without parameters that remembers its input."""

    def forward(self, z, training=False):
        self.z = np.array(z)
        return self.z * sigmoid(self.z)

    def backward(self, dy, need_dx=True):
        if need_dx:
            s = sigmoid(self.z)
            return dy * (s + self.z * s * (1 - s))
''',
    expected=SiLU,
    cases=(
        Case("forward", 1, "The value first.",
             lambda rng, size=3: Script().make("layer", "SiLU").call("layer.forward", logits(rng, size))),
        Case("backward", 2, "The product rule has two terms.",
             lambda rng, size=3: Script().make("layer", "SiLU").call("layer.forward", logits(rng, size), keep=False)
             .call("layer.backward", logits(rng, size))),
        Case("nobody below", 1, "The first layer need not compute what nobody asks for.",
             lambda rng, size=2: Script().make("layer", "SiLU").call("layer.forward", logits(rng, size), keep=False)
             .call("layer.backward", logits(rng, size), need_dx=False)),
        Case("the batch changes underneath", 2, "The caller may use its array again before the gradient comes back.", hidden=True,
             draw=lambda rng, size=3: Script().given(z=logits(rng, size)).make("layer", "SiLU")
             .call("layer.forward", Ref("z"), keep=False).call("z.fill", 0.0, keep=False)
             .call("layer.backward", logits(rng, size)), modifies=("z",)),
    ),
    hints=(
        "The derivative of a product of two functions of z has two terms.",
        "With s = sigmoid(z): dz = dy (s + z s (1 - s)).",
        "Sections *Its derivative* (of the sigmoid) and *A layer of it* of {ref}`ch-activations`.",
    ),
    mutants=(
        Mutant("one term only", ("(s + self.z * s * (1 - s))", "s"), "backward", 0),
        Mutant("dy forgotten", ("dy * (s + self.z", "(s + self.z"), "backward", 1),
        Mutant("keeps the caller's array", ("self.z = np.array(z)", "self.z = z"), "the batch changes underneath", 2),
        Mutant("always computes", ("        if need_dx:\n", "        if True:\n"), "nobody below", 2),
    ),
)

EXERCISES = [RELU, SIGMOID, SOFTMAX, SOFTMAX_BACKWARD, SOFTPLUS, SILU]

QUESTIONS = [
    Question(
        "Which of the six functions have $f(0)=0$? What does a dense layer whose biases are zero, followed by each of "
        "the six, make of a blank page, 784 zeros?",
        "Identity, ReLU, leaky ReLU and tanh are zero at zero. On a blank page $z = W\\cdot 0 + 0 = 0$ whatever the weights "
        "are, so these four answer 0 in every neuron; the sigmoid answers $\\tfrac12$; softmax, over $k$ neurons, $1/k$ each."),
    Question(
        "You divide all logits of a trained network by $T=2$. What happens to the share of right guesses, and to the "
        "probability it gives its guess when it is wrong? When might you want that?",
        "The share does not change: dividing by a positive number keeps the order of the logits, so the largest stays the "
        "largest. The probabilities move towards each other, so the guess gets a smaller one, right or wrong. One wants that "
        "where a network is surer of itself than its errors allow, and somebody acts on its probabilities."),
    Question(
        "In the picture of gradients that pass through twenty layers, why does the sigmoid's line stay so close to a factor "
        "of one quarter a layer, and why does the tanh's fall faster towards the first layer?",
        "With Glorot's weights $z$ stays small, and near zero the sigmoid's slope is $\\sigma(0)(1-\\sigma(0))=\\tfrac14$, its "
        "largest value. The tanh's slope is $1-y^2$. The numbers $y$ are largest in the first layers and shrink from layer "
        "to layer; where they are large, $1-y^2$ is furthest below one."),
]
