"""The exercises of the chapter on optimizers: a few steps at a time, and what is left of them."""

import math

import numpy as np

from course.classroom.exercise import Case, Exercise, Mutant, Question, Ref, Script, call
from reference import optimizers


# What is drawn.

def vectors(rng, size, dtype=np.float64, scale=1.0, **zeros):
    """A script with parameters w, a gradient g, and state vectors of zeros or of the given numbers."""
    state = {name: np.full(size, value, dtype) for name, value in zeros.items()}
    return Script().given(w=rng.normal(size=size).astype(dtype), g=(scale * rng.normal(size=size)).astype(dtype), **state)


def momentum_steps(rng, size, steps, dtype=np.float64, **options):
    """Steps with a gradient of its own for each; then w and v."""
    script = vectors(rng, size, dtype, v=0.0)
    for k in range(steps):
        g = rng.normal(size=size).astype(dtype) if k else Ref("g")
        script.call("momentum_step", Ref("w"), g, Ref("v"), 0.1, keep=False, **options)
    return script.get("w").get("v")


def adam_steps(rng, size, steps, dtype=np.float64, scale=1.0, start=1, **options):
    """Steps number `start` and later; then w, m and s."""
    script = vectors(rng, size, dtype, scale, m=0.0, s=0.0)
    for t in range(start, start + steps):
        g = (scale * rng.normal(size=size)).astype(dtype) if t > start else Ref("g")
        script.call("adam_step", Ref("w"), g, Ref("m"), Ref("s"), t, keep=False, **options)
    return script.get("w").get("m").get("s")


def clipped(g, limit, name="clip_by_norm"):
    """The old length, and the vector afterwards."""
    return Script().given(g=g).call(name, Ref("g"), limit).get("g")


def rates(made, args, steps, **kwargs):
    """A schedule's rates at some steps."""
    script = Script().make("rate", made, *args, **kwargs)
    for step in steps:
        script.call("rate", step)
    return script


def lion_steps(rng, size, steps, *args, dtype=np.float64, **settings):
    """Steps of an optimizer; then the parameters, its state and its count."""
    script = Script().given(w=rng.normal(size=size).astype(dtype)).make("opt", "Lion", *args, **settings)
    for _ in range(steps):
        script.call("opt.step", Ref("w"), rng.normal(size=size).astype(dtype), keep=False)
    return script.get("w").get("opt.state").get("opt.steps")


def pairs(rng, size, count):
    """A gradient, steps, and how the gradient changed along each of them in a bowl."""
    root = rng.normal(size=(size, size))
    bowl = root @ root.T + np.eye(size)
    steps = [rng.normal(size=size) for _ in range(count)]
    return rng.normal(size=size), steps, [bowl @ step for step in steps]


# References of those that `reference` has not: plain Python, floats and loops.

class WarmRestarts:
    """Walk through the cycles one after the other."""

    def __init__(self, initial, steps, growth=1, final=0.0):
        self.initial, self.steps, self.growth, self.final = initial, steps, growth, final

    def __call__(self, step):
        length = self.steps
        while step >= length:
            step, length = step - length, length * self.growth
        share = (1 + math.cos(math.pi * step / length)) / 2
        return share * self.initial + (1 - share) * self.final


class Lion(optimizers.Optimizer):
    """A sign, one number at a time."""

    names = ("m",)
    decoupled = True

    def __init__(self, learning_rate=0.0001, beta1=0.9, beta2=0.99, **options):
        super().__init__(learning_rate, **options)
        self.beta1, self.beta2 = beta1, beta2

    def update(self, w, g, lr, m):
        for i, slope in enumerate(g):
            mixed = self.beta1 * m[i] + (1 - self.beta1) * slope
            sign = (mixed > 0) - (mixed < 0)
            w[i] = float(w[i]) - lr * (sign + self.weight_decay * float(w[i]))
            m[i] = self.beta2 * m[i] + (1 - self.beta2) * slope


