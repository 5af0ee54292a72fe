"""Checkpoints: the reference, the published format, every layer, every bit flipped, and runs that go on."""

import copy
import importlib
import importlib.util
import inspect
import io
import json
import os
import pkgutil
import subprocess
import sys
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import nnlib
import reference.checkpoint
from nnlib import checkpoint
from nnlib.activations import Identity, LeakyReLU, ReLU, Sigmoid, Softmax, Tanh
from nnlib.augmentation import Augmentation
from nnlib.checkpoint import Checkpoints, describe, digest, load, pack, pack_json, restore, save, to_decimal, unpack, unpack_json
from nnlib.convolution import Convolution
from nnlib.dense import Dense, Layer, glorot_uniform
from nnlib.network import Flatten, Network, Reshape
from nnlib.optimizers import SGD, Adam, AdamW, Cosine, ExponentialDecay, Optimizer, RMSprop, StepDecay
from nnlib.pooling import AveragePool, GlobalAveragePool, MaxPool
from nnlib.regularization import Averaged, BatchNorm, Dropout
from nnlib.skips import Feedback, Loop, Skip, Skips
from nnlib.training import CheckpointError, Run, fit
from nnlib.transposed import TransposedConvolution, Upsample

KINDS = [".json", ".safetensors"]
DTYPES = [np.float32, np.float64]
kinds = pytest.mark.parametrize("kind", KINDS)
both = pytest.mark.parametrize("dtype", DTYPES)
patterns = st.lists(st.integers(0, 2**32 - 1), min_size=1, max_size=30)


def bits(array):
    return array.view({4: np.uint32, 8: np.uint64}[array.dtype.itemsize])


def same_arrays(a, b):
    return set(a) == set(b) and all(a[n].dtype == b[n].dtype and a[n].shape == b[n].shape
                                    and np.array_equal(bits(np.ascontiguousarray(a[n])), bits(np.ascontiguousarray(b[n]))) for n in a)


# --- numbers ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("bits_", [1, 11, 24, 53, 64, 113])
def test_digits_needed_agrees_with_the_reference(bits_):
    assert checkpoint.digits_needed(bits_) == reference.checkpoint.digits_needed(bits_)


@settings(max_examples=50, deadline=None)
@given(patterns)
def test_every_float32_comes_back_through_json(values):
    floats = np.array(values, np.uint32).view(np.float32)
    floats = floats[np.isfinite(floats)]
    decimals = to_decimal(floats)
    assert decimals == reference.checkpoint.to_decimal(floats)
    back = checkpoint.from_decimal(json.loads(json.dumps(decimals)), floats.shape, floats.dtype)
    assert np.array_equal(bits(back), bits(floats))


@given(st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=30))
def test_every_float64_and_int64_comes_back_through_json(values):
    floats = np.array(values, np.uint64).view(np.float64)
    for array in (floats[np.isfinite(floats)], np.array(values, np.uint64).view(np.int64)):
        back = checkpoint.from_decimal(json.loads(json.dumps(to_decimal(array))), array.shape, array.dtype)
        assert np.array_equal(bits(back), bits(array))


def test_eight_digits_are_not_enough():
    floats = np.arange(1000, 1001, 2.0**-14, dtype=np.float32)
    for digits, lost in ((8, True), (9, False)):
        back = np.array([float(f"{x:.{digits}g}") for x in floats.tolist()]).astype(np.float32)
        assert (back != floats).any() == lost


def test_the_sign_of_zero_survives():
    zero = np.array([-0.0, 0.0], np.float32)
    _, tensors = unpack_json(pack_json({}, {"w": zero}))
    assert list(np.signbit(tensors["w"])) == [True, False]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_json_refuses_what_it_has_no_word_for_and_bytes_keep_it(value):
    array = np.array([1.0, value], np.float32)
    with pytest.raises(CheckpointError, match="finite"):
        pack_json({}, {"w": array})
    assert same_arrays(unpack(pack({}, {"w": array}))[1], {"w": array})


@pytest.mark.parametrize("values, shape", [
    ([[1, 2], [3]], (2, 2)), ([1, 2, 3, 4], (2, 2)), ([[1, 2], [3, 4]], (4,)), ([["1", "2"]], (1, 2)), ([[True, False]], (1, 2)),
    ([[None, 1]], (1, 2)), ("ab", (2,)), ([1e300, 0], (2,)), ([10**400, 0], (2,)), ({"0": 1, "1": 2}, (2,)), (1.0, (1,)), ([[1.0]], ())])
def test_other_things_than_numbers_are_refused(values, shape):
    with pytest.raises(CheckpointError):
        checkpoint.from_decimal(values, shape, np.dtype(np.float32))


def test_whole_numbers_stay_whole():
    with pytest.raises(CheckpointError):
        checkpoint.from_decimal([1.5], (1,), np.dtype(np.int64))
    with pytest.raises(CheckpointError):
        checkpoint.from_decimal([2**63], (1,), np.dtype(np.int64))
    assert checkpoint.from_decimal([2**63 - 1], (1,), np.dtype(np.int64))[0] == 2**63 - 1


# --- the published format -----------------------------------------------------------------------------------

FROZEN = json.loads((Path(__file__).parent / "torch_frozen" / "checkpoint.json").read_text(encoding="utf-8"))
PAIR = {"a": np.arange(6, dtype=np.float32).reshape(2, 3) / 3, "b": np.array([-5.0, 1e-45], np.float32)}


@st.composite
def tensor_dicts(draw):
    names = draw(st.lists(st.text(st.characters(codec="utf-8"), max_size=6), unique=True, max_size=4))
    found = {}
    for name in names:
        if name != "__metadata__":
            dtype = draw(st.sampled_from([np.float32, np.float64, np.int64]))
            shape = tuple(draw(st.lists(st.integers(0, 3), max_size=4)))
            count = int(np.prod(shape)) * np.dtype(dtype).itemsize
            found[name] = np.frombuffer(draw(st.binary(min_size=count, max_size=count)), dtype).reshape(shape)
    return found


