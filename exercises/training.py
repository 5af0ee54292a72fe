"""The exercises of the chapter on training: a mean in parts, a loop that remembers, and what may be averaged."""

import math

import numpy as np

from course.classroom.exercise import Case, Exercise, Made, Mutant, Question, Ref, Script, call
from reference.losses import SoftmaxCrossEntropy
from reference.network import batch_last
from reference.training import accuracy

TANH = Made("nnlib.activations.Tanh")
CROSS_ENTROPY, SQUARED = Made("nnlib.losses.SoftmaxCrossEntropy"), Made("nnlib.losses.MeanSquaredError")


# What is drawn.

def network(rng, outputs=2, dtype=np.float64, script=None):
    """A network of 2 inputs, 3 tanh neurons and some outputs, with a drawn vector of parameters."""
    theta = rng.normal(size=9 + 4 * outputs).astype(dtype)
    return ((script or Script()).given(theta=theta)
            .make("network", "nnlib.network.Network", Made("nnlib.dense.Dense", 3), TANH, Made("nnlib.dense.Dense", outputs),
                  dtype=np.dtype(dtype).name)
            .call("network.build", 2, keep=False).call("network.__setattr__", "parameters", Ref("theta"), keep=False))


def points(rng, n, dtype=np.float64):
    """Samples and labels."""
    return {"images": rng.normal(size=(n, 2)).astype(dtype), "labels": rng.integers(0, 2, n)}


def gradient_of(rng, n, chosen, count, threads=1, dtype=np.float64):
    """The loss and the gradient of some samples, divided by a count."""
    script = network(rng, dtype=dtype).given(**points(rng, n, dtype))
    return (script.make("gradient", "MinibatchGradient", Ref("network"), CROSS_ENTROPY, Ref("images"), Ref("labels"), threads)
            .call("gradient", np.array(chosen), count).get("network.gradients")
            .call("gradient.__exit__", None, None, None, keep=False))


def fitted(rng, n, history, *, optimizer=Made("nnlib.optimizers.SGD", 0.3), validation=0, columns=("loss",), script=None, **options):
    """A run: columns of its history, and the parameters it ends with."""
    script = network(rng, script=script).given(**points(rng, n))
    if validation:
        data = points(rng, validation)
        script.given(held=data["images"], held_labels=data["labels"])
        options["validation"] = (Ref("held"), Ref("held_labels"))
    script.make("history", "fit", Ref("network"), Ref("images"), Ref("labels"), optimizer=optimizer, progress=False, **options)
    for column in columns:
        script.make(column, "history.__getitem__", column).call(f"{column}.tolist")
    return script.call("history.__len__").get("network.parameters") if history else script.get("network.parameters")


def overfitted(rng, patience):
    """The digits held back have the opposite labels: after the first epoch it gets only worse."""
    script = network(rng)
    x = rng.normal(size=(8, 2))
    y = (x[:, 0] > 0).astype(int)
    script.given(images=x, labels=y, held=x.copy(), held_labels=1 - y)
    return (script.make("history", "fit", Ref("network"), Ref("images"), Ref("labels"), optimizer=Made("nnlib.optimizers.SGD", 0.5),
                        epochs=9, batch_size=4, patience=patience, validation=(Ref("held"), Ref("held_labels")), progress=False)
            .call("history.__len__").get("network.parameters"))


def distinct(rng, n, classes):
    """Outputs of which no two are equal."""
    return rng.permutation(n * classes).reshape(n, classes) / 4.0


# References of those that `reference` has not: plain loops.

def parts(network, loss, images, labels, indices, count):
    """Each sample on its own: the sum of the losses, and the sum of the gradients over `count`."""
    total, gradient = 0.0, 0.0
    for i in indices:
        y = labels[i:i + 1] if np.ndim(labels) == 1 else np.moveaxis(labels[i:i + 1], 0, -1)
        total += loss.forward(network.forward(batch_last(images[i:i + 1])), y)
        network.backward(loss.backward())
        gradient = gradient + network.gradients / count
    network.gradients = gradient
    return total


class MinibatchGradient:
    """One sample after the other, whatever the number of threads."""

    def __init__(self, network, loss, images, labels, threads=1):
        self.network, self.loss, self.images, self.labels = network, loss, images, labels

    def __call__(self, indices, count):
        return parts(self.network, self.loss, self.images, self.labels, np.asarray(indices).tolist(), count)

    def __exit__(self, *error):
        pass


def evaluate(network, images, labels, loss=None, batch_size=256):
    """One prediction, one loss."""
    outputs = network.predict(images)
    if np.issubdtype(labels.dtype, np.integer):
        return {"loss": (loss or SoftmaxCrossEntropy()).forward(outputs.T, labels), "accuracy": accuracy(outputs, labels)}
    return {"loss": (loss or SoftmaxCrossEntropy()).forward(outputs.T, labels.T)}


