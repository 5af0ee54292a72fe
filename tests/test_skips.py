"""Skips, loops and feedback against the reference, finite differences, PyTorch, and a task."""

import copy
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import reference.activations
import reference.convolution
import reference.dense
import reference.skips
from nnlib import skips
from nnlib.activations import ReLU, Tanh
from nnlib.convolution import Convolution
from nnlib.data import load_mnist, scale_pixels
from nnlib.dense import Dense, Layer, ShapeError, he_normal
from nnlib.gradcheck import check_layer, check_network, numerical_gradient
from nnlib.losses import SoftmaxCrossEntropy
from nnlib.network import Flatten, Network, batch_last, named_views
from nnlib.optimizers import Adam
from nnlib.regularization import BatchNorm, Dropout, refresh_statistics
from nnlib.skips import WAYS, Feedback, Loop, Skip, Skips, merge, merge_backward, merge_shapes
from nnlib.training import MinibatchGradient, evaluate, fit

FOLDER = Path(__file__).parent / "torch_frozen"
FROZEN = json.loads((FOLDER / "skips.json").read_text(encoding="utf-8"))["cases"]
OURS = {"Dense": Dense, "Tanh": Tanh, "Convolution": Convolution, "skips": skips}
THEIRS = {"Dense": reference.dense.Dense, "Tanh": reference.activations.Tanh,
          "Convolution": reference.convolution.Convolution, "skips": reference.skips}

ways = pytest.mark.parametrize("how", WAYS)
both = pytest.mark.parametrize("dtype", [np.float32, np.float64])
seeds = st.integers(0, 2**32 - 1)


def make(description, kinds=OURS):
    """A layer from its description in plain values (see tests/torch_frozen/generate_skips.py)."""
    kind, *rest = description
    if kind == "Convolution":
        filters, kernel, padding, stride = rest
        return kinds[kind](filters, kernel, padding=padding, stride=stride)
    if kind in kinds:
        return kinds[kind](*rest)
    options, inner = rest
    options = dict(options)
    if options.get("projection"):
        options["projection"] = make(options["projection"], kinds)
    if "arrows" in options:
        options["arrows"] = [(a, b, *(make(p, kinds) for p in more)) for a, b, *more in options["arrows"]]
    return getattr(kinds["skips"], kind)(*(make(layer, kinds) for layer in inner), **options)


def built(description, shape, dtype=np.float64, kinds=OURS, parameters=None, seed=0, scale=0.7):
    layer = make(description, kinds)
    layer.build(shape)
    layer.allocate(dtype) if kinds is OURS else layer.allocate()
    rng = np.random.default_rng(seed)
    for name, size in layer.parameter_shapes.items():
        getattr(layer, name)[...] = rng.normal(size=size) * scale if parameters is None else parameters[name]
    return layer


def gradients(layer):
    return {name: np.array(getattr(layer, f"d{name}")) for name in layer.parameter_shapes}


def parameters(layer):
    return {name: np.array(getattr(layer, name)) for name in layer.parameter_shapes}


# What meets

@st.composite
def meetings(draw):
    """(arrays, how): one to four arrays that can meet in this way."""
    how = draw(st.sampled_from(WAYS))
    rest = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)))
    count, first = draw(st.integers(1, 4)), draw(st.integers(1, 3))
    rng = np.random.default_rng(draw(seeds))
    free = how in ("concatenate", "overwrite")
    return [rng.normal(size=(draw(st.integers(1, 3)) if free else first, *rest)) for _ in range(count)], how


@settings(max_examples=150, deadline=None)
@given(meeting=meetings(), seed=seeds)
def test_merge_agrees_with_the_reference_and_with_its_slope(meeting, seed):
    values, how = meeting
    y = merge(values, how)
    assert y.shape == merge_shapes([v.shape for v in values], how)
    assert_allclose(y, reference.skips.merge(values, how), rtol=1e-9, atol=1e-15)
    out = np.empty(y.shape)
    kept = [v.copy() for v in values]
    assert_array_equal(merge(values, how, out=out), y)
    c = np.random.default_rng(seed).normal(size=y.shape)
    found = merge_backward(c.copy(), values, how)
    assert_array_equal(kept, values) if how != "concatenate" and how != "overwrite" else None
    expected = reference.skips.merge_backward(c, values, how)
    for value, slope, theirs in zip(values, found, expected, strict=True):
        assert_allclose(slope, theirs, rtol=1e-9, atol=1e-15)
        assert_allclose(slope, numerical_gradient(lambda: np.sum(c * merge(values, how)), value), rtol=1e-6, atol=1e-8)


