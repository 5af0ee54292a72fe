"""Dense layers against the reference, finite differences, PyTorch, and a task on real digits."""

import importlib.util
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import reference.dense
from nnlib import dense as module
from nnlib.data import load_mnist, scale_pixels
from nnlib.dense import (
    Dense, Layer, ShapeError, dense, dense_backward, dense_db, dense_dW, dense_dx, expect_shape,
    fans, glorot_uniform, he_normal,
)

FOLDER = Path(__file__).parent / "torch_frozen"
FROZEN = json.loads((FOLDER / "dense.json").read_text(encoding="utf-8"))
DTYPES = [np.float32, np.float64]
INITIALIZERS = ["he_normal", "glorot_uniform"]
sizes = st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**32 - 1))


def example(inputs, units, batch, seed=0, dtype=np.float64):
    """x, W, b and an upstream gradient dz."""
    rng = np.random.default_rng(seed)
    shapes = (inputs, batch), (units, inputs), (units, 1), (units, batch)
    return tuple(rng.normal(size=shape).astype(dtype) for shape in shapes)


def layer_with(W, b, layer=Dense):
    """A layer of the library (or of the reference) that has these weights, in their dtype."""
    made = layer(len(W), bias=b is not None)
    made.build((W.shape[1],))
    parameters = {"W": W.copy()} | ({} if b is None else {"b": b.copy()})
    made.bind(parameters, {name: np.full_like(a, np.nan) for name, a in parameters.items()})
    return made


def run(layer, x, dz):
    """Everything a layer computes, copied, by name."""
    found = {"z": layer.forward(x).copy(), "dx": layer.backward(dz).copy(), "dW": layer.dW.copy()}
    return found | ({"db": layer.db.copy()} if layer.bias else {})


def finite_differences(f, array, step=1e-6):
    """The central difference of f() at every element of an array that f uses."""
    result = np.zeros_like(array)
    for place in np.ndindex(array.shape):
        kept = array[place]
        array[place] = kept + step
        above = f()
        array[place] = kept - step
        result[place] = (above - f()) / (2 * step)
        array[place] = kept
    return result


# Witness 1: the reference


@settings(max_examples=40, deadline=None)
@given(size=sizes)
def test_functions_agree_with_the_reference(size):
    x, W, b, dz = example(*size)
    close = dict(rtol=1e-9, atol=1e-13)
    assert_allclose(dense(x, W, b), reference.dense.dense(x, W, b), **close)
    assert_allclose(dense(x, W), reference.dense.dense(x, W), **close)
    for ours, theirs in zip(dense_backward(dz, x, W), reference.dense.dense_backward(dz, x, W)):
        assert ours.shape == theirs.shape
        assert_allclose(ours, theirs, **close)


@pytest.mark.parametrize("bias", [True, False])
@settings(max_examples=20, deadline=None)
@given(size=sizes)
def test_layer_agrees_with_the_reference(bias, size):
    x, W, b, dz = example(*size)
    b = b if bias else None
    ours = run(layer_with(W, b), x, dz)
    theirs = run(layer_with(W, b, reference.dense.Dense), x, dz)
    assert ours.keys() == theirs.keys()
    for name in ours:
        assert_allclose(ours[name], theirs[name], rtol=1e-9, atol=1e-13, err_msg=name)


@pytest.mark.parametrize("name", INITIALIZERS)
@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (6, 2), (4, 3, 2, 5)])
def test_initializers_agree_with_the_reference(name, shape):
    ours = getattr(module, name)(shape, np.random.default_rng(7))
    theirs = getattr(reference.dense, name)(shape, np.random.default_rng(7))
    assert ours.shape == theirs.shape == shape
    assert_allclose(ours, theirs, rtol=1e-9)
    assert fans(shape) == reference.dense.fans(shape)


