"""Regularization against the reference, finite differences, PyTorch, and digits."""

import copy
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal

import reference.optimizers
import reference.regularization
from nnlib import regularization
from nnlib.activations import ReLU
from nnlib.convolution import Convolution
from nnlib.data import load_mnist, scale_pixels
from nnlib.dense import Dense, ShapeError
from nnlib.gradcheck import check_layer, check_loss, check_network
from nnlib.losses import SoftmaxCrossEntropy, softmax_cross_entropy
from nnlib.network import Network
from nnlib.optimizers import SGD, Adam, Cosine
from nnlib.pooling import MaxPool
from nnlib.regularization import Averaged, BatchNorm, Dropout, SmoothedCrossEntropy
from nnlib.training import MinibatchGradient, evaluate, fit

FOLDER = Path(__file__).parent / "torch_frozen"
FROZEN = json.loads((FOLDER / "regularization.json").read_text(encoding="utf-8"))["cases"]
DTYPES = [np.float32, np.float64]
MODULES = [regularization, reference.regularization]
both = pytest.mark.parametrize("dtype", DTYPES)
modes = pytest.mark.parametrize("training", [False, True])
seeds = st.integers(0, 2**32 - 1)
shapes = st.one_of(st.tuples(st.integers(1, 5), st.integers(2, 9)),
                   st.tuples(st.integers(1, 4), st.integers(1, 5), st.integers(2, 5), st.integers(1, 4)))


def ready(layer, shape, dtype=np.float64, rng=None):
    """Built for samples of this shape, initialized; with `rng`, every number that it keeps is random."""
    layer.build(shape)
    layer.allocate(dtype)
    layer.initialize(np.random.default_rng(7))
    if rng:
        for name, size in layer.parameter_shapes.items():
            getattr(layer, name)[...] = rng.normal(size=size)
        for name, array in layer.buffers.items():
            array[...] = rng.uniform(0.5, 2.0, array.shape) if name != "draws" else array
    return layer


class Always:
    """A layer held in one mode, whatever mode it is called in: a gradient check calls forward without one."""

    def __init__(self, layer, training, repeat=False):
        self.layer, self.training, self.repeat = layer, training, repeat
        self.buffers = copy.deepcopy(layer.buffers)

    def __getattr__(self, name):
        return getattr(self.layer, name)

    def forward(self, x):
        if self.repeat:                    # the same random numbers every time
            self.layer.buffers = copy.deepcopy(self.buffers)
        return self.layer.forward(x, self.training)


# Witness 1: the reference

@settings(max_examples=60, deadline=None)
@given(shape=shapes, seed=seeds, training=st.booleans(), momentum=st.floats(0, 1))
def test_batch_norm_agrees_with_the_reference(shape, seed, training, momentum):
    rng = np.random.default_rng(seed)
    start = rng.uniform(0.5, 2.0, (4, shape[0], 1))
    ours, theirs = BatchNorm(momentum, 1e-3), reference.regularization.BatchNorm(momentum, 1e-3)
    for layer in (ours, theirs):
        assert layer.build(shape[:-1]) == shape[:-1]
        layer.allocate()
    ours.allocate(np.float64)
    for layer in (ours, theirs):
        layer.initialize(None)
        assert_array_equal(layer.gamma, np.ones((shape[0], 1)))
        layer.gamma[...], layer.beta[...], layer.buffers["mean"][...], layer.buffers["var"][...] = start
    for _ in range(2):
        x, dy = rng.normal(size=(2, *shape))
        assert_allclose(ours.forward(x, training), theirs.forward(x, training), rtol=1e-9, atol=1e-12)
        assert_allclose(ours.backward(dy), theirs.backward(dy), rtol=1e-9, atol=1e-11)
        for name in ("dgamma", "dbeta"):
            assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-9, atol=1e-12)
        for name in ("mean", "var"):
            assert_allclose(ours.buffers[name], theirs.buffers[name], rtol=1e-9, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(shape=shapes, seed=seeds, training=st.booleans())
def test_norm_functions_agree_with_the_reference(shape, seed, training):
    rng = np.random.default_rng(seed)
    x, dy = rng.normal(size=(2, *shape))
    gamma, beta, mean, var = rng.uniform(0.5, 2.0, (4, shape[0], 1))
    found = []
    for module in MODULES:
        statistics = module.batch_statistics(x)
        running = mean.copy(), var.copy()
        module.update_running(*running, *statistics, x[0].size, 0.3)
        found.append([*statistics, *running, module.batch_norm(x, gamma, beta, mean, var, 0.01),
                      *module.batch_norm_backward(dy, x, gamma, mean, var, 0.01, training)])
    for ours, theirs in zip(*found):
        assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


@settings(max_examples=40, deadline=None)
@given(seed=seeds, classes=st.integers(2, 6), batch=st.integers(1, 5), smoothing=st.floats(0, 0.99))
def test_smoothing_agrees_with_the_reference(seed, classes, batch, smoothing):
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(classes, batch)) * 5
    for y in (rng.integers(0, classes, batch), rng.dirichlet(np.ones(classes), batch).T):
        ours, theirs = (module.SmoothedCrossEntropy(smoothing) for module in MODULES)
        value = theirs.forward(z, y)
        assert_allclose(ours.forward(z, y), value, rtol=1e-9, atol=1e-12)
        assert_allclose(regularization.smoothed_cross_entropy(z, y, smoothing), value, rtol=1e-9, atol=1e-12)
        dz = theirs.backward()
        assert_allclose(ours.backward(), dz, rtol=1e-9, atol=1e-12)
        assert_allclose(regularization.smoothed_cross_entropy_backward(z, y, smoothing), dz, rtol=1e-9, atol=1e-12)
        assert_allclose(ours.backward(batch + 3), theirs.backward(batch + 3), rtol=1e-9, atol=1e-12)
    q, expected = (module.smooth_targets(y, smoothing) for module in MODULES)
    assert_allclose(q, expected, rtol=1e-9)