def lbfgs_direction(g, steps, changes):
    """The whole matrix, pair after pair: H <- (1 - r s y^T) H (1 - r y s^T) + r s s^T."""
    n, g = len(g), np.asarray(g).tolist()
    steps, changes = [np.asarray(s).tolist() for s in steps], [np.asarray(y).tolist() for y in changes]
    scale = dot(steps[-1], changes[-1]) / dot(changes[-1], changes[-1]) if steps else 1.0
    H = [[scale * (i == j) for j in range(n)] for i in range(n)]
    for s, y in zip(steps, changes):
        r = 1 / dot(s, y)
        left = [[(i == j) - r * s[i] * y[j] for j in range(n)] for i in range(n)]
        half = [[dot(row, [H[k][j] for k in range(n)]) for j in range(n)] for row in left]
        H = [[dot(row, other) + r * s[i] * s[j] for j, other in enumerate(left)] for i, row in enumerate(half)]
    return np.array([dot(row, g) for row in H])


def dot(a, b):
    """The sum of products."""
    return math.fsum(x * y for x, y in zip(a, b))


MOMENTUM_STEP = Exercise(
    name="momentum_step", kind="build", target="momentum_step", difficulty=1, minutes=10,
    cases=(
        Case("three steps by hand", 1, "The numbers of this chapter's page: 0.8, 0.42, -0.122.", modifies=("w", "v"),
             draw=lambda rng: Script().given(w=np.array([1.0]), g=np.array([2.0]), v=np.array([0.0]))
             .call("momentum_step", Ref("w"), Ref("g"), Ref("v"), 0.1, times=3, keep=False).get("w").get("v")),
        Case("gradients that change", 2, "Pushes that cancel must cancel, pushes that agree must add up.", modifies=("w", "v"),
             draw=lambda rng, size=3: momentum_steps(rng, size, 2)),
        Case("another momentum", 1, "With none it is gradient descent; near one it hardly forgets.", hidden=True, modifies=("w", "v"),
             draw=lambda rng, size=4: momentum_steps(rng, size, 5, momentum=0.5)),
        Case("single precision", 1, "The state of an optimizer is as long as the network, and no wider.", hidden=True,
             modifies=("w", "v"), draw=lambda rng, size=6: momentum_steps(rng, size, 4, np.float32)),
        Case("a velocity from before", 1, "Training goes on from a checkpoint with the velocity it had.", hidden=True, modifies=("w", "v"),
             draw=lambda rng, size=4: vectors(rng, size, v=-3.0).call("momentum_step", Ref("w"), Ref("g"), Ref("v"), 0.01, keep=False)
             .get("w").get("v")),
    ),
    hints=(
        "First the velocity, then the position. Which of the three vectors may change?",
        "In place throughout: `v *= ...`, `v += ...`, `w -= ...`. A new array on the right-hand side is fine; on the left it "
        "would be one that no layer ever sees.",
        "Section *Momentum* of {ref}`ch-optimizers`, {eq}`eq-optimizers-momentum`.",
    ),
    mutants=(
        Mutant("an average in place of a sum", ("    v += g\n", "    v += (1 - momentum) * g\n"), "three steps by hand", 0),
        Mutant("the gradient moves the weights", ("np.multiply(v, lr, out=scratch)", "np.multiply(g, lr, out=scratch)"),
               "three steps by hand", 0),
        Mutant("nothing is forgotten", ("    v *= momentum\n", ""), "gradients that change", 0),
        Mutant("a new vector", ("w -= np.multiply", "w = w - np.multiply"), "three steps by hand", 1),
        Mutant("a new velocity", ("    v *= momentum\n", "    v = v * momentum\n"), "gradients that change", 1),
        Mutant("the rate inside the velocity", ("    v += g\n    w -= np.multiply(v, lr, out=scratch)", "    v += lr * g\n    w -= v"),
               "gradients that change", 2),
    ),
)

