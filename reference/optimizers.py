"""Optimizers, one number at a time.

As in nnlib, parameters and gradients are one vector each, and a step changes the parameters in
place. Here every element is read as a Python float, computed, and written back.
"""

import math
from dataclasses import dataclass

from reference._edge import to_array, to_list
from reference.dense import ShapeError


def sgd_step(w, g, lr):
    for i in range(len(w)):
        w[i] = float(w[i]) - lr * float(g[i])


def momentum_step(w, g, v, lr, momentum=0.9):
    for i in range(len(w)):
        velocity = momentum * float(v[i]) + float(g[i])
        v[i] = velocity
        w[i] = float(w[i]) - lr * velocity


def nesterov_step(w, g, v, lr, momentum=0.9):
    for i in range(len(w)):
        velocity = momentum * float(v[i]) + float(g[i])
        v[i] = velocity
        w[i] = float(w[i]) - lr * (float(g[i]) + momentum * velocity)


def moving_average(average, x, decay):
    for i in range(len(average)):
        average[i] = decay * float(average[i]) + (1.0 - decay) * float(x[i])


def rmsprop_step(w, g, s, lr, decay=0.99, eps=1e-8, m=None, v=None, momentum=0.9):
    for i in range(len(w)):
        slope = float(g[i])
        square = decay * float(s[i]) + (1.0 - decay) * slope * slope
        s[i] = square
        if m is not None:
            mean = decay * float(m[i]) + (1.0 - decay) * slope
            m[i] = mean
            square = max(square - mean * mean, 0.0)
        change = slope / (math.sqrt(square) + eps)
        if v is not None:
            change = momentum * float(v[i]) + change
            v[i] = change
        w[i] = float(w[i]) - lr * change


def adam_step(w, g, m, s, t, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8):
    for i in range(len(w)):
        slope = float(g[i])
        mean = beta1 * float(m[i]) + (1.0 - beta1) * slope
        square = beta2 * float(s[i]) + (1.0 - beta2) * slope * slope
        m[i], s[i] = mean, square
        corrected_mean = mean / (1.0 - beta1**t)
        corrected_square = square / (1.0 - beta2**t)
        w[i] = float(w[i]) - lr * corrected_mean / (math.sqrt(corrected_square) + eps)


def _strengths(weight_decay, count):
    """A list with one strength for each parameter."""
    if _is_number(weight_decay):
        return [weight_decay] * count
    strengths = to_list(weight_decay)
    if len(strengths) != count:
        raise ShapeError(f"expected {count} weight decays, got {len(strengths)}")
    return strengths


def _is_number(value):
    return not hasattr(value, "__len__")


def adamw_step(w, g, m, s, t, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01):
    strengths = _strengths(weight_decay, len(w))
    for i in range(len(w)):
        w[i] = float(w[i]) - lr * strengths[i] * float(w[i])
    adam_step(w, g, m, s, t, lr, beta1, beta2, eps)


def clip_by_value(g, limit):
    for i in range(len(g)):
        g[i] = min(max(float(g[i]), -limit), limit)


def gradient_norm(g):
    return math.hypot(*to_list(g))


def clip_by_norm(g, limit):
    norm = gradient_norm(g)
    if norm > limit:
        for i in range(len(g)):
            g[i] = float(g[i]) / norm * limit
    return norm


def number_between(name, value, low, high=math.inf, closed=True):
    if isinstance(value, bool):
        raise ValueError(f"expected a number for {name}, got {value}")
    try:
        number = float(value)
    except (TypeError, ValueError):
        raise ValueError(f"expected a number for {name}, got {value!r}") from None
    if number == low and closed:
        return number
    if low < number and number < high:
        return number
    raise ValueError(f"{name} = {number} is out of range")


@dataclass(frozen=True)
class StepDecay:
    initial: float
    factor: float = 0.1
    every: int = 1000

    def __call__(self, step):
        rate = self.initial
        while step >= self.every:
            step = step - self.every
            rate = rate * self.factor
        return rate


@dataclass(frozen=True)
class ExponentialDecay:
    initial: float
    rate: float

    def __call__(self, step):
        value = self.initial
        for _ in range(step):
            value = value * self.rate
        return value


