"""Transposed convolution against the reference, finite differences, PyTorch, the convolution whose adjoint it is,
and two tasks on real digits."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from workspaces import expect_that_lending_changes_nothing, spoil

import reference.transposed as reference
from nnlib import convolution as bands
from nnlib.activations import ReLU, Tanh, sigmoid
from nnlib.convolution import Convolution, convolution
from nnlib.data import load_mnist, scale_pixels
from nnlib.dense import Dense, ShapeError, he_normal
from nnlib.gradcheck import check_layer, check_network, compare_gradients
from nnlib.losses import MeanSquaredError, SigmoidBinaryCrossEntropy
from nnlib.network import Flatten, Network
from nnlib.optimizers import Adam, Cosine
from nnlib.pooling import GlobalAveragePool, MaxPool
from nnlib.regularization import BatchNorm, Dropout
from nnlib.training import MinibatchGradient, fit
from nnlib.transposed import (
    TransposedConvolution, Upsample, he_transposed, transposed_convolution, transposed_geometry, transposed_size,
    upsample, upsample_backward,
)
from reference import convolution as reference_convolution

FOLDER = Path(__file__).parent / "torch_frozen"
FROZEN = json.loads((FOLDER / "transposed.json").read_text(encoding="utf-8"))
DTYPES = [np.float32, np.float64]
PLAIN = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1}


def two(value):
    return tuple(value) if isinstance(value, tuple | list) else (value, value)


@st.composite
def problems(draw):
    """(channels, height, width, batch), filters, kernel and the other settings: something is left of the image."""
    def number(low, high):
        return draw(st.integers(low, high))

    groups = number(1, 3)
    kernel, stride, dilation = ((number(1, 3), number(1, 3)) for _ in range(3))
    extra = number(0, stride[0] - 1), number(0, stride[1] - 1)
    size = number(1, 3), number(1, 3)
    covered = [(size[a] - 1) * stride[a] + dilation[a] * (kernel[a] - 1) + 1 + extra[a] for a in (0, 1)]
    before = [number(0, min(2, covered[a] - 1)) for a in (0, 1)]
    after = [number(0, min(2, covered[a] - 1 - before[a])) for a in (0, 1)]
    padding = tuple(zip(before, after))
    if before == after and draw(st.booleans()):
        padding = before[0] if before[0] == before[1] else tuple(before)
    shape = groups * number(1, 2), *size, number(1, 2)
    return shape, groups * number(1, 2), kernel, {"stride": stride, "padding": padding, "output_padding": extra,
                                                  "dilation": dilation, "groups": groups}


def arrays(problem, seed=0, dtype=np.float64):
    """x, W, b, dy and the settings of a problem."""
    shape, filters, kernel, others = problem
    rng = np.random.default_rng(seed)
    x, b = rng.normal(size=shape), rng.normal(size=(filters, 1))
    W = rng.normal(size=(shape[0], filters // others["groups"], *kernel))
    dy = rng.normal(size=reference.transposed_convolution(x, W, b, **others).shape)
    return *(a.astype(dtype) for a in (x, W, b, dy)), others


def layer_with(W, b, shape, filters, layer=TransposedConvolution, **others):
    """A layer of the library, or of the reference, that has these weights; gradients start as NaN."""
    made = layer(filters, W.shape[2:], bias=b is not None, **others)
    made.build(shape)
    values = {"W": W.copy()} | ({} if b is None else {"b": b.copy()})
    made.bind(values, {name: np.full_like(a, np.nan) for name, a in values.items()})
    return made


def run(layer, x, dy):
    """Everything a layer computes, copied, by name."""
    found = {"y": layer.forward(x).copy(), "dx": layer.backward(dy).copy(), "dW": layer.dW.copy()}
    return found | ({"db": layer.db.copy()} if layer.bias else {})


@pytest.fixture(params=["one band", "a row a band"])
def banded(request, monkeypatch):
    if request.param == "a row a band":
        monkeypatch.setattr(bands, "BAND_BYTES", 1)


@pytest.fixture
def example():
    return arrays(((2, 4, 3, 3), 4, (3, 2), {"stride": (2, 3), "padding": ((1, 0), (2, 1)), "output_padding": (1, 2),
                                             "dilation": (1, 2), "groups": 2}))


# Witness 1: the reference


@given(problems(), st.integers(0, 2**32 - 1), st.sampled_from([1, 2000, 2**21]))
@settings(max_examples=60, deadline=None)
def test_function_and_layer_agree_with_the_reference(problem, seed, band_bytes):
    x, W, b, dy, others = arrays(problem, seed)
    kept, bands.BAND_BYTES = bands.BAND_BYTES, band_bytes
    try:
        ours = run(layer_with(W, b, x.shape[:3], len(b), **others), x, dy)
        function = transposed_convolution(x, W, b, **others)
    finally:
        bands.BAND_BYTES = kept
    theirs = run(layer_with(W, b, x.shape[:3], len(b), reference.TransposedConvolution, **others), x, dy)
    for name, expected in theirs.items():
        assert_allclose(ours[name], expected, rtol=1e-9, atol=1e-12, err_msg=name)
    assert_allclose(function, theirs["y"], rtol=1e-9, atol=1e-12)


@given(st.integers(1, 9), st.integers(1, 6), st.integers(1, 5), st.integers(1, 4),
       st.tuples(st.integers(0, 4), st.integers(0, 4)))
def test_the_sizes_are_those_from_which_convolution_makes_so_many_places(size, kernel, stride, dilation, padding):
    """For every output padding below the stride, and for no image smaller or larger."""
    found = []
    for extra in range(stride):
        try:
            found.append(transposed_size(size, kernel, stride, padding, extra, dilation))
            assert found[-1] == reference.transposed_size(size, kernel, stride, padding, extra, dilation)
        except ShapeError:
            with pytest.raises(ValueError):
                reference.transposed_size(size, kernel, stride, padding, extra, dilation)
    fits = []
    for image in range(1, 80):
        if image + sum(padding) >= dilation * (kernel - 1) + 1:
            for module in (bands, reference_convolution):
                places = module.output_size(image, kernel, stride, padding, dilation)
            fits += [image] if places == size else []
    assert found == fits


def test_sizes_by_hand():
    assert [transposed_size(3, 3, 2, 1, extra) for extra in (0, 1)] == [5, 6]
    assert transposed_size(7, 4, 2, 1) == 14
    assert transposed_size(1, 3, 5, 0, 4, 2) == 9
    image, g = transposed_geometry((3, 7), (3, 4), 2, 1, (1, 0))
    assert image == (6, 14)
    assert g == ((3, 4), (2, 2), (1, 1), ((1, 1), (1, 1)), (3, 7))


def test_a_case_by_hand():
    x = np.array([[1.0, 2], [0, -1]])[None, ..., None]
    W = np.array([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]])[None, None]
    y = transposed_convolution(x, W)[0, ..., 0]
    assert_array_equal(y, [[1, 2, -1, -2], [2, 3, -2, -3], [1, 0, -1, 0], [0, -1, 0, 1]])
    wide = transposed_convolution(x, W, np.array([[10.0]]), stride=2, padding=1, output_padding=1)[0, ..., 0]
    assert_array_equal(wide, [[10, 12, 10, 6], [10, 10, 10, 9], [10, 8, 10, 12], [10, 9, 10, 11]])


@pytest.mark.parametrize("dtype", DTYPES)
def test_no_silent_change_of_dtype_and_integers_and_views_are_taken(dtype, banded, example):
    x, W, b, dy, others = example
    x, dy = np.round(4 * x).astype(np.int64), np.round(4 * dy).astype(np.int64)
    layer = layer_with(W.astype(dtype), b.astype(dtype), x.shape[:3], len(b), **others)
    plain = run(layer, x, dy)
    assert all(a.dtype == dtype for a in plain.values())
    batch_first = [np.moveaxis(np.moveaxis(a, -1, 0).copy(), 0, -1) for a in (x, dy)]
    for name, array in run(layer, *(a.astype(dtype) for a in batch_first)).items():
        assert_allclose(array, plain[name], rtol=1e-5 if dtype == np.float32 else 1e-12)
    assert transposed_convolution(x.astype(dtype), W.astype(dtype), b, **others).dtype == dtype
    assert transposed_convolution(x.tolist(), np.round(W).astype(int), b, **others).dtype == np.float64


# The adjoint


@given(problems(), st.integers(0, 2**32 - 1))
@settings(max_examples=60, deadline=None)
def test_it_is_the_adjoint_of_convolution(problem, seed):
    """<convolution y, x> = <y, transposed x> with the same weights, for random pairs; ours and the reference's."""
    x, W, _, y, others = arrays(problem, seed)
    back = {name: value for name, value in others.items() if name != "output_padding"}
    for conv in (convolution, reference_convolution.convolution):
        z = conv(y, W, None, **back)
        assert z.shape == x.shape
        assert_allclose(np.vdot(z, x), np.vdot(y, transposed_convolution(x, W, None, **others)),
                        rtol=1e-9, atol=1e-9)


