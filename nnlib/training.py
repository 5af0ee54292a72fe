# Generated from book/08-training.md by `python -m course tangle`.
# Do not edit: change the chapter, then tangle again.
"""Training."""

import copy
import json
import os
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from nnlib.data import minibatches
from nnlib.dense import ShapeError
from nnlib.losses import SoftmaxCrossEntropy
from nnlib.network import batch_last

__all__ = [
    "targets_batch_last",
    "level_buffers",
    "MinibatchGradient",
    "accumulate_gradient",
    "train_epoch",
    "accuracy",
    "evaluate",
    "epoch_generator",
    "write_atomically",
    "CHECKPOINT_VERSION",
    "CheckpointError",
    "write_checkpoint",
    "read_checkpoint",
    "kept_arrays",
    "put_arrays",
    "join_groups",
    "arrays_of",
    "Run",
    "check_identity",
    "latest_checkpoint",
    "CheckpointFolder",
    "check_training",
    "history_table",
    "keep_records",
    "epoch_images",
    "fit",
]


# book/08-training.md, "One gradient, by one thread or by several"
def targets_batch_last(y):
    """Targets as the losses take them: labels (n,) as they are, (n, …) batch last.

    Parameters
    ----------
    y : ndarray, shape (n,) or (n, …)

    Returns
    -------
    ndarray, shape (n,) or (…, n)
    """
    return y if y.ndim == 1 else np.moveaxis(y, 0, -1)


# book/08-training.md, "One gradient, by one thread or by several"
def level_buffers(replicas):
    """Copy the buffers of a network, the first of these, into those of its replicas."""
    for replica in replicas[1:]:
        pairs = zip(replica.named_buffers(), replicas[0].named_buffers())
        for (_, own), (_, first) in pairs:
            own[...] = first


# book/08-training.md, "One gradient, by one thread or by several"
class MinibatchGradient:
    """Leaves some samples' gradient in `network.gradients`, by one thread or several.

    Thread i works on the i-th run of the samples with a replica of the network: the
    same parameters, its own workspaces and gradients. The gradients are added in a
    fixed order, so that the same number of threads gives the same bits. With several
    threads BLAS is held to one; leaving the `with` block undoes that.

    Parameters
    ----------
    network : Network, built
    loss : Loss
    images : ndarray, shape (n, …)
        Samples first.
    labels : ndarray, shape (n,) or (n, …)
    threads : int

    Raises
    ------
    ValueError
        For several threads with a loss that cannot be computed in parts.
    """

    def __init__(self, network, loss, images, labels, threads=1):
        if threads > 1 and not loss.additive:
            raise ValueError(f"{type(loss).__name__} cannot be computed in parts: "
                             f"expected threads=1, got {threads}")
        self.network, self.images, self.labels = network, images, labels
        self.replicas = [network] + [network.replica() for _ in range(threads - 1)]
        self.losses = [loss] + [loss.replica() for _ in range(threads - 1)]
        self.summed = np.empty_like(network.gradients)     # for accumulate_gradient
        self.pool = ThreadPoolExecutor(threads - 1) if threads > 1 else None
        self.limit = threadpool_limits(1, "blas") if threads > 1 else nullcontext()

    def part(self, i, indices, count):
        """Thread i's share of the gradient over `count`; returns its losses' sum."""
        network, loss = self.replicas[i], self.losses[i]
        x = batch_last(self.images[indices], network.dtype)
        y = targets_batch_last(self.labels[indices])
        value = loss.forward(network.forward(x, training=True), y)
        network.backward(loss.backward(count))
        return value * len(indices)

    def __call__(self, indices, count):
        """Gradient of (the sum of these samples' losses) / count; returns that sum."""
        level_buffers(self.replicas)
        shares = [s for s in np.array_split(indices, len(self.replicas)) if len(s)]
        others = [self.pool.submit(self.part, i, share, count)
                  for i, share in enumerate(shares) if i]
        total = self.part(0, shares[0], count)
        for future, replica in zip(others, self.replicas[1:]):
            total += future.result()
            self.network.gradients += replica.gradients
        return total

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.limit.__exit__(*error)
        if self.pool:
            self.pool.shutdown()


