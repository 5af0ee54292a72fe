"""Optimizers against the reference, their theory, PyTorch, and a task on real digits."""

import importlib.util
import json
import math
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import reference.optimizers
from nnlib import optimizers as module
from nnlib.activations import ReLU
from nnlib.data import load_mnist
from nnlib.dense import Dense, ShapeError
from nnlib.losses import SoftmaxCrossEntropy
from nnlib.network import Network
from nnlib.optimizers import (
    SGD, Adam, AdamW, Cosine, ExponentialDecay, Optimizer, RMSprop, StepDecay, adam_step, adamw_step,
    clip_by_norm, clip_by_value, gradient_norm, momentum_step, moving_average, nesterov_step,
    number_between, rmsprop_step, sgd_step,
)

FOLDER = Path(__file__).parent / "torch_frozen"
FROZEN = json.loads((FOLDER / "optimizers.json").read_text(encoding="utf-8"))
spec = importlib.util.spec_from_file_location("generate_optimizers", FOLDER / "generate_optimizers.py")
generator = importlib.util.module_from_spec(spec)
spec.loader.exec_module(generator)

SOURCES = ["frozen"] + (["live"] if importlib.util.find_spec("torch") else [])
DTYPES = [np.float32, np.float64]
EXACT = dict(rtol=1e-9, atol=1e-12)
# Each rule, its state vectors, and whether it is told the number of the step.
RULES = {
    "sgd": (lambda m, w, g, t: m.sgd_step(w, g, 0.1), 0),
    "momentum": (lambda m, w, g, t, v: m.momentum_step(w, g, v, 0.1, 0.8), 1),
    "nesterov": (lambda m, w, g, t, v: m.nesterov_step(w, g, v, 0.1, 0.8), 1),
    "average": (lambda m, w, g, t: m.moving_average(w, g, 0.7), 0),
    "rmsprop": (lambda m, w, g, t, s: m.rmsprop_step(w, g, s, 0.1, 0.9, 1e-6), 1),
    "centered": (lambda m, w, g, t, s, a: m.rmsprop_step(w, g, s, 0.1, 0.9, 1e-6, m=a), 2),
    "rmsprop, momentum": (lambda m, w, g, t, s, v: m.rmsprop_step(w, g, s, 0.1, v=v, momentum=0.8), 2),
    "both": (lambda m, w, g, t, s, a, v: m.rmsprop_step(w, g, s, 0.1, 0.9, 1e-6, a, v, 0.8), 3),
    "adam": (lambda m, w, g, t, a, s: m.adam_step(w, g, a, s, t, 0.1, 0.8, 0.9, 1e-6), 2),
    "adamw": (lambda m, w, g, t, a, s: m.adamw_step(w, g, a, s, t, 0.1, 0.8, 0.9, 1e-6, 0.3), 2),
    "adamw, each its decay": (lambda m, w, g, t, a, s: m.adamw_step(
        w, g, a, s, t, 0.1, 0.8, 0.9, 1e-6, np.linspace(0, 1, w.size)), 2),
}
SETTINGS = {
    "sgd": ("SGD", dict(learning_rate=0.1, weight_decay=0.2)),
    "momentum": ("SGD", dict(learning_rate=0.1, momentum=0.9, weight_decay=0.2)),
    "nesterov": ("SGD", dict(learning_rate=0.1, momentum=0.9, nesterov=True, clip_value=0.5)),
    "rmsprop": ("RMSprop", dict(learning_rate=0.1, weight_decay=0.2)),
    "centered": ("RMSprop", dict(learning_rate=0.1, decay=0.8, centered=True, clip_norm=0.7)),
    "rmsprop, momentum": ("RMSprop", dict(learning_rate=0.1, momentum=0.5)),
    "both": ("RMSprop", dict(learning_rate=0.1, momentum=0.5, centered=True, eps=0.01)),
    "adam": ("Adam", dict(learning_rate=0.1, weight_decay=0.2, clip_value=0.9, clip_norm=0.7)),
    "adamw": ("AdamW", dict(learning_rate=0.1, beta1=0.5, beta2=0.9, weight_decay=0.3)),
}
sizes = st.tuples(st.integers(1, 12), st.integers(0, 2**32 - 1))


def make(name, library=module, **changes):
    kind, options = SETTINGS[name]
    return getattr(library, kind)(**{**options, **changes})


def vectors(size, seed=0, steps=10, dtype=np.float64):
    """A start and a gradient for each step."""
    rng = np.random.default_rng(seed)
    return rng.normal(size=size).astype(dtype), rng.normal(size=(steps, size)).astype(dtype)


def walk(optimizer, w, gradients):
    """The parameters after these gradients; w itself is left alone."""
    w = w.copy()
    for g in gradients:
        optimizer.step(w, g.copy())
    return w


# Witness 1: the reference