def test_by_hand():
    a, b, c = (np.array([[x]]) for x in (6.0, 3.0, 2.0))
    found = {how: merge([a, b, c], how).ravel().tolist() for how in WAYS}
    assert found == {"add": [11], "subtract": [1], "multiply": [36], "mean": [11 / 3], "overwrite": [2], "concatenate": [6, 3, 2]}
    slopes = {how: np.ravel(merge_backward(np.ones((3 if how == "concatenate" else 1, 1)), [a, b, c], how)).tolist() for how in WAYS}
    third = 1 / 3
    assert slopes == {"add": [1, 1, 1], "subtract": [1, -1, -1], "multiply": [6, 12, 18], "mean": [third] * 3,
                      "overwrite": [0, 0, 1], "concatenate": [1, 1, 1]}


def test_the_gradient_of_a_product_survives_a_zero():
    a, b = np.array([[0.0]]), np.array([[5.0]])
    assert [s.item() for s in merge_backward(np.ones((1, 1)), [a, b], "multiply")] == [5, 0]


@ways
@both
def test_merge_keeps_the_dtype(how, dtype):
    values = [np.ones((2, 3), dtype), np.ones((2, 3), dtype)]
    y = merge(values, how)
    assert y.dtype == dtype
    assert all(slope.dtype == dtype for slope in merge_backward(y, values, how))


@pytest.mark.parametrize("how", [how for how in WAYS if how != "overwrite"])
def test_what_does_not_fit_does_not_meet(how):
    with pytest.raises(ShapeError, match=r"Who: to .*expected .*got \(2, 3\) and \(2, 1\)"):
        merge_shapes([(2, 3), (2, 1)], how, "Who")
    with pytest.raises(ShapeError):
        merge([np.ones((2, 3)), np.ones((2, 1))], how)      # would broadcast


def test_an_unknown_way_is_refused():
    for attempt in (lambda: merge([np.ones((1, 1))] * 2, "plus"), lambda: Skip(Dense(1), how="sum"),
                    lambda: Loop(Dense(1), times=2, how="sum"), lambda: Feedback(Dense(1), times=2, how_out="sum")):
        with pytest.raises(ValueError, match=r"expected how to be one of add, subtract.*, got '(plus|sum)'"):
            attempt()


# Witnesses 1 and 2 on composite layers drawn by chance

LEAVES = st.sampled_from([["Dense", 3], ["Tanh"], ["Dense", 3]])


def composites(inner):
    layers = st.lists(inner, min_size=1, max_size=3)
    equal = st.sampled_from([way for way in WAYS if way != "concatenate"])
    skip = st.builds(lambda ls, how, p: ["Skip", {"how": how, "projection": ["Dense", 3] if p else None}, ls], layers, equal, st.booleans())
    pairs = st.lists(st.tuples(st.integers(0, 3), st.integers(1, 3)), max_size=4)
    skips_ = st.builds(lambda ls, how, ps: ["Skips", {"how": how, "arrows": [
        [min(a, b - 1, len(ls) - 1), min(b, len(ls))] for a, b in ps]}, ls], layers, equal, pairs)
    loop = st.builds(lambda ls, how, t, s: ["Loop", {"how": how, "times": t, "gradient_scale": s}, ls],
                     layers, equal, st.integers(1, 3), st.sampled_from([1.0, 0.5, 0.0]))
    feedback = st.builds(lambda ls, a, b, t, sh: ["Feedback", {"how_in": a, "how_out": b, "times": t, "shared": sh}, ls],
                         layers, equal, equal, st.integers(1, 3), st.booleans())
    return st.one_of(skip, skips_, loop, feedback)


descriptions = st.recursive(LEAVES, composites, max_leaves=5).filter(lambda d: d[0] not in ("Dense", "Tanh"))


def scaled(description):
    kind, *rest = description
    return bool(rest and isinstance(rest[0], dict) and (
        rest[0].get("gradient_scale", 1.0) != 1.0 or any(map(scaled, rest[1]))))


def close(found, expected, **options):
    """To nine digits of the array's largest number: where runs are multiplied, small ones are differences of large ones."""
    assert_allclose(found, expected, rtol=1e-9, atol=1e-11 * max(np.abs(expected).max(), 0.1), **options)


@settings(max_examples=60, deadline=None)
@given(description=descriptions, seed=seeds, batch=st.integers(1, 3))
def test_agrees_with_the_reference(description, seed, batch):
    ours = built(description, (3,), seed=seed, scale=0.4)     # products of products must stay small
    theirs = built(description, (3,), kinds=THEIRS, parameters=parameters(ours))
    rng = np.random.default_rng(seed)
    for _ in range(2):          # twice: nothing is left over
        x, dy = rng.uniform(-1, 1, (2, 3, batch))
        close(ours.forward(x), theirs.forward(x))
        close(ours.backward(dy), theirs.backward(dy))
        for name, slope in gradients(theirs).items():
            close(getattr(ours, f"d{name}"), slope, err_msg=name)
    assert list(ours.parameter_shapes) == list(theirs.parameter_shapes)