# book/08-training.md, "An epoch"
def accumulate_gradient(gradient, indices, batch_size):
    """The gradient of many samples, `batch_size` at a time, in `network.gradients`.

    Parameters
    ----------
    gradient : MinibatchGradient
    indices : ndarray of int, shape (n,)
    batch_size : int

    Returns
    -------
    float
        The sum of the samples' losses.
    """
    if len(indices) <= batch_size:
        return gradient(indices, len(indices))
    total, gradient.summed[...] = 0.0, 0.0
    for start in range(0, len(indices), batch_size):
        total += gradient(indices[start : start + batch_size], len(indices))
        gradient.summed += gradient.network.gradients
    np.copyto(gradient.network.gradients, gradient.summed)
    return total


# book/08-training.md, "An epoch"
def train_epoch(gradient, optimizer, rng, batch_size, accumulate=1):
    """One pass over all samples in random order; returns the mean of their losses.

    A step is taken after every `accumulate` minibatches, whose gradients
    are summed: it equals a step on one minibatch of batch_size * accumulate samples, up
    to rounding. The last step of an epoch has what is left. Each sample's loss is taken
    just before the step it contributes to.

    Parameters
    ----------
    gradient : MinibatchGradient
    optimizer : Optimizer
    rng : numpy.random.Generator
    batch_size, accumulate : int

    Raises
    ------
    FloatingPointError
        When the loss or the gradient is not finite; the step has not been taken.
    """
    network, samples, total = gradient.network, len(gradient.images), 0.0
    for step, indices in enumerate(minibatches(samples, batch_size * accumulate, rng)):
        total += accumulate_gradient(gradient, indices, batch_size)
        if not np.isfinite(total):
            raise FloatingPointError(
                f"the loss became {total} in step {step} of this epoch, "
                f"at learning rate {optimizer.rate:g}; a lower one may help")
        optimizer.step(network.parameters, network.gradients)
    return total / samples


# book/08-training.md, "How good is it?"
def accuracy(outputs, labels):
    """Share of samples whose largest output is the one at their label.

    Parameters
    ----------
    outputs : ndarray, shape (n, classes)
        Logits or probabilities, samples first; of equal ones the first is the largest.
    labels : ndarray of int, shape (n,)

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    ShapeError
        If there is not one label for each row of outputs, or there are none.
    """
    if np.ndim(outputs) != 2 or len(outputs) != len(labels) or len(labels) == 0:
        raise ShapeError(f"expected outputs shaped (n, classes) and as many labels, "
                         f"got {np.shape(outputs)} and {np.shape(labels)}")
    return float(np.mean(np.argmax(outputs, axis=1) == labels))


# book/08-training.md, "How good is it?"
def evaluate(network, images, labels, loss=None, batch_size=256):
    """Loss and, for integer labels, accuracy on samples not learned from.

    Parameters
    ----------
    network : Network
    images : ndarray, shape (n, …)
        Samples first.
    labels : ndarray, shape (n,) or (n, …)
    loss : Loss, optional
        SoftmaxCrossEntropy if not given.
    batch_size : int
        Samples at a time; changes no result beyond rounding.

    Returns
    -------
    dict
        "loss": float and, for integer labels, "accuracy": float.
    """
    outputs, labels = network.predict(images, batch_size), np.asarray(labels)
    loss = loss or SoftmaxCrossEntropy()
    outputs_last = np.moveaxis(outputs, 0, -1)
    result = {"loss": loss.forward(outputs_last, targets_batch_last(labels))}
    if np.issubdtype(labels.dtype, np.integer):
        result["accuracy"] = accuracy(outputs, labels)
    return result


# book/08-training.md, "What a run must remember"
def epoch_generator(seed, epoch):
    """An epoch's random generator, made from (seed, epoch): none needs saving.

    Parameters
    ----------
    seed : int
    epoch : int
        Counted from 1.

    Returns
    -------
    numpy.random.Generator
    """
    return np.random.default_rng([seed, epoch])


