# Generated from book/04-losses.md by `python -m course tangle`.
# Do not edit: change the chapter, then tangle again.
"""Losses."""

import numpy as np

from nnlib.activations import sigmoid, softmax
from nnlib.dense import Layer, ShapeError

__all__ = [
    "as_prediction",
    "paired",
    "absolute_error",
    "absolute_error_backward",
    "mean_absolute_error",
    "mean_absolute_error_backward",
    "mean_squared_error",
    "mean_squared_error_backward",
    "root_mean_squared_error",
    "root_mean_squared_error_backward",
    "as_labels",
    "one_hot",
    "xlogy",
    "check_probabilities",
    "class_targets",
    "class_columns",
    "cross_entropy",
    "cross_entropy_backward",
    "kl_divergence",
    "kl_divergence_backward",
    "binary_cross_entropy",
    "binary_cross_entropy_backward",
    "log_softmax",
    "softmax_cross_entropy",
    "softmax_cross_entropy_backward",
    "sigmoid_binary_cross_entropy",
    "sigmoid_binary_cross_entropy_backward",
    "Loss",
    "AbsoluteError",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "RootMeanSquaredError",
    "CrossEntropy",
    "KLDivergence",
    "BinaryCrossEntropy",
    "SigmoidBinaryCrossEntropy",
    "SoftmaxCrossEntropy",
]


# book/04-losses.md, "Predictions, targets and their shapes"
def as_prediction(p):
    """A prediction as an array of floats, the batch as its last axis.

    float32 and float64 pass through untouched, whole numbers become floats.

    Raises
    ------
    ShapeError
        If there is no sample, or no batch axis beside the features.
    ValueError
        If the entries are not real numbers.
    """
    p = np.asarray(p)
    if p.dtype.kind not in "fiub":
        raise ValueError(f"expected real numbers in p, got dtype {p.dtype}")
    if p.ndim < 2 or p.size == 0:
        raise ShapeError("expected a prediction shaped (features, batch) with "
                         f"at least one sample, got {p.shape}")
    if p.dtype.kind == "f" and p.itemsize >= 4:
        return p
    return p.astype(np.result_type(p, np.float32))


# book/04-losses.md, "Predictions, targets and their shapes"
def paired(p, y):
    """Prediction and target as floats of one shape and one dtype, the prediction's.

    Raises
    ------
    ShapeError
        If their shapes differ: broadcasting would compare the wrong samples.
    """
    p = as_prediction(p)
    y = np.asarray(y, dtype=p.dtype)
    if y.shape != p.shape:
        raise ShapeError(f"expected y shaped {p.shape} like the prediction, "
                         f"got {y.shape}")
    return p, y


# book/04-losses.md, "Distances: absolute error"
def absolute_error(p, y):
    """Distance of prediction and target, summed over features, averaged over the batch.

    Parameters
    ----------
    p, y : ndarray, shape (features, batch)

    Returns
    -------
    float
        In the unit of y.

    Raises
    ------
    ShapeError
        If the shapes differ or the batch is empty.
    """
    p, y = paired(p, y)
    return float(np.abs(p - y).sum() / p.shape[-1])


# book/04-losses.md, "Distances: absolute error"
def absolute_error_backward(p, y):
    """Gradient of `absolute_error`: sign(p - y) / N, shaped like p."""
    p, y = paired(p, y)
    return np.sign(p - y) / p.shape[-1]


# book/04-losses.md, "Distances: absolute error"
def mean_absolute_error(p, y):
    """Distance between prediction and target, averaged over features and batch.

    Parameters
    ----------
    p, y : ndarray, shape (features, batch)

    Returns
    -------
    float
        In the unit of y.

    Raises
    ------
    ShapeError
        If the shapes differ or the batch is empty.
    """
    p, y = paired(p, y)
    return float(np.abs(p - y).mean())


# book/04-losses.md, "Distances: absolute error"
def mean_absolute_error_backward(p, y):
    """Gradient of `mean_absolute_error`: sign(p - y) / (F N), shaped like p."""
    p, y = paired(p, y)
    return np.sign(p - y) / p.size


