"""A 2-3-2 network: nnlib's network, loss and optimizers follow the pure Python one, step by step."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

import reference.optimizers
from nnlib import optimizers
from nnlib.activations import Tanh
from nnlib.dense import Dense
from nnlib.losses import SoftmaxCrossEntropy
from nnlib.network import Network
from reference import two_three_two

OPTIMIZERS = {
    "sgd": ("SGD", dict(learning_rate=0.5)),
    "sgd, decay and clipping": ("SGD", dict(learning_rate=0.5, weight_decay=0.1, clip_norm=0.3)),
    "momentum": ("SGD", dict(learning_rate=0.2, momentum=0.9)),
    "nesterov": ("SGD", dict(learning_rate=0.2, momentum=0.9, nesterov=True)),
    "rmsprop": ("RMSprop", dict(learning_rate=0.02)),
    "rmsprop, centered": ("RMSprop", dict(learning_rate=0.02, decay=0.9, centered=True)),
    "rmsprop, momentum": ("RMSprop", dict(learning_rate=0.02, momentum=0.5)),
    "rmsprop, both": ("RMSprop", dict(learning_rate=0.02, momentum=0.5, centered=True)),
    "adam": ("Adam", dict(learning_rate=0.1)),
    "adam, decay": ("Adam", dict(learning_rate=0.1, weight_decay=0.1)),
    "adamw": ("AdamW", dict(learning_rate=0.1, weight_decay=0.1)),
}
SCHEDULES = {"a constant": None, "a cosine": ("Cosine", (0.1, 10, 0.01, 2)), "a staircase": ("StepDecay", (0.1, 0.5, 4)),
             "an exponential": ("ExponentialDecay", (0.1, 0.8))}


def problem():
    """Twelve points of two classes, one inside the other, and a start."""
    rng = np.random.default_rng(232)
    x = rng.normal(size=(2, 12))
    return x, (np.hypot(*x) > 1.2).astype(int), rng.normal(size=two_three_two.SIZE)


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_ten_steps(name, schedule):
    kind, options = OPTIMIZERS[name]
    ours, theirs = dict(options), dict(options)
    if SCHEDULES[schedule]:
        shape, arguments = SCHEDULES[schedule]
        ours["learning_rate"] = getattr(optimizers, shape)(*arguments)
        theirs["learning_rate"] = getattr(reference.optimizers, shape)(*arguments)
    x, y, start = problem()
    network, loss = Network(Dense(3), Tanh(), Dense(2), dtype=np.float64).build(2), SoftmaxCrossEntropy()
    network.parameters[...] = start
    optimizer, losses = getattr(optimizers, kind)(**ours), []
    for _ in range(10):
        losses.append(loss.forward(network.forward(x), y))
        network.backward(loss.backward())
        optimizer.step(network.parameters, network.gradients)
    parameters = start.tolist()
    expected = two_three_two.train(getattr(reference.optimizers, kind)(**theirs), parameters, x.T.tolist(), y.tolist())
    assert_allclose(losses, expected, rtol=1e-9)
    assert_allclose(network.parameters, parameters, rtol=1e-9)
    assert expected[-1] < expected[0]


def test_its_gradient_is_the_slope_of_its_loss():
    x, y, start = problem()
    inputs, labels, parameters = x.T.tolist(), y.tolist(), start.tolist()
    _, gradient = two_three_two.loss_and_gradient(parameters, inputs, labels)
    for i in range(two_three_two.SIZE):
        ends = []
        for side in (1e-6, -1e-6):
            moved = parameters[:]
            moved[i] += side
            ends.append(two_three_two.loss_and_gradient(moved, inputs, labels)[0])
        assert gradient[i] == pytest.approx((ends[0] - ends[1]) / 2e-6, rel=1e-6, abs=1e-9)


def test_it_learns():
    x, y, start = problem()
    parameters = start.tolist()
    losses = two_three_two.train(reference.optimizers.Adam(0.1), parameters, x.T.tolist(), y.tolist(), steps=150)
    assert losses[-1] < 0.2 * losses[0]
    found = [max((0, 1), key=two_three_two.forward(parameters, sample)[1].__getitem__) for sample in x.T.tolist()]
    assert found == y.tolist()