# book/08-training.md, "What a run must remember"
def write_atomically(path, write):
    """Write a file so that a stop at any moment leaves the old or the new one, whole.

    Parameters
    ----------
    path : str or Path
    write : callable
        Takes a binary file and writes everything into it.
    """
    path = Path(path)
    temporary = path.with_name(path.name + ".tmp")
    with open(temporary, "wb") as file:
        write(file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)

# book/08-training.md, "What a run must remember"
CHECKPOINT_VERSION = 2


# book/08-training.md, "What a run must remember"
class CheckpointError(ValueError):
    """A checkpoint that cannot be used; nothing has been changed."""


# book/08-training.md, "What a run must remember"
def write_checkpoint(path, header, arrays):
    """Write a dict of plain values and one of arrays into one .npz file, atomically."""
    text = json.dumps({"version": CHECKPOINT_VERSION, **header}).encode()
    header = np.frombuffer(text, np.uint8)
    write_atomically(path, lambda file: np.savez(file, header=header, **arrays))


# book/08-training.md, "What a run must remember"
def read_checkpoint(path):
    """Read what write_checkpoint wrote: (header, arrays).

    Raises
    ------
    CheckpointError
        For a file that is missing, damaged, something else, or of another version.
    """
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = dict(file)
        header = json.loads(arrays.pop("header").tobytes())
        version = header["version"]
    except (OSError, ValueError, KeyError, TypeError, AttributeError, EOFError,
            zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path}: expected a checkpoint, "
                              f"got something unreadable ({error})") from error
    if version != CHECKPOINT_VERSION:
        raise CheckpointError(f"{path}: expected format version {CHECKPOINT_VERSION}, "
                              f"got {version}")
    return header, arrays


# book/08-training.md, "What a run must remember"
def kept_arrays(network):
    """All that a network keeps, by name: its parameters, and its layers' buffers."""
    return {"parameters": network.parameters, **dict(network.named_buffers())}


# book/08-training.md, "What a run must remember"
def put_arrays(targets, sources):
    """Copy arrays into others of the same names; both are dicts."""
    for name, target in targets.items():
        target[...] = sources[name]


# book/08-training.md, "What a run must remember"
def join_groups(**groups):
    """One dict of several: parameters of the group best become best/parameters."""
    return {f"{group}/{name}": array for group, named in groups.items()
            for name, array in named.items()}


# book/08-training.md, "What a run must remember"
def arrays_of(group, arrays):
    """What join_groups put in for one group, by name."""
    return {name.removeprefix(f"{group}/"): array for name, array in arrays.items()
            if name.startswith(f"{group}/")}


# book/08-training.md, "What a run must remember"
class Run:
    """A training run: what it has done so far, and all that is needed to go on.

    Parameters
    ----------
    network : Network, built
    optimizer : Optimizer
    settings : dict
        Plain values that must be the same when the run goes on: number of samples,
        batch size, seed …
    """

    def __init__(self, network, optimizer, settings):
        self.network, self.optimizer, self.settings = network, optimizer, settings
        self.rows, self.waited = [], 0
        self.best, self.best_loss = copy.deepcopy(kept_arrays(network)), float("inf")

    @property
    def identity(self):
        """What a checkpoint must agree with to belong to this run."""
        described = {"architecture": self.network.architecture(),
                     "dtype": self.network.dtype.name,
                     "optimizer": repr(self.optimizer), **self.settings}
        return json.loads(json.dumps(described))

    def note(self, row):
        """Add an epoch's row; keep the network if its validation loss is the lowest."""
        self.rows.append(row)
        self.waited += 1
        if row.get("val_loss", float("inf")) < self.best_loss:
            self.best_loss, self.waited = row["val_loss"], 0
            put_arrays(self.best, kept_arrays(self.network))

    def save(self, path):
        """Write a checkpoint."""
        header = {"identity": self.identity, "steps": self.optimizer.steps,
                  "rows": self.rows, "best_loss": self.best_loss, "waited": self.waited}
        arrays = join_groups(network=kept_arrays(self.network), best=self.best,
                             state=self.optimizer.state)
        write_checkpoint(path, header, arrays)

    def restore(self, path):
        """Take everything from a checkpoint, once it is known to belong to this run."""
        header, arrays = read_checkpoint(path)
        check_identity(path, header.get("identity"), self.identity)
        self.optimizer.restore(arrays_of("state", arrays), header["steps"])
        put_arrays(kept_arrays(self.network), arrays_of("network", arrays))
        put_arrays(self.best, arrays_of("best", arrays))
        for name in ("rows", "best_loss", "waited"):
            setattr(self, name, header[name])


