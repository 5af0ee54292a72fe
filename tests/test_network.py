"""Networks against the reference, finite differences, PyTorch, and a task on real digits."""

import contextlib
import copy
import importlib.util
import json
import pickle
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from workspaces import expect_that_lending_changes_nothing, lending_and_apart

import nnlib.network
import reference.activations
import reference.dense
import reference.network
from nnlib import activations
from nnlib.activations import LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from nnlib.data import load_mnist, scale_pixels
from nnlib.dense import Dense, Layer, ShapeError
from nnlib.gradcheck import GradientError, check_layer, check_network
from nnlib.losses import SoftmaxCrossEntropy
from nnlib.network import (
    Chain,
    Flatten,
    Network,
    Reshape,
    adapt,
    batch_last,
    connect,
    count_parameters,
    image_shape,
    named_views,
    parameter_views,
    sample_shape,
)

FOLDER = Path(__file__).parent / "torch_frozen"
FROZEN = json.loads((FOLDER / "network.json").read_text(encoding="utf-8"))["cases"]
ACTIVATIONS = ["ReLU", "LeakyReLU", "Sigmoid", "Tanh", "Identity", "Softmax"]


def mlp(*units, **options):
    """Dense layers of these sizes with ReLU between them."""
    layers = [layer for size in units for layer in (Dense(size), ReLU())]
    return Network(*layers[:-1], **options)


def make(plan, library="nnlib", **options):
    """A network from a plan of (units, bias, activation), by the library or the reference."""
    if library == "nnlib":
        dense, functions, network = Dense, activations, Network
    else:
        dense, functions, network = reference.dense.Dense, reference.activations, reference.network.Network
    layers = []
    for units, bias, activation in plan:
        layers += [dense(units, bias=bias)] + ([getattr(functions, activation)()] if activation else [])
    return network(*layers, dtype=np.float64, **options)


plans = st.lists(st.tuples(st.integers(1, 4), st.booleans(), st.sampled_from([None, *ACTIVATIONS])), min_size=1, max_size=4)
shapes = st.lists(st.integers(1, 3), min_size=1, max_size=3).map(tuple)
seeds = st.integers(0, 2**32 - 1)
relaxed = settings(max_examples=40, deadline=None)


# Witness 1: the reference

@relaxed
@given(plan=plans, shape=shapes, batch=st.integers(1, 4), seed=seeds)
def test_agrees_with_the_reference(plan, shape, batch, seed):
    rng = np.random.default_rng(seed)
    ours, theirs = make(plan).build(shape), make(plan, "reference").build(shape)
    assert ours.parameter_count == theirs.parameter_count and ours.shapes == theirs.shapes
    vector = rng.normal(size=ours.parameter_count)
    ours.parameters[...], theirs.parameters[...] = vector, vector
    x, dy = rng.normal(size=(*shape, batch)), rng.normal(size=(plan[-1][0], batch))
    assert_allclose(ours.forward(x), theirs.forward(x), rtol=1e-9, atol=1e-12)
    assert_allclose(ours.backward(dy, need_dx=True), theirs.backward(dy, need_dx=True), rtol=1e-9, atol=1e-12)
    assert_allclose(ours.gradients, theirs.gradients, rtol=1e-9, atol=1e-12)
    samples = np.moveaxis(x, -1, 0)
    assert_allclose(ours.predict(samples, 2), theirs.predict(samples), rtol=1e-9, atol=1e-12)
    for (name, view), (name_there, array) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
        assert name == name_there
        assert_array_equal(view, array)


@relaxed
@given(shape=shapes, n=st.integers(1, 4), seed=seeds)
def test_flatten_and_batch_last_agree_with_the_reference(shape, n, seed):
    x = np.random.default_rng(seed).normal(size=(n, *shape))
    assert_array_equal(batch_last(x, np.float64), reference.network.batch_last(x))
    last, ours, theirs = batch_last(x, np.float64), Flatten(), reference.network.Flatten()
    assert ours.build(shape) == theirs.build(shape) == (int(np.prod(shape)),)
    assert_array_equal(ours.forward(last), theirs.forward(last))
    assert_array_equal(ours.backward(ours.forward(last)), last)
    assert_array_equal(theirs.backward(theirs.forward(last)), last)


@relaxed
@given(shape=shapes, n=st.integers(1, 4), seed=seeds)
def test_reshape_agrees_with_the_reference(shape, n, seed):
    rng = np.random.default_rng(seed)
    x, target = rng.normal(size=(*shape, n)), tuple(int(length) for length in rng.permutation(shape))
    ours, theirs = Reshape(target), reference.network.Reshape(target)
    assert ours.build(shape) == theirs.build(shape) == target
    y = ours.forward(x)
    assert_array_equal(y, theirs.forward(x))
    assert_array_equal(ours.backward(y), x)
    assert_array_equal(theirs.backward(y), x)


def wants(axes, library=Layer):
    """A layer that takes samples with so many axes and leaves them as they are."""
    class Wants(library):
        input_dims = axes

        def forward(self, x, training=False):
            return x

        def backward(self, dy, need_dx=True):
            return dy

    return Wants()


@settings(max_examples=200, deadline=None)
@given(axes=st.lists(st.sampled_from([1, 2, 3, None]), min_size=1, max_size=5),
       shape=st.lists(st.sampled_from([1, 2, 3, 4, 9]), min_size=1, max_size=4).map(tuple))
def test_adapters_agree_with_the_reference(axes, shape):
    try:
        expected = reference.network.connect([wants(k, reference.dense.Layer) for k in axes], shape)
    except ValueError:
        with pytest.raises(ShapeError):
            connect([wants(k) for k in axes], shape)
    else:
        layers, found = connect([wants(k) for k in axes], shape)
        assert found == expected[1]
        assert [type(layer).__name__ for layer in layers] == [type(layer).__name__ for layer in expected[0]]