@settings(max_examples=50, deadline=None)
@given(tensor_dicts())
def test_packing_agrees_with_the_reference_and_comes_back(tensors):
    data = pack({"made by": "hand"}, tensors)
    texts, back = unpack(data)
    assert texts == {"made by": "hand"}
    assert same_arrays(back, tensors)
    if all(np.isfinite(a).all() for a in tensors.values()):                   # of NaN the reference keeps no pattern
        if len({a.itemsize for a in tensors.values()}) < 2:
            assert data == reference.checkpoint.pack({"made by": "hand"}, tensors)
        assert same_arrays(reference.checkpoint.unpack(data)[1], tensors)
        assert digest({"x": [1, 2.5]}, tensors) == reference.checkpoint.digest({"x": [1, 2.5]}, tensors)
        assert same_arrays(unpack_json(pack_json({}, tensors))[1], tensors)


def test_a_file_that_pytorch_wrote():
    """Frozen: what safetensors.torch.save made of some tensors. Files of one type are the same, byte for byte."""
    texts, tensors = unpack(bytes.fromhex(FROZEN["all"]))
    assert texts == {"made by": "hand"} and set(tensors) == set(FROZEN["values"])
    for name, expected in FROZEN["values"].items():
        values = [float.fromhex(v) if isinstance(v, str) else v for v in expected["values"]]
        assert same_arrays({name: tensors[name]}, {name: np.array(values, expected["dtype"]).reshape(expected["shape"])})
    floats = {name: tensors[name] for name in sorted(tensors) if tensors[name].dtype == np.float32}
    assert pack(texts, floats).hex() == FROZEN["float32"]


@pytest.mark.skipif(not importlib.util.find_spec("safetensors"), reason="the frozen bytes above stand in for the package")
@settings(max_examples=30, deadline=None)
@given(tensor_dicts())
def test_the_published_library_reads_ours_and_we_read_its(tensors):
    from safetensors.numpy import load as theirs
    from safetensors.numpy import save as save_theirs

    assert same_arrays(theirs(pack({}, tensors)), tensors)
    assert same_arrays(unpack(save_theirs(tensors, {"a": "b"}))[1], tensors)
    if importlib.util.find_spec("torch"):
        from safetensors.torch import load as load_torch
        from safetensors.torch import save as save_torch

        found = load_torch(pack({}, tensors))
        assert same_arrays({name: tensor.numpy() for name, tensor in found.items()}, tensors)
        assert same_arrays(unpack(save_torch(found))[1], tensors)


def test_other_orders_of_bytes_and_of_memory():
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    for other in (array.astype(">f4"), np.asfortranarray(array), np.repeat(array, 2, axis=1)[:, ::2]):
        assert pack({}, {"w": other}) == pack({}, {"w": array})
        assert digest({}, {"w": other}) == digest({}, {"w": array})
        assert pack_json({}, {"w": other}) == pack_json({}, {"w": array})
    assert unpack(pack({}, {"w": array}))[1]["w"].dtype == np.dtype(np.float32)


@pytest.mark.parametrize("dtype", [np.float16, np.int32, np.complex64, bool, object])
def test_other_types_are_refused(dtype):
    for packed in (pack, pack_json):
        with pytest.raises(CheckpointError, match="float32"):
            packed({}, {"w": np.zeros(2, dtype)})


def test_every_number_lies_at_a_multiple_of_its_size():
    data = pack({"a": "b"}, {"x": np.zeros(3, np.float32), "y": np.zeros(2), "z": np.zeros(1, np.float32), "n": np.zeros(1, np.int64)})
    length = int.from_bytes(data[:8], "little")
    table = json.loads(data[8:8 + length])
    for name, size in (("x", 4), ("y", 8), ("z", 4), ("n", 8)):
        assert (8 + length + table[name]["data_offsets"][0]) % size == 0


def test_a_digest_knows_names_shapes_types_and_texts():
    a = np.arange(6, dtype=np.float32)
    variants = [({}, {"w": a}), ({"x": 1}, {"w": a}), ({}, {"v": a}), ({}, {"w": a.reshape(2, 3)}), ({}, {"w": a.reshape(3, 2)}),
                ({}, {"w": a.astype(np.float64)}), ({}, {"w": a.view(np.float64)}), ({}, {"w": a[:3], "x": a[3:]}), ({}, {})]
    assert len({digest(*variant) for variant in variants}) == len(variants)


# --- every layer, optimizer and schedule of the library -----------------------------------------------------

# For each kind of layer some ways to make one, and samples it takes. A new layer of the library needs a line here.
EXAMPLES = {
    "Dense": ((5,), [lambda: Dense(3), lambda: Dense(3, bias=False, init=glorot_uniform), lambda: Dense(3, init=lambda shape, rng: rng.random(shape))]),
    "Identity": ((5,), [Identity]), "ReLU": ((5,), [ReLU]), "Sigmoid": ((5,), [Sigmoid]), "Tanh": ((5,), [Tanh]), "Softmax": ((5,), [Softmax]),
    "LeakyReLU": ((5,), [LeakyReLU, lambda: LeakyReLU(0.25)]),
    "Flatten": ((2, 3), [Flatten]), "Reshape": ((2, 6), [lambda: Reshape((3, 4)), lambda: Reshape(12)]),
    "Convolution": ((4, 9, 8), [
        lambda: Convolution(2, 3), lambda: Convolution(6, (3, 2), stride=(2, 1), padding="same", dilation=2, groups=2),
        lambda: Convolution(2, 3, padding=((1, 0), (2, 1)), bias=False, init=glorot_uniform)]),
    "MaxPool": ((2, 7, 6), [lambda: MaxPool(2), lambda: MaxPool((3, 2), stride=(2, 1), padding=1)]),
    "AveragePool": ((2, 7, 6), [lambda: AveragePool(2), lambda: AveragePool((3, 2), stride=2, padding=(1, 0))]),
    "GlobalAveragePool": ((2, 7, 6), [GlobalAveragePool]),
    "Dropout": ((5,), [lambda: Dropout(0.3), lambda: Dropout(0.6, seed=11)]),
    "BatchNorm": ((3, 4, 4), [BatchNorm, lambda: BatchNorm(momentum=0.4, eps=1e-3)]),
    "TransposedConvolution": ((4, 5, 4), [
        lambda: TransposedConvolution(2, 3),
        lambda: TransposedConvolution(6, (3, 2), stride=(2, 3), padding=((1, 0), (1, 1)), output_padding=(1, 2), groups=2, bias=False)]),
    "Upsample": ((2, 3, 3), [lambda: Upsample(2), lambda: Upsample((1, 3))]),
    "Skips": ((2, 6, 6), [
        lambda: Skips(Convolution(2, 3, padding=1), ReLU(), BatchNorm(), arrows=[(0, 2), (1, 3)], how="mean"),
        lambda: Skips(Convolution(4, 3, padding=1), ReLU(), arrows=[(0, 2, Convolution(4, 1))])]),
    "Skip": ((2, 6, 6), [
        lambda: Skip(Convolution(2, 3, padding=1), ReLU()),
        lambda: Skip(Convolution(4, 3, padding=1), BatchNorm(), how="multiply", projection=Convolution(4, 1)),
        lambda: Skip(Skip(Dense(3), projection=Dense(3)), how="subtract", projection=Dense(3))]),
    "Feedback": ((2, 6, 6), [
        lambda: Feedback(Convolution(2, 3, padding=1), BatchNorm(), times=3),
        lambda: Feedback(Convolution(2, 3, padding=1), BatchNorm(), times=2, shared=False, how_in="concatenate", how_out="mean",
                         gradient_scale=0.5)]),
    "Loop": ((2, 6, 6), [lambda: Loop(Convolution(2, 3, padding=1), Tanh(), times=3, how="multiply", gradient_scale=0.5)]),
}
BASES = {"Layer", "Activation", "Pool", "Composite"}