# book/08-training.md, "What a run must remember"
def check_identity(path, came, expected):
    """Refuse the checkpoint of another run; the message names the first difference."""
    for name, value in expected.items():
        if not isinstance(came, dict) or came.get(name) != value:
            found = came.get(name) if isinstance(came, dict) else came
            raise CheckpointError(f"{path} belongs to another run: "
                                  f"expected {name} {value}, got {found}")


# book/08-training.md, "What a run must remember"
def latest_checkpoint(folder):
    """The checkpoint of the latest epoch in a folder, or None."""
    return max(Path(folder).glob("epoch-*.npz"), default=None)


# book/08-training.md, "What a run must remember"
class CheckpointFolder:
    """A folder with a run's checkpoints, epoch-000001.npz and so on."""

    def __init__(self, folder):
        self.folder = Path(folder)

    def save(self, run):
        """Write the checkpoint of an epoch."""
        self.folder.mkdir(parents=True, exist_ok=True)
        run.save(self.folder / f"epoch-{len(run.rows):06d}.npz")

    def restore(self, run):
        """Take everything from the latest checkpoint, if there is one."""
        if latest := latest_checkpoint(self.folder):
            run.restore(latest)


# book/08-training.md, "The whole loop"
def check_training(images, labels, loss, validation, patience, checkpoint, resume,
                   **counts):
    """Refuse what cannot be trained on before anything has happened."""
    if len(images) != len(labels) or len(images) == 0:
        raise ShapeError(f"expected at least one image and as many labels, "
                         f"got {len(images)} images and {len(labels)} labels")
    if patience is not None:
        counts["patience"] = patience
    for name, value in counts.items():
        if value != int(value) or value < 1:
            raise ValueError(f"expected {name} to be a whole number of at least 1, "
                             f"got {value!r}")
    if counts["accumulate"] > 1 and not loss.additive:
        raise ValueError(f"{type(loss).__name__} cannot be computed in parts: "
                         f"expected accumulate=1, got {counts['accumulate']}")
    if patience is not None and validation is None:
        raise ValueError("early stopping needs data to watch: "
                         "expected validation=(images, labels), got None")
    if resume and checkpoint is None:
        raise ValueError("resuming needs a folder: "
                         "expected checkpoint=FOLDER, got None")


# book/08-training.md, "The whole loop"
def history_table(rows):
    """The epochs' rows as a DataFrame."""
    import pandas   # here and not above: who only computes gradients need not load it

    return pandas.DataFrame(rows)


# book/08-training.md, "The whole loop"
def keep_records(run, csv, keeper, due):
    """After an epoch: the history so far as a CSV, and a checkpoint if one is due."""
    if csv:
        text = history_table(run.rows).to_csv(index=False, lineterminator="\n")
        write_atomically(csv, lambda file: file.write(text.encode()))
    if keeper and due:
        keeper.save(run)


# book/08-training.md, "The whole loop"
def epoch_images(images, augment, rng):
    """What one epoch learns from: the images, or what `augment` makes of them.

    Raises
    ------
    ShapeError
        If that is not of the images' shape.
    """
    if augment is None:
        return images
    changed = augment(images, rng)
    if np.shape(changed) != np.shape(images):
        raise ShapeError(f"augment: expected images shaped {np.shape(images)} back, "
                         f"got {np.shape(changed)}")
    return changed