class Table(dict):
    """Rows, of which columns can be had; as long as there are rows."""

    def __init__(self, rows):
        super().__init__({name: np.array([row[name] for row in rows]) for name in rows[0]})
        self.rows = rows

    def __len__(self):
        return len(self.rows)


def fit(network, images, labels, *, optimizer, loss=None, epochs=10, batch_size=64, validation=None, seed=0, accumulate=1, threads=1,
        patience=None, progress=True):
    """The loop with everything in sight; batch_size * accumulate samples are one minibatch."""
    loss, rows, best = loss or SoftmaxCrossEntropy(), [], (math.inf, network.parameters.copy(), 0)
    while len(rows) < epochs and not (patience and len(rows) - best[2] >= patience):
        order = np.random.default_rng([seed, len(rows) + 1]).permutation(len(images)).tolist()
        row, total, size = {"epoch": len(rows) + 1, "learning_rate": optimizer.rate}, 0.0, batch_size * accumulate
        for start in range(0, len(order), size):
            batch = order[start:start + size]
            total += parts(network, loss, images, labels, batch, len(batch))
            optimizer.step(network.parameters, network.gradients)
        row["loss"] = total / len(images)
        if validation:
            row |= {f"val_{name}": value for name, value in evaluate(network, *validation, loss).items()}
        rows.append(row)
        if row.get("val_loss", math.inf) < best[0]:
            best = (row["val_loss"], network.parameters.copy(), len(rows))
    if patience:
        network.parameters = best[1]
    return Table(rows)


def top_accuracy(outputs, labels, k):
    """Count who is ahead of the label's output."""
    right = 0
    for row, label in zip(outputs.tolist(), labels.tolist()):
        ahead = sum(value > row[label] or (value == row[label] and c < label) for c, value in enumerate(row))
        right += ahead < k
    return right / len(labels)


class WeightAverage:
    """Keep every vector, and weigh them when asked."""

    def __init__(self, decay):
        self.decay, self.seen, self.away = decay, [], None

    def note(self, parameters):
        self.seen.append(parameters.tolist())

    def value(self):
        shares = [self.decay ** (len(self.seen) - 1 - k) for k in range(len(self.seen))]
        return np.array([math.fsum(s * v for s, v in zip(shares, values)) / math.fsum(shares) for values in zip(*self.seen)])

    def swap(self, parameters):
        if self.away is None:
            self.away, new = parameters.copy(), self.value()
        else:
            new, self.away = self.away, None
        parameters[...] = new


def noise_scale(gradients):
    """Variances number by number; the mean's own noise is taken off its square."""
    n, variance, square = len(gradients), 0.0, 0.0
    for column in np.asarray(gradients, float).T.tolist():
        mean = math.fsum(column) / n
        variance += math.fsum((v - mean) ** 2 for v in column) / (n - 1)
        square += mean * mean
    square -= variance / n
    return variance / square if square > 0 else math.inf


ACCURACY = Exercise(
    name="accuracy", kind="build", target="accuracy", difficulty=1, minutes=10,
    cases=(
        Case("three classes", 1, "The loss is what we train on, this is what we wanted.",
             lambda rng, size=7: call("accuracy", distinct(rng, size, 3), rng.integers(0, 3, size))),
        Case("a tie", 1, "A network that knows nothing says the first class; it must not be right about all of them.",
             lambda rng: call("accuracy", np.array([[0.5, 0.5], [0.5, 0.5], [0.5, 0.5]]), np.array([0, 1, 0]))),
        Case("one label too few", 1, "Broadcasting compares everything with a single label, and calls the result an accuracy.",
             lambda rng: call("accuracy", distinct(rng, 3, 2), np.array([1])), raises="ShapeError"),
        Case("many samples, many classes", 1, "Samples come first, whatever the shape.", hidden=True,
             draw=lambda rng, size=60: call("accuracy", distinct(rng, size, 7), rng.integers(0, 7, size))),
        Case("nobody", 1, "The share of nothing is no number.", hidden=True,
             draw=lambda rng: call("accuracy", np.zeros((0, 3)), np.zeros(0, int)), raises="ShapeError"),
        Case("answers in place of outputs", 1, "Digits that were already chosen are not scores.", hidden=True,
             draw=lambda rng: call("accuracy", np.array([3, 1, 2]), np.array([3, 1, 2])), raises="ShapeError"),
    ),
    hints=(
        "Which class does each row name? How often is it the label's?",
        "`np.argmax` along the axis of the classes; compare; the mean of truths and falsehoods is the share of truths. Look at "
        "the shapes first.",
        "Section *How good is it?* of {ref}`ch-training`.",
    ),
    mutants=(
        Mutant("how many", ("np.mean(", "np.sum("), "three classes", 1),
        Mutant("down the column", ("float(np.mean(np.argmax(outputs, axis=1) == labels))",
                                   "float(np.mean(np.isin(np.argmax(outputs, axis=0), labels)))"), "three classes", 1),
        Mutant("the smallest", ("np.argmax(", "np.argmin("), "three classes", 0),
        Mutant("the last of equals", ("np.argmax(outputs, axis=1)", "(outputs.shape[1] - 1 - np.argmax(outputs[:, ::-1], axis=1))"), "a tie", 0),
        Mutant("a tie is right", ("np.mean(np.argmax(outputs, axis=1) == labels)",
                                  "np.mean(outputs[np.arange(len(labels)), labels] == outputs.max(axis=1))"), "a tie", 0),
        Mutant("any number of labels", ("len(outputs) != len(labels) or ", ""), "one label too few", 1),
    ),
)