ADAM_STEP = Exercise(
    name="adam_step", kind="build", target="adam_step", difficulty=2, minutes=30,
    cases=(
        Case("the first step", 2, "Without a correction it would be three times too long, when the network knows least.",
             lambda rng, size=3: adam_steps(rng, size, 1), modifies=("w", "m", "s")),
        Case("four steps", 2, "The correction fades, and the averages take over.", modifies=("w", "m", "s"),
             draw=lambda rng, size=2: adam_steps(rng, size, 4, lr=0.01)),
        Case("a gradient of nothing", 1, "A weight whose gradient was always zero must stay, and not become nan.", modifies=("w", "m", "s"),
             draw=lambda rng: Script().given(w=np.array([1.0, -2.0]), m=np.zeros(2), s=np.zeros(2))
             .call("adam_step", Ref("w"), np.zeros(2), Ref("m"), Ref("s"), 1, keep=False).get("w")),
        Case("tiny gradients", 2, "Where the gradient is as small as ε, it matters to which root ε is added.", hidden=True,
             modifies=("w", "m", "s"), draw=lambda rng, size=4: adam_steps(rng, size, 3, scale=1e-8, lr=0.1)),
        Case("other settings", 1, "The two averages have a decay of their own.", hidden=True, modifies=("w", "m", "s"),
             draw=lambda rng, size=5: adam_steps(rng, size, 6, lr=0.02, beta1=0.8, beta2=0.95, eps=1e-3)),
        Case("late in the training, in single precision", 1, "A step with a large number differs from an uncorrected one by nothing.",
             hidden=True, modifies=("w", "m", "s"), draw=lambda rng, size=6: adam_steps(rng, size, 3, np.float32, start=5000, lr=0.1)),
    ),
    hints=(
        "Two moving averages, both too small at the beginning. By which factors?",
        "Update s with the square of g and m with g (`moving_average` does either in place). Then divide m by 1 - beta1^t and "
        "s by 1 - beta2^t, in copies, and step by their quotient; ε is added to the root of the corrected s.",
        "Section *Adam: both, and a fair start* of {ref}`ch-optimizers`, {eq}`eq-optimizers-adamstep`.",
    ),
    mutants=(
        Mutant("no correction", ("c1, c2 = 1.0 - beta1**t, math.sqrt(1.0 - beta2**t)", "c1 = c2 = 1.0"), "the first step", 0),
        Mutant("one corrected, the other not", ("lr * c2 / c1", "lr / c1"), "the first step", 1),
        Mutant("steps counted from zero", ("c1, c2 = 1.0 -", "t = max(t - 1, 1)\n    c1, c2 = 1.0 -"), "four steps", 1),
        Mutant("no root", ("np.sqrt(s, out=scratch)", "np.copyto(scratch, s)"), "the first step", 1),
        Mutant("ε beside the uncorrected root", ("scratch += eps * c2", "scratch += eps"), "tiny gradients", 2),
        Mutant("the decays exchanged", ("moving_average(m, g, beta1, scratch)", "moving_average(m, g, beta2, scratch)"), "the first step", 1),
        Mutant("no ε", ("    scratch += eps * c2\n", ""), "a gradient of nothing", 1),
    ),
    shown=("scratch = np.multiply(g, g, out=scratch)",),  # RMSprop begins like this
)