def library_classes(wanted):
    """Every public class of nnlib that fits, whichever chapter it is from."""
    found = {}
    for module in pkgutil.iter_modules(nnlib.__path__):
        try:
            things = vars(importlib.import_module(f"nnlib.{module.name}"))
        except ImportError:
            continue
        found |= {name: thing for name, thing in things.items()
                  if isinstance(thing, type) and thing.__module__ == f"nnlib.{module.name}" and wanted(thing)}
    return found


def test_there_is_an_example_of_every_layer():
    layers = library_classes(lambda thing: issubclass(thing, Layer))
    assert set(layers) - BASES == set(EXAMPLES), "a new layer needs an example in this file, so that saving it is tested"


CASES = [pytest.param(shape, make, id=f"{name}-{i}") for name, (shape, makers) in EXAMPLES.items() for i, make in enumerate(makers)]


@both
@pytest.mark.parametrize("shape, make", CASES)
def test_every_layer_comes_back(shape, make, dtype, tmp_path):
    layer = make()
    network = Network(layer, dtype=dtype).build(shape, seed=3)
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, *shape))
    network.parameters[...] = rng.normal(size=network.parameters.shape)
    for _ in range(2):
        network.forward(np.moveaxis(x, 0, -1), training=True)                # running statistics, counts of masks
    assert save(tmp_path / "a.json", network) == save(tmp_path / "a.safetensors", network)
    goes_on = copy.deepcopy(network)
    after = goes_on.forward(np.moveaxis(x, 0, -1), training=True).copy()      # the next minibatch, masks and all
    for kind in KINDS:
        back = load(tmp_path / f"a{kind}").network
        assert back.architecture() == network.architecture()
        assert np.array_equal(bits(back.parameters), bits(network.parameters))
        assert same_arrays(dict(back.named_buffers()), dict(network.named_buffers()))
        assert np.array_equal(back.predict(x), network.predict(x))
        assert np.array_equal(back.forward(np.moveaxis(x, 0, -1), training=True), after)


def test_a_network_with_adapters_of_its_own(tmp_path):
    network = Network(Convolution(2, 3), ReLU(), Dense(36), Convolution(3, 3), Flatten(), Dense(2)).build((8, 8))
    save(tmp_path / "a.json", network)
    back = load(tmp_path / "a.json").network
    assert [type(layer) for layer in back.layers] == [type(layer) for layer in network.layers]
    x = np.random.default_rng(0).normal(size=(4, 8, 8))
    assert np.array_equal(back.predict(x), network.predict(x))


SCHEDULES = {"StepDecay": StepDecay(0.1, 0.5, 3), "ExponentialDecay": ExponentialDecay(0.1, 0.9), "Cosine": Cosine(0.1, 50, final=0.01, warmup=5)}
OPTIMIZERS = {
    "SGD": [lambda n: SGD(0.1), lambda n: SGD(SCHEDULES["StepDecay"], momentum=0.9, nesterov=True, weight_decay=0.01, clip_norm=1.0)],
    "RMSprop": [lambda n: RMSprop(0.01), lambda n: RMSprop(0.02, 0.95, True, 0.5, 1e-6, clip_value=0.5)],
    "Adam": [lambda n: Adam(), lambda n: Adam(SCHEDULES["Cosine"], beta1=0.8, beta2=0.99, eps=1e-5)],
    "AdamW": [lambda n: AdamW(), lambda n: AdamW(0.01, weight_decay=np.linspace(0, 1, n.parameter_count, dtype=np.float32))],
    "Averaged": [lambda n: Averaged(SGD(0.1, momentum=0.9), decay=0.9),
                 lambda n: Averaged(AdamW(SCHEDULES["ExponentialDecay"], weight_decay=np.linspace(0, 1, n.parameter_count)))],
}


def test_there_is_an_example_of_every_optimizer_and_schedule():
    optimizers = library_classes(lambda thing: hasattr(thing, "step") and hasattr(thing, "restore"))
    assert set(optimizers) - {"Optimizer"} == set(OPTIMIZERS)
    schedules = library_classes(lambda thing: hasattr(thing, "__dataclass_fields__") and "__call__" in vars(thing) and len(
        inspect.signature(thing.__call__).parameters) == 2 and thing.__module__ == "nnlib.optimizers")
    assert set(schedules) == set(SCHEDULES)


@kinds
@pytest.mark.parametrize("make", [pytest.param(m, id=f"{name}-{i}") for name, makers in OPTIMIZERS.items() for i, m in enumerate(makers)])
@pytest.mark.parametrize("steps", [0, 3])
def test_every_optimizer_goes_on(make, steps, kind, tmp_path):
    network = Network(Dense(4), ReLU(), Dense(3)).build(5)
    optimizer, rng = make(network), np.random.default_rng(1)
    gradients = rng.normal(size=(6, network.parameter_count)).astype(np.float32)
    for g in gradients[:steps]:
        optimizer.step(network.parameters, g.copy())
    save(tmp_path / f"a{kind}", network, optimizer)
    back = load(tmp_path / f"a{kind}")
    assert repr(back.optimizer) == repr(optimizer) and back.optimizer.steps == steps
    for g in gradients[steps:]:
        optimizer.step(network.parameters, g.copy())
        back.optimizer.step(back.network.parameters, g.copy())
    assert np.array_equal(bits(network.parameters), bits(back.network.parameters))
    assert same_arrays(optimizer.state, back.optimizer.state)