# book/04-losses.md, "Distances: squared error"
def mean_squared_error(p, y):
    """Squared distance, averaged over features and batch.

    Parameters
    ----------
    p, y : ndarray, shape (features, batch)

    Returns
    -------
    float
        In the unit of y, squared.

    Raises
    ------
    ShapeError
        If the shapes differ or the batch is empty.
    """
    p, y = paired(p, y)
    return float(np.square(p - y).mean())


# book/04-losses.md, "Distances: squared error"
def mean_squared_error_backward(p, y):
    """Gradient of `mean_squared_error`: 2 (p - y) / (F N), shaped like p."""
    p, y = paired(p, y)
    return (p - y) * (2 / p.size)


# book/04-losses.md, "Distances: squared error"
def root_mean_squared_error(p, y):
    """Square root of the mean squared error of the whole batch.

    Parameters
    ----------
    p, y : ndarray, shape (features, batch)

    Returns
    -------
    float
        In the unit of y. Not an average: two batches' values cannot be averaged.

    Raises
    ------
    ShapeError
        If the shapes differ or the batch is empty.
    """
    return mean_squared_error(p, y) ** 0.5


# book/04-losses.md, "Distances: squared error"
def root_mean_squared_error_backward(p, y):
    """Gradient of `root_mean_squared_error`: (p - y) / (F N RMSE), zero if RMSE is."""
    p, y = paired(p, y)
    rmse = root_mean_squared_error(p, y)
    return (p - y) * (1 / (p.size * rmse) if rmse > 0 else 0.0)


# book/04-losses.md, "Cross-entropy as a loss"
def as_labels(labels, classes):
    """Labels as an array NumPy can index with.

    Parameters
    ----------
    labels : array_like of int, shape (n,)
    classes : int

    Returns
    -------
    ndarray of intp, shape (n,)

    Raises
    ------
    ShapeError
        If there is not exactly one axis.
    ValueError
        For labels that are not integers, or not in 0 ... classes - 1.
    """
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise ShapeError(f"expected labels shaped (n,), got {labels.shape}")
    if labels.dtype.kind not in "iu":
        raise ValueError(f"expected integer labels, got dtype {labels.dtype}")
    labels = labels.astype(np.intp)
    if labels.size and labels.view(np.uintp).max() >= classes:
        wrong = np.flatnonzero((labels < 0) | (labels >= classes))[0]
        raise ValueError(f"expected labels from 0 to {classes - 1}, "
                         f"got {labels[wrong]} at index {wrong}")
    return labels


# book/04-losses.md, "Cross-entropy as a loss"
def one_hot(labels, classes, dtype=np.float32):
    """Labels as columns that hold a single one.

    Parameters
    ----------
    labels : array_like of int, shape (n,)
    classes : int
    dtype : dtype, optional

    Returns
    -------
    ndarray, shape (classes, n)

    Raises
    ------
    ValueError
        For labels that are not integers, or not in 0 ... classes - 1.
    """
    labels = as_labels(labels, classes)
    y = np.zeros((classes, len(labels)), dtype)
    y[labels, np.arange(len(labels))] = 1
    return y


# book/04-losses.md, "Cross-entropy as a loss"
def xlogy(x, y):
    """x log y for every element, with 0 log 0 = 0.

    Parameters
    ----------
    x, y : ndarray, shape (features, batch)

    Returns
    -------
    ndarray, shape (features, batch)
        Minus infinity where y is zero and x is positive.
    """
    y, x = paired(y, x)
    logs = np.zeros_like(y)
    with np.errstate(divide="ignore"):
        np.log(y, out=logs, where=x != 0)
    return x * logs


# book/04-losses.md, "Cross-entropy as a loss"
def check_probabilities(p, name="p"):
    """Raise ValueError if an array holds anything outside [0, 1], NaN included."""
    low, high = p.min(), p.max()
    if not (low >= 0 and high <= 1):
        raise ValueError(f"expected probabilities between 0 and 1 in {name}, "
                         f"got values from {low} to {high}")