CLIP_BY_NORM = Exercise(
    name="clip_by_norm", kind="build", target="clip_by_norm", also=("gradient_norm", "clip_by_value"), difficulty=2, minutes=25,
    cases=(
        Case("too long", 1, "A cliff makes one gradient long enough to throw the network away.",
             lambda rng, size=3: clipped(3 * rng.normal(size=size) + 5, 1.0), modifies=("g",)),
        Case("short enough", 1, "An ordinary gradient has to pass unchanged.", modifies=("g",),
             draw=lambda rng, size=3: clipped(rng.uniform(-0.1, 0.1, size), 1.0)),
        Case("element by element", 1, "Clipping by value changes the direction; that is the difference between the two.",
             lambda rng, size=4: clipped(3 * rng.normal(size=size), 1.0, "clip_by_value"), modifies=("g",)),
        # The sum of squares is taken in float32, which rounds to about 1e-7.
        Case("numbers whose squares are too large", 2, "In single precision 1e30 has an infinite square, and an infinite length clips everything to zero.",
             rtol=2e-5, modifies=("g",), draw=lambda rng: clipped(np.array([3e30, -4e30], np.float32), 10.0)),
        Case("no gradient at all", 1, "Dividing by a length of zero leaves nan for ever.", hidden=True, modifies=("g",),
             draw=lambda rng: clipped(np.zeros(3), 1.0)),
        Case("numbers whose squares are too small", 1, "A length of zero is wrong for a vector that is not.", hidden=True, rtol=2e-5, atol=0.0,
             modifies=("g",), draw=lambda rng, size=4: call("gradient_norm", (1e-30 * rng.uniform(1, 2, size)).astype(np.float32))),
        Case("not a number", 1, "The length is what tells whoever looks that a gradient is lost.", hidden=True,
             draw=lambda rng: call("gradient_norm", np.array([1.0, np.nan, 2.0]))),
        Case("a large network", 1, "One length for all layers together.", hidden=True, modifies=("g",),
             draw=lambda rng: clipped(rng.normal(size=3000), 2.5)),
    ),
    hints=(
        "By which number must a vector be multiplied so that it gets the length you want? And when not at all?",
        "The length is the root of `np.dot(g, g)`, unless that is infinite or almost nothing. Then divide by the largest "
        "absolute value first, and multiply the length by it afterwards.",
        "Section *Cliffs, and how to survive one* of {ref}`ch-optimizers`.",
    ),
    mutants=(
        Mutant("always that length", ("    if norm > limit:\n", "    if norm:\n"), "short enough", 0),
        Mutant("the new length", ("    return norm\n", "    return min(norm, limit)\n"), "too long", 2),
        Mutant("a new array", ("        g *= limit / norm\n", "        g = g * (limit / norm)\n"), "too long", 2),
        Mutant("the square overflows", ("if math.isfinite(square) and square > 1e-30:", "if True:"),
               "numbers whose squares are too large", 1),
        Mutant("the square vanishes", ("if math.isfinite(square) and square > 1e-30:", "if math.isfinite(square):"),
               "numbers whose squares are too small", 1),
        Mutant("one side only", ("np.clip(g, -limit, limit, out=g)", "np.minimum(g, limit, out=g)"), "element by element", 2),
        Mutant("the sum of absolute values", ("square = float(np.dot(g, g))", "square = float(np.abs(g).sum()) ** 2"), "too long", 1),
    ),
    shown=('with np.errstate(all="ignore"):',),
)

COSINE = Exercise(
    name="cosine", kind="build", target="Cosine.__call__", difficulty=2, minutes=15,
    cases=(
        Case("eight steps, three of them warm-up", 2, "It climbs by quarters, then glides.",
             lambda rng: rates("Cosine", (1.0, 7), range(8), warmup=3)),
        Case("without warm-up", 1, "The first step has the initial rate, and half way down is half of it.",
             lambda rng: rates("Cosine", (0.4, 10), (0, 1, 5, 9, 10))),
        Case("long after the end", 1, "A cosine that goes on would climb again, and undo what was learned.",
             lambda rng: rates("Cosine", (0.3, 10), (10, 15, 20, 1000), final=0.05)),
        Case("other numbers", 1, "The final rate is the floor of the whole curve, not only its end.", hidden=True,
             draw=lambda rng: rates("Cosine", (rng.uniform(0.1, 1), int(rng.integers(50, 90))), rng.integers(0, 99, 12).tolist(),
                                    final=0.01, warmup=int(rng.integers(5, 20)))),
        Case("almost nothing but warm-up", 1, "The first rate must not be zero: that would be a step for nothing.", hidden=True,
             draw=lambda rng: rates("Cosine", (2.0, 5), range(7), warmup=4)),
    ),
    hints=(
        "Three stretches: before `warmup`, up to `steps`, and afterwards. What share of the way is done in each?",
        "While warming up, step k has (k + 1) / (warmup + 1) of the initial rate. Afterwards the share p runs from 0 at step "
        "`warmup` to 1 at step `steps`, and stays there.",
        "Section *Schedules* of {ref}`ch-optimizers`, {eq}`eq-optimizers-cosine`.",
    ),
    mutants=(
        Mutant("begins with nothing", ("self.initial * (step + 1) / (self.warmup + 1)", "self.initial * step / self.warmup"),
               "eight steps, three of them warm-up", 1),
        Mutant("climbs again", ("min(1.0, (step - self.warmup) / (self.steps - self.warmup))", "(step - self.warmup) / (self.steps - self.warmup)"),
               "long after the end", 1),
        Mutant("warm-up comes on top", ("(step - self.warmup) / (self.steps - self.warmup)", "(step - self.warmup) / self.steps"),
               "eight steps, three of them warm-up", 1),
        Mutant("the floor is added", ("(self.initial - self.final) * half_cosine", "self.initial * half_cosine"), "other numbers", 2),
        Mutant("a whole cosine", ("math.cos(math.pi * progress)", "math.cos(2 * math.pi * progress)"), "without warm-up", 2),
        Mutant("a straight line", ("(1.0 + math.cos(math.pi * progress)) / 2", "1.0 - progress"), "without warm-up", 2),
    ),
)

