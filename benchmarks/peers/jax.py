"""JAX: one compiled training step, called once per minibatch; the data set lives on its device."""
import functools
import math

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.models import walk


def starting_parameters(model):
    """A pair (weights, bias) for every layer that has them: filters in HWIO order, matrices (inputs, units)."""
    rng = np.random.default_rng(0)
    for shape, (kind, *settings) in walk(model):
        if kind == "conv":
            size = (settings[1], settings[1], shape[0], settings[0])
        elif kind == "dense":
            size = (math.prod(shape), settings[0])
        else:
            continue
        weights = rng.normal(0, (2 / math.prod(size[:-1])) ** 0.5, size)
        yield jnp.asarray(weights, jnp.float32), jnp.zeros(size[-1])


def logits(layers, parameters, x):
    """The network's outputs for images in NHWC order, or flat ones."""
    parameters = iter(parameters)
    for kind, *settings in layers:
        if kind == "conv":
            W, b = next(parameters)
            margin = (settings[2], settings[2])
            x = b + jax.lax.conv_general_dilated(x, W, (1, 1), (margin, margin),
                                                 dimension_numbers=("NHWC", "HWIO", "NHWC"))
        elif kind == "pool":
            window = (1, settings[0], settings[0], 1)
            x = jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, window, window, "VALID")
        elif kind == "dense":
            W, b = next(parameters)
            x = x.reshape(len(x), -1) @ W + b
        else:
            x = jax.nn.relu(x)
    return x


def loss(parameters, layers, x, y):
    log_p = jax.nn.log_softmax(logits(layers, parameters, x))
    return -jnp.mean(jnp.take_along_axis(log_p, y[:, None], axis=1))


def adam(state, gradients, rate):
    """One step of Adam; the state is (parameters, m, s, steps)."""
    parameters, m, s, steps = state
    steps += 1
    m = jax.tree.map(lambda m, g: 0.9 * m + 0.1 * g, m, gradients)
    s = jax.tree.map(lambda s, g: 0.999 * s + 0.001 * g * g, s, gradients)
    change = lambda p, m, s: p - rate * (m / (1 - 0.9 ** steps)) / (jnp.sqrt(s / (1 - 0.999 ** steps)) + 1e-8)
    return jax.tree.map(change, parameters, m, s), m, s, steps


def sgd(state, gradients, rate):
    """One step of gradient descent."""
    return (jax.tree.map(lambda p, g: p - rate * g, state[0], gradients),)


@functools.partial(jax.jit, static_argnums=(1, 2))
def step(state, layers, rule, images, labels, indices, rate):
    gradients = jax.grad(loss)(state[0], layers, images[indices], labels[indices])
    return rule(state, gradients, rate)


gradient = jax.jit(jax.grad(loss), static_argnums=1)
forward = jax.jit(logits, static_argnums=0)


class Peer:
    def __init__(self, model, images, labels, threads):
        self.model, self.rng = model, np.random.default_rng(0)
        parameters = list(starting_parameters(model))
        zeros = jax.tree.map(jnp.zeros_like, parameters)
        self.rule, self.state = {"sgd": (sgd, (parameters,)),
                                 "adam": (adam, (parameters, zeros, zeros, 0))}[model.optimizer]
        self.images, self.labels = jnp.asarray(self.ordered(images)), jnp.asarray(labels)

    def ordered(self, images):
        """Flat images as the network takes them: NHWC (one channel, so a reshape will do)."""
        shape = self.model.shape
        return images.reshape(-1, *shape[1:], shape[0]) if len(shape) == 3 else images

    def epoch(self):
        """Train on every image once."""
        order, model = self.rng.permutation(len(self.images)), self.model
        for start in range(0, len(order), model.batch):
            indices = order[start:start + model.batch]
            self.state = step(self.state, model.layers, self.rule, self.images, self.labels, indices, model.rate)
        jax.block_until_ready(self.state)

    def step(self):
        """Forward and backward for one minibatch."""
        batch = slice(self.model.batch)
        jax.block_until_ready(gradient(self.state[0], self.model.layers, self.images[batch], self.labels[batch]))

    def predict(self, images):
        """Logits of one batch, shaped (n, 10)."""
        return np.asarray(forward(self.model.layers, self.state[0], self.ordered(images)))

    @staticmethod
    def versions():
        """What ran, in words."""
        return f"JAX {jax.__version__}, NumPy {np.__version__}"
