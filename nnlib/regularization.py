# Generated from book/12-a-convolutional-network.md by `python -m course tangle`.
# Do not edit: change the chapter, then tangle again.
"""A convolutional network."""

import numpy as np

from nnlib.convolution import whole
from nnlib.dense import Layer, ShapeError, expect_shape
from nnlib.losses import (
    SoftmaxCrossEntropy,
    as_prediction,
    class_columns,
    softmax_cross_entropy,
    softmax_cross_entropy_backward,
)
from nnlib.network import batch_last, check_samples, named_views
from nnlib.optimizers import check_state, moving_average, number_between

__all__ = [
    "decay_weights",
    "smooth_targets",
    "smoothed_cross_entropy",
    "smoothed_cross_entropy_backward",
    "SmoothedCrossEntropy",
    "dropout_mask",
    "dropout",
    "dropout_backward",
    "float_samples",
    "seed_masks",
    "next_mask",
    "Dropout",
    "as_rows",
    "channel_sums",
    "channel_products",
    "batch_statistics",
    "batch_norm",
    "batch_norm_backward",
    "update_running",
    "norm_settings",
    "norm_input",
    "BatchNorm",
    "averaging_decay",
    "Averaged",
    "find_batch_norms",
    "refresh_statistics",
]


# book/12-a-convolutional-network.md, "Weight decay, on weights"
def decay_weights(network, strength):
    """L2 strengths for an optimizer's `weight_decay`: weights decay, the rest does not.

    Parameters
    ----------
    network : Network
        Built.
    strength : float
        For every element of a parameter whose name ends in W. Biases, and the scales
        and shifts of batch normalization, get 0.

    Returns
    -------
    ndarray, shape (parameter_count,)

    Raises
    ------
    ValueError
        If the strength is negative or not a number.
    RuntimeError
        If the network is not built.
    """
    strength = number_between("strength", strength, 0)
    strengths = np.zeros_like(network.parameters)
    for name, view in named_views(network.layers, strengths):
        if name.endswith("W"):
            view[...] = strength
    return strengths


# book/12-a-convolutional-network.md, "Label smoothing"
def smooth_targets(y, smoothing=0.1):
    """Targets that leave a little for every class: (1 - smoothing) y + smoothing / K.

    Parameters
    ----------
    y : ndarray, shape (classes, batch)
        Distributions, one per column; K is the number of classes.
    smoothing : float in [0, 1)

    Returns
    -------
    ndarray, shape (classes, batch)
        Distributions again, in the dtype of y.

    References
    ----------
    Szegedy et al., Rethinking the inception architecture for computer vision (2016).
    """
    return (1.0 - smoothing) * y + smoothing / len(y)


# book/12-a-convolutional-network.md, "Label smoothing"
def smoothed_cross_entropy(z, y, smoothing=0.1):
    """`softmax_cross_entropy` with smoothed targets.

    Parameters
    ----------
    z : ndarray, shape (classes, batch)
        Finite logits.
    y : array_like
        Integer labels (batch,), or distributions (classes, batch).
    smoothing : float in [0, 1)

    Returns
    -------
    float
        In nats. Not 0 for a perfect prediction: the targets' entropy remains.

    Raises
    ------
    ShapeError, ValueError
        As `softmax_cross_entropy` does.
    """
    z = as_prediction(z)
    return softmax_cross_entropy(z, smooth_targets(class_columns(y, z), smoothing))


# book/12-a-convolutional-network.md, "Label smoothing"
def smoothed_cross_entropy_backward(z, y, smoothing=0.1):
    """Gradient of `smoothed_cross_entropy` at z: (softmax(z) - smoothed y) / N."""
    z = as_prediction(z)
    q = smooth_targets(class_columns(y, z), smoothing)
    return softmax_cross_entropy_backward(z, q)