WARM_RESTARTS = Exercise(
    name="warm_restarts", kind="further", target="WarmRestarts", difficulty=2, minutes=30, expected=WarmRestarts,
    text="""*Warm restarts*: a cosine that begins again when it is done, each time `growth` times as long as before.
This is what Loshchilov and Hutter proposed the cosine for. Give it to `SGD` as its learning rate, keep a copy of the
parameters at the end of each cycle, and see whether the networks of different cycles make different mistakes.""",
    stub='''class WarmRestarts:
    """Half a cosine from `initial` down towards `final`, again and again.

    Parameters
    ----------
    initial, final : float
    steps : int
        The first cycle's length. Step 0 has the rate `initial`; step number `steps`
        begins the second cycle, at `initial` again.
    growth : int
        Each cycle is so many times as long as the one before.
    """

    def __init__(self, initial, steps, growth=1, final=0.0):
        """Keep the settings."""

    def __call__(self, step):
        """The learning rate of a step, counted from 0. Depends on nothing but the
        step."""
''',
    solution='''class WarmRestarts:
    """Half a cosine from `initial` down towards `final`, again and again."""

    def __init__(self, initial, steps, growth=1, final=0.0):
        self.cosine = lambda k, length: Cosine(initial, length, final)(k)
        self.steps, self.growth = steps, growth

    def __call__(self, step):
        start, length = 0, self.steps
        while step >= start + length:
            start, length = start + length, length * self.growth
        return self.cosine(step - start, length)
''',
    cases=(
        Case("three cycles of four", 1, "The jump up is what shakes the walker out of a hollow.",
             lambda rng: rates("WarmRestarts", (1.0, 4), range(12))),
        Case("each twice as long", 2, "Later cycles have more to refine.",
             lambda rng: rates("WarmRestarts", (0.5, 2), range(14), growth=2, final=0.1)),
        Case("in any order", 2, "A resumed run begins in the middle, and asks for the same step twice.", hidden=True,
             draw=lambda rng: rates("WarmRestarts", (0.8, 3), rng.permutation(60).tolist()[:20], growth=3)),
        Case("far on", 1, "No step is special but those where a cycle begins.", hidden=True,
             draw=lambda rng: rates("WarmRestarts", (rng.uniform(0.1, 1), 7), (699, 700, 701, 5000), final=0.02)),
    ),
    hints=(
        "Which cycle does the step belong to, and how many steps of that cycle have been taken?",
        "Take whole cycles away from the step for as long as there are any; each is `growth` times the last. What is left, "
        "over the length, is the share p of {eq}`eq-optimizers-cosine`.",
        "Section *Schedules* of {ref}`ch-optimizers`; `Cosine` can do the curve.",
    ),
    mutants=(
        Mutant("a restart too late", ("while step >= start + length:", "while step > start + length:"), "three cycles of four", 0),
        Mutant("no restart", ("while step >= start + length:", "while False:"), "three cycles of four", 0),
        Mutant("always as long", ("start, length = start + length, length * self.growth", "start, length = start + length, length"),
               "each twice as long", 1),
        Mutant("longer by as many steps", ("length * self.growth", "length + self.steps * (self.growth - 1)"), "in any order", 1),
        Mutant("counts from the very beginning", ("return self.cosine(step - start, length)", "return self.cosine(step, start + length)"),
               "three cycles of four", 1),
    ),
)

