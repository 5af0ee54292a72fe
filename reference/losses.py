"""Losses, one element at a time.

Predictions p (or logits z) are lists of rows: p[f][n] is feature, or class, f of sample n.
Targets y have the same shape; class losses also take one integer label per sample.
Every sum is math.fsum: correctly rounded, in whatever order.
"""

import math

from reference._edge import to_array, to_list
from reference.dense import ShapeError


def _matrix(p):
    """A prediction as rows, with its number of features and of samples."""
    p = to_list(p)
    if not (isinstance(p, list) and p and isinstance(p[0], list) and p[0] and isinstance(p[0][0], float)):
        raise ShapeError("expected predictions shaped (features, batch) with at least one sample")
    return p, len(p), len(p[0])


def _pair(p, y):
    """Prediction and target of one shape."""
    p, features, batch = _matrix(p)
    y, *shape = _matrix(y)
    if shape != [features, batch]:
        raise ShapeError(f"expected y shaped {(features, batch)}, got {tuple(shape)}")
    return p, y, features, batch


def _targets(y, classes, batch):
    """Targets as a column of probabilities per sample, whether labels or columns came in."""
    y = to_list(y)
    if not isinstance(y[0], list):
        y = to_list(one_hot(y, classes))
    if (len(y), len(y[0])) != (classes, batch):
        raise ShapeError(f"expected targets for {(classes, batch)}, got {(len(y), len(y[0]))}")
    for n in range(batch):
        column = [y[i][n] for i in range(classes)]
        if min(column) < 0 or max(column) > 1 or abs(math.fsum(column) - 1) > 1e-3:
            raise ValueError(f"expected a distribution, got {column}")
    return y


def _each(f, p, y):
    """f(p[f][n], y[f][n]) for every element, in the same shape."""
    return [[f(a, b) for a, b in zip(p_row, y_row)] for p_row, y_row in zip(p, y)]


def _total(rows):
    return math.fsum(x for row in rows for x in row)


def _sign(e):
    return 1.0 if e > 0 else -1.0 if e < 0 else 0.0


def _log(x):
    return -math.inf if x == 0 else math.log(x)


def _over(a, b):
    """a / b, infinite where b is zero."""
    return math.inf if b == 0 else a / b


def _sigmoid(z):
    return 1 / (1 + math.exp(-z)) if z >= 0 else math.exp(z) / (1 + math.exp(z))


def one_hot(labels, classes, dtype=None):
    """Row i, column n: is sample n of class i? (Floats are all of one kind here: dtype is not used.)"""
    labels = to_list(labels)
    for label in labels:
        if label != int(label) or not 0 <= label < classes:
            raise ValueError(f"expected integer labels from 0 to {classes - 1}, got {label}")
    return to_array([[1.0 if label == i else 0.0 for label in labels] for i in range(classes)])


# Distances

def absolute_error(p, y):
    p, y, _, batch = _pair(p, y)
    return _total(_each(lambda a, b: abs(a - b), p, y)) / batch


def absolute_error_backward(p, y):
    p, y, _, batch = _pair(p, y)
    return to_array(_each(lambda a, b: _sign(a - b) / batch, p, y))


def mean_absolute_error(p, y):
    _, _, features, _ = _pair(p, y)
    return absolute_error(p, y) / features


def mean_absolute_error_backward(p, y):
    p, y, features, batch = _pair(p, y)
    return to_array(_each(lambda a, b: _sign(a - b) / (features * batch), p, y))


def mean_squared_error(p, y):
    p, y, features, batch = _pair(p, y)
    return _total(_each(lambda a, b: (a - b) * (a - b), p, y)) / (features * batch)


def mean_squared_error_backward(p, y):
    p, y, features, batch = _pair(p, y)
    return to_array(_each(lambda a, b: 2 * (a - b) / (features * batch), p, y))


def root_mean_squared_error(p, y):
    return math.sqrt(mean_squared_error(p, y))


def root_mean_squared_error_backward(p, y):
    p, y, features, batch = _pair(p, y)
    rmse = root_mean_squared_error(p, y)
    if rmse == 0:
        return to_array([[0.0] * batch for _ in range(features)])
    return to_array(_each(lambda a, b: (a - b) / (features * batch * rmse), p, y))


# Probabilities

def xlogy(x, y):
    """x log y for every element, with 0 log 0 = 0."""
    return to_array(_each(lambda a, b: 0.0 if a == 0 else a * _log(b), to_list(x), to_list(y)))


def cross_entropy(p, y):
    p, classes, batch = _matrix(p)
    y = _targets(y, classes, batch)
    surprise = 0.0 - _total(_each(lambda a, b: 0.0 if b == 0 else b * _log(a), p, y))
    return surprise / batch


def cross_entropy_backward(p, y):
    p, classes, batch = _matrix(p)
    y = _targets(y, classes, batch)
    return to_array(_each(lambda a, b: 0.0 if b == 0 else -_over(b, a) / batch, p, y))


