"""`python -m benchmarks.choices`: the measurements behind two choices of the library.

1. The order of W in memory: row by row, or column by column. It matters when BLAS has several threads.
2. What a second core is best used for: BLAS's own threads inside each product, or half of the minibatch each.
   And, for one core, whether a minibatch is faster in two halves, one after the other, than whole.
"""
import statistics
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.models import MODELS
from benchmarks.peers.nnlib import layers_of
from benchmarks.tables import blas, write_table
from nnlib.activations import ReLU
from nnlib.convolution import Convolution
from nnlib.dense import Dense
from nnlib.losses import SoftmaxCrossEntropy
from nnlib.network import Network
from nnlib.optimizers import SGD
from nnlib.pooling import MaxPool
from nnlib.regularization import BatchNorm
from nnlib.training import MinibatchGradient, train_epoch

FOLDER = Path(__file__).parents[1] / "book" / "results"
ROUNDS, REPEATS = 9, 200


def microseconds(work):
    """Mean time of one call, warm."""
    for _ in range(REPEATS // 5):
        work()
    start = time.perf_counter()
    for _ in range(REPEATS):
        work()
    return (time.perf_counter() - start) / REPEATS * 1e6


def weight_order():
    """Rows (what, threads, microseconds) for the gradient of a minibatch, W and dW by rows or by columns."""
    rng = np.random.default_rng(0)
    images, labels = rng.random((64, 784), np.float32), rng.integers(0, 10, 64)
    for threads in (1, 2):
        times = {"rows": [], "columns": []}
        with threadpool_limits(threads, "blas"):
            for _ in range(ROUNDS):
                for order, found in times.items():
                    gradient = MinibatchGradient(network_with(order), SoftmaxCrossEntropy(), images, labels)
                    found.append(microseconds(lambda: gradient(np.arange(64), 64)))
        yield from ([f"gradient, W by {order}", threads, statistics.median(t)] for order, t in times.items())


def network_with(order):
    """784-256-128-10 whose matrices are arrays of their own, in this order, instead of views of the flat vector."""
    network = Network(Dense(256), ReLU(), Dense(128), ReLU(), Dense(10)).build((784,))
    for layer in network.layers:
        arrays = [{name: np.array(getattr(layer, prefix + name), order="F" if order == "columns" else "C")
                   for name in layer.parameter_shapes} for prefix in ("", "d")]
        layer.bind(*arrays)
    return network


def dense_layers(hidden):
    """Layers of 784-hidden-10."""
    return [*(layer for units in hidden for layer in (Dense(units), ReLU())), Dense(10)]


def seeing_layers():
    """Two convolutions with batch normalization, for 28x28 pixels."""
    return [layer for filters in (16, 32) for layer in
            (Convolution(filters, 3, padding=1), BatchNorm(), ReLU(), MaxPool(2))] + [Dense(10)]


NETWORKS = (("784-256-128-10, batch 64", lambda: dense_layers((256, 128)), 64, 6400),
            ("784-1024-1024-10, batch 256", lambda: dense_layers((1024, 1024)), 256, 6400),
            ("8 and 16 filters, batch 64", lambda: layers_of(MODELS["small"]), 64, 6400),
            ("two convolutions, batch 128", seeing_layers, 128, 2560))


def second_core():
    """Rows (what, threads, microseconds a step) for three networks, the ways interleaved."""
    rng = np.random.default_rng(0)
    for name, layers, batch, count in NETWORKS:
        images, labels = rng.random((count, 28, 28), np.float32), rng.integers(0, 10, count)
        ways = {"one thread": (1, 1, 1), "one thread, two halves": (1, 1, 2),       # threads, BLAS's threads, parts
                "BLAS's threads": (1, 2, 1), "half the minibatch each": (2, 1, 1)}
        times = {way: [] for way in ways}
        for _ in range(ROUNDS):
            for way, (threads, blas, parts) in ways.items():
                network = Network(*layers()).build((28, 28))
                with threadpool_limits(blas, "blas"), \
                        MinibatchGradient(network, SoftmaxCrossEntropy(), images, labels, threads) as gradient:
                    train_epoch(gradient, SGD(0.01), rng, batch // parts, parts)
                    start = time.perf_counter()
                    train_epoch(gradient, SGD(0.01), rng, batch // parts, parts)
                    times[way].append((time.perf_counter() - start) / (count / batch) * 1e6)
        yield from ([f"{name}, {way}", max(ways[way][:2]), statistics.median(t)] for way, t in times.items())


def main():
    """Measure, print, and write book/results/choices.csv, which chapters 6 and 8 quote."""
    rows = [[what, threads, f"{us:.0f}"] for what, threads, us in (*weight_order(), *second_core())]
    write_table(FOLDER / "choices.csv", ["what", "threads", "microseconds"], rows,
                command="python -m benchmarks.choices", BLAS=f"{blas()}, NumPy {np.__version__}")
    for what, threads, us in rows:
        print(f"{what:50} {threads} threads {us:>7} µs")


if __name__ == "__main__":
    main()