class OwnLayer(Layer):
    """A user's layer, which follows the rule."""

    def __init__(self, strength):
        super().__init__()
        self.strength = strength

    def forward(self, x, training=False):
        return x * self.strength

    def backward(self, dy, need_dx=True):
        return dy * self.strength


class Forgetful(OwnLayer):
    def __init__(self, factor):
        super().__init__(factor)


class Doubling(OwnLayer):
    def __init__(self, strength):
        super().__init__(2 * strength)


def test_layers_of_ones_own(tmp_path):
    save(tmp_path / "a.json", Network(Dense(2), OwnLayer(0.5)).build(3))
    assert load(tmp_path / "a.json").network.layers[1].strength == 0.5
    with pytest.raises(CheckpointError, match="Forgetful does not keep factor"):
        save(tmp_path / "b.json", Network(Dense(2), Forgetful(0.5)).build(3))
    header, tensors = checkpoint.contents(Network(Dense(2), OwnLayer(0.5)).build(3))
    header["network"]["layers"][1] = {"Unheard": {}}
    with pytest.raises(CheckpointError, match="'Unheard'.*imported first"):
        checkpoint.rebuild(header, tensors)
    with pytest.raises(CheckpointError, match="different"):
        save(tmp_path / "b.json", Network(Dense(2), Doubling(0.5)).build(3))
    assert not (tmp_path / "b.json").exists()


def test_what_has_no_name_cannot_be_saved(tmp_path):
    network = Network(Dense(2)).build(3)
    for optimizer in (SGD(lambda step: 0.1), Adam(np.cos)):
        with pytest.raises(CheckpointError, match="optimizer.learning_rate"):
            save(tmp_path / "a.json", network, optimizer)
    with pytest.raises(CheckpointError, match="cannot be saved"):
        save(tmp_path / "a.json", network, notes={"x": np.nan})
    with pytest.raises(CheckpointError, match="cannot be saved"):
        save(tmp_path / "a.json", network, notes={"x": object()})
    with pytest.raises(CheckpointError, match=r"\.json or \.safetensors"):
        save(tmp_path / "a.pkl", network)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["save", "load_mnist", "np", "Path", "CheckpointError", "Network", "Checkpoints", "Run", "__name__", "system", ""])
def test_a_file_may_not_name_everything(name):
    assert checkpoint.find(name) is None


def test_a_changed_setting_is_saved_as_it_is_now(tmp_path):
    optimizer = SGD(0.1)
    optimizer.learning_rate = 0.025
    network = Network(Dense(2), Dropout(0.5)).build(3)
    network.layers[1].rate = 0.25
    save(tmp_path / "a.json", network, optimizer)
    back = load(tmp_path / "a.json")
    assert back.optimizer.learning_rate == 0.025 and back.network.layers[1].rate == 0.25


# --- damaged files ------------------------------------------------------------------------------------------


def trained(dtype=np.float32):
    """A network, an optimizer and a run, after two epochs."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(20, 4)), np.arange(20) % 3
    network, optimizer = Network(Dense(3), BatchNorm(), ReLU(), Dropout(0.2), Dense(3), dtype=dtype).build(4), Adam(Cosine(0.01, 30))
    kept = {}

    class Keep:
        def restore(self, run):
            pass

        def save(self, run):
            kept["run"] = run

    fit(network, x, y, optimizer=optimizer, epochs=2, batch_size=8, validation=(x, y), checkpoint=Keep(), progress=False)
    return network, optimizer, kept["run"]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The same content in both kinds of file, as bytes, with its digest."""
    folder, (network, optimizer, run) = tmp_path_factory.mktemp("files"), trained()
    digests = {save(folder / f"whole{kind}", network, optimizer, run, {"of": "everything"}) for kind in KINDS}
    assert len(digests) == 1
    return {kind: (folder / f"whole{kind}").read_bytes() for kind in KINDS}, digests.pop()


def outcome(kind, data):
    """The digest of what is read from these bytes; "refused" for a clear error; anything else fails the test."""
    try:
        return checkpoint.rebuild(*checkpoint.decode(kind, data)).sha256
    except CheckpointError as error:
        assert str(error)
        return "refused"


@kinds
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_a_flipped_bit_is_noticed_or_changes_nothing(kind, data, files):
    whole, sha256 = files[0][kind], files[1]
    region = data.draw(st.sampled_from(["length", "header", "numbers"]))
    split = 8 + int.from_bytes(whole[:8], "little") if kind == ".safetensors" else len(whole) // 2
    place = data.draw({"length": st.integers(0, 7), "header": st.integers(8, split - 1), "numbers": st.integers(split, len(whole) - 1)}[region])
    damaged = bytearray(whole)
    damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    assert outcome(kind, bytes(damaged)) in ("refused", sha256)
    if kind == ".safetensors" and region != "header":
        assert outcome(kind, bytes(damaged)) == "refused"


def test_every_single_flip_of_a_small_file_is_refused(tmp_path):
    save(tmp_path / "a.safetensors", Network(Dense(2), ReLU(), Dense(1)).build(2))
    whole = (tmp_path / "a.safetensors").read_bytes()
    for place in range(len(whole)):
        for bit in range(0, 8, 3):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            assert outcome(".safetensors", bytes(damaged)) == "refused", (place, bit)


@kinds
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_cut_off_longer_or_rearranged_files_are_refused(kind, data, files):
    whole = files[0][kind]
    n = data.draw(st.integers(0, len(whole) - 2))
    harmless = ("refused", files[1]) if kind == ".json" else ("refused",)     # blanks in JSON may come and go
    assert outcome(kind, whole[:n]) == "refused"
    assert outcome(kind, whole + bytes(data.draw(st.integers(1, 9)))) == "refused"
    m = data.draw(st.integers(0, len(whole) - 1))
    turned = whole[n:] + whole[:n] if n else whole[1:] + whole[:1]
    assert outcome(kind, turned) == "refused"
    assert outcome(kind, whole[:min(m, n)] + whole[max(m, n) + 1:]) in harmless


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(KINDS))
def test_any_bytes_give_a_clear_error(data, kind):
    assert outcome(kind, data) == "refused"