# book/04-losses.md, "Cross-entropy as a loss"
def class_targets(y, p):
    """The targets of a class loss, checked against its scores.

    Parameters
    ----------
    y : array_like
        Integer labels (batch,), or distributions, one per column (classes, batch).
    p : ndarray, shape (classes, batch)
        Probabilities or logits.

    Returns
    -------
    ndarray
        Labels (batch,) as intp, or columns (classes, batch) in the dtype of p.

    Raises
    ------
    ShapeError
        If y does not fit p.
    ValueError
        For labels out of range, or columns that are not distributions.
    """
    if p.ndim != 2:
        raise ShapeError("expected class scores shaped (classes, batch), "
                         f"got {p.shape}")
    y = np.asarray(y)
    if y.ndim == 1:
        if len(y) != p.shape[1]:
            raise ShapeError(f"expected {p.shape[1]} labels, one per sample, "
                             f"got {len(y)}")
        return as_labels(y, p.shape[0])
    p, y = paired(p, y)
    check_probabilities(y, "y")
    worst = np.abs(y.sum(axis=0) - 1).max()
    if worst > 1e-3:
        raise ValueError("expected columns of y that sum to 1, "
                         f"got one off by {worst:.3g}")
    return y


# book/04-losses.md, "Cross-entropy as a loss"
def class_columns(y, p):
    """`class_targets`, with labels turned into one-hot columns in the dtype of p."""
    y = class_targets(y, p)
    return one_hot(y, len(p), p.dtype) if y.ndim == 1 else y


# book/04-losses.md, "Cross-entropy as a loss"
def cross_entropy(p, y):
    """Cross-entropy of targets and predicted probabilities, averaged over the batch.

    Parameters
    ----------
    p : ndarray, shape (classes, batch)
        Probabilities. For logits use `softmax_cross_entropy`: safer and faster.
    y : array_like
        Integer labels (batch,), or distributions (classes, batch).

    Returns
    -------
    float
        In nats. Infinite if the truth was given probability zero.

    Raises
    ------
    ShapeError
        If y does not fit p or the batch is empty.
    ValueError
        For probabilities outside [0, 1], and for targets that are neither labels
        nor distributions.
    """
    p = as_prediction(p)
    y = class_columns(y, p)
    check_probabilities(p)
    return float(0 - xlogy(y, p).sum() / p.shape[1])


# book/04-losses.md, "Cross-entropy as a loss"
def cross_entropy_backward(p, y):
    """Gradient of `cross_entropy` at p: -y / (N p), zero where y is."""
    p = as_prediction(p)
    y = class_columns(y, p)
    check_probabilities(p)
    dp = np.zeros_like(p)
    with np.errstate(divide="ignore"):
        np.divide(y, p, out=dp, where=y > 0)
    dp *= -1 / p.shape[1]
    return dp


# book/04-losses.md, "KL divergence"
def kl_divergence(p, y):
    """Divergence KL(y || p), averaged over the batch (Kullback and Leibler, 1951).

    Parameters
    ----------
    p : ndarray, shape (classes, batch)
        Predicted probabilities.
    y : ndarray, shape (classes, batch)
        Target distributions.

    Returns
    -------
    float
        In nats. Infinite if something possible was given probability zero.

    Raises
    ------
    ShapeError
        If the shapes differ or the batch is empty.
    ValueError
        For probabilities outside [0, 1], or columns of y that do not sum to one.
    """
    p, y = paired(p, y)
    y = class_targets(y, p)
    check_probabilities(p)
    return float((xlogy(y, y) - xlogy(y, p)).sum() / p.shape[1])


# book/04-losses.md, "KL divergence"
def kl_divergence_backward(p, y):
    """Gradient of `kl_divergence` at p, the cross-entropy's: -y / (N p)."""
    p, y = paired(p, y)
    return cross_entropy_backward(p, y)


# book/04-losses.md, "Two classes: binary cross-entropy"
def binary_cross_entropy(p, y):
    """Cross-entropy of separate yes-or-no answers, averaged over features and batch.

    Parameters
    ----------
    p : ndarray, shape (features, batch)
        Probabilities of "yes". For logits use `sigmoid_binary_cross_entropy`.
    y : ndarray, shape (features, batch)
        Targets, 0 or 1 or anything between.

    Returns
    -------
    float
        In nats. Infinite if a certain answer was wrong.

    Raises
    ------
    ShapeError
        If the shapes differ or the batch is empty.
    ValueError
        For values of p or y outside [0, 1].
    """
    p, y = paired(p, y)
    check_probabilities(p)
    check_probabilities(y, "y")
    return float(0 - (xlogy(y, p) + xlogy(1 - y, 1 - p)).mean())


