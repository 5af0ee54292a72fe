"""The exercises of the chapter on skips and feedback: where roads meet, crossing arrows, loops, and a network at rest."""

import math
from functools import cache

import numpy as np

from course.classroom.exercise import Case, Exercise, Made, Mutant, Question, Ref, Script, call


# Further exercises bring their own reference: plain Python, floats and loops.

def gate_backward(dy, x, f, g):
    """Number by number; a gate that serves several neurons is asked by each of them."""
    dx, df, dg = np.zeros(np.shape(dy)), np.zeros(np.shape(dy)), np.zeros(np.shape(g))
    for k, n in np.ndindex(np.shape(dy)):
        row = k if len(g) > 1 else 0
        slope, gate = float(dy[k, n]), float(g[row, n])
        dx[k, n], df[k, n] = slope - gate * slope, gate * slope
        dg[row, n] += slope * float(f[k, n]) - slope * float(x[k, n])
    return dx, df, dg


def count_roads(count, arrows):
    """How many roads from a place to the output pass so many layers: ask the next places."""
    @cache
    def roads(place, layers):
        if layers < 0:
            return 0
        ends = int(layers == 0) if place == count else roads(place + 1, layers - 1)
        return ends + sum(roads(stop, layers) for start, stop in arrows if start == place)
    return [roads(0, m) for m in range(count + 1)]


def at_rest(W, x, dy):
    """Let it run until nothing moves; then one equation for every neuron, solved by elimination."""
    n, batch = np.shape(x)
    W = np.asarray(W, float).tolist()
    y_all, dx, dW = np.zeros((n, batch)), np.zeros((n, batch)), np.zeros((n, n))
    for s in range(batch):
        y, moved = [0.0] * n, 1.0
        while moved > 1e-14:
            u = [float(x[k, s]) + y[k] for k in range(n)]
            new = [math.tanh(math.fsum(W[j][k] * u[k] for k in range(n))) for j in range(n)]
            y, moved = new, max(abs(a - b) for a, b in zip(new, y))
        slope = [1 - v * v for v in y]
        # total gradient t of y:  t_k - sum_j W_jk slope_j t_j = dy_k
        t = solve([[float(j == k) - W[j][k] * slope[j] for j in range(n)] + [float(dy[k, s])] for k in range(n)])
        for k in range(n):
            y_all[k, s], dx[k, s] = y[k], t[k] - float(dy[k, s])
            for j in range(n):
                dW[j, k] += slope[j] * t[j] * (float(x[k, s]) + y[k])
    return y_all, dx, dW


def solve(rows):
    """Gaussian elimination, the largest pivot first."""
    size = len(rows)
    for k in range(size):
        best = max(range(k, size), key=lambda s: abs(rows[s][k]))
        rows[k], rows[best] = rows[best], rows[k]
        for s in range(k + 1, size):
            factor = rows[s][k] / rows[k][k]
            rows[s] = [a - factor * b for a, b in zip(rows[s], rows[k])]
    found = [0.0] * size
    for k in reversed(range(size)):
        found[k] = (rows[k][-1] - math.fsum(rows[k][t] * found[t] for t in range(k + 1, size))) / rows[k][k]
    return found


# What is drawn.

def numbers(rng, *shape, dtype=np.float64):
    """Random numbers."""
    return rng.normal(size=shape).astype(dtype)


def several(rng, count, *shape, dtype=np.float64):
    """So many random arrays of one shape."""
    return [numbers(rng, *shape, dtype=dtype) for _ in range(count)]


def met(rng, count, how, *shape, dtype=np.float64):
    """merge_backward for values of one shape."""
    return call("merge_backward", numbers(rng, *shape, dtype=dtype), several(rng, count, *shape, dtype=dtype), how)


def dense(units, **settings):
    """A dense layer, made where the script is run."""
    return Made("nnlib.dense.Dense", units, **settings)


def tanh():
    """A tanh, made where the script is run."""
    return Made("nnlib.activations.Tanh")


def wired(rng, kind, layers, sample, shapes, dtype=np.float64, **settings):
    """A script in which `block` is a Skips or a Feedback with given parameters, and gradients full of nines."""
    given = {name: 0.7 * numbers(rng, *shape, dtype=dtype) for name, shape in shapes.items()}
    slopes = {f"d{name}": np.full(shape, 9, dtype) for name, shape in shapes.items()}
    return (Script().given(**given, **slopes).make("block", kind, *layers, **settings).call("block.build", sample, keep=False)
            .call("block.bind", {n: Ref(n) for n in shapes}, {n: Ref(f"d{n}") for n in shapes}, keep=False))


def forth(script, rng, *shape, dtype=np.float64, **kwargs):
    """One forward more."""
    return script.call("block.forward", numbers(rng, *shape, dtype=dtype), **kwargs)


def back(script, rng, *shape, dtype=np.float64, **kwargs):
    """One backward more."""
    return script.call("block.backward", numbers(rng, *shape, dtype=dtype), **kwargs)


def slopes_of(script, *names):
    """Look at gradients."""
    for name in names:
        script.get(f"d{name}")
    return script


W1, W2 = {"dense1.W": (2, 2), "dense1.b": (2, 1)}, {"dense2.W": (2, 2), "dense2.b": (2, 1)}
D1, D2 = tuple(f"d{name}" for name in W1), tuple(f"d{name}" for name in W2)


def crossing(rng, how="add", dtype=np.float64):
    """The chapter's four layers with three arrows, two of which cross."""
    return wired(rng, "Skips", (dense(2), tanh(), dense(2), tanh()), (2,), {**W1, **W2}, dtype, arrows=[(0, 2), (1, 3), (0, 4)], how=how)