@settings(max_examples=40, deadline=None)
@given(shape=shapes, seed=seeds, rate=st.floats(0, 0.99))
def test_dropout_agrees_with_the_reference(shape, seed, rate):
    rng = np.random.default_rng(seed)
    u, x, dy = rng.random((3, *shape))
    found = []
    for module in MODULES:
        mask = module.dropout_mask(u, rate)
        found.append([mask, module.dropout(x, mask), module.dropout_backward(dy, mask)])
    for ours, theirs in zip(*found):
        assert_allclose(ours, theirs, rtol=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, decay=st.floats(0, 0.999), kind=st.sampled_from(["SGD", "Adam"]), momentum=st.sampled_from([0, 0.9]))
def test_averages_agree_with_the_reference(seed, decay, kind, momentum):
    rng, options = np.random.default_rng(seed), {"momentum": momentum} if kind == "SGD" else {}
    start = rng.normal(size=6)
    ours = Averaged({"SGD": SGD, "Adam": Adam}[kind](0.1, **options), decay)
    theirs = reference.regularization.Averaged(getattr(reference.optimizers, kind)(0.1, **options), decay)
    for step in range(4):
        w, v = start.copy(), start.copy()
        g = rng.normal(size=6)
        ours.step(w, g.copy())
        theirs.step(v, g.copy())
        assert_allclose(w, v, rtol=1e-9)
        assert sorted(ours.state) == sorted(theirs.state)
        for name, vector in theirs.state.items():
            assert_allclose(ours.state[name], vector, rtol=1e-9, atol=1e-15)
        assert ours.steps == theirs.steps == step + 1 and ours.rate == theirs.rate
        start = w
    for steps in (1, 5, 10**6):
        assert regularization.averaging_decay(steps, decay) == pytest.approx(
            reference.regularization.averaging_decay(steps, decay), rel=1e-12)


def test_decay_weights_agrees_with_the_reference():
    network = Network(Convolution(2, 3), BatchNorm(), ReLU(), Dense(3, bias=False), BatchNorm(), Dense(2)).build((1, 5, 5))
    ours, theirs = (module.decay_weights(network, 0.25) for module in MODULES)
    assert_array_equal(ours, theirs)
    assert ours.dtype == network.dtype
    for name, view in network.named_parameters():
        expected = 0.25 if name.rsplit(".")[-1] == "W" else 0
        place = np.flatnonzero(np.isin(network.parameters, view)) if name.endswith("W") else []
        assert (ours[place] == expected).all()
    assert ours.sum() == 0.25 * (2 * 9 + 3 * 18 + 2 * 3)


# Witness 2: finite differences, every element, a random cotangent, in both modes

@modes
@pytest.mark.parametrize("shape, batch", [((3,), 5), ((4,), 2), ((2, 3, 4), 3), ((3, 2, 2), 1)])
def test_batch_norm_gradient_is_the_slope(shape, batch, training):
    rng = np.random.default_rng(3)
    layer = ready(BatchNorm(eps=0.01), shape, rng=rng)
    errors = check_layer(Always(layer, training), rng.normal(size=(*shape, batch)), rng)
    assert set(errors) == {"dx", "dgamma", "dbeta"}


@modes
@pytest.mark.parametrize("shape", [(4,), (2, 3, 3)])
def test_dropout_gradient_is_the_slope(shape, training):
    rng = np.random.default_rng(4)
    layer = ready(Dropout(0.4), shape)
    x = rng.normal(size=(*shape, 3))
    check_layer(Always(layer, training, repeat=True), x, rng)
    if training:
        assert 0 < (layer.mask == 0).mean() < 1


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.7])
def test_smoothed_gradient_is_the_slope(smoothing):
    rng = np.random.default_rng(5)
    z = rng.normal(size=(5, 4))
    for y in (rng.integers(0, 5, 4), rng.dirichlet(np.ones(5), 4).T):
        check_loss(SmoothedCrossEntropy(smoothing), z, y)


class Training(Network):
    """A network that is checked as it is while it learns, with the same masks in every pass."""

    def forward(self, x, training=False):
        for (_, array), kept in zip(self.named_buffers(), self.kept):
            array[...] = kept
        return super().forward(x, training=True)


@pytest.mark.parametrize("bias", [False, True])
def test_gradient_through_a_network_while_it_learns(bias):
    """Convolution, batch norm, dropout and a smoothed loss, every element of the gradient.

    A bias in front of batch norm is subtracted again with the mean: its gradient is exactly 0. What remains of it is
    rounding, some 1e-17, and an error relative to that says nothing. `compare_gradients` measures an array's errors
    against its root mean square, and the parameters are one array with the others; so these few elements need no
    tolerance of their own, but are compared with zero besides.
    """
    rng = np.random.default_rng(6)
    network = Training(Convolution(2, 3, bias=bias), BatchNorm(), ReLU(), MaxPool(2), Dense(6, bias=bias), BatchNorm(),
                       ReLU(), Dropout(0.3), Dense(3), dtype=np.float64).build((1, 6, 6), seed=2)
    network.kept = [array.copy() for _, array in network.named_buffers()]
    network.parameters += 0.1 * rng.normal(size=network.parameters.size)
    check_network(network, rng.normal(size=(1, 6, 6, 5)), np.array([0, 2, 1, 1, 0]), SmoothedCrossEntropy())
    if bias:
        for layer in (network.layers[0], next(layer for layer in network.layers if isinstance(layer, Dense))):
            assert np.abs(layer.db).max() < 1e-14 < 1e-3 < np.abs(layer.dW).max()