# book/12-a-convolutional-network.md, "Label smoothing"
class SmoothedCrossEntropy(SoftmaxCrossEntropy):
    """`smoothed_cross_entropy` as a `Loss`, on logits, in a workspace.

    Parameters
    ----------
    smoothing : float
        In [0, 1): the share of each target that is spread evenly over all classes.

    Raises
    ------
    ValueError
        For a smoothing outside its range.
    """

    def __init__(self, smoothing=0.1):
        super().__init__()
        self.smoothing = number_between("smoothing", smoothing, 0, 1)

    def value(self, z, y):
        return smoothed_cross_entropy(z, y, self.smoothing)

    def gradient(self, z, y):
        return smoothed_cross_entropy_backward(z, y, self.smoothing)

    def forward(self, z, y):
        plain = super().forward(z, y)
        z = self.prediction
        if self.y.ndim == 1:
            right = z.reshape(-1)[self.at]
        else:
            right = (self.y * z).sum(axis=0)
        return plain + self.smoothing * float(np.mean(right - z.mean(axis=0)))

    def backward(self, count=None):
        dz = super().backward(count)
        share = self.smoothing * self.share(count) / dz.shape[1]
        if self.y.ndim == 1:
            dz.reshape(-1)[self.at] += share
        else:
            dz += self.y * share
        dz -= share / len(dz)
        return dz


# book/12-a-convolutional-network.md, "Dropout"
def dropout_mask(u, rate, out=None):
    """What dropout multiplies by: 0 where u < rate, elsewhere 1 / (1 - rate).

    Parameters
    ----------
    u : ndarray
        Random numbers, uniform in [0, 1).
    rate : float in [0, 1)
        The share of zeros to expect.
    out : ndarray, shape of u, optional
        Filled and returned instead of a new array.

    Returns
    -------
    ndarray, shape of u
    """
    out = np.empty_like(u) if out is None else out
    np.greater_equal(u, rate, out=out)
    return np.multiply(out, 1.0 / (1.0 - rate), out=out)


# book/12-a-convolutional-network.md, "Dropout"
def dropout(x, mask, out=None):
    """Numbers at random made zero, the rest scaled up: x times the mask.

    Parameters
    ----------
    x, mask : ndarray of one shape
        The mask from `dropout_mask`.
    out : ndarray, shape of x, optional
        Filled and returned instead of a new array.

    Returns
    -------
    ndarray, shape of x

    References
    ----------
    Srivastava et al., Dropout: a simple way to prevent neural networks from
    overfitting (2014).
    """
    return np.multiply(x, mask, out=out)


# book/12-a-convolutional-network.md, "Dropout"
def dropout_backward(dy, mask, out=None):
    """The input's gradient of `dropout`: dy times the same mask."""
    return np.multiply(dy, mask, out=out)


# book/12-a-convolutional-network.md, "Random, and yet the same again"
def float_samples(owner, name, x):
    """An array of floats, batch last, none of its axes empty.

    float32 and float64 stay what they are; everything else becomes float64.

    Raises
    ------
    ShapeError
        If there is no sample, or no axis beside the samples'.
    """
    x = np.asarray(x)
    if x.ndim < 2 or x.size == 0:
        raise ShapeError(f"{owner}: expected {name} shaped (features, batch) or "
                         "(channels, height, width, batch), at least one sample, "
                         f"got {x.shape}")
    return x if x.dtype in (np.float32, np.float64) else x.astype(np.float64)


# book/12-a-convolutional-network.md, "Random, and yet the same again"
def seed_masks(layer, rng):
    """Begin a dropout layer's masks anew: its buffer "draws" is (seed, 0 calls).

    The seed is the layer's own or, without one, comes from a child of `rng`, whose own
    numbers stay the same with and without this layer.
    """
    seed = layer.seed
    if seed is None:
        seed = int(rng.spawn(1)[0].integers(2**63))
    layer.buffers = {"draws": np.array([seed, 0], np.int64)}


# book/12-a-convolutional-network.md, "Random, and yet the same again"
def next_mask(layer, shape, dtype):
    """Count a training call of a dropout layer; draw the mask that belongs to it."""
    if not layer.buffers:
        raise RuntimeError("Dropout: training before initialize")
    draws = layer.buffers["draws"]
    draws[1] += 1
    rng = np.random.default_rng([*draws.tolist(), 1, *layer.path])
    u = layer.workspace("u", shape, np.float32)
    rng.random(out=u, dtype=np.float32)
    return dropout_mask(u, layer.rate, layer.workspace("mask", shape, dtype))