# Witness 2: finite differences, every element, a random cotangent

@pytest.mark.parametrize("layer, shape", [(Reshape((5, 2, 6)), (3, 4, 5)), (Flatten(), (3, 4, 5))])
def test_adapters_gradients_are_those_of_finite_differences(layer, shape):
    rng = np.random.default_rng(0)
    layer.build(shape)
    check_layer(layer, rng.normal(size=(*shape, 2)), rng)


@pytest.mark.parametrize("shape", [(3,), (2, 2)])
@pytest.mark.parametrize("activation", ["Tanh", "Sigmoid", "LeakyReLU", "ReLU"])
def test_gradients_are_those_of_finite_differences(activation, shape):
    rng = np.random.default_rng(5)
    network = make([(4, True, activation), (3, False, activation), (3, True, None)]).build(shape)
    network.parameters[...] = rng.normal(size=network.parameter_count)
    x, c, h = rng.normal(size=(*shape, 3)), rng.normal(size=(3, 3)), 1e-6
    network.forward(x)
    dx = network.backward(c, need_dx=True).copy()
    for got, array in ((network.gradients.copy(), network.parameters), (dx, x)):
        expected = np.zeros_like(array)
        for place in np.ndindex(array.shape):
            kept, values = array[place], []
            for value in (kept + h, kept - h):
                array[place] = value
                values.append(np.sum(c * network.forward(x)))
            array[place] = kept
            expected[place] = (values[0] - values[1]) / (2 * h)
        assert_allclose(got, expected, rtol=1e-6, atol=1e-8)


def test_the_checker_finds_nothing_in_a_whole_network():
    rng = np.random.default_rng(6)
    network = make([(6, True, "Tanh"), (5, False, "Sigmoid"), (3, True, None)]).build((2, 2))
    check_network(network, rng.normal(size=(2, 2, 7)), rng.integers(0, 3, 7), SoftmaxCrossEntropy())


# Witness 3: PyTorch