# Witness 3: PyTorch

def by_nnlib(kind, options, arrays, expected, dtype):
    """What PyTorch was asked for, from our library."""
    if kind == "norm":
        return norm_by_nnlib(options, dtype, **arrays)
    if kind == "loss":
        loss, z = SmoothedCrossEntropy(**options), arrays["z"].astype(dtype)
        return {"value": loss.forward(z, arrays["y"]), "dz": loss.backward()}
    if kind == "dropout":
        mask = regularization.dropout_mask(expected["kept"].astype(dtype) * 0.9999, options["rate"])
        return {"kept": expected["kept"], "y": regularization.dropout(arrays["x"].astype(dtype), mask),
                "dx": regularization.dropout_backward(arrays["dy"].astype(dtype), mask)}
    return steps_by_nnlib(options, dtype, **arrays)


def norm_by_nnlib(options, dtype, x, dy, gamma, beta):
    layer = ready(BatchNorm(**options), x.shape[1:-1], dtype)
    layer.gamma[:, 0], layer.beta[:, 0] = gamma, beta
    found = {name: [] for name in ("y", "dx", "dgamma", "dbeta", "mean", "var")}
    for i in range(4):
        y = layer.forward(x[min(i, 2)].astype(dtype), training=i < 3).copy()
        dx = layer.backward(dy[i].astype(dtype)).copy()
        numbers = (y, dx, *(a[:, 0].copy() for a in (layer.dgamma, layer.dbeta, *layer.buffers.values())))
        for name, array in zip(found, numbers):
            assert array.dtype == dtype
            found[name].append(array)
    return {name: np.array(values) for name, values in found.items()}


def steps_by_nnlib(options, dtype, x, y, **parameters):
    network = Network(Dense(4, bias=False), BatchNorm(), ReLU(), Dense(2), dtype=dtype).build(3)
    mine = dict(zip(parameters, (view for _, view in network.named_parameters())))
    for name, view in mine.items():
        view[...] = parameters[name].reshape(view.shape)
    optimizer = Averaged(SGD(0.2, momentum=0.9, nesterov=True,
                             weight_decay=regularization.decay_weights(network, 0.3)), **options)
    loss = SoftmaxCrossEntropy()
    for batch, labels in zip(x, y):
        loss.forward(network.forward(batch.astype(dtype), training=True), labels)
        network.backward(loss.backward())
        optimizer.step(network.parameters, network.gradients)
    found = {name: view.copy() for name, view in mine.items()}
    found |= {name: array.copy() for name, array in network.layers[1].buffers.items()}
    optimizer.put_into(network)
    return found | {f"average {name}": view.copy() for name, view in mine.items()}


def compare_with_torch(kind, options, arrays, expected):
    for dtype in DTYPES:
        tolerance = 1e-9 if dtype == np.float64 else 1e-5
        found = by_nnlib(kind, options, arrays, expected, dtype)
        assert sorted(found) == sorted(expected)
        scale = np.abs(arrays["x"]).max() if kind == "norm" else 1.0     # float32's x is off by eps times its size
        for name, array in found.items():
            assert_allclose(np.reshape(array, np.shape(expected[name])), expected[name], rtol=tolerance,
                            atol=tolerance * scale, err_msg=name)