MINIBATCH_GRADIENT = Exercise(
    name="minibatch_gradient", kind="build", target="MinibatchGradient.__call__", also=("MinibatchGradient.part",), difficulty=3, minutes=45,
    expected=MinibatchGradient,
    cases=(
        Case("three samples of five", 1, "The gradient of a minibatch is the mean of its samples' gradients.",
             lambda rng: gradient_of(rng, 5, [4, 0, 2], 3)),
        Case("two threads", 2, "Five samples do not divide by two; their gradient must not notice.",
             lambda rng: gradient_of(rng, 5, [0, 1, 2, 3, 4], 5, threads=2)),
        Case("a part of a larger whole", 2, "Whoever adds up parts divides each by the whole; with its own size the parts are too long.",
             lambda rng: gradient_of(rng, 4, [1, 3], 8)),
        Case("more threads than samples", 1, "The last minibatch of an epoch may be a single digit.", hidden=True,
             draw=lambda rng: gradient_of(rng, 6, [5, 2], 2, threads=3)),
        Case("three threads, seven samples, and again", 1, "The next minibatch overwrites the gradients of this one.", hidden=True,
             draw=lambda rng: gradient_of(rng, 9, list(range(7)), 7, threads=3)
             .make("again", "MinibatchGradient", Ref("network"), CROSS_ENTROPY, Ref("images"), Ref("labels"), 3)
             .call("again", np.array([8, 0, 8, 1]), 20).get("network.gradients").call("again.__exit__", None, None, None, keep=False)),
        Case("targets with several numbers", 1, "Samples come first in the data, last in the loss.", hidden=True,
             draw=lambda rng: network(rng, 3).given(images=rng.normal(size=(4, 2)), targets=rng.normal(size=(4, 3)))
             .make("gradient", "MinibatchGradient", Ref("network"), SQUARED, Ref("images"), Ref("targets"))
             .call("gradient", np.array([3, 1]), 2).get("network.gradients")),
        Case("single precision", 1, "Data of another type must not widen the network.", hidden=True,
             draw=lambda rng: gradient_of(rng, 8, list(range(8)), 8, threads=2, dtype=np.float32)),
    ),
    hints=(
        "What does one thread need to do with its samples, and by what is its gradient divided?",
        "`part`: batch last, forward with training=True, loss, and `loss.backward(count)`; it returns the *sum* of its "
        "samples' losses. `__call__`: `np.array_split`, leave out empty shares, submit all but the first to the pool, do the "
        "first, then add losses and the replicas' gradients in their order.",
        "Sections *A mean can be had in parts* and *One gradient, by one thread or by several* of {ref}`ch-training`.",
    ),
    mutants=(
        Mutant("forgets the count", ("loss.backward(count)", "loss.backward()"), "a part of a larger whole", 0),
        Mutant("the mean of the losses", ("return value * len(indices)", "return value"), "three samples of five", 1),
        Mutant("each divided by its own share", ("self.part(0, shares[0], count)", "self.part(0, shares[0], len(shares[0]))"), "two threads", 0),
        Mutant("the others' gradients are lost", ("            self.network.gradients += replica.gradients\n", ""), "two threads", 1),
        Mutant("the others' losses are lost", ("total += future.result()", "future.result()"), "two threads", 1),
        Mutant("empty shares", (" if len(s)]", "]"), "more threads than samples", 1),
        Mutant("the first samples, whichever were asked for", ("self.images[indices]", "self.images[:len(indices)]"), "three samples of five", 0),
    ),
)