@pytest.mark.parametrize("name", RULES)
@settings(max_examples=15, deadline=None)
@given(size=sizes)
def test_rules_agree_with_the_reference(name, size):
    rule, states = RULES[name]
    start, gradients = vectors(*size)
    ours, theirs = ([start.copy()] + [np.zeros_like(start) for _ in range(states)] for _ in range(2))
    for t, g in enumerate(gradients, start=1):
        before = g.copy()
        rule(module, ours[0], g, t, *ours[1:])
        rule(reference.optimizers, theirs[0], g, t, *theirs[1:])
        assert_array_equal(g, before)
        for a, b in zip(ours, theirs):
            assert_allclose(a, b, **EXACT)


@pytest.mark.parametrize("name", SETTINGS)
@settings(max_examples=15, deadline=None)
@given(size=sizes)
def test_optimizers_agree_with_the_reference(name, size):
    start, gradients = vectors(*size)
    ours, theirs = make(name), make(name, reference.optimizers)
    assert_allclose(walk(ours, start, gradients), walk(theirs, start, gradients), **EXACT)
    assert ours.steps == theirs.steps == 10 and ours.state.keys() == theirs.state.keys()
    for key in ours.state:
        assert_allclose(ours.state[key], theirs.state[key], **EXACT)


@pytest.mark.parametrize("name", SETTINGS)
def test_a_schedule_agrees_with_the_reference(name):
    start, gradients = vectors(5)
    ours = make(name, learning_rate=Cosine(0.2, 8, 0.01, 3))
    theirs = make(name, reference.optimizers, learning_rate=reference.optimizers.Cosine(0.2, 8, 0.01, 3))
    assert_allclose(walk(ours, start, gradients), walk(theirs, start, gradients), **EXACT)


@pytest.mark.parametrize("kind, arguments", [
    ("StepDecay", (0.4,)), ("StepDecay", (0.4, 0.5, 3)), ("ExponentialDecay", (0.4, 0.9)),
    ("ExponentialDecay", (0.4, 1.05)), ("Cosine", (0.4, 1)), ("Cosine", (0.4, 12)), ("Cosine", (0.4, 12, 0.5)),
    ("Cosine", (0.4, 12, 0.1, 11)), ("Cosine", (0.4, 12, 0.1, 1)),
])
def test_schedules_agree_with_the_reference(kind, arguments):
    ours, theirs = (getattr(library, kind)(*arguments) for library in (module, reference.optimizers))
    assert_allclose([ours(k) for k in range(30)], [theirs(k) for k in range(30)], rtol=1e-12, atol=1e-16)
    assert type(ours(3)) is float


@settings(max_examples=40, deadline=None)
@given(size=sizes, limit=st.floats(0.01, 10))
def test_clipping_agrees_with_the_reference(size, limit):
    g, _ = vectors(*size)
    for clip in ("clip_by_value", "clip_by_norm"):
        ours, theirs = g.copy(), g.copy()
        results = getattr(module, clip)(ours, limit), getattr(reference.optimizers, clip)(theirs, limit)
        assert_allclose(ours, theirs, rtol=1e-12)
        assert results == (None, None) or results[0] == pytest.approx(results[1], rel=1e-12)


# Witness 2: what the chapter derives


@pytest.mark.parametrize("curvature", [0.1, 1.0, 30.0])
@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_the_largest_rate_on_a_parabola(curvature, momentum):
    limit = 2 * (1 + momentum) / curvature
    for share, converges in ((0.98, True), (1.02, False)):
        optimizer, w = SGD(share * limit, momentum), np.ones(1)
        for _ in range(2000):
            optimizer.step(w, curvature * w)
            if abs(w[0]) > 1e6:
                break
        assert (abs(w[0]) < 1e-3) == converges


def test_velocity_of_a_steady_and_of_an_alternating_gradient():
    for sign, expected in ((1, 1 / (1 - 0.9)), (-1, 1 / (1 + 0.9))):
        v = np.zeros(1)
        for t in range(400):
            momentum_step(np.zeros(1), np.array([float(sign) ** t]), v, lr=0.1)
        assert abs(v[0]) == pytest.approx(expected)


def test_nesterov_is_the_look_ahead():
    curvature, lr, mu = np.array([0.5, 3.0, 20.0]), 0.04, 0.9
    theta, u = np.ones(3), np.zeros(3)
    w, v = np.ones(3), np.zeros(3)
    for _ in range(50):
        look = theta - lr * mu * u
        assert_allclose(w, look, rtol=1e-9, atol=1e-12)
        u = mu * u + curvature * look
        theta = theta - lr * u
        nesterov_step(w, curvature * w, v, lr, mu)


@pytest.mark.parametrize("make_optimizer", [RMSprop, Adam, lambda: RMSprop(centered=True, momentum=0.9)])
def test_scale_of_the_loss_does_not_matter(make_optimizer):
    start, gradients = vectors(20, seed=3)
    # not exactly: eps, 1e-8, is added to the root of each mean square
    assert_allclose(walk(make_optimizer(), start, 1000 * gradients), walk(make_optimizer(), start, gradients), rtol=1e-5)


def test_moving_average_weights():
    average = np.zeros(1)
    for t in range(1, 30):
        moving_average(average, np.ones(1), 0.8)
        assert average[0] == pytest.approx(1 - 0.8**t)