def generator():
    """The module that froze PyTorch's numbers."""
    spec = importlib.util.spec_from_file_location("generate_regularization", FOLDER / "generate_regularization.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def as_arrays(named):
    return {name: np.array(values) for name, values in named.items()}


@pytest.mark.parametrize("case", FROZEN)
def test_agrees_with_frozen_torch(case):
    frozen = FROZEN[case]
    compare_with_torch(frozen["kind"], frozen["settings"], as_arrays(frozen["arrays"]), as_arrays(frozen["expected"]))


if importlib.util.find_spec("torch"):

    @pytest.mark.parametrize("case", FROZEN)
    def test_agrees_with_live_torch(case):
        torch_cases = generator()
        kind, options, arrays = torch_cases.inputs()[case]
        compare_with_torch(kind, options, arrays, torch_cases.by_torch(kind, options, arrays))


# Witness 4: digits

@pytest.fixture(scope="module")
def digits():
    (images, labels), (test, test_labels) = load_mnist()
    return scale_pixels(images[:4000]), labels[:4000], scale_pixels(test[:4000]), test_labels[:4000]


class Frozen(Convolution):
    """Filters whose gradient is zeroed: everything else learns."""

    def backward(self, dz, need_dx=True):
        dx = super().backward(dz, need_dx)
        self.dW[...] = self.db[...] = 0
        return dx


def small(convolution=Convolution):
    return Network(convolution(8, 5), ReLU(), MaxPool(2), convolution(16, 3), ReLU(), MaxPool(2), Dense(10))


def train_small(digits, convolution, seed):
    """Test accuracy after three epochs, and how far each parameter moved relative to where it began."""
    images, labels, *test = digits
    network = small(convolution).build((28, 28), seed)
    start = {name: view.copy() for name, view in network.named_parameters()}
    rate = Cosine(0.05, 3 * 63, warmup=10)
    fit(network, images, labels, optimizer=SGD(rate, momentum=0.9), epochs=3, seed=seed, progress=False)
    moved = {name: np.linalg.norm(view - start[name]) / max(np.linalg.norm(start[name]), 1e-9)
             for name, view in network.named_parameters()}
    return evaluate(network, *test)["accuracy"], moved


def test_filters_really_learn(digits):
    found = {kind: [train_small(digits, kind, seed) for seed in range(2)] for kind in (Convolution, Frozen)}
    learned, fixed = (np.mean([accuracy for accuracy, _ in runs]) for runs in found.values())
    assert learned > 0.91                                  # 0.94 here
    assert fixed < learned - 0.02                          # a head on random filters
    for _, moved in found[Convolution]:
        assert moved["convolution1.W"] > 0.1 and moved["convolution2.W"] > 0.1
    for (_, moved), name in zip(found[Frozen], moved):
        assert moved["frozen1.W"] == moved["frozen2.W"] == 0 < moved["dense1.W"]


def all_of_it():
    return Network(Convolution(4, 5, stride=2, bias=False), BatchNorm(), ReLU(), Dropout(0.2), Dense(10))


def test_everything_together_learns_and_every_part_moves(digits):
    images, labels, *test = digits
    network = all_of_it().build((28, 28), 1)
    start = {name: view.copy() for name, view in network.named_parameters()}
    optimizer = Averaged(SGD(0.05, momentum=0.9, weight_decay=regularization.decay_weights(network, 1e-3)), 0.95)
    fit(network, images, labels, optimizer=optimizer, loss=SmoothedCrossEntropy(), epochs=3, progress=False)
    for name, view in network.named_parameters():
        assert np.abs(view - start[name]).max() > 1e-3, name
    raw = evaluate(network, *test)["accuracy"]
    optimizer.put_into(network)
    regularization.refresh_statistics(network, images)
    assert raw > 0.88 and evaluate(network, *test)["accuracy"] > 0.9      # 0.93 and 0.94 here


def study(digits, norm=False, loss=None, rate=0.05, momentum=0.9, decay=0.0, epochs=8):
    """A small network after some epochs on a thousand digits, or before the step that diverged."""
    norms = [BatchNorm(), BatchNorm()] if norm else [ReLU(), ReLU()]         # ReLU twice is ReLU
    network = Network(Convolution(4, 5, stride=2), norms[0], ReLU(), Dense(32), norms[1], ReLU(), Dense(10)).build((28, 28), 1)
    optimizer = SGD(rate, momentum=momentum, weight_decay=regularization.decay_weights(network, decay))
    with np.errstate(all="ignore"):
        try:
            fit(network, digits[0][:1000], digits[1][:1000], optimizer=optimizer, loss=loss, epochs=epochs, progress=False)
        except FloatingPointError:
            pass
    return network


# What the chapter shows of each means. Floors and ceilings are wide of three seeds' figures, which stand beside them.

def test_decay_shortens_weights(digits):
    plain, decayed = (dict(study(digits, decay=decay).named_parameters()) for decay in (0.0, 0.01))
    for name in plain:
        if name.endswith("W"):                                     # 0.63 to 0.80
            assert np.linalg.norm(decayed[name]) < 0.9 * np.linalg.norm(plain[name]), name


def test_smoothing_gives_the_logits_a_place_to_rest(digits):
    gaps = []
    for loss in (SoftmaxCrossEntropy(), SmoothedCrossEntropy(0.1)):
        z = study(digits, loss=loss).predict(digits[2])
        right = z[np.arange(len(z)), digits[3]]
        gaps.append(np.median(right - (z.sum(axis=1) - right) / 9))
    assert gaps[0] > 7 and abs(gaps[1] - np.log(91)) < 1           # 10 to 13; 4.1 to 4.3


def test_batch_norm_forgives_the_learning_rate(digits):
    scores = [evaluate(study(digits, norm, rate=3.0, momentum=0, epochs=4), *digits[2:])["accuracy"] for norm in (False, True)]
    assert scores[0] < 0.3 and scores[1] > 0.6                     # 0.10; 0.76 to 0.85


def test_running_statistics_do_not_look_at_the_neighbours(digits):
    network, (x, y) = study(digits, norm=True), digits[2:]
    scores = {}
    for training in (False, True):
        for name, order in (("mixed", np.arange(len(y))), ("sorted", np.argsort(y, kind="stable"))):
            read = [network.forward(np.moveaxis(x[part], 0, -1), training).argmax(axis=0) == y[part] for part in np.split(order, 40)]
            scores[training, name] = np.mean(read)
    assert scores[False, "sorted"] == pytest.approx(scores[False, "mixed"], abs=0.001) and scores[False, "mixed"] > 0.8    # 0.86 to 0.89
    assert scores[True, "mixed"] > 0.8 and scores[True, "sorted"] < 0.4      # 0.86 to 0.88; 0.18


def test_the_average_is_ahead_of_the_walker(digits):
    gains = []
    for seed in range(2):
        network, optimizer = small().build((28, 28), seed), Averaged(SGD(0.05, momentum=0.9))
        fit(network, *digits[:2], optimizer=optimizer, epochs=2, seed=seed, progress=False)
        walker = evaluate(network, *digits[2:])
        optimizer.put_into(network)
        average = evaluate(network, *digits[2:])
        gains.append([walker["loss"] - average["loss"], average["accuracy"] - walker["accuracy"]])
    assert (np.mean(gains, axis=0) > [0.008, 0.003]).all()         # 0.02 and 0.01


@pytest.mark.parametrize("threads, count", [(1, 300), (2, 300), (2, 129)])     # 129: the last minibatch is one sample, one thread sits it out
def test_resumed_training_gives_the_same_bits(digits, tmp_path, threads, count):
    images, labels = digits[0][:count], digits[1][:count]

    def attempt(epochs, **options):
        network = all_of_it().build((28, 28), 3)
        optimizer = Averaged(Adam(0.002), 0.9)
        fit(network, images, labels, optimizer=optimizer, loss=SmoothedCrossEntropy(), epochs=epochs, seed=3,
            threads=threads, progress=False, **options)
        return [network.parameters.copy(), optimizer.average.copy()] + [b.copy() for _, b in network.named_buffers()]

    whole = attempt(3)
    attempt(2, checkpoint=tmp_path)
    resumed = attempt(3, checkpoint=tmp_path, resume=True)
    for ours, theirs in zip(attempt(3), whole):
        assert_array_equal(ours, theirs)
    for ours, theirs in zip(resumed, whole):
        assert_array_equal(ours, theirs)


# Dropout

def test_dropout_keeps_the_mean_and_its_share():
    layer = ready(Dropout(0.3), (50,))
    x = np.random.default_rng(0).normal(size=(50, 40)) + 3
    ys = np.array([layer.forward(x, training=True).copy() for _ in range(400)])
    assert_allclose(ys.mean(axis=0), x, rtol=0.2)                  # 400 draws: a standard error of 3.3 %
    assert (ys == 0).mean() == pytest.approx(0.3, abs=0.005)
    kept = ys != 0
    assert_allclose(ys[kept], (np.broadcast_to(x, ys.shape) / 0.7)[kept], rtol=1e-12)
    assert_array_equal(layer.forward(x), x)
    assert_array_equal(layer.backward(x), x)


def masks(layer, calls, shape=(20, 30)):
    return [(layer.forward(np.ones(shape, np.float32), training=True) != 0) for _ in range(calls)]


def test_masks_depend_on_seed_call_and_replica_and_on_nothing_else():
    first, second = (ready(Dropout(0.5, seed=9), (20,)) for _ in range(2))
    a, b = masks(first, 3), masks(second, 3)
    assert_array_equal(a, b)
    assert len({mask.tobytes() for mask in a}) == 3
    other = masks(ready(Dropout(0.5, seed=10), (20,)), 1)[0]
    assert (other != a[0]).mean() > 0.3
    first.forward(np.ones((20, 5)))                                # evaluation draws nothing
    again = ready(Dropout(0.5, seed=1), (20,))
    again.buffers["draws"][...] = first.buffers["draws"]           # what a checkpoint has is enough
    assert_array_equal(masks(again, 2), masks(first, 2))
    wide = ready(Dropout(0.5, seed=9), (20,))                      # and both dtypes drop the same numbers
    assert_array_equal(wide.forward(np.ones((20, 30)), training=True) != 0, a[0])


def test_replicas_have_masks_of_their_own_and_the_same_ones_next_time():
    layer = ready(Dropout(0.5, seed=9), (20,))
    runs = []
    for _ in range(2):
        layer.initialize(None)
        twins = [layer.replica() for _ in range(2)]
        inner = twins[0].replica()
        assert all(twin.buffers["draws"] is not layer.buffers["draws"] for twin in twins)
        runs.append([masks(each, 2) for each in (layer, *twins, inner)])
    assert_array_equal(*runs)
    assert len({mask.tobytes() for run in runs[0] for mask in run}) == 8


def test_the_networks_seed_decides_the_masks_and_dropout_no_weights():
    with_, without = (Network(Dense(5), *layers, Dense(3)).build(4, seed=8) for layers in ([Dropout(0.5)], []))
    assert_array_equal(with_.parameters, without.parameters)
    seeds = [Network(Dropout(0.5), Dropout(0.5), Dense(2)).build(4, seed).named_buffers() for seed in (0, 0, 1)]
    numbers = [[array[0] for _, array in pairs] for pairs in seeds]
    assert numbers[0] == numbers[1] and len({*numbers[0], *numbers[2]}) == 4


def test_dropout_of_nothing_changes_nothing():
    x = np.random.default_rng(0).normal(size=(4, 3))
    assert_array_equal(ready(Dropout(0), (4,)).forward(x, training=True), x)


# Batch normalization

@both
@pytest.mark.parametrize("shape", [(6, 40), (3, 5, 6, 8)])
def test_channels_come_out_with_the_mean_and_deviation_they_ask_for(shape, dtype):
    rng = np.random.default_rng(0)
    layer = ready(BatchNorm(), shape[:-1], dtype)
    layer.gamma[...] = rng.uniform(1, 2, layer.gamma.shape)
    layer.beta[...] = rng.normal(size=layer.gamma.shape)
    y = layer.forward((5 + 3 * rng.normal(size=shape)).astype(dtype), training=True)
    assert y.dtype == dtype
    flat = y.astype(np.float64).reshape(shape[0], -1)
    assert_allclose(flat.mean(axis=1), layer.beta[:, 0], atol=1e-5)
    assert_allclose(flat.std(axis=1), layer.gamma[:, 0], rtol=1e-4)         # eps makes them a little smaller


@pytest.mark.parametrize("offset", [0.0, 100.0, 1e4])
def test_single_precision_far_from_zero(offset):
    """The mean of x is no enemy: 28 * 28 * 128 numbers, of which float32 itself only has offset * 6e-8."""
    rng = np.random.default_rng(1)
    x = (offset + rng.normal(size=(2, 28, 28, 128))).astype(np.float32)
    dy = rng.normal(size=x.shape).astype(np.float32)
    narrow, wide = (ready(BatchNorm(), x.shape[:3], dtype) for dtype in DTYPES)
    y, expected = narrow.forward(x, training=True), wide.forward(x.astype(np.float64), training=True)
    tolerance = 2e-6 + 2e-7 * offset
    assert_allclose(y, expected, atol=tolerance * 3)
    assert_allclose(narrow.buffers["var"], wide.buffers["var"], rtol=1e-5)
    assert_allclose(narrow.backward(dy), wide.backward(dy.astype(np.float64)), atol=tolerance)


@both
def test_sums_are_those_of_math_fsum(dtype):
    import math

    x = np.random.default_rng(2).normal(size=(3, 7, 5, 64)).astype(dtype) + dtype(10)
    rows = regularization.as_rows(x)
    sums, squares = regularization.channel_sums(rows), regularization.channel_products(rows, rows)
    assert sums.dtype == squares.dtype == np.float64
    tolerance = 1e-12 if dtype == np.float64 else 1e-6
    assert_allclose(sums[:, 0], [math.fsum(c.ravel().tolist()) for c in x], rtol=tolerance)
    assert_allclose(squares[:, 0], [math.fsum(v * v for v in c.ravel().tolist()) for c in x], rtol=tolerance)


def test_running_statistics_forget():
    layer = ready(BatchNorm(momentum=0.5), (1,))
    layer.forward(np.array([[1.0, 3.0]]), training=True)           # mean 2, unbiased variance 2
    assert_allclose([layer.buffers["mean"][0, 0], layer.buffers["var"][0, 0]], [1.0, 1.5])
    layer.forward(np.array([[1.0, 3.0]]))                          # evaluation does not touch them
    assert_allclose(layer.buffers["mean"][0, 0], 1.0)
    assert_allclose(layer.forward(np.array([[1.0]])), [[0.0]], atol=1e-12)


def test_weights_in_front_of_batch_norm_have_no_length():
    rng = np.random.default_rng(3)
    network = Network(Dense(5), BatchNorm(eps=1e-12), dtype=np.float64).build(4)
    x = rng.normal(size=(4, 6))
    y = network.forward(x, training=True).copy()
    network.layers[0].W *= 7
    network.layers[0].b += 3
    assert_allclose(network.forward(x, training=True), y, rtol=1e-9)


def test_a_constant_channel_is_no_division_by_zero():
    layer = ready(BatchNorm(), (2,))
    x = np.array([[5.0, 5.0, 5.0], [1.0, 2.0, 3.0]])
    y = layer.forward(x, training=True)
    assert_array_equal(y[0], [0, 0, 0])
    assert np.isfinite(layer.backward(np.ones_like(x))).all()


def test_thread_zero_keeps_the_running_statistics():
    network = Network(Dense(3), BatchNorm(), Dense(2)).build(4)
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(8, 4)).astype(np.float32), np.arange(8) % 2
    with MinibatchGradient(network, SoftmaxCrossEntropy(), x, labels, threads=2) as gradient:
        gradient(np.arange(8), 8)
        twin = gradient.replicas[1].layers[1]
    alone = Network(Dense(3), BatchNorm(), Dense(2)).build(4)
    alone.forward(x[:4].T, training=True)
    for (_, ours), (_, theirs) in zip(network.named_buffers(), alone.named_buffers()):
        assert_allclose(ours, theirs, rtol=1e-5)
    assert not np.allclose(twin.buffers["mean"], network.layers[1].buffers["mean"])