EVALUATE = Exercise(
    name="evaluate", kind="build", target="evaluate", difficulty=2, minutes=20, expected=evaluate,
    cases=(
        Case("labels", 1, "Loss and accuracy say different things; a run needs both.",
             lambda rng, size=4: network(rng).given(**points(rng, size)).call("evaluate", Ref("network"), Ref("images"), Ref("labels"))),
        Case("targets that are no labels", 1, "A regression has a loss and no accuracy.",
             lambda rng, size=3: network(rng, 3).call("evaluate", Ref("network"), rng.normal(size=(size, 2)), rng.normal(size=(size, 3)), SQUARED)),
        Case("a batch at a time", 2, "A short last batch must not count as much as a full one.",
             lambda rng, size=5: network(rng).given(**points(rng, size))
             .call("evaluate", Ref("network"), Ref("images"), Ref("labels"), batch_size=2)),
        Case("many", 1, "Ten thousand digits do not go through at once.", hidden=True,
             draw=lambda rng, size=50: network(rng, 4).call("evaluate", Ref("network"), rng.normal(size=(size, 2)), rng.integers(0, 4, size), batch_size=7)),
        Case("a single target", 1, "One output is still an axis.", hidden=True,
             draw=lambda rng: network(rng, 1).call("evaluate", Ref("network"), rng.normal(size=(6, 2)), rng.normal(size=(6, 1)), loss=SQUARED)),
        Case("nothing is learned", 1, "Whoever looks must leave what is looked at as it was.", hidden=True,
             draw=lambda rng: network(rng).given(**points(rng, 4)).call("evaluate", Ref("network"), Ref("images"), Ref("labels"), keep=False)
             .get("network.parameters").get("network.gradients")),
    ),
    hints=(
        "The network can already run many samples in batches. What do its outputs look like, and what does a loss want?",
        "`predict` gives samples first: turn the outputs, and with `targets_batch_last` the targets. One call of the loss for "
        "all samples. Accuracy only where the labels are integers.",
        "Section *How good is it?* of {ref}`ch-training`.",
    ),
    mutants=(
        Mutant("samples first", ("np.moveaxis(outputs, 0, -1)", "outputs"), "targets that are no labels", 1),
        Mutant("always an accuracy", ("if np.issubdtype(labels.dtype, np.integer):", "if True:"), "targets that are no labels", 1),
        Mutant("the first batch only", ("network.predict(images, batch_size), np.asarray(labels)",
                                        "network.predict(images[:batch_size], batch_size), np.asarray(labels)[:batch_size]"), "a batch at a time", 0),
        Mutant("full batches only", ("network.predict(images, batch_size), np.asarray(labels)",
                                     "network.predict(images[:len(images) - len(images) % batch_size or None], batch_size), "
                                     "np.asarray(labels)[:len(labels) - len(labels) % batch_size or None]"), "a batch at a time", 1),
        Mutant("errors", ("accuracy(outputs, labels)", "1 - accuracy(outputs, labels)"), "labels", 2),
        Mutant("the caller's loss is not used", ("loss = loss or SoftmaxCrossEntropy()", "loss = SoftmaxCrossEntropy()"),
               "targets that are no labels", 2),
    ),
)