# book/08-training.md, "The whole loop"
def fit(network, images, labels, *, optimizer, loss=None, epochs=10, batch_size=64,
        validation=None, augment=None, seed=0, accumulate=1, threads=1, patience=None,
        checkpoint=None, checkpoint_every=1, resume=False, csv=None, progress=True):
    """Train a network.

    Parameters
    ----------
    network : Network
        Built from the images' shape and `seed` if it is not built yet.
    images : ndarray, shape (n, …)
        Samples first.
    labels : ndarray, shape (n,) or (n, …)
        Integer labels, or targets shaped like the network's output.
    optimizer : Optimizer
    loss : Loss, optional
        SoftmaxCrossEntropy if not given.
    epochs : int
        How many passes over the samples in all, those of a resumed checkpoint included.
    batch_size : int
        Samples in a minibatch; the last of an epoch has what is left.
    validation : (images, labels), optional
        Evaluated after every epoch.
    augment : callable (images, rng) -> images, optional
        Called before every epoch with all images and the epoch's generator; what it
        returns, of the same shape, is learned from in their place.
    seed : int
        Decides the order of the samples and, if the network is not built yet, its
        initial weights.
    accumulate : int
        Minibatches whose gradients are summed for one step.
    threads : int
        Each minibatch is split over these. The same number gives the same bits.
    patience : int, optional
        Stop after so many epochs without a lower validation loss. The best weights are
        put back at the end.
    checkpoint : folder, or object with save(run) and restore(run), optional
        Where to write epoch-000001.npz and so on, after every `checkpoint_every` epochs
        and after epoch number `epochs`.
    resume : bool
        Go on from the latest checkpoint there, if there is one.
    csv : path, optional
        Where to keep the history while it grows.
    progress : bool
        Show a bar on standard error.

    Returns
    -------
    pandas.DataFrame
        A row per epoch: epoch, learning_rate (of its first step), loss (mean over the
        epoch, while learning), val_loss, val_accuracy, seconds.

    Raises
    ------
    ValueError, ShapeError
        For arguments that do not fit each other.
    CheckpointError
        For a checkpoint that is damaged or belongs to another run.
    FloatingPointError
        When the loss or a gradient is no longer finite; the bad step was not taken.
    """
    loss = loss or SoftmaxCrossEntropy()
    check_training(images, labels, loss, validation, patience, checkpoint, resume,
                   epochs=epochs, batch_size=batch_size, accumulate=accumulate,
                   threads=threads, checkpoint_every=checkpoint_every)
    if network.input_shape is None:
        network.build(images.shape[1:], seed)
    run = Run(network, optimizer, {
        "samples": len(images), "batch_size": batch_size, "accumulate": accumulate,
        "threads": threads, "seed": seed,
        "augment": getattr(augment, "__name__", repr(augment))})
    own = checkpoint is None or hasattr(checkpoint, "restore")
    keeper = checkpoint if own else CheckpointFolder(checkpoint)
    if resume:
        keeper.restore(run)
    bar = tqdm(total=epochs, initial=len(run.rows), unit="epoch", disable=not progress)
    with MinibatchGradient(network, loss, images, labels, threads) as gradient, bar:
        while len(run.rows) < epochs and not (patience and run.waited >= patience):
            start, epoch = time.perf_counter(), len(run.rows) + 1
            row = {"epoch": epoch, "learning_rate": optimizer.rate}
            rng = epoch_generator(seed, epoch)
            gradient.images = epoch_images(images, augment, rng)
            row["loss"] = train_epoch(gradient, optimizer, rng, batch_size, accumulate)
            if validation is not None:
                for name, value in evaluate(network, *validation, loss).items():
                    row[f"val_{name}"] = value
            run.note({**row, "seconds": time.perf_counter() - start})
            keep_records(run, csv, keeper,
                         due=epoch % checkpoint_every == 0 or epoch == epochs)
            bar.set_postfix({name: f"{value:.4f}" for name, value in row.items()
                             if name.endswith(("loss", "accuracy"))})
            bar.update()
    if patience:
        put_arrays(kept_arrays(network), run.best)
    return history_table(run.rows)