@kinds
def test_a_damaged_checkpoint_changes_nothing(kind, files, tmp_path):
    network, optimizer, _ = trained()
    before = network.parameters.copy(), optimizer.state["m"].copy(), optimizer.steps, *(b.copy() for _, b in network.named_buffers())
    for damage in (lambda d: d[:-9], lambda d: d.replace(b"0.9", b"0.8"), lambda d: d[:-20] + bytes([d[-20] ^ 2]) + d[-19:], lambda d: b""):
        (tmp_path / f"a{kind}").write_bytes(damage(files[0][kind]))
        with pytest.raises(CheckpointError):
            restore(tmp_path / f"a{kind}", network, optimizer)
    after = network.parameters, optimizer.state["m"], optimizer.steps, *(b for _, b in network.named_buffers())
    assert all(np.array_equal(a, b) for a, b in zip(before, after))


@kinds
def test_a_changed_weight_with_the_old_digest_is_tampering(kind, tmp_path):
    network = Network(Dense(2)).build(3)
    header, tensors = checkpoint.contents(network)
    data = checkpoint.encode(kind, header, tensors)
    tensors["dense1.W"] = tensors["dense1.W"] + np.float32(1e-3)
    other = checkpoint.encode(kind, header, tensors)
    forged = other.replace(digest(header, tensors).encode(), digest(header, dict(network.named_parameters())).encode())
    assert forged != other and outcome(kind, data) != "refused"
    with pytest.raises(CheckpointError, match="digest"):
        checkpoint.decode(kind, forged)
    (tmp_path / f"a{kind}").write_bytes(other)                  # a forger can compute a digest, but not the one we expect
    load(tmp_path / f"a{kind}")
    with pytest.raises(CheckpointError, match="expected digest 0123"):
        load(tmp_path / f"a{kind}", sha256="0123")


def with_header(change):
    """A file in both kinds whose header has been changed, with a digest that fits."""
    header, tensors = checkpoint.contents(*trained()[:2])
    header = change(json.loads(json.dumps(header))) or header
    return [(kind, checkpoint.encode(kind, header, tensors)) for kind in KINDS]


def setting(*path, value):
    def change(header):
        inner = header
        for key in path[:-1]:
            inner = inner[key]
        inner[path[-1]] = value
        return header
    return change


@pytest.mark.parametrize("change, message", [
    (setting("version", value=2), "version 1, got 2"), (setting("version", value=None), "version"), (setting("format", value="onnx"), "format"),
    (setting("network", value=None), "followed"), (setting("network", "layers", value=[]), "at least one layer"),
    (setting("network", "layers", value=[{"system": {"command": "ls"}}]), "system"),
    (setting("network", "layers", value=[{"Dense": {"units": 10**9}}]), "parameters"),
    (setting("network", "layers", 0, value={"Dense": {"units": 3, "init": {"function": "load_mnist"}}}), "load_mnist"),
    (setting("network", "layers", 0, value={"Dense": {"units": -1}}), "followed"),
    (setting("network", "layers", 0, value={"Dense": {"units": 4}}), "expected"),
    (setting("network", "layers", 0, value={"Dense": {"wings": 2}}), "followed"),
    (setting("network", "layers", 0, value={"Dense": {}, "ReLU": {}}), "followed"),
    (setting("network", "layers", 0, value=7), "followed"),
    (setting("network", "layers", 0, value={"Layer": {}}), "only in the file"),
    (setting("network", "dtype", value="float64"), "dtype"), (setting("network", "dtype", value="O"), "followed"),
    (setting("network", "input_shape", value=[5]), "expected"), (setting("network", "input_shape", value="four"), "followed"),
    (setting("network", "input_shape", value=[10**6, 10**6]), "expected"),
    (setting("optimizer", value={"Adam": {"beta1": 7}}), "followed"), (setting("optimizer", value={"SGD": {"learning_rate": 0.1}}), "state"),
    (setting("optimizer", value={"Dense": {"units": 2}}), "followed"),
    (setting("steps", value=-1), "steps"), (setting("steps", value="many"), "steps"),
    (setting("run", value={"settings": {}}), "followed"), (setting("notes", value=["no", "names"]), "notes by name"),
    (setting("network", "layers", 0, value={"Skip": {"how": "add", "projection": None}}), "at least one layer"),
])
def test_headers_that_make_no_sense(change, message):
    for kind, data in with_header(change):
        with pytest.raises(CheckpointError, match=message):
            checkpoint.rebuild(*checkpoint.decode(kind, data))


def test_arrays_that_do_not_belong():
    header, tensors = checkpoint.contents(*trained()[:2])
    for name, array in (("ghost", np.zeros(2, np.float32)), ("ghosts/w", np.zeros(2, np.float32)), ("state/v", np.zeros(2, np.float32))):
        with pytest.raises(CheckpointError):
            checkpoint.rebuild(header, {**tensors, name: array})
    for short in (np.zeros(7, np.float32), tensors["state/m"].astype(np.float64)):
        with pytest.raises(CheckpointError):
            checkpoint.rebuild(header, {**tensors, "state/m": short, "state/s": short})
    for name in tensors:
        with pytest.raises(CheckpointError):
            checkpoint.rebuild(header, {k: v for k, v in tensors.items() if k != name})
        with pytest.raises(CheckpointError):
            checkpoint.rebuild(header, {**tensors, name: np.zeros((2, 5), tensors[name].dtype)})
        with pytest.raises(CheckpointError):
            checkpoint.rebuild(header, {**tensors, name: tensors[name].astype(np.int64 if tensors[name].dtype.kind == "f" else np.float32)})


def raw(header, numbers=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + numbers


def entry(start, end, shape=(2,), dtype="F32"):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, end]}