FIT = Exercise(
    name="fit", kind="build", target="fit", difficulty=4, minutes=120, expected=fit,
    cases=(
        Case("two epochs", 2, "Every sample once an epoch, in an order that (seed, epoch) decides.",
             lambda rng: fitted(rng, 5, True, epochs=2, batch_size=2)),
        Case("with digits held back", 2, "Without them nobody sees when learning becomes learning by heart.",
             lambda rng: fitted(rng, 6, True, epochs=2, batch_size=4, validation=3, columns=("epoch", "loss", "val_loss", "val_accuracy"))),
        Case("early stopping", 3, "A network is worth what it was at its best, not `patience` epochs later.", lambda rng: overfitted(rng, 2)),
        Case("labels missing", 1, "What cannot be trained on is refused before anything has happened.",
             lambda rng: network(rng).call("fit", Ref("network"), rng.normal(size=(3, 2)), np.array([0, 1]), optimizer=Made("nnlib.optimizers.SGD", 0.1),
                                           progress=False), raises="ShapeError"),
        Case("another seed", 1, "Two runs that differ in nothing but luck.", hidden=True,
             draw=lambda rng: fitted(rng, 9, True, epochs=3, batch_size=4, seed=int(rng.integers(1, 99)),
                                     optimizer=Made("nnlib.optimizers.SGD", 0.1, momentum=0.9))),
        Case("accumulation", 2, "Two minibatches of two are a step of four, and the last step has what is left.", hidden=True,
             draw=lambda rng: fitted(rng, 11, True, epochs=2, batch_size=2, accumulate=2)),
        Case("a schedule", 1, "The learning rate that is noted is that of the epoch's first step.", hidden=True,
             draw=lambda rng: fitted(rng, 7, True, epochs=3, batch_size=3, columns=("learning_rate", "loss"),
                                     optimizer=Made("nnlib.optimizers.SGD", Made("nnlib.optimizers.ExponentialDecay", 0.5, 0.8)))),
        Case("run by two threads", 1, "Threads change the time it takes, not where it leads.", hidden=True,
             draw=lambda rng: fitted(rng, 7, True, epochs=2, batch_size=3, threads=2, validation=4, columns=("val_loss",))),
        Case("more patience", 1, "Epochs without a lower loss are counted from the best one.", hidden=True, draw=lambda rng: overfitted(rng, 4)),
        Case("adam", 1, "An optimizer keeps its state from epoch to epoch.", hidden=True,
             draw=lambda rng: fitted(rng, 8, False, epochs=4, batch_size=3, columns=(), optimizer=Made("nnlib.optimizers.Adam", 0.05))),
    ),
    hints=(
        "All the pieces are there. Write down, in words, what happens once, what happens before each epoch, in it, and after it.",
        "Once: `check_training`, `build` if need be, a `Run`, the checkpoint folder. Each epoch: its generator from (seed, "
        "epoch), `epoch_images`, `train_epoch`, `evaluate`, `run.note`, `keep_records`. `run.waited` says how long nothing was "
        "lower. At the end put `run.best` back if there was a patience.",
        "Sections *Stop at the best* and *The whole loop* of {ref}`ch-training`.",
    ),
    mutants=(
        Mutant("the last network is handed back", ("    if patience:\n        put_arrays(kept_arrays(network), run.best)\n", ""), "early stopping", 0),
        Mutant("the same order every epoch", ("epoch_generator(seed, epoch)", "epoch_generator(seed, 1)"), "two epochs", 1),
        Mutant("an epoch too many", ("len(run.rows) < epochs", "len(run.rows) <= epochs"), "two epochs", 0),
        Mutant("an epoch too patient", ("run.waited >= patience", "run.waited > patience"), "early stopping", 1),
        Mutant("validated on what was learned", ("evaluate(network, *validation, loss)", "evaluate(network, images, labels, loss)"),
               "with digits held back", 0),
        Mutant("does not accumulate", ("rng, batch_size, accumulate)", "rng, batch_size)"), "accumulation", 1),
        Mutant("the learning rate after the epoch", ('            run.note({**row,', '            row["learning_rate"] = optimizer.rate\n            run.note({**row,'),
               "a schedule", 2),
        Mutant("epochs counted from zero", ("len(run.rows) + 1", "len(run.rows)"), "two epochs", 2),
    ),
    shown=("keep_records(run, csv, keeper,",
           "check_training(images, labels, loss, validation, patience, checkpoint, resume,"),  # as in their own signatures
)

TOP_ACCURACY = Exercise(
    name="top_accuracy", kind="further", target="top_accuracy", difficulty=2, minutes=20, expected=top_accuracy,
    text="""A network that puts the right class second has learned more than one that puts it last, and the accuracy
does not say so. With a thousand classes one often asks whether the right one is among the first five. Write it, and
see how few digits the network of this chapter does not even have among its first two.""",
    stub='''def top_accuracy(outputs, labels, k):
    """Share of samples whose label is among the k largest outputs.

    Parameters
    ----------
    outputs : ndarray, shape (n, classes)
        Samples first. Of equal outputs the class with the smaller number comes first.
    labels : ndarray of int, shape (n,)
    k : int
        From 1 to the number of classes.

    Returns
    -------
    float
        For k = 1 the accuracy.
    """
''',
    solution='''def top_accuracy(outputs, labels, k):
    """Share of samples whose label is among the k largest outputs."""
    first = np.argsort(-outputs, axis=1, kind="stable")[:, :k]
    return float((first == labels[:, None]).any(axis=1).mean())
''',
    cases=(
        Case("among two of four", 1, "Second best is not nothing.",
             lambda rng, size=5: call("top_accuracy", distinct(rng, size, 4), rng.integers(0, 4, size), 2)),
        Case("ties", 2, "A network that says the same about all classes knows none.",
             lambda rng: call("top_accuracy", np.zeros((3, 4)), np.array([0, 1, 2]), 2)),
        Case("with k = 1", 1, "The accuracy, and with its rule for ties.", hidden=True,
             draw=lambda rng, size=20: call("top_accuracy", rng.integers(0, 3, (size, 4)).astype(float), rng.integers(0, 4, size), 1)),
        Case("among all", 1, "The right class is among all classes.", hidden=True,
             draw=lambda rng: call("top_accuracy", distinct(rng, 6, 3), rng.integers(0, 3, 6), 3)),
        Case("five of a hundred", 1, "What this is used for.", hidden=True,
             draw=lambda rng, size=50: call("top_accuracy", distinct(rng, size, 100), rng.integers(0, 100, size), 15)),
    ),
    hints=(
        "In which order do a row's classes come, the largest output first?",
        "`np.argsort` sorts upwards: turn the signs, and say `kind=\"stable\"` so that equal ones keep their order. Is the "
        "label in the first k columns?",
        "Section *How good is it?* of {ref}`ch-training`.",
    ),
    mutants=(
        Mutant("the smallest", ("np.argsort(-outputs", "np.argsort(outputs"), "among two of four", 0),
        Mutant("exactly in place k", ("[:, :k]", "[:, k - 1:k]"), "among two of four", 0),
        Mutant("equal ones backwards", ('np.argsort(-outputs, axis=1, kind="stable")[:, :k]', 'np.argsort(outputs, axis=1, kind="stable")[:, ::-1][:, :k]'),
               "ties", 1),
        Mutant("how many of the k", (".any(axis=1).mean()", ".mean()"), "among two of four", 1),
        Mutant("every tie is right", ('first = np.argsort(-outputs, axis=1, kind="stable")[:, :k]\n    return float((first == labels[:, None]).any(axis=1).mean())',
                                      'least = np.sort(outputs, axis=1)[:, -k]\n    return float((outputs[np.arange(len(labels)), labels] >= least).mean())'), "ties", 1),
    ),
)

