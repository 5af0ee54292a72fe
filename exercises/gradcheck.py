"""The exercises of the chapter on backpropagation: a judge of gradients, and two other ways to differentiate."""

import math

import numpy as np

from course.classroom.exercise import Case, Exercise, Mutant, Name, Question, Random, Ref, Script, call

TANH, CUMPROD = Name("nnlib.data.np.tanh"), Name("nnlib.data.np.cumprod")  # NumPy's own: they take complex numbers


# What is drawn.

def slopes(rng, f, shape, scale=1.0, order="C"):
    """Differences of a number that an array knows about itself: its variance, its product."""
    x = np.asarray(rng.normal(0.0, scale, shape), order=order)
    return Script().given(x=x).call("numerical_gradient", Name(f"x.{f}"), Ref("x"))


def nearly(rng, *shape, noise=1e-8):
    """An array, and a second one that differs from it by a share of about `noise`."""
    expected = rng.uniform(0.5, 2.0, shape) * rng.choice([-1.0, 1.0], shape)
    return expected * (1 + noise * rng.uniform(-1, 1, shape)), expected


def off(rng, place, amount, *shape):
    """The same, with one element off by a share."""
    got, expected = nearly(rng, *shape)
    got[place] *= 1 + amount
    return call("compare_gradients", "dW", got, expected)


def dense_arrays(rng, units, inputs):
    """A dense layer's parameters and places for their gradients."""
    return {"W": rng.normal(size=(units, inputs)), "b": rng.normal(size=(units, 1)),
            "dW": np.zeros((units, inputs)), "db": np.zeros((units, 1))}


def checked_dense(rng, units, inputs, batch, **options):
    """A dense layer, and what the checker says about it."""
    return (Script().given(**dense_arrays(rng, units, inputs)).make("layer", "nnlib.dense.Dense", units)
            .call("layer.build", (inputs,), keep=False)
            .call("layer.bind", {"W": Ref("W"), "b": Ref("b")}, {"W": Ref("dW"), "b": Ref("db")}, keep=False)
            .call("check_layer", Ref("layer"), rng.normal(size=(inputs, batch)), Random(3), **options))


def one_place_for_two(rng):
    """A dense layer of one input whose db is written over its dW."""
    W, b, shared = rng.normal(size=(3, 1)), rng.normal(size=(3, 1)), np.zeros((3, 1))
    return (Script().given(W=W, b=b, shared=shared).make("layer", "nnlib.dense.Dense", 3)
            .call("layer.build", (1,), keep=False)
            .call("layer.bind", {"W": Ref("W"), "b": Ref("b")}, {"W": Ref("shared"), "b": Ref("shared")}, keep=False)
            .call("check_layer", Ref("layer"), rng.normal(size=(1, 4)), Random(3)))


def loses_the_sign(rng):
    """A layer that hands on |dy| where it should hand on dy; x is positive."""
    return (Script().make("layer", "nnlib.activations.Identity")
            .call("layer.__setattr__", "gradient", Name("nnlib.activations.np.copysign"), keep=False)
            .call("check_layer", Ref("layer"), rng.uniform(1, 2, (3, 4)), Random(3)))


def forgets_a_factor(rng):
    """A tanh whose backward is a sigmoid's."""
    return (Script().make("layer", "nnlib.activations.Tanh")
            .call("layer.__setattr__", "gradient", Name("nnlib.activations.sigmoid_backward"), keep=False)
            .call("check_layer", Ref("layer"), rng.normal(size=(3, 4)), Random(3)))


# References of those that `reference` has not: plain Python, floats and loops.

def check_layer(layer, x, rng, tolerance=1e-6):
    """A right layer has nothing but rounding in it. (Cases with a wrong one expect an exception.)"""
    return {"dx": 0.0} | {f"d{name}": 0.0 for name in layer.parameter_shapes}


def complex_backward(function, x, dy, step=1e-20):
    """The derivative that was derived by hand, for the functions that have one."""
    if function.__name__ == "tanh":
        return np.array([d * (1 - math.tanh(v) ** 2) for d, v in zip(dy.ravel().tolist(), x.ravel().tolist())]).reshape(x.shape)
    values, upstream = x.tolist(), dy.tolist()
    return np.array([math.fsum(d * math.prod(values[:i] + values[i + 1:k + 1]) for k, d in enumerate(upstream) if k >= i)
                     for i in range(len(values))])