def generator():
    """tests/torch_frozen/generate_network.py as a module."""
    spec = importlib.util.spec_from_file_location("generate_network", FOLDER / "generate_network.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


GENERATOR = generator()
BY_TORCH = [pytest.param(case, "frozen", id=f"{case}, frozen") for case in FROZEN]
if importlib.util.find_spec("torch"):
    BY_TORCH += [pytest.param(case, "live", id=f"{case}, live") for case in FROZEN]


@pytest.mark.parametrize("dtype, tolerance", [("float64", 1e-9), ("float32", 1e-5)])
@pytest.mark.parametrize("case, source", BY_TORCH)
def test_agrees_with_pytorch(case, source, dtype, tolerance):
    name, parameters, x, labels = GENERATOR.cases()[case]
    assert_array_equal(parameters, FROZEN[case]["parameters"])
    expected = FROZEN[case] if source == "frozen" else GENERATOR.by_torch(name, parameters, x, labels)
    shape, plan = GENERATOR.NETWORKS[name]
    layers = [Dense(s[0], bias=s[1]) if kind == "Dense" else getattr(activations, kind)(*s) for kind, *s in plan]
    network = Network(*layers, dtype=dtype).build(shape)
    network.parameters[...] = parameters
    loss, close = SoftmaxCrossEntropy(), {"rtol": tolerance, "atol": tolerance / 10}
    y = network.forward(x)
    assert_allclose(y, expected["y"], **close)
    assert_allclose(loss.forward(y, labels), expected["loss"], **close)
    dx = network.backward(loss.backward(), need_dx=True)
    assert_allclose(dx, expected["dx"], **close)
    assert_allclose(network.gradients, expected["gradients"], **close)
    for _ in range(GENERATOR.STEPS):
        loss.forward(network.forward(x), labels)
        network.backward(loss.backward())
        network.parameters -= GENERATOR.RATE * network.gradients
    assert_allclose(network.parameters, expected["after"], **close)


# Witness 4: the task

def train(network, x, labels, steps, rate, batch=None):
    """Plain gradient descent, as in the chapter; x batch last."""
    rng, loss = np.random.default_rng(0), SoftmaxCrossEntropy()
    for _ in range(steps):
        chosen = slice(None) if batch is None else rng.integers(0, x.shape[-1], batch)
        loss.forward(network.forward(x[..., chosen]), labels[chosen])
        network.backward(loss.backward())
        network.parameters -= rate * network.gradients


def test_reads_digits_after_500_steps_and_every_layer_learned():
    (images, labels), (test, test_labels) = load_mnist()
    images, test = scale_pixels(images[:30000]), scale_pixels(test)
    network = mlp(64, 10).build((28, 28))
    start = network.parameters.copy()
    train(network, batch_last(images), labels[:30000], 500, 0.3, 64)

    def right():
        return np.mean(network.predict(test).argmax(axis=1) == test_labels)

    assert right() > 0.91
    end, learned = network.parameters.copy(), right()
    for name, view in named_views(network.layers, start):
        if name.endswith("W"):
            network.parameters = end
            dict(network.named_parameters())[name][...] = view
            assert right() < learned - 0.02, f"putting the starting values of {name} back changes nothing"


def test_untangles_a_spiral():
    rng, n = np.random.default_rng(0), 400
    turn, arm = 3 * np.pi * np.sqrt(rng.uniform(0.02, 1, n)), np.arange(n) % 2
    angle = turn + np.pi * arm
    x = turn / (3 * np.pi) * np.stack([np.cos(angle), np.sin(angle)]) + rng.normal(0, 0.02, (2, n))
    network = mlp(32, 32, 2).build(2, seed=1)
    train(network, x, arm, 1000, 0.5)
    assert np.mean(network.predict(x.T).argmax(axis=1) == arm) > 0.99


def test_learns_random_labels_by_heart():
    rng = np.random.default_rng(3)
    x, labels = rng.normal(size=(10, 40)), rng.integers(0, 4, 40)
    network = mlp(32, 32, 4).build(10)
    train(network, x, labels, 500, 0.2)
    assert np.mean(network.predict(x.T).argmax(axis=1) == labels) == 1.0


# Shapes

def test_shapes_run_through_and_flatten_is_put_in():
    layers, shapes = connect([Dense(256), ReLU(), Dense(128), ReLU(), Dense(10)], (28, 28))
    assert [type(layer).__name__ for layer in layers] == ["Flatten", "Dense", "ReLU", "Dense", "ReLU", "Dense"]
    assert shapes == [(28, 28), (784,), (256,), (256,), (128,), (128,), (10,)]
    assert count_parameters(layers) == 785 * 256 + 257 * 128 + 129 * 10 == 235146


def test_flatten_is_put_in_only_where_it_is_needed():
    assert [type(p).__name__ for p in adapt(Dense(2), (3,))] == ["Dense"]
    assert [type(p).__name__ for p in adapt(ReLU(), (3, 4))] == ["ReLU"]
    assert adapt(Flatten(), (3,)) == []
    assert [type(p).__name__ for p in adapt(Flatten(), (3, 4))] == ["Flatten"]
    network = Network(ReLU(), Flatten(), Dense(2)).build((3, 4))
    assert [type(layer).__name__ for layer in network.layers] == ["ReLU", "Flatten", "Dense"]


def test_flatten_moves_no_numbers():
    x = np.zeros((5, 3, 2), np.float32)
    assert np.shares_memory(Flatten().forward(batch_last(x)), x)


@pytest.mark.parametrize("axes, shape", [(3, (1, 2, 3, 4)), (2, (6,)), (2, (1, 2, 3)), (4, (2, 3)), (4, (1, 2, 3))])
def test_a_layer_that_wants_other_axes_is_refused(axes, shape):
    with pytest.raises(ShapeError) as error:
        Network(wants(axes)).build(shape)
    assert f"Wants takes samples with {axes} axes, got samples shaped {shape}" in str(error.value)


def test_a_picture_becomes_an_image_with_one_channel():
    network = Network(wants(3), Dense(2)).build((4, 5))
    assert network.shapes == [(4, 5), (1, 4, 5), (1, 4, 5), (20,), (2,)]
    assert str(network).splitlines()[3].split() == ["Reshape", "(1,", "4,", "5)", "0"]


@pytest.mark.parametrize("numbers, earlier, expected", [
    (16, [], (1, 4, 4)), (1, [], (1, 1, 1)),                                # a square
    (16, [(16, 1, 1), (4, 2, 2), (16,)], (4, 2, 2)),                        # the latest image with as many
    (16, [(4, 2, 2), (4, 2, 3), (2, 8), (1, 1, 2, 8)], (4, 2, 2)),          # not those with more, nor other axes
    (12, [(3, 2, 2), (12,)], (3, 2, 2)),                                    # it need not be a square
])
def test_what_image_a_column_becomes(numbers, earlier, expected):
    assert image_shape(numbers, earlier) == reference.network.image_shape(numbers, earlier) == expected
    pieces = adapt(wants(3), (numbers,), earlier)
    assert [type(piece).__name__ for piece in pieces] == ["Reshape", "Wants"] and pieces[0].shape == expected


def test_a_column_that_becomes_no_image_is_refused_and_reshape_helps():
    for shape in ((15,), (3, 5, 2)):
        with pytest.raises(ShapeError, match=r"column of 15 numbers .*expected Reshape\(\(channels"):
            Network(Dense(15), wants(3)).build(shape)
    assert Network(Dense(15), Reshape((5, 3, 1)), wants(3)).build(4).shapes[-1] == (5, 3, 1)
    assert Network(Dense(15), wants(3)).build((3, 5, 1)).shapes[-1] == (3, 5, 1)


def test_an_image_comes_back_after_dense_layers():
    network = Network(Tanh(), Dense(24), wants(3), Dense(16), wants(3)).build((6, 2, 2))
    assert network.shapes == [(6, 2, 2), (6, 2, 2), (24,), (24,), (6, 2, 2), (6, 2, 2), (24,), (16,), (1, 4, 4), (1, 4, 4)]
    explicit = Network(Tanh(), Dense(24), Reshape((6, 2, 2)), Dense(16), Reshape((1, 4, 4))).build((6, 2, 2))
    x = np.random.default_rng(0).normal(size=(6, 2, 2, 3))
    assert_array_equal(network.forward(x), explicit.forward(x))


def test_reshape_moves_no_numbers():
    x = np.arange(24.0).reshape(12, 2)
    layer = Reshape((3, 2, 2))
    assert layer.build((12,)) == (3, 2, 2)
    y = layer.forward(x)
    assert_array_equal(y[..., 1].ravel(), x[:, 1])
    assert np.shares_memory(x, y) and np.shares_memory(y, layer.backward(y))


def test_reshape_refuses():
    for layer in (Reshape((3, 2, 2)), reference.network.Reshape((3, 2, 2))):
        with pytest.raises(ValueError, match="Reshape: expected samples"):
            layer.build((13,))
    with pytest.raises(ShapeError, match=r"expected samples of 12 numbers for \(3, 2, 2\), got 13 in \(13,\)"):
        Reshape((3, 2, 2)).build((13,))
    for shape in ((), (0, 2), (2, -1), (2.5,), "ab"):
        with pytest.raises(ShapeError, match="expected the shape of one sample"):
            Reshape(shape)
    layer = Reshape((3, 2, 2))
    layer.build((12,))
    for shape in ((12,), (12, 0), (11, 2), (3, 4, 2)):
        with pytest.raises(ShapeError, match="Reshape: expected x shaped"):
            layer.forward(np.zeros(shape))
    with pytest.raises(ShapeError, match="Reshape: expected dy shaped"):
        layer.backward(np.zeros((12, 2)))


def test_building_again_finds_the_adapters_again():
    network = Network(Flatten(), ReLU(), Dense(36), wants(3), Dense(2))
    for shape in ((4, 9), 36, (9, 2, 2), (4, 9)):
        network.build(shape)
        assert network.shapes[-4:] == [(9, 2, 2) if shape == (9, 2, 2) else (1, 6, 6)] * 2 + [(36,), (2,)]
        assert [type(layer).__name__ for layer in network.layers].count("Flatten") == (1 if shape == 36 else 2)
    with pytest.raises(RuntimeError, match="add layers before build"):
        network.add(ReLU())


@pytest.mark.parametrize("given_shape, expected", [(784, (784,)), ((28, 28), (28, 28)), ([3, 4], (3, 4)),
                                                   (np.int64(5), (5,)), (np.zeros((2, 3)).shape, (2, 3))])
def test_sample_shape(given_shape, expected):
    assert sample_shape(given_shape) == expected


@pytest.mark.parametrize("bad", [(), 0, (3, 0), (-1,), 2.5, "784", None, (3, 2.0), ((2, 3),)])
def test_sample_shape_refuses(bad):
    with pytest.raises(ShapeError, match="expected the shape of one sample"):
        Network(Dense(2)).build(bad)


@pytest.mark.parametrize("build, data", [((28, 28), (784,)), ((784,), (28, 28)), ((784,), (1, 28, 28)), ((28, 28), (28, 28))])
def test_pictures_and_columns_are_both_taken(build, data):
    x = np.random.default_rng(0).random((7, 784)).astype(np.float32)
    network = mlp(5, 3).build(build, seed=2)
    expected = mlp(5, 3).build(784, seed=2).predict(x)
    assert_array_equal(network.predict(x.reshape(7, *data)), expected)
    batch = np.moveaxis(x.reshape(7, *data), 0, -1)
    assert_allclose(network.forward(batch), expected.T, rtol=1e-5, atol=1e-6)


# The flat vectors

def test_layers_hold_views_in_order():
    network = mlp(4, 3).build(2)
    network.parameters[...] = np.arange(network.parameter_count)
    first, _, second = network.layers
    assert_array_equal(first.W, np.arange(8).reshape(4, 2, order="F"))
    assert_array_equal(first.b, np.arange(8, 12).reshape(4, 1))
    assert_array_equal(second.W, np.arange(12, 24).reshape(3, 4, order="F"))
    assert_array_equal(second.b, np.arange(24, 27).reshape(3, 1))
    for layer in (first, second):
        for name in "Wb":
            assert np.shares_memory(getattr(layer, name), network.parameters)
            assert np.shares_memory(getattr(layer, "d" + name), network.gradients)
    assert network.parameters.flags.c_contiguous and not np.shares_memory(network.parameters, network.gradients)


@pytest.mark.parametrize("attribute", ["parameters", "gradients"])
def test_assigning_copies_into_the_vector(attribute):
    network = mlp(3, 2).build(2)
    vector, new = getattr(network, attribute), np.arange(17.0)
    setattr(network, attribute, new)
    assert getattr(network, attribute) is vector and not np.shares_memory(vector, new)
    assert_array_equal(vector, new)
    array = network.layers[0].W if attribute == "parameters" else network.layers[0].dW
    assert_array_equal(array, new[:6].reshape(3, 2, order="F"))
    with pytest.raises(ShapeError, match=r"expected a vector shaped \(17,\), got \(16,\)"):
        setattr(network, attribute, np.zeros(16))
    with pytest.raises(ShapeError, match=r"got \(\)"):
        setattr(network, attribute, 0.0)


def test_a_step_in_place_reaches_the_layers():
    network = mlp(3, 2).build(2)
    vector, before = network.parameters, network.layers[0].W.copy()
    network.gradients[...] = 2
    network.parameters -= 0.25 * network.gradients
    assert network.parameters is vector and network.parameters.dtype == np.float32
    assert_array_equal(network.layers[0].W, before - 0.5)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))], ids=["deepcopy", "pickle"])