def fed(rng, shapes, layers=None, sample=(2,), dtype=np.float64, **settings):
    """A Feedback of a dense layer and a tanh, or of other layers."""
    return wired(rng, "Feedback", layers or (dense(2), tanh()), sample, shapes, dtype, **settings)


def resting(rng, units, batch, stretch=0.7):
    """at_rest for weights that stretch no vector by more than that."""
    W = numbers(rng, units, units)
    return call("at_rest", stretch * W / np.linalg.norm(W, 2), numbers(rng, units, batch), numbers(rng, units, batch))


MERGE_SHAPES = Exercise(
    name="merge_shapes", kind="build", target="merge_shapes", difficulty=1, minutes=15,
    cases=(
        Case("equal shapes", 1, "Most roads meet like this.",
             lambda rng: Script().call("merge_shapes", [(3, 8), (3, 8)], "add").call("merge_shapes", [(4, 7, 7)] * 3, "mean")),
        Case("one after the other", 1, "New channels go behind the old ones.",
             lambda rng: Script().call("merge_shapes", [(2, 7, 5), (3, 7, 5)], "concatenate").call("merge_shapes", [(4,), (1,), (5,)], "concatenate")),
        Case("the last is kept", 1, "What is not looked at may have any shape.",
             lambda rng: call("merge_shapes", [(2, 7, 5), (9,)], "overwrite")),
        Case("a column and a row", 1, "NumPy would stretch these until they fit, and nobody would notice.",
             lambda rng: call("merge_shapes", [(1, 8), (3, 8)], "subtract"), raises="ShapeError"),
        Case("a word that is not in the list", 1, "A spelling mistake must not mean something.", hidden=True,
             draw=lambda rng: call("merge_shapes", [(2, 3), (2, 3)], "sum"), raises="ValueError"),
        Case("maps of different size behind each other", 1, "Channels may differ in number, not in size.", hidden=True,
             draw=lambda rng: call("merge_shapes", [(2, 7, 5), (2, 7, 5), (3, 7, 4)], "concatenate"), raises="ShapeError"),
        Case("the third is different", 1, "It is not enough to look at the first two.", hidden=True,
             draw=lambda rng: call("merge_shapes", [(5, 4), (5, 4), (5, 3)], "multiply"), raises="ShapeError"),
    ),
    hints=(
        "Which axes may differ, for which way? Take that apart before you look at any shape.",
        "Check the word first. Overwriting asks for nothing. All others want the axes behind the first to be equal; all but concatenation want the first "
        "axes equal too, and concatenation adds them.",
        "Section *Where roads meet* of {ref}`ch-skips-and-feedback`, {eq}`eq-skips-ways`.",
    ),
    mutants=(
        Mutant("concatenation, too, keeps the first", ("(sum(first) if how == \"concatenate\" else first[0],", "(first[0],"), "one after the other", 1),
        Mutant("concatenation wants equal first axes", ("(how != \"concatenate\" and len(set(first)) > 1)", "len(set(first)) > 1"),
               "one after the other", 1),
        Mutant("the first is kept", ("return tuple(shapes[-1])", "return tuple(shapes[0])"), "the last is kept", 0),
        Mutant("overwriting wants equal shapes", ("    if how == \"overwrite\":\n        return tuple(shapes[-1])\n", ""), "the last is kept", 1),
        Mutant("the first axis does not count", ("(how != \"concatenate\" and len(set(first)) > 1)", "False"), "a column and a row", 1),
        Mutant("any word will do", ("    check_way(how)\n", ""), "a word that is not in the list", 1),
        Mutant("two are enough", ("{tuple(shape[1:]) for shape in shapes}", "{tuple(shape[1:]) for shape in shapes[:2]}"), "the third is different", 0),
    ),
)