# book/12-a-convolutional-network.md, "Random, and yet the same again"
class Dropout(Layer):
    """While training, makes a share of the numbers zero; otherwise does nothing.

    Parameters
    ----------
    rate : float
        In [0, 1): the probability of a number to become zero.
    seed : int, optional
        Decides the masks. Without it, the network's own seed does.

    Attributes
    ----------
    buffers : dict
        "draws": the seed, and the number of training calls so far. From these two, and
        from which replica it is (`path`), follows the mask of a call.

    Raises
    ------
    ValueError
        For a rate or a seed outside its range.
    ShapeError
        From `forward` and `backward`, if an array does not fit.
    RuntimeError
        From `forward` in training before `initialize`; `backward` before `forward`.
    """
    shape, mask, path, twins = None, None, (), 0
    initialize = seed_masks

    def __init__(self, rate, seed=None):
        super().__init__()
        self.rate = number_between("Dropout: rate", rate, 0, 1)
        self.seed = seed if seed is None else whole("Dropout: seed", seed, 0)

    def config(self):
        """What a checkpoint must agree with."""
        return {"rate": self.rate}

    def replica(self):
        """A twin for another thread, with masks of its own (see `Layer.replica`)."""
        twin, self.twins = super().replica(), self.twins + 1
        twin.path, twin.twins = (*self.path, self.twins), 0
        return twin

    def forward(self, x, training=False):
        x = float_samples("Dropout", "x", x)
        self.shape, self.mask = x.shape, None
        if not training:
            return x
        self.twins, self.mask = 0, next_mask(self, x.shape, x.dtype)
        return dropout(x, self.mask, self.workspace("y", x.shape, x.dtype))

    def backward(self, dy, need_dx=True):
        if self.shape is None:
            raise RuntimeError("Dropout: backward before forward")
        expect_shape("Dropout", "dy", np.shape(dy), self.shape)
        if self.mask is None:
            return dy
        dx = self.workspace("dx", self.shape, self.mask.dtype)
        return dropout_backward(dy, self.mask, dx)


# book/12-a-convolutional-network.md, "The way forward"
def as_rows(x):
    """Every channel as a table of rows: (channels, rows, numbers in a row).

    Parameters
    ----------
    x : ndarray, shape (features, batch) or (channels, height, width, batch)

    Returns
    -------
    ndarray, shape (features, 1, batch) or (channels, height, width * batch)
        A view where x lies in memory in this order.
    """
    return x.reshape(len(x), x.shape[1] if x.ndim == 4 else 1, -1)


# book/12-a-convolutional-network.md, "The way forward"
def channel_sums(rows):
    """The sum of each channel's numbers, as (channels, 1) of float64.

    A row is added up by a matrix product in its own precision, the rows' sums in
    double precision.
    """
    ones = np.ones(rows.shape[2], rows.dtype)
    sums = (rows.reshape(-1, len(ones)) @ ones).reshape(rows.shape[:2])
    return sums.sum(axis=1, keepdims=True, dtype=np.float64)


# book/12-a-convolutional-network.md, "The way forward"
def channel_products(a, b):
    """The sum of each channel's products, number by number: (channels, 1), float64."""
    return np.vecdot(a, b).sum(axis=1, keepdims=True, dtype=np.float64)


# book/12-a-convolutional-network.md, "The way forward"
def batch_statistics(x, out=None):
    """Mean and variance of every channel, over the batch and all pixels.

    Parameters
    ----------
    x : ndarray, shape (features, batch) or (channels, height, width, batch)
    out : ndarray, shape of x, optional
        Overwritten instead of allocating an array; not x.

    Returns
    -------
    mean, var : ndarray, shape (channels, 1)
        In the dtype of x. The variance is the mean square distance from the mean.
    """
    rows = as_rows(float_samples("batch_statistics", "x", x))
    count = rows[0].size
    mean = (channel_sums(rows) / count).astype(rows.dtype)
    out = None if out is None else as_rows(out)
    centred = np.subtract(rows, mean[:, None], out=out)
    return mean, (channel_products(centred, centred) / count).astype(rows.dtype)