@settings(max_examples=40, deadline=None, derandomize=True)     # a difference quotient has bad days: always the same examples
@given(description=descriptions.filter(lambda d: not scaled(d)), seed=seeds)
def test_gradient_is_the_slope(description, seed):
    rng = np.random.default_rng(seed)
    check_layer(built(description, (3,), seed=seed, scale=0.4), rng.uniform(-1, 1, (3, 2)), rng)


@pytest.mark.parametrize("description, shape", [
    (["Skip", {"how": "concatenate"}, [["Dense", 2]]], (3,)),
    (["Feedback", {"times": 3, "shared": False, "how_in": "concatenate", "how_out": "concatenate"}, [["Dense", 2], ["Tanh"]]], (3,)),
    (["Feedback", {"times": 3, "how_out": "concatenate"}, [["Convolution", 2, 3, 1, 1], ["Tanh"]]], (2, 4, 3)),
    (["Loop", {"times": 5, "how": "mean"}, [["Convolution", 2, 3, 1, 1], ["Tanh"]]], (2, 3, 4)),
    (["Skip", {"projection": ["Convolution", 3, 1, 0, 2]}, [["Convolution", 3, 3, 1, 2], ["Tanh"]]], (2, 5, 4)),
    (["Skips", {"arrows": [[0, 2, ["Dense", 4]], [1, 3], [0, 3, ["Dense", 5]]]}, [["Dense", 5], ["Dense", 4], ["Dense", 5]]], (2,)),
])
def test_gradient_is_the_slope_through_images_and_projections(description, shape):
    rng = np.random.default_rng(0)
    layer = built(description, shape)
    x = rng.normal(size=(*shape, 2))
    check_layer(layer, x, rng)
    theirs = built(description, shape, kinds=THEIRS, parameters=parameters(layer))
    assert_allclose(layer.forward(x), theirs.forward(x), rtol=1e-9, atol=1e-12)


# Shared weights

def twins(times=3, **options):
    """A block with shared weights, and one with weights of its own in each run that happen to be equal."""
    shared = built(["Feedback", {"times": times, **options}, [["Dense", 3], ["Tanh"]]], (3,))
    apart = built(["Feedback", {"times": times, "shared": False, **options}, [["Dense", 3], ["Tanh"]]], (3,))
    for name in apart.parameter_shapes:
        getattr(apart, name)[...] = getattr(shared, name.split(".", 1)[1])
    return shared, apart


@pytest.mark.parametrize("scale", [1.0, 0.3])
def test_a_shared_gradient_is_the_sum_over_the_runs(scale):
    shared, apart = twins(gradient_scale=scale)
    x, dy = np.random.default_rng(1).normal(size=(2, 3, 4))
    assert_array_equal(shared.forward(x), apart.forward(x))
    assert_allclose(shared.backward(dy), apart.backward(dy), rtol=1e-12)
    for name in shared.parameter_shapes:
        total = sum(getattr(apart, f"d{t}.{name}") for t in (1, 2, 3))
        assert_allclose(getattr(shared, f"d{name}"), total, rtol=1e-12)
        assert not np.allclose(getattr(shared, f"d{name}"), getattr(apart, f"d3.{name}"))


def test_without_the_loops_gradient_what_is_fed_back_is_a_constant():
    loop = built(["Loop", {"times": 4, "gradient_scale": 0.0}, [["Dense", 3], ["Tanh"]]], (3,))
    rng = np.random.default_rng(2)
    x, c = rng.normal(size=(2, 3, 2))
    loop.forward(x)
    fed_back = loop.outputs[2].copy()
    dx = loop.backward(c).copy()

    def last_run():
        return np.sum(c * np.tanh(getattr(loop, "dense1.W") @ (x + fed_back) + getattr(loop, "dense1.b")))

    assert_allclose(dx, numerical_gradient(last_run, x), rtol=1e-6)
    for name in loop.parameter_shapes:
        assert_allclose(getattr(loop, f"d{name}"), numerical_gradient(last_run, getattr(loop, name)), rtol=1e-6)


def test_the_scale_multiplies_once_for_each_time_around():
    """Of a linear loop without its input, dx is (s W^T)^(k-1) W^T dy."""
    k, s = 4, 0.5
    loop = built(["Loop", {"times": k, "how": "overwrite", "gradient_scale": s}, [["Dense", 3]]], (3,))
    W, dy = getattr(loop, "dense1.W"), np.random.default_rng(0).normal(size=(3, 2))
    loop.forward(np.ones((3, 2)))
    assert_allclose(loop.backward(dy), s ** (k - 1) * np.linalg.matrix_power(W.T, k) @ dy, rtol=1e-10)