MERGE = Exercise(
    name="merge", kind="build", target="merge", difficulty=1, minutes=20,
    cases=(
        Case("add, subtract", 1, "All others are subtracted from the first; the order in which roads arrive counts.",
             lambda rng, size=2: Script().call("merge", several(rng, 3, size, size), "add").call("merge", several(rng, 3, size, size), "subtract")),
        Case("multiply, mean", 1, "A mean of three is divided by three.",
             lambda rng, size=2: Script().call("merge", several(rng, 3, size, size), "multiply").call("merge", several(rng, 3, size, size), "mean")),
        Case("concatenate, overwrite", 1, "One way keeps everything, one way the last only.",
             lambda rng: Script().call("merge", [numbers(rng, 1, 2), numbers(rng, 2, 2)], "concatenate").call("merge", several(rng, 2, 2, 1), "overwrite")),
        Case("a row and a column", 1, "NumPy would make a table of them.",
             lambda rng: call("merge", [numbers(rng, 1, 3), numbers(rng, 2, 3)], "add"), raises="ShapeError"),
        Case("a road alone", 1, "Where only one arrives there is nothing to compute.", hidden=True,
             draw=lambda rng: Script().call("merge", several(rng, 1, 2, 3), "subtract").call("merge", several(rng, 1, 2, 3), "mean")
             .call("merge", several(rng, 1, 2, 3), "concatenate")),
        Case("four images, the result into out", 2, "A block writes into an array that it keeps.", hidden=True, modifies=("out", "long"),
             draw=lambda rng: Script().given(out=np.full((2, 3, 4, 2), 9.0), long=np.full((3, 4), 9.0))
             .call("merge", several(rng, 4, 2, 3, 4, 2), "mean", out=Ref("out"), keep=False).get("out")
             .call("merge", several(rng, 3, 2, 3, 4, 2), "subtract", out=Ref("out"), keep=False).get("out")
             .call("merge", several(rng, 3, 1, 4), "concatenate", out=Ref("long"), keep=False).get("long")),
        Case("roads in single precision", 1, "The mean of float32 is float32.", hidden=True,
             draw=lambda rng: Script().call("merge", several(rng, 3, 2, 4, dtype=np.float32), "mean")
             .call("merge", several(rng, 2, 2, 4, dtype=np.float32), "multiply")),
    ),
    hints=(
        "Four of the ways need two at a time, again and again. What do they have in common, and what differs?",
        "`np.add`, `np.subtract` and `np.multiply` all take two arrays and `out`. The mean adds, and multiplies by 1/n at the end. `np.concatenate` "
        "takes `out` too. Nothing that arrived may be changed.",
        "Section *Where roads meet* of {ref}`ch-skips-and-feedback`, {eq}`eq-skips-ways`.",
    ),
    mutants=(
        Mutant("works in the first array", ("y = combine(y, value, out=out)", "y = combine(y, value, out=y)"), "add, subtract", 1),
        Mutant("the first from the others", ("{\"subtract\": np.subtract,", "{\"subtract\": lambda a, b, out: np.subtract(b, a, out=out),"), "add, subtract", 0),
        Mutant("half of three", ("1.0 / len(values)", "0.5"), "multiply, mean", 1),
        Mutant("side by side", ("np.concatenate(values, out=out)", "np.concatenate(values, axis=-1, out=out)"), "concatenate, overwrite", 2),
        Mutant("the first is kept", ("        return values[-1]", "        return values[0]"), "concatenate, overwrite", 2),
        Mutant("stretched until it fits", ("merge_shapes([np.shape(value) for value in values], how)", "check_way(how)"), "a row and a column", 2),
        Mutant("a list is widened", ("y = values[0]\n", "y = values[0].astype(np.float64)\n"), "roads in single precision", 1),
        Mutant("a new array for the mean", ("return np.multiply(y, 1.0 / len(values), out=out) if how == \"mean\" else y",
               "return y * np.float32(1.0 / len(values)) if how == \"mean\" else y"), "four images, the result into out", 1),
    ),
)

MERGE_BACKWARD = Exercise(
    name="merge_backward", kind="build", target="merge_backward", difficulty=2, minutes=25,
    cases=(
        Case("add, mean", 1, "Who was added is to blame in full, who was one of three for a third.",
             lambda rng, size=2: Script().call("merge_backward", numbers(rng, size, 1), several(rng, 3, size, 1), "add")
             .call("merge_backward", numbers(rng, size, 1), several(rng, 3, size, 1), "mean")),
        Case("subtract", 1, "The first one counts in one direction, all others in the other.",
             lambda rng, size=2: met(rng, 3, "subtract", size, size)),
        Case("a product of three", 1, "Each is multiplied by all the others.",
             lambda rng, size=2: met(rng, 3, "multiply", size, size)),
        Case("a gate that is shut", 2, "With a zero among the factors, dividing the product by the factor gives no number at all.",
             lambda rng: call("merge_backward", numbers(rng, 2, 2), [np.array([[0.0, 1.0], [2.0, 0.0]]), numbers(rng, 2, 2)], "multiply")),
        Case("concatenate", 1, "Everyone gets back their own rows.",
             lambda rng: call("merge_backward", numbers(rng, 4, 2), [numbers(rng, 1, 2), numbers(rng, 3, 2)], "concatenate")),
        Case("the rest was in vain", 1, "What was overwritten has a gradient, of zeros, in its own shape.", hidden=True,
             draw=lambda rng: call("merge_backward", numbers(rng, 2, 3), [numbers(rng, 4, 3), numbers(rng, 1, 2), numbers(rng, 2, 3)], "overwrite")),
        Case("three maps of other depth", 1, "Channels are cut where they were joined.", hidden=True,
             draw=lambda rng: call("merge_backward", numbers(rng, 7, 2, 3, 2), [numbers(rng, n, 2, 3, 2) for n in (2, 4, 1)], "concatenate")),
        Case("somebody alone", 1, "A place where only one road ends hands its gradient back unchanged.", hidden=True,
             draw=lambda rng: Script().call("merge_backward", numbers(rng, 2, 3), several(rng, 1, 2, 3), "multiply")
             .call("merge_backward", numbers(rng, 2, 3), several(rng, 1, 2, 3), "subtract")),
        Case("five of single precision", 1, "Python's own numbers must not widen the arrays.", hidden=True,
             draw=lambda rng: Script().call("merge_backward", numbers(rng, 3, 2, dtype=np.float32), several(rng, 5, 3, 2, dtype=np.float32), "mean")
             .call("merge_backward", numbers(rng, 3, 2, dtype=np.float32), several(rng, 4, 3, 2, dtype=np.float32), "multiply")),
    ),
    hints=(
        "Nudge one of those that arrived by a little. By how much does what comes out move?",
        "The table in the chapter, row by row. For a product leave the one out that you are at, and multiply the others with dy. `np.split` wants the places of the "
        "cuts, which are running sums of lengths.",
        "The table in section *Where roads meet* of {ref}`ch-skips-and-feedback`, and the paragraph below it.",
    ),
    mutants=(
        Mutant("divided instead of left out", ("functools.reduce(np.multiply, values[:i] + values[i + 1:], dy)",
               "functools.reduce(np.multiply, values, dy) / values[i]"), "a gate that is shut", 1),
        Mutant("multiplied by oneself", ("functools.reduce(np.multiply, values[:i] + values[i + 1:], dy)", "dy * values[i]"), "a product of three", 1),
        Mutant("the mean's n forgotten", ("[dy * (1.0 / n)] * n", "[dy] * n"), "add, mean", 0),
        Mutant("no minus", ("-dy if how == \"subtract\" else dy", "dy"), "subtract", 0),
        Mutant("minus for all", ("return [dy] + [-dy if how == \"subtract\" else dy] * (n - 1)",
               "return [-dy if how == \"subtract\" else dy] * n"), "subtract", 0),
        Mutant("equal parts", ("np.split(dy, np.cumsum([len(value) for value in values[:-1]]))", "np.split(dy, n)"), "concatenate", 1),
        Mutant("cut at the lengths", ("np.cumsum([len(value) for value in values[:-1]])", "[len(value) for value in values[:-1]]"),
               "three maps of other depth", 1),
        Mutant("the first was kept", ("[np.zeros_like(value) for value in values[:-1]] + [dy]", "[dy] + [np.zeros_like(value) for value in values[1:]]"),
               "the rest was in vain", 2),
    ),
)