def test_a_copy_has_its_own_vector_and_views_of_it(duplicate):
    network = mlp(3, 2).build(2)
    twin, x = duplicate(network), np.ones((4, 2), np.float32)
    assert not np.shares_memory(twin.parameters, network.parameters)
    assert np.shares_memory(twin.layers[0].W, twin.parameters) and np.shares_memory(twin.layers[2].db, twin.gradients)
    assert_array_equal(twin.predict(x), network.predict(x))
    twin.parameters[...] = 0
    assert np.all(twin.predict(x) == 0) and np.any(network.predict(x) != 0)
    twin.build(2, seed=7)
    assert_array_equal(copy.deepcopy(Network(Dense(2))).build(3).parameters, Network(Dense(2)).build(3).parameters)


def test_names():
    network = Network(Dense(4), ReLU(), Dense(3, bias=False), Dense(2)).build((2, 2))
    assert [(name, view.shape) for name, view in network.named_parameters()] == [
        ("dense1.W", (4, 4)), ("dense1.b", (4, 1)), ("dense2.W", (3, 4)), ("dense3.W", (2, 3)), ("dense3.b", (2, 1))]
    dict(network.named_parameters())["dense2.W"][...] = 7
    assert np.all(network.layers[3].W == 7)
    assert [len(views) for views in parameter_views(network.layers, network.gradients)] == [0, 2, 0, 1, 2]


