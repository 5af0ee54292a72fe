"""Activations against the reference, finite differences, PyTorch, and a task that needs a bend."""

import importlib.util
import json
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import reference.activations
from nnlib import activations
from nnlib.dense import Dense, ShapeError, dense, dense_db, dense_dW, dense_dx

FOLDER = Path(__file__).parent / "torch_frozen"
FROZEN = json.loads((FOLDER / "activations.json").read_text(encoding="utf-8"))["cases"]
LAYERS = {"identity": "Identity", "relu": "ReLU", "leaky_relu": "LeakyReLU",
          "sigmoid": "Sigmoid", "tanh": "Tanh", "softmax": "Softmax"}
EVERY = list(LAYERS)
DTYPES = [np.float32, np.float64]

every = pytest.mark.parametrize("name", EVERY)
both = pytest.mark.parametrize("dtype", DTYPES)
shapes = st.one_of(
    st.tuples(st.integers(1, 5)),
    st.tuples(st.integers(1, 5), st.integers(1, 6)),
    st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 4)),
)
seeds = st.integers(0, 2**32 - 1)


def pair(name, module=activations):
    """An activation's function and its backward."""
    return getattr(module, name), getattr(module, name + "_backward")


def make(name, module=activations):
    """An activation's layer."""
    return getattr(module, LAYERS[name])()


def off_the_kink(z):
    """Move numbers away from zero, where ReLU has no derivative and a difference quotient no meaning."""
    return np.where(np.abs(z) < 0.01, 0.5, z)


def finite_differences(f, z, c, h=1e-6):
    """The central difference of sum(c * f(z)) at every element of z."""
    result = np.zeros_like(z)
    for place in np.ndindex(z.shape):
        step = np.zeros_like(z)
        step[place] = h
        result[place] = (c * (f(z + step) - f(z - step))).sum() / (2 * h)
    return result


# Witness 1: the reference

