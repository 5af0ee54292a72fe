# Generated from book/07-optimizers.md by `python -m course tangle`.
# Do not edit: change the chapter, then tangle again.
"""Optimizers."""

import math
import numbers
import zlib
from dataclasses import KW_ONLY, dataclass, field, fields

import numpy as np

from nnlib.dense import ShapeError

__all__ = [
    "sgd_step",
    "momentum_step",
    "nesterov_step",
    "moving_average",
    "rmsprop_step",
    "adam_step",
    "adamw_step",
    "gradient_norm",
    "clip_by_norm",
    "clip_by_value",
    "number_between",
    "StepDecay",
    "ExponentialDecay",
    "Cosine",
    "SETTING_RANGES",
    "check_settings",
    "decay_vector",
    "check_decay",
    "check_vectors",
    "check_state",
    "check_finite",
    "BLOCK",
    "settings_text",
    "clip",
    "update_blocks",
    "Optimizer",
    "SGD",
    "RMSprop",
    "Adam",
    "AdamW",
]


# book/07-optimizers.md, "Walking downhill"
def sgd_step(w, g, lr, scratch=None):
    """One step of gradient descent, w <- w - lr g, in place.

    Parameters
    ----------
    w, g : ndarray, shape (size,)
        Parameters, changed; and their gradient, left alone.
    lr : float
    scratch : ndarray, shape (size,), optional
        Overwritten instead of allocating an array.

    References
    ----------
    Robbins and Monro, A stochastic approximation method (1951).
    """
    w -= np.multiply(g, lr, out=scratch)


# book/07-optimizers.md, "Momentum"
def momentum_step(w, g, v, lr, momentum=0.9, scratch=None):
    """One step with a heavy ball: v <- momentum v + g, then w <- w - lr v, in place.

    Parameters
    ----------
    w, g, v : ndarray, shape (size,)
        Parameters and velocity, changed; the gradient, left alone.
    lr, momentum : float
    scratch : ndarray, shape (size,), optional
        Overwritten instead of allocating an array; may be g itself.

    References
    ----------
    Polyak, Some methods of speeding up the convergence of iteration methods (1964).
    """
    v *= momentum
    v += g
    w -= np.multiply(v, lr, out=scratch)


# book/07-optimizers.md, "Nesterov: look before you leap"
def nesterov_step(w, g, v, lr, momentum=0.9, scratch=None):
    """One step with a look ahead: as `momentum_step`, but w <- w - lr (g + momentum v).

    Parameters and `scratch` as there, but `scratch` may not be g.

    References
    ----------
    Nesterov (1983); as momentum, Sutskever et al., On the importance of
    initialization and momentum in deep learning (2013); in this form, Bengio,
    Boulanger-Lewandowski and Pascanu, Advances in optimizing recurrent networks (2013).
    """
    v *= momentum
    v += g
    ahead = np.multiply(v, momentum, out=scratch)
    ahead += g
    ahead *= lr
    w -= ahead


# book/07-optimizers.md, "An average that forgets"
def moving_average(average, x, decay, scratch=None):
    """average <- decay average + (1 - decay) x, in place.

    Parameters
    ----------
    average, x : ndarray, shape (size,)
    decay : float in [0, 1)
    scratch : ndarray, shape (size,), optional
        Overwritten instead of allocating an array; may be x itself.
    """
    average *= decay
    average += np.multiply(x, 1.0 - decay, out=scratch)


# book/07-optimizers.md, "The rule"
def rmsprop_step(w, g, s, lr, decay=0.99, eps=1e-8, m=None, v=None, momentum=0.9,
                 scratch=None):
    """One step of RMSprop, in place: the gradient over the root of its mean square.

    Parameters
    ----------
    w, g, s : ndarray, shape (size,)
        Parameters and moving average of squares, changed; the gradient, left alone.
    lr, decay, eps : float
    m : ndarray, shape (size,), optional
        Moving average of gradients, changed. With it the rule is centered: it
        divides by the standard deviation.
    v : ndarray, shape (size,), optional
        Velocity, changed: the scaled gradient goes through `momentum_step`.
    momentum : float
        Used with v only.
    scratch : ndarray, shape (size,), optional
        Overwritten instead of allocating an array; may not be g.

    References
    ----------
    Tieleman and Hinton, Lecture 6.5 (2012); centered: Graves, Generating sequences
    with recurrent neural networks (2013).
    """
    scratch = np.multiply(g, g, out=scratch)
    moving_average(s, scratch, decay, scratch)
    if m is None:
        np.sqrt(s, out=scratch)
    else:
        moving_average(m, g, decay, scratch)
        np.multiply(m, m, out=scratch)
        np.subtract(s, scratch, out=scratch)
        np.maximum(scratch, 0.0, out=scratch)
        np.sqrt(scratch, out=scratch)
    scratch += eps
    np.divide(g, scratch, out=scratch)
    if v is None:
        sgd_step(w, scratch, lr, scratch)
    else:
        momentum_step(w, scratch, v, lr, momentum, scratch)