def test_start_agrees_with_the_reference():
    layers = [kind(3, init=glorot_uniform) for kind in (Dense, reference.dense.Dense)]
    for layer in layers:
        layer.build((4,))
        layer.bind({"W": np.full((3, 4), np.nan), "b": np.full((3, 1), np.nan)},
                   {"W": np.zeros((3, 4)), "b": np.zeros((3, 1))})
        layer.initialize(np.random.default_rng(3))
    assert_allclose(layers[0].W, layers[1].W, rtol=1e-9)
    assert_array_equal(layers[0].b, layers[1].b)


# Witness 2: finite differences, random cotangent, every element


@settings(max_examples=15, deadline=None)
@given(size=sizes)
def test_gradients_agree_with_finite_differences(size):
    x, W, b, c = example(*size)
    def loss():
        return float(np.sum(c * dense(x, W, b)))
    for name, array, gradient in zip("xWb", (x, W, b), dense_backward(c, x, W)):
        measured = finite_differences(loss, array)
        assert gradient.shape == array.shape
        assert_allclose(gradient, measured, rtol=1e-6, atol=1e-7, err_msg=f"d{name}")


@pytest.mark.parametrize("bias", [True, False])
def test_layer_gradients_agree_with_finite_differences(bias):
    x, W, b, c = example(4, 3, 5)
    layer = layer_with(W, b if bias else None)
    found = run(layer, x, c)
    arrays = {"dx": x, "dW": layer.W} | ({"db": layer.b} if bias else {})
    for name, array in arrays.items():
        measured = finite_differences(lambda: float(np.sum(c * layer.forward(x))), array)
        assert_allclose(found[name], measured, rtol=1e-6, atol=1e-7, err_msg=name)


# Witness 3: PyTorch


def compare_with_torch(x, W, b, dz, expected, dtype, rtol):
    found = run(layer_with(W.astype(dtype), None if b is None else b.astype(dtype)),
                x.astype(dtype), dz.astype(dtype))
    for name, ours in found.items():
        assert ours.dtype == dtype
        theirs = np.array(expected[name])
        assert ours.shape == theirs.shape, name
        assert_allclose(ours, theirs, rtol=rtol, atol=rtol * np.abs(theirs).max(), err_msg=name)


@pytest.mark.parametrize("dtype, rtol", [(np.float64, 1e-9), (np.float32, 1e-5)])
@pytest.mark.parametrize("case", FROZEN["cases"])
def test_agrees_with_frozen_torch(case, dtype, rtol):
    frozen = FROZEN["cases"][case]
    x, W, b, dz = (None if frozen[k] is None else np.array(frozen[k]) for k in ("x", "W", "b", "upstream"))
    compare_with_torch(x, W, b, dz, frozen, dtype, rtol)


