"""nnlib.training: the loop, its records, and that no kill at any moment can lose a run."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info, threadpool_limits

import reference.training as reference
from nnlib.activations import ReLU
from nnlib.dense import Dense, Layer, ShapeError
from nnlib.losses import MeanSquaredError, RootMeanSquaredError, SoftmaxCrossEntropy
from nnlib.network import Network
from nnlib.optimizers import SGD, Adam, Cosine, RMSprop
from nnlib.training import (
    CheckpointError,
    MinibatchGradient,
    accumulate_gradient,
    accuracy,
    epoch_generator,
    evaluate,
    fit,
    latest_checkpoint,
    read_checkpoint,
    train_epoch,
    write_atomically,
    write_checkpoint,
)


@pytest.fixture(scope="module")
def digits():
    """Random images with labels that depend on them: 200 for training, 60 for validation."""
    rng = np.random.default_rng(1)
    images = rng.normal(size=(260, 4, 5)).astype(np.float32)
    labels = images.reshape(260, 20)[:, :3].argmax(axis=1)
    return (images[:200], labels[:200]), (images[200:], labels[200:])


def small(dtype=np.float32, hidden=8):
    return Network(Dense(hidden), ReLU(), Dense(3), dtype=dtype)


def train(data, network=None, optimizer=None, **options):
    network = network or small()
    options = {"epochs": 3, "batch_size": 16, "progress": False} | options
    history = fit(network, *data, optimizer=optimizer or Adam(0.01), **options)
    return network, history


# --- gradients in parts -----------------------------------------------------------------------------------


@given(samples=st.integers(1, 40), threads=st.integers(1, 5), size=st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_gradient_in_parts_is_the_gradient(samples, threads, size):
    rng = np.random.default_rng(samples)
    images, labels = rng.normal(size=(samples, 6)), rng.integers(0, 3, samples)
    network, loss = small(np.float64).build((6,)), SoftmaxCrossEntropy()
    value = loss.forward(network.forward(images.T), labels)
    network.backward(loss.backward())
    expected = network.gradients.copy()
    with MinibatchGradient(network, SoftmaxCrossEntropy(), images, labels, threads) as gradient:
        total = accumulate_gradient(gradient, np.arange(samples), size)
    np.testing.assert_allclose(network.gradients, expected, rtol=1e-9, atol=1e-14)
    assert total / samples == pytest.approx(value, rel=1e-9)


def test_targets_need_not_be_labels():
    rng = np.random.default_rng(0)
    images, targets = rng.normal(size=(30, 6)), rng.normal(size=(30, 3))
    network, loss = small(np.float64).build((6,)), MeanSquaredError()
    loss.forward(network.forward(images.T), targets.T)
    network.backward(loss.backward())
    expected = network.gradients.copy()
    with MinibatchGradient(network, MeanSquaredError(), images, targets, 2) as gradient:
        gradient(np.arange(30), 30)
    np.testing.assert_allclose(network.gradients, expected, rtol=1e-9, atol=1e-14)


def test_blas_is_held_to_one_thread_and_let_go(digits):
    def blas_threads():
        return [pool["num_threads"] for pool in threadpool_info() if pool["user_api"] == "blas"]

    with threadpool_limits(2, "blas"):
        before = blas_threads()
        assert sys.platform != "linux" or max(before) > 1     # Apple's BLAS is not listed
        with MinibatchGradient(small().build((4, 5)), SoftmaxCrossEntropy(), *digits[0], threads=2):
            assert set(blas_threads()) <= {1}
        assert blas_threads() == before


def test_accumulation_uses_one_sum_again(digits):
    network = small(np.float64).build((4, 5))
    with MinibatchGradient(network, SoftmaxCrossEntropy(), *digits[0]) as gradient:
        gradient(np.arange(50), 50)
        expected = network.gradients.copy()
        for _ in range(2):
            room = gradient.summed.ctypes.data
            gradient.summed[...] = np.nan                    # whatever was there before
            accumulate_gradient(gradient, np.arange(50), 16)
            np.testing.assert_allclose(network.gradients, expected, rtol=1e-9, atol=1e-14)
            assert gradient.summed.ctypes.data == room


def test_accumulation_is_a_larger_minibatch(digits):
    at_once, _ = train(digits[0], small(np.float64), batch_size=32)
    in_parts, _ = train(digits[0], small(np.float64), batch_size=8, accumulate=4)
    np.testing.assert_allclose(in_parts.parameters, at_once.parameters, rtol=1e-9, atol=1e-13)


def test_epoch_loss_is_the_mean_over_samples(digits):
    """With a step so small that nothing moves, the epoch's loss is the loss, whatever the last batch's size."""
    network = small(np.float64).build((4, 5))
    expected = evaluate(network, *digits[0])["loss"]
    gradient = MinibatchGradient(network, SoftmaxCrossEntropy(), *digits[0])
    assert train_epoch(gradient, SGD(1e-15), np.random.default_rng(0), 48) == pytest.approx(expected, rel=1e-9)


# --- learning ---------------------------------------------------------------------------------------------


def test_random_data_can_be_learned_by_heart():
    """The smoke test of training: every part has to work for this, and none has anything to understand."""
    rng = np.random.default_rng(3)
    images, labels = rng.normal(size=(50, 20)), rng.integers(0, 5, 50)
    network = Network(Dense(64), ReLU(), Dense(32), ReLU(), Dense(5))
    network.build((20,))
    before = {name: view.copy() for name, view in network.named_parameters()}
    fit(network, images, labels, optimizer=Adam(0.01), epochs=150, batch_size=10, progress=False)
    result = evaluate(network, images, labels)
    assert result["accuracy"] == 1.0 and result["loss"] < 0.01
    for name, view in network.named_parameters():
        assert np.abs(view - before[name]).max() > 1e-3, f"{name} did not learn"


@pytest.mark.parametrize("optimizer", [SGD(0.1, momentum=0.9, nesterov=True), RMSprop(0.01), Adam(Cosine(0.02, 200))])
def test_validation_improves(digits, optimizer):
    _, history = train(digits[0], optimizer=optimizer, validation=digits[1], epochs=15)
    assert history["val_accuracy"].iloc[-1] > 0.75
    assert history["val_loss"].iloc[-1] < 0.6 * np.log(3)  # log 3: the loss of knowing nothing


def test_history_and_csv_agree(digits, tmp_path):
    _, history = train(digits[0], validation=digits[1], csv=tmp_path / "history.csv")
    assert list(history.columns) == ["epoch", "learning_rate", "loss", "val_loss", "val_accuracy", "seconds"]
    assert list(history["epoch"]) == [1, 2, 3]
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "history.csv"), history, rtol=1e-12)


def test_csv_grows_as_the_run_goes(digits, tmp_path):
    with pytest.raises(FloatingPointError), np.errstate(all="ignore"):
        train(digits[0], optimizer=SGD(lambda step: 0.01 if step < 26 else 1e30), csv=tmp_path / "history.csv", epochs=9)
    assert len(pd.read_csv(tmp_path / "history.csv")) == 2


def test_the_progress_bar_says_what_it_sees(digits, capsys):
    train(digits[0], validation=digits[1], progress=True)
    assert "val_accuracy" in capsys.readouterr().err


# --- the same seed ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_same_seed_same_bits(digits, threads):
    first, _ = train(digits[0], threads=threads, seed=4)
    second, _ = train(digits[0], threads=threads, seed=4)
    assert np.array_equal(first.parameters, second.parameters)
    other, _ = train(digits[0], threads=threads, seed=5)
    assert not np.array_equal(first.parameters, other.parameters)


def test_every_epoch_has_its_own_order():
    orders = [tuple(epoch_generator(seed, epoch).permutation(50)) for seed in range(3) for epoch in (1, 2, 3)]
    orders += [tuple(np.random.default_rng(seed).permutation(50)) for seed in range(3)]  # the initial weights' stream
    assert len(set(orders)) == 12
    assert orders[4] == tuple(epoch_generator(1, 2).permutation(50))


# --- early stopping ---------------------------------------------------------------------------------------


def test_early_stopping_restores_the_best(digits):
    rng = np.random.default_rng(0)
    nonsense = rng.normal(size=(60, 4, 5)).astype(np.float32), rng.integers(0, 3, 60)
    network, history = train(digits[0], optimizer=Adam(0.05), validation=nonsense, epochs=50, patience=3)
    best = int(history["val_loss"].idxmin())
    assert len(history) == best + 4 < 50
    assert evaluate(network, *nonsense)["loss"] == history["val_loss"][best]


# --- checkpoints ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [lambda: SGD(0.1), lambda: SGD(0.1, momentum=0.9), lambda: RMSprop(0.01, centered=True, momentum=0.5),
                                  lambda: Adam(Cosine(0.02, 100, warmup=10))])
@pytest.mark.parametrize("threads", [1, 2])
def test_resumed_is_bit_identical(digits, tmp_path, make, threads):
    options = {"validation": digits[1], "threads": threads, "patience": 50}
    whole, rows = train(digits[0], optimizer=make(), epochs=6, **options)
    train(digits[0], optimizer=make(), epochs=3, checkpoint=tmp_path, checkpoint_every=3, **options)
    resumed, resumed_rows = train(digits[0], optimizer=make(), epochs=6, checkpoint=tmp_path, resume=True, **options)
    assert np.array_equal(whole.parameters, resumed.parameters)
    pd.testing.assert_frame_equal(rows.drop(columns="seconds"), resumed_rows.drop(columns="seconds"), check_exact=True)


class Centred(Layer):
    """Subtracts each number's mean: the batch's while learning, afterwards a running one, which is its buffer."""

    def build(self, input_shape):
        self.sample_shape = tuple(input_shape)
        return self.sample_shape

    def initialize(self, rng):
        self.buffers = {"mean": np.zeros((*self.sample_shape, 1), np.float32)}

    def forward(self, x, training=False):
        if not training:
            return x - self.buffers["mean"]
        mean = x.mean(axis=-1, keepdims=True)
        self.buffers["mean"] += 0.1 * (mean - self.buffers["mean"])
        return x - mean

    def backward(self, dy, need_dx=True):
        return dy - dy.mean(axis=-1, keepdims=True)


def centred():
    return Network(Dense(8), Centred(), ReLU(), Centred(), Dense(3))


def buffers_of(network):
    assert [name for name, _ in network.named_buffers()] == ["centred1.mean", "centred2.mean"]
    return np.concatenate([array.ravel() for _, array in network.named_buffers()])


@pytest.mark.parametrize("threads", [1, 2])
def test_buffers_come_back_from_a_checkpoint(digits, tmp_path, threads):
    """The run goes on with the same bits, and it stops at the best network's buffers, not at the last one's."""
    options = {"validation": digits[1], "threads": threads, "patience": 50}
    whole, rows = train(digits[0], centred(), epochs=6, **options)
    train(digits[0], centred(), epochs=3, checkpoint=tmp_path, **options)
    resumed, again = train(digits[0], centred(), epochs=6, checkpoint=tmp_path, resume=True, **options)
    assert np.array_equal(whole.parameters, resumed.parameters)
    assert np.array_equal(buffers_of(whole), buffers_of(resumed)) and np.abs(buffers_of(whole)).min() > 0
    pd.testing.assert_frame_equal(rows.drop(columns="seconds"), again.drop(columns="seconds"), check_exact=True)
    _, arrays = read_checkpoint(latest_checkpoint(tmp_path))
    assert {"network/centred1.mean", "best/centred2.mean", "network/parameters", "best/parameters", "state/m"} <= set(arrays)


def test_buffers_of_the_best_epoch_come_back(digits, tmp_path):
    rng = np.random.default_rng(0)
    nonsense = rng.normal(size=(60, 4, 5)).astype(np.float32), rng.integers(0, 3, 60)
    options = {"optimizer": Adam(0.05), "validation": nonsense, "patience": 3, "checkpoint": tmp_path}
    network, history = train(digits[0], centred(), epochs=50, **options)
    best = int(history["val_loss"].idxmin())
    assert len(history) == best + 4 < 50
    assert evaluate(network, *nonsense)["loss"] == history["val_loss"][best]
    resumed, _ = train(digits[0], centred(), epochs=50, resume=True, **options)       # there is nothing left to do
    assert np.array_equal(buffers_of(resumed), buffers_of(network))
    assert evaluate(resumed, *nonsense)["loss"] == history["val_loss"][best]


def test_the_networks_own_buffers_count_when_threads_share_the_work(digits):
    network = centred().build((4, 5))
    with MinibatchGradient(network, SoftmaxCrossEntropy(), *digits[0], threads=2) as gradient:
        gradient(np.arange(40), 40)
    alone = centred().build((4, 5))
    alone.forward(np.moveaxis(digits[0][0][:20], 0, -1), training=True)          # thread 0 has the first half
    assert np.array_equal(buffers_of(network), buffers_of(alone)) and np.abs(buffers_of(alone)).min() > 0


def test_patience_survives_a_resume(digits, tmp_path):
    rng = np.random.default_rng(0)
    options = {"validation": (rng.normal(size=(60, 4, 5)).astype(np.float32), rng.integers(0, 3, 60)), "patience": 4}
    whole, rows = train(digits[0], optimizer=Adam(0.05), epochs=50, **options)
    train(digits[0], optimizer=Adam(0.05), epochs=len(rows) - 2, checkpoint=tmp_path, **options)
    resumed, again = train(digits[0], optimizer=Adam(0.05), epochs=50, checkpoint=tmp_path, resume=True, **options)
    assert len(again) == len(rows)
    assert np.array_equal(whole.parameters, resumed.parameters)


def test_checkpoints_come_every_k_epochs_and_at_the_end(digits, tmp_path):
    train(digits[0], epochs=5, checkpoint=tmp_path / "new" / "folder", checkpoint_every=2)
    names = sorted(path.name for path in (tmp_path / "new" / "folder").iterdir())
    assert names == ["epoch-000002.npz", "epoch-000004.npz", "epoch-000005.npz"]


def test_resuming_in_an_empty_folder_starts(digits, tmp_path):
    _, history = train(digits[0], checkpoint=tmp_path / "nothing", resume=True)
    assert len(history) == 3


VICTIM = """
import sys
import numpy as np
from tests.test_training import Adam, fit, small
rng = np.random.default_rng(1)
images = rng.normal(size=(400, 20)).astype(np.float32)
labels = images[:, :3].argmax(axis=1)
network = small()
fit(network, images, labels, optimizer=Adam(0.01), epochs=40, batch_size=8, validation=(images, labels),
    checkpoint=sys.argv[1], resume=True, csv=sys.argv[1] + "/history.csv", progress=False)