# book/04-losses.md, "Two classes: binary cross-entropy"
def binary_cross_entropy_backward(p, y):
    """Gradient of `binary_cross_entropy`: ((1 - y) / (1 - p) - y / p) / (F N)."""
    p, y = paired(p, y)
    check_probabilities(p)
    check_probabilities(y, "y")
    dp, hit = np.zeros_like(p), np.zeros_like(p)
    with np.errstate(divide="ignore"):
        np.divide(1 - y, 1 - p, out=dp, where=y < 1)
        np.divide(y, p, out=hit, where=y > 0)
    dp -= hit
    dp *= 1 / p.size
    return dp


# book/04-losses.md, "Not so harmless"
def log_softmax(z):
    """Logarithm of softmax(z), from the logits, with neither overflow nor log 0.

    Parameters
    ----------
    z : ndarray, shape (classes, batch)
        Finite logits.

    Returns
    -------
    ndarray, shape (classes, batch)
        All at most zero. See Blanchard, Higham and Higham (2021) for its accuracy.
    """
    z = as_prediction(z)
    shifted = z - z.max(axis=0)
    return shifted - np.log(np.exp(shifted).sum(axis=0))


# book/04-losses.md, "Not so harmless"
def softmax_cross_entropy(z, y):
    """`cross_entropy` of softmax(z), straight from the logits.

    Parameters
    ----------
    z : ndarray, shape (classes, batch)
        Finite logits of any size.
    y : array_like
        Integer labels (batch,), or distributions (classes, batch).

    Returns
    -------
    float
        In nats.

    Raises
    ------
    ShapeError
        If y does not fit z or the batch is empty.
    ValueError
        For targets that are not labels or distributions.
    """
    z = as_prediction(z)
    y = class_columns(y, z)
    return float(0 - (y * log_softmax(z)).sum() / z.shape[1])


# book/04-losses.md, "Not so harmless"
def softmax_cross_entropy_backward(z, y):
    """Gradient of `softmax_cross_entropy` at z: (softmax(z) - y) / N."""
    z = as_prediction(z)
    y = class_columns(y, z)
    return (softmax(z) - y) / z.shape[1]


# book/04-losses.md, "Sigmoid and binary cross-entropy, fused"
def sigmoid_binary_cross_entropy(z, y):
    """`binary_cross_entropy` of sigmoid(z), straight from the logits.

    Parameters
    ----------
    z : ndarray, shape (features, batch)
        Finite logits of any size.
    y : ndarray, shape (features, batch)
        Targets, 0 or 1 or anything between.

    Returns
    -------
    float
        In nats.

    Raises
    ------
    ShapeError
        If the shapes differ or the batch is empty.
    ValueError
        For targets outside [0, 1].
    """
    z, y = paired(z, y)
    check_probabilities(y, "y")
    loss = np.maximum(z, 0) - z * y + np.log1p(np.exp(-np.abs(z)))
    return float(loss.mean())


# book/04-losses.md, "Sigmoid and binary cross-entropy, fused"
def sigmoid_binary_cross_entropy_backward(z, y):
    """Gradient of `sigmoid_binary_cross_entropy` at z: (sigmoid(z) - y) / (F N)."""
    z, y = paired(z, y)
    check_probabilities(y, "y")
    return (sigmoid(z) - y) / z.size


# book/04-losses.md, "A loss as an object"
class Loss:
    """A loss and its gradient as one object that a network trains on.

    A subclass sets `value(prediction, y)` and `gradient(prediction, y)`.

    Attributes
    ----------
    additive : bool
        Whether it is a mean over samples, so that parts of a minibatch add up.
    """
    additive = True
    value = gradient = prediction = None
    workspace, replica = Layer.workspace, Layer.replica

    def __init__(self):
        self._arrays = {}

    def forward(self, prediction, y):
        """The loss of a batch, a float: the mean over its samples."""
        prediction = as_prediction(prediction)
        value = self.value(prediction, y)
        self.prediction, self.y = prediction, y
        return value

    def backward(self, count=None):
        """The gradient at the prediction of the last `forward`, shaped like it.

        `count` divides by that many samples instead of the batch's own number, for a
        batch that is a part of a larger one.
        """
        share = self.share(count)
        dp = self.gradient(self.prediction, self.y)
        dp *= share
        return dp

    def share(self, count):
        """What part of a minibatch of `count` samples this batch is."""
        name = type(self).__name__
        if self.prediction is None:
            raise RuntimeError(f"{name}: backward before forward")
        batch = self.prediction.shape[-1]
        if count is None or count == batch:
            return 1.0
        if not self.additive:
            raise ValueError(f"{name}: not a mean over samples, "
                             "cannot be computed in parts")
        if count < batch:
            raise ValueError(f"{name}: expected a count of at least the batch's "
                             f"{batch}, got {count}")
        return float(batch / count)