# book/12-a-convolutional-network.md, "The way forward"
def batch_norm(x, gamma, beta, mean, var, eps=1e-5, out=None):
    """Channels normalized, then scaled and shifted.

    gamma (x - mean) / sqrt(var + eps) + beta, channel by channel.

    Parameters
    ----------
    x : ndarray, shape (features, batch) or (channels, height, width, batch)
    gamma, beta, mean, var : ndarray, shape (channels, 1)
        Scale and shift; statistics, from `batch_statistics` or running ones.
    eps : float
        Keeps a constant channel from being divided by zero.
    out : ndarray, shape of x, optional
        Filled and returned instead of a new array; not x.

    Returns
    -------
    ndarray, shape of x

    References
    ----------
    Ioffe and Szegedy, Batch normalization (2015).
    """
    x = float_samples("batch_norm", "x", x)
    y = np.empty_like(x, order="C") if out is None else out
    scale = (gamma / np.sqrt(var + eps)).astype(x.dtype)
    rows = np.subtract(as_rows(x), mean[:, None], out=as_rows(y))
    rows *= scale[:, None]
    rows += beta[:, None]
    return y


# book/12-a-convolutional-network.md, "The way back"
def batch_norm_backward(dy, x, gamma, mean, var, eps=1e-5, training=True, out=None):
    """All three gradients of `batch_norm`.

    Parameters
    ----------
    dy : ndarray, shape of x
        The upstream gradient.
    x, gamma, mean, var, eps
        As given to `batch_norm`.
    training : bool
        Whether mean and var are those of x, and so depend on it.
    out : ndarray, shape of x, optional
        Filled and returned as dx instead of a new array; neither x nor dy.

    Returns
    -------
    tuple of ndarray
        dx, shape of x; dgamma and dbeta, (channels, 1).
    """
    x = float_samples("batch_norm_backward", "x", x)
    dx = np.empty_like(x, order="C") if out is None else out
    back, count = as_rows(np.asarray(dy, x.dtype)), x[0].size
    inverse = 1.0 / np.sqrt(var + eps)
    centred = np.subtract(as_rows(x), mean[:, None], out=as_rows(dx))
    dgamma, dbeta = inverse * channel_products(back, centred), channel_sums(back)
    scale = (gamma * inverse).astype(x.dtype)[:, None]
    if training:
        centred *= (-inverse * dgamma / count).astype(x.dtype)[:, None]
        centred += back
        centred -= (dbeta / count).astype(x.dtype)[:, None]
        centred *= scale
    else:
        np.multiply(back, scale, out=centred)
    return dx, dgamma.astype(x.dtype), dbeta.astype(x.dtype)


# book/12-a-convolutional-network.md, "Running statistics"
def update_running(mean, var, batch_mean, batch_var, count, momentum=0.1):
    """Move running statistics towards those of a minibatch, in place.

    Parameters
    ----------
    mean, var : ndarray, shape (channels, 1)
        The running ones: (1 - momentum) old + momentum new.
    batch_mean, batch_var : ndarray, shape (channels, 1)
        From `batch_statistics`.
    count : int
        How many numbers of each channel they were taken from, at least 2. The variance
        is multiplied by count / (count - 1), which makes it the unbiased estimate.
    momentum : float in [0, 1]
    """
    moving_average(mean, batch_mean, 1.0 - momentum)
    moving_average(var, batch_var * (count / (count - 1)), 1.0 - momentum)


# book/12-a-convolutional-network.md, "Running statistics"
def norm_settings(momentum, eps):
    """Momentum and eps of batch normalization as floats; ValueError if out of range."""
    if not 0 <= momentum <= 1:
        raise ValueError(f"BatchNorm: expected momentum from 0 to 1, got {momentum!r}")
    return float(momentum), number_between("BatchNorm: eps", eps, 0, closed=False)