def test_a_convolution_and_its_transpose_can_share_their_weights():
    rng = np.random.default_rng(4)
    down = Convolution(6, 3, stride=2, padding=1, bias=False, groups=2)
    up = TransposedConvolution(4, 3, stride=2, padding=1, output_padding=1, bias=False, groups=2)
    assert up.build(down.build((4, 8, 8))) == (4, 8, 8)
    down.allocate(np.float64).initialize(rng)
    up.bind({"W": down.W}, {"W": np.zeros_like(down.W)})
    image, maps = rng.normal(size=(4, 8, 8, 2)), rng.normal(size=(6, 4, 4, 2))
    assert_allclose(np.vdot(down.forward(image), maps), np.vdot(image, up.forward(maps)), rtol=1e-9)
    assert_allclose(down.backward(maps), up.forward(maps), rtol=1e-12)
    assert_allclose(up.backward(image), down.forward(image), rtol=1e-12)


def test_it_is_the_transposed_matrix():
    W = np.random.default_rng(0).normal(size=(2, 3, 2, 3))
    A = convolution(np.eye(60).reshape(3, 4, 5, 60), W, stride=2, padding=1).reshape(-1, 60)
    rows = len(A)
    B = transposed_convolution(np.eye(rows).reshape(2, 3, 3, rows), W, stride=2, padding=1)
    assert_allclose(B.reshape(-1, rows), A.T, rtol=1e-12)


