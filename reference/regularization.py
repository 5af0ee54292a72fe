"""Regularization, one number at a time.

A batch is nested lists, x[feature][sample] or x[channel][row][column][sample]. For batch
normalization each channel is laid out as one list of numbers; where a number stands in it does not
matter to a mean.
"""

import math

from reference._edge import to_array, to_list
from reference.dense import Layer, ShapeError
from reference.losses import Loss, one_hot, softmax_cross_entropy, softmax_cross_entropy_backward
from reference.optimizers import number_between


def _numbers(nested):
    """All numbers of nested lists, in one list."""
    if not isinstance(nested, list):
        return [nested]
    return [number for part in nested for number in _numbers(part)]


def _each(f, *nested):
    """f of the numbers that stand in the same place, in the same nesting."""
    if not isinstance(nested[0], list):
        return f(*nested)
    return [_each(f, *parts) for parts in zip(*nested)]


def _depth(nested):
    return 1 + _depth(nested[0]) if isinstance(nested, list) and nested else 0


def _column(values):
    """Column arrays (channels, 1) as a list."""
    return [row[0] for row in to_list(values)]


# Weights

def decay_weights(network, strength):
    """The flat vector has the parameters in the order of their names."""
    strength = number_between("strength", strength, 0)
    strengths = []
    for name, view in network.named_parameters():
        for _ in _numbers(to_list(view)):
            strengths.append(strength if name.endswith("W") else 0.0)
    return to_array(strengths)


# Label smoothing

def smooth_targets(y, smoothing=0.1):
    y = to_list(y)
    classes = len(y)
    return to_array(_each(lambda p: (1.0 - smoothing) * p + smoothing / classes, y))


def _smoothed(z, y, smoothing):
    y = to_list(y)
    if not isinstance(y[0], list):
        y = one_hot(y, len(to_list(z)))
    return smooth_targets(y, smoothing)


def smoothed_cross_entropy(z, y, smoothing=0.1):
    return softmax_cross_entropy(z, _smoothed(z, y, smoothing))


def smoothed_cross_entropy_backward(z, y, smoothing=0.1):
    return softmax_cross_entropy_backward(z, _smoothed(z, y, smoothing))


class SmoothedCrossEntropy(Loss):
    def __init__(self, smoothing=0.1):
        self.smoothing = number_between("smoothing", smoothing, 0, 1)

    def value(self, z, y):
        return smoothed_cross_entropy(z, y, self.smoothing)

    def gradient(self, z, y):
        return smoothed_cross_entropy_backward(z, y, self.smoothing)


# Dropout

def dropout_mask(u, rate):
    return to_array(_each(lambda draw: 0.0 if draw < rate else 1.0 / (1.0 - rate), to_list(u)))


def dropout(x, mask):
    return to_array(_each(lambda a, m: a * m, to_list(x), to_list(mask)))


def dropout_backward(dy, mask):
    return to_array(_each(lambda d, m: d * m, to_list(dy), to_list(mask)))


# Batch normalization

def _channels(x, name="x"):
    x = to_list(x)
    if _depth(x) not in (2, 4) or not _numbers(x):
        raise ShapeError(f"expected {name} shaped (features, batch) or (channels, height, width, batch)")
    return x


def batch_statistics(x):
    means, variances = [], []
    for channel in _channels(x):
        numbers = _numbers(channel)
        mean = math.fsum(numbers) / len(numbers)
        means.append([mean])
        variances.append([math.fsum((number - mean) ** 2 for number in numbers) / len(numbers)])
    return to_array(means), to_array(variances)


def batch_norm(x, gamma, beta, mean, var, eps=1e-5):
    y = []
    for channel, g, b, m, v in zip(_channels(x), *map(_column, (gamma, beta, mean, var))):
        deviation = math.sqrt(v + eps)
        y.append(_each(lambda a: g * (a - m) / deviation + b, channel))
    return to_array(y)


def batch_norm_backward(dy, x, gamma, mean, var, eps=1e-5, training=True):
    """Through the graph, one quantity after the other: y from xhat, xhat from x, mean and variance."""
    dx, dgamma, dbeta = [], [], []
    for slopes, channel, g, m, v in zip(_channels(dy, "dy"), _channels(x), *map(_column, (gamma, mean, var))):
        d, a = _numbers(slopes), _numbers(channel)
        count, deviation = len(a), math.sqrt(v + eps)
        dgamma.append([math.fsum(d[i] * (a[i] - m) / deviation for i in range(count))])
        dbeta.append([math.fsum(d)])
        dxhat = [g * d[i] for i in range(count)]
        dvar, dmean = 0.0, 0.0
        if training:
            dvar = math.fsum(dxhat[i] * (a[i] - m) for i in range(count)) * -0.5 * deviation ** -3
            dmean = -math.fsum(dxhat) / deviation
        dx.append(_each(lambda slope, number: g * slope / deviation + dvar * 2.0 * (number - m) / count
                        + dmean / count, slopes, channel))
    return to_array(dx), to_array(dgamma), to_array(dbeta)