HOSTILE = {
    "no file": b"", "half a length": b"\0\0\0", "a length beyond the file": b"\xff" * 7 + b"\x7f{}", "a length beyond reason": b"\xff" * 8,
    "terabytes": raw({"w": entry(0, 4 * 10**12, (10**6, 10**6))}), "negative": raw({"w": entry(0, 8, (-2,))}, bytes(8)),
    "two negatives": raw({"w": entry(0, 8, (-1, -2))}, bytes(8)), "overlap": raw({"a": entry(0, 8), "b": entry(0, 8)}, bytes(8)),
    "a gap": raw({"a": entry(0, 8), "b": entry(12, 20)}, bytes(20)), "backwards": raw({"a": entry(8, 0)}, bytes(8)),
    "too many bytes": raw({"a": entry(0, 8)}, bytes(9)), "too few bytes": raw({"a": entry(0, 8)}, bytes(7)),
    "a name twice": raw(b'{"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]},"a":{"dtype":"F32","shape":[0],"data_offsets":[0,0]}}'),
    "brackets": raw(b"[" * 10**6), "braces": raw(b'{"a":' * 10**5), "a large number": raw(b'{"a":' + b"9" * 10**5 + b"}"), "NaN": raw(b'{"a":NaN}'),
    "beyond infinity": raw(b'{"a":1e999}'), "not UTF-8": raw(b'{"\xff":1}'), "an object": raw({"w": entry(0, 8, dtype="O")}, bytes(8)),
    "a list for a type": raw({"w": {"dtype": ["F32"], "shape": [2], "data_offsets": [0, 8]}}, bytes(8)),
    "floats for offsets": raw({"w": {"dtype": "F32", "shape": [2], "data_offsets": [0.0, 8.0]}}, bytes(8)),
    "truths for a shape": raw({"w": entry(0, 4, (True,))}, bytes(4)), "a hundred axes": raw({"w": entry(0, 4, (1,) * 100)}, bytes(4)),
    "an overlap that adds up": raw({"v": entry(0, 8), "w": entry(0, 8)}, bytes(16)),
    "a gap that adds up": raw({"v": entry(0, 8), "w": entry(16, 24)}, bytes(16)),
    "a list for a table": raw([1, 2]), "a number for a tensor": raw({"w": 3}), "more than it should": raw({"w": {**entry(0, 8), "x": 1}}, bytes(8)),
    "numbers for texts": raw({"__metadata__": {"a": 1}}), "a text for texts": raw({"__metadata__": "a"}),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_cost_nothing(name, tmp_path):
    data = HOSTILE[name]
    path = tmp_path / "a.safetensors"
    path.write_bytes(data)
    tracemalloc.start()
    start = time.perf_counter()
    with pytest.raises(CheckpointError):
        unpack(data)
    for reader in (load, describe):
        with pytest.raises(CheckpointError, match="a.safetensors"):
            reader(path)
    peak, seconds = tracemalloc.get_traced_memory()[1], time.perf_counter() - start
    tracemalloc.stop()
    assert peak < 30 * len(data) + 2**20 and seconds < 3


@pytest.mark.parametrize("depth", [99, 101, 300, 600, 900, 950, 980, 1000, 3000, 20000])
def test_nesting_of_any_depth(depth):
    for text in (b"[" * depth + b"]" * depth, b'{"a":' * depth + b"1" + b"}" * depth):
        for data in (raw(text), raw(b'{"__metadata__":{"header":' + text + b"}}"), raw(b'{"w":' + text + b"}")):
            assert outcome(".safetensors", data) == "refused"
        for data in (text, b'{"tensors":{},"sha256":"","header":' + text + b"}", b'{"tensors":{"w":' + text + b"}}"):
            assert outcome(".json", data) == "refused"


@kinds
def test_a_header_is_refused_for_its_depth_alone(kind, tmp_path):
    network = Network(Dense(2)).build(3)
    header, tensors = checkpoint.contents(network, notes={"deep": json.loads("[" * 150 + "]" * 150)})
    with pytest.raises(CheckpointError, match="deep"):
        checkpoint.decode(kind, checkpoint.encode(kind, header, tensors))
    with pytest.raises(CheckpointError, match="deep"):
        save(tmp_path / f"a{kind}", network, notes=header["notes"])


def looping(times, inside=None):
    return {"Feedback": {"layers": [inside or {"ReLU": {}}], "times": times, "shared": False}}


def test_runs_are_counted_as_they_are_nested():
    count = checkpoint.runs_asked_for
    assert count([{"Dense": {"units": 5, "init": {"function": "he_normal"}}}, {"ReLU": {}}]) == 2
    assert count([looping(3), {"ReLU": {}}]) == 7 and count([looping(3, looping(4))]) == 3 * (1 + 4 * 2)


def test_a_description_cannot_ask_for_memory():
    network = {"layers": [{"Dense": {"units": 10**9}}], "input_shape": [784], "dtype": "float32"}
    wide = {"layers": [{"Upsample": {"factor": 10**5}}], "input_shape": [1, 10, 10], "dtype": "float32"}
    tracemalloc.start()
    hidden = [looping(20_000), looping(-20_000)]       # the second would be refused by its constructor, after the first is built
    loops = [{**wide, "layers": layers} for layers in ([looping(10**9)], [looping(300, looping(300))], hidden)]
    for data in (network, wide, *loops):
        with pytest.raises(CheckpointError):
            checkpoint.make_network(data, {}, numbers=10**6)
    assert tracemalloc.get_traced_memory()[1] < 2**20
    tracemalloc.stop()


def test_files_that_are_something_else(tmp_path):
    np.savez(tmp_path / "a.safetensors", w=np.zeros(3))
    (tmp_path / "b.json").write_text('{"tensors": {}}')
    (tmp_path / "c.safetensors").write_bytes(pack({"format": "pt"}, {"w": np.zeros(3, np.float32)}))
    (tmp_path / "d.json").mkdir()
    (tmp_path / "e.npz").write_bytes(b"PK")
    for name in ("a.safetensors", "b.json", "c.safetensors", "d.json", "e.npz", "missing.json"):
        for reader in (load, describe):
            with pytest.raises(CheckpointError, match=name):
                reader(tmp_path / name)


# --- into what exists, and atomically -----------------------------------------------------------------------


@kinds
@both
def test_restore_puts_everything_back(kind, dtype, tmp_path):
    network, optimizer, _ = trained(dtype)
    save(tmp_path / f"a{kind}", network, optimizer)
    other, rate = fresh_like(dtype), Adam(Cosine(0.01, 30))
    restore(tmp_path / f"a{kind}", other, rate)
    assert np.array_equal(other.parameters, network.parameters) and same_arrays(dict(other.named_buffers()), dict(network.named_buffers()))
    assert same_arrays(rate.state, optimizer.state) and rate.steps == optimizer.steps
    restore(tmp_path / f"a{kind}", fresh_like(dtype))                         # without its optimizer


def fresh_like(dtype=np.float32, units=3, rate=0.2):
    return Network(Dense(units), BatchNorm(), ReLU(), Dropout(rate), Dense(3), dtype=dtype).build(4, seed=9)


@pytest.mark.parametrize("network, optimizer, message", [
    (lambda: fresh_like(units=4), None, "layer 0"), (lambda: fresh_like(rate=0.3), None, "layer 3"),
    (lambda: fresh_like(np.float64), None, "dtype"), (lambda: Network(Dense(3)).build(4), None, "layer 1 to be None"),
    (fresh_like, lambda: Adam(Cosine(0.02, 30)), "optimizer"), (fresh_like, lambda: SGD(0.1), "optimizer")])
def test_the_checkpoint_of_another_network_or_optimizer(network, optimizer, message, tmp_path, files):
    (tmp_path / "a.json").write_bytes(files[0][".json"])
    network, optimizer = network(), optimizer and optimizer()
    before = network.parameters.copy()
    with pytest.raises(CheckpointError, match=f"expected {message}"):
        restore(tmp_path / "a.json", network, optimizer)
    assert np.array_equal(before, network.parameters) and (optimizer is None or not optimizer.state)


def test_no_optimizer_to_restore(tmp_path):
    network = Network(Dense(2)).build(3)
    save(tmp_path / "a.json", network)
    with pytest.raises(CheckpointError, match="expected optimizer"):
        restore(tmp_path / "a.json", network, SGD(0.1))


@kinds
def test_an_interrupted_save_leaves_the_old_file(kind, tmp_path, monkeypatch):
    path, network = tmp_path / f"a{kind}", Network(Dense(2)).build(3)
    old = save(path, network)
    network.parameters[...] = 5
    for call in ("replace", "fsync"):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, lambda *args: (_ for _ in ()).throw(KeyboardInterrupt))
            with pytest.raises(KeyboardInterrupt):
                save(path, network)
        assert load(path).sha256 == old
    network.parameters[0] = np.nan
    if kind == ".json":
        with pytest.raises(CheckpointError, match="finite"):
            save(path, network)
        assert load(path).sha256 == old
    else:
        assert save(path, network) == load(path).sha256 != old
        assert np.array_equal(bits(load(path).network.parameters), bits(network.parameters))