def test_same_seed_same_network_and_building_again_starts_afresh():
    network = mlp(5, 3).build((2, 3), seed=4)
    first = network.parameters.copy()
    assert_array_equal(mlp(5, 3).build(6, seed=4).parameters, first)
    assert np.any(network.build((2, 3), seed=5).parameters != first)
    assert_array_equal(network.build((2, 3), seed=4).parameters, first)
    assert network.build(9, seed=4).parameter_count == 10 * 5 + 6 * 3
    assert [type(layer).__name__ for layer in network.layers] == ["Dense", "ReLU", "Dense"]


def test_the_layers_do_not_start_alike():
    network = Network(Dense(4), Dense(4)).build(4)
    assert np.any(network.layers[0].W != network.layers[1].W)


# Passes

class Spy(Layer):
    """Counts what is asked of it."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def forward(self, x, training=False):
        self.calls.append(("forward", training))
        return x

    def backward(self, dy, need_dx=True):
        self.calls.append(("backward", need_dx))
        return dy


def test_layers_before_the_first_with_parameters_are_skipped_on_the_way_back():
    before, after = Spy(), Spy()
    network = Network(before, Dense(3), after, Dense(2)).build((2, 2))
    network.forward(np.ones((2, 2, 5)), training=True)
    assert network.backward(np.ones((2, 5))) is None
    assert before.calls == [("forward", True)] and after.calls == [("forward", True), ("backward", True)]
    dx = network.backward(np.ones((2, 5)), need_dx=True)
    assert dx.shape == (2, 2, 5) and before.calls[-1] == ("backward", True)


def test_the_first_dense_layer_makes_no_dx():
    network = mlp(3, 2).build(4)
    network.forward(np.ones((4, 5)))
    network.backward(np.ones((2, 5)))
    sizes = [array.shape for array in network.layers[0]._arrays.values()]
    assert (4, 5) not in sizes


def test_a_network_without_parameters_works():
    network = Network(ReLU(), Tanh()).build(3)
    x = np.array([[-1.0, 2.0]] * 3, np.float32)
    assert_allclose(network.forward(x), np.tanh(np.maximum(x, 0)), rtol=1e-6)
    network.backward(x)
    assert network.backward(x, need_dx=True).shape == x.shape and network.parameter_count == 0


def test_gradients_are_overwritten_not_added():
    network, x, dy = mlp(3, 2).build(4), np.ones((4, 5)), np.ones((2, 5))
    network.forward(x)
    network.backward(dy)
    once = network.gradients.copy()
    network.backward(dy)
    assert_array_equal(network.gradients, once)


def test_a_chain_agrees_with_the_network():
    chain = Chain(Dense(3)).add(ReLU()).add(Dense(2)).build((2, 2), seed=3)
    network, x = mlp(3, 2).build((2, 2), seed=3), np.random.default_rng(0).normal(size=(2, 2, 6))
    assert_array_equal(chain.forward(x), network.forward(x))
    dy = np.random.default_rng(1).normal(size=(2, 6)).astype(np.float32)
    assert_array_equal(chain.backward(dy, need_dx=True), network.backward(dy, need_dx=True))
    for ours, theirs in zip(chain.layers, network.layers):
        for name in ours.parameter_shapes:
            assert_array_equal(getattr(ours, "d" + name), getattr(theirs, "d" + name))


# Types of numbers

@pytest.mark.parametrize("given_dtype", [np.uint8, np.int64, np.float16, np.float32, np.float64, bool])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_everything_has_the_networks_dtype(dtype, given_dtype):
    network = mlp(6, 5, 3, dtype=dtype)
    x = np.random.default_rng(0).integers(0, 2, (4, 2, 3)).astype(given_dtype)
    assert network.predict(x).dtype == dtype
    y = network.forward(batch_last(x, given_dtype))
    network.backward(np.ones(y.shape))
    arrays = [network.parameters, network.gradients, y]
    for layer in network.layers:
        arrays += [*layer._arrays.values(), *(getattr(layer, n) for n in layer.parameter_shapes)]
    assert {array.dtype for array in arrays} == {np.dtype(dtype)}


def test_the_cast_is_at_the_door():
    network = Network(Tanh(), Dense(2)).build(3)
    assert network.forward(np.ones((3, 2))).dtype == np.float32
    assert {array.dtype for array in network.layers[0]._arrays.values()} == {np.dtype(np.float32)}
    assert_array_equal(network.forward([[1, 2], [3, 4], [5, 6]]), network.forward(np.array([[1.0, 2], [3, 4], [5, 6]])))


def test_double_precision_is_double_and_single_is_close():
    x = np.random.default_rng(0).normal(size=(8, 10))
    single, double = mlp(20, 5).build(8), mlp(20, 5, dtype=np.float64).build(8)
    double.parameters = single.parameters
    difference = np.abs(double.forward(x) - single.forward(x)).max()
    assert 0 < difference < 1e-5


@pytest.mark.parametrize("bad", [np.float16, np.int32, "complex128", object])
def test_other_dtypes_are_refused(bad):
    with pytest.raises(ValueError, match="expected dtype float32 or float64"):
        Network(Dense(2), dtype=bad)


# Prediction

@relaxed
@given(n=st.integers(1, 9), batch_size=st.integers(1, 12), seed=seeds)
def test_prediction_does_not_depend_on_the_batch_size(n, batch_size, seed):
    x = np.random.default_rng(seed).normal(size=(n, 3, 2))
    network = mlp(4, 3, dtype=np.float64).build((3, 2))
    expected = network.forward(np.moveaxis(x, 0, -1)).T.copy()
    assert_allclose(network.predict(x, batch_size), expected, rtol=1e-12, atol=1e-14)


def test_prediction_is_the_callers_own():
    network, x = mlp(4, 3).build(2), np.ones((5, 2), np.float32)
    first = network.predict(x)
    kept = first.copy()
    second = network.predict(3 * x)
    assert_array_equal(first, kept)
    assert first.flags.owndata and first.flags.c_contiguous and not np.shares_memory(first, second)
    assert first.shape == (5, 3)


def test_strange_but_honest_inputs():
    network = mlp(4, 3).build((2, 3))
    x = np.random.default_rng(0).integers(0, 255, (10, 4, 6))
    strided = x[::2, ::2, ::-2]
    expected = network.predict(np.ascontiguousarray(strided, dtype=np.float32))
    assert_allclose(network.predict(strided), expected, rtol=1e-5)
    assert_allclose(network.predict(strided.tolist()), expected, rtol=1e-5)
    assert_allclose(network.predict(np.asfortranarray(strided)), expected, rtol=1e-5)
    kept = x.copy()
    network.forward(batch_last(strided))
    network.backward(np.ones((3, 5)))
    assert_array_equal(x, kept)


def test_prediction_builds_on_first_use():
    network = Network(Dense(4), ReLU(), Dense(2))
    assert network.predict(np.zeros((3, 2, 5))).shape == (3, 2)
    assert network.input_shape == (2, 5) and type(network.layers[0]) is Flatten


def test_outputs_may_be_pictures():
    network = Network(Tanh()).build((2, 3))
    x = np.random.default_rng(0).normal(size=(7, 2, 3))
    assert_allclose(network.predict(x, 3), np.tanh(x), rtol=1e-5)


# Refusals

NETWORK = Network(Dense(5), ReLU(), Dense(3)).build((28, 28))


@pytest.mark.parametrize("shape", [(100, 27, 28), (100, 783), (28, 28), (784,), (), (0, 28, 28), (0, 784), (4, 14, 56),
                                   (4, 28, 28, 1, 2), (28, 28, 4)])
def test_wrong_samples_are_refused(shape):
    with pytest.raises(ShapeError) as error:
        NETWORK.predict(np.zeros(shape))
    assert "expected samples shaped (n, 28, 28) or (n, 784), n at least 1" in str(error.value)
    assert f"got {shape}" in str(error.value)


@pytest.mark.parametrize("shape", [(27, 28, 5), (783, 5), (784,), (28, 28), (28, 28, 0), (784, 0), (), (14, 56, 4)])
def test_wrong_batches_are_refused(shape):
    with pytest.raises(ShapeError) as error:
        NETWORK.forward(np.zeros(shape))
    assert f"expected a batch shaped (28, 28, n), n at least 1, got {shape}" in str(error.value)


@pytest.mark.parametrize("shape", [(3, 1), (3, 6), (2, 5), (5,), ()])
def test_wrong_upstream_gradients_are_refused(shape):
    NETWORK.forward(np.zeros((784, 5)))
    with pytest.raises(ShapeError, match=r"expected an upstream gradient shaped like the output, \(3, 5\), got"):
        NETWORK.backward(np.zeros(shape))


def test_backward_before_forward_is_refused():
    network = mlp(3, 2).build(2)
    with pytest.raises(RuntimeError, match="call forward"):
        network.backward(np.zeros((2, 1)))
    network.forward(np.zeros((2, 1)))
    with pytest.raises(RuntimeError, match="call forward"):
        network.build(2).backward(np.zeros((2, 1)))


@pytest.mark.parametrize("use", [
    lambda n: n.parameters, lambda n: n.gradients, lambda n: n.parameter_count, lambda n: n.named_parameters(),
    lambda n: n.architecture(), lambda n: n.replica(), lambda n: n.forward(np.zeros((2, 1))),
    lambda n: setattr(n, "parameters", np.zeros(3))], ids=range(8))
def test_an_unbuilt_network_says_what_to_do(use):
    with pytest.raises(RuntimeError, match="call network.build"):
        use(Network(Dense(2)))


def test_what_cannot_be_chained_is_refused():
    layer, activation = Dense(2), ReLU()
    with pytest.raises(ValueError, match=r"layer 2 \(Dense\) is already in this network"):
        Network(layer, ReLU(), layer)
    network = Network(activation)
    with pytest.raises(ValueError, match=r"layer 1 \(ReLU\) is already in this network"):
        network.add(activation)
    with pytest.raises(ValueError, match=r"layer 1 \(ReLU\) belongs to another network"):
        Network(Dense(2), activation)
    with pytest.raises(TypeError, match="layer 1 should be a layer such as Dense"):
        Network(Dense(2), ReLU)
    with pytest.raises(TypeError, match="layer 0 should be a layer"):
        Network([Dense(2), ReLU()])
    with pytest.raises(RuntimeError, match="add layers before build"):
        Network(Dense(2)).build(3).add(ReLU())
    with pytest.raises(ValueError, match="at least one layer"):
        Network().build(3)
    with pytest.raises(ValueError, match="at least one layer"):
        Network(Flatten()).build(3)


def test_a_refused_layer_is_not_kept():
    network, layer = Network(Dense(2)), Dense(3)
    with pytest.raises(TypeError):
        network.add(layer, "ReLU")
    assert len(network.layers) == 1
    Network(layer)


@pytest.mark.parametrize("bad", [0, -1])
def test_a_batch_size_is_at_least_one(bad):
    with pytest.raises(ValueError, match="batch size of at least 1"):
        NETWORK.predict(np.zeros((2, 784)), bad)


@pytest.mark.parametrize("shape", [(), (3,), (0, 3)])
def test_batch_last_refuses(shape):
    with pytest.raises(ShapeError, match="expected at least one sample, samples first"):
        batch_last(np.zeros(shape))


def test_batch_last_is_a_view():
    x = np.zeros((4, 2, 3), np.float32)
    assert batch_last(x).shape == (2, 3, 4) and np.shares_memory(batch_last(x), x)
    assert batch_last(x.astype(np.uint8)).dtype == np.float32


# What a network says about itself

def test_table():
    network = Network(Dense(256), ReLU(), Dense(10)).build((28, 28))
    assert str(network) == repr(network) == "\n".join([
        "layer    output    parameters",
        "-----------------------------",
        "(input)  (28, 28)            ",
        "Flatten  (784,)             0",
        "Dense    (256,)       200,960",
        "ReLU     (256,)             0",
        "Dense    (10,)          2,570",
        "-----------------------------",
        "total    float32      203,530"])
    assert str(Network(Dense(3))).splitlines()[2].split() == ["Dense", "?", "?"]
    assert "not built" in str(Network())


def test_architecture_fits_into_json_and_tells_networks_apart():
    def of(*layers, shape=(28, 28)):
        return Network(*layers).build(shape).architecture()

    one = of(Dense(5), LeakyReLU(0.1), Dense(3))
    assert json.loads(json.dumps(one)) == one
    assert one[0] == {"layer": "Dense", "units": 5, "bias": True, "parameters": {"W": [5, 784], "b": [5, 1]}}
    assert one == of(Dense(5), LeakyReLU(0.1), Dense(3), shape=784) == of(Flatten(), Dense(5), LeakyReLU(0.1), Dense(3))
    for other in (of(Dense(5), LeakyReLU(0.2), Dense(3)), of(Dense(5), ReLU(), Dense(3)), of(Dense(5), Dense(3)),
                  of(Dense(6), LeakyReLU(0.1), Dense(3)), of(Dense(5, bias=False), LeakyReLU(0.1), Dense(3)),
                  of(Dense(5), LeakyReLU(0.1), Dense(3), shape=783)):
        assert other != one


def test_architecture_leaves_out_what_the_network_put_in():
    def of(*layers, shape):
        return Network(*layers).build(shape).architecture()

    one = of(Dense(16), wants(3), Dense(2), shape=(4, 4))
    assert [layer["layer"] for layer in one] == ["Dense", "Wants", "Dense"]
    assert one == of(Dense(16), wants(3), Flatten(), Dense(2), shape=16)
    asked = of(Dense(16), Reshape((4, 2, 2)), wants(3), Dense(2), shape=16)
    assert asked[1] == {"layer": "Reshape", "shape": [4, 2, 2], "parameters": {}} and asked != one
    assert json.loads(json.dumps(asked)) == asked
    assert of(wants(3), Dense(2), shape=(4, 5)) == of(wants(3), Dense(2), shape=(1, 4, 5))


def test_architecture_does_not_change_with_use():
    network = mlp(5, 3).build(4)
    before = network.architecture()
    network.forward(np.ones((4, 2)))
    network.backward(np.ones((3, 2)))
    assert network.architecture() == before == network.replica().architecture()


def test_a_layer_may_describe_itself():
    class Told(Layer):
        def config(self):
            return {"taps": [1, 2]}

    assert Network(Told()).build(3).architecture() == [{"layer": "Told", "taps": [1, 2], "parameters": {}}]


# Buffers: what a layer keeps but does not learn

class Centred(Layer):
    """Subtracts a running mean of what it has seen, and adds a learned b if told to."""

    def __init__(self, bias=False):
        super().__init__()
        self.bias = bias

    def build(self, input_shape):
        self.sample_shape = tuple(input_shape)
        self.parameter_shapes = {"b": (*input_shape, 1)} if self.bias else {}
        return input_shape

    def initialize(self, rng):
        super().initialize(rng)
        self.buffers = {"mean": np.zeros((*self.sample_shape, 1)), "batches": np.zeros(1)}

    def forward(self, x, training=False):
        mean = self.buffers["mean"]
        if training:
            mean += 0.1 * (x.mean(axis=-1, keepdims=True) - mean)
            self.buffers["batches"] += 1
        return x - mean


def test_buffers_have_names_of_the_same_count_as_parameters():
    network = Network(Dense(4), Centred(), Centred(bias=True), ReLU(), Centred(bias=True)).build(3)
    assert [name for name, _ in network.named_buffers()] == [
        f"centred{k}.{name}" for k in (1, 2, 3) for name in ("mean", "batches")]
    assert [name for name, _ in network.named_parameters()] == ["dense1.W", "dense1.b", "centred2.b", "centred3.b"]
    for name, array in network.named_buffers():
        assert array is network.layers[{"1": 1, "2": 2, "3": 4}[name[7]]].buffers[name[9:]]
    assert mlp(3, 2).build(4).named_buffers() == []
    pairs = [(1, 0, 0), (1, 1, 0), (0, 1, 1)]                  # (kind, parameters, buffers) for each layer
    theirs, ours = [], []
    for library, made in ((reference.dense.Layer, theirs), (Layer, ours)):
        kinds = type("A", (library,), {}), type("B", (library,), {})
        for kind, parameters, buffers in pairs:
            made.append(kinds[kind]())
            made[-1].parameter_shapes = {"W": (2,)} if parameters else {}
            made[-1].buffers = {"mean": np.ones(2)} if buffers else {}
    for function, *arguments in (("named_views", np.arange(4.0)), ("named_buffers",), ("layer_names",)):
        expected = getattr(reference.network, function)(theirs, *arguments)
        assert str(getattr(nnlib.network, function)(ours, *arguments)) == str(expected)


def test_buffers_are_filled_by_build_and_kept_by_copies_of_their_own():
    network = Network(Centred(), Dense(2)).build(3)
    x = np.ones((3, 5), np.float32)
    network.forward(x)
    assert dict(network.named_buffers())["centred1.batches"] == 0
    network.forward(x, training=True)
    twin, replica = copy.deepcopy(network), network.replica()
    for other in (twin, replica):
        assert_array_equal(other.layers[0].buffers["mean"], 0.1 * np.ones((3, 1)))
        other.forward(x, training=True)
        assert dict(other.named_buffers())["centred1.batches"] == 2
    assert dict(network.named_buffers())["centred1.batches"] == 1
    network.build(3)
    assert dict(network.named_buffers())["centred1.batches"] == 0


# Replicas

def test_a_replica_shares_parameters_and_nothing_else():
    network = mlp(4, 3).build(2)
    twin = network.replica()
    assert twin.parameters is network.parameters
    x, dy = np.ones((2, 5), np.float32), np.ones((3, 5), np.float32)
    y = network.forward(x)
    kept = y.copy()
    twin.forward(3 * x)
    assert_array_equal(y, kept)
    twin.backward(dy)
    assert np.all(network.gradients == 0) and np.any(twin.gradients != 0)
    network.parameters[...] = 0
    assert np.all(twin.forward(x) == 0)
    assert np.shares_memory(twin.layers[0].dW, twin.gradients)
    assert np.shares_memory(network.layers[0].dW, network.gradients)


def test_threads_with_replicas_find_what_one_finds():
    rng = np.random.default_rng(0)
    network, x, c = mlp(16, 16, 4, dtype=np.float64).build(8), rng.normal(size=(8, 400)), rng.normal(size=(4, 400))
    network.forward(x)
    network.backward(c)
    expected, replicas = network.gradients.copy(), [network.replica() for _ in range(4)]

    def work(replica, part):
        for _ in range(50):
            replica.forward(x[:, part])
            replica.backward(c[:, part])

    threads = [threading.Thread(target=work, args=(replica, slice(100 * i, 100 * i + 100)))
               for i, replica in enumerate(replicas)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert_allclose(sum(replica.gradients for replica in replicas), expected, rtol=1e-9, atol=1e-12)


def test_hot_path_allocates_nothing_once_it_is_warm():
    network, loss = mlp(64, 32, 10).build(784), SoftmaxCrossEntropy()
    x, labels = np.ones((784, 32), np.float32), np.zeros(32, int)
    addresses = []
    for _ in range(3):
        loss.forward(network.forward(x), labels)
        network.backward(loss.backward())
        addresses.append([a.ctypes.data for layer in network.layers for a in layer._arrays.values()])
    assert addresses[0] == addresses[1] == addresses[2]


# Lending

CHAINS = {
    "dense": lambda: [Dense(5), ReLU(), Dense(4), Tanh(), Dense(3), Softmax()],
    "activations in a row": lambda: [ReLU(), Dense(6), Tanh(), ReLU(), Sigmoid(), LeakyReLU(), ReLU(), Dense(3)],
    "a view between": lambda: [Dense(4), ReLU(), Flatten(), ReLU(), Reshape((2, 2)), ReLU(), Flatten(), Dense(3), ReLU()],
}


@pytest.mark.parametrize("chain", CHAINS)
def test_lending_changes_no_number(chain):
    expect_that_lending_changes_nothing(CHAINS[chain], (6,))


class Unit(Layer):
    """y = x / |x|; goes back from all of y, also from what a ReLU behind it sets to zero."""

    def forward(self, x, training=False):
        self.length = np.linalg.norm(x, axis=0)
        self.y = np.divide(x, self.length, out=self.workspace("y", x.shape, x.dtype))
        return self.y

    def backward(self, dy, need_dx=True):
        return (dy - self.y * (self.y * dy).sum(axis=0)) / self.length


def test_an_output_that_is_needed_is_not_lent():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 3)), np.array([0, 1, 2])
    for lie in (False, True):
        unit = Unit()
        unit.lends_output = lie
        network = Network(Dense(4), unit, ReLU(), Dense(3), dtype=np.float64).build(5, seed=0)
        with pytest.raises(GradientError) if lie else contextlib.nullcontext():
            check_network(network, x, y, SoftmaxCrossEntropy())


def test_an_output_handed_back_in_is_not_written_over():
    """What a network returned lies in a neighbour's drawer. As its next input, or as its upstream gradient, it is the caller's."""
    rng = np.random.default_rng(0)
    for layers in (lambda: [ReLU(), Dense(4)], lambda: [Dense(4), ReLU()]):
        network, apart = lending_and_apart(layers, (4,))
        x = rng.normal(size=(4, 3))
        y, other = network.forward(x), apart.forward(x).copy()
        network.backward(y)
        apart.backward(other)
        assert_array_equal(y, other)
        assert_array_equal(network.gradients, apart.gradients)
    network, apart = (Network(ReLU(), Dense(4), dtype=np.float64).build(4, seed=1) for _ in range(2))
    network.forward(network.forward(x))
    apart.forward(apart.forward(x).copy())
    for one in (network, apart):
        one.backward(np.ones((4, 3)))
    assert_array_equal(network.gradients, apart.gradients)


def test_what_is_lent_is_used_and_nothing_else():
    network = Network(Dense(4), ReLU(), Dense(3)).build((5,))
    first, relu, last = network.layers
    x = np.random.default_rng(0).normal(size=(5, 2)).astype(np.float32)
    network.backward(np.ones_like(network.forward(x)))
    assert not relu._arrays and relu.y is first._arrays["z"]
    mine = np.full((4, 2), -1, np.float32)
    assert not np.shares_memory(relu.forward(mine), mine) and (mine == -1).all()
    twin = network.replica()
    twin.backward(np.ones_like(twin.forward(x)))
    assert not twin.layers[1]._arrays
    assert not np.shares_memory(twin.layers[1].y, first._arrays["z"])
    alone = ReLU()
    z = np.array([[-1.0, 2.0]])
    assert alone.forward(z) is not z and z[0, 0] == -1