# book/12-a-convolutional-network.md, "Running statistics"
def norm_input(layer, x, training):
    """What a batch-normalization layer is given, in its dtype and in C order.

    Raises
    ------
    RuntimeError
        Before `initialize`.
    ShapeError
        If it does not fit, or if, in training, a channel has a single number.
    """
    if not layer.buffers:
        raise RuntimeError("BatchNorm: forward before initialize")
    x = np.ascontiguousarray(x, layer.gamma.dtype)
    expect_shape("BatchNorm", "x", x.shape, (*layer.sample_shape, "batch"))
    if training and x[0].size == 1:
        raise ShapeError("BatchNorm: expected at least two numbers in a channel while "
                         f"training, got x shaped {x.shape}")
    return x


# book/12-a-convolutional-network.md, "Running statistics"
class BatchNorm(Layer):
    """Gives every channel the mean beta and the standard deviation |gamma|.

    While training, a channel's numbers are normalized by their own mean and variance;
    otherwise by running ones. Then they are multiplied by gamma, and beta is added;
    both are learned, and start at 1 and 0.

    Parameters
    ----------
    momentum : float
        In [0, 1]: the weight of the newest minibatch in the running statistics.
    eps : float
        Added to the variance.

    Attributes
    ----------
    buffers : dict
        "mean" and "var", the running statistics, shape (channels, 1).
    measuring : bool
        True: also in evaluation, as in training. `refresh_statistics` needs that.

    Raises
    ------
    ValueError
        For a setting outside its range.
    ShapeError
        If an array does not fit; from `forward` in training, if a channel has a single
        number.
    RuntimeError
        From `forward` before `initialize`, from `backward` before `forward`.
    """
    x, measuring, lends_output = None, False, True

    def __init__(self, momentum=0.1, eps=1e-5):
        super().__init__()
        self.momentum, self.eps = norm_settings(momentum, eps)

    def build(self, input_shape):
        if len(input_shape) not in (1, 3):
            raise ShapeError("BatchNorm: expected samples shaped (features,) or "
                             f"(channels, height, width), got {tuple(input_shape)}")
        self.sample_shape, channels = tuple(input_shape), (input_shape[0], 1)
        self.parameter_shapes = {"gamma": channels, "beta": channels}
        return self.sample_shape

    def initialize(self, rng):
        self.gamma[...], self.beta[...] = 1, 0
        self.buffers = {"mean": self.beta.copy(), "var": self.gamma.copy()}

    def forward(self, x, training=False):
        training = training or self.measuring
        x = self.x = norm_input(self, x, training)
        self._training, y = training, self.workspace("y", x.shape, x.dtype)
        mean, var = self.buffers["mean"], self.buffers["var"]
        self.statistics = batch_statistics(x, y) if training else (mean, var)
        if training:
            update_running(mean, var, *self.statistics, x[0].size, self.momentum)
        return batch_norm(x, self.gamma, self.beta, *self.statistics, self.eps, y)

    def backward(self, dy, need_dx=True):
        if self.x is None:
            raise RuntimeError("BatchNorm: backward before forward")
        x, dy = self.x, np.ascontiguousarray(dy, self.x.dtype)
        expect_shape("BatchNorm", "dy", dy.shape, x.shape)
        dx, self.dgamma[...], self.dbeta[...] = batch_norm_backward(
            dy, x, self.gamma, *self.statistics, self.eps, self._training,
            self.workspace("dx", x.shape, x.dtype))
        return dx


# book/12-a-convolutional-network.md, "Averaged weights"
def averaging_decay(steps, decay=0.999):
    """How much of the average to keep after so many steps: min(decay, (1+t)/(10+t)).

    Parameters
    ----------
    steps : int
        Steps taken, t, counted from 1.
    decay : float in [0, 1)
        The largest value.

    Returns
    -------
    float
        Small at first, so that the average soon forgets the starting weights.
    """
    return min(decay, (1 + steps) / (10 + steps))