class Dual:
    """A pair of floats and the rules of school."""

    def __init__(self, value, slope=0.0):
        self.value, self.slope = value, slope

    def __add__(self, other):
        v, s = parts(other)
        return Dual(self.value + v, self.slope + s)

    def __mul__(self, other):
        v, s = parts(other)
        return Dual(self.value * v, self.value * s + self.slope * v)

    def __neg__(self):
        return Dual(-self.value, -self.slope)

    def __sub__(self, other):
        v, s = parts(other)
        return Dual(self.value - v, self.slope - s)

    def __rsub__(self, other):
        v, s = parts(other)
        return Dual(v - self.value, s - self.slope)

    __radd__, __rmul__ = __add__, __mul__

    def sigmoid(self):
        z = self.value
        y = 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))
        return Dual(y, self.slope * y * (1 - y))


def parts(x):
    """Value and slope of a Dual or of a number."""
    return (x.value, x.slope) if isinstance(x, Dual) else (x, 0.0)


def on_paper(seed):
    """The graph of L = (ab + c)^2, with respect to the one of a, b, c that has slope 1."""
    a, b, c = (float(name == seed) for name in "abc")
    return (Script().make("a", "Dual", 2.0, a).make("b", "Dual", 3.0, b).make("c", "Dual", -4.0, c)
            .make("p", "a.__mul__", Ref("b")).make("s", "p.__add__", Ref("c")).make("L", "s.__mul__", Ref("s"))
            .get("L.value").get("L.slope"))


def neuron(rng):
    """The squared error of a neuron, with respect to its weight; x and y are plain numbers."""
    w, b, x, y = rng.normal(size=4).tolist()
    return (Script().make("w", "Dual", w, 1.0).make("b", "Dual", b).make("wx", "w.__mul__", x).make("z", "wx.__add__", Ref("b"))
            .make("h", "z.sigmoid").make("e", "h.__sub__", y).make("L", "e.__mul__", Ref("e")).get("L.value").get("L.slope"))


NUMERICAL_GRADIENT = Exercise(
    name="numerical_gradient", kind="build", target="numerical_gradient", difficulty=2, minutes=25,
    cases=(
        Case("a variance of tiny numbers", 2, "A difference to one side only is drowned by the bend, and x must come back as it was.",
             atol=1e-15, draw=lambda rng, size=4: slopes(rng, "var", size, 1e-7)),
        Case("a product", 1, "Every element must be moved alone, the others at rest.",
             lambda rng, size=3: slopes(rng, "prod", (2, size)), atol=1e-9),
        Case("single precision is refused", 1, "In float32 rounding drowns the differences; a judge that guesses is worse than none.",
             lambda rng: Script().given(x=np.ones(3, np.float32)).call("numerical_gradient", Name("x.sum"), Ref("x")),
             raises="ValueError"),
        Case("large elements", 2, "Near a million a step of 6e-6 is itself rounded to five digits.", hidden=True,
             draw=lambda rng, size=3: slopes(rng, "prod", size, 1e6)),
        Case("stored by columns", 1, "The weights of this library's networks lie in memory column after column.", hidden=True,
             draw=lambda rng, size=3: slopes(rng, "prod", (size, 2), order="F"), atol=1e-9),
        Case("three axes", 1, "Pictures in a batch have more than rows and columns.", hidden=True, atol=1e-9,
             draw=lambda rng: slopes(rng, "std", (2, 3, 2))),
    ),
    hints=(
        "Move one element up by a little and ask f; move it down by as much and ask again. What is left to do, and to undo?",
        "`np.ndindex(x.shape)` goes through all elements, whatever the shape. Remember the element itself: adding h, then "
        "taking it away, need not lead back to the same double.",
        "Section *How do we know it is right?* of {ref}`ch-backpropagation`, {eq}`eq-backprop-central`.",
    ),
    mutants=(
        Mutant("one-sided", ("x[i] = kept - h\n        below = f()\n        x[i] = kept\n        gradient[i] = (above - below) / (2 * h)",
                             "x[i] = kept\n        below = f()\n        gradient[i] = (above - below) / h"), "a variance of tiny numbers", 0),
        Mutant("divided by h", ("/ (2 * h)", "/ h"), "a product", 0),
        Mutant("not put back", ("x[i] = kept\n", "pass\n"), "a product", 0),
        Mutant("put back by arithmetic", ("x[i] = kept\n", "x[i] += h\n"), "a variance of tiny numbers", 1),
        Mutant("the same step for all", ("step * max(1.0, abs(kept))", "step"), "large elements", 2),
        Mutant("a step that vanishes", ("step * max(1.0, abs(kept))", "1e-13"), "a product", 2),
        Mutant("takes float32", ("x.dtype != np.float64", "x.dtype.kind != 'f'"), "single precision is refused", 2),
    ),
)