SKIPS = Exercise(
    name="skips", kind="build", target="Skips.forward", also=("Skips.backward",), difficulty=4, minutes=120,
    cases=(
        Case("a road around one layer", 1, "What went in comes out again, with a change.",
             lambda rng, size=2: forth(wired(rng, "Skips", (dense(2),), (2,), W1, arrows=[(0, 1)]), rng, 2, size)),
        Case("and back", 2, "The gradient arrives twice, once through the layer and once around.", modifies=D1,
             draw=lambda rng, size=2: slopes_of(back(forth(wired(rng, "Skips", (dense(2),), (2,), W1, arrows=[(0, 1)]), rng, 2, size, keep=False),
                                                     rng, 2, size), *W1)),
        Case("arrows that cross", 1, "An arrow brings what *entered* its first layer, not what came out.",
             lambda rng: forth(crossing(rng), rng, 2, 1)),
        Case("back where arrows cross", 2, "A place collects what comes back from all who used it, before it hands anything on.", modifies=D1 + D2,
             draw=lambda rng: slopes_of(back(forth(crossing(rng), rng, 2, 1, keep=False), rng, 2, 1), *W1)),
        Case("an arrow with a layer of its own", 1, "A projection is part of the road, there and back.", modifies=("ddense1.W", "ddense2.W"),
             draw=lambda rng: slopes_of(back(forth(wired(rng, "Skips", (dense(3, bias=False),), (2,), {"dense1.W": (3, 2), "dense2.W": (3, 2)},
                                                         arrows=[(0, 1, dense(3, bias=False))]), rng, 2, 2), rng, 3, 2), "dense1.W", "dense2.W")),
        Case("nobody below, weights all the same", 2, "The input's gradient may be left out, that of the weights may not.", modifies=D1 + D2,
             draw=lambda rng: slopes_of(back(forth(crossing(rng), rng, 2, 2, keep=False), rng, 2, 2, need_dx=False), *W1, *W2)),
        Case("three meet in a product", 2, "Where values are multiplied, gradients are handed out by the values of the others.", hidden=True, modifies=D1 + D2,
             draw=lambda rng: slopes_of(back(forth(wired(rng, "Skips", (dense(2), tanh(), dense(2)), (2,), {**W1, **W2},
                                                         arrows=[(1, 3), (0, 3), (0, 2)], how="multiply"), rng, 2, 3), rng, 2, 3), *W1, *W2)),
        Case("first what comes straight", 1, "A difference depends on who comes first.", hidden=True, modifies=D1,
             draw=lambda rng: back(forth(wired(rng, "Skips", (tanh(), dense(2)), (2,), W1, arrows=[(0, 2), (1, 2)], how="subtract"), rng, 2, 4), rng, 2, 4)),
        Case("maps behind maps", 1, "In a net in which everyone sees all before them, channels grow.", hidden=True, modifies=("ddense1.W", "ddense2.W"),
             draw=lambda rng: slopes_of(back(forth(wired(rng, "Skips", (dense(2, bias=False), dense(1, bias=False)), (3,),
                                                         {"dense1.W": (2, 3), "dense2.W": (1, 5)}, arrows=[(0, 1), (0, 2), (1, 2)], how="concatenate"),
                                                   rng, 3, 2), rng, 9, 2), "dense1.W", "dense2.W")),
        Case("a projection of the input, nobody below", 1, "The road from the very beginning has weights, and they want to learn.", hidden=True,
             modifies=("ddense1.W", "ddense2.W"),
             draw=lambda rng: slopes_of(back(forth(wired(rng, "Skips", (dense(3, bias=False),), (2,), {"dense1.W": (3, 2), "dense2.W": (3, 2)},
                                                         arrows=[(0, 1, dense(3, bias=False))]), rng, 2, 2, keep=False), rng, 3, 2, need_dx=False),
                                        "dense1.W", "dense2.W")),
        Case("two batches, one after the other", 1, "What the first left behind must not count for the second.", hidden=True, modifies=D1 + D2,
             draw=lambda rng: slopes_of(back(forth(back(forth(crossing(rng, "mean"), rng, 2, 5, keep=False), rng, 2, 5, keep=False), rng, 2, 3, keep=False),
                                             rng, 2, 3), *W1, *W2)),
        Case("back before there was a forth", 1, "A clear word saves an hour.", hidden=True, raises="RuntimeError",
             draw=lambda rng: back(crossing(rng), rng, 2, 1)),
    ),
    hints=(
        "Draw the chapter's picture for two layers and two arrows. Write at each place what enters it; then go from the right to the left with gradients.",
        "Forward, for each (stretch, roads) of `self.plan`: collect x and, for each arrow (i, road), what `forward_through` makes of what entered place i; "
        "`merge_into` the name `u0`, `u1`, ...; keep it; go on through the stretch. Remember what met, what entered, and the output as `self.y`. Backward, from "
        "the last place: through the stretch, add what arrows have left at this place, `merge_backward`, and send each share back along its road to where it began.",
        "Section *Skips that cross* of {ref}`ch-skips-and-feedback`, {eq}`eq-skips-forward` and {eq}`eq-skips-general-back`.",
    ),
    mutants=(
        Mutant("arrows bring what came last", ("self.kept[i], training)", "self.kept[-1], training)"), "arrows that cross", 0),
        Mutant("the straight road comes last", ("self.met.append([x] + [forward_through(parts[road], self.kept[i], training)\n"
               "                                   for i, road in roads])", "self.met.append([forward_through(parts[road], self.kept[i], training)\n"
               "                                   for i, road in roads] + [x])"), "first what comes straight", 1),
        Mutant("what arrows bring back is lost", ("[dy, *back[k]], \"add\")", "[dy], \"add\")"), "and back", 1),
        Mutant("brought back to the wrong place", ("back[i].append(", "back[k - 1].append("), "back where arrows cross", 1),
        Mutant("the projection is skipped on the way back", ("back[i].append(backward_through(parts[road], share, need_dx or i > 0))",
               "back[i].append(share)"), "an arrow with a layer of its own", 1),
        Mutant("gradients multiply where values did", ("[dy, *back[k]], \"add\")", "[dy, *back[k]], self.how)"), "three meet in a product", 0),
        Mutant("stops too early", ("            if k == 0 and not need_dx:", "            if not need_dx:"), "nobody below, weights all the same", 1),
        Mutant("asks for all the same", ("            if k == 0 and not need_dx:\n                return None\n", ""), "nobody below, weights all the same", 1),
    ),
)