def test_names_and_architecture():
    network = Network(Convolution(2, 3), BatchNorm(0.2), Dropout(0.5), Dense(2), BatchNorm()).build((1, 4, 4))
    assert [name for name, _ in network.named_buffers()] == [
        "batchnorm1.mean", "batchnorm1.var", "dropout1.draws", "batchnorm2.mean", "batchnorm2.var"]
    before = network.architecture()
    network.forward(np.ones((1, 4, 4, 3)), training=True)
    assert network.architecture() == before
    assert before[1:] == json.loads(json.dumps(before[1:]))
    assert before[1] == {"layer": "BatchNorm", "momentum": 0.2, "eps": 1e-5, "parameters": {"gamma": [2, 1], "beta": [2, 1]}}
    assert before[2] == {"layer": "Dropout", "rate": 0.5, "parameters": {}}


# Averages, statistics

def test_average_of_a_walk():
    """Weights 0, 1, 2, ...: the average by the formula, step by step."""
    averaged, w = Averaged(SGD(1.0), decay=0.5), np.zeros(2)
    expected = 0.0
    for t in range(1, 20):
        averaged.step(w, -np.ones(2))
        keep = min(0.5, (1 + t) / (10 + t))
        expected = keep * expected + (1 - keep) * t
        assert_allclose(averaged.average, [expected] * 2, rtol=1e-12)
    assert averaged.rate == 1.0 and averaged.steps == 19
    assert repr(averaged) == "Averaged(SGD(learning_rate=1.0), decay=0.5)"