# book/07-optimizers.md, "Adam: both, and a fair start"
def adam_step(w, g, m, s, t, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8, scratch=None):
    """One step of Adam, in place.

    Parameters
    ----------
    w, g, m, s : ndarray, shape (size,)
        Parameters and the moving averages of g and of its square, changed; the
        gradient, left alone.
    t : int
        The number of this step, counted from 1: the bias correction needs it.
    lr, beta1, beta2, eps : float
    scratch : ndarray, shape (size,), optional
        Overwritten instead of allocating an array; may not be g.

    References
    ----------
    Kingma and Ba, Adam: a method for stochastic optimization (2015).
    """
    scratch = np.multiply(g, g, out=scratch)
    moving_average(s, scratch, beta2, scratch)
    moving_average(m, g, beta1, scratch)
    c1, c2 = 1.0 - beta1**t, math.sqrt(1.0 - beta2**t)
    np.sqrt(s, out=scratch)
    scratch += eps * c2
    np.divide(m, scratch, out=scratch)
    sgd_step(w, scratch, lr * c2 / c1, scratch)


# book/07-optimizers.md, "Weight decay, and why AdamW"
def adamw_step(w, g, m, s, t, lr=0.001, beta1=0.9, beta2=0.999, eps=1e-8,
               weight_decay=0.01, scratch=None):
    """One step of AdamW, in place: w <- (1 - lr weight_decay) w, then `adam_step`.

    Parameters as in `adam_step`, and weight_decay, a float or an ndarray with one for
    each weight: times lr, it is the share that a weight loses.

    References
    ----------
    Loshchilov and Hutter, Decoupled weight decay regularization (2019).
    """
    if isinstance(weight_decay, np.ndarray):
        lost = np.multiply(weight_decay, lr, out=scratch)
        lost *= w
        w -= lost
    else:
        w *= 1.0 - lr * weight_decay
    adam_step(w, g, m, s, t, lr, beta1, beta2, eps, scratch)


# book/07-optimizers.md, "Cliffs, and how to survive one"
def gradient_norm(g):
    """The Euclidean length of a vector, as a float.

    NaN or infinite if an element is. (Infinite also where the length of a float64
    vector exceeds the largest float64, and no float could hold it.)
    """
    with np.errstate(all="ignore"):
        square = float(np.dot(g, g))
    if math.isfinite(square) and square > 1e-30:
        return math.sqrt(square)
    largest = float(np.abs(g).max())
    if largest == 0.0 or not math.isfinite(largest):
        return largest
    scaled = g / g.dtype.type(largest)
    return largest * math.sqrt(float(np.dot(scaled, scaled)))


# book/07-optimizers.md, "Cliffs, and how to survive one"
def clip_by_norm(g, limit):
    """Shorten the vector g to length `limit` if it is longer, in place.

    Returns
    -------
    float
        The old length.

    References
    ----------
    Pascanu, Mikolov and Bengio, On the difficulty of training recurrent neural
    networks (2013).
    """
    norm = gradient_norm(g)
    if norm > limit:
        g *= limit / norm
    return norm


# book/07-optimizers.md, "Cliffs, and how to survive one"
def clip_by_value(g, limit):
    """Cut every element of g to [-limit, limit], in place."""
    np.clip(g, -limit, limit, out=g)


# book/07-optimizers.md, "Schedules"
def number_between(name, value, low, high=math.inf, closed=True):
    """`value` as a Python float, if it is a number in [low, high).

    With closed=False, `low` itself is refused too. NaN and infinity always are.

    Raises
    ------
    ValueError
        Names what was to be set, the range, and what came.
    """
    if isinstance(value, numbers.Real) and not isinstance(value, (bool, np.bool_)):
        if low < value < high or (closed and value == low):
            return float(value)
    bracket = "[" if closed else "("
    raise ValueError(f"expected {name} in {bracket}{low:g}, {high:g}), got {value!r}")