@pytest.mark.parametrize("dtype", DTYPES)
def test_adam_steps_by_the_learning_rate_when_the_gradient_is_steady(dtype):
    w, g, optimizer = np.zeros(3, dtype), np.array([-300.0, 1.0, 0.02], dtype), Adam(0.01)
    for t in range(1, 200):
        optimizer.step(w, g.copy())
        assert_allclose(w, -0.01 * t * np.sign(g), rtol=1e-4)       # eps, and float32's rounding in the sum


@pytest.mark.parametrize("dtype", DTYPES)
def test_centered_survives_a_gradient_without_variance(dtype):
    g = np.linspace(0.1, 1, 10).astype(dtype)
    w, optimizer = np.zeros_like(g), RMSprop(0.01, centered=True)
    for _ in range(3000):
        optimizer.step(w, g.copy())
    assert np.isfinite(w).all()


def test_decay_is_one_thing_for_sgd_and_two_for_adam():
    start, gradients = vectors(50, seed=1)
    plain, decayed = start.copy(), walk(SGD(0.1, weight_decay=0.3), start, gradients)
    for g in gradients:
        plain *= 1 - 0.1 * 0.3
        sgd_step(plain, g, 0.1)
    assert_allclose(plain, decayed, rtol=1e-9)
    assert np.abs(walk(Adam(0.1, weight_decay=0.3), start, gradients)
                  - walk(AdamW(0.1, weight_decay=0.3), start, gradients)).max() > 0.01


# A weight decay for each parameter

@pytest.mark.parametrize("name", SETTINGS)
@settings(max_examples=15, deadline=None)
@given(size=sizes, container=st.sampled_from([list, np.array]))
def test_decays_agree_with_the_reference(name, size, container):
    start, gradients = vectors(*size)
    strengths = np.random.default_rng(size[1]).choice([0.0, 0.1, 0.7], size[0])
    ours, theirs = (make(name, library, weight_decay=container(strengths)) for library in (module, reference.optimizers))
    assert_allclose(walk(ours, start, gradients), walk(theirs, start, gradients), **EXACT)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("given_dtype", [int, *DTYPES])