def test_an_average_can_be_restored_and_put():
    rng = np.random.default_rng(0)
    for make in (lambda: SGD(0.1), lambda: Adam(0.1)):
        one, w = Averaged(make(), 0.9), rng.normal(size=5)
        gradients = rng.normal(size=(6, 5))
        for g in gradients[:3]:
            one.step(w, g.copy())
        two, v = Averaged(make(), 0.9), w.copy()
        two.restore(one.state, one.steps)
        assert not np.shares_memory(two.average, one.average)
        for g in gradients[3:]:
            one.step(w, g.copy())
            two.step(v, g.copy())
        assert_array_equal(v, w)
        assert_array_equal(one.average, two.average)
    network = Network(Dense(1)).build(4)
    two.average = two.average.astype(np.float32)
    two.put_into(network)
    assert_array_equal(network.parameters, two.average)
    network.parameters += 1
    assert not np.array_equal(network.parameters, two.average)     # a copy went in


def test_training_is_not_changed_by_averaging():
    rng = np.random.default_rng(1)
    w, v = np.ones(4), np.ones(4)
    plain, averaged = Adam(0.1), Averaged(Adam(0.1))
    for _ in range(5):
        g = rng.normal(size=4)
        plain.step(w, g.copy())
        averaged.step(v, g.copy())
    assert_array_equal(w, v)


