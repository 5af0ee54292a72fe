"""Losses against the reference, finite differences, PyTorch, and a task on real digits."""

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import reference.losses
from nnlib import losses
from nnlib.activations import softmax, softmax_backward
from nnlib.data import load_mnist, scale_pixels
from nnlib.dense import ShapeError, dense, dense_db, dense_dW

FOLDER = Path(__file__).parent / "torch_frozen"
FROZEN = json.loads((FOLDER / "losses.json").read_text(encoding="utf-8"))["cases"]
DISTANCES = ["absolute_error", "mean_absolute_error", "mean_squared_error", "root_mean_squared_error"]
CLASSES = ["cross_entropy", "kl_divergence", "softmax_cross_entropy"]
COINS = ["binary_cross_entropy", "sigmoid_binary_cross_entropy"]
EVERY = DISTANCES + CLASSES + COINS
OBJECTS = {"absolute_error": "AbsoluteError", "mean_absolute_error": "MeanAbsoluteError",
           "mean_squared_error": "MeanSquaredError", "root_mean_squared_error": "RootMeanSquaredError",
           "cross_entropy": "CrossEntropy", "kl_divergence": "KLDivergence",
           "softmax_cross_entropy": "SoftmaxCrossEntropy", "binary_cross_entropy": "BinaryCrossEntropy",
           "sigmoid_binary_cross_entropy": "SigmoidBinaryCrossEntropy"}


def pair(name, module=losses):
    """A loss's function and its backward."""
    return getattr(module, name), getattr(module, name + "_backward")


def make(name, module=losses):
    """A loss's object."""
    return getattr(module, OBJECTS[name])()


def example(name, rng, features=3, batch=4, labels=False):
    """A prediction and a target that suit the loss, in float64."""
    p = rng.normal(size=(features, batch))
    y = rng.normal(size=(features, batch))
    if name in CLASSES:
        y = rng.integers(0, features, batch) if labels else rng.dirichlet(np.ones(features), batch).T
    if name in ("cross_entropy", "kl_divergence"):
        p = rng.dirichlet(np.full(features, 2.0), batch).T
    if name in COINS:
        y = rng.choice([0.0, 1.0, 0.3], (features, batch))
    if name == "binary_cross_entropy":
        p = rng.uniform(0.01, 0.99, (features, batch))
    return p, y


def finite_differences(loss, p, y, h=1e-6):
    """The central difference of the loss at every element of p."""
    result = np.zeros_like(p)
    for place in np.ndindex(p.shape):
        step = np.zeros_like(p)
        step[place] = h
        result[place] = (loss(p + step, y) - loss(p - step, y)) / (2 * h)
    return result


# Witness 1: the reference

sizes = st.tuples(st.integers(1, 5), st.integers(1, 6), st.integers(0, 2**32 - 1), st.booleans())


@pytest.mark.parametrize("name", EVERY)
@settings(max_examples=25, deadline=None)
@given(size=sizes)
def test_agrees_with_the_reference(name, size):
    features, batch, seed, labels = size
    labels = labels and name != "kl_divergence"
    p, y = example(name, np.random.default_rng(seed), features, batch, labels)
    for function, expected in zip(pair(name), pair(name, reference.losses)):
        assert_allclose(function(p, y), expected(p, y), rtol=1e-9, atol=1e-13)
    ours, theirs = make(name), make(name, reference.losses)
    assert_allclose(ours.forward(p, y), theirs.forward(p, y), rtol=1e-9, atol=1e-13)
    assert_allclose(ours.backward(), theirs.backward(), rtol=1e-9, atol=1e-13)
    if ours.additive:
        count = batch + 3
        assert_allclose(ours.backward(count), theirs.backward(count), rtol=1e-9, atol=1e-13)


@settings(max_examples=25, deadline=None)
@given(size=sizes)
def test_helpers_agree_with_the_reference(size):
    features, batch, seed, _ = size
    rng = np.random.default_rng(seed)
    z = rng.choice([-1000.0, -3.0, 0.0, 0.5, 1000.0], (features, batch))
    assert_allclose(losses.log_softmax(z), reference.losses.log_softmax(z), rtol=1e-9, atol=1e-13)
    x, y = rng.choice([0.0, 0.2, 1.0], (2, features, batch))
    assert_array_equal(losses.xlogy(x, y), reference.losses.xlogy(x, y))
    labels = rng.integers(0, features, batch)
    assert_array_equal(losses.one_hot(labels, features), reference.losses.one_hot(labels, features))