@every
@settings(max_examples=40, deadline=None)
@given(shape=shapes, seed=seeds, scale=st.sampled_from([0.1, 1.0, 10.0, 1000.0]))
def test_agrees_with_the_reference(name, shape, seed, scale):
    rng = np.random.default_rng(seed)
    z, dy = scale * rng.normal(size=shape), rng.normal(size=shape)
    function, backward = pair(name)
    expected, expected_backward = pair(name, reference.activations)
    y = function(z)
    assert_allclose(y, expected(z), rtol=1e-9, atol=1e-300)
    # atol: softmax subtracts numbers of size 1
    assert_allclose(backward(dy, y), expected_backward(dy, y), rtol=1e-9, atol=1e-14)
    ours, theirs = make(name), make(name, reference.activations)
    assert_allclose(ours.forward(z), theirs.forward(z), rtol=1e-9, atol=1e-300)
    # atol: the two start from outputs that may differ in the last bit, and 1 - y magnifies that
    assert_allclose(ours.backward(dy), theirs.backward(dy), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("slope", [0.001, 0.01, 0.5, 0.999])
def test_every_slope_agrees_with_the_reference(slope):
    z, dy = np.random.default_rng(0).normal(size=(2, 4, 5))
    y = activations.leaky_relu(z, slope)
    assert_allclose(y, reference.activations.leaky_relu(z, slope), rtol=1e-9)
    assert_allclose(activations.leaky_relu_backward(dy, y, slope),
                    reference.activations.leaky_relu_backward(dy, y, slope), rtol=1e-9)
    layer = activations.LeakyReLU(slope)
    assert_array_equal(layer.forward(z), y)
    assert_array_equal(layer.backward(dy), activations.leaky_relu_backward(dy, y, slope))


# Witness 2: finite differences, every element, a random cotangent

@every
@pytest.mark.parametrize("shape", [(1, 1), (4, 3), (2, 5), (3, 2, 2), (6,)])
def test_gradient_is_the_slope(name, shape):
    rng = np.random.default_rng(3)
    z, c = off_the_kink(2 * rng.normal(size=shape)), rng.normal(size=shape)
    function, backward = pair(name)
    assert_allclose(backward(c, function(z)), finite_differences(function, z, c), rtol=1e-6, atol=1e-8)
    layer = make(name)
    layer.forward(z)
    measured = finite_differences(lambda z: make(name).forward(z), z, c)    # a new layer, a new array
    assert_allclose(layer.backward(c), measured, rtol=1e-6, atol=1e-8)


def test_the_kink_takes_the_left_slope():
    zero, one = np.zeros((1, 1)), np.ones((1, 1))
    assert activations.relu_backward(one, activations.relu(zero)) == 0
    assert activations.leaky_relu_backward(one, activations.leaky_relu(zero, 0.25), 0.25) == 0.25


@settings(max_examples=30, deadline=None)
@given(classes=st.integers(2, 6), seed=seeds)
def test_softmax_backward_is_the_jacobian(classes, seed):
    rng = np.random.default_rng(seed)
    p, dp = activations.softmax(3 * rng.normal(size=classes)), rng.normal(size=classes)
    jacobian = np.diag(p) - np.outer(p, p)
    assert_allclose(activations.softmax_backward(dp, p), jacobian.T @ dp, rtol=1e-9, atol=1e-14)
    assert_allclose(activations.softmax_backward(np.ones(classes), p), 0, atol=1e-14)


# Witness 3: PyTorch

def compare_with_torch(name, z, dy, expected_y, expected_dz):
    """Values and gradients, by function and by layer, in both dtypes."""
    function, backward = pair(name)
    slope = {"slope": generator().SLOPE} if name == "leaky_relu" else {}
    y = function(z, **slope)
    assert_allclose(y, expected_y, rtol=1e-9, atol=1e-300)
    # atol: where a function saturates, a last bit of y is all of 1 - y
    assert_allclose(backward(dy, y, **slope), expected_dz, rtol=1e-9, atol=1e-14)
    layer = getattr(activations, LAYERS[name])(**slope)
    assert_allclose(layer.forward(z.astype(np.float32)), expected_y, rtol=1e-5, atol=1e-7)
    assert_allclose(layer.backward(dy.astype(np.float32)), expected_dz, rtol=1e-5, atol=1e-6)


def generator():
    """The module that froze PyTorch's numbers."""
    spec = importlib.util.spec_from_file_location("generate_activations", FOLDER / "generate_activations.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("case", FROZEN)
def test_agrees_with_frozen_torch(case):
    frozen = FROZEN[case]
    z, dy, y, dz = (np.array(frozen[key]) for key in ("z", "dy", "y", "dz"))
    compare_with_torch(frozen["activation"], z, dy, y, dz)


if importlib.util.find_spec("torch"):

    @pytest.mark.parametrize("case", FROZEN)
    def test_agrees_with_live_torch(case):
        torch_cases = generator()
        name, z, dy = torch_cases.inputs()[case]
        compare_with_torch(name, z, dy, *torch_cases.by_torch(name, z, dy))


# Witness 4: a task that a stack of dense layers cannot do

def learn_xor(name, hidden=8, steps=2000, rate=0.3):
    """Accuracy on XOR of dense, activation, dense, softmax, and how far the first layer moved."""
    rng = np.random.default_rng(0)
    x = np.array([[0.0, 0.0, 1.0, 1.0], [0.0, 1.0, 0.0, 1.0]])
    y = np.array([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 0.0]])
    W1, b1 = rng.normal(size=(hidden, 2)), np.zeros((hidden, 1))
    W2, b2 = rng.normal(size=(2, hidden)) / hidden**0.5, np.zeros((2, 1))
    start, bend, end = W1.copy(), make(name), make("softmax")
    for _ in range(steps):
        h = bend.forward(dense(x, W1, b1))
        p = end.forward(dense(h, W2, b2))
        dz2 = end.backward(-y / p / 4)
        dz1 = bend.backward(dense_dx(dz2, W2))
        W2, b2 = W2 - rate * dense_dW(dz2, h), b2 - rate * dense_db(dz2)
        W1, b1 = W1 - rate * dense_dW(dz1, x), b1 - rate * dense_db(dz1)
    return (p.argmax(axis=0) == y.argmax(axis=0)).mean(), np.abs(W1 - start).max()


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "sigmoid", "tanh"])
def test_a_bend_learns_xor(name):
    accuracy, moved = learn_xor(name)
    assert accuracy == 1
    assert moved > 0.01