def test_describe_reads_no_numbers(tmp_path):
    network, optimizer, run = trained()
    path = tmp_path / "a.safetensors"
    sha256 = save(path, network, optimizer, run, {"scale": 255})
    told = describe(path)
    assert told["sha256"] == sha256 and told["input_shape"] == (4,) and told["dtype"] == "float32" and told["optimizer"] == "Adam"
    assert told["layers"] == ["Dense", "BatchNorm", "ReLU", "Dropout", "Dense"] and told["notes"] == {"scale": 255}
    assert told["epochs"] == 2 and told["steps"] == 6 and told["last"]["epoch"] == 2 and told["bytes"] == path.stat().st_size
    assert told["numbers"] == network.parameter_count + sum(b.size for _, b in network.named_buffers())
    save(tmp_path / "a.json", network, optimizer, run, {"scale": 255})
    assert {**describe(tmp_path / "a.json"), "bytes": 0} == {**told, "bytes": 0}
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    assert describe(path) == told
    with pytest.raises(CheckpointError, match="digest"):
        load(path)


# --- runs ---------------------------------------------------------------------------------------------------


def data_set():
    rng = np.random.default_rng(1)
    images = rng.normal(size=(60, 4)).astype(np.float32)
    return images, images[:, :3].argmax(axis=1)


def recipe(optimizer, dtype=np.float32):
    """A network with buffers of both kinds, and what `fit` needs besides."""
    network = Network(Dense(6), BatchNorm(), ReLU(), Dropout(0.3), Dense(3), dtype=dtype)
    return network, {"optimizer": optimizer, "batch_size": 16, "validation": data_set(), "patience": 30, "progress": False}


RULES = [lambda: SGD(0.1), lambda: SGD(0.1, momentum=0.9), lambda: Adam(Cosine(0.02, 30, warmup=3)),
         lambda: Averaged(SGD(0.1, momentum=0.9, nesterov=True), decay=0.9)]


@pytest.mark.parametrize("make", RULES)
@pytest.mark.parametrize("kind, dtype, threads", [(".safetensors", np.float32, 1), (".json", np.float64, 1), (".json", np.float32, 2)])
def test_resumed_equals_never_interrupted(kind, make, dtype, threads, tmp_path):
    network, options = recipe(make(), dtype)
    rows = fit(network, *data_set(), epochs=6, threads=threads, **options)
    first, options = recipe(make(), dtype)
    fit(first, *data_set(), epochs=3, threads=threads, checkpoint=Checkpoints(tmp_path, kind), **options)
    found = load(Checkpoints(tmp_path, kind).paths()[-1])                     # from here on, nothing but the file
    options["optimizer"] = found.optimizer
    again = fit(found.network, *data_set(), epochs=6, threads=threads, checkpoint=Checkpoints(tmp_path, kind), resume=True, **options)
    assert np.array_equal(bits(found.network.parameters), bits(network.parameters))
    assert same_arrays(dict(found.network.named_buffers()), dict(network.named_buffers()))
    assert rows.drop(columns="seconds").equals(again.drop(columns="seconds"))
    last = load(Checkpoints(tmp_path, kind).paths()[-1])
    assert [row["loss"] for row in last.run.rows] == list(rows["loss"])


@pytest.mark.parametrize("make", [lambda n: RMSprop(ExponentialDecay(0.01, 0.99), clip_value=0.5),
                                  lambda n: Averaged(AdamW(Cosine(0.01, 20, warmup=3), weight_decay=np.linspace(0, 0.1, n.parameter_count)), decay=0.9)])
def test_skips_feedback_and_warped_images_go_on(make, tmp_path):
    rng = np.random.default_rng(0)
    images, labels = rng.random((40, 12, 12)).astype(np.float32), rng.integers(0, 4, 40)

    def attempt(epochs, **more):
        inner = [Convolution(3, 3, padding=1), BatchNorm(), ReLU(), Dropout(0.2)]
        network = Network(Convolution(3, 3, padding=1), Skip(*inner), Feedback(Convolution(3, 3, padding=1), BatchNorm(), Dropout(0.1), times=2, shared=False),
                          Loop(Convolution(3, 3, padding=1), Tanh(), times=2), MaxPool(2), Dense(4)).build((12, 12), 1)
        rows = fit(network, images, labels, optimizer=make(network), epochs=epochs, batch_size=8, validation=(images[:9], labels[:9]),
                   augment=Augmentation(elastic=2.0), seed=2, progress=False, **more)
        return network, rows.drop(columns="seconds")

    network, rows = attempt(4)
    attempt(2, checkpoint=Checkpoints(tmp_path))
    resumed, again = attempt(4, checkpoint=Checkpoints(tmp_path), resume=True)
    assert rows.equals(again) and np.array_equal(bits(resumed.parameters), bits(network.parameters))
    assert same_arrays(dict(resumed.named_buffers()), dict(network.named_buffers()))