# Witness 2: finite differences, every element

@pytest.mark.parametrize("labels", [False, True])
@pytest.mark.parametrize("name", EVERY)
def test_gradient_is_the_slope(name, labels):
    rng = np.random.default_rng(5)
    for features, batch in [(1, 1), (4, 3), (2, 5)]:
        p, y = example(name, rng, features, batch, labels and name != "kl_divergence")
        loss, backward = pair(name)
        if name in ("cross_entropy", "kl_divergence") and features == 1:
            p = np.full_like(p, 0.5)          # a probability of 1 cannot be moved up
        expected = finite_differences(loss, p, y)
        assert_allclose(backward(p, y), expected, rtol=1e-6, atol=1e-8)
        thing = make(name)
        thing.forward(p, y)
        assert_allclose(thing.backward(), expected, rtol=1e-6, atol=1e-8)


# Witness 3: PyTorch

def generator():
    spec = importlib.util.spec_from_file_location("generate_losses", FOLDER / "generate_losses.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def compare_with_torch(name, p, y, value, gradient):
    for dtype, rtol, atol in [(np.float64, 1e-9, 1e-13), (np.float32, 1e-5, 1e-6)]:
        target = y if y.dtype.kind == "i" else y.astype(dtype)
        loss, backward = pair(name)
        thing = make(name)
        for got in (loss(p.astype(dtype), target), thing.forward(p.astype(dtype), target)):
            assert_allclose(got, value, rtol=rtol, atol=atol)
        for got in (backward(p.astype(dtype), target), thing.backward()):
            assert got.dtype == dtype
            assert_allclose(got, gradient, rtol=rtol, atol=atol)


@pytest.mark.parametrize("case", FROZEN)
def test_agrees_with_frozen_torch(case):
    frozen = FROZEN[case]
    p, y = np.array(frozen["prediction"]), np.array(frozen["target"])
    compare_with_torch(frozen["loss"], p, y, frozen["value"], np.array(frozen["gradient"]))


def test_frozen_cases_cover_every_loss():
    assert {frozen["loss"] for frozen in FROZEN.values()} == set(EVERY)


if importlib.util.find_spec("torch"):
    @pytest.mark.parametrize("case", FROZEN)
    def test_agrees_with_live_torch(case):
        torch_cases = generator()
        name, p, y = torch_cases.inputs()[case]
        compare_with_torch(name, p, y, *torch_cases.by_torch(name, p, y))


# Witness 4: the task. One dense layer reaches 90 % of the test digits in three short passes.

def test_a_linear_classifier_learns_real_digits():
    (images, labels), (test_images, test_labels) = load_mnist()
    x = scale_pixels(images[:20000]).reshape(20000, 784).T
    W, b = np.zeros((10, 784), np.float32), np.zeros((10, 1), np.float32)
    loss = losses.SoftmaxCrossEntropy()
    first = loss.forward(dense(x[:, :50], W, b), labels[:50])
    assert first == pytest.approx(math.log(10), rel=1e-6)
    for start in [*range(0, 20000, 50)] * 3:
        seen = x[:, start:start + 50]
        loss.forward(dense(seen, W, b), labels[start:start + 50])
        dz = loss.backward()
        W -= 0.1 * dense_dW(dz, seen)
        b -= 0.1 * dense_db(dz)
    z = dense(scale_pixels(test_images).reshape(10000, 784).T, W, b)
    assert (z.argmax(axis=0) == test_labels).mean() > 0.90
    assert loss.forward(z, test_labels) < 0.36


# By hand

def test_distances_by_hand():
    p, y = np.array([[1.0, 4.0], [0.0, 2.0]]), np.array([[3.0, 4.0], [1.0, -1.0]])
    assert [pair(name)[0](p, y) for name in DISTANCES] == [3.0, 1.5, 3.5, 3.5**0.5]
    assert_array_equal(losses.absolute_error_backward(p, y), [[-0.5, 0], [-0.5, 0.5]])
    assert_array_equal(losses.mean_squared_error_backward(p, y), [[-1, 0], [-0.5, 1.5]])


def test_softmax_cross_entropy_by_hand():
    z = np.log([[1.0, 3.0], [2.0, 3.0], [5.0, 3.0]])
    value = (math.log(8 / 5) + math.log(3)) / 2
    gradient = np.array([[1 / 8, 1 / 3], [2 / 8, -2 / 3], [-3 / 8, 1 / 3]]) / 2
    assert losses.softmax_cross_entropy(z, [2, 1]) == pytest.approx(value, rel=1e-14)
    assert_allclose(losses.softmax_cross_entropy_backward(z, [2, 1]), gradient, rtol=1e-13)


def test_labels_one_hot_and_matching_distributions_are_the_same():
    rng = np.random.default_rng(6)
    for name in ("cross_entropy", "softmax_cross_entropy"):
        p, labels = example(name, rng, 5, 7, labels=True)
        columns = losses.one_hot(labels, 5, np.float64)
        for function in pair(name):
            assert_allclose(function(p, labels), function(p, columns), rtol=1e-14)
        one, other = make(name), make(name)
        assert one.forward(p, labels) == pytest.approx(other.forward(p, columns), rel=1e-14)
        assert_allclose(one.backward(), other.backward(), rtol=1e-14)


def test_fused_agrees_with_its_parts():
    rng = np.random.default_rng(7)
    z, labels = example("softmax_cross_entropy", rng, 6, 5, labels=True)
    p = softmax(z)
    assert losses.softmax_cross_entropy(z, labels) == pytest.approx(losses.cross_entropy(p, labels), rel=1e-12)
    long_way = softmax_backward(losses.cross_entropy_backward(p, labels), p)
    assert_allclose(losses.softmax_cross_entropy_backward(z, labels), long_way, rtol=1e-10, atol=1e-14)


@settings(max_examples=30, deadline=None)
@given(size=sizes)
def test_gibbs(size):
    features, batch, seed, _ = size
    p, y = example("kl_divergence", np.random.default_rng(seed), features, batch)
    entropy = losses.cross_entropy(y, y)
    assert losses.kl_divergence(p, y) >= -1e-14
    assert losses.kl_divergence(y, y) == 0
    assert losses.cross_entropy(p, y) == pytest.approx(losses.kl_divergence(p, y) + entropy, abs=1e-12)


# Dtypes and memory layouts

@pytest.mark.parametrize("name", EVERY)
def test_float32_stays_float32_whatever_the_target(name):
    p, y = example(name, np.random.default_rng(8))
    value, gradient = (function(p, y) for function in pair(name))
    loss, backward = pair(name)
    p32 = p.astype(np.float32)
    for target in (y, y.astype(np.float32)):
        thing = make(name)
        for got in (loss(p32, target), thing.forward(p32, target)):
            assert type(got) is float
            assert got == pytest.approx(value, rel=1e-5)
        for got in (backward(p32, target), thing.backward(), thing.backward(count=p.shape[1])):
            assert got.dtype == np.float32
            assert_allclose(got, gradient, rtol=1e-5, atol=1e-6)
    if thing.additive:
        assert thing.backward(count=100).dtype == np.float32


@pytest.mark.parametrize("kind", ["u1", "i1", "i4", "i8", "u8"])
def test_any_integer_labels(kind):
    z = np.random.default_rng(9).normal(size=(10, 300)).astype(np.float32)
    labels = np.arange(300) % 10
    thing = losses.SoftmaxCrossEntropy()
    expected = losses.softmax_cross_entropy(z, labels)
    assert thing.forward(z, labels.astype(kind)) == pytest.approx(expected, rel=1e-6)
    assert_allclose(thing.backward(), losses.softmax_cross_entropy_backward(z, labels), rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("name", DISTANCES + ["softmax_cross_entropy"] + COINS[1:])
def test_integer_predictions(name):
    p = np.array([[3, 0, 1], [1, 2, 0]])
    y = np.array([[1, 0, 1], [0, 1, 0]])
    for function in pair(name):
        assert_allclose(function(p, y), function(p.astype(float), y.astype(float)), rtol=1e-14)
        assert_allclose(function(p.astype(np.uint8), y.astype(np.uint8)),
                        function(p.astype(float), y.astype(float)), rtol=1e-5)


@pytest.mark.parametrize("name", EVERY)
def test_any_memory_layout_and_inputs_left_alone(name):
    p, y = example(name, np.random.default_rng(10), 4, 6)
    expected = [function(p, y) for function in pair(name)]
    wide = np.repeat(p, 2, axis=1)
    for view in (np.asfortranarray(p), wide[:, ::2], p[::-1, ::-1][::-1, ::-1]):
        before, target = view.copy(), y.copy()
        thing = make(name)
        results = [function(view, target) for function in pair(name)]
        results += [thing.forward(view, target), thing.backward()]
        for got, value in zip(results, expected * 2):
            assert_allclose(got, value, rtol=1e-13, atol=1e-15)
        assert_array_equal(view, before)
        assert_array_equal(target, y)


@pytest.mark.parametrize("name", DISTANCES + COINS)
def test_more_axes_before_the_batch(name):
    p, y = example(name, np.random.default_rng(11), 6, 5)
    loss, backward = pair(name)
    image_p, image_y = p.reshape(2, 3, 1, 5), y.reshape(2, 3, 1, 5)
    assert loss(image_p, image_y) == pytest.approx(loss(p, y), rel=1e-13)
    assert_allclose(backward(image_p, image_y).reshape(6, 5), backward(p, y), rtol=1e-13)


# Hard numbers

@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fused_softmax_at_a_thousand(dtype):
    z = np.array([[0.0, 1000.0, -1000.0, 7.0], [200.0, -1000.0, 1000.0, 7.0]], dtype)
    labels = [0, 1, 1, 0]
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        thing = losses.SoftmaxCrossEntropy()
        for value in (losses.softmax_cross_entropy(z, labels), thing.forward(z, labels)):
            assert value == pytest.approx((200 + 2000 + 0 + math.log(2)) / 4, rel=1e-6)
        expected = np.array([[-1, 1, 0, -0.5], [1, -1, 0, 0.5]]) / 4
        for gradient in (losses.softmax_cross_entropy_backward(z, labels), thing.backward()):
            assert_array_equal(gradient, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_fused_sigmoid_at_a_thousand(dtype):
    z = np.array([[-1000.0, 1000.0, 1000.0, 0.0]], dtype)
    y = np.array([[1, 0, 1, 1]], dtype)
    with np.errstate(over="raise", divide="raise", invalid="raise"):
        value = losses.sigmoid_binary_cross_entropy(z, y)
        gradient = losses.sigmoid_binary_cross_entropy_backward(z, y)
    assert value == pytest.approx((2000 + math.log(2)) / 4, rel=1e-6)
    assert_array_equal(gradient, [[-0.25, 0.25, 0, -0.125]])


def test_small_losses_keep_their_digits():
    z = np.array([[1000.0], [1000.0 - 9.0]], np.float32)    # log(1 + e^-9), lost if m were added back
    assert losses.softmax_cross_entropy(z, [0]) == pytest.approx(math.log1p(math.exp(-9)), rel=2e-3)
    assert losses.sigmoid_binary_cross_entropy([[-40.0]], [[0.0]]) == pytest.approx(math.exp(-40), rel=1e-12, abs=0)


def test_plain_forms_are_honest_about_infinity():
    never, always = np.array([[0.0], [1.0]]), np.array([[1.0], [0.0]])
    with np.errstate(all="raise"):
        assert losses.cross_entropy(never, [1]) == 0
        assert losses.cross_entropy(never, [0]) == math.inf
        assert_array_equal(losses.cross_entropy_backward(never, [0]), [[-math.inf], [0]])
        assert_array_equal(losses.cross_entropy_backward(never, [1]), [[0], [-1]])
        assert losses.kl_divergence(never, always) == math.inf
        assert losses.kl_divergence(never, never) == 0
        assert losses.kl_divergence(np.array([[0.5], [0.5]]), always) == pytest.approx(math.log(2))
        assert losses.binary_cross_entropy([[0.0, 1.0]], [[0.0, 1.0]]) == 0
        assert losses.binary_cross_entropy([[0.0]], [[1.0]]) == math.inf
        assert losses.binary_cross_entropy([[1.0]], [[0.0]]) == math.inf
        assert_array_equal(losses.binary_cross_entropy_backward([[0.0, 1.0, 0.0, 1.0]], [[0, 1, 1, 0]]),
                           [[0.25, -0.25, -math.inf, math.inf]])
    for value in (losses.cross_entropy(never, [1]), losses.binary_cross_entropy([[0.0]], [[0.0]])):
        assert math.copysign(1, value) == 1, "a loss of minus zero"


@pytest.mark.parametrize("name", DISTANCES)
def test_a_perfect_prediction_has_no_loss_and_no_slope(name):
    p = np.random.default_rng(12).normal(size=(3, 4))
    loss, backward = pair(name)
    with np.errstate(all="raise"):
        assert loss(p, p) == 0
        assert_array_equal(backward(p, p), np.zeros((3, 4)))


@pytest.mark.parametrize("classes", [1, 2, 10, 1000])
def test_nothing_known_costs_log_classes(classes):
    z = np.full((classes, 3), 5.0, np.float32)
    assert losses.SoftmaxCrossEntropy().forward(z, [0, 0, classes - 1]) == pytest.approx(
        math.log(classes), rel=1e-6, abs=1e-7)


# Objects

@pytest.mark.parametrize("name", [n for n in EVERY if n != "root_mean_squared_error"])
def test_parts_add_up_to_the_whole(name):
    p, y = example(name, np.random.default_rng(13), 3, 7)
    whole = make(name)
    value = whole.forward(p, y)
    gradient = whole.backward().copy()
    parts, total = [], 0.0
    for part in (slice(0, 3), slice(3, 4), slice(4, 7)):
        thing = make(name)
        total += thing.forward(p[:, part], y[:, part]) * (part.stop - part.start)
        parts.append(thing.backward(count=7))
    assert_allclose(np.hstack(parts), gradient, rtol=1e-13, atol=1e-16)
    assert total / 7 == pytest.approx(value, rel=1e-13)
    assert whole.additive


def test_rmse_refuses_to_be_cut():
    thing = losses.RootMeanSquaredError()
    thing.forward(np.ones((1, 4)), np.zeros((1, 4)))
    assert_array_equal(thing.backward(), thing.backward(count=4))
    assert not thing.additive
    with pytest.raises(ValueError, match="RootMeanSquaredError: .*parts"):
        thing.backward(count=8)


@pytest.mark.parametrize("name", EVERY)
def test_order_of_calls(name):
    thing = make(name)
    with pytest.raises(RuntimeError, match=f"{OBJECTS[name]}: backward before forward"):
        thing.backward()
    p, y = example(name, np.random.default_rng(14))
    thing.forward(p, y)
    once = thing.backward().copy()
    assert_array_equal(thing.backward(), once)
    if thing.additive:
        with pytest.raises(ValueError, match="count of at least the batch's 4, got 2"):
            thing.backward(count=2)


def test_softmax_cross_entropy_reuses_its_arrays():
    rng = np.random.default_rng(15)
    thing = losses.SoftmaxCrossEntropy()
    z, y = rng.normal(size=(10, 64)).astype(np.float32), rng.integers(0, 10, 64)
    thing.forward(z, y)
    p, dz = thing.p, thing.backward()
    assert_allclose(p, softmax(z), rtol=1e-6)
    thing.forward(2 * z, y)
    assert thing.p is p and thing.backward() is dz
    assert thing.forward(z[:, :9], y[:9]) == pytest.approx(losses.softmax_cross_entropy(z[:, :9], y[:9]), rel=1e-6)
    assert thing.backward().shape == (10, 9)


def test_a_replica_has_a_workspace_of_its_own():
    z, y = np.random.default_rng(16).normal(size=(3, 4)), [0, 1, 2, 0]
    thing = losses.SoftmaxCrossEntropy()
    thing.forward(z, y)
    twin = thing.replica()
    twin.forward(-z, y)
    assert_allclose(thing.backward(), losses.softmax_cross_entropy_backward(z, y), rtol=1e-12)
    assert not np.may_share_memory(thing.p, twin.p)


# Bad input: each names the thing, what was expected and what came

@pytest.mark.parametrize("name", EVERY)
def test_shapes_are_refused(name):
    for function in (*pair(name), make(name).forward):
        with pytest.raises(ShapeError, match=r"at least one sample, got \(3, 0\)"):
            function(np.zeros((3, 0)), np.zeros((3, 0)))
        with pytest.raises(ShapeError, match=r"\(features, batch\).*got \(3,\)"):
            function(np.full(3, 0.5), np.full(3, 0.5))
        with pytest.raises(ShapeError, match=r"expected y shaped \(1, 3\).*got \(3, 1\)"):
            function(np.full((1, 3), 0.5), np.full((3, 1), 0.5))
        with pytest.raises(ValueError, match="real numbers in p, got dtype"):
            function(np.array([["a", "b"]]), np.zeros((1, 2)))


@pytest.mark.parametrize("name", ["cross_entropy", "softmax_cross_entropy"])
def test_labels_are_refused(name):
    p = np.full((3, 2), 1 / 3)
    for function in (*pair(name), make(name).forward):
        for wrong, words in [([0, 3], "from 0 to 2, got 3"), ([-1, 0], "from 0 to 2, got -1"),
                             ([0.0, 1.0], "integer labels, got dtype float64"),
                             ([True, False], "integer labels, got dtype bool"),
                             ([0, 1, 2], "expected 2 labels, one per sample, got 3"),
                             (np.array([255, 0], np.uint8), "from 0 to 2, got 255")]:
            with pytest.raises(ValueError, match=words):
                function(p, np.array(wrong))


@pytest.mark.parametrize("name", CLASSES)
def test_targets_that_are_no_distributions_are_refused(name):
    p = np.full((2, 2), 0.5)
    for function in (*pair(name), make(name).forward):
        with pytest.raises(ValueError, match="sum to 1, got one off by 0.5"):
            function(p, np.array([[0.5, 0.5], [0.5, 0.0]]))
        with pytest.raises(ValueError, match="between 0 and 1 in y, got values from -1.0 to 2.0"):
            function(p, np.array([[2.0, 0.5], [-1.0, 0.5]]))
        with pytest.raises(ValueError, match="between 0 and 1 in y"):
            function(p, np.array([[np.nan, 0.5], [0.5, 0.5]]))
    with pytest.raises(ShapeError, match="class scores shaped"):
        losses.softmax_cross_entropy(np.zeros((2, 2, 2)), [0, 1])


@pytest.mark.parametrize("name", ["cross_entropy", "kl_divergence", "binary_cross_entropy"])
@pytest.mark.parametrize("bad", [-0.1, 1.1, np.nan, np.inf])
def test_probabilities_are_refused(name, bad):
    for function in (*pair(name), make(name).forward):
        with pytest.raises(ValueError, match="between 0 and 1 in p"):
            function(np.array([[bad, 0.5], [0.5, 0.5]]), np.array([[1.0, 1.0], [0.0, 0.0]]))


@pytest.mark.parametrize("name", COINS)
def test_coin_targets_are_refused(name):
    for function in (*pair(name), make(name).forward):
        with pytest.raises(ValueError, match="between 0 and 1 in y, got values from 0.0 to 2.0"):
            function(np.array([[0.5, 0.5]]), np.array([[0.0, 2.0]]))


def test_one_hot():
    y = losses.one_hot(np.array([2, 0, 1], np.uint8), 3)
    assert y.dtype == np.float32
    assert_array_equal(y, [[0, 1, 0], [0, 0, 1], [1, 0, 0]])
    assert losses.one_hot([1], 4, np.float64).dtype == np.float64
    assert losses.one_hot(np.zeros(0, int), 4).shape == (4, 0)
    with pytest.raises(ValueError, match="from 0 to 2, got -1"):
        losses.one_hot([0, -1], 3)
    with pytest.raises(ShapeError, match=r"labels shaped \(n,\), got \(1, 2\)"):
        losses.one_hot([[0, 1]], 3)