# Witness 2: finite differences


@given(problems(), st.integers(0, 2**32 - 1), st.booleans())
@settings(max_examples=25, deadline=None)
def test_every_gradient_by_differences(problem, seed, bias):
    x, W, b, _, others = arrays(problem, seed)
    check_layer(layer_with(W, b if bias else None, x.shape[:3], len(b), **others), x, np.random.default_rng(seed))


@pytest.mark.parametrize("factor", [1, 2, (3, 1)])
def test_upsampling(factor):
    rng = np.random.default_rng(1)
    x, layer = rng.normal(size=(2, 3, 4, 2)), Upsample(factor)
    down, across = two(factor)
    assert layer.build((2, 3, 4)) == (2, 3 * down, 4 * across)
    y = layer.forward(x).copy()
    assert_array_equal(y, np.repeat(np.repeat(x, down, axis=1), across, axis=2))
    assert_array_equal(y, reference.upsample(x, factor))
    dy = rng.normal(size=y.shape)
    assert_allclose(layer.backward(dy), reference.upsample_backward(dy, factor), rtol=1e-12)
    assert_array_equal(layer.backward(dy), upsample_backward(dy, factor))
    assert_allclose(np.vdot(upsample(x, factor), dy), np.vdot(x, upsample_backward(dy, factor)), rtol=1e-9)
    check_layer(layer, x, rng)
    stamp = TransposedConvolution(2, factor, stride=factor, groups=2, bias=False, init=lambda s, _: np.ones(s))
    stamp.build((2, 3, 4))
    stamp.allocate(np.float64).initialize(None)
    assert_array_equal(stamp.forward(x), y)
    small = layer.forward(x.astype(np.float32))
    assert small.dtype == layer.backward(np.float32(dy)).dtype == np.float32
    assert layer.backward(dy, need_dx=False) is None


