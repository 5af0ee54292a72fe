"""`python -m benchmarks.results [TABLE ...]`: the long runs behind the book's tables, over three seeds, into book/results/.

The tables `mlp` and `cnn` are made here; `regularization`, `augmentation`, `transposed` and `skips` by the modules of
these names. A chapter trains its own network once, in seconds; what it says about means and spreads it reads from here.
"""
import importlib
import os
import platform
import statistics
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from benchmarks.tables import blas, write_table
from nnlib.activations import ReLU, Sigmoid
from nnlib.augmentation import Augmentation
from nnlib.convolution import Convolution
from nnlib.data import load_mnist, scale_pixels
from nnlib.dense import Dense, glorot_uniform, he_normal
from nnlib.losses import SoftmaxCrossEntropy
from nnlib.network import Network
from nnlib.optimizers import SGD, Cosine
from nnlib.pooling import GlobalAveragePool, MaxPool
from nnlib.regularization import Averaged, BatchNorm, Dropout, SmoothedCrossEntropy, decay_weights, refresh_statistics
from nnlib.training import evaluate, fit

FOLDER = Path(__file__).parents[1] / "book" / "results"
SEEDS = (0, 1, 2)
ELSEWHERE = ("regularization", "augmentation", "transposed", "skips")


@dataclass(frozen=True)
class Recipe:
    """One network and how it is trained."""
    name: str
    layers: object              # () -> list of layers, new ones every time
    epochs: int
    batch_size: int
    optimizer: object           # network, steps -> Optimizer
    loss: type = SoftmaxCrossEntropy
    augment: object = None
    threads: int = 1

    def train(self, images, labels, seed):
        """A trained network."""
        network = Network(*self.layers()).build(images.shape[1:], seed)
        optimizer = self.optimizer(network, self.epochs * -(-len(images) // self.batch_size))
        fit(network, images, labels, optimizer=optimizer, loss=self.loss(), epochs=self.epochs, seed=seed,
            batch_size=self.batch_size, augment=self.augment, threads=self.threads, progress=False)
        if isinstance(optimizer, Averaged):
            optimizer.put_into(network)
            refresh_statistics(network, images)
        return network


def dense_layers(hidden, activation, init):
    """Layers of a multi-layer perceptron with ten outputs."""
    return lambda: [*(layer for units in hidden for layer in (Dense(units, init=init), activation())), Dense(10, init=init)]


def nesterov(network, steps):
    """The submission's optimizer: warm-up over a twentieth of the steps, then half a cosine down to nothing."""
    rate = Cosine(0.1, steps, warmup=steps // 20)
    return SGD(rate, momentum=0.9, nesterov=True, weight_decay=5e-5)


def plain(rate):
    """Gradient descent at one rate."""
    return lambda network, steps: SGD(rate)


def seeing_layers(width):
    """Three stages of two convolutions, each twice as wide and half as high as the one before; chapter 12 has it."""
    def block(filters, padding):
        return [Convolution(filters, 3, padding=padding, bias=False), BatchNorm(), ReLU()]

    def stage(filters, padding=1):
        return block(filters, padding) + block(filters, padding)

    return lambda: [*stage(width, 0), MaxPool(2), *stage(2 * width), MaxPool(2), *stage(4 * width),
                    GlobalAveragePool(), Dropout(0.2), Dense(10)]


def averaged_nesterov(network, steps):
    """Warm-up over 15 % of the steps, a cosine, decay on weights only, and a moving average of what it makes."""
    rate = Cosine(0.1, steps, final=1e-4, warmup=round(0.15 * steps))
    return Averaged(SGD(rate, momentum=0.9, nesterov=True, weight_decay=decay_weights(network, 5e-4)))


def seeing(name, epochs, augment=None):
    """A recipe for the convolutional network: the two threads share each minibatch of 128."""
    return Recipe(name, seeing_layers(16), epochs, 128, averaged_nesterov, SmoothedCrossEntropy, augment, threads=2)


TABLES = {
    "mlp": (
        Recipe("784-256-128-10 ReLU, Nesterov", dense_layers((256, 128), ReLU, he_normal), 8, 64, nesterov),
        Recipe("784-256-64-10 ReLU, plain SGD 0.05", dense_layers((256, 64), ReLU, he_normal), 15, 128, plain(0.05)),
        Recipe("784-256-64-10 sigmoid, plain SGD 0.2", dense_layers((256, 64), Sigmoid, glorot_uniform), 15, 128, plain(0.2)),
    ),
    "cnn": (
        seeing("convolutional network, 16-32-64", 5),
        seeing("convolutional network, 16-32-64, augmented", 14, Augmentation()),
    ),
}


def run(recipe, seed, train, test):
    """Train once; (accuracy on the 10,000 test digits, seconds of training)."""
    start = time.perf_counter()
    network = recipe.train(*train, seed)
    seconds = time.perf_counter() - start
    return evaluate(network, *test)["accuracy"], seconds


def machine():
    """The processor and the software that did the work, in words."""
    return (f"{os.cpu_count()} cores {platform.machine()} {platform.system()}, NumPy {np.__version__}, "
            f"{blas().removesuffix(')')}, 1 thread), Python {platform.python_version()}")


def make_table(name, train, test):
    """Every recipe of a table with every seed; prints the means and spreads."""
    rows = []
    for recipe in TABLES[name]:
        for seed in tqdm(SEEDS, desc=recipe.name, file=sys.stdout):
            accuracy, seconds = run(recipe, seed, train, test)
            rows.append([recipe.name, recipe.threads, recipe.epochs, recipe.batch_size, seed,
                         f"{accuracy:.4f}", f"{seconds:.1f}"])
        found = [float(row[5]) for row in rows[-len(SEEDS):]]
        print(f"{recipe.name}: mean {statistics.mean(found):.4f}, from {min(found):.4f} to {max(found):.4f}")
    columns = ["recipe", "threads", "epochs", "batch_size", "seed", "test_accuracy", "seconds"]
    write_table(FOLDER / f"{name}-seeds.csv", columns, rows, command="make results", machine=machine(),
                seeds=", ".join(map(str, SEEDS)))


def main(names):
    """Make the tables of these names."""
    train, test = ((scale_pixels(images), labels) for images, labels in load_mnist())
    with threadpool_limits(1, "blas"):
        for name in names:
            if name in TABLES:
                make_table(name, train, test)
            else:
                importlib.import_module(f"benchmarks.{name}").main()


if __name__ == "__main__":
    known = [*TABLES, *ELSEWHERE]
    if unknown := set(sys.argv[1:]) - set(known):
        raise SystemExit(f"expected tables from {', '.join(known)}, got {', '.join(sorted(unknown))}")
    main(sys.argv[1:] or known)