FEEDBACK = Exercise(
    name="feedback_backward", kind="build", target="Feedback.backward", difficulty=3, minutes=60,
    cases=(
        Case("one weight, two runs", 2, "The weight is used twice, and to blame twice.", modifies=("ddense1.W",),
             draw=lambda rng: slopes_of(back(forth(fed(rng, {"dense1.W": (1, 1)}, (dense(1, bias=False),), (1,), times=2, how_out="overwrite"),
                                                   rng, 1, 1, keep=False), rng, 1, 1), "dense1.W")),
        Case("every run is heard", 2, "A run's output has two uses: the next run, and the end.", modifies=D1,
             draw=lambda rng, size=2: slopes_of(back(forth(fed(rng, W1, times=3), rng, 2, size, keep=False), rng, 2, size), *W1)),
        Case("scaled on its way", 2, "Halved each time it goes back through the loop, and nowhere else.", modifies=D1,
             draw=lambda rng: slopes_of(back(forth(fed(rng, W1, times=3, how_out="mean", gradient_scale=0.5), rng, 2, 1, keep=False), rng, 2, 1), *W1)),
        Case("nobody below the loop", 1, "The weights still have to learn in all runs.", modifies=D1,
             draw=lambda rng: slopes_of(back(forth(fed(rng, W1, times=3), rng, 2, 2, keep=False), rng, 2, 2, need_dx=False), *W1)),
        Case("the input first, what is fed back second", 1, "A difference tells who came first.", hidden=True, modifies=D1,
             draw=lambda rng: slopes_of(back(forth(fed(rng, W1, times=4, how_in="subtract", how_out="overwrite"), rng, 2, 3, keep=False), rng, 2, 3), *W1)),
        Case("weights of one's own", 2, "Nothing is shared, nothing added up.", hidden=True, modifies=tuple(f"d{t}.{n}" for t in (1, 2, 3) for n in W1),
             draw=lambda rng: slopes_of(back(forth(fed(rng, {f"{t}.{n}": s for t in (1, 2, 3) for n, s in W1.items()}, times=3, shared=False,
                                                       how_in="multiply", gradient_scale=0.8), rng, 2, 2, keep=False), rng, 2, 2),
                                        *(f"{t}.{n}" for t in (1, 2, 3) for n in W1))),
        Case("the input is forgotten", 1, "Without the input in every run, only the first one answers to it.", hidden=True, modifies=D1,
             draw=lambda rng: slopes_of(back(forth(fed(rng, W1, times=3, how_in="overwrite", how_out="add", gradient_scale=0.9), rng, 2, 3, keep=False),
                                             rng, 2, 3), *W1)),
        Case("nothing comes back", 1, "With a scale of zero each run learns for itself.", hidden=True, modifies=D1,
             draw=lambda rng: slopes_of(back(forth(fed(rng, W1, times=4, gradient_scale=0.0), rng, 2, 2, keep=False), rng, 2, 2), *W1)),
        Case("once more, in single precision", 1, "The second batch begins with gradients of its own.", hidden=True, modifies=D1,
             draw=lambda rng: slopes_of(back(forth(back(forth(fed(rng, W1, dtype=np.float32, times=2), rng, 2, 4, dtype=np.float32, keep=False),
                                                        rng, 2, 4, dtype=np.float32, keep=False), rng, 2, 3, dtype=np.float32, keep=False),
                                             rng, 2, 3, dtype=np.float32), *W1)),
    ),
    hints=(
        "Unroll it: three copies of the layers in a row, an arrow from the input to each, an arrow from each to the end. Go back from the right.",
        "`merge_backward` at the end gives every run its share. From the last run to the first: its share plus what the run behind it sent back; `run_back`; "
        "`merge_backward` of what had met in front. The first part belongs to the input, the second, scaled, to the run before. Collect the input's "
        "parts and add them. Without `need_dx` the first run still must be gone through.",
        "Section *Feedback blocks* of {ref}`ch-skips-and-feedback`, {eq}`eq-skips-feedback-back`.",
    ),
    mutants=(
        Mutant("the scale forgotten", ("slope * self.gradient_scale", "slope"), "scaled on its way", 1),
        Mutant("the scale on the input's part", ("shares.append(share)", "shares.append(share * self.gradient_scale)"), "scaled on its way", 1),
        Mutant("only the last run is heard", ("[ends[t], *back]", "(back or [ends[t]])"), "every run is heard", 0),
        Mutant("nothing goes back", ("[ends[t], *back]", "[ends[t]]"), "one weight, two runs", 0),
        Mutant("the input came to the first run only", ("shares.append(share)", "shares[:] = [share]"), "every run is heard", 1),
        Mutant("the parts exchanged", ("share, *back = merge_backward(", "*back, share = merge_backward("), "the input first, what is fed back second", 1),
        Mutant("no run asks below", ("need_dx or t > 0", "need_dx"), "nobody below the loop", 1),
        Mutant("the first run left out", ("            du = run_back(self, t, dy, need_dx or t > 0)\n            if t == 0 and not need_dx:\n                return None\n",
               "            if t == 0 and not need_dx:\n                return None\n            du = run_back(self, t, dy, need_dx or t > 0)\n"),
               "nobody below the loop", 1),
    ),
)