def autoencoder(size=6, dtype=np.float64):
    """Images to a code of two numbers and back: the network puts in Flatten and Reshape."""
    return Network(Convolution(3, 3, stride=2, padding=1), ReLU(), Dense(2), Dense(3 * (size // 2) ** 2), ReLU(),
                   TransposedConvolution(2, 3, stride=2, padding=1, output_padding=1), ReLU(), Upsample(2),
                   Convolution(1, 2, stride=2), dtype=dtype).build((1, size, size))


def test_in_a_network_between_dense_layers():
    rng = np.random.default_rng(0)
    network = autoencoder()
    network.parameters += rng.normal(0, 0.1, network.parameter_count)
    assert network.shapes[-5:] == [(3, 3, 3), (2, 6, 6), (2, 6, 6), (2, 12, 12), (1, 6, 6)]
    images = rng.normal(size=(5, 1, 6, 6))
    check_network(network, np.moveaxis(images, 0, -1).copy(), rng.normal(size=(1, 6, 6, 5)), MeanSquaredError())
    one = network.predict(images, batch_size=5)
    assert one.shape == images.shape
    assert_allclose(network.predict(images, batch_size=2), one, rtol=1e-12)


def test_two_threads_find_the_gradient_of_one():
    rng = np.random.default_rng(0)
    images, targets = rng.normal(size=(7, 1, 6, 6)), rng.normal(size=(7, 1, 6, 6))
    network = autoencoder()
    found = []
    for threads in (1, 2):
        with MinibatchGradient(network, MeanSquaredError(), images, targets, threads=threads) as gradient:
            gradient(np.arange(7), 7)
        found.append(network.gradients.copy())
    assert np.abs(found[0]).max() > 0
    assert_allclose(found[1], found[0], rtol=1e-9, atol=1e-12)


def test_a_wrong_gradient_is_noticed(example):
    x, W, b, dy, others = example
    right = run(layer_with(W, b, x.shape[:3], len(b), **others), x, dy)["dW"]
    theirs = run(layer_with(W, b, x.shape[:3], len(b), reference.TransposedConvolution, **others), x, dy)["dW"]
    compare_gradients("dW", right, theirs)
    with pytest.raises(AssertionError):
        compare_gradients("dW", right[:, :, ::-1], theirs)


# Witness 3: PyTorch


def compare_with_torch(x, W, b, options, expected, dtype, rtol):
    options = {k: two(v) if isinstance(v, list) else v for k, v in options.items() if k != "kernel"}
    x, W, b, dy = (np.array(a).astype(dtype) for a in (x, W, b, expected["dy"]))
    for name, ours in run(layer_with(W, b, x.shape[:3], len(b), **options), x, dy).items():
        theirs = np.array(expected[name])
        assert ours.dtype == dtype and ours.shape == theirs.shape, name
        assert_allclose(ours, theirs, rtol=rtol, atol=rtol * np.abs(theirs).max(), err_msg=name)


@pytest.mark.parametrize("dtype, rtol", [(np.float64, 1e-9), (np.float32, 1e-5)])
@pytest.mark.parametrize("case", FROZEN["cases"])
def test_agrees_with_frozen_torch(case, dtype, rtol):
    frozen = FROZEN["cases"][case]
    compare_with_torch(*(frozen[k] for k in ("x", "W", "b", "settings")), frozen, dtype, rtol)


if importlib.util.find_spec("torch"):
    spec = importlib.util.spec_from_file_location("generate_transposed", FOLDER / "generate_transposed.py")
    generator = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generator)

    @pytest.mark.parametrize("dtype, rtol", [(np.float64, 1e-9), (np.float32, 1e-5)])
    @pytest.mark.parametrize("case", generator.inputs())
    def test_agrees_with_live_torch(case, dtype, rtol):
        case = generator.inputs()[case]
        compare_with_torch(*case, generator.by_torch(*case, dtype=np.dtype(dtype).name), dtype, rtol)


# Witness 4: the tasks


@pytest.fixture(scope="module")
def digits():
    """10,000 training and 2,000 test digits, (n, 1, 28, 28)."""
    (images, _), (test, _) = load_mnist()
    return scale_pixels(images[:10_000])[:, None], scale_pixels(test[:2000])[:, None]


class Frozen(TransposedConvolution):
    """One whose stamps do not learn; its biases do."""

    def backward(self, dy, need_dx=True):
        dx = super().backward(dy, need_dx)
        self.dW[...] = 0
        return dx


def clean_up(digits, seed, kind=TransposedConvolution):
    """Train a small denoiser once through 7,000 digits: mean squared error on test digits, network."""
    train, test = digits[0][:7000], digits[1]
    network = Network(Convolution(8, 3, stride=2, padding=1), ReLU(), Convolution(16, 3, stride=2, padding=1), ReLU(),
                      kind(8, 4, stride=2, padding=1), ReLU(), kind(1, 4, stride=2, padding=1)).build((1, 28, 28), seed)
    noise = np.random.default_rng(seed).normal(0, 0.5, train.shape)
    fit(network, (train + noise).astype(np.float32), train, optimizer=Adam(Cosine(0.006, 438)), epochs=1, batch_size=16,
        loss=SigmoidBinaryCrossEntropy(), seed=seed, progress=False)
    dirty = (test + np.random.default_rng(99).normal(0, 0.5, test.shape)).astype(np.float32)
    return np.mean((sigmoid(network.predict(dirty)) - test) ** 2), network


def test_cleans_digits_and_its_own_weights_do_it(digits):
    """Mean squared error 0.0181, the mean of three seeds, when written (a Gaussian blur: 0.027); 0.25 before cleaning.

    With stamps that do not learn it is 0.096.
    """
    found = [clean_up(digits, seed) for seed in (0, 1, 2)]
    assert np.mean([error for error, _ in found]) < 0.0195
    assert clean_up(digits, 0, Frozen)[0] > 3 * found[0][0]
    for seed, (_, network) in enumerate(found):
        start = network.replica()
        start.build((1, 28, 28), seed)
        for name, now in network.named_parameters():
            before = dict(start.named_parameters())[name]
            if name.endswith("W"):
                assert np.linalg.norm(now - before) > 0.1 * np.linalg.norm(before), name


def test_draws_digits_from_two_numbers_better_than_principal_components(digits):
    """Three epochs of the chapter's eight: a mean squared error of 0.048 when written, principal components 0.054."""
    train, test = digits
    network = Network(Convolution(8, 3, stride=2, padding=1), ReLU(), Convolution(16, 3, stride=2, padding=1), ReLU(),
                      Dense(128), ReLU(), Dense(64), ReLU(), Dense(2), Tanh(), Dense(64), ReLU(), Dense(128), ReLU(),
                      Dense(16 * 49), ReLU(), TransposedConvolution(8, 4, stride=2, padding=1), ReLU(),
                      TransposedConvolution(1, 4, stride=2, padding=1)).build((1, 28, 28), 2)
    fit(network, train, train, optimizer=Adam(Cosine(0.003, 3 * 313)), loss=SigmoidBinaryCrossEntropy(), epochs=3,
        batch_size=32, seed=2, progress=False)
    error = np.mean((sigmoid(network.predict(test)) - test) ** 2)
    flat, flat_test = train.reshape(-1, 784), test.reshape(-1, 784)
    mean = flat.mean(axis=0)
    _, directions = np.linalg.eigh(np.cov(flat.T))
    kept = directions[:, -2:]
    linear = np.mean((mean + (flat_test - mean) @ kept @ kept.T - flat_test) ** 2)
    assert error < 0.0505 < 0.95 * linear


# The starting weights


@pytest.mark.parametrize("kernel, stride, groups", [(3, 1, 1), (4, 2, 1), (3, 2, 1), ((2, 5), (1, 3), 4), (2, 3, 2)])
def test_starting_weights_keep_the_size_of_what_passes(kernel, stride, groups):
    """Inputs with a mean square of 1 give, inside the image, outputs with a mean square of 2."""
    layer = TransposedConvolution(64, kernel, stride, groups=groups)
    layer.build((64, 12, 12))
    rng = np.random.default_rng(0)
    layer.allocate(np.float64).initialize(rng)
    assert_array_equal(layer.b, 0)
    y = layer.forward(rng.normal(size=(64, 12, 12, 8)))
    (kh, kw), (sy, sx) = two(kernel), two(stride)
    inner = y[:, kh:10 * sy, kw:10 * sx]
    inner = inner[:, :inner.shape[1] // sy * sy, :inner.shape[2] // sx * sx]
    assert abs(np.mean(inner**2) - 2) < 0.12            # about 3,000 random weights at least
    again = reference.he_transposed((4, 2, *two(kernel)), np.random.default_rng(3), stride, groups)
    assert_allclose(he_transposed((4, 2, *two(kernel)), np.random.default_rng(3), stride, groups), again, rtol=1e-12)


def test_init_is_used_and_must_fit():
    layer = TransposedConvolution(2, 2, init=lambda shape, rng: np.arange(24).reshape(shape))
    layer.build((3, 5, 5))
    layer.allocate().initialize(None)
    assert_array_equal(layer.W, np.arange(24).reshape(3, 2, 2, 2))
    wrong = TransposedConvolution(2, 2, init=lambda shape, rng: np.zeros(3))
    wrong.build((3, 5, 5))
    with pytest.raises(ShapeError, match=r"weights from init shaped \(3, 2, 2, 2\), got \(3,\)"):
        wrong.allocate().initialize(None)
    plain = TransposedConvolution(2, 2, init=he_normal)
    plain.build((3, 5, 5))
    plain.allocate().initialize(np.random.default_rng(0))
    assert plain.W.std() > 0


# The workspace


def test_arrays_are_used_again_and_results_do_not_depend_on_what_was_there(banded, example):
    x, W, b, dy, others = example
    layer = layer_with(W, b, x.shape[:3], len(b), **others)
    expected = run(layer, x, dy)
    y, dx = layer.forward(x), layer.backward(dy)
    spoil(layer)
    assert np.shares_memory(layer.forward(x), y)
    assert np.shares_memory(layer.backward(dy), dx)
    for name, array in run(layer, x, dy).items():
        assert_array_equal(array, expected[name], err_msg=name)
    smaller = run(layer, x[..., :1], dy[..., :1])
    assert_allclose(smaller["y"], expected["y"][..., :1], rtol=1e-12)


def test_backward_leaves_the_output_alone(example):
    """A loss or an activation may still look at it."""
    x, W, b, dy, others = example
    layer = layer_with(W, b, x.shape[:3], len(b), **others)
    y = layer.forward(x)
    kept = y.copy()
    layer.backward(dy)
    assert_array_equal(y, kept)


def test_the_input_and_the_upstream_gradient_are_not_changed(example):
    x, W, b, dy, others = example
    kept = x.copy(), dy.copy(), W.copy(), b.copy()
    run(layer_with(W, b, x.shape[:3], len(b), **others), x, dy)
    transposed_convolution(x, W, b, **others)
    for array, before in zip((x, dy, W, b), kept):
        assert_array_equal(array, before)


def test_a_replica_shares_parameters_and_nothing_else(example):
    x, W, b, dy, others = example
    layer = layer_with(W, b, x.shape[:3], len(b), **others)
    twin = layer.replica()
    twin.bind({"W": layer.W, "b": layer.b}, {"W": np.zeros_like(W), "b": np.zeros_like(b)})
    y, dx = layer.forward(x), layer.backward(dy)
    kept = y.copy(), dx.copy(), layer.dW.copy()
    twin.forward(-x)
    twin.backward(2 * dy)
    for array, before in zip((y, dx, layer.dW), kept):
        assert_array_equal(array, before)
    assert twin.W is layer.W


def test_the_columns_of_a_band_stay_small():
    layer = TransposedConvolution(8, 4, stride=2, padding=1)
    layer.build((4, 20, 20))
    layer.allocate().forward(np.zeros((4, 20, 20, 64), np.float32))
    assert layer._arrays["columns"].nbytes <= bands.BAND_BYTES < 8 * 16 * 20 * 20 * 64 * 4


def test_the_first_layer_computes_no_dx():
    layer = TransposedConvolution(2, 3)
    layer.build((1, 4, 4))
    layer.allocate().forward(np.zeros((1, 4, 4, 1)))
    assert layer.backward(np.zeros((2, 6, 6, 1)), need_dx=False) is None
    assert "z" not in layer._arrays


# Errors


@pytest.mark.parametrize("arguments, message", [
    ({"filters": 0}, "filters to be a whole number >= 1, got 0"),
    ({"kernel": 0}, "kernel to be a whole number >= 1, got 0"),
    ({"kernel": (3, 3, 3)}, r"kernel to be one number or two, got \(3, 3, 3\)"),
    ({"stride": 1.5}, "stride to be a whole number >= 1, got 1.5"),
    ({"dilation": -1}, "dilation to be a whole number >= 1, got -1"),
    ({"padding": -1}, "padding to be a whole number >= 0, got -1"),
    ({"padding": "same"}, "padding in whole numbers >= 0, got 'same': it would depend on the image"),
    ({"output_padding": -1}, "output_padding to be a whole number >= 0, got -1"),
    ({"output_padding": 1}, "output_padding smaller than the stride, 1, got 1"),
    ({"stride": (3, 2), "output_padding": 2}, "output_padding smaller than the stride, 2, got 2"),
    ({"groups": 0}, "groups to be a whole number >= 1, got 0"),
    ({"init": "he"}, "expected a callable init, got 'he'"),
])
def test_settings_that_make_no_sense(arguments, message):
    with pytest.raises(ValueError, match=message):
        TransposedConvolution(**{"filters": 4, "kernel": 3, **arguments})


def test_what_does_not_fit():
    with pytest.raises(ShapeError, match=r"1 kernels of 3 with stride 1 cover 3: expected less padding to cut "
                                         r"off, got 2 \+ 1"):
        TransposedConvolution(1, 3, padding=((2, 1), 0)).build((1, 1, 4))
    with pytest.raises(ShapeError, match="expected channels and filters that 2 groups divide, got 3 and 4"):
        TransposedConvolution(4, 3, groups=2).build((3, 8, 8))
    with pytest.raises(ShapeError, match="expected channels and filters that 2 groups divide, got 4 and 3"):
        TransposedConvolution(3, 3, groups=2).build((4, 8, 8))
    with pytest.raises(ShapeError, match=r"expected W shaped \(4, filters / groups, kh, kw\), got \(3, 2, 3, 3\)"):
        transposed_convolution(np.zeros((4, 8, 8, 1)), np.zeros((3, 2, 3, 3)))
    with pytest.raises(ShapeError, match="3 groups divide"):
        transposed_convolution(np.zeros((4, 8, 8, 1)), np.zeros((4, 2, 3, 3)), groups=3)
    for shape in ((8, 8), (4, 8, 8, 0), (0, 8, 8, 1)):
        with pytest.raises(ShapeError, match=r"expected x shaped \(channels, height, width, batch\)"):
            transposed_convolution(np.zeros(shape), np.zeros((4, 2, 3, 3)))
    with pytest.raises(ValueError, match="factor to be a whole number >= 1, got 0"):
        Upsample(0)


@pytest.mark.parametrize("made, name", [(TransposedConvolution(4, 3), "TransposedConvolution"),
                                        (Upsample(2), "Upsample")])
def test_layers_refuse_what_is_not_an_image_and_what_does_not_fit(made, name):
    for shape in ((), (784,), (8, 8), (0, 28, 28), (1, 1, 28, 28)):
        with pytest.raises(ShapeError, match=rf"{name}: expected one sample shaped \(channels, height, width\)"):
            made.build(shape)
    output = made.build((1, 8, 8))
    made.allocate()
    for early in (made, made.replica()):
        with pytest.raises(RuntimeError, match=f"^{name}: backward before forward$"):
            early.backward(np.zeros((*output, 2)))
    for shape in ((1, 8, 8, 0), (1, 8, 7, 2), (2, 8, 8, 2), (8, 8, 2), (64, 2)):
        with pytest.raises(ShapeError, match=rf"^{name}: expected x shaped \(1, 8, 8, batch\), got \("):
            made.forward(np.zeros(shape))
    made.forward(np.zeros((1, 8, 8, 2)))
    for shape in ((*output, 3), (7, *output[1:], 2), (*output[:2], 5, 2), (64, 2)):
        with pytest.raises(ShapeError, match=f"{name}: expected dy shaped"):
            made.backward(np.zeros(shape))


def test_settings_are_known_to_checkpoints():
    """Networks that differ in any setting must not take each other's weights."""
    options = ({}, {"padding": 1}, {"stride": 2}, {"stride": 2, "output_padding": 1}, {"dilation": 2}, {"groups": 2},
               {"bias": False})
    layers = [TransposedConvolution(4, 3, **o) for o in options] + [Upsample(2), Upsample((2, 1))]
    texts = [json.dumps(Network(layer).build((4, 8, 8)).architecture()) for layer in layers]
    assert len(set(texts)) == len(texts)


# Lending: `tests/test_network.py` has the dense layers

CHAINS = {
    "convolutions": lambda: [Convolution(3, 3), MaxPool(2, 1), ReLU(), Convolution(2, 1), BatchNorm(), ReLU(), Dropout(0.5), ReLU(), Dense(3)],
    "views between": lambda: [Convolution(2, 3), ReLU(), Flatten(), ReLU(), Dense(3), ReLU()],
    "tiles with a rest": lambda: [Convolution(24, 3, padding=1), ReLU(), Convolution(24, 3), ReLU(), GlobalAveragePool(), Dense(3)],
    "pairs": lambda: [Convolution(2, 1), ReLU(), MaxPool(2), Convolution(3, 3, padding=1), ReLU(), Dense(3)],
    "upwards": lambda: [TransposedConvolution(2, 2, stride=2), ReLU(), Convolution(1, 1), ReLU(), Dense(3)],
}


@pytest.mark.parametrize("chain", CHAINS)
def test_lending_changes_no_number(chain):
    expect_that_lending_changes_nothing(CHAINS[chain], (1, 6, 6))