# book/04-losses.md, "A loss as an object"
class AbsoluteError(Loss):
    """`absolute_error` as a `Loss`."""
    value = staticmethod(absolute_error)
    gradient = staticmethod(absolute_error_backward)


# book/04-losses.md, "A loss as an object"
class MeanAbsoluteError(Loss):
    """`mean_absolute_error` as a `Loss`."""
    value = staticmethod(mean_absolute_error)
    gradient = staticmethod(mean_absolute_error_backward)


# book/04-losses.md, "A loss as an object"
class MeanSquaredError(Loss):
    """`mean_squared_error` as a `Loss`."""
    value = staticmethod(mean_squared_error)
    gradient = staticmethod(mean_squared_error_backward)


# book/04-losses.md, "A loss as an object"
class RootMeanSquaredError(Loss):
    """`root_mean_squared_error` as a `Loss`; not additive."""
    additive = False
    value = staticmethod(root_mean_squared_error)
    gradient = staticmethod(root_mean_squared_error_backward)


# book/04-losses.md, "A loss as an object"
class CrossEntropy(Loss):
    """`cross_entropy` as a `Loss`, on probabilities."""
    value = staticmethod(cross_entropy)
    gradient = staticmethod(cross_entropy_backward)


# book/04-losses.md, "A loss as an object"
class KLDivergence(Loss):
    """`kl_divergence` as a `Loss`, on probabilities."""
    value = staticmethod(kl_divergence)
    gradient = staticmethod(kl_divergence_backward)


# book/04-losses.md, "A loss as an object"
class BinaryCrossEntropy(Loss):
    """`binary_cross_entropy` as a `Loss`, on probabilities."""
    value = staticmethod(binary_cross_entropy)
    gradient = staticmethod(binary_cross_entropy_backward)


# book/04-losses.md, "A loss as an object"
class SigmoidBinaryCrossEntropy(Loss):
    """`sigmoid_binary_cross_entropy` as a `Loss`, on logits."""
    value = staticmethod(sigmoid_binary_cross_entropy)
    gradient = staticmethod(sigmoid_binary_cross_entropy_backward)


# book/04-losses.md, "A loss as an object"
class SoftmaxCrossEntropy(Loss):
    """`softmax_cross_entropy` as a `Loss`, on logits, in a workspace.

    Targets are labels (batch,) or distributions (classes, batch). After `forward`,
    `p` holds the probabilities. It and what `backward` returns are overwritten by
    the next call.
    """
    value = staticmethod(softmax_cross_entropy)
    gradient = staticmethod(softmax_cross_entropy_backward)

    def forward(self, z, y):
        z = as_prediction(z)
        self.y = y = class_targets(y, z)
        self.prediction, batch = z, z.shape[1]
        p = self.p = self.workspace("p", z.shape, z.dtype)
        np.subtract(z, z.max(axis=0), out=p)
        if y.ndim == 1:
            self.at = y * batch + np.arange(batch)
            score = p.reshape(-1)[self.at].sum()
        else:
            score = (y * p).sum()
        np.exp(p, out=p)
        total = p.sum(axis=0)
        p /= total
        return float((np.log(total).sum() - score) / batch)

    def backward(self, count=None):
        share = self.share(count) / self.prediction.shape[1]
        dz = self.workspace("dz", self.p.shape, self.p.dtype)
        np.multiply(self.p, share, out=dz)
        if self.y.ndim == 1:
            dz.reshape(-1)[self.at] -= share
        else:
            dz -= self.y * share
        return dz