def test_equal_decays_are_one_decay_and_each_parameter_has_its_own(name, dtype, given_dtype, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", 7)
    start, gradients = vectors(50, dtype=dtype)
    close = EXACT if dtype == np.float64 else dict(rtol=1e-5, atol=1e-5)
    changes = dict(clip_norm=None, clip_value=None)
    whole, none = (walk(make(name, weight_decay=decay, **changes), start, gradients) for decay in (2.0, 0.0))
    assert_allclose(walk(make(name, weight_decay=np.full(50, 2, given_dtype), **changes), start, gradients), whole, **close)
    strengths = 2 * (np.arange(50) % 3 == 0).astype(given_dtype)
    optimizer = make(name, weight_decay=strengths, **changes)
    mixed = walk(optimizer, start, gradients)
    assert_allclose(mixed, np.where(strengths == 2, whole, none), **close)
    assert_array_equal(mixed[strengths == 0], none[strengths == 0])        # a zero changes no bit
    assert mixed.dtype == optimizer.scratch.dtype == dtype
    assert optimizer.weight_decay.dtype == (np.float64 if given_dtype is int else given_dtype)
    assert all(vector.dtype == dtype for vector in optimizer.state.values())


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_decays_are_the_optimizers_own(dtype):
    strengths, (start, gradients) = np.full(5, 0.3, dtype), vectors(5)
    for kind in (SGD, Adam, AdamW):
        optimizer, other = kind(0.1, weight_decay=strengths), kind(0.1, weight_decay=strengths.copy())
        strengths[...] = 7
        assert_array_equal(walk(optimizer, start, gradients), walk(other, start, gradients))
        strengths[...] = 0.3


@pytest.mark.parametrize("kind", [SGD, RMSprop, Adam, AdamW])
@pytest.mark.parametrize("bad, error, message", [
    ([0.1, -0.2, 0.3], ValueError, r"expected weight_decay of parameter 1 in \[0, inf\), got -0.2"),
    ([0.1, 0.2, math.nan], ValueError, r"expected weight_decay of parameter 2 in \[0, inf\), got nan"),
    (np.array([math.inf, 0.1], np.float32), ValueError, "weight_decay of parameter 0 in .*got inf"),
    ([], ShapeError, r"weight_decay as a number or as one vector, got an array shaped \(0,\)"),
    (np.ones((3, 1)), ShapeError, r"as one vector, got an array shaped \(3, 1\)"),
    (np.array([True, False]), ValueError, "expected weight_decay as numbers, got bool"),
    (["0.1", "0.2"], ValueError, "expected weight_decay as numbers, got <U3"),
    ([0.1, 1j], ValueError, "expected weight_decay as numbers, got complex128"),
    ([None, 0.1], ValueError, "expected weight_decay as numbers, got object"),
])
def test_decays_that_make_no_sense_are_refused(kind, bad, error, message):
    with pytest.raises(error, match=message):
        kind(0.1, weight_decay=bad)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("count", [1, 4, 6])
def test_as_many_decays_as_parameters(name, count):
    optimizer, w, g = make(name, weight_decay=np.zeros(count)), np.ones(5), np.full(5, 3.0)
    with pytest.raises(ShapeError, match=f"expected one weight_decay per parameter, 5, got {count}"):
        optimizer.step(w, g)
    assert_array_equal(w, np.ones(5))
    assert_array_equal(g, np.full(5, 3.0))
    assert optimizer.steps == 0 and optimizer.state == {}


def test_a_decay_vector_prints_short_and_tells_vectors_apart():
    vector = np.tile([0.0, 0.01], 100_000)
    text = repr(SGD(0.1, weight_decay=vector))
    assert text.startswith("SGD(learning_rate=0.1, weight_decay=<200000 from 0 to 0.01, crc32 ") and len(text) < 80
    assert text == repr(SGD(0.1, weight_decay=vector.copy())) == repr(SGD(0.1, weight_decay=vector.tolist()))
    swapped, longer = np.tile([0.01, 0.0], 100_000), np.append(vector, 0.0)
    nudged = vector.copy()
    nudged[7] = np.nextafter(0.01, 1)
    texts = {repr(SGD(0.1, weight_decay=v)) for v in (vector, swapped, longer, nudged, 0.01, 0 * vector)}
    assert len(texts) == 6
    optimizer = Adam(weight_decay=vector)
    before = repr(optimizer)
    optimizer.step(np.ones(200_000, np.float32), np.ones(200_000, np.float32))
    assert repr(optimizer) == before


def test_decay_depends_on_the_noise_for_adam_and_not_for_adamw():
    rng, size = np.random.default_rng(0), np.repeat([10.0, 0.1], 1000)
    w = {Adam: np.ones(2000), AdamW: np.ones(2000)}
    optimizers = {kind: kind(0.01, weight_decay=0.01) for kind in w}
    for _ in range(1000):
        g = size * rng.standard_normal(2000)
        for kind, optimizer in optimizers.items():
            optimizer.step(w[kind], g.copy())
    noisy, quiet = w[Adam].reshape(2, 1000).mean(axis=1)
    # Each copy also walks at random, a thousand steps of about the rate, 0.01: to a distance of about 0.3. The mean of a
    # thousand copies is off by about 0.3 / sqrt(1000) = 0.01, and four times that is allowed.
    assert noisy == pytest.approx(math.exp(-0.01), abs=0.04) and quiet == pytest.approx(math.exp(-1), abs=0.04)
    assert_allclose(w[AdamW].reshape(2, 1000).mean(axis=1), math.exp(-0.1), atol=0.04)


# Witness 3: PyTorch


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("case", generator.CASES)
def test_ten_steps_agree_with_pytorch(case, source):
    expected = FROZEN["steps"][case] if source == "frozen" else generator.steps_by_torch(case)
    kind, options, *_ = generator.CASES[case]
    optimizer, (w, _) = getattr(module, kind)(**options), generator.start()
    for step in range(generator.STEPS):
        optimizer.step(w, generator.gradient(w, step))
        assert_allclose(w, expected[step], **EXACT)
    assert len(expected) == generator.STEPS == optimizer.steps


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("case", generator.CASES)
def test_ten_steps_in_float32_agree_with_pytorch(case, source):
    frozen = np.array(FROZEN["steps"][case])
    expected = frozen if source == "frozen" else generator.steps_by_torch(case, "float32")
    kind, options, *_ = generator.CASES[case]
    optimizer, w = getattr(module, kind)(**options), generator.start()[0].astype(np.float32)
    for step in range(generator.STEPS):
        optimizer.step(w, generator.gradient(w, step))
        # The last element walks among numbers up to `scale`: what cancels leaves their rounding.
        scale = np.abs(frozen[:step + 1]).max(axis=0)
        assert (np.abs(w - expected[step]) <= 1e-5 * np.maximum(scale, np.abs(generator.start()[0]))).all()
    assert w.dtype == np.float32


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", generator.SCHEDULES)
def test_schedules_agree_with_pytorch(name, source):
    expected = FROZEN["rates"][name] if source == "frozen" else generator.rates_by_torch(name)
    kind, arguments = generator.SCHEDULES[name]
    schedule = getattr(module, kind)(*arguments)
    assert_allclose([schedule(step) for step in range(generator.RATES)], expected, rtol=1e-9)


# Vectors: blocks, dtypes, views, memory


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("block", [1, 7, 50, 64])
def test_blocks_change_nothing(name, block, monkeypatch):
    start, gradients = vectors(50)
    whole = walk(make(name), start, gradients)
    monkeypatch.setattr(module, "BLOCK", block)
    assert_array_equal(walk(make(name), start, gradients), whole)


def test_a_vector_longer_than_a_block():
    start, gradients = vectors(module.BLOCK + 3, steps=2)
    w, m, s = start.copy(), np.zeros_like(start), np.zeros_like(start)
    for t, g in enumerate(gradients, start=1):
        adam_step(w, g, m, s, t, 0.1)
    assert_array_equal(walk(Adam(0.1), start, gradients), w)


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("number", [float, np.float64, np.float32])
def test_float32_stays_float32(name, number):
    start, gradients = vectors(9, dtype=np.float32)
    changes = {key: number(value) for key, value in SETTINGS[name][1].items() if isinstance(value, float)}
    optimizer = make(name, **changes)
    w = walk(optimizer, start, gradients)
    assert w.dtype == np.float32 and optimizer.scratch.dtype == np.float32
    assert all(vector.dtype == np.float32 for vector in optimizer.state.values())
    assert type(optimizer.rate) is float
    wide = walk(make(name, **changes), start.astype(np.float64), gradients.astype(np.float64))
    assert_allclose(w, wide, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("rule", [sgd_step, momentum_step, nesterov_step, rmsprop_step, adam_step, adamw_step])
def test_rules_keep_float32_without_scratch(rule):
    w, g, a, b = (np.ones(4, np.float32) for _ in range(4))
    states = {sgd_step: (0.1,), momentum_step: (a, 0.1), nesterov_step: (a, 0.1), rmsprop_step: (a, 0.1)}
    rule(w, g, *states.get(rule, (a, b, 1)))
    assert {v.dtype for v in (w, g, a, b)} == {np.dtype(np.float32)} and (w != 1).all()


@pytest.mark.parametrize("name", SETTINGS)
def test_strided_vectors(name):
    start, gradients = vectors(11)
    room, slopes = np.full(33, 7.0), np.full((10, 22), 7.0)
    room[::3], slopes[:, ::-2] = start, gradients
    view, optimizer = room[::3], make(name)
    for g in slopes:
        optimizer.step(view, g[::-2])
    assert_allclose(view, walk(make(name), start, gradients), rtol=1e-12)
    assert (room[1::3] == 7).all() and (slopes[:, 0::2] == 7).all()


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("decays", ["as it is", "one for each"])
def test_a_step_allocates_nothing(name, decays):
    start, gradients = vectors(200_000, steps=4, dtype=np.float32)
    optimizer = make(name, **({"weight_decay": np.full(200_000, 0.1, np.float32)} if decays == "one for each" else {}))
    for g in gradients[:2]:
        optimizer.step(start, g)
    tracemalloc.start()
    optimizer.step(start, gradients[2])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000


def test_layers_see_the_step():
    network = Network(Dense(3), ReLU(), Dense(2)).build(4)
    network.forward(np.ones((4, 2), np.float32))
    network.backward(np.ones((2, 2), np.float32))
    first = network.layers[0]
    W, dW = first.W.copy(), first.dW.copy()
    SGD(0.5).step(network.parameters, network.gradients)
    assert_allclose(first.W, W - 0.5 * dW, rtol=1e-6)


# Clipping


@pytest.mark.parametrize("dtype", DTYPES)
def test_clip_by_norm_keeps_the_direction(dtype):
    g = np.array([3.0, 4.0], dtype)
    assert clip_by_norm(g, 1.0) == pytest.approx(5.0)
    assert_allclose(g, [0.6, 0.8], rtol=1e-6)
    assert clip_by_norm(g, 2.0) == pytest.approx(1.0)
    assert_allclose(g, [0.6, 0.8], rtol=1e-6)
    assert g.dtype == dtype


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("scale", [1e-44, 1e-30, 1e-20, 1e20, 1e30, 1e37])
def test_norm_where_float32_squares_do_not_fit(scale):
    g = np.array([3, 4], np.float32) * np.float32(scale)
    assert gradient_norm(g) == pytest.approx(math.hypot(*map(float, g)), rel=1e-5, abs=0)
    clip_by_norm(g, 1.0)
    assert gradient_norm(g) == pytest.approx(min(1.0, 5 * scale), abs=0,
                                             rel=0.2 if scale < 1e-40 else 1e-5)


@pytest.mark.parametrize("g, expected", [([0.0, 0.0], 0.0), ([1.0, np.inf], np.inf), ([1.0, np.nan], np.nan)])
def test_norm_of_special_vectors(g, expected):
    assert gradient_norm(np.array(g)) == pytest.approx(expected, nan_ok=True)


def test_clip_by_value():
    g = np.array([-3.0, -0.5, 0.0, 0.5, 3.0], np.float32)
    clip_by_value(g, 0.5)
    assert_array_equal(g, np.float32([-0.5, -0.5, 0, 0.5, 0.5]))


def test_clipping_comes_before_decay_and_value_before_norm():
    w, g = np.array([1.0, 1.0]), np.array([30.0, 0.4])
    SGD(1.0, clip_value=0.3, clip_norm=0.1, weight_decay=0.5).step(w, g)
    assert_allclose(w, 0.5 - 0.1 * np.array([1, 1]) / math.sqrt(2), rtol=1e-12)


# Bad input


@pytest.mark.parametrize("options", [
    dict(learning_rate=0), dict(learning_rate=-0.1), dict(learning_rate=math.nan), dict(learning_rate=math.inf),
    dict(learning_rate="0.1"), dict(learning_rate=None), dict(learning_rate=True), dict(learning_rate=1j),
    dict(weight_decay=-1e-9), dict(weight_decay=math.nan), dict(clip_value=0), dict(clip_value=-1),
    dict(clip_norm=0.0), dict(clip_norm=math.nan), dict(clip_norm=math.inf),
])
@pytest.mark.parametrize("kind", [SGD, RMSprop, Adam, AdamW])
def test_common_settings_are_refused(kind, options):
    (name, _), = options.items()
    with pytest.raises(ValueError, match=f"expected {name} in"):
        kind(**{"learning_rate": 0.1, **options})


@pytest.mark.parametrize("kind, options", [
    (SGD, dict(momentum=1)), (SGD, dict(momentum=-0.1)), (SGD, dict(momentum=math.nan)), (SGD, dict(momentum="0.9")),
    (RMSprop, dict(decay=1.0)), (RMSprop, dict(decay=-0.5)), (RMSprop, dict(momentum=1.0)), (RMSprop, dict(eps=0)),
    (Adam, dict(beta1=1)), (Adam, dict(beta2=1.0)), (Adam, dict(beta1=-0.1)), (Adam, dict(beta2=math.nan)),
    (Adam, dict(eps=-1e-8)), (AdamW, dict(weight_decay=-0.1)), (AdamW, dict(beta1=2)), (Adam, dict(beta1=None)), (SGD, dict(momentum=abs)),
])
def test_settings_of_a_rule_are_refused(kind, options):
    (name, value), = options.items()
    with pytest.raises(ValueError, match=f"expected {name} in") as error:
        kind(learning_rate=0.1, **options)
    assert repr(value) in str(error.value)


def test_nesterov_without_momentum_is_refused():
    with pytest.raises(ValueError, match="momentum above 0"):
        SGD(0.1, nesterov=True)


@pytest.mark.parametrize("make_schedule", [
    lambda: StepDecay(0), lambda: StepDecay(0.1, -1), lambda: StepDecay(0.1, 0.5, 0), lambda: StepDecay(math.nan),
    lambda: ExponentialDecay(-1, 0.9), lambda: ExponentialDecay(0.1, 0), lambda: Cosine(0.1, 0),
    lambda: Cosine(0.1, 10, -0.1), lambda: Cosine(0.1, 10, warmup=10), lambda: Cosine(0.1, 10, warmup=-1),
    lambda: Cosine(math.inf, 10),
])
def test_schedules_refuse_nonsense(make_schedule):
    with pytest.raises(ValueError, match="expected (initial|final|factor|every|rate|steps|warmup) in"):
        make_schedule()


@pytest.mark.parametrize("rate", [-0.1, math.nan, None])
def test_a_schedule_that_goes_wrong_is_refused(rate):
    optimizer, w = SGD(lambda step: 0.1 if step < 2 else rate), np.ones(3)
    for _ in range(2):
        optimizer.step(w, np.ones(3))
    with pytest.raises(ValueError, match="learning rate of step 2"):
        optimizer.step(w, np.ones(3))
    assert_allclose(w, 0.8)


def test_a_schedule_may_end_at_zero():
    optimizer, w = SGD(Cosine(0.1, 2)), np.ones(1)
    for _ in range(4):
        optimizer.step(w, np.ones(1))
    assert optimizer.rate == 0.0


@pytest.mark.parametrize("w, g, error, message", [
    (np.ones(3), np.ones(4), ShapeError, "one gradient per parameter, 3, got 4"),
    (np.ones(0), np.ones(0), ShapeError, "at least one element"),
    (np.ones((2, 2)), np.ones((2, 2)), ShapeError, r"parameters as one vector.*\(2, 2\)"),
    (np.ones(3), np.ones((3, 1)), ShapeError, "gradients as one vector"),
    ([1.0, 2.0], np.ones(2), ShapeError, "parameters as one vector.*list"),
    (np.ones(3, int), np.ones(3, int), ValueError, "parameters of float32 or float64, got int"),
    (np.ones(3, np.float16), np.ones(3, np.float16), ValueError, "got float16"),
    (np.ones(3, np.float32), np.ones(3), ValueError, "gradients of float32 like the parameters, got float64"),
])
@pytest.mark.parametrize("kind", [SGD, Adam])
def test_vectors_that_do_not_fit_are_refused(kind, w, g, error, message):
    optimizer, before = kind(0.1), np.array(w)
    with pytest.raises(error, match=message):
        optimizer.step(w, g)
    assert_array_equal(w, before)
    assert optimizer.steps == 0 and optimizer.state == {}


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_gradient_that_is_not_finite_changes_nothing(name, bad, dtype):
    start, gradients = vectors(20, dtype=dtype)
    optimizer, w = make(name), start.copy()
    optimizer.step(w, gradients[0].copy())
    before, state = w.copy(), {key: value.copy() for key, value in optimizer.state.items()}
    g = gradients[1].copy()
    g[[5, 13]] = bad
    with pytest.raises(FloatingPointError, match=f"2 of 20 gradients .* step 1 .*number 5: {bad}"):
        optimizer.step(w, g)
    assert_array_equal(w, before)
    assert optimizer.steps == 1
    for key, value in state.items():
        assert_array_equal(optimizer.state[key], value)
    assert_array_equal(walk(optimizer, w, gradients[1:]), walk(make(name), start, gradients))


def test_a_huge_but_finite_gradient_is_accepted():
    w = np.zeros(3, np.float32)
    SGD(1.0, clip_norm=1.0).step(w, np.full(3, 1e30, np.float32))
    assert_allclose(w, -1 / math.sqrt(3), rtol=1e-6)
    w = np.zeros(4)
    SGD(1e-308).step(w, np.full(4, 1.7e308))  # its length is beyond float64
    assert_allclose(w, -1.7, rtol=1e-12)


@pytest.mark.parametrize("value", [0, 0.5, np.float32(0.5), 1])
def test_number_between_gives_a_python_float(value):
    assert type(number_between("x", value, 0, 2)) is float


# State


@pytest.mark.parametrize("name", SETTINGS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_a_restored_optimizer_goes_on_to_the_last_bit(name, dtype):
    start, gradients = vectors(30, dtype=dtype)
    schedule = Cosine(0.1, 10, warmup=3)
    straight = walk(make(name, learning_rate=schedule), start, gradients)
    first, second = make(name, learning_rate=schedule), make(name, learning_rate=schedule)
    halfway = walk(first, start, gradients[:5])
    second.restore(first.state, first.steps)
    walk(first, halfway, gradients)                      # goes on by itself: the copies must not notice
    assert_array_equal(walk(second, halfway, gradients[5:]), straight)


def test_restore_accepts_a_fresh_state():
    start, gradients = vectors(4)
    optimizer = Adam(0.1)
    walk(optimizer, start, gradients)
    optimizer.restore({}, 0)
    assert_array_equal(walk(optimizer, start, gradients), walk(Adam(0.1), start, gradients))


@pytest.mark.parametrize("state, steps, error, message", [
    ({"m": np.ones(3)}, 5, ValueError, r"state named \['m', 's'\], got \['m'\]"),
    ({}, 5, ValueError, "got \\[\\]"),
    ({"m": np.ones(3), "s": np.ones(3), "v": np.ones(3)}, 5, ValueError, "got"),
    ({"m": np.ones(3), "s": np.ones(4)}, 5, ShapeError, r"'s' shaped \(3,\), got \(4,\)"),
    ({"m": np.ones((3, 1)), "s": np.ones((3, 1))}, 5, ShapeError, "'m'"),
    ({"m": np.ones(3), "s": np.ones(3, np.float32)}, 5, ValueError, "'s' of float64, got float32"),
    ({"m": np.ones(3, int), "s": np.ones(3, int)}, 5, ValueError, "'m'"),
    ({"m": np.ones(3), "s": np.ones(3)}, -1, ValueError, "expected steps in"),
    ({"m": np.ones(3), "s": np.ones(3)}, math.nan, ValueError, "expected steps in"),
])
def test_restore_refuses_what_does_not_fit_and_keeps_what_it_has(state, steps, error, message):
    start, gradients = vectors(3)
    optimizer = Adam(0.1)
    w = walk(optimizer, start, gradients[:5])
    with pytest.raises(error, match=message):
        optimizer.restore(state, steps)
    assert_array_equal(walk(optimizer, w, gradients[5:]), walk(Adam(0.1), start, gradients))


@pytest.mark.parametrize("other", [np.ones(4), np.ones(3, np.float32)])
def test_an_optimizer_serves_one_network(other):
    optimizer = SGD(0.1, momentum=0.9)
    optimizer.step(np.ones(3), np.ones(3))
    before = other.copy()
    with pytest.raises(ValueError, match="expected optimizer state 'v'"):
        optimizer.step(other, np.ones_like(other))
    assert_array_equal(other, before)
    assert optimizer.steps == 1


def test_plain_sgd_has_no_state():
    optimizer = SGD(0.1)
    optimizer.step(np.ones(3), np.ones(3))
    assert optimizer.state == {} and optimizer.steps == 1
    fresh = SGD(0.1)
    fresh.restore(optimizer.state, optimizer.steps)
    assert fresh.steps == 1


# How it prints, and rules of one's own


@pytest.mark.parametrize("name", SETTINGS)
def test_repr_can_be_read_back(name):
    optimizer = make(name, learning_rate=Cosine(0.1, 10))
    assert repr(eval(repr(optimizer))) == repr(optimizer)
    assert repr(optimizer).startswith(f"{SETTINGS[name][0]}(learning_rate=Cosine(initial=0.1, steps=10")


def test_repr_shows_a_zero_that_is_not_the_default():
    assert eval(repr(AdamW(weight_decay=0))).weight_decay == 0
    assert eval(repr(Adam(beta1=0))).beta1 == 0
    assert repr(SGD(0.1)) == "SGD(learning_rate=0.1)"


def test_repr_of_a_plain_function_says_its_name_and_no_address():
    def halving(step):
        return 0.1 / (1 + step)

    assert "halving" in repr(SGD(halving)) and "0x" not in repr(SGD(halving))


def test_a_rule_of_ones_own():
    class Sign(Optimizer):
        def update(self, w, g, lr, scratch):
            w -= np.multiply(np.sign(g), lr, out=scratch)

    w = np.ones(3)
    Sign(0.1, weight_decay=0.5).step(w, np.array([2.0, -3.0, 0.0]))
    assert_allclose(w, [0.9, 1.1, 0.9])


# Witness 4: real digits


@pytest.fixture(scope="module")
def digits():
    (images, labels), _ = load_mnist()
    x = images[:6000].reshape(6000, 784).T / np.float32(255)
    return x[:, :4000], labels[:4000], x[:, 4000:], labels[4000:6000]


def gradient(network, x, y):
    loss = SoftmaxCrossEntropy()
    value = loss.forward(network.forward(x), y)
    network.backward(loss.backward())
    return value


def train(optimizer, digits, epochs, seed=0):
    x, y, *_ = digits
    network, losses = Network(Dense(32), ReLU(), Dense(10)).build(784, seed), []
    rng = np.random.default_rng(seed)
    for order in [rng.permutation(4000) for _ in range(epochs)]:
        for batch in order.reshape(80, 50):
            losses.append(gradient(network, x[:, batch], y[batch]))
            optimizer.step(network.parameters, network.gradients)
    return network, losses


@pytest.mark.parametrize("make_optimizer, highest_loss, lowest_share", [
    (lambda: SGD(0.1), 0.35, 0.86), (lambda: SGD(0.1, 0.9), 0.2, 0.88), (lambda: SGD(0.1, 0.9, True), 0.2, 0.88),
    (lambda: RMSprop(0.003), 0.22, 0.87), (lambda: RMSprop(0.003, centered=True), 0.22, 0.87),
    (lambda: RMSprop(0.0005, momentum=0.9), 0.22, 0.88), (lambda: Adam(0.005), 0.2, 0.88),
    (lambda: AdamW(Cosine(0.01, 400), weight_decay=0.1), 0.15, 0.90),
])
def test_every_optimizer_trains_digits(digits, make_optimizer, highest_loss, lowest_share):
    losses, shares = [], []
    for seed in range(2):
        network, path = train(make_optimizer(), digits, epochs=5, seed=seed)
        losses.append(np.mean(path[-80:]))
        shares.append(np.mean(network.forward(digits[2]).argmax(axis=0) == digits[3]))
    assert np.mean(losses) < highest_loss and np.mean(shares) > lowest_share


def test_a_rate_too_high_silences_the_network(digits):
    network, losses = train(SGD(3.0), digits, epochs=1)
    hidden = network.layers[1].forward(network.layers[0].forward(digits[0]))
    assert np.mean(hidden.max(axis=1) <= 0) > 0.7
    assert np.mean(losses[-20:]) == pytest.approx(math.log(10), abs=0.15)


def test_the_error_of_a_minibatch_gradient(digits):
    x, y, *_ = digits
    network, _ = train(SGD(0.1), digits, epochs=1)
    rng = np.random.default_rng(1)

    def slope(batch):
        gradient(network, x[:, batch], y[batch])
        return network.gradients.astype(np.float64)

    full = slope(np.arange(4000))
    parts = [slope(batch) for batch in rng.permutation(4000).reshape(80, 50)]
    assert np.linalg.norm(np.mean(parts, axis=0) - full) < 1e-5 * np.linalg.norm(full)
    variance = np.mean([np.sum((slope([k]) - full) ** 2) for k in range(4000)])
    measured = np.mean([np.sum((part - full) ** 2) for part in parts])
    assert measured == pytest.approx(variance / 50 * 3950 / 3999, rel=0.1)


def test_the_sharpest_direction_of_the_digit_network(digits):
    x, y, *_ = digits
    network = Network(Dense(32), ReLU(), Dense(10)).build(784, seed=0)
    for _ in range(30):
        gradient(network, x, y)
        sgd_step(network.parameters, network.gradients, 0.1)
    gradient(network, x, y)
    start, d, curvatures = network.parameters.copy(), network.gradients / np.linalg.norm(network.gradients), []
    for _ in range(8):
        ends = []
        for side in (0.02, -0.02):
            network.parameters[...] = start + np.float32(side) * d
            gradient(network, x, y)
            ends.append(network.gradients.copy())
        bent = (ends[0] - ends[1]) / np.float32(0.04)
        curvatures.append((float(d @ bent), float(np.linalg.norm(bent))))
        d = bent / np.float32(curvatures[-1][1])
    along, sharpest = curvatures[0][0], curvatures[-1][1]
    assert 0.1 < along < 0.5 and 6 < sharpest < 12