def test_without_a_bend_xor_stays_unsolved():
    assert learn_xor("identity")[0] < 1


# Numbers

@every
@both
def test_a_dtype_stays_what_it_is(name, dtype):
    z, dy = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(dtype)
    function, backward = pair(name)
    y = function(z)
    assert y.dtype == dtype
    assert backward(dy, y).dtype == dtype
    layer = make(name)
    assert layer.forward(z).dtype == dtype
    assert layer.backward(dy.astype(np.float64)).dtype == dtype
    exact = function(z.astype(np.float64))
    assert_allclose(y, exact, rtol=1e-5)
    assert_allclose(backward(dy, y), backward(dy.astype(np.float64), exact), rtol=1e-5, atol=1e-7)


def test_a_numpy_slope_does_not_make_float64():
    z = np.array([[-1.0, 2.0]], dtype=np.float32)
    for slope in (np.float64(0.1), np.float32(0.1)):
        y = activations.leaky_relu(z, slope)
        assert y.dtype == activations.leaky_relu_backward(z, y, slope).dtype == np.float32
        assert activations.LeakyReLU(slope).forward(z).dtype == np.float32


@every
@both
def test_extreme_numbers_neither_overflow_nor_warn(name, dtype):
    largest = float(np.finfo(dtype).max)
    z = np.array([[-largest / 4, 1000.0, 0.0], [largest / 4, 999.0, -0.0], [0.0, -1000.0, 1e-30]], dtype=dtype)
    function, backward = pair(name)
    with warnings.catch_warnings(), np.errstate(over="raise", divide="raise", invalid="raise"):
        warnings.simplefilter("error")
        y = function(z)
        dz = backward(np.ones_like(z), y)
    assert np.isfinite(y).all() and np.isfinite(dz).all()
    if name == "softmax":
        assert_allclose(y.sum(axis=0), 1, rtol=1e-6)


def test_sigmoid_is_accurate_in_both_tails():
    z = np.array([-700.0, -100.0, -40.0, 40.0])
    assert_allclose(activations.sigmoid(z), reference.activations.sigmoid(z), rtol=1e-14)
    assert activations.sigmoid(-700.0) > 0


@settings(max_examples=30, deadline=None)
@given(shape=st.tuples(st.integers(1, 6), st.integers(1, 5)), seed=seeds, shift=st.floats(-1e4, 1e4))
def test_softmax_makes_probabilities_and_ignores_a_shift(shape, seed, shift):
    z = np.random.default_rng(seed).normal(size=shape)
    p = activations.softmax(z)
    assert (p > 0).all()
    assert_allclose(p.sum(axis=0), 1, rtol=1e-12)
    assert_allclose(activations.softmax(z + shift), p, rtol=1e-9)   # z + shift is rounded to 1e-12


@every
def test_nan_is_passed_on(name):
    z = np.array([[np.nan, 1.0], [0.0, 2.0]])
    y = pair(name)[0](z)
    assert np.isnan(y[0, 0])
    assert np.isfinite(y[:, 1]).all()


# Inputs of every kind