GATE = Exercise(
    name="gate_backward", kind="further", target="gate_backward", difficulty=1, minutes=15,
    text="""A *gate* decides how much of a change gets through: $y = g\\,f + (1-g)\\,x$, element by element, where $x$ came around, $f$ through the layer, and the
gate $g$, between 0 and 1, from a layer of its own (exercise 5, *A gate*). Sometimes a whole column of neurons has one gate in common. Write
the way back. What happens to the gradients where the gate is shut?""",
    stub='''def gate_backward(dy, x, f, g):
    """The gradients of x, f and g, where y = g f + (1 - g) x.

    Parameters
    ----------
    dy, x, f : ndarray, shape (units, batch)
        dy is the upstream gradient.
    g : ndarray, shape (units, batch) or (1, batch)
        (1, batch): all units have the same gate.

    Returns
    -------
    dx, df, dg : ndarray, shaped like x, f, g
        New arrays.
    """
''',
    solution='''def gate_backward(dy, x, f, g):
    """The gradients of x, f and g, where y = g f + (1 - g) x."""
    dg = dy * (f - x)
    if len(g) < len(dy):
        dg = dg.sum(axis=0, keepdims=True)
    return dy * (1 - g), dy * g, dg
''',
    expected=gate_backward,
    cases=(
        Case("a gate for each neuron", 1, "What the gate lets through of one, it keeps back of the other.",
             lambda rng, size=2: call("gate_backward", *several(rng, 3, size, size + 1), rng.uniform(0.1, 0.9, (size, size + 1)))),
        Case("one gate for all", 2, "Who serves many is asked by many.",
             lambda rng, size=2: call("gate_backward", *several(rng, 3, size + 1, size), rng.uniform(0.1, 0.9, (1, size)))),
        Case("open and shut", 1, "A gate that is shut can still learn to open.", hidden=True,
             draw=lambda rng: call("gate_backward", *several(rng, 3, 3, 2), np.array([[0.0, 1.0], [1.0, 0.0], [0.5, 0.0]]))),
        Case("a single neuron", 1, "Then each and all are the same, and nothing is to be added.", hidden=True,
             draw=lambda rng: call("gate_backward", *several(rng, 3, 1, 4), rng.uniform(0.1, 0.9, (1, 4)))),
        Case("gates in single precision", 1, "Ones and twos of Python's must not widen the arrays.", hidden=True,
             draw=lambda rng: call("gate_backward", *several(rng, 3, 4, 3, dtype=np.float32), rng.uniform(0.1, 0.9, (1, 3)).astype(np.float32))),
    ),
    hints=(
        "Three derivatives of one product and a half. Hold two of the letters still each time.",
        "dx = dy (1 - g), df = dy g, dg = dy (f - x). A gate that was used in every row collects the sum over the rows.",
        "Section *Where roads meet* of {ref}`ch-skips-and-feedback`, its margin note; the fourth rule of {ref}`ch-backpropagation`.",
    ),
    mutants=(
        Mutant("both roads get the same", ("dy * (1 - g), dy * g", "dy * g, dy * g"), "a gate for each neuron", 0),
        Mutant("the gate sees one side", ("dy * (f - x)", "dy * f"), "a gate for each neuron", 1),
        Mutant("x and f exchanged", ("dy * (1 - g), dy * g, dg", "dy * g, dy * (1 - g), dg"), "a gate for each neuron", 0),
        Mutant("a mean over the neurons", ("dg.sum(axis=0, keepdims=True)", "dg.mean(axis=0, keepdims=True)"), "one gate for all", 1),
        Mutant("nothing is collected", ("    if len(g) < len(dy):\n        dg = dg.sum(axis=0, keepdims=True)\n", ""), "one gate for all", 1),
        Mutant("summed over the batch", ("dg.sum(axis=0, keepdims=True)", "dg.sum(axis=1, keepdims=True)"), "one gate for all", 1),
    ),
)