def test_a_loop_is_a_feedback_block_that_keeps_its_last_output():
    loop = built(["Loop", {"times": 3, "how": "subtract"}, [["Dense", 3], ["Tanh"]]], (3,))
    block = built(["Feedback", {"times": 3, "how_in": "subtract", "how_out": "overwrite"}, [["Dense", 3], ["Tanh"]]], (3,))
    x = np.random.default_rng(0).normal(size=(3, 5))
    assert_array_equal(loop.forward(x), block.forward(x))
    y = x
    for t in range(3):
        y = np.tanh(getattr(loop, "dense1.W") @ (x - y if t else x) + getattr(loop, "dense1.b"))
    assert_allclose(loop.forward(x), y, rtol=1e-12)


# Witness 3: PyTorch

def compare_with_torch(description, case):
    x = np.array(case["x"])
    for dtype, tolerance in ((np.float64, 1e-9), (np.float32, 1e-5)):
        layer = built(description, x.shape[:-1], dtype, parameters=case["parameters"])
        assert_allclose(layer.forward(x), case["y"], rtol=tolerance, atol=tolerance)
        assert_allclose(layer.backward(np.array(case["dy"])), case["dx"], rtol=tolerance, atol=tolerance)
        for name, slope in case["gradients"].items():
            # in single precision the gradients of three runs are added up, and cancel
            assert_allclose(getattr(layer, f"d{name}"), slope, rtol=tolerance, atol=4 * tolerance, err_msg=name)
        assert layer.forward(x).dtype == layer.backward(np.array(case["dy"])).dtype == dtype


def generator():
    """The module that froze PyTorch's numbers."""
    spec = importlib.util.spec_from_file_location("generate_skips", FOLDER / "generate_skips.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", FROZEN)
def test_agrees_with_frozen_torch(name):
    compare_with_torch(FROZEN[name]["description"], FROZEN[name])


def test_what_is_frozen_is_what_the_generator_describes():
    described = json.loads(json.dumps({name: d for name, (d, _) in generator().cases().items()}))
    assert described == {name: case["description"] for name, case in FROZEN.items()}


if importlib.util.find_spec("torch"):

    @pytest.mark.parametrize("name", FROZEN)
    def test_agrees_with_live_torch(name):
        case = FROZEN[name]
        live = generator().by_torch(case["description"], np.array(case["x"]), np.array(case["dy"]), case["parameters"])
        compare_with_torch(case["description"], {**live, "x": case["x"]})


# Inside a network

def mixed(dtype=np.float64, seed=0):
    """Everything at once, for pictures of 6 by 6 in three classes."""
    image = [Convolution(2, 3, padding=1), Skip(Convolution(2, 3, padding=1), Tanh(), how="mean"),
             Loop(Convolution(2, 3, padding=1), Tanh(), times=3)]
    dense = [Dense(6), Skips(Dense(6), Tanh(), Dense(6), arrows=[(0, 2), (1, 3)]),
             Feedback(Loop(Dense(6), Tanh(), times=2), times=2, shared=False, how_out="mean"), Dense(3)]
    return Network(*image, *dense, dtype=dtype).build((6, 6), seed)


def test_in_a_network_the_gradient_is_the_slope():
    rng = np.random.default_rng(0)
    found = check_network(mixed(), rng.normal(size=(6, 6, 3)), rng.integers(0, 3, 3), SoftmaxCrossEntropy())
    assert set(found) == {"dx", "parameters"}


def test_inner_arrays_are_views_of_the_flat_vector():
    network = mixed()
    loop = network.layers[3]
    assert type(loop) is Loop
    for run in loop.runs:
        assert np.shares_memory(run[0].W, network.parameters)
        assert not np.shares_memory(run[0].dW, network.gradients)        # one run's share only
    skips_layer = next(layer for layer in network.layers if type(layer) is Skips)
    inner = skips_layer.runs[0][0]
    assert np.shares_memory(inner.W, network.parameters) and np.shares_memory(inner.dW, network.gradients)
    assert inner.W.flags.f_contiguous and inner.dW.flags.f_contiguous
    before = network.predict(np.ones((1, 6, 6))).copy()
    network.parameters += 0.1
    assert not np.allclose(before, network.predict(np.ones((1, 6, 6))))


def test_names():
    names = [name for name, _ in mixed().named_parameters()]
    assert names == [f"{layer}.{key}" for layer in (
        "convolution1", "skip1.convolution1", "loop1.convolution1", "dense1", "skips1.dense1", "skips1.dense2",
        "feedback1.1.loop1.dense1", "feedback1.2.loop1.dense1", "dense2") for key in ("W", "b")]


def test_the_same_seed_gives_the_same_network_and_another_another():
    a, b, c = mixed(seed=1), mixed(seed=1), mixed(seed=2)
    assert_array_equal(a.parameters, b.parameters)
    assert not np.array_equal(a.parameters, c.parameters)
    a.build((6, 6), seed=2)                                     # once more, afresh
    assert_array_equal(a.parameters, c.parameters)
    x = np.random.default_rng(0).normal(size=(6, 6, 2))
    assert_array_equal(a.forward(x), c.forward(x))
    runs = a.layers[-2].runs
    assert not np.array_equal(runs[0][0].runs[0][0].W, runs[1][0].runs[0][0].W)     # each its own start