np.save(sys.argv[1] + "/done.npy", network.parameters)
"""


def run_victim(folder, kill_after=None):
    """Train in another process; kill it (signal 9) that long after its first checkpoint."""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1]), "OPENBLAS_NUM_THREADS": "1"}
    process = subprocess.Popen([sys.executable, "-c", VICTIM, str(folder)], env=environment)
    if kill_after is not None:
        known = latest_checkpoint(folder)
        while process.poll() is None and latest_checkpoint(folder) == known:
            time.sleep(0.001)
        time.sleep(kill_after)
        process.kill()
    return process.wait()


def test_a_kill_at_any_moment_loses_nothing(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir(), killed.mkdir()
    assert run_victim(whole) == 0
    for moment in np.random.default_rng(0).uniform(0, 0.1, 3):
        run_victim(killed, moment)
        read_checkpoint(latest_checkpoint(killed))
    assert len(list(killed.glob("epoch-*.npz"))) < 40, "killed too late to prove anything"
    assert run_victim(killed) == 0
    assert np.array_equal(np.load(whole / "done.npy"), np.load(killed / "done.npy"))


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    write_atomically(tmp_path / "file", lambda file: file.write(b"old"))

    def stops_half_way(file):
        file.write(b"ne")
        raise RuntimeError

    with pytest.raises(RuntimeError):
        write_atomically(tmp_path / "file", stops_half_way)
    assert (tmp_path / "file").read_bytes() == b"old"


@pytest.mark.parametrize("change, message", [
    ({"network": small(hidden=9)}, "architecture"),
    ({"network": small(np.float64)}, "dtype float64, got float32"),
    ({"optimizer": SGD(0.1)}, r"optimizer SGD\(.*got Adam"),
    ({"batch_size": 32}, "batch_size 32, got 16"),
    ({"seed": 1}, "seed 1, got 0"),
    ({"threads": 2}, "threads 2, got 1"),
])
def test_checkpoint_of_another_run_is_refused(digits, tmp_path, change, message):
    train(digits[0], checkpoint=tmp_path)
    network = change.pop("network", small()).build((4, 5))
    before = network.parameters.copy()
    with pytest.raises(CheckpointError, match=message):
        train(digits[0], network, epochs=5, checkpoint=tmp_path, resume=True, **change)
    assert np.array_equal(network.parameters, before)


@pytest.mark.parametrize("damage", [
    lambda data: data[: len(data) // 2],
    lambda data: b"",
    lambda data: b"not a zip",
    lambda data: data[:300] + bytes([data[300] ^ 255]) + data[301:],
    lambda data: data[:-300] + bytes(300),
])
def test_damaged_checkpoint_is_refused(tmp_path, damage):
    path = tmp_path / "epoch-000001.npz"
    write_checkpoint(path, {}, {"parameters": np.arange(200.0)})
    read_checkpoint(path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(CheckpointError, match="epoch-000001.npz"):
        read_checkpoint(path)


def test_checkpoint_of_another_version_and_missing_ones(tmp_path):
    text = np.frombuffer(json.dumps({"version": 99}).encode(), np.uint8)
    np.savez(tmp_path / "future.npz", header=text)
    with pytest.raises(CheckpointError, match="version 2, got 99"):
        read_checkpoint(tmp_path / "future.npz")
    np.savez(tmp_path / "past.npz", header=np.frombuffer(b'{"version": 1}', np.uint8), parameters=np.zeros(3))
    with pytest.raises(CheckpointError, match="version 2, got 1"):        # version 1 knew no buffers
        read_checkpoint(tmp_path / "past.npz")
    np.savez(tmp_path / "other.npz", weights=np.zeros(3))
    with pytest.raises(CheckpointError, match="other.npz"):
        read_checkpoint(tmp_path / "other.npz")
    with pytest.raises(CheckpointError, match="missing.npz"):
        read_checkpoint(tmp_path / "missing.npz")


def test_a_pickle_is_not_opened(tmp_path):
    np.savez(tmp_path / "evil.npz", header=np.array([{"version": 1}], dtype=object))
    with pytest.raises(CheckpointError, match="evil.npz"):
        read_checkpoint(tmp_path / "evil.npz")


# --- accuracy and evaluate --------------------------------------------------------------------------------


@given(st.integers(1, 30), st.integers(1, 5), st.integers(0, 2**32 - 1))
def test_accuracy_agrees_with_the_reference(n, classes, seed):
    rng = np.random.default_rng(seed)
    outputs, labels = rng.integers(0, 3, (n, classes)).astype(float), rng.integers(0, classes, n)  # many ties
    assert accuracy(outputs, labels) == reference.accuracy(outputs, labels)


def test_evaluate_does_not_depend_on_the_batch_size(digits):
    network = small(np.float64).build((4, 5))
    whole, single = evaluate(network, *digits[1], batch_size=100), evaluate(network, *digits[1], batch_size=1)
    assert whole["accuracy"] == single["accuracy"]
    assert whole["loss"] == pytest.approx(single["loss"], rel=1e-9)
    assert whole["loss"] == pytest.approx(SoftmaxCrossEntropy().forward(network.predict(digits[1][0]).T, digits[1][1]))


def test_evaluate_of_targets_has_no_accuracy(digits):
    network = small().build((4, 5))
    targets = np.zeros((60, 3), np.float32)
    assert list(evaluate(network, digits[1][0], targets, MeanSquaredError())) == ["loss"]


# --- refusals ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options, error, message", [
    ({"epochs": 0}, ValueError, "epochs to be a whole number of at least 1, got 0"),
    ({"batch_size": 2.5}, ValueError, "batch_size .* got 2.5"),
    ({"threads": -1}, ValueError, "threads .* got -1"),
    ({"accumulate": 0}, ValueError, "accumulate"),
    ({"checkpoint_every": 0}, ValueError, "checkpoint_every"),
    ({"patience": 3}, ValueError, "validation"),
    ({"resume": True}, ValueError, "checkpoint=FOLDER"),
    ({"loss": RootMeanSquaredError(), "accumulate": 2}, ValueError, "RootMeanSquaredError .* parts"),
    ({"loss": RootMeanSquaredError(), "threads": 2}, ValueError, "RootMeanSquaredError .* parts"),
])
def test_bad_arguments_are_refused(digits, options, error, message):
    with pytest.raises(error, match=message):
        train(digits[0], **options)


def test_bad_data_is_refused(digits):
    images, labels = digits[0]
    with pytest.raises(ShapeError, match="200 images and 199 labels"):
        train((images, labels[:-1]))
    with pytest.raises(ShapeError, match="0 images"):
        train((images[:0], labels[:0]))
    with pytest.raises(ShapeError, match="got"):
        train((images, labels), small().build((7,)))
    with pytest.raises(ShapeError, match="outputs"):
        accuracy(np.zeros((3, 2)), np.zeros(4, int))
    with pytest.raises(ShapeError, match="outputs"):
        accuracy(np.zeros((0, 2)), np.zeros(0, int))


def test_nan_stops_before_the_step(digits):
    images = digits[0][0].copy()
    images[7, 0, 0] = np.nan
    network = small().build((4, 5))
    before = network.parameters.copy()
    with pytest.raises(FloatingPointError, match="step 0 .* learning rate 0.01"):
        train((images, digits[0][1]), network, batch_size=200)
    assert np.array_equal(network.parameters, before)


def test_a_small_network_on_real_digits_beats_its_floor():
    """The floors of the chapter's trained figures: 1,000 digits, early stopping; the chapter sees 88.5 to 89.5 %."""
    from nnlib.data import load_mnist, scale_pixels

    (images, labels), _ = load_mnist()
    images = scale_pixels(images)
    found = []
    for seed in range(3):
        network = Network(Dense(256), ReLU(), Dense(10))
        history = fit(network, images[:1000], labels[:1000], optimizer=Adam(0.001), epochs=30, seed=seed, patience=5,
                      validation=(images[50_000:52_000], labels[50_000:52_000]), progress=False)
        found.append(evaluate(network, images[52_000:57_000], labels[52_000:57_000])["accuracy"])
        assert len(history) < 30 or history["val_loss"].idxmin() > 20
    assert np.mean(found) > 0.86


def test_augment_changes_what_an_epoch_learns_from(digits, tmp_path):
    """Called once an epoch with the epoch's generator; (seed, epoch) decides, a resumed run arrives at the same bits."""
    seen = []

    def noisy(images, rng):
        seen.append(rng.random())
        return images + rng.normal(0.0, 0.1, images.shape)

    plain, noise = small(), small()
    train(digits[0], plain, epochs=3)
    train(digits[0], noise, epochs=3, augment=noisy)
    assert seen == [epoch_generator(0, epoch).random() for epoch in (1, 2, 3)]
    assert not np.array_equal(plain.parameters, noise.parameters)
    train(digits[0], small(), epochs=2, augment=noisy, checkpoint=tmp_path)
    resumed = small()
    train(digits[0], resumed, epochs=3, augment=noisy, checkpoint=tmp_path, resume=True)
    assert np.array_equal(noise.parameters, resumed.parameters)
    with pytest.raises(CheckpointError, match="expected augment None, got noisy"):
        train(digits[0], small(), epochs=4, checkpoint=tmp_path, resume=True)
    with pytest.raises(ShapeError, match="augment: expected images shaped"):
        train(digits[0], small(), augment=lambda images, rng: images[:5])