COMPARE_GRADIENTS = Exercise(
    name="compare_gradients", kind="build", target="compare_gradients", difficulty=2, minutes=20,
    cases=(
        Case("they agree", 1, "The largest error says how far from an alarm we are.", atol=0.0,
             draw=lambda rng, size=3: call("compare_gradients", "dW", *nearly(rng, size, size + 1))),
        Case("one element is wrong", 1, "A loop that stops one short leaves everything right but a column.",
             lambda rng: off(rng, (1, 2), 1e-4, 2, 3), raises="GradientError"),
        Case("small among large", 2, "An element near zero is only known up to the rounding of the whole loss.", atol=0.0,
             draw=lambda rng: call("compare_gradients", "db", np.array([2e-9, 1.0, -2.0]), np.array([1e-9, 1.0, -2.0]))),
        Case("not a number", 1, "nan > tolerance is false: a layer that returns nothing but nan would pass.",
             lambda rng: off(rng, (0, 0), np.nan, 2, 2), raises="GradientError"),
        Case("too small by a lot", 1, "An error has no sign; half a gradient still trains, only slower.", hidden=True,
             draw=lambda rng: call("compare_gradients", "dW", np.array([[1.0, 2.0], [1.5, 0.5]]), np.array([[1.0, 2.0], [1.5, 1.0]])),
             raises="GradientError"),
        Case("nothing but zeros", 1, "Zero over zero must not become an alarm, nor silence the next one.", hidden=True,
             draw=lambda rng: call("compare_gradients", "dx", np.zeros((2, 3)), np.zeros((2, 3)))),
        Case("another shape", 1, "Broadcasting would compare a bias with every column of a matrix.", hidden=True,
             draw=lambda rng: call("compare_gradients", "dx", np.ones((3, 1)), np.ones((3, 4))), raises="GradientError"),
        Case("another tolerance", 1, "The caller decides how right is right.", hidden=True,
             draw=lambda rng: call("compare_gradients", "dx", *nearly(rng, 5, noise=1e-5), 1e-9), raises="GradientError"),
    ),
    hints=(
        "An error relative to what? To the element. And where the element happens to be almost zero?",
        "Divide |got - expected| by the larger of |expected| and the root mean square of the whole array, and that by no less "
        "than 1e-8. What `nan` leaves in the errors counts as infinite.",
        "Section *The checker* of {ref}`ch-backpropagation`, the paragraph before its code and the one after.",
    ),
    mutants=(
        Mutant("relative to the element alone", ("np.maximum(np.abs(expected), typical)", "np.maximum(np.abs(expected), 1e-8)"),
               "small among large", 0),
        Mutant("absolute", ("np.abs(got - expected) / np.maximum(np.abs(expected), typical)", "np.abs(got - expected)"),
               "they agree", 0),
        Mutant("the sign counts", ("np.abs(got - expected)", "(got - expected)"), "too small by a lot", 1),
        Mutant("nan passes", ("    error = np.where(np.isnan(error), np.inf, error)\n", ""), "not a number", 1),
        Mutant("the mean error", ("return float(error[worst])", "return float(error.mean())"), "they agree", 1),
        Mutant("shapes are not compared", ("if got.shape != expected.shape:", "if got.ndim != expected.ndim:"), "another shape", 2),
        Mutant("the tolerance is fixed", ("if error[worst] > tolerance:", "if error[worst] > 1e-4:"), "another tolerance", 2),
    ),
    shown=("error = np.where(np.isnan(error), np.inf, error)",),  # the judge's own file has it by chance
)