WEIGHT_AVERAGE = Exercise(
    name="weight_average", kind="further", target="WeightAverage", difficulty=3, minutes=50, expected=WeightAverage,
    text="""The last steps of a training run jump about the place they are looking for. The average of where they have
been is often better than any of them, and costs one more vector. Write it as a thing that follows a training run: it
is shown the parameters after each step or each epoch, and can put its average into the network, and take it out
again. Then train with a constant learning rate and compare both on the validation digits.""",
    stub='''class WeightAverage:
    """A moving average of a parameter vector, corrected for its start.

    After n vectors, the latest counts 1, the one before `decay`, the one before that
    `decay` squared, and so on, divided by the sum of these shares: after one vector the
    average is that vector.

    Parameters
    ----------
    decay : float in [0, 1)
    """

    def __init__(self, decay):
        """Nothing has been seen."""

    def note(self, parameters):
        """Take in a vector, shape (size,); it may be overwritten afterwards."""

    def value(self):
        """The average so far: a new array, shaped like the vectors and of their
        dtype."""

    def swap(self, parameters):
        """Write the average into this vector, in place; when called again, put back
        what was in it.

        And so on in turns: the third call writes the average as it is by then.
        """
''',
    solution='''class WeightAverage:
    """A moving average of a parameter vector, corrected for its start."""

    def __init__(self, decay):
        self.decay, self.total, self.share, self.kept = decay, 0.0, 0.0, None

    def note(self, parameters):
        self.total = self.decay * self.total + parameters
        self.share = self.decay * self.share + 1.0

    def value(self):
        return self.total / self.share

    def swap(self, parameters):
        if self.kept is None:
            self.kept = parameters.copy()
            parameters[...] = self.value()
        else:
            parameters[...] = self.kept
            self.kept = None
''',
    cases=(
        Case("one vector", 1, "Without a fair start the first average would be nearly zero.",
             lambda rng, size=3: Script().make("average", "WeightAverage", 0.9).call("average.note", rng.normal(size=size), keep=False)
             .call("average.value")),
        Case("three vectors", 2, "What is longer ago counts less.",
             lambda rng, size=2: Script().make("average", "WeightAverage", 0.5).call("average.note", rng.normal(size=size), keep=False)
             .call("average.note", rng.normal(size=size), keep=False).call("average.note", rng.normal(size=size), keep=False)
             .call("average.value")),
        Case("into the network and out again", 2, "After a look at the average, training goes on where it was.", modifies=("w",),
             draw=lambda rng, size=3: Script().given(w=rng.normal(size=size)).make("average", "WeightAverage", 0.8)
             .call("average.note", rng.normal(size=size), keep=False).call("average.note", rng.normal(size=size), keep=False)
             .call("average.swap", Ref("w"), keep=False).get("w").call("average.swap", Ref("w"), keep=False).get("w")),
        Case("the same array, changed in place", 2, "A network has one vector, and it is overwritten at every step.", hidden=True, modifies=("w",),
             draw=lambda rng, size=3: Script().given(w=rng.normal(size=size)).make("average", "WeightAverage", 0.7)
             .call("average.note", Ref("w"), keep=False).call("w.fill", 2.0, keep=False).call("average.value")
             .call("average.note", Ref("w"), keep=False).call("w.fill", -5.0, keep=False).call("average.value")),
        Case("many, in single precision", 1, "The average is of the network's own type.", hidden=True,
             draw=lambda rng: Script().given(w=rng.normal(size=5).astype(np.float32), v=rng.normal(size=5).astype(np.float32))
             .make("average", "WeightAverage", 0.99).call("average.note", Ref("w"), times=30, keep=False)
             .call("average.note", Ref("v"), times=20, keep=False).call("average.value")),
        Case("in turns", 1, "It is looked at after every epoch.", hidden=True, modifies=("w",),
             draw=lambda rng: Script().given(w=rng.normal(size=3)).make("average", "WeightAverage", 0.6)
             .call("average.note", Ref("w"), keep=False).call("average.swap", Ref("w"), times=2, keep=False).call("w.fill", 1.0, keep=False)
             .call("average.note", Ref("w"), keep=False).call("average.swap", Ref("w"), keep=False).get("w")
             .call("average.swap", Ref("w"), keep=False).get("w")),
        Case("the average is the caller's", 1, "Whoever changes it must not change what is remembered.", hidden=True,
             draw=lambda rng: Script().make("average", "WeightAverage", 0.5).call("average.note", rng.normal(size=3), keep=False)
             .call("average.value", name="first", keep=False).call("first.fill", 9.0, keep=False).call("average.value")),
    ),
    hints=(
        "What has to be kept so that the shares sum to one after one vector as well as after a thousand?",
        "A weighted sum of the vectors and, updated in the same way, the sum of the shares; their quotient is the average. For "
        "`swap`, remember a copy of what was there, and whether there is one.",
        "Sections *An average that forgets* and *Adam: both, and a fair start* of {ref}`ch-optimizers`; *Stop at the best* of "
        "{ref}`ch-training`.",
    ),
    mutants=(
        Mutant("no fair start", ("return self.total / self.share", "return self.total * (1 - self.decay)"), "one vector", 0),
        Mutant("everything counts the same", ("self.total = self.decay * self.total + parameters\n        self.share = self.decay * self.share + 1.0",
                                              "self.total = self.total + parameters\n        self.share = self.share + 1.0"), "three vectors", 0),
        Mutant("the past counts more", ("self.total = self.decay * self.total + parameters", "self.total = self.total + self.decay * parameters"),
               "three vectors", 1),
        Mutant("nothing is put back", ("            parameters[...] = self.kept\n", ""), "into the network and out again", 1),
        Mutant("remembers no copy", ("self.kept = parameters.copy()", "self.kept = parameters"), "into the network and out again", 1),
        Mutant("put back for ever", ("= self.kept\n            self.kept = None", "= self.kept"), "in turns", 1),
        Mutant("keeps the caller's array", ("self.total = self.decay * self.total + parameters",
                                            "self.total = self.decay * self.total + parameters if self.share else parameters"),
               "the same array, changed in place", 1),
    ),
)