@every
def test_integers_lists_and_odd_strides(name):
    function, backward = pair(name)
    whole = np.arange(-6, 6).reshape(3, 4)
    expected = function(whole.astype(float))
    assert_allclose(function(whole), expected)
    assert_allclose(function(whole.tolist()), expected)
    assert_allclose(backward(whole, expected), backward(whole.astype(float), expected))
    assert_allclose(make(name).forward(whole), expected)
    assert make(name).forward(whole).dtype == np.float64
    z = np.random.default_rng(2).normal(size=(8, 6))
    for odd in (z.T, z[::2, ::-1], z[:, 1:4], np.asfortranarray(z)):
        y = function(odd)
        assert_allclose(y, function(np.ascontiguousarray(odd)), rtol=1e-14)    # sums in another order
        dz = backward(odd, y)
        assert_allclose(dz, backward(np.ascontiguousarray(odd), np.ascontiguousarray(y)), rtol=1e-14, atol=1e-15)
        layer = make(name)
        assert_allclose(layer.forward(odd), y, rtol=1e-14)
        assert_allclose(layer.backward(odd), dz, rtol=1e-14, atol=1e-15)


@every
@pytest.mark.parametrize("dtype", [np.uint8, np.int8])
def test_bytes_do_not_wrap_around(name, dtype):
    limits = np.iinfo(dtype)
    z = np.array([[limits.min, 0, 5], [limits.max, 1, 200 % limits.max]], dtype=dtype)
    expected = pair(name, reference.activations)[0](z)
    assert_allclose(pair(name)[0](z), expected, rtol=1e-9, atol=1e-300)
    assert_allclose(make(name).forward(z), expected, rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("name", EVERY[:-1])
def test_single_numbers(name):
    function, backward = pair(name)
    assert_allclose(function(-2.0), function(np.array([-2.0]))[0])
    assert_allclose(backward(3.0, function(-2.0)), backward(np.array([3.0]), function(np.array([-2.0])))[0])


@every
@both
def test_out_may_be_any_of_the_arrays(name, dtype):
    rng = np.random.default_rng(4)
    z, dy = (2 * rng.normal(size=(2, 3, 4))).astype(dtype)
    function, backward = pair(name)
    y = function(z)
    dz = backward(dy, y)
    for out in (np.full_like(z, 9), z.copy()):
        assert function(z if out[0, 0] == 9 else out, out=out) is out
        assert_array_equal(out, y)
    fresh, over_dy, over_y, both_at_once = np.full_like(z, 9), dy.copy(), y.copy(), y.copy()
    assert backward(dy, y, out=fresh) is fresh
    backward(over_dy, y, out=over_dy)
    backward(dy, over_y, out=over_y)
    for out in (fresh, over_dy, over_y):
        assert_array_equal(out, dz)
    backward(both_at_once, both_at_once, out=both_at_once)
    assert_array_equal(both_at_once, backward(y, y))


@every
@pytest.mark.parametrize("offset", [1, 2])
def test_out_may_overlap_in_part(name, offset):
    function, backward = pair(name)
    for forwards in (True, False):
        memory = np.random.default_rng(5).normal(size=(7, 4))
        source, target = memory[:3], memory[offset:3 + offset]
        if not forwards:
            source, target = target, source
        kept = source.copy()
        expected = function(kept)
        function(source, out=target)
        assert_array_equal(target, expected)
        source[...] = kept
        other = np.ones((3, 4)) / 3
        expected = backward(kept, other)
        backward(source, other, out=target)
        assert_array_equal(target, expected)


@every
def test_inputs_are_not_changed(name):
    z, dy = np.random.default_rng(6).normal(size=(2, 3, 4))
    kept_z, kept_dy = z.copy(), dy.copy()
    function, backward = pair(name)
    y = function(z)
    kept_y = y.copy()
    backward(dy, y)
    layer = make(name)
    layer.forward(z)
    layer.backward(dy)
    assert not np.may_share_memory(y, z)
    for array, kept in ((z, kept_z), (dy, kept_dy), (y, kept_y)):
        assert_array_equal(array, kept)


# The layer

@every
def test_a_layer_uses_its_arrays_again(name):
    rng = np.random.default_rng(7)
    layer = make(name)
    z = rng.normal(size=(3, 4)).astype(np.float32)
    y, dz = layer.forward(z), layer.backward(z)
    assert layer.forward(2 * z) is y
    assert layer.backward(2 * z) is dz
    assert layer.forward(rng.normal(size=(3, 2)).astype(np.float32)).shape == (3, 2)
    assert layer.forward(z.astype(np.float64)).dtype == np.float64
    twin = layer.replica()
    assert not np.may_share_memory(twin.forward(z), layer.forward(z))
    assert_array_equal(twin.forward(z), layer.forward(z))


@every
def test_a_layer_has_no_parameters_and_keeps_the_shape(name):
    layer = make(name)
    assert layer.build((3, 5)) == (3, 5)
    assert layer.parameter_shapes == {}
    layer.allocate().initialize(np.random.default_rng(0))
    z = np.ones((3, 5, 2))
    assert layer.forward(z, training=True).shape == layer.backward(z).shape == (3, 5, 2)
    assert layer.backward(z, need_dx=False) is None


def test_layers_fit_dense_layers():
    rng = np.random.default_rng(8)
    layers = [Dense(4), activations.ReLU(), Dense(3), activations.Softmax()]
    shape, y = (5,), rng.normal(size=(5, 6)).astype(np.float32)
    for layer in layers:
        shape = layer.build(shape)
        layer.allocate().initialize(rng)
        y = layer.forward(y)
    assert shape == (3,)
    assert y.dtype == np.float32
    assert_allclose(y.sum(axis=0), 1, rtol=1e-5)
    dy = np.ones_like(y)
    for layer in reversed(layers):
        dy = layer.backward(dy)
    assert dy.shape == (5, 6)


# Errors

@every
@pytest.mark.parametrize("shape", [(3, 0), (0, 4), (0,)])
def test_an_empty_batch_is_refused(name, shape):
    layer = make(name)
    layer.forward(np.ones((3, 2)))
    with pytest.raises(ShapeError, match=rf"{LAYERS[name]}: expected at least one sample.*\({shape[0]}"):
        layer.forward(np.ones(shape))
    with pytest.raises(RuntimeError, match="backward before forward"):
        layer.backward(np.ones(shape))


@pytest.mark.parametrize("shape", [(0, 4), (3, 0), (0,), ()])
def test_softmax_of_nothing_is_refused(shape):
    for function in (activations.softmax, reference.activations.softmax):
        with pytest.raises(ValueError, match="softmax: expected logits shaped"):
            function(np.zeros(shape))


@pytest.mark.parametrize("slope", [0, 1, -0.1, 1.5, float("nan"), float("inf")])
def test_a_slope_out_of_range_is_refused(slope):
    z = np.ones((2, 2))
    for call in (lambda: activations.LeakyReLU(slope), lambda: activations.leaky_relu(z, slope),
                 lambda: activations.leaky_relu_backward(z, z, slope),
                 lambda: reference.activations.LeakyReLU(slope)):
        with pytest.raises(ValueError, match=f"expected 0 < slope < 1, got {slope}"):
            call()


@every
def test_backward_wants_a_forward_and_its_shape(name):
    layer = make(name)
    with pytest.raises(RuntimeError, match=f"{LAYERS[name]}: backward before forward"):
        layer.backward(np.ones((3, 4)))
    layer.forward(np.ones((3, 4)))
    for shape in [(4, 3), (3, 1), (3,)]:
        with pytest.raises(ShapeError, match=rf"expected dy shaped \(3, 4\), got \({shape[0]}"):
            layer.backward(np.ones(shape))


@every
def test_an_out_of_another_shape_is_refused(name):
    with pytest.raises(ValueError):
        pair(name)[0](np.ones((3, 4)), out=np.empty((4, 3)))