CHECK_LAYER = Exercise(
    name="check_layer", kind="build", target="check_layer", difficulty=3, minutes=40, expected=check_layer,
    # A right gradient differs from finite differences by rounding only: some 1e-10, where 0 is expected.
    cases=(
        Case("a dense layer", 2, "dx, dW and db, every element: what is not checked is wrong sooner or later.", atol=1e-6,
             draw=lambda rng: checked_dense(rng, 3, 4, 5), modifies=("dW", "db")),
        Case("a layer without parameters", 1, "Most layers learn nothing and still hand on a gradient.", atol=1e-6,
             draw=lambda rng: Script().make("layer", "nnlib.activations.Tanh")
             .call("check_layer", Ref("layer"), rng.normal(size=(3, 4)), Random(3))),
        Case("a wrong derivative", 1, "A network with it trains, a little worse, and nobody knows why.",
             lambda rng: forgets_a_factor(rng), raises="GradientError"),
        Case("a lost sign", 2, "The sum of the outputs has an upstream gradient of ones, and does not see this.",
             lambda rng: loses_the_sign(rng), raises="GradientError"),
        Case("one place for two gradients", 2, "dx may be right where dW is not.", hidden=True,
             draw=one_place_for_two, raises="GradientError"),
        Case("a tolerance of the caller's", 1, "Nothing is right to twenty digits.", hidden=True,
             draw=lambda rng: checked_dense(rng, 3, 2, 4, tolerance=1e-20), raises="GradientError"),
        Case("without a bias", 1, "What a layer has is said by its `parameter_shapes`, and by nothing else.", hidden=True, atol=1e-6,
             draw=lambda rng: Script().given(W=rng.normal(size=(2, 3)), dW=np.zeros((2, 3)))
             .make("layer", "nnlib.dense.Dense", 2, bias=False).call("layer.build", (3,), keep=False)
             .call("layer.bind", {"W": Ref("W")}, {"W": Ref("dW")}, keep=False)
             .call("check_layer", Ref("layer"), rng.normal(size=(3, 4)), Random(5)), modifies=("dW",)),
    ),
    hints=(
        "`check_function`, in the same cell, does it for one array. A layer has several: which, and where does it keep their "
        "gradients?",
        "One forward and one backward pass with a random c of the output's shape; copy what you get. Then finite differences "
        "of sum(c * output), once for x and once for each name in `parameter_shapes`, and a comparison for each.",
        "Sections *A random cotangent* and *The checker* of {ref}`ch-backpropagation`.",
    ),
    mutants=(
        Mutant("a sum of the outputs", ("c = rng.normal(size=layer.forward(x).shape)", "c = np.ones(layer.forward(x).shape)"),
               "a lost sign", 1),
        Mutant("c on one side only", ("np.sum(c * layer.forward(x))", "np.sum(layer.forward(x))"), "a dense layer", 1),
        Mutant("dx only", ("for name in layer.parameter_shapes:", "for name in ():"), "a dense layer", 0),
        Mutant("dx is left out", ("for name in got}", 'for name in got if name != "dx"}'), "a layer without parameters", 0),
        Mutant("the gradient is compared with itself", ("expected = {name: numerical_gradient(loss, array) for name, array in arrays.items()}",
                                                        "expected = got"), "a wrong derivative", 1),
        Mutant("the tolerance is not handed on", ("compare_gradients(name, got[name], expected[name], tolerance)",
                                                  "compare_gradients(name, got[name], expected[name])"),
               "a tolerance of the caller's", 2),
    ),
    shown=("return {name: compare_gradients(name, got[name], expected[name], tolerance)",  # check_network ends like this
           "for name in layer.parameter_shapes:"),  # chapter 6 goes through a layer's parameters too
)