@dataclass(frozen=True)
class Cosine:
    initial: float
    steps: int
    final: float = 0.0
    warmup: int = 0

    def __call__(self, step):
        if step < self.warmup:
            return (step + 1) * (self.initial / (self.warmup + 1))
        if step >= self.steps:
            return self.final
        angle = math.pi * (step - self.warmup) / (self.steps - self.warmup)
        share = (1.0 + math.cos(angle)) / 2.0
        return share * self.initial + (1.0 - share) * self.final


class Optimizer:
    names = ()
    decoupled = False

    def __init__(self, learning_rate, weight_decay=0.0, clip_value=None, clip_norm=None):
        if not callable(learning_rate):
            number_between("learning_rate", learning_rate, 0, closed=False)
        for strength in [weight_decay] if _is_number(weight_decay) else weight_decay:
            number_between("weight_decay", strength, 0)
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.clip_value, self.clip_norm = clip_value, clip_norm
        self.steps = 0
        self.lists = {}

    @property
    def rate(self):
        return self.learning_rate(self.steps) if callable(self.learning_rate) else self.learning_rate

    @property
    def state(self):
        return {name: to_array(values) for name, values in self.lists.items()}

    def restore(self, state, steps):
        lists = {name: to_list(values) for name, values in state.items()}
        if (lists or steps) and sorted(lists) != sorted(self.names):
            raise ValueError(f"expected state named {sorted(self.names)}, got {sorted(lists)}")
        self.lists, self.steps = lists, steps

    def step(self, parameters, gradients):
        if len(parameters) != len(gradients):
            raise ShapeError(f"{len(parameters)} parameters, {len(gradients)} gradients")
        if not all(math.isfinite(float(slope)) for slope in gradients):
            raise FloatingPointError("the gradient is not finite")
        lr, g = self.rate, to_list(gradients)
        if self.clip_value is not None:
            clip_by_value(g, self.clip_value)
        if self.clip_norm is not None:
            clip_by_norm(g, self.clip_norm)
        if not self.decoupled:
            strengths = _strengths(self.weight_decay, len(g))
            g = [slope + strength * float(w) for slope, strength, w in zip(g, strengths, parameters)]
        if not self.lists:
            self.lists = {name: [0.0] * len(g) for name in self.names}
        self.steps = self.steps + 1
        self.update(parameters, g, lr, **self.lists)


class SGD(Optimizer):
    def __init__(self, learning_rate, momentum=0.0, nesterov=False, **options):
        super().__init__(learning_rate, **options)
        self.momentum, self.nesterov = number_between("momentum", momentum, 0, 1), nesterov
        self.names = ("v",) if momentum else ()

    def update(self, w, g, lr, v=None):
        if v is None:
            sgd_step(w, g, lr)
        elif self.nesterov:
            nesterov_step(w, g, v, lr, self.momentum)
        else:
            momentum_step(w, g, v, lr, self.momentum)


class RMSprop(Optimizer):
    def __init__(self, learning_rate=0.01, decay=0.99, centered=False, momentum=0.0, eps=1e-8, **options):
        super().__init__(learning_rate, **options)
        self.decay, self.eps = number_between("decay", decay, 0, 1), eps
        self.momentum = number_between("momentum", momentum, 0, 1)
        self.names = ("s",) + (("m",) if centered else ()) + (("v",) if momentum else ())

    def update(self, w, g, lr, s, m=None, v=None):
        rmsprop_step(w, g, s, lr, self.decay, self.eps, m, v, self.momentum)


class Adam(Optimizer):
    names = ("m", "s")

    def __init__(self, learning_rate=0.001, beta1=0.9, beta2=0.999, eps=1e-8, **options):
        super().__init__(learning_rate, **options)
        self.beta1, self.beta2 = number_between("beta1", beta1, 0, 1), number_between("beta2", beta2, 0, 1)
        self.eps = eps

    def update(self, w, g, lr, m, s):
        adam_step(w, g, m, s, self.steps, lr, self.beta1, self.beta2, self.eps)


class AdamW(Adam):
    decoupled = True

    def __init__(self, learning_rate=0.001, beta1=0.9, beta2=0.999, eps=1e-8, weight_decay=0.01, **options):
        super().__init__(learning_rate, beta1, beta2, eps, weight_decay=weight_decay, **options)

    def update(self, w, g, lr, m, s):
        adamw_step(w, g, m, s, self.steps, lr, self.beta1, self.beta2, self.eps, self.weight_decay)