def test_a_copy_is_another_network_and_a_replica_the_same():
    network, rng = mixed(), np.random.default_rng(0)
    x, dy = rng.normal(size=(6, 6, 4)), rng.normal(size=(3, 4))
    twin, other = network.replica(), copy.deepcopy(network)
    y = network.forward(x).copy()
    network.backward(dy)
    expected = network.gradients.copy()
    for net in (twin, other):
        assert_array_equal(net.forward(x), y)
        net.backward(dy)
        assert_array_equal(net.gradients, expected)
    twin.forward(2 * x)
    twin.backward(-dy)
    assert_array_equal(network.gradients, expected)             # the twin has its own
    network.backward(dy)
    assert_array_equal(network.gradients, expected)             # and its own workspaces
    network.parameters *= 0.5
    assert_array_equal(twin.forward(x), network.forward(x))
    assert_array_equal(other.forward(x), y)


def test_threads_give_the_same_gradient():
    network, rng = mixed(), np.random.default_rng(0)
    images, labels = rng.normal(size=(9, 6, 6)), rng.integers(0, 3, 9)
    found = []
    for threads in (1, 2):
        with MinibatchGradient(network, SoftmaxCrossEntropy(), images, labels, threads) as gradient:
            gradient(np.arange(9), 9)
        found.append(network.gradients.copy())
    assert_allclose(found[0], found[1], rtol=1e-9, atol=1e-12)


def rebuilt(description):
    """A layer from what `architecture` says about it: all that a file has."""
    kind = {**{c.__name__: c for c in (Dense, Tanh, Convolution, Skip, Skips, Loop, Feedback)}}[description["layer"]]
    options = {k: v for k, v in description.items() if k not in ("layer", "parameters", "layers")}
    if options.get("projection"):
        options["projection"] = rebuilt(options["projection"])
    if "arrows" in options:
        options["arrows"] = [(a, b, *map(rebuilt, road)) for a, b, *road in options["arrows"]]
    return kind(*map(rebuilt, description.get("layers", ())), **options)


def test_the_architecture_is_enough_to_make_the_network_again():
    layers = [Skip(Dense(4), Tanh(), projection=Dense(4)), Loop(Skip(Dense(4)), times=3, how="mean", gradient_scale=0.5),
              Skips(Dense(4), Tanh(), arrows=[(0, 2, Dense(4)), (0, 1)], how="subtract"),
              Feedback(Dense(2), times=2, shared=False, how_in="concatenate", how_out="concatenate")]
    network = Network(*layers).build(3, seed=1)
    text = json.dumps(network.architecture())
    again = Network(*map(rebuilt, json.loads(text))).build(3, seed=9)
    assert json.dumps(again.architecture()) == text
    again.parameters = network.parameters
    x = np.random.default_rng(0).normal(size=(5, 3))
    assert_array_equal(again.predict(x), network.predict(x))
    other = Network(Loop(Dense(3), times=3)).build(3).architecture()
    assert other != Network(Loop(Dense(3), times=4)).build(3).architecture()


def test_adapters_are_put_in_inside_too():
    network = Network(Skip(Convolution(4, 3, padding=1), Dense(10), Dense(16), Convolution(2, 1), projection=Convolution(2, 1)))
    network.build((4, 4))
    assert network.predict(np.ones((3, 4, 4))).shape == (3, 2, 4, 4)
    assert len(network.architecture()[0]["layers"]) == 4
    flat = Network(Skip(Dense(5), projection=Dense(5))).build((2, 3))
    assert flat.predict(np.ones((1, 2, 3))).shape == (1, 5)


def test_inside_skips_columns_become_the_images_that_they_were():
    """As in a network: the last map with as many numbers, not a square of one channel."""
    layers = [["Convolution", 4, 3, 1, 2], ["Dense", 3], ["Dense", 64], ["Convolution", 2, 3, 1, 1]]
    chain = Network(*map(make, layers)).build((2, 8, 8))
    assert chain.shapes[-2:] == [(4, 4, 4), (2, 4, 4)]
    description = ["Skips", {"arrows": [[1, 2, ["Dense", 3]]]}, layers]
    block = Network(make(description), dtype=np.float64).build((2, 8, 8), seed=1)
    assert block.shapes[-1] == (2, 4, 4) and block.layers[0].parameter_shapes["convolution2.W"] == (2, 4, 3, 3)
    theirs = built(description, (2, 8, 8), kinds=THEIRS, parameters=parameters(block.layers[0]))
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 2))
    assert_allclose(block.forward(x), theirs.forward(x), rtol=1e-9, atol=1e-12)