def test_refreshed_statistics_are_those_of_all_samples():
    rng = np.random.default_rng(2)
    network = Network(Dense(3), BatchNorm(), Dropout(0.5), Dense(4), BatchNorm(), dtype=np.float64).build(5)
    x = rng.normal(size=(60, 5))
    parameters, draws = network.parameters.copy(), network.layers[2].buffers["draws"].copy()
    for _ in range(2):                                             # what was there before has no say
        regularization.refresh_statistics(network, x, batch_size=20)
        network.layers[1].buffers["mean"] += 5
    network.layers[1].buffers["mean"] -= 5
    z = network.layers[0].forward(x.T)
    assert_allclose(network.layers[1].buffers["mean"][:, 0], z.mean(axis=1), rtol=1e-9)
    parts = [z[:, k:k + 20].var(axis=1, ddof=1) for k in (0, 20, 40)]
    assert_allclose(network.layers[1].buffers["var"][:, 0], np.mean(parts, axis=0), rtol=1e-9)
    assert_array_equal(network.parameters, parameters)
    assert_array_equal(network.layers[2].buffers["draws"], draws)
    assert network.layers[1].momentum == network.layers[4].momentum == 0.1
    regularization.refresh_statistics(network, x[:41], batch_size=20)      # one is left over, and left out
    assert_allclose(network.layers[1].buffers["mean"][:, 0], z[:, :40].mean(axis=1), rtol=1e-9)
    regularization.refresh_statistics(network, x[:50], batch_size=40)      # the short one counts by its size
    assert_allclose(network.layers[1].buffers["mean"][:, 0], z[:, :50].mean(axis=1), rtol=1e-9)
    network.layers[1].buffers["mean"][...] = 9
    with pytest.raises(ShapeError):
        regularization.refresh_statistics(network, x[:1])
    assert network.layers[1].momentum == 0.1
    assert regularization.refresh_statistics(Network(Dense(2)).build(5), x) is None


def test_measuring_ends_with_refreshing():
    """After it, and after an error in it, the network evaluates as before: with statistics that stay what they are."""
    network = Network(Dense(3), BatchNorm(), dtype=np.float64).build(5)
    x = np.random.default_rng(4).normal(size=(30, 5))
    regularization.refresh_statistics(network, x)
    for refused in (False, True):
        if refused:
            with pytest.raises(ShapeError):
                regularization.refresh_statistics(network, x[:1])
        kept = [buffer.copy() for _, buffer in network.named_buffers()]
        y = network.forward(x.T).copy()
        assert_allclose(network.forward(x[:4].T), y[:, :4], rtol=1e-12)
        for (_, buffer), array in zip(network.named_buffers(), kept):
            assert_array_equal(buffer, array)


def test_batch_norms_are_found_inside_of_layers():
    inner, outer, block = BatchNorm(), BatchNorm(), Dense(2)
    block.layers = [ReLU(), inner]
    assert regularization.find_batch_norms([Dense(3), block, outer]) == [inner, outer]


def test_smoothing_in_a_loss_object():
    z, y = np.zeros((10, 3)), np.array([1, 2, 3])
    loss = SmoothedCrossEntropy(0.1)
    assert loss.forward(z, y) == pytest.approx(np.log(10)) and loss.additive
    best = np.where(np.arange(10)[:, None] == y, np.log(0.91), np.log(0.01))
    loss.forward(best, y)
    assert_allclose(loss.backward(), 0, atol=1e-15)                # the gap of log 91 is where it rests
    assert SmoothedCrossEntropy(0.0).forward(z + best, y) == pytest.approx(softmax_cross_entropy(best, y))
    twin = loss.replica()
    assert twin.smoothing == 0.1 and twin.forward(z, y) == pytest.approx(np.log(10))
    loss.forward(best, y)
    assert_allclose(loss.p, np.exp(best), rtol=1e-9)               # probabilities, as its parent promises


# Inputs of every kind

@both
def test_a_dtype_stays_what_it_is(dtype):
    rng = np.random.default_rng(0)
    for layer in (BatchNorm(), Dropout(0.5)):
        for shape in ((4,), (2, 3, 3)):
            ready(layer, shape, dtype)
            x = rng.normal(size=(*shape, 5)).astype(dtype)
            for training in (True, False):
                assert layer.forward(x, training).dtype == layer.backward(x).dtype == dtype
    for array in BatchNorm.initialize.__get__(ready(BatchNorm(), (2,), dtype))(None) or [layer.forward(x)]:
        assert array.dtype == dtype
    gamma = np.ones((2, 1), dtype)
    x = rng.normal(size=(2, 5)).astype(dtype)
    mean, var = regularization.batch_statistics(x)
    outputs = [mean, var, regularization.batch_norm(x, gamma, gamma, mean, var),
               *regularization.batch_norm_backward(x, x, gamma, mean, var),
               regularization.dropout_mask(x, 0.5), regularization.smooth_targets(abs(x))]
    assert {array.dtype for array in outputs} == {np.dtype(dtype)}
    loss = SmoothedCrossEntropy()
    loss.forward(x, np.zeros(5, int))
    assert loss.backward().dtype == dtype


def test_integers_and_odd_strides():
    rng = np.random.default_rng(1)
    whole = rng.integers(0, 9, (4, 6, 5, 8))
    for x in (whole, whole.astype(float)[:, ::2, :, ::-1], whole.astype(float).T, np.asfortranarray(whole * 1.0)):
        layer = ready(BatchNorm(), x.shape[:-1])
        y = layer.forward(x, training=True).copy()
        assert_allclose(y, layer.forward(np.ascontiguousarray(x, float), training=True), rtol=1e-12)
        dy = rng.normal(size=x.shape[::-1]).T
        dx = layer.backward(dy).copy()
        assert_allclose(dx, layer.backward(np.ascontiguousarray(dy)), rtol=1e-12)
        statistics = regularization.batch_statistics(x)
        assert_allclose(regularization.batch_norm(x, layer.gamma, layer.beta, *statistics), y, rtol=1e-9)
        drop = ready(Dropout(0.5, seed=1), x.shape[:-1])
        assert_allclose(drop.forward(x, training=True)[drop.mask > 0], 2.0 * x[drop.mask > 0])