LION = Exercise(
    name="lion", kind="further", target="Lion", difficulty=3, minutes=45, expected=Lion,
    text="""*Lion* was found in 2023 by a program that searched for optimizers, and it is shorter than Adam. It keeps
one moving average $m$ and uses only a sign:

$$
c = \\beta_1 m + (1-\\beta_1)\\, g, \\qquad
w \\leftarrow w - \\eta\\,(\\operatorname{sign} c + \\lambda w), \\qquad
m \\leftarrow \\beta_2 m + (1-\\beta_2)\\, g ,
$$

where $\\lambda$ is the weight decay, and $w$ on the right is the old one. Mind the order, and that the two averages
have different decays. Write its `update`, which gets one block of the vectors at a time. Then enter it in the race of
this chapter.""",
    stub='''@dataclass(eq=False, repr=False)
class Lion(Optimizer):
    """The sign of a mixture of the gradient and its moving average.

    Parameters
    ----------
    learning_rate : float or callable
    beta1, beta2 : float
        How much of the average is in the mixture, and how much of it survives a step.

    And those of `Optimizer`; weight decay is decoupled, as in AdamW.
    """
    learning_rate: object = 0.0001
    beta1: float = 0.9
    beta2: float = 0.99

    state_names = ("m",)
    decoupled = True

    def update(self, w, g, lr, scratch, m, weight_decay):
        """Change w and m in place, by one step.

        Parameters
        ----------
        w, g, scratch, m : ndarray, shape (size,)
            `scratch` may be used for what has to be put somewhere; g is left alone.
        lr : float
        weight_decay : float or ndarray, shape (size,)
        """
''',
    solution='''@dataclass(eq=False, repr=False)
class Lion(Optimizer):
    """The sign of a mixture of the gradient and its moving average."""
    learning_rate: object = 0.0001
    beta1: float = 0.9
    beta2: float = 0.99

    state_names = ("m",)
    decoupled = True

    def update(self, w, g, lr, scratch, m, weight_decay):
        step = np.sign(self.beta1 * m + (1 - self.beta1) * g)
        step += weight_decay * w
        w -= lr * step
        moving_average(m, g, self.beta2, scratch)
''',
    cases=(
        Case("the first step", 1, "Every weight moves by the learning rate, whatever its gradient.",
             lambda rng, size=3: lion_steps(rng, size, 1, 0.1), modifies=("w",)),
        Case("three steps", 2, "The average of the past can outvote today's gradient.",
             lambda rng, size=3: lion_steps(rng, size, 3, 0.1), modifies=("w",)),
        Case("weight decay", 1, "It acts on the weight itself, and never gets into the average.", modifies=("w",),
             draw=lambda rng, size=3: lion_steps(rng, size, 2, 0.1, weight_decay=0.5)),
        Case("other decays", 2, "Mixture and average have different ones.", hidden=True, modifies=("w",),
             draw=lambda rng, size=6: lion_steps(rng, size, 8, 0.02, beta1=0.3, beta2=0.7, weight_decay=0.1)),
        Case("a silent gradient", 1, "The sign of zero is zero: a weight that nobody asks for stays.", hidden=True, modifies=("w",),
             draw=lambda rng: Script().given(w=np.array([1.0, -2.0])).make("opt", "Lion", 0.1)
             .call("opt.step", Ref("w"), np.zeros(2), keep=False).get("w")),
        Case("single precision", 1, "In place, and in the parameters' own type.", hidden=True, modifies=("w",),
             draw=lambda rng: lion_steps(rng, 9, 4, 0.01, dtype=np.float32, weight_decay=0.2)),
    ),
    hints=(
        "Three lines, three formulas. Which of them must see the old m, which the old w?",
        "Mix first and take the sign; add the decay of the old w; step; only then let the average move. `moving_average` does "
        "the last in place.",
        "Sections *An average that forgets* and *One class for all of them* of {ref}`ch-optimizers`; `AdamW.update` has the "
        "same arguments.",
    ),
    mutants=(
        Mutant("one decay for both", ("moving_average(m, g, self.beta2, scratch)", "moving_average(m, g, self.beta1, scratch)"), "the first step", 1),
        Mutant("the sign of today alone", ("np.sign(self.beta1 * m + (1 - self.beta1) * g)", "np.sign(g)"), "three steps", 0),
        Mutant("no sign", ("np.sign(self.beta1 * m + (1 - self.beta1) * g)", "self.beta1 * m + (1 - self.beta1) * g"), "the first step", 0),
        Mutant("the average moves first", ("        step = np.sign(", "        moving_average(m, g, self.beta2, scratch)\n        step = np.sign("),
               "the first step", 1),
        Mutant("no decay", ("        step += weight_decay * w\n", ""), "weight decay", 1),
        Mutant("decay without the rate", ("        w -= lr * step\n", "        w -= lr * (step - weight_decay * w) + weight_decay * w\n"), "weight decay", 1),
        Mutant("a new vector", ("w -= lr * step", "w = w - lr * step"), "the first step", 2),
    ),
)