def test_a_flatten_with_nothing_to_do_is_left_out_as_in_a_network():
    x = np.random.default_rng(0).normal(size=(2, 3))
    for with_, without in ((Skip(Dense(3), Flatten()), Skip(Dense(3))), (Skip(Dense(3), projection=Flatten()), Skip(Dense(3)))):
        found = []
        for block in (with_, without):
            network = Network(block, dtype=np.float64).build(3, seed=4)
            found.append((network.predict(x), network.forward(x.T).copy(), network.backward(np.ones((3, 2)), need_dx=True).copy(), network.gradients))
        for ours, theirs in zip(*found):
            assert_array_equal(ours, theirs)


class Keeper(Layer):
    """Adds up what it has seen while training: a layer with a buffer. Passes on the flag."""
    scale = 2.0

    def initialize(self, rng):
        self.buffers = {"seen": np.zeros(1)}

    def forward(self, x, training=False):
        self.training = training
        if training:
            self.buffers["seen"] += x.sum()
        return x * self.scale

    def backward(self, dy, need_dx=True):
        return dy * self.scale


def test_each_run_keeps_its_own_statistics():
    network = Network(Loop(Keeper(), times=3, how="overwrite"), dtype=np.float64).build(2)
    kept = dict(network.named_buffers())
    assert list(kept) == ["loop1.1.keeper1.seen", "loop1.2.keeper1.seen", "loop1.3.keeper1.seen"]
    network.forward(np.ones((2, 1)), training=True)
    network.forward(np.ones((2, 1)))
    assert [array.item() for array in kept.values()] == [2, 4, 8]
    twin = network.replica()
    twin.forward(np.ones((2, 1)), training=True)
    assert [array.item() for _, array in twin.named_buffers()] == [4, 8, 16]
    assert [array.item() for array in kept.values()] == [2, 4, 8]
    other = copy.deepcopy(network)
    other.forward(np.ones((2, 1)), training=True)
    assert [array.item() for _, array in other.named_buffers()] == [4, 8, 16]
    assert [array.item() for array in kept.values()] == [2, 4, 8]
    network.build(2)
    assert [array.item() for _, array in network.named_buffers()] == [0, 0, 0]


def test_statistics_are_refreshed_inside_blocks_and_without_dropout():
    """As in a chain of the same layers without dropout, in which nothing but the running statistics can differ."""
    def chain(*rates):
        drop = [[Dropout(rate) for rate in rates] for _ in range(2)]
        return Network(Dense(3), Skip(*drop[0], Dense(3), BatchNorm()), Loop(BatchNorm(), *drop[1], times=2), BatchNorm(), dtype=np.float64)

    x = np.random.default_rng(0).normal(size=(60, 3))
    with_, without = chain(0.5).build(3), chain().build(3)
    assert_array_equal(with_.parameters, without.parameters)
    draws = [array.copy() for name, array in with_.named_buffers() if name.endswith("draws")]
    for network in (with_, without):
        before = network.predict(x)
        refresh_statistics(network, x, batch_size=20)
        assert not np.allclose(network.predict(x), before)                   # in evaluation again, with what was measured
    statistics = [[array for name, array in network.named_buffers() if not name.endswith("draws")] for network in (with_, without)]
    assert len(statistics[0]) == len(statistics[1]) == 8
    for ours, theirs in zip(*statistics):
        assert_array_equal(ours, theirs)
    z = without.layers[0].forward(x.T)
    parts = [without.layers[1].runs[0][0].forward(z[:, k:k + 20]).var(axis=1, ddof=1) for k in (0, 20, 40)]
    assert_allclose(statistics[0][1][:, 0], np.mean(parts, axis=0), rtol=1e-9)
    assert_array_equal([array for name, array in with_.named_buffers() if name.endswith("draws")], draws)
    assert_array_equal(with_.predict(x), with_.predict(x))


def test_layers_that_hand_on_the_very_same_array():
    """In evaluation dropout returns what it gets, forward and backward: gradients must not meet in one array."""
    x, dy = np.ones((2, 3)), np.random.default_rng(0).normal(size=(2, 3))
    for block, factor in ((Loop(Dropout(0.5), times=3), 3), (Feedback(Dropout(0.5), times=3), 1 + 2 + 3),
                          (Feedback(Dropout(0.5), times=3, shared=False), 6), (Skip(Dropout(0.5)), 2),
                          (Skips(Dropout(0.5), Dropout(0.5), arrows=[(0, 1), (0, 2), (1, 2)]), 5),
                          (Feedback(Dropout(0.5), times=3, how_in="mean"), 3)):
        Network(block, dtype=np.float64).build(2)
        assert_allclose(block.forward(x), factor * x, rtol=1e-12)
        assert_allclose(block.backward(dy), factor * dy, rtol=1e-12)


def test_the_training_flag_reaches_every_layer():
    inside = [Keeper(), Keeper(), Keeper()]
    network = Network(Skip(Loop(inside[0], times=2), projection=inside[1]), Feedback(inside[2], times=2)).build(2)
    for flag in (True, False):
        network.forward(np.ones((2, 3)), training=flag)
        runs = [layer for part in (network.layers[0].runs[0][0], network.layers[1]) for run in part.runs for layer in run]
        assert [layer.training for layer in (*runs, inside[1])] == [flag] * 5