# book/07-optimizers.md, "Schedules"
@dataclass(frozen=True)
class StepDecay:
    """Learning rate `initial`, multiplied by `factor` after every `every` steps."""
    initial: float
    factor: float = 0.1
    every: int = 1000

    def __post_init__(self):
        number_between("initial", self.initial, 0, closed=False)
        number_between("factor", self.factor, 0, closed=False)
        number_between("every", self.every, 1)

    def __call__(self, step):
        return self.initial * self.factor ** (step // self.every)


# book/07-optimizers.md, "Schedules"
@dataclass(frozen=True)
class ExponentialDecay:
    """Learning rate `initial`, multiplied by `rate` after every step."""
    initial: float
    rate: float

    def __post_init__(self):
        number_between("initial", self.initial, 0, closed=False)
        number_between("rate", self.rate, 0, closed=False)

    def __call__(self, step):
        return self.initial * self.rate**step


# book/07-optimizers.md, "Schedules"
@dataclass(frozen=True)
class Cosine:
    """Half a cosine from `initial` at step `warmup` down to `final` at step `steps`.

    Before it, `warmup` steps climb linearly: step k, counted from 0, has
    initial (k + 1) / (warmup + 1). After it, the rate stays at `final`.

    References
    ----------
    Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts (2017).
    """
    initial: float
    steps: int
    final: float = 0.0
    warmup: int = 0

    def __post_init__(self):
        number_between("initial", self.initial, 0, closed=False)
        number_between("final", self.final, 0)
        number_between("steps", self.steps, 1)
        number_between("warmup", self.warmup, 0, self.steps)

    def __call__(self, step):
        if step < self.warmup:
            return self.initial * (step + 1) / (self.warmup + 1)
        progress = min(1.0, (step - self.warmup) / (self.steps - self.warmup))
        half_cosine = (1.0 + math.cos(math.pi * progress)) / 2
        return self.final + (self.initial - self.final) * half_cosine

# book/07-optimizers.md, "One class for all of them"
SETTING_RANGES = {
    "learning_rate": (0, math.inf, False), "eps": (0, math.inf, False),
    "momentum": (0, 1), "decay": (0, 1), "beta1": (0, 1), "beta2": (0, 1),
    "weight_decay": (0, math.inf),
    "clip_value": (0, math.inf, False), "clip_norm": (0, math.inf, False),
}


# book/07-optimizers.md, "One class for all of them"
def check_settings(optimizer):
    """Refuse numbers outside their ranges; what passes becomes a Python float.

    A vector of weight decays becomes an array of the optimizer's own.
    """
    for setting in fields(optimizer):
        name, value = setting.name, getattr(optimizer, setting.name)
        schedule = name == "learning_rate" and callable(value)
        unused = value is None and setting.default is None
        if name == "weight_decay" and np.ndim(value):
            optimizer.weight_decay = decay_vector(value)
        elif name in SETTING_RANGES and not schedule and not unused:
            setattr(optimizer, name, number_between(name, value, *SETTING_RANGES[name]))


# book/07-optimizers.md, "One class for all of them"
def decay_vector(values):
    """A copy of a vector of weight decays, one strength for each parameter.

    Parameters
    ----------
    values : array_like, shape (size,)

    Returns
    -------
    ndarray, shape (size,)
        float32 stays float32, all else becomes float64.

    Raises
    ------
    ShapeError, ValueError
        If it is not a vector of numbers in [0, inf).
    """
    vector = np.array(values)
    if vector.ndim != 1 or vector.size == 0:
        raise ShapeError(f"expected weight_decay as a number or as one vector, "
                         f"got an array shaped {vector.shape}")
    if vector.dtype.kind not in "iuf":
        raise ValueError(f"expected weight_decay as numbers, got {vector.dtype}")
    for place in np.flatnonzero(~((vector >= 0) & (vector < math.inf))):
        number_between(f"weight_decay of parameter {place}", float(vector[place]), 0)
    return vector if vector.dtype == np.float32 else vector.astype(np.float64)


# book/07-optimizers.md, "One class for all of them"
def check_decay(decay, parameters):
    """Refuse a vector of weight decays that has not one for each parameter."""
    if np.shape(decay) not in ((), parameters.shape):
        raise ShapeError(f"expected one weight_decay per parameter, "
                         f"{parameters.size}, got {np.size(decay)}")


# book/07-optimizers.md, "One class for all of them"
def check_vectors(parameters, gradients):
    """Refuse anything but two vectors of one size and one dtype, float32 or float64."""
    for name, vector in (("parameters", parameters), ("gradients", gradients)):
        if not isinstance(vector, np.ndarray) or vector.ndim != 1 or vector.size == 0:
            raise ShapeError(f"expected {name} as one vector of at least one element, "
                             f"got {type(vector).__name__} shaped {np.shape(vector)}")
        if vector.dtype not in (np.float32, np.float64):
            raise ValueError(f"expected {name} of float32 or float64, "
                             f"got {vector.dtype}")
    if parameters.shape != gradients.shape:
        raise ShapeError(f"expected one gradient per parameter, {parameters.size}, "
                         f"got {gradients.size}")
    if parameters.dtype != gradients.dtype:
        raise ValueError(f"expected gradients of {parameters.dtype} like the "
                         f"parameters, got {gradients.dtype}")


# book/07-optimizers.md, "One class for all of them"
def check_state(state, names, like=None):
    """Refuse state vectors that an optimizer cannot continue with.

    `names` are those it keeps; `like` is the parameters, by default the first vector.
    """
    if set(state) != set(names):
        raise ValueError(f"expected optimizer state named {sorted(names)}, "
                         f"got {sorted(state)}")
    for name, vector in state.items():
        like = vector if like is None else like
        if vector.ndim != 1 or vector.shape != like.shape:
            raise ShapeError(f"expected optimizer state {name!r} shaped {like.shape}, "
                             f"got {vector.shape}: an optimizer serves one network")
        if vector.dtype != like.dtype or vector.dtype not in (np.float32, np.float64):
            raise ValueError(f"expected optimizer state {name!r} of {like.dtype}, "
                             f"got {vector.dtype}")


# book/07-optimizers.md, "One class for all of them"
def check_finite(gradients, step, lr):
    """Raise FloatingPointError if any element is NaN or infinite, and say which."""
    if math.isfinite(gradient_norm(gradients)):
        return
    bad = np.flatnonzero(~np.isfinite(gradients))
    if bad.size:
        raise FloatingPointError(
            f"{bad.size} of {gradients.size} gradients are not finite in step {step} "
            f"(learning rate {lr:g}), the first is number {bad[0]}: "
            f"{gradients[bad[0]]}. The parameters were left as they are. "
            "Usually the learning rate is too high")

# book/07-optimizers.md, "One class for all of them"
BLOCK = 65536


# book/07-optimizers.md, "One class for all of them"
def settings_text(optimizer):
    """How an optimizer prints: its name and its settings, except those left off."""
    shown = []
    for setting in fields(optimizer):
        value = getattr(optimizer, setting.name)
        if isinstance(value, np.ndarray):
            span, check = f"{value.min():g} to {value.max():g}", zlib.crc32(value)
            text = f"<{value.size} from {span}, crc32 {check:08x}>"
            shown.append(f"{setting.name}={text}")
        elif value or setting.default:
            text = getattr(value, "__qualname__", repr(value))
            shown.append(f"{setting.name}={text}")
    return f"{type(optimizer).__name__}({', '.join(shown)})"


# book/07-optimizers.md, "One class for all of them"
def clip(g, value=None, norm=None):
    """Clip by value, then by norm, in place; None means not at all."""
    if value is not None:
        clip_by_value(g, value)
    if norm is not None:
        clip_by_norm(g, norm)


# book/07-optimizers.md, "One class for all of them"
def update_blocks(optimizer, parameters, gradients, lr):
    """Call the optimizer's rule on one block of the vectors after the other.

    The scratch vector is kept from step to step. L2 decay is added to the gradient
    here; a rule with decoupled decay gets its strength as `weight_decay`.
    """
    decay, each = optimizer.weight_decay, np.ndim(optimizer.weight_decay) == 1
    room, scratch = min(BLOCK, parameters.size), optimizer.scratch
    if scratch is None or scratch.size != room or scratch.dtype != parameters.dtype:
        optimizer.scratch = scratch = np.empty(room, parameters.dtype)
    for start in range(0, parameters.size, room):
        block = slice(start, start + room)
        w, g = parameters[block], gradients[block]
        free = scratch[:w.size]
        state = {name: vector[block] for name, vector in optimizer.state.items()}
        strength = decay[block].astype(w.dtype, copy=False) if each else decay
        if optimizer.decoupled:
            state["weight_decay"] = strength
        elif each or decay:
            g += np.multiply(w, strength, out=free)
        optimizer.update(w, g, lr, free, **state)


# book/07-optimizers.md, "One class for all of them"
@dataclass(eq=False, repr=False)
class Optimizer:
    """What all rules share: learning rate, clipping, weight decay, state, step count.

    A rule is a subclass that says `update(w, g, lr, scratch, **state)` for one block
    of the vectors, and names its state vectors in `state_names`.

    Parameters
    ----------
    learning_rate : float or callable
        A schedule is called with the number of steps taken so far.
    weight_decay : float or array_like, shape (size,)
        L2 strength: weight_decay * w is added to the gradient (AdamW: decoupled).
        A vector, which is copied, has one for each parameter.
    clip_value, clip_norm : float, optional
        Limits for each element of the gradient and for its length; in this order,
        before decay.

    Attributes
    ----------
    steps : int
        Steps taken.
    state : dict of str to ndarray, shape (size,)
        Made in the first step: zeros like the parameters.

    Raises
    ------
    ValueError
        For a setting outside its range.
    """
    learning_rate: object
    _: KW_ONLY
    weight_decay: float | np.ndarray = 0.0
    clip_value: float | None = None
    clip_norm: float | None = None

    state_names = ()
    decoupled = False

    def __post_init__(self):
        check_settings(self)
        self.steps, self.state, self.scratch = 0, {}, None

    def __repr__(self):
        return settings_text(self)

    @property
    def rate(self):
        """The learning rate of the next step."""
        rate = self.learning_rate
        rate = rate(self.steps) if callable(rate) else rate
        return number_between(f"the learning rate of step {self.steps}", rate, 0)

    def step(self, parameters, gradients):
        """Change the parameters in place; the gradients may be changed too.

        Parameters
        ----------
        parameters, gradients : ndarray, shape (size,), float32 or float64

        Raises
        ------
        ShapeError, ValueError
            For vectors that do not fit each other, weight_decay, or the state.
        FloatingPointError
            For a gradient that is not finite.

        Whatever is raised, parameters and state are as they were.
        """
        check_vectors(parameters, gradients)
        check_decay(self.weight_decay, parameters)
        lr = self.rate
        check_finite(gradients, self.steps, lr)
        state = self.state or {k: np.zeros_like(parameters) for k in self.state_names}
        check_state(state, self.state_names, parameters)
        self.state, self.steps = state, self.steps + 1
        clip(gradients, self.clip_value, self.clip_norm)
        update_blocks(self, parameters, gradients, lr)

    def restore(self, state, steps):
        """Continue from a checkpoint: its `state`, which is copied, and its `steps`."""
        state = {name: np.array(vector) for name, vector in state.items()}
        steps = number_between("steps", steps, 0)
        if state or steps:
            check_state(state, self.state_names)
        self.state, self.steps = state, int(steps)


# book/07-optimizers.md, "One class for all of them"
@dataclass(eq=False, repr=False)
class SGD(Optimizer):
    """Gradient descent: plain, with momentum, or with Nesterov's look ahead."""
    momentum: float = 0.0
    nesterov: bool = False

    def __post_init__(self):
        super().__post_init__()
        if self.nesterov and not self.momentum:
            raise ValueError("expected a momentum above 0 with nesterov=True, got 0.0")

    @property
    def state_names(self):
        return ("v",) if self.momentum else ()

    def update(self, w, g, lr, scratch, v=None):
        if v is None:
            sgd_step(w, g, lr, scratch=g)     # the gradient may go
        elif self.nesterov:
            nesterov_step(w, g, v, lr, self.momentum, scratch)
        else:
            momentum_step(w, g, v, lr, self.momentum, scratch)


# book/07-optimizers.md, "One class for all of them"
@dataclass(eq=False, repr=False)
class RMSprop(Optimizer):
    """Gradients over their root mean square (centered: their standard deviation)."""
    learning_rate: object = 0.01
    decay: float = 0.99
    centered: bool = False
    momentum: float = 0.0
    eps: float = 1e-8

    @property
    def state_names(self):
        return ("s",) + ("m",) * bool(self.centered) + ("v",) * bool(self.momentum)

    def update(self, w, g, lr, scratch, s, m=None, v=None):
        rmsprop_step(w, g, s, lr, self.decay, self.eps, m, v, self.momentum, scratch)


# book/07-optimizers.md, "One class for all of them"
@dataclass(eq=False, repr=False)
class Adam(Optimizer):
    """Moving average of the gradient over the root of that of its square, corrected."""
    learning_rate: object = 0.001
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8

    state_names = ("m", "s")

    def update(self, w, g, lr, scratch, m, s):
        adam_step(w, g, m, s, self.steps, lr, self.beta1, self.beta2, self.eps, scratch)


# book/07-optimizers.md, "One class for all of them"
@dataclass(eq=False, repr=False)
class AdamW(Adam):
    """Adam with decoupled weight decay."""
    weight_decay: float | np.ndarray = field(default=0.01, kw_only=True)

    decoupled = True

    def update(self, w, g, lr, scratch, m, s, weight_decay):
        adamw_step(w, g, m, s, self.steps, lr, self.beta1, self.beta2, self.eps,
                   weight_decay, scratch)