def kl_divergence(p, y):
    p, y, classes, batch = _pair(p, y)
    y = _targets(y, classes, batch)

    def term(a, b):
        return 0.0 if b == 0 else b * (math.log(b) - _log(a))

    return _total(_each(term, p, y)) / batch


def kl_divergence_backward(p, y):
    p, y, _, _ = _pair(p, y)
    return cross_entropy_backward(p, y)


def binary_cross_entropy(p, y):
    p, y, features, batch = _pair(p, y)

    def term(a, b):
        hit = 0.0 if b == 0 else b * _log(a)
        miss = 0.0 if b == 1 else (1 - b) * _log(1 - a)
        return hit + miss

    return (0.0 - _total(_each(term, p, y))) / (features * batch)


def binary_cross_entropy_backward(p, y):
    p, y, features, batch = _pair(p, y)

    def slope(a, b):
        hit = 0.0 if b == 0 else _over(b, a)
        miss = 0.0 if b == 1 else _over(1 - b, 1 - a)
        return (miss - hit) / (features * batch)

    return to_array(_each(slope, p, y))


def sigmoid_binary_cross_entropy(z, y):
    """-y log s(z) - (1 - y) log(1 - s(z)), the two logs written as log(1 + exp(...))."""
    z, y, features, batch = _pair(z, y)

    def softplus(t):
        return t + math.log1p(math.exp(-t)) if t > 0 else math.log1p(math.exp(t))

    terms = _each(lambda a, b: b * softplus(-a) + (1 - b) * softplus(a), z, y)
    return _total(terms) / (features * batch)


def sigmoid_binary_cross_entropy_backward(z, y):
    z, y, features, batch = _pair(z, y)
    return to_array(_each(lambda a, b: (_sigmoid(a) - b) / (features * batch), z, y))


def log_softmax(z):
    """z - log sum exp z, column by column; fsum adds the three numbers with one rounding."""
    z, classes, batch = _matrix(z)
    result = [[0.0] * batch for _ in range(classes)]
    for n in range(batch):
        column = [z[i][n] for i in range(classes)]
        m = max(column)
        log_total = math.log(math.fsum(math.exp(c - m) for c in column))
        for i in range(classes):
            result[i][n] = math.fsum([column[i], -m, -log_total])
    return to_array(result)


def softmax_cross_entropy(z, y):
    z, classes, batch = _matrix(z)
    y = _targets(y, classes, batch)
    return (0.0 - _total(_each(lambda a, b: a * b, to_list(log_softmax(z)), y))) / batch


def softmax_cross_entropy_backward(z, y):
    z, classes, batch = _matrix(z)
    y = _targets(y, classes, batch)
    logs = to_list(log_softmax(z))
    return to_array(_each(lambda a, b: (math.exp(a) - b) / batch, logs, y))


class Loss:
    """forward: the mean over the batch; backward: its gradient, divided by `count` samples if given."""
    additive = True
    value = gradient = None

    def forward(self, prediction, y):
        self.prediction, self.y = prediction, y
        return self.value(prediction, y)

    def backward(self, count=None):
        rows = to_list(self.gradient(self.prediction, self.y))
        batch = len(rows[0])
        if count is None or count == batch:
            return to_array(rows)
        if not self.additive:
            raise ValueError(f"{type(self).__name__} cannot be computed in parts")
        if count < batch:
            raise ValueError(f"expected a count of at least {batch}, got {count}")
        return to_array([[x * batch / count for x in row] for row in rows])


class AbsoluteError(Loss):
    value, gradient = staticmethod(absolute_error), staticmethod(absolute_error_backward)


class MeanAbsoluteError(Loss):
    value = staticmethod(mean_absolute_error)
    gradient = staticmethod(mean_absolute_error_backward)


class MeanSquaredError(Loss):
    value = staticmethod(mean_squared_error)
    gradient = staticmethod(mean_squared_error_backward)


class RootMeanSquaredError(Loss):
    additive = False
    value = staticmethod(root_mean_squared_error)
    gradient = staticmethod(root_mean_squared_error_backward)


class CrossEntropy(Loss):
    value, gradient = staticmethod(cross_entropy), staticmethod(cross_entropy_backward)


class KLDivergence(Loss):
    value, gradient = staticmethod(kl_divergence), staticmethod(kl_divergence_backward)


class BinaryCrossEntropy(Loss):
    value = staticmethod(binary_cross_entropy)
    gradient = staticmethod(binary_cross_entropy_backward)


class SigmoidBinaryCrossEntropy(Loss):
    value = staticmethod(sigmoid_binary_cross_entropy)
    gradient = staticmethod(sigmoid_binary_cross_entropy_backward)


class SoftmaxCrossEntropy(Loss):
    value = staticmethod(softmax_cross_entropy)
    gradient = staticmethod(softmax_cross_entropy_backward)