COMPLEX_BACKWARD = Exercise(
    name="complex_backward", kind="further", target="complex_backward", difficulty=3, minutes=45, expected=complex_backward,
    text="""Finite differences lose half of the digits to a subtraction. For a function that takes complex numbers
there is a way without one: $\\operatorname{Im} f(w + ih)/h$ is $f'(w)$ up to an error of order $h^2$, and $h$ may be
as small as $10^{-20}$. Write a judge of this kind, then ask it what `tanh_backward` is worth. (Hand it `np.tanh`:
this library's own functions take floats only. A softmax in NumPy is a line.)""",
    stub='''def complex_backward(function, x, dy, step=1e-20):
    """The gradient of sum(dy * function(x)) with respect to x, by complex steps.

    Parameters
    ----------
    function : callable
        Array to array; takes complex numbers as well as floats.
    x : ndarray of float64, any shape
        Left alone.
    dy : ndarray of float64, shaped like function(x)
        The upstream gradient.
    step : float

    Returns
    -------
    ndarray of float64, shaped like x
        Right to twelve digits and more, where central differences have ten.
    """
''',
    solution='''def complex_backward(function, x, dy, step=1e-20):
    """The gradient of sum(dy * function(x)) with respect to x, by complex steps."""
    z, gradient = x.astype(complex), np.empty(x.shape)
    for i in np.ndindex(x.shape):
        z[i] += 1j * step
        gradient[i] = np.sum(dy * function(z)).imag / step
        z[i] = x[i]
    return gradient
''',
    # Tighter than the book's other tolerances: that is the point. Rounding leaves about 1e-15.
    cases=(
        Case("a tanh", 2, "Each output depends on one input; twelve digits have to be right.", rtol=1e-12, atol=1e-14,
             draw=lambda rng, size=3: call("complex_backward", TANH, rng.normal(size=(size, 2)), rng.normal(size=(size, 2)))),
        Case("products along a row", 2, "Each output depends on several inputs, and all of them count.", rtol=1e-12, atol=1e-14,
             draw=lambda rng, size=4: call("complex_backward", CUMPROD, rng.normal(size=size), rng.normal(size=size))),
        Case("three axes", 1, "Pictures in a batch have more than rows and columns.", hidden=True, rtol=1e-12, atol=1e-14,
             draw=lambda rng, size=3: call("complex_backward", TANH, rng.normal(size=(2, size, 2)), rng.normal(size=(2, size, 2)))),
        Case("an upstream gradient of a million", 1, "The judge must not depend on the scale of the loss.", hidden=True, rtol=1e-12, atol=1e-8,
             draw=lambda rng: call("complex_backward", CUMPROD, rng.normal(size=5), 1e6 * rng.normal(size=5))),
    ),
    hints=(
        "Write the Taylor series of f(w + ih). Which of its terms are imaginary?",
        "Make a complex copy of x. For each element: add ih, run the function, weigh by dy and sum, take the imaginary part "
        "over h, and take the ih away again.",
        "Exercise *Complex steps* and section *A random cotangent* of {ref}`ch-backpropagation`.",
    ),
    mutants=(
        Mutant("the real part", (".imag", ".real"), "a tanh", 0),
        Mutant("not divided", (".imag / step", ".imag"), "a tanh", 1),
        Mutant("the steps pile up", ("        z[i] = x[i]\n", ""), "a tanh", 1),
        Mutant("every output counts the same", ("np.sum(dy * function(z))", "np.sum(function(z))"), "products along a row", 1),
        Mutant("only the element's own output", ("np.sum(dy * function(z))", "(dy * function(z))[i]"), "products along a row", 2),
        Mutant("a step as for finite differences", ("z[i] += 1j * step", "step = 6e-6\n        z[i] += 1j * step"), "a tanh", 0),
    ),
)