COUNT_ROADS = Exercise(
    name="count_roads", kind="further", target="count_roads", difficulty=2, minutes=30,
    text="""Multiply out {eq}`eq-skips-product`, for any arrows, crossing ones too: how many roads lead from the input to the output, and how many layers
does each pass? Write a function that counts them, without walking along every one (forty blocks have more than $10^{12}$). Then draw the counts for 24
blocks, and weight each road by $0.3$ for each of its layers, as if every layer kept that share of the gradient: which roads count?""",
    stub='''def count_roads(count, arrows):
    """How many roads lead through a chain of layers with arrows, by their length.

    Parameters
    ----------
    count : int
        How many layers.
    arrows : list of (start, stop)
        From the input of layer start to the input of layer stop; that of layer number
        `count` is the output. An arrow that is there twice is two roads.

    Returns
    -------
    list of int
        Entry m says how many roads pass through exactly m layers, for m from 0 to count.
    """
''',
    solution='''def count_roads(count, arrows):
    """How many roads lead through a chain of layers with arrows, by their length."""
    ways = [[1] + [0] * count]
    for place in range(1, count + 1):
        straight = [0, *ways[place - 1][:-1]]
        arriving = [ways[start] for start, stop in arrows if stop == place]
        ways.append([sum(numbers) for numbers in zip(straight, *arriving)])
    return ways[count]
''',
    expected=count_roads,
    cases=(
        Case("no arrow, one arrow", 1, "A plain chain has one road, the longest.",
             lambda rng: Script().call("count_roads", 3, []).call("count_roads", 3, [(0, 3)])),
        Case("three blocks", 2, "Through or around, three times: 1, 3, 3, 1.",
             lambda rng: call("count_roads", 3, [(0, 1), (1, 2), (2, 3)])),
        Case("the chapter's picture", 2, "Nobody can take the second of two crossing arrows after the first.",
             lambda rng: call("count_roads", 4, [(0, 2), (1, 3), (0, 4)])),
        Case("forty blocks", 2, "Numbers of this size are not counted one by one.", hidden=True,
             draw=lambda rng: call("count_roads", 40, [(k, k + 1) for k in range(40)])),
        Case("many arrows, drawn", 2, "Side by side, inside each other, crossing, twice.", hidden=True,
             draw=lambda rng: call("count_roads", 9, 2 * [tuple(sorted(rng.choice(10, 2, replace=False).tolist())) for _ in range(7)] + [(0, 9), (0, 9)])),
        Case("everyone sees all before", 1, "In a net with all arrows that there can be.", hidden=True,
             draw=lambda rng: call("count_roads", 12, [(i, j) for i in range(12) for j in range(i + 1, 13)])),
    ),
    hints=(
        "How many roads lead to place k, if you know it for all places before k?",
        "Keep, for each place, a list by length. Straight on from place k - 1 every road is one layer longer, so the list moves by one; along an arrow it "
        "is not. Add what arrives.",
        "Section *A road around* of {ref}`ch-skips-and-feedback`, {eq}`eq-skips-product`, and its margin note.",
    ),
    mutants=(
        Mutant("an arrow passes a layer", ("[ways[start] for start", "[[0, *ways[start][:-1]] for start"), "no arrow, one arrow", 1),
        Mutant("the layer costs nothing", ("[0, *ways[place - 1][:-1]]", "ways[place - 1]"), "no arrow, one arrow", 1),
        Mutant("arrows begin behind their layer", ("ways[start] for start", "ways[min(start + 1, place - 1)] for start"), "the chapter's picture", 2),
        Mutant("twice is once", ("for start, stop in arrows", "for start, stop in set(map(tuple, arrows))"), "many arrows, drawn", 1),
        Mutant("one arrow a place", ("if stop == place]", "if stop == place][:1]"), "many arrows, drawn", 0),
    ),
)