NOISE_SCALE = Exercise(
    name="noise_scale", kind="further", target="noise_scale", difficulty=2, minutes=30, expected=noise_scale,
    text="""How large should a minibatch be? The gradient of $n$ samples is the true one, $G$, plus noise whose
squared length is $V/n$ on average, where $V$ is the sum of the variances of all the gradient's numbers from sample to
sample. At $n = V / \\lVert G\\rVert^2$ both are equally long: much below, more samples pay at once; much above, they
are wasted. Estimate this number from the gradients of single samples. Mind that the square of their *mean* is too
long, by $V/n$ on average. Then measure it on digits, at the start of a run and at its end.""",
    stub='''def noise_scale(gradients):
    """The batch size at which noise and gradient are equally long: V / |G|^2.

    Parameters
    ----------
    gradients : ndarray, shape (n, size)
        One sample's gradient in each row; n is at least 2. Left alone.

    Returns
    -------
    float
        V is estimated by the sum of the variances (divided by n - 1), |G|^2 by the
        squared length of the mean less V / n. Infinite if that is not positive: then
        nothing but noise was seen.
    """
''',
    solution='''def noise_scale(gradients):
    """The batch size at which noise and gradient are equally long: V / |G|^2."""
    n, mean = len(gradients), gradients.mean(axis=0)
    V = float(np.sum((gradients - mean) ** 2) / (n - 1))
    square = float(np.sum(mean ** 2) - V / n)
    return V / square if square > 0 else np.inf
''',
    cases=(
        # The samples' means are at least five deviations from zero, so that no digits are lost in the subtraction.
        Case("two weights, four samples", 1, "A number one can check by hand.",
             lambda rng: call("noise_scale", np.array([[3.0, 1.0], [1.0, -1.0], [3.0, -1.0], [1.0, 1.0]]))),
        Case("samples that nearly agree", 1, "Where all samples say the same, one is enough.",
             lambda rng, size=3: call("noise_scale", 5 + rng.uniform(-1, 1, (4, size)))),
        Case("samples that agree on nothing", 1, "Late in the training there is hardly anything but noise.",
             lambda rng: call("noise_scale", np.array([[1.0, 2.0], [-1.0, -2.0]]))),
        Case("many", 2, "An estimate, with the mean's own noise taken off.", hidden=True,
             draw=lambda rng: call("noise_scale", rng.normal(1.0, 1.5, (200, 30)))),
        Case("a pair", 1, "The smallest number of samples that says anything.", hidden=True,
             draw=lambda rng: call("noise_scale", rng.uniform(4, 6, (2, 5)))),
    ),
    hints=(
        "Which of the two estimates can become zero or negative, and what does it mean when it does?",
        "The mean over the samples; the sum of the squared distances from it, over n - 1, is V. Take V / n from the squared "
        "length of the mean and divide.",
        "Section *The gradient is a rumour* of {ref}`ch-optimizers`, and *What the batch size does* of {ref}`ch-training`.",
    ),
    mutants=(
        Mutant("divided by n", ("/ (n - 1)", "/ n"), "two weights, four samples", 1),
        Mutant("the mean's noise stays", (" - V / n)", ")"), "two weights, four samples", 1),
        Mutant("the wrong axis", ("gradients.mean(axis=0)", "gradients.mean(axis=1, keepdims=True)"), "samples that nearly agree", 1),
        Mutant("a mean of variances", ("np.sum((gradients - mean) ** 2) / (n - 1)", "np.mean((gradients - mean) ** 2) * n / (n - 1)"),
               "samples that nearly agree", 1),
        Mutant("a negative batch size", ("V / square if square > 0 else np.inf", "V / square"), "samples that agree on nothing", 0),
    ),
)