DUAL = Exercise(
    name="dual", kind="further", target="Dual", difficulty=3, minutes=90, expected=Dual,
    text="""*Forward mode*: carry the derivative along. A dual number has a value and a slope, the derivative of the
value with respect to one chosen input. That input starts with slope 1, everything else with 0, and every operation
computes both. Then differentiate the 2-2-1 network of this chapter with respect to one weight. How many runs does the
whole gradient take?""",
    stub='''class Dual:
    """A number and its derivative with respect to one chosen input.

    Parameters
    ----------
    value : float
    slope : float
        1 for the input that was chosen; 0, the default, for whatever does not depend on
        it.

    Attributes
    ----------
    value, slope : float
        The operations make new numbers and leave their operands alone.
    """

    def __init__(self, value, slope=0.0):
        """Keep both."""

    def __add__(self, other):
        """self + other, a Dual; other is a Dual or a plain number."""

    def __radd__(self, other):
        """other + self, for a plain number other."""

    def __mul__(self, other):
        """self * other, a Dual; other is a Dual or a plain number."""

    def __rmul__(self, other):
        """other * self, for a plain number other."""

    def __neg__(self):
        """-self."""

    def __sub__(self, other):
        """self - other, a Dual; other is a Dual or a plain number."""

    def __rsub__(self, other):
        """other - self, for a plain number other."""

    def sigmoid(self):
        """1 / (1 + exp(-self)), a Dual, for values from -1000 to 1000."""
''',
    solution='''class Dual:
    """A number and its derivative with respect to one chosen input."""

    def __init__(self, value, slope=0.0):
        self.value, self.slope = value, slope

    def __add__(self, other):
        other = other if isinstance(other, Dual) else Dual(other)
        return Dual(self.value + other.value, self.slope + other.slope)

    def __radd__(self, other):
        return self + other

    def __mul__(self, other):
        other = other if isinstance(other, Dual) else Dual(other)
        product = self.value * other.value
        return Dual(product, self.slope * other.value + self.value * other.slope)

    def __rmul__(self, other):
        return self * other

    def __neg__(self):
        return self * -1

    def __sub__(self, other):
        return self + other * -1

    def __rsub__(self, other):
        return -self + other

    def sigmoid(self):
        q = float(np.exp(-abs(self.value)))
        y = (1 if self.value >= 0 else q) / (1 + q)
        return Dual(y, self.slope * y * (1 - y))
''',
    cases=(
        Case("da in (ab + c) squared", 2, "The number of this chapter's first page: 12.", lambda rng: on_paper("a")),
        Case("dc in (ab + c) squared", 1, "A value that is used twice collects from both places.", lambda rng: on_paper("c")),
        Case("a neuron", 2, "Plain numbers stand among the dual ones: inputs, targets, constants.", neuron),
        Case("a number in front", 1, "Python asks the number first, and then the object behind it.",
             lambda rng: Script().make("a", "Dual", rng.normal(), 1.0).make("d", "a.__rsub__", 3).get("d.value").get("d.slope")
             .make("s", "d.__radd__", 0.5).make("p", "s.__rmul__", -2.0).get("p.value").get("p.slope")),
        Case("minus", 1, "A sign that is lost here is lost on the whole way.", hidden=True,
             draw=lambda rng: Script().make("a", "Dual", rng.normal(), rng.normal()).make("b", "Dual", rng.normal(), rng.normal())
             .make("n", "a.__neg__").get("n.value").get("n.slope").make("d", "n.__sub__", Ref("b")).get("d.value").get("d.slope")),
        Case("two slopes at once", 1, "The product rule has two terms, and both may be there.", hidden=True,
             draw=lambda rng: Script().make("a", "Dual", rng.normal(), rng.normal()).make("b", "Dual", rng.normal(), rng.normal())
             .make("p", "a.__mul__", Ref("b")).get("p.value").get("p.slope").get("a.slope")),
        Case("far out", 1, "The exponential of a thousand is no number.", hidden=True,
             draw=lambda rng: Script().make("a", "Dual", -900.0, 1.0).make("b", "Dual", 900.0, 1.0).make("s", "a.sigmoid")
             .make("t", "b.sigmoid").get("s.value").get("s.slope").get("t.value").get("t.slope")),
    ),
    hints=(
        "What is the derivative of a sum, of a product, of σ(z), if every operand comes with its own derivative?",
        "Turn a plain number into a Dual of slope 0 first; then each operation is one line. Subtraction can be made of the "
        "others, and a sigmoid's slope from its value.",
        "Section *The chain rule on a graph* of {ref}`ch-backpropagation`; for the sigmoid, {ref}`ch-activations`.",
    ),
    mutants=(
        Mutant("half a product rule", ("self.slope * other.value + self.value * other.slope", "self.slope * other.value"),
               "dc in (ab + c) squared", 0),
        Mutant("slopes are multiplied", ("self.slope * other.value + self.value * other.slope", "self.slope * other.slope"),
               "da in (ab + c) squared", 0),
        Mutant("the chain stops at the sigmoid", ("Dual(y, self.slope * y * (1 - y))", "Dual(y, y * (1 - y))"), "a neuron", 0),
        Mutant("turned around", ("return -self + other", "return self - other"), "a number in front", 1),
        Mutant("a constant has slope one", ("def __init__(self, value, slope=0.0):", "def __init__(self, value, slope=1.0):"), "a neuron", 1),
        Mutant("overflows", ("y = (1 if self.value >= 0 else q) / (1 + q)", "y = 1 / (1 + __import__('math').exp(-self.value))"),
               "far out", 2),
    ),
)