@kinds
def test_early_stopping_survives(kind, tmp_path):
    """What was best, how good it was and how long ago: the run stops in the same epoch, with the same network."""
    rng = np.random.default_rng(0)
    nonsense = rng.normal(size=(60, 4)).astype(np.float32), rng.integers(0, 3, 60)

    def attempt(**more):
        network, options = recipe(Adam(0.05))
        rows = fit(network, *data_set(), **{**options, "epochs": 60, "validation": nonsense, "patience": 5, **more})
        return network, rows.drop(columns="seconds")

    network, rows = attempt()
    assert 5 < len(rows) < 60
    attempt(epochs=len(rows) - 2, checkpoint=Checkpoints(tmp_path, kind))
    resumed, again = attempt(checkpoint=Checkpoints(tmp_path, kind), resume=True)
    assert rows.equals(again) and np.array_equal(bits(resumed.parameters), bits(network.parameters))
    assert same_arrays(dict(resumed.named_buffers()), dict(network.named_buffers()))


def test_a_run_of_another_recipe_is_refused(tmp_path):
    network, options = recipe(Adam(0.01))
    fit(network, *data_set(), epochs=1, checkpoint=Checkpoints(tmp_path), **options)
    for change, word in (({"seed": 1}, "seed"), ({"batch_size": 8}, "batch_size"), ({"optimizer": Adam(0.02)}, "optimizer")):
        other, options = recipe(Adam(0.01))
        other.build(4, seed=5)
        before = other.parameters.copy()
        with pytest.raises(CheckpointError, match=f"expected {word}"):
            fit(other, *data_set(), epochs=2, checkpoint=Checkpoints(tmp_path), resume=True, **{**options, **change})
        assert np.array_equal(before, other.parameters)
    save(tmp_path / "epoch-000009.safetensors", network, options["optimizer"])   # no run in it
    with pytest.raises(CheckpointError, match="expected"):
        fit(network, *data_set(), epochs=2, checkpoint=Checkpoints(tmp_path), resume=True, **options)


def test_a_run_that_began_with_plain_archives_goes_on(tmp_path):
    network, options = recipe(Adam(0.01))
    rows = fit(network, *data_set(), epochs=4, **options)
    first, options = recipe(Adam(0.01))
    fit(first, *data_set(), epochs=2, checkpoint=tmp_path, **options)
    second, options = recipe(Adam(0.01))
    again = fit(second, *data_set(), epochs=4, checkpoint=Checkpoints(tmp_path), resume=True, **options)
    assert np.array_equal(second.parameters, network.parameters)
    assert rows.drop(columns="seconds").equals(again.drop(columns="seconds"))
    assert [path.name for path in Checkpoints(tmp_path).paths()] == ["epoch-000003.safetensors", "epoch-000004.safetensors"]


def test_only_the_latest_are_kept(tmp_path):
    network, options = recipe(SGD(0.1))
    fit(network, *data_set(), epochs=5, checkpoint=Checkpoints(tmp_path / "a" / "b", keep=2, notes={"n": 1}), **options)
    assert [path.name for path in sorted((tmp_path / "a" / "b").iterdir())] == ["epoch-000004.safetensors", "epoch-000005.safetensors"]
    assert load(Checkpoints(tmp_path / "a" / "b").paths()[-1]).notes == {"n": 1}
    with pytest.raises(ValueError, match="keep"):
        Checkpoints(tmp_path, keep=0)


def test_rows_may_hold_what_json_has_no_word_for(tmp_path):
    network = Network(Dense(2)).build(3)
    run = Run(network, SGD(0.1), {"samples": 3})
    run.rows = [{"epoch": 1, "val_loss": np.inf, "loss": np.float32(0.1)}, {"epoch": 2, "val_loss": np.nan, "loss": 0.1}]
    for kind in KINDS:
        save(tmp_path / f"a{kind}", network, run.optimizer, run)
        back = load(tmp_path / f"a{kind}").run
        assert back.rows[0] == run.rows[0] and np.isnan(back.rows[1]["val_loss"]) and back.best_loss == np.inf


VICTIM = """
import sys
import numpy as np
from nnlib.checkpoint import Checkpoints
from tests.test_checkpoint import Adam, data_set, fit, recipe
network, options = recipe(Adam(0.01))
fit(network, *data_set(), epochs=15, checkpoint=Checkpoints(sys.argv[1], keep=3), resume=True, **options)
np.save(sys.argv[1] + "/done.npy", network.parameters)
"""


def test_a_kill_at_any_moment_loses_nothing(tmp_path):
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OPENBLAS_NUM_THREADS": "1"}
    command = [sys.executable, "-c", VICTIM, str(tmp_path)]
    for attempt in range(2):
        process, known = subprocess.Popen(command, env=environment), Checkpoints(tmp_path).paths()[-1:]
        while process.poll() is None and Checkpoints(tmp_path).paths()[-1:] == known:
            time.sleep(0.001)
        time.sleep(0.013 * attempt)
        process.kill()
        process.wait()
    assert subprocess.run(command, env=environment).returncode == 0
    network, options = recipe(Adam(0.01))
    fit(network, *data_set(), epochs=15, **options)
    assert np.array_equal(np.load(tmp_path / "done.npy"), network.parameters)


def test_a_thousand_layers_are_no_trouble_and_a_million_brackets_neither():
    network = Network(*(ReLU() for _ in range(1000))).build(2)
    header, tensors = checkpoint.contents(network)
    assert len(checkpoint.rebuild(header, tensors).network.layers) == 1000
    deep = {"Skip": {"layers": [{"ReLU": {}}], "how": "add", "projection": None}}
    for _ in range(300):
        deep = {"Skip": {"layers": [deep], "how": "add", "projection": None}}
    with pytest.raises(CheckpointError):
        checkpoint.rebuild({"network": {"layers": [deep], "input_shape": [2], "dtype": "complex64"}}, {})


def test_reading_leaves_the_file_position_to_us():
    table, room = checkpoint.read_table(io.BytesIO(pack({}, PAIR)), len(pack({}, PAIR)))
    assert set(table) == {"a", "b"} and room == 32