EXERCISES = [ACCURACY, MINIBATCH_GRADIENT, EVALUATE, FIT, TOP_ACCURACY, WEIGHT_AVERAGE, NOISE_SCALE]

QUESTIONS = [
    Question(
        "The validation loss has been rising for ten epochs, and the validation accuracy still rises, too. How can that be? "
        "Which of the two would you stop by, and for whom?",
        "The accuracy counts which logit is largest; the loss asks how large. A network that has all training digits right "
        "goes on making its logits larger. On validation digits that lowers the loss of the many it reads rightly by very "
        "little, since a loss near zero cannot fall far, and raises that of the few it reads wrongly by as much as the logits "
        "grow. So the mean can rise while here and there a digit near the border changes to the right side. If only the "
        "answers count, as at a competition, stopping by the accuracy is right, though it is coarse: on 2,000 digits it moves "
        "in steps of a twentieth of a point and is mostly noise. If somebody acts on the probabilities, stop by the loss. Or "
        "go on, and mend the certainty afterwards with a temperature, as the next chapter does."),
    Question(
        "A resumed run has to give the same bits as one that was never stopped. Which of these would break that, and how would "
        "you notice: another number of threads; another progress bar; a BLAS library of another version; a validation set of "
        "another size?",
        "Another number of threads groups the sums differently, and floating-point addition is not associative: other last "
        "bits after one step, another network after a thousand. The checkpoint's identity holds `threads` for that reason, so "
        "it is refused. A progress bar touches no number. A BLAS of another version may add in another order as well; the "
        "identity does not know about it, and nobody would notice but by comparing with a run that was not stopped. A "
        "validation set of another size changes no step, since validation draws no random numbers and updates nothing. With "
        "patience it changes which epoch is called the best, and when the run stops; the losses in the history before and "
        "after cannot be compared. The training losses would be the same, bit by bit, and so one would look in the wrong place."),
    Question(
        "An epoch of 42,000 digits ends with a minibatch of 16 where the others have 64. Its gradient is divided by 16. Do its "
        "digits count more than others in this epoch? Should one drop them, or divide by 64?",
        "Yes: at the same learning rate each of the 16 moves the network by $\\eta/16$ of its gradient, the others by "
        "$\\eta/64$, so they count four times as much. It is a different 16 in every epoch, so over many epochs no digit is "
        "favoured; what remains is one noisy step in 657, a little harmful if the run ends with it. Dividing by 64 makes all "
        "digits count the same, and makes that step short; with Adam it also puts a gradient of another scale into the "
        "averages. Dropping them costs a digit's use with probability 0.04 % an epoch, and makes all steps alike, which is "
        "what code that needs fixed shapes wants. None of the three can be told apart in the results here. What matters is "
        "that the loss of the epoch is the mean over samples: the mean of the minibatches' means would count those 16 four "
        "times."),
]