@pytest.mark.parametrize("frozen", FROZEN["initializers"], ids=lambda f: str(f["shape"]))
def test_initializers_agree_with_frozen_torch(frozen):
    shape, rng = tuple(frozen["shape"]), np.random.default_rng(0)
    assert list(fans(shape)) == frozen["fans"]
    draws = np.stack([he_normal(shape, rng) for _ in range(10_000 // shape[0])])
    spread = 4 / math.sqrt(2 * draws.size)  # four standard errors of a standard deviation
    assert_allclose(draws.std(), frozen["he_deviation"], rtol=spread)
    limit = np.abs([glorot_uniform(shape, rng) for _ in range(1_000)]).max()
    assert frozen["glorot_largest"] < 1.002 * limit  # the largest of many draws is near the limit
    assert limit < frozen["glorot_largest"] * (1 + 20 / math.prod(shape))


if importlib.util.find_spec("torch"):
    spec = importlib.util.spec_from_file_location("generate_dense", FOLDER / "generate_dense.py")
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)

    @pytest.mark.parametrize("dtype, rtol", [(np.float64, 1e-9), (np.float32, 1e-5)])
    @pytest.mark.parametrize("case", generator.inputs())
    def test_agrees_with_live_torch(case, dtype, rtol):
        arrays = generator.inputs()[case]
        compare_with_torch(*arrays, generator.by_torch(*arrays, np.dtype(dtype).name), dtype, rtol)


# Witness 4: the task


def columns(images):
    return np.ascontiguousarray(scale_pixels(images).reshape(len(images), -1).T)


def test_one_linear_neuron_tells_zeros_from_ones():
    """Two hundred steps on all zeros and ones, as in the chapter; it gets 2 of 2,115 wrong."""
    (images, labels), (test_images, test_labels) = load_mnist()
    keep, unseen = labels < 2, test_labels < 2
    x = columns(images[keep])
    y = np.where(labels[keep] == 1, 1, -1).astype(np.float32)[None, :]
    W, b = np.zeros((1, 784), np.float32), np.zeros((1, 1), np.float32)
    for _ in range(200):
        dz = (dense(x, W, b) - y) / y.shape[1]
        W -= 0.02 * dense_dW(dz, x)
        b -= 0.02 * dense_db(dz)
    assert W.dtype == b.dtype == np.float32
    assert np.mean((dense(x, W, b) - y) ** 2) / 2 < 0.024
    assert b[0, 0] != 0
    assert_array_equal(W[0] == 0, x.max(axis=1) == 0)  # what is never lit is never learned
    z = dense(columns(test_images[unseen]), W, b)
    assert np.mean((z > 0) == (test_labels[unseen] == 1)) >= 0.998


def test_mean_images_as_weights():
    """The nearest class mean as ten linear neurons."""
    (images, labels), (test_images, test_labels) = load_mnist()
    x = columns(images)
    means = np.stack([x[:, labels == d].mean(axis=1) for d in range(10)])
    z = dense(columns(test_images), means, -0.5 * np.sum(means ** 2, axis=1, keepdims=True))
    assert np.mean(z.argmax(axis=0) == test_labels) >= 0.819


def test_ten_linear_neurons_read_digits():
    """One pass with squared error: the best that linear neurons can do this way is 86 %."""
    (images, labels), (test_images, test_labels) = load_mnist()
    x, test = columns(images), columns(test_images)
    y = np.where(np.arange(10)[:, None] == labels, 1, -1).astype(np.float32)
    scores = []
    for seed in range(3):
        layer = Dense(10, init=lambda shape, rng: rng.normal(0, 0.01, shape))
        layer.build((784,))
        rng = np.random.default_rng(seed)
        layer.allocate().initialize(rng)
        start = layer.W.copy()
        order = rng.permutation(60_000)
        for k in range(0, 60_000, 100):
            batch = order[k:k + 100]
            z = layer.forward(x[:, batch])
            layer.backward((z - y[:, batch]) / 100, need_dx=False)
            layer.W -= 0.01 * layer.dW
            layer.b -= 0.01 * layer.db
        scores.append(np.mean(layer.forward(test).argmax(axis=0) == test_labels))
        assert np.all(np.linalg.norm(layer.W - start, axis=1) > 0.1)  # every neuron learned
        assert np.all(layer.b != 0)
    assert np.mean(scores) >= 0.84


# Types, memory, shapes


@pytest.mark.parametrize("dtype", DTYPES)
def test_functions_keep_the_dtype(dtype):
    x, W, b, dz = example(4, 3, 5, dtype=dtype)
    for array in (dense(x, W, b), dense(x, W), *dense_backward(dz, x, W)):
        assert array.dtype == dtype


def test_functions_fill_what_they_are_given():
    x, W, b, dz = example(4, 3, 5)
    z, dx, dW, db = (np.full_like(a, np.nan) for a in (dz, x, W, b))
    assert dense(x, W, b, out=z) is z
    assert dense_dx(dz, W, out=dx) is dx
    assert dense_dW(dz, x, out=dW) is dW
    assert dense_db(dz, out=db) is db
    assert_array_equal(z, dense(x, W, b))
    for ours, fresh in zip((dx, dW, db), dense_backward(dz, x, W)):
        assert_array_equal(ours, fresh)
        ours[...] = np.nan
    assert all(a is b for a, b in zip(dense_backward(dz, x, W, dx, dW, db), (dx, dW, db)))
    assert not np.isnan(dx).any() and not np.isnan(dW).any() and not np.isnan(db).any()


def test_inputs_are_not_changed():
    arrays = example(4, 3, 5)
    before = [a.copy() for a in arrays]
    x, W, b, dz = arrays
    run(layer_with(W, b), x, dz)
    dense(x, W, b)
    dense_backward(dz, x, W)
    for now, then in zip(arrays, before):
        assert_array_equal(now, then)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("came", [np.uint8, np.int64, np.float16, np.float32, np.float64, list])
def test_layer_brings_inputs_to_its_own_dtype(dtype, came):
    _, W, b, _ = example(4, 3, 5, dtype=dtype)
    x, dz = np.arange(20).reshape(4, 5), np.arange(15).reshape(3, 5)
    layer = layer_with(W, b)
    given_x, given_dz = (a.tolist() if came is list else a.astype(came) for a in (x, dz))
    found = run(layer, given_x, given_dz)
    expected = run(layer_with(W.astype(float), b.astype(float)), x, dz)
    for name in found:
        assert found[name].dtype == dtype
        rtol = 1e-5 if dtype == np.float32 else 1e-9
        # relative to the largest element too, since the terms of some sums cancel
        assert_allclose(found[name], expected[name], rtol=rtol, atol=rtol * np.abs(expected[name]).max() / 10)


@settings(max_examples=20, deadline=None)
@given(size=sizes, order=st.sampled_from(["transposed", "strided", "reversed", "read-only"]))
def test_memory_order_does_not_matter(size, order):
    x, W, b, dz = example(*size)

    def awkward(a):
        if order == "transposed":
            return np.asfortranarray(a)
        if order == "strided":
            return np.repeat(a, 3, axis=1)[:, ::3]
        if order == "reversed":
            return a[::-1, ::-1].copy()[::-1, ::-1]
        a = a.copy()
        a.flags.writeable = False
        return a

    plain, odd = run(layer_with(W, b), x, dz), run(layer_with(W, b), awkward(x), awkward(dz))
    for name in plain:
        assert_allclose(odd[name], plain[name], rtol=1e-12, atol=1e-13)


def test_one_sample_is_a_column_of_a_batch():
    x, W, b, _ = example(7, 5, 4)
    layer = layer_with(W, b)
    whole = layer.forward(x).copy()
    for k in range(4):
        assert_allclose(layer.forward(x[:, k:k + 1]), whole[:, k:k + 1], rtol=1e-12)


# The layer's life


def test_built_shapes():
    layer = Dense(3)
    assert layer.build((4,)) == (3,)
    assert layer.parameter_shapes == {"W": (3, 4), "b": (3, 1)}
    assert layer.input_dims == 1
    bare = Dense(np.int64(3), bias=False)
    assert bare.build((np.int64(4),)) == (3,)
    assert bare.parameter_shapes == {"W": (3, 4)}
    assert bare.b is None


@pytest.mark.parametrize("dtype", DTYPES)
def test_allocate_makes_arrays_of_the_dtype(dtype):
    layer = Dense(3)
    layer.build((4,))
    assert layer.allocate(dtype) is layer
    for array, shape in ((layer.W, (3, 4)), (layer.dW, (3, 4)), (layer.b, (3, 1)), (layer.db, (3, 1))):
        assert array.dtype == dtype and array.shape == shape and not array.any()
    assert not np.shares_memory(layer.W, layer.dW)


def test_layer_works_in_views_of_one_vector():
    x, W, b, dz = example(4, 3, 5)
    vector, slopes = np.full(15, np.nan), np.full(15, np.nan)
    layer = Dense(3)
    layer.build((4,))
    layer.bind({"W": vector[:12].reshape(3, 4), "b": vector[12:].reshape(3, 1)},
               {"W": slopes[:12].reshape(3, 4), "b": slopes[12:].reshape(3, 1)})
    layer.initialize(np.random.default_rng(5))
    drawn = he_normal((3, 4), np.random.default_rng(5))
    assert_array_equal(vector, np.append(drawn, np.zeros(3)))
    layer.forward(x)
    layer.backward(dz)
    assert_allclose(slopes, np.append(dz @ x.T, dz.sum(axis=1)), rtol=1e-12)


def test_same_seed_same_start_in_both_precisions():
    starts = []
    for dtype in DTYPES:
        layer = Dense(3)
        layer.build((4,))
        layer.allocate(dtype).initialize(np.random.default_rng(1))
        starts.append(layer.W)
    assert_array_equal(starts[0], starts[1].astype(np.float32))


def test_backward_overwrites_and_may_skip_dx():
    x, W, b, dz = example(4, 3, 5)
    layer = layer_with(W, b)
    once = run(layer, x, dz)
    layer.forward(x)
    assert layer.backward(dz, need_dx=False) is None
    assert_array_equal(layer.dW, once["dW"])
    assert_array_equal(layer.db, once["db"])


def test_workspace_is_used_again():
    x, W, b, dz = example(4, 3, 5)
    layer = layer_with(W, b)
    z, dx = layer.forward(x), layer.backward(dz)
    assert layer.forward(2 * x) is z
    assert layer.backward(dz) is dx
    assert_allclose(z, W @ (2 * x) + b)
    shorter = layer.forward(x[:, :2])
    assert shorter.shape == (3, 2) and not np.shares_memory(shorter, z)
    assert layer.workspace("z", (3, 2), np.float64) is shorter
    assert layer.workspace("z", (3, 2), np.float32) is not shorter
    assert layer.workspace("other", (3, 2), np.float32).dtype == np.float32


def test_replica_shares_parameters_but_not_workspace():
    x, W, b, dz = example(4, 3, 5)
    layer = layer_with(W, b)
    twin = layer.replica()
    twin.bind({"W": layer.W, "b": layer.b}, {"W": np.zeros_like(W), "b": np.zeros_like(b)})
    z, dx = layer.forward(x), layer.backward(dz)
    kept = z.copy(), dx.copy(), layer.dW.copy()
    twin.forward(-x)
    twin.backward(2 * dz)
    assert_array_equal(z, kept[0])
    assert_array_equal(dx, kept[1])
    assert_array_equal(layer.dW, kept[2])
    layer.W[0, 0] = 99
    assert twin.W[0, 0] == 99


# Initialisers


@pytest.mark.parametrize("shape", [(200, 300), (300, 200), (40, 20, 5, 5)])
def test_initializers_have_the_derived_moments(shape):
    fan_in, fan_out = fans(shape)
    n = math.prod(shape)
    for init, variance in ((he_normal, 2 / fan_in), (glorot_uniform, 2 / (fan_in + fan_out))):
        w = init(shape, np.random.default_rng(0))
        assert abs(w.mean()) < 4 * math.sqrt(variance / n)
        assert_allclose(w.var(), variance, rtol=4 * math.sqrt(2 / n))
    assert np.abs(w).max() <= math.sqrt(6 / (fan_in + fan_out))


def test_he_keeps_the_size_of_a_signal_through_twenty_relu_layers():
    """The mean over 20 draws of twenty layers; without the 2 of He it would be a millionth."""
    growth = []
    for seed in range(20):
        rng = np.random.default_rng(seed)
        x = rng.normal(size=(128, 16))
        start = np.mean(x ** 2)
        for _ in range(20):
            z = dense(x, he_normal((128, 128), rng))
            x = np.maximum(z, 0)
        growth.append(np.mean(z ** 2) / start / 2)  # the input was not halved by a ReLU
    assert 0.5 < np.mean(growth) < 2.0


def test_any_callable_is_an_initializer():
    layer = Dense(2, init=lambda shape, rng: [[1, 2, 3], [4, 5, 6]])
    layer.build((3,))
    layer.allocate().initialize(None)
    assert_array_equal(layer.W, [[1, 2, 3], [4, 5, 6]])
    assert layer.W.dtype == np.float32


# Errors


@pytest.mark.parametrize("x, came", [
    (np.zeros((5, 2)), r"\(5, 2\)"), (np.zeros((4, 0)), r"\(4, 0\)"), (np.zeros(4), r"\(4,\)"),
    (np.zeros((2, 2, 4)), r"\(2, 2, 4\)"), (np.zeros(()), r"\(\)"),
])
def test_forward_refuses_what_does_not_fit(x, came):
    _, W, b, _ = example(4, 3, 5)
    with pytest.raises(ShapeError, match=rf"^Dense: expected x shaped \(4, batch\), got {came}$"):
        layer_with(W, b).forward(x)


@pytest.mark.parametrize("shape", [(3, 4), (4, 5), (3, 1), (3,), (5, 3)])
def test_backward_refuses_what_does_not_fit(shape):
    x, W, b, _ = example(4, 3, 5)
    layer = layer_with(W, b)
    layer.forward(x)
    with pytest.raises(ShapeError, match=r"^Dense: expected dz shaped \(3, 5\), got \("):
        layer.backward(np.zeros(shape))


@pytest.mark.parametrize("shape", [(), (28, 28), (0,)])
def test_build_refuses_what_does_not_fit(shape):
    with pytest.raises(ShapeError, match=r"^Dense: expected one sample shaped \(inputs,\), got \("):
        Dense(3).build(shape)


@pytest.mark.parametrize("units", [0, -1, 2.5, "10", None])
def test_units_must_be_a_number_of_neurons(units):
    with pytest.raises(ValueError, match="expected whole units >= 1, got "):
        Dense(units)


def test_init_must_be_callable_and_fit():
    with pytest.raises(ValueError, match="expected a callable init, got 'he'"):
        Dense(3, init="he")
    for wrong in (lambda shape, rng: rng.normal(size=shape[::-1]), lambda shape, rng: 0.5):
        layer = Dense(3, init=wrong)
        layer.build((4,))
        with pytest.raises(ShapeError, match=r"weights from init shaped \(3, 4\), got"):
            layer.allocate().initialize(np.random.default_rng(0))


def test_bind_refuses_arrays_of_another_shape():
    layer = Dense(3)
    layer.build((4,))
    W, b = np.zeros((3, 4)), np.zeros((3, 1))
    with pytest.raises(ShapeError, match=r"Dense: expected b shaped \(3, 1\), got \(3,\)"):
        layer.bind({"W": W, "b": b.ravel()}, {"W": W, "b": b})
    with pytest.raises(ShapeError, match=r"Dense: expected dW shaped \(3, 4\), got \(4, 3\)"):
        layer.bind({"W": W, "b": b}, {"W": W.T, "b": b})


def test_steps_in_the_wrong_order_are_named():
    layer = Dense(3)
    with pytest.raises(AttributeError, match="Dense has no W: build it"):
        layer.forward(np.zeros((4, 2)))
    layer.build((4,))
    layer.allocate()
    for early in (layer, layer.replica()):
        with pytest.raises(RuntimeError, match="^Dense: backward before forward$"):
            early.backward(np.zeros((3, 2)))
    layer.forward(np.zeros((4, 2)))
    layer.backward(np.zeros((3, 2)))
    with pytest.raises(AttributeError, match="Layer has no forward"):
        Layer().forward(np.zeros((3, 2)))


def test_fans_needs_two_axes():
    with pytest.raises(ShapeError, match=r"\(units, inputs, ...\), got \(5,\)"):
        fans((5,))


def test_expect_shape():
    expect_shape("here", "it", (3, 7), (3, "batch"))
    with pytest.raises(ValueError, match=r"^here: expected it shaped \(3, batch\), got \(3, 0\)$"):
        expect_shape("here", "it", (3, 0), (3, "batch"))
    with pytest.raises(ShapeError, match=r"^here: expected it shaped \(3,\), got \(4,\)$"):
        expect_shape("here", "it", [4], (3,))


def test_buffers_belong_to_one_layer_and_a_replica_has_copies():
    one, other = Dense(2), Dense(2)
    assert one.buffers == other.buffers == {} and one.buffers is not other.buffers
    one.buffers["mean"] = np.zeros(3)
    twin = one.replica()
    twin.buffers["mean"] += 1
    assert_array_equal(one.buffers["mean"], np.zeros(3))
    assert other.buffers == {}