LBFGS_DIRECTION = Exercise(
    name="lbfgs_direction", kind="further", target="lbfgs_direction", difficulty=4, minutes=120, expected=lbfgs_direction,
    text="""All rules of this chapter scale each weight by itself. Newton's method divides by the whole matrix of
curvatures, which is too large to write down. *L-BFGS* uses the last few steps $s$ and the changes $y$ of the gradient
along them, which know something about it, since $y \\approx Hs$. Start from $B = \\gamma I$, with $\\gamma = s^\\top
y / y^\\top y$ of the latest pair ($\\gamma = 1$ without any), and let each pair, the oldest first, improve this guess
of the inverse:

$$
B \\leftarrow (I - \\rho\\, s y^\\top)\\, B\\, (I - \\rho\\, y s^\\top) + \\rho\\, s s^\\top, \\qquad \\rho = 1 / (s^\\top y) .
$$

Compute $B g$ without ever making a matrix: numbers and vectors are enough.""",
    stub='''def lbfgs_direction(g, steps, changes):
    """An estimate of the inverse curvature times the gradient, by the two loops of
    L-BFGS.

    Parameters
    ----------
    g : ndarray, shape (size,)
        The gradient. Left alone.
    steps, changes : list of ndarray, shape (size,)
        What was added to the parameters, and what that did to the gradient; the oldest
        first. Equally many, perhaps none; the product of each pair is positive. Left
        alone.

    Returns
    -------
    ndarray, shape (size,)
        A new vector. The step to take is against it. Its cost grows with the number of
        pairs times the size.
    """
''',
    solution='''def lbfgs_direction(g, steps, changes):
    """An estimate of the inverse curvature times the gradient, by the two loops of L-BFGS."""
    direction, shares = g.copy(), []
    for s, y in zip(reversed(steps), reversed(changes)):
        share = np.dot(s, direction) / np.dot(s, y)
        direction -= share * y
        shares.append(share)
    if steps:
        latest = changes[-1]
        direction *= np.dot(steps[-1], latest) / np.dot(latest, latest)
    for s, y, share in zip(steps, changes, reversed(shares)):
        direction += (share - np.dot(y, direction) / np.dot(s, y)) * s
    return direction
''',
    cases=(
        Case("no pairs yet", 1, "The first step is gradient descent.", lambda rng, size=3: call("lbfgs_direction", *pairs(rng, size, 0))),
        Case("one pair", 2, "Along the step that was taken the curvature is known now.",
             lambda rng, size=3: call("lbfgs_direction", *pairs(rng, size, 1))),
        # The bowl's condition number is some hundreds at these sizes; rounding grows with it.
        Case("three pairs", 2, "The latest pair has the last word.", rtol=1e-5, atol=1e-8,
             draw=lambda rng, size=4: call("lbfgs_direction", *pairs(rng, size, 3))),
        Case("many numbers, few pairs", 2, "235,146 parameters, and no matrix.", hidden=True, rtol=1e-5, atol=1e-8,
             draw=lambda rng: call("lbfgs_direction", *pairs(rng, 12, 5))),
        Case("a latest step seen backwards", 2, "What the pairs say about their own change is exact: it gives back the step.", hidden=True, rtol=1e-5, atol=1e-8,
             draw=lambda rng: (lambda g, s, y: call("lbfgs_direction", y[-1].copy(), s, y))(*pairs(rng, 5, 3))),
    ),
    hints=(
        "Multiply B g out from the right for one pair: what is (I - ρ y sᵀ) g? It takes one product of vectors.",
        "Going back from the latest pair to the oldest, keep a = ρ sᵀq and take a y from q. Scale by γ. Going forward again, add "
        "(a - ρ yᵀq) s, with the a of that pair.",
        "Section *Long valleys* of {ref}`ch-optimizers` for what it is good for; Nocedal and Wright, *Numerical Optimization*, "
        "section 7.2, for the two loops.",
    ),
    mutants=(
        Mutant("the gradient is overwritten", ("g.copy()", "g"), "one pair", 0),
        Mutant("oldest first on the way back", ("zip(reversed(steps), reversed(changes))", "zip(steps, changes)"), "three pairs", 1),
        Mutant("shares in the wrong order", ("zip(steps, changes, reversed(shares))", "zip(steps, changes, shares)"), "three pairs", 1),
        Mutant("not scaled", ("        direction *= np.dot(steps[-1], latest) / np.dot(latest, latest)\n", "        pass\n"), "one pair", 1),
        Mutant("scaled by the oldest", ("latest = changes[-1]", "steps, changes = steps[::-1], changes[::-1]\n        latest = changes[-1]"), "three pairs", 2),
        Mutant("one loop only", ("direction += (share - np.dot(y, direction) / np.dot(s, y)) * s", "direction += share * s"), "one pair", 1),
    ),
)