# Input of all kinds

EVERY = {"Skip": lambda: Skip(Dense(3), Tanh()), "Skips": lambda: Skips(Dense(3), Tanh(), arrows=[(0, 1), (0, 2), (1, 2, Dense(3))]),
         "Loop": lambda: Loop(Dense(3), Tanh(), times=2), "Feedback": lambda: Feedback(Dense(3), times=2, shared=False)}
every = pytest.mark.parametrize("kind", EVERY)


def ready(kind, dtype=np.float64):
    layer = EVERY[kind]()
    layer.build((3,))
    return layer.allocate(dtype), layer.initialize(np.random.default_rng(0))


@every
@both
def test_takes_integers_and_arrays_out_of_order_and_keeps_its_dtype(kind, dtype):
    layer, _ = ready(kind, dtype)
    x = np.arange(12).reshape(4, 3).T
    y = layer.forward(x).copy()
    assert y.dtype == dtype
    assert_array_equal(layer.forward(np.ascontiguousarray(x, np.float64)), y)
    dy = np.ones((4, 3)).T
    dx = layer.backward(dy)
    assert dx.dtype == dtype and dx.shape == (3, 4)
    assert all(getattr(layer, f"d{name}").dtype == dtype for name in layer.parameter_shapes)


@pytest.mark.parametrize("block", [lambda: Skip(Tanh()), lambda: Loop(Tanh(), times=2, how="subtract")])
def test_without_parameters_the_input_decides_the_dtype(block):
    """Integers become floats before they meet: differences of unsigned ones would wrap around."""
    layer = block()
    layer.build((3,))
    layer.allocate()
    x = np.arange(6, dtype=np.uint8).reshape(3, 2)
    y = layer.forward(x).copy()
    assert y.dtype == np.float64
    assert_array_equal(layer.forward(x.astype(float)), y)
    assert layer.forward(x.astype(np.float32)).dtype == layer.backward(np.ones((3, 2))).dtype == np.float32


class Asked(Dense):
    """A layer that notes whether it was asked for dx."""

    def backward(self, dy, need_dx=True):
        self.asked = need_dx
        return super().backward(dy, need_dx)


def test_without_dx_the_first_layers_compute_none():
    road, first, second = Asked(3), Asked(3), Asked(3)
    block = Skip(first, second, projection=road)
    Network(block, dtype=np.float64).build(3)
    block.forward(np.ones((3, 2)))
    for need_dx in (False, True):
        block.backward(np.ones((3, 2)), need_dx)
        assert [layer.asked for layer in (road, first, second)] == [need_dx, need_dx, True]


@every
def test_without_dx_the_parameters_gradients_are_the_same(kind):
    layer, _ = ready(kind)
    layer.forward(np.random.default_rng(0).normal(size=(3, 4)))
    layer.backward(np.ones((3, 4)))
    expected = gradients(layer)
    for name in layer.parameter_shapes:
        getattr(layer, f"d{name}")[...] = np.nan
    assert layer.backward(np.ones((3, 4)), need_dx=False) is None
    for name, slope in expected.items():
        assert_array_equal(getattr(layer, f"d{name}"), slope)


@every
def test_inputs_and_upstream_gradients_are_not_changed(kind):
    layer, _ = ready(kind)
    x, dy = np.random.default_rng(0).normal(size=(2, 3, 4))
    kept = x.copy(), dy.copy()
    layer.forward(x)
    layer.backward(dy)
    assert_array_equal((x, dy), kept)


@every
def test_what_does_not_fit_is_refused(kind):
    layer, _ = ready(kind)
    with pytest.raises(RuntimeError, match=f"{kind}: backward before forward"):
        layer.backward(np.ones((3, 1)))
    for shape in ((3, 0), (4, 2), (3,)):
        with pytest.raises(ShapeError, match=rf"{kind}: expected x shaped \(3, batch\), got"):
            layer.forward(np.ones(shape))
    layer.forward(np.ones((3, 2)))
    with pytest.raises(ShapeError, match=rf"{kind}: expected dy shaped \(3, 2\), got \(3, 1\)"):
        layer.backward(np.ones((3, 1)))
    with pytest.raises(ValueError, match=f"{kind}: expected at least one layer"):
        {"Skip": Skip, "Skips": lambda: Skips(arrows=[]), "Loop": lambda: Loop(times=1),
         "Feedback": lambda: Feedback(times=1)}[kind]()