# book/12-a-convolutional-network.md, "Averaged weights"
class Averaged:
    """An optimizer that also keeps a moving average of the weights it makes.

    Use it like the optimizer it wraps, for example in `fit`; training is not changed.
    At the end, `put_into` replaces a network's weights by the average. Where there is
    batch normalization, `refresh_statistics` must follow.

    Parameters
    ----------
    optimizer : Optimizer
    decay : float
        In [0, 1): how much of the average a step keeps, in the long run.

    Attributes
    ----------
    average : ndarray, shape (size,), or None
        None before the first step.
    rate, steps, state
        As for the optimizer; "average" is one of the state vectors.

    Raises
    ------
    ValueError, ShapeError, FloatingPointError
        As the optimizer does; ValueError for a decay outside its range.
    """

    def __init__(self, optimizer, decay=0.999):
        self.optimizer, self.average = optimizer, None
        self.decay = number_between("Averaged: decay", decay, 0, 1)

    def __repr__(self):
        return f"Averaged({self.optimizer!r}, decay={self.decay:g})"

    @property
    def rate(self):
        """The learning rate of the next step."""
        return self.optimizer.rate

    @property
    def steps(self):
        """Steps taken."""
        return self.optimizer.steps

    @property
    def state(self):
        """What a checkpoint must keep: the optimizer's vectors, and the average."""
        average = {} if self.average is None else {"average": self.average}
        return {**self.optimizer.state, **average}

    def step(self, parameters, gradients):
        """One step of the optimizer; then the average moves towards the parameters.

        It begins as what they were before the first step, and keeps `averaging_decay`
        of itself. Gradients may be overwritten.
        """
        average = parameters.copy() if self.average is None else self.average
        check_state({"average": average}, ["average"], parameters)
        self.optimizer.step(parameters, gradients)
        self.average, decay = average, averaging_decay(self.steps, self.decay)
        moving_average(average, parameters, decay, scratch=gradients)

    def restore(self, state, steps):
        """Continue from a checkpoint: its `state`, which is copied, and its `steps`."""
        rest = {name: vector for name, vector in state.items() if name != "average"}
        if state or steps:
            check_state(state, [*rest, "average"])
        self.optimizer.restore(rest, steps)
        self.average = np.array(state["average"]) if state else None

    def put_into(self, network):
        """Replace a network's weights by the average. RuntimeError before any step."""
        if self.average is None:
            raise RuntimeError("Averaged: nothing to put before the first step")
        network.parameters = self.average


# book/12-a-convolutional-network.md, "Whose statistics?"
def find_batch_norms(layers):
    """The BatchNorm layers among these and inside of them."""
    return [found for layer in layers for found in
            ([layer] if isinstance(layer, BatchNorm)
             else find_batch_norms(getattr(layer, "layers", ())))]


# book/12-a-convolutional-network.md, "Whose statistics?"
def refresh_statistics(network, x, batch_size=256):
    """Measure the running statistics of batch normalization anew, for new weights.

    They become the means over minibatches of these samples, each counted by its size.
    No parameter changes, and no dropout takes part.

    Parameters
    ----------
    network : Network
    x : array_like, shape (n, ...)
        Samples first, such as the training images. A remainder of one sample is left
        out.
    batch_size : int

    Raises
    ------
    ShapeError
        If the network does not take such samples.
    """
    x, norms = np.asarray(x), find_batch_norms(network.layers)
    check_samples(network, x.shape)
    momenta, seen = [norm.momentum for norm in norms], 0
    try:
        for start in range(0, len(x) if norms else 0, batch_size):
            y = batch_last(x[start : start + batch_size], network.dtype)
            if start and y.shape[-1] == 1:
                break
            seen += y.shape[-1]
            for norm in norms:
                norm.measuring, norm.momentum = True, y.shape[-1] / seen
            network.forward(y)
    finally:
        for norm, momentum in zip(norms, momenta):
            norm.measuring, norm.momentum = False, momentum