EXERCISES = [MOMENTUM_STEP, ADAM_STEP, CLIP_BY_NORM, COSINE, WARM_RESTARTS, LION, LBFGS_DIRECTION]

QUESTIONS = [
    Question(
        "You train a network in minibatches of 64, and a friend with four machines in minibatches of 256 of the same digits. "
        "Whose gradients are longer, on average? Whose steps are, with SGD and with Adam at the same learning rate?",
        "The gradient of a minibatch is the true one plus noise, and the noise's variance falls as one over the batch size. So "
        "the expected square of the length is $\\lVert g\\rVert^2 + V/n$: longer for 64, a little where the true gradient "
        "dominates, at the start, and up to twice as long late in the training, where nearly all is noise. With SGD the step "
        "is the gradient times the rate, so yours are longer and more of each is wasted. Adam divides by a root mean square "
        "that contains the same noise: where noise dominates, $m/\\sqrt s$ has the size of the noise left in the average $m$ "
        "over that in one gradient, which does not depend on $n$, so steps are about equally long. That is why the rule of "
        "proportional learning rates for larger batches is one for SGD, and why for Adam the root of the batch size is often a "
        "better guess."),
    Question(
        "Plain SGD multiplies each distance in a bowl by $1-\\eta\\lambda$. Somebody adds weight decay of strength $\\alpha$ "
        "to the gradient. Which curvatures does the walker feel now, where does it end up, and what happens to a weight that "
        "the loss does not depend on?",
        "The gradient becomes $\\lambda (w - w^*) + \\alpha w$, which is a bowl of curvature $\\lambda + \\alpha$ with its "
        "minimum at $w^* \\lambda / (\\lambda + \\alpha)$. So every curvature is larger by $\\alpha$: the limit on the "
        "learning rate is slightly lower, $2/(\\lambda_{\\max} + \\alpha)$, and the flattest directions, which were the "
        "slowest, are now at least as fast as $1 - \\eta\\alpha$; the condition number is smaller. Where the loss is steep "
        "compared with $\\alpha$ the minimum hardly moves; in flat directions it is pulled to zero. A weight the loss does not "
        "depend on has $\\lambda = 0$ and shrinks by $1-\\eta\\alpha$ every step until nothing is left of it. In Adam the same "
        "term would be divided by the root of its own square, so that this weight would shrink by $\\eta$ a step, whatever "
        "$\\alpha$: the reason for AdamW."),
    Question(
        "Clipping by norm keeps the direction of a gradient, clipping by value does not. Yet with a momentum or with Adam "
        "behind it, neither bounds the step in the way it seems to. How long can the step be in each case?",
        "With plain SGD a gradient of length at most $c$ gives a step of at most $\\eta c$. With momentum $\\mu$ the velocity "
        "is a sum over the past, so if all clipped gradients agree it grows to $c/(1-\\mu)$: at 0.9 ten times as long. Adam "
        "divides by the size of the gradients it has seen, so the scale cancels. A constant gradient clipped to any limit "
        "gives the same steps of about $\\eta$ a weight; a limit only matters relative to the usual length. What clipping does "
        "for Adam is to keep one huge gradient out of $s$, which remembers about a thousand steps and would make all of them "
        "short afterwards. The length of one step stays bounded by $\\eta$ times the root of the number of weights, up to a "
        "factor for rare large gradients after many small ones."),
]