AT_REST = Exercise(
    name="at_rest", kind="further", target="at_rest", difficulty=4, minutes=120,
    text="""A loop that runs until nothing moves is a layer without a number of runs: $y=\\tanh(W(x+y))$. Such a layer need not remember any run to go back. Its
gradient solves an equation, too, and that equation can be solved by a second loop, with the transposed Jacobian. Write both loops. A network
whose *only* hidden layer is of this kind can be trained with what you return.""",
    stub='''def at_rest(W, x, dy):
    """The fixed point y of y = tanh(W (x + y)), and the gradients through it.

    Parameters
    ----------
    W : ndarray of float64, shape (units, units)
        Stretches no vector by more than 0.95, so that there is one fixed point for each
        sample, and every start leads there.
    x, dy : ndarray of float64, shape (units, batch)
        Input, and upstream gradient of y at the fixed point.

    Returns
    -------
    y, dx : ndarray, shape (units, batch)
    dW : ndarray, shape (units, units)
        Summed over the samples. All three to about ten digits.
    """
''',
    solution='''def at_rest(W, x, dy):
    """The fixed point y of y = tanh(W (x + y)), and the gradients through it."""
    y, before = np.zeros_like(x), None
    while before is None or np.abs(y - before).max() > 1e-13:
        y, before = np.tanh(W @ (x + y)), y
    slope, largest = 1 - y**2, np.abs(dy).max()
    dx, before = np.zeros_like(x), None
    while before is None or np.abs(dx - before).max() > 1e-13 * largest:
        dx, before = W.T @ (slope * (dy + dx)), dx
    return y, dx, slope * (dy + dx) @ (x + y).T
''',
    expected=at_rest,
    cases=(
        # a loop may stop at ten digits, hence the tolerance on numbers near zero
        Case("one neuron", 2, "A geometric series: its sum is one over one minus the factor.", atol=1e-8,
             draw=lambda rng: call("at_rest", np.array([[0.5]]), np.array([[1.0]]), np.array([[1.0]]))),
        Case("some neurons, one sample", 2, "The way back goes through the transposed matrix, again and again.", atol=1e-8,
             draw=lambda rng, size=3: resting(rng, size, 1)),
        Case("a batch of neurons at rest", 2, "Each sample comes to rest elsewhere; the weights hear of all of them.", hidden=True, atol=1e-8,
             draw=lambda rng: resting(rng, 5, 4)),
        Case("a slow one", 2, "Near a factor of one it takes hundreds of runs.", hidden=True, atol=1e-7, rtol=1e-5,  # errors are multiplied by 1/(1 - 0.95)
             draw=lambda rng: call("at_rest", np.array([[0.95, 0.0], [0.0, -0.95]]), 1e-3 * numbers(rng, 2, 3), numbers(rng, 2, 3))),
        Case("two rotations", 1, "A loop may go round in circles on its way to rest.", hidden=True, atol=1e-8,
             draw=lambda rng: call("at_rest", 0.9 * np.array([[0.0, -1.0], [1.0, 0.0]]), numbers(rng, 2, 2), numbers(rng, 2, 2))),
    ),
    hints=(
        "Differentiate the equation y = f(x + y) itself: a small dx moves y, and y moves y.",
        "With slope = 1 - y²: the total gradient of y is t = dy + dx, and dx = Wᵀ(slope · t). That is a fixed point again; begin with dx = 0. Then "
        "dW = (slope · t)(x + y)ᵀ. How many runs? Until nothing moves by more than 10⁻¹³, not a number fixed beforehand.",
        "Section *Around and around* of {ref}`ch-skips-and-feedback`, {eq}`eq-skips-geometric`.",
    ),
    mutants=(
        Mutant("looks back one run", ("dx, before = W.T @ (slope * (dy + dx)), dx", "dx = before = W.T @ (slope * dy)"), "one neuron", 0),
        Mutant("a few runs", ("while before is None or np.abs(y - before).max() > 1e-13:", "for _ in range(8):"), "one neuron", 1),
        Mutant("a fixed number of runs", ("while before is None or np.abs(dx - before).max() > 1e-13 * largest:", "for _ in range(60):"), "a slow one", 1),
        Mutant("not transposed", ("W.T @ (slope", "W @ (slope"), "some neurons, one sample", 1),
        Mutant("the slope at the wrong number", ("1 - y**2", "1 - np.tanh(y)**2"), "one neuron", 1),
        Mutant("the weights met the input alone", ("(x + y).T", "x.T"), "one neuron", 1),
        Mutant("the weights hear dy alone", ("slope * (dy + dx) @", "slope * dy @"), "one neuron", 1),
    ),
)

EXERCISES = [MERGE_SHAPES, MERGE, MERGE_BACKWARD, SKIPS, FEEDBACK, GATE, COUNT_ROADS, AT_REST]

QUESTIONS = [
    Question(
        "Start the last layer of each residual block at exactly zero. The block then returns its input. Why does it learn at all? What about a block of "
        "two dense layers, with a ReLU between, that *both* start at zero, biases too?",
        "The output of the zero layer is zero, but its gradient is not: $\\mathrm{dW}=\\mathrm{dz}\\,u^\\top$, with the upstream gradient that comes over the sum and an input $u$ that "
        "came through layers with ordinary weights. So the last layer moves in the first step. The layers below it get $W^\\top\\mathrm{dz}=0$ in that step, and begin with the second. "
        "With two zero layers, the second has an input of zero, so its $\\mathrm{dW}$ is zero (only its bias gets a gradient); and the first gets "
        "$W^\\top\\mathrm{dz}=0$. Weights stay at zero for good: each waits for the other. The bias of the second learns, so that the block can add a "
        "constant, the same for every digit. Somebody must begin."),
    Question(
        "Take away one block of a trained residual network of 24 blocks, and one layer of a trained plain network of 24. What do you expect, and why does the formula with "
        "$2^K$ roads suggest it? What does it *not* prove?",
        "In the plain network there is one road, and it is cut: the layers behind get numbers such as they never saw, and the answers are about as good as guessing. In the residual "
        "network, half of the $2^{24}$ roads lead through any given block; without it the other half, $2^{23}$, is as it was. If a block changes the "
        "signal by little, what the later ones get is nearly what they are used to, and the network answers nearly as well. Veit and his colleagues found just that in "
        "photographs. It does not prove that roads vote independently of each other: all of them share the same layers, and everything behind the gap sees a "
        "changed input. Nor is it a law: a block where the shape changes, or one with large outputs, is missed badly."),
    Question(
        "Compare a loop of eight runs of `Dense(16)` and `Tanh()` with a chain of eight such pairs: parameters, multiplications, memory in training, and what happens to the "
        "gradient on its way back. Which functions can one of them compute and the other not?",
        "The loop has 272 parameters, the chain eight times as many. Multiplications and memory are the same: a sample passes through eight layers, and every "
        "run keeps its output for the way back. In the chain the gradient passes through eight different Jacobians, in the loop through eight with the same $W$ (and other slopes), so that a "
        "direction which $W$ stretches is stretched every time: it explodes or dies out more regularly, as powers do. With the input added in every "
        "run there also are short roads. Every function of the loop *without* the input (\"overwrite\") can be computed by the chain, with eight equal matrices. The "
        "reverse is not true. A loop that adds the input is no plain chain: it has arrows, and passes on what a chain may have lost."),
]