def update_running(mean, var, batch_mean, batch_var, count, momentum=0.1):
    new_means, new_variances = _column(batch_mean), _column(batch_var)
    for i in range(len(mean)):
        unbiased = new_variances[i] * count / (count - 1)
        mean[i][0] = (1.0 - momentum) * float(mean[i][0]) + momentum * new_means[i]
        var[i][0] = (1.0 - momentum) * float(var[i][0]) + momentum * unbiased


class BatchNorm(Layer):
    x = None

    def __init__(self, momentum=0.1, eps=1e-5):
        super().__init__()
        if momentum < 0 or momentum > 1:
            raise ValueError(f"expected momentum from 0 to 1, got {momentum}")
        self.momentum, self.eps = momentum, number_between("eps", eps, 0, closed=False)

    def build(self, input_shape):
        if len(input_shape) not in (1, 3):
            raise ShapeError(f"expected (features,) or (channels, height, width), got {input_shape}")
        shape = (input_shape[0], 1)
        self.parameter_shapes = {"gamma": shape, "beta": shape}
        return tuple(input_shape)

    def initialize(self, rng):
        for i in range(len(self.gamma)):
            self.gamma[i][0], self.beta[i][0] = 1.0, 0.0
        channels = range(len(self.gamma))
        self.buffers = {"mean": to_array([[0.0] for _ in channels]), "var": to_array([[1.0] for _ in channels])}

    def forward(self, x, training=False):
        count = len(_numbers(_channels(x)[0]))
        if training and count == 1:
            raise ShapeError("expected at least two numbers in a channel while training")
        self.x, self.training = x, training
        mean, var = self.buffers["mean"], self.buffers["var"]
        self.statistics = batch_statistics(x) if training else (mean, var)
        if training:
            update_running(mean, var, *self.statistics, count, self.momentum)
        return batch_norm(x, self.gamma, self.beta, *self.statistics, self.eps)

    def backward(self, dy, need_dx=True):
        if self.x is None:
            raise RuntimeError("BatchNorm: backward before forward")
        dx, dgamma, dbeta = batch_norm_backward(dy, self.x, self.gamma, *self.statistics, self.eps, self.training)
        for i in range(len(self.gamma)):
            self.dgamma[i][0], self.dbeta[i][0] = dgamma[i][0], dbeta[i][0]
        if need_dx:
            return dx


# Averaged weights

def averaging_decay(steps, decay=0.999):
    early = (1.0 + steps) / (10.0 + steps)
    return early if early < decay else decay


class Averaged:
    def __init__(self, optimizer, decay=0.999):
        self.optimizer, self.decay = optimizer, number_between("decay", decay, 0, 1)
        self.numbers = None

    @property
    def rate(self):
        return self.optimizer.rate

    @property
    def steps(self):
        return self.optimizer.steps

    @property
    def average(self):
        return None if self.numbers is None else to_array(self.numbers)

    @property
    def state(self):
        if self.numbers is None:
            return self.optimizer.state
        return {**self.optimizer.state, "average": self.average}

    def step(self, parameters, gradients):
        before = to_list(parameters) if self.numbers is None else self.numbers
        if len(before) != len(parameters):
            raise ShapeError(f"an average of {len(before)} numbers, {len(parameters)} parameters")
        self.optimizer.step(parameters, gradients)
        keep = averaging_decay(self.steps, self.decay)
        self.numbers = [keep * a + (1.0 - keep) * float(w) for a, w in zip(before, parameters)]

    def restore(self, state, steps):
        rest = {name: vector for name, vector in state.items() if name != "average"}
        if (state or steps) and "average" not in state:
            raise ValueError("expected a state with an average")
        self.optimizer.restore(rest, steps)
        self.numbers = to_list(state["average"]) if state else None

    def put_into(self, network):
        if self.numbers is None:
            raise RuntimeError("Averaged: nothing to put before the first step")
        network.parameters = self.average
