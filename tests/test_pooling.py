"""Pooling against the reference, finite differences, PyTorch, and a task."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import reference.pooling
from nnlib import pooling
from nnlib.activations import ReLU
from nnlib.convolution import Convolution
from nnlib.data import load_mnist, scale_pixels
from nnlib.dense import Dense, ShapeError
from nnlib.gradcheck import check_layer, check_network
from nnlib.losses import SoftmaxCrossEntropy
from nnlib.network import Flatten, Network, Reshape, batch_last, named_views

FOLDER = Path(__file__).parent / "torch_frozen"
FROZEN = json.loads((FOLDER / "pooling.json").read_text(encoding="utf-8"))["cases"]
KINDS = ["max", "average"]
DTYPES = [np.float32, np.float64]
CLASSES = {"max": "MaxPool", "average": "AveragePool"}

kinds = pytest.mark.parametrize("kind", KINDS)
both = pytest.mark.parametrize("dtype", DTYPES)
seeds = st.integers(0, 2**32 - 1)


@st.composite
def geometries(draw):
    """(image shape, size, stride, padding): windows that tile, overlap, leave gaps, reach over the edge."""
    size = tuple(draw(st.integers(1, 4)) for _ in range(2))
    stride = draw(st.sampled_from([None, 1, 2, 3, (1, 2), (3, 1), size]))
    padding = tuple(draw(st.integers(0, k - 1)) for k in size)
    height, width = (draw(st.integers(max(1, k - 2 * p), 9)) for k, p in zip(size, padding))
    return (draw(st.integers(1, 3)), height, width, draw(st.integers(1, 3))), size, stride, padding


def forward(kind, x, *settings, module=pooling):
    return getattr(module, f"{kind}_pool")(x, *settings)


def backward(kind, dy, x, *settings, module=pooling):
    if kind == "max":
        return module.max_pool_backward(dy, x, forward(kind, x, *settings), *settings)
    return module.average_pool_backward(dy, x.shape, *settings)


def make(kind, *settings, module=pooling):
    return getattr(module, CLASSES[kind])(*settings)


def distinct(shape, rng):
    """An image without ties, its numbers far enough apart for a difference quotient."""
    return rng.permutation(int(np.prod(shape))).reshape(shape) / 10.0


# Witness 1: the reference

@kinds
@settings(max_examples=80, deadline=None)
@given(geometry=geometries(), seed=seeds, ties=st.booleans())
def test_agrees_with_the_reference(kind, geometry, seed, ties):
    shape, *rest = geometry
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 3, shape).astype(float) if ties else rng.normal(size=shape)
    y = forward(kind, x, *rest)
    assert_allclose(y, forward(kind, x, *rest, module=reference.pooling), rtol=1e-9, atol=1e-15)
    dy = rng.normal(size=y.shape)
    expected = backward(kind, dy, x, *rest, module=reference.pooling)
    assert_allclose(backward(kind, dy, x, *rest), expected, rtol=1e-9, atol=1e-15)
    for layer in (make(kind, *rest), make(kind, *rest, module=reference.pooling)):
        assert layer.build(shape[:3]) == y.shape[:3]
        assert_allclose(layer.forward(x), y, rtol=1e-9, atol=1e-15)
        assert_allclose(layer.backward(dy), expected, rtol=1e-9, atol=1e-15)
        assert layer.backward(dy, need_dx=False) is None


@settings(max_examples=20, deadline=None)
@given(geometry=geometries(), seed=seeds)
def test_global_average_agrees_with_the_reference(geometry, seed):
    shape, rng = geometry[0], np.random.default_rng(seed)
    x = rng.normal(size=shape)
    ours, theirs = pooling.GlobalAveragePool(), reference.pooling.GlobalAveragePool()
    assert ours.build(shape[:3]) == theirs.build(shape[:3])
    y = ours.forward(x)
    assert_allclose(y, theirs.forward(x), rtol=1e-9, atol=1e-15)
    dy = rng.normal(size=y.shape)
    assert_allclose(ours.backward(dy), theirs.backward(dy), rtol=1e-9, atol=1e-15)
    assert_allclose(pooling.GlobalAveragePool().forward(x)[:, None, None],
                    pooling.average_pool(x, shape[1:3]), rtol=1e-9, atol=1e-15)


# Witness 2: finite differences, every element, a random cotangent

@kinds
@settings(max_examples=20, deadline=None)
@given(geometry=geometries(), seed=seeds)
def test_gradient_is_the_slope(kind, geometry, seed):
    shape, *rest = geometry
    rng = np.random.default_rng(seed)
    layer = make(kind, *rest)
    layer.build(shape[:3])
    check_layer(layer, distinct(shape, rng), rng)


def test_global_average_gradient_is_the_slope():
    rng, layer = np.random.default_rng(0), pooling.GlobalAveragePool()
    layer.build((3, 4, 5))
    check_layer(layer, rng.normal(size=(3, 4, 5, 2)), rng)


@settings(max_examples=60, deadline=None)
@given(geometry=geometries(), seed=seeds)
def test_average_backward_is_the_adjoint(geometry, seed):
    shape, *rest = geometry
    rng = np.random.default_rng(seed)
    x = rng.normal(size=shape)
    y = pooling.average_pool(x, *rest)
    c = rng.normal(size=y.shape)
    assert_allclose(np.vdot(y, c), np.vdot(x, pooling.average_pool_backward(c, shape, *rest)), rtol=1e-9, atol=1e-11)


@settings(max_examples=60, deadline=None)
@given(geometry=geometries(), seed=seeds, ties=st.booleans())
def test_max_backward_loses_nothing(geometry, seed, ties):
    """All of dy arrives, and <dx, x> = <dy, y>: it arrives at maxima."""
    shape, *rest = geometry
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 2, shape).astype(float) if ties else rng.normal(size=shape)
    y = pooling.max_pool(x, *rest)
    dy = rng.normal(size=y.shape)
    dx = pooling.max_pool_backward(dy, x, y, *rest)
    assert_allclose(dx.sum(), dy.sum(), rtol=1e-9, atol=1e-11)
    assert_allclose(np.vdot(dx, x), np.vdot(dy, y), rtol=1e-9, atol=1e-11)


# Ties, overlap and edges by hand

def test_ties_go_to_the_first_in_reading_order():
    x = np.array([[7.0, 7.0], [7.0, 7.0]]).reshape(1, 2, 2, 1)
    y = pooling.max_pool(x)
    assert_array_equal(pooling.max_pool_backward(np.full_like(y, 3.0), x, y)[0, :, :, 0], [[3, 0], [0, 0]])
    x = np.array([[1.0, 2.0], [2.0, 0.0]]).reshape(1, 2, 2, 1)     # right before below
    assert_array_equal(pooling.max_pool_backward(y, x, pooling.max_pool(x))[0, :, :, 0], [[0, 7], [0, 0]])


@pytest.mark.parametrize("height, width", [(2, 2), (2, 3), (3, 2)])
@both
def test_pairs_of_pairs_are_windows(height, width, dtype):
    """The layer's shorter way, on all 256 windows that four greys can make, with and without a rest: every kind of tie."""
    greys = np.array([-np.inf, -1, 0, 2], dtype)
    x = np.full((1, height, width, 256), 9, dtype)
    x[0, :2, :2] = greys[np.indices((4, 4, 4, 4)).reshape(2, 2, 256)]
    layer = pooling.MaxPool(2)
    dy = np.random.default_rng(0).normal(size=(1, height // 2, width // 2, 256)).astype(dtype)
    for training in (True, False, True):
        y = layer.forward(x, training)
        assert (layer.won is not None) == training and y.dtype == dtype
        assert_array_equal(y, pooling.max_pool(x))
        layer.workspace("dx", x.shape, dtype).fill(np.nan)
        assert_array_equal(layer.backward(dy), pooling.max_pool_backward(dy, x, y))


def test_overlapping_windows_add_up():
    x = np.array([1.0, 5.0, 2.0, 3.0]).reshape(1, 1, 4, 1)
    y = pooling.max_pool(x, (1, 2), 1)
    assert_array_equal(y.ravel(), [5, 5, 3])
    dy = np.array([1.0, 10.0, 100.0]).reshape(y.shape)
    assert_array_equal(pooling.max_pool_backward(dy, x, y, (1, 2), 1).ravel(), [0, 11, 0, 100])
    spread = pooling.average_pool_backward(dy, x.shape, (1, 2), 1)
    assert_array_equal(spread.ravel(), [0.5, 5.5, 55, 50])


def test_padding_never_wins_and_never_counts():
    x = -np.ones((1, 3, 3, 1))
    for pool in (pooling.max_pool, pooling.average_pool):
        assert_array_equal(pool(x, 3, 1, 1), x)
        assert_array_equal(pool(x, 2, 2, 1), -np.ones((1, 2, 2, 1)))


@kinds
def test_pixels_that_no_window_covers_get_zero_whatever_was_there(kind):
    x = np.random.default_rng(0).normal(size=(2, 6, 7, 3))
    for size, stride in ((2, 2), (2, 3), (3, 2), (2, (2, 3))):
        y = forward(kind, x, size, stride)
        dy = np.ones_like(y)
        expected = backward(kind, dy, x, size, stride, module=reference.pooling)
        arguments = (dy, x, y) if kind == "max" else (dy, x.shape)
        out = np.full_like(x, np.nan)
        assert getattr(pooling, f"{kind}_pool_backward")(*arguments, size, stride, out=out) is out
        assert_allclose(out, expected, rtol=1e-12)
        layer = make(kind, size, stride)
        layer.forward(x)
        layer.backward(dy)
        assert_allclose(layer.backward(dy), expected, rtol=1e-12)     # twice: nothing left over
        assert (expected == 0).any()


# Witness 3: PyTorch

def compare_with_torch(kind, settings, x, dy, y, dx):
    settings = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
    for dtype, tolerance in ((np.float64, 1e-9), (np.float32, 1e-5)):
        layer = pooling.GlobalAveragePool() if kind == "global" else getattr(pooling, CLASSES[kind])(**settings)
        assert layer.build(x.shape[:3]) == y.shape[:-1]
        assert_allclose(layer.forward(x.astype(dtype)), y, rtol=tolerance, atol=tolerance / 10)
        assert_allclose(layer.backward(dy.astype(dtype)), dx, rtol=tolerance, atol=tolerance / 10)


def generator():
    """The module that froze PyTorch's numbers."""
    spec = importlib.util.spec_from_file_location("generate_pooling", FOLDER / "generate_pooling.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("case", FROZEN)
def test_agrees_with_frozen_torch(case):
    frozen = FROZEN[case]
    compare_with_torch(frozen["kind"], frozen["settings"], *(np.array(frozen[key]) for key in ("x", "dy", "y", "dx")))


if importlib.util.find_spec("torch"):

    @pytest.mark.parametrize("case", FROZEN)
    def test_agrees_with_live_torch(case):
        torch_cases = generator()
        kind, settings, x, dy = torch_cases.inputs()[case]
        compare_with_torch(kind, settings, x, dy, *torch_cases.by_torch(kind, settings, x, dy))


# Witness 4: a task, in a network

@pytest.fixture(scope="module")
def digits():
    (images, labels), (test, test_labels) = load_mnist()
    return scale_pixels(images[:20000]), labels[:20000], scale_pixels(test[:2000]), test_labels[:2000]


def train(digits, *layers, shape=None, zeroed=None, steps=300):
    """Test accuracy after some steps, and how far each parameter array moved; `zeroed` does not learn."""
    images, labels, test, test_labels = digits
    network, loss = Network(*layers).build(shape or (28, 28)), SoftmaxCrossEntropy()
    start, rng = {name: view.copy() for name, view in network.named_parameters()}, np.random.default_rng(0)
    for _ in range(steps):
        chosen = rng.integers(0, len(images), 64)
        loss.forward(network.forward(batch_last(images[chosen]), training=True), labels[chosen])
        network.backward(loss.backward())
        if zeroed:
            for name, view in named_views(network.layers, network.gradients):
                view[...] = 0 if name.startswith(zeroed) else view
        network.parameters -= 0.2 * network.gradients
    moved = {name: np.abs(view - start[name]).max() for name, view in network.named_parameters()}
    return np.mean(network.predict(test).argmax(axis=1) == test_labels), moved


def between(kind):
    """Dense to images, pooled, to dense: the gradient of dense1 arrives through the pooling."""
    pool = {"max": pooling.MaxPool(2), "average": pooling.AveragePool(3, 2, 1),
            "global": pooling.GlobalAveragePool()}[kind]
    maps = (16, 4, 4) if kind == "global" else (4, 8, 8)
    return Dense(256), ReLU(), Reshape(maps), pool, Dense(10)


@pytest.mark.parametrize("kind", ["max", "average", "global"])
def test_what_lies_before_pooling_learns(kind, digits):
    accuracy, moved = train(digits, *between(kind))
    frozen, stayed = train(digits, *between(kind), zeroed="dense1")
    assert moved["dense1.W"] > 0.01 and stayed["dense1.W"] == 0
    assert accuracy > 0.8                                     # 0.85 to 0.91 here
    assert frozen < accuracy - 0.1                            # a head on random maps: at most 0.72 here


# In a network

def test_gradients_through_a_network():
    rng = np.random.default_rng(5)
    network = Network(Dense(48), Reshape((3, 4, 4)), pooling.MaxPool(3, 2, 1), pooling.AveragePool(2, 1),
                      Dense(16), Reshape((2, 2, 4)), pooling.GlobalAveragePool(), dtype=np.float64).build(6)
    assert network.shapes == [(6,), (48,), (3, 4, 4), (3, 2, 2), (3, 1, 1), (3,), (16,), (2, 2, 4), (2,)]
    check_network(network, rng.normal(size=(6, 3)), np.array([0, 1, 1]), SoftmaxCrossEntropy())


def test_images_columns_and_images_again():
    """Convolution, pooling, dense, convolution, global mean: every gradient, and the adapters come by themselves."""
    rng = np.random.default_rng(9)
    network = Network(Convolution(2, 3), ReLU(), pooling.MaxPool(2), Dense(16), ReLU(), Convolution(3, 3), pooling.GlobalAveragePool(), dtype=np.float64).build((1, 6, 6), seed=3)
    assert network.shapes[-4:] == [(16,), (1, 4, 4), (3, 2, 2), (3,)]
    check_network(network, rng.normal(size=(1, 6, 6, 2)), np.array([0, 2]), SoftmaxCrossEntropy())


def test_architecture_has_the_settings_in_values_that_json_knows():
    network = Network(Reshape((1, 28, 28)), pooling.MaxPool((2, 3), (1, 2), 1), pooling.AveragePool(2),
                      pooling.GlobalAveragePool()).build((28, 28))
    description = json.loads(json.dumps(network.architecture()))
    assert description == network.architecture()
    assert [d["layer"] for d in description] == ["Reshape", "MaxPool", "AveragePool", "GlobalAveragePool"]
    assert description[0]["shape"] == [1, 28, 28]
    assert description[1] == {"layer": "MaxPool", "size": [2, 3], "stride": [1, 2], "padding": [1, 1],
                              "parameters": {}}
    for layer in network.layers:                              # and they make the same layer again
        if hasattr(layer, "config"):
            again = type(layer)(**{k: tuple(v) for k, v in layer.config().items()})
            assert again.config() == layer.config()


def test_columns_and_images_come_by_themselves():
    network = Network(pooling.MaxPool(2), Dense(3)).build((2, 6, 6))
    assert isinstance(network.layers[1], Flatten) and network.shapes[2] == (18,)
    for kind, settings_, last in ((pooling.MaxPool, (2,), (1, 4, 4)), (pooling.AveragePool, (2,), (1, 4, 4)),
                                  (pooling.GlobalAveragePool, (), (1,))):
        assert Network(kind(*settings_), Dense(3)).build((8, 8)).shapes[1:3] == [(1, 8, 8), last]
        assert Network(Dense(64), kind(*settings_)).build(10).shapes[2:] == [(1, 8, 8), last]
        assert Network(Dense(64), kind(*settings_)).build((4, 4, 4)).shapes[-2] == (4, 4, 4)
        with pytest.raises(ShapeError, match=r"a column of 60 numbers should become an image.*expected Reshape"):
            Network(Dense(60), kind(*settings_)).build(10)


# Inputs of every kind

@kinds
@both
def test_a_dtype_stays_what_it_is(kind, dtype):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(2, 6, 7, 3)).astype(dtype)
    for rest in ((2,), (3, 2, 1), (1,)):
        y, layer = forward(kind, x, *rest), make(kind, *rest)
        assert y.dtype == backward(kind, y, x, *rest).dtype == layer.forward(x).dtype == dtype
        assert layer.backward(y.astype(np.float64)).dtype == dtype
        assert_allclose(y, forward(kind, x.astype(np.float64), *rest), rtol=1e-5, atol=1e-6)
    layer = pooling.GlobalAveragePool()
    assert layer.forward(x).dtype == layer.backward(layer.forward(x)).dtype == dtype


@kinds
def test_integers_and_odd_strides(kind):
    whole = np.random.default_rng(1).integers(0, 255, (2, 6, 7, 3), dtype=np.uint8)
    x = whole.astype(float)
    y = forward(kind, x, 3, 2, 1)
    assert_allclose(forward(kind, whole, 3, 2, 1), y)
    assert forward(kind, whole, 3, 2, 1).dtype == np.float64
    assert_allclose(backward(kind, np.ones(y.shape, int), whole, 3, 2, 1), backward(kind, np.ones(y.shape), x, 3, 2, 1))
    big = np.random.default_rng(2).normal(size=(6, 12, 14, 4))
    for odd in (big.T, big[::2, ::-1, ::2], np.asfortranarray(big), np.moveaxis(big, 0, -1)):
        y = forward(kind, odd, 3, 2, 1)
        assert_allclose(y, forward(kind, odd.copy(), 3, 2, 1), rtol=1e-12)
        dy = np.asfortranarray(np.random.default_rng(3).normal(size=y.shape))
        assert_allclose(backward(kind, dy, odd, 3, 2, 1), backward(kind, dy.copy(), odd.copy(), 3, 2, 1), rtol=1e-12)
        mean = pooling.GlobalAveragePool().forward(odd)
        assert_allclose(mean, odd.mean(axis=(1, 2)), rtol=1e-9, atol=1e-12)


@kinds
def test_inputs_are_not_changed_and_arrays_are_used_again(kind):
    rng = np.random.default_rng(6)
    x = rng.normal(size=(2, 6, 6, 3)).astype(np.float32)
    for rest in ((2,), (3, 2, 1), (1,)):
        layer, kept = make(kind, *rest), x.copy()
        y = layer.forward(x)
        dy = rng.normal(size=y.shape).astype(np.float32)
        kept_y, kept_dy = y.copy(), dy.copy()
        dx = layer.backward(dy)
        assert_array_equal(x, kept)
        assert_array_equal(y, kept_y)
        assert_array_equal(dy, kept_dy)
        assert not np.may_share_memory(x, y)
        assert layer.forward(x) is y and layer.backward(dy) is dx
        assert layer.forward(x[..., :1]).shape == (*y.shape[:3], 1)
        assert layer.forward(x.astype(np.float64)).dtype == np.float64
        assert not np.may_share_memory(layer.replica().forward(x), layer.forward(x))


@kinds
def test_nan_and_infinities(kind):
    x = np.zeros((1, 4, 4, 1))
    x[0, 0, 0], x[0, 3, 3] = np.nan, -np.inf
    y = forward(kind, x)
    assert np.isnan(y[0, 0, 0, 0]) and np.isfinite(y[0, 0, 1, 0])
    assert y[0, 1, 1, 0] == (0 if kind == "max" else -np.inf)
    lost = np.full((1, 2, 2, 1), -np.inf)                     # even then the first pixel is the winner
    won = pooling.max_pool(lost)
    assert_array_equal(pooling.max_pool_backward(np.ones_like(won), lost, won).ravel(), [1, 0, 0, 0])


# Errors

@kinds
@pytest.mark.parametrize("arguments, message", [
    ((0,), "expected size"),
    ((2.5,), "expected size"), (("2",), "expected size"), (((2, 2, 2),), "expected size"),
    ((2, 0), "expected stride"), ((2, 1, -1), "expected padding"),
    ((2, 1, 2), r"expected padding smaller than the window \(2, 2\), got \(2, 2\)"),
    (((3, 1), 1, 1), "expected padding smaller"),
])
def test_settings_that_make_no_sense(kind, arguments, message):
    with pytest.raises(ValueError, match=message):
        make(kind, *arguments)
    with pytest.raises(ValueError, match=message):
        forward(kind, np.zeros((1, 6, 6, 1)), *arguments)
    if not isinstance(arguments[0], str):
        with pytest.raises(ValueError):
            make(kind, *arguments, module=reference.pooling)


@kinds
def test_shapes_that_do_not_fit(kind):
    for shape in ((6, 6, 2), (1, 6, 6, 0), (0, 6, 6, 1), (1, 0, 6, 1), ()):
        with pytest.raises(ShapeError, match=r"expected x shaped \(channels, height, width, batch\), got"):
            forward(kind, np.zeros(shape))
        for module in (pooling, reference.pooling):
            with pytest.raises(ValueError):
                make(kind, 2, module=module).forward(np.zeros(shape))
    with pytest.raises(ShapeError, match="expected at most 4"):
        forward(kind, np.zeros((1, 4, 4, 1)), 5)
    with pytest.raises(ShapeError, match="expected at most 4"):
        make(kind, 5).build((1, 4, 4))
    with pytest.raises(ShapeError, match="one sample"):
        make(kind, 2).build((4, 4))
    layer = make(kind, 2)
    for module in (pooling, reference.pooling):
        with pytest.raises(RuntimeError, match=f"{CLASSES[kind]}: backward before forward"):
            make(kind, 2, module=module).backward(np.zeros((1, 2, 2, 1)))
    layer.forward(np.zeros((1, 4, 4, 1)))
    with pytest.raises(ShapeError, match=rf"{CLASSES[kind]}: expected dy shaped \(1, 2, 2, 1\), got \(1, 2, 1, 1\)"):
        layer.backward(np.zeros((1, 2, 1, 1)))
    for wrong in ((1, 2, 1, 1), (1, 2, 2, 3), (2, 2, 2, 1)):
        with pytest.raises(ShapeError, match="expected dy"):
            x = np.zeros((1, 4, 4, 1))
            arguments = (x, pooling.max_pool(x)) if kind == "max" else (x.shape,)
            getattr(pooling, f"{kind}_pool_backward")(np.zeros(wrong), *arguments)


def test_global_average_refuses():
    for module in (pooling, reference.pooling):
        with pytest.raises(RuntimeError, match="backward before forward"):
            module.GlobalAveragePool().backward(np.zeros((1, 1)))
        with pytest.raises(ValueError, match="one sample"):
            module.GlobalAveragePool().build((4, 4))
    with pytest.raises(ShapeError):
        pooling.GlobalAveragePool().forward(np.zeros((2, 3, 3, 0)))