EXERCISES = [NUMERICAL_GRADIENT, COMPARE_GRADIENTS, CHECK_LAYER, COMPLEX_BACKWARD, DUAL]

QUESTIONS = [
    Question(
        "The checker compares a gradient at one random point. Describe a wrong backward pass for the ReLU that it will never "
        "report, and one for `tanh` that it reports at almost every point but not at one. What does that say about choosing "
        "test inputs?",
        "A ReLU that looks at its input and hands the gradient on where $z \\ge 0$ in place of $z > 0$ differs only at $z = "
        "0$, where random inputs never are (and where there is no derivative to be wrong about). One that is right for $|z| < "
        "10$ and wrong beyond, because somebody left a clip in it, is the same case with worse consequences. For `tanh`, take "
        "$1 - y^2 + z$: wrong everywhere but at $z = 0$, so whoever tests a fresh layer on zero inputs finds nothing. Finite "
        "differences say something about the neighbourhood of the points they are taken at, and nothing else. So inputs should "
        "be random, of a size at which the function bends, and there should be several elements: each is a test of its own. "
        "Special points, such as kinks, zeros and very large numbers, need tests by hand beside it."),
    Question(
        "Reverse mode gives the gradient of one number with respect to all parameters in the time of about two more forward "
        "passes. Suppose you want the derivatives of all ten logits with respect to one learning rate or one pixel. Which mode "
        "would you use, and what would it have to remember?",
        "One input and ten outputs: forward mode. It pushes one direction through the network together with the values, and "
        "all ten derivatives come out of one run that costs about two forward passes. Reverse mode would need ten backward "
        "passes, one for each logit. Forward mode also remembers nothing: once a layer is done, its input can be thrown away, "
        "while reverse mode must keep every layer's input until it comes back. The picture turns around with the shape of the "
        "problem. With 235,146 inputs and one loss, forward mode takes 235,146 runs. The product of Jacobians is the same in "
        "both; they only multiply it out from different ends, and it is cheaper to start at the end where the row or column is "
        "thin."),
    Question(
        "A colleague checks gradients in single precision, with a step of $10^{-3}$ and a tolerance of 2 %, \"because the "
        "network trains in single precision anyway\". Which mistakes will get past that, and what would you answer?",
        "With that step the truncation error is about $h^2/6$ and the rounding error $\\varepsilon |L| / h \\approx "
        "6\\cdot10^{-8}/10^{-3}$, so a tolerance of 2 % does not cry wolf. It also lets pass whatever is wrong by less: a "
        "small term left out, an $\\epsilon$ in the wrong place of a normalisation, a mean over $n$ where it should be over $n "
        "- 1$ with a batch of a hundred, a correlation between samples that is small at random weights. The check is about "
        "formulas, and a formula is the same in both precisions; double precision costs nothing here because the arrays are "
        "tiny. Run the same code in float64 and demand six digits. Whether it is exact enough in float32 is another question, "
        "answered by comparing the two precisions with each other."),
]