def test_settings_that_make_no_sense_are_refused():
    for arrow in ((1, 1), (2, 1), (0, 3), (-1, 1), (0.0, 1)):
        with pytest.raises(ValueError):
            Skips(Dense(3), Tanh(), arrows=[arrow])
    for options in ({"times": 0}, {"times": 1.5}, {"times": 2, "gradient_scale": -1}, {"times": 2, "gradient_scale": np.nan}):
        with pytest.raises(ValueError):
            Loop(Dense(3), **options)
    with pytest.raises(TypeError, match="layer 0 should be a layer"):
        Skip(Dense)
    shared = Dense(3)
    with pytest.raises(ValueError, match="already in this network"):
        Skip(shared, projection=shared)
    with pytest.raises(ValueError, match="belongs to another network"):
        Network(Skip(shared := Dense(3)), shared)


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ShapeError, match=r"Skip: to add, expected shapes that are equal, got \(4,\) and \(3,\)"):
        Skip(Dense(4)).build((3,))
    with pytest.raises(ShapeError, match=r"Skip: to concatenate, .* but for the first axis, got \(2, 2, 2\) and \(1, 4, 4\)"):
        Skip(Convolution(2, 3), how="concatenate").build((1, 4, 4))
    with pytest.raises(ShapeError, match=r"Loop: to add, .*got \(3,\) and \(4,\)"):
        Loop(Dense(4), times=2).build((3,))
    with pytest.raises(ShapeError, match=r"Loop: with shared parameters, expected samples shaped \(3,\) .*, got \(4,\)"):
        Loop(Dense(4), times=2, how="overwrite").build((3,))
    assert Feedback(Dense(4), times=2, shared=False, how_in="overwrite").build((3,)) == (4,)
    assert Loop(Dense(4), times=1).build((3,)) == (4,)


# Witness 4: a task

@pytest.fixture(scope="module")
def digits():
    (images, labels), (test, test_labels) = load_mnist()
    return (scale_pixels(images[:4000]), labels[:4000]), (scale_pixels(test[:2000]), test_labels[:2000])


def quiet(shape, rng):
    return 0.1 * he_normal(shape, rng)


def deep(kind, seed=0):
    """24 layers of 16 neurons, with weights for all of them."""
    def step():
        return [ReLU(), Dense(16, init=quiet)]

    hidden = {"plain": lambda: [layer for _ in range(24) for layer in (ReLU(), Dense(16))],
              "skip": lambda: [Skip(*step()) for _ in range(24)],
              "loop": lambda: [Skip(Loop(ReLU(), Dense(16), *step(), times=3)) for _ in range(12)],
              "feedback": lambda: [Feedback(Skip(*step()), times=4, shared=False, how_in="mean", how_out="mean")
                                   for _ in range(6)]}[kind]
    return Network(Dense(16), *hidden(), ReLU(), Dense(10)).build((28, 28), seed)


@pytest.mark.parametrize("kind", ["skip", "loop", "feedback"])
def test_deep_networks_learn_digits_and_every_layer_moves(kind, digits):
    network = deep(kind)
    start = {name: view.copy() for name, view in network.named_parameters()}
    fit(network, *digits[0], optimizer=Adam(0.003), epochs=2, batch_size=32, progress=False)
    assert evaluate(network, *digits[1])["accuracy"] > 0.78       # the plain one has about 0.4
    for name, view in network.named_parameters():
        assert np.abs(view - start[name]).max() > 0.005, name


def test_what_is_inside_learns(digits):
    """With the first layer held still, loops that learn must do better than loops that do not."""
    images, labels = digits[0]
    found = []
    for still in (("dense1",), ("dense1", "skip")):
        hidden = [Skip(Loop(ReLU(), Dense(16, init=quiet), times=3)) for _ in range(4)]
        network, loss, rng = Network(Dense(16), *hidden, ReLU(), Dense(10)).build((28, 28)), SoftmaxCrossEntropy(), np.random.default_rng(0)
        adam = Adam(0.005)
        for _ in range(400):
            chosen = rng.integers(0, 4000, 32)
            loss.forward(network.forward(batch_last(images[chosen]), training=True), labels[chosen])
            network.backward(loss.backward())
            for name, view in named_views(network.layers, network.gradients):
                if name.startswith(still):
                    view[...] = 0
            adam.step(network.parameters, network.gradients)
        found.append(evaluate(network, *digits[1])["accuracy"])
    assert found[0] > found[1] + 0.05


def test_the_road_around_carries_the_gradient():
    """At the start, how large a gradient the plain network's first layer gets is left to chance."""
    found = {}
    for kind in ("plain", "skip"):
        lengths = []
        for seed in range(6):
            network, rng = deep(kind, seed), np.random.default_rng(seed)
            network.forward(batch_last(rng.random((64, 28, 28), np.float32)))
            network.backward(rng.normal(size=(10, 64)).astype(np.float32))
            lengths.append(np.linalg.norm(network.gradients[:784 * 16]))
        found[kind] = np.array(lengths)
    assert found["skip"].max() < 3 * found["skip"].min()
    assert found["plain"].max() > 5 * found["plain"].min()