def test_inputs_stay_as_they_were():
    rng = np.random.default_rng(2)
    x, dy = rng.normal(size=(2, 3, 4, 4, 5))
    kept = x.copy(), dy.copy()
    for layer in (ready(BatchNorm(), (3, 4, 4)), ready(Dropout(0.5), (3, 4, 4))):
        for training in (True, False):
            layer.forward(x, training)
            layer.backward(dy)
    assert_array_equal(x, kept[0])
    assert_array_equal(dy, kept[1])


def test_work_is_done_in_the_workspace():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(3, 4, 4, 5))
    for layer in (ready(BatchNorm(), (3, 4, 4)), ready(Dropout(0.5), (3, 4, 4))):
        y, dx = layer.forward(x, training=True), layer.backward(x)
        assert y is layer.forward(x, training=True) and dx is layer.backward(x)
        twin = layer.replica()
        assert not np.shares_memory(twin.forward(x, training=True), y)


# Errors

def test_a_variance_needs_two_numbers():
    for module in MODULES:
        layer = module.BatchNorm()
        layer.build((3,))
        layer.allocate()
        layer.initialize(None)
        with pytest.raises(ValueError, match="at least two numbers in a channel while training"):
            layer.forward(np.ones((3, 1)), training=True)
        assert layer.forward(np.ones((3, 1))).shape == (3, 1)              # evaluation is another matter
    image = ready(BatchNorm(), (3, 2, 2))
    assert np.isfinite(image.forward(np.ones((3, 2, 2, 1)), training=True)).all()
    with pytest.raises(ShapeError, match=r"got x shaped \(3, 1, 1, 1\)"):
        ready(BatchNorm(), (3, 1, 1)).forward(np.ones((3, 1, 1, 1)), training=True)


@pytest.mark.parametrize("make, message", [
    (lambda: Dropout(1.0), "expected Dropout: rate in"), (lambda: Dropout(-0.1), "rate"), (lambda: Dropout("a"), "rate"),
    (lambda: Dropout(float("nan")), "rate"), (lambda: Dropout(0.5, seed=-1), "seed"), (lambda: Dropout(0.5, 1.5), "seed"),
    (lambda: BatchNorm(1.5), "momentum from 0 to 1, got 1.5"), (lambda: BatchNorm(float("nan")), "momentum"),
    (lambda: BatchNorm(eps=0), "eps"), (lambda: SmoothedCrossEntropy(1), "smoothing"),
    (lambda: SmoothedCrossEntropy(-0.1), "smoothing"), (lambda: Averaged(SGD(0.1), 1), "decay"),
])
def test_settings_that_make_no_sense(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_shapes_that_do_not_fit():
    for shape in ((2, 3), (), (1, 2, 3, 4)):
        with pytest.raises(ShapeError, match="BatchNorm: expected samples shaped"):
            BatchNorm().build(shape)
    layer = ready(BatchNorm(), (3, 2, 2))
    for shape in ((3, 2, 2, 0), (2, 2, 2, 4), (3, 4)):
        with pytest.raises(ShapeError, match="BatchNorm: expected x shaped"):
            layer.forward(np.ones(shape), training=True)
    layer.forward(np.ones((3, 2, 2, 4)))
    with pytest.raises(ShapeError, match="BatchNorm: expected dy shaped"):
        layer.backward(np.ones((3, 2, 2, 3)))
    drop = ready(Dropout(0.5), (3,))
    for shape in ((3, 0), (3,)):
        with pytest.raises(ShapeError, match="Dropout: expected x shaped"):
            drop.forward(np.ones(shape), training=True)
    drop.forward(np.ones((3, 2)))
    with pytest.raises(ShapeError, match="Dropout: expected dy shaped"):
        drop.backward(np.ones((3, 3)))
    for name in ("batch_statistics", "batch_norm"):
        with pytest.raises(ShapeError, match=f"{name}: expected x"):
            arguments = [np.ones((3, 1))] * (4 if name == "batch_norm" else 0)
            getattr(regularization, name)(np.ones((3, 0)), *arguments)


def test_order_of_calls():
    for layer in (BatchNorm(), Dropout(0.5)):
        layer.build((3,))
        layer.allocate()
        with pytest.raises(RuntimeError, match="before forward"):
            layer.backward(np.ones((3, 2)))
        with pytest.raises(RuntimeError, match="before initialize"):
            layer.forward(np.ones((3, 2)), training=True)
    averaged = Averaged(SGD(0.1))
    with pytest.raises(RuntimeError, match="before the first step"):
        averaged.put_into(Network(Dense(1)).build(2))
    with pytest.raises(RuntimeError):
        regularization.decay_weights(Network(Dense(2)), 0.1)


def test_averages_of_another_network_are_refused():
    averaged, w = Averaged(SGD(0.1)), np.ones(3)
    averaged.step(w, np.ones(3))
    with pytest.raises(ShapeError):
        averaged.step(np.ones(4), np.ones(4))
    with pytest.raises(ShapeError):
        averaged.put_into(Network(Dense(1)).build(4))
    with pytest.raises(ValueError, match="average"):
        averaged.restore({}, 3)
    with pytest.raises(ValueError):
        averaged.restore({"average": np.ones(3), "v": np.ones(3)}, 3)
    with pytest.raises(ShapeError):
        Averaged(SGD(0.1, momentum=0.9)).restore({"average": np.ones(3), "v": np.ones(4)}, 3)
    with pytest.raises(FloatingPointError):
        averaged.step(w, np.full(3, np.nan))
    assert averaged.steps == 1 and averaged.average.shape == (3,)
    for strength in (-1, float("nan"), "a"):
        with pytest.raises(ValueError, match="strength"):
            regularization.decay_weights(Network(Dense(1)).build(2), strength)
