"""`python -m benchmarks.results`: the long runs behind the book's tables, over three seeds, into book/results/.

A chapter trains its own network once, in seconds; what it says about means and spreads it reads from here.
"""
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
from nnlib.data import load_mnist, scale_pixels
from nnlib.dense import Dense, glorot_uniform, he_normal
from nnlib.network import Network
from nnlib.optimizers import SGD, Cosine
from nnlib.training import evaluate, fit

FOLDER = Path(__file__).parents[1] / "book" / "results"
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Recipe:
    """One network and how it is trained."""
    name: str
    hidden: tuple
    activation: type
    init: object
    epochs: int
    batch_size: int
    optimizer: object           # steps -> Optimizer

    def network(self, seed):
        """Built and initialised from this seed."""
        layers = [layer for units in self.hidden for layer in (Dense(units, init=self.init), self.activation())]
        return Network(*layers, Dense(10, init=self.init)).build((784,), seed)


def nesterov(steps):
    """The submission's optimizer: warm-up over a twentieth of the steps, then half a cosine down to nothing."""
    rate = Cosine(0.1, steps, warmup=steps // 20)
    return SGD(rate, momentum=0.9, nesterov=True, weight_decay=5e-5)


RECIPES = (
    Recipe("784-256-128-10 ReLU, Nesterov", (256, 128), ReLU, he_normal, 8, 64, nesterov),
    Recipe("784-256-64-10 ReLU, plain SGD 0.05", (256, 64), ReLU, he_normal, 15, 128, lambda steps: SGD(0.05)),
    Recipe("784-256-64-10 sigmoid, plain SGD 0.2", (256, 64), Sigmoid, glorot_uniform, 15, 128, lambda steps: SGD(0.2)),
)


def run(recipe, seed, train, test):
    """Train once; (accuracy on the 10,000 test digits, seconds of training)."""
    network = recipe.network(seed)
    steps = recipe.epochs * -(-len(train[0]) // recipe.batch_size)
    start = time.perf_counter()
    fit(network, *train, optimizer=recipe.optimizer(steps), epochs=recipe.epochs, batch_size=recipe.batch_size,
        seed=seed, progress=False)
    return evaluate(network, *test)["accuracy"], time.perf_counter() - start


def machine():
    """The processor and the software that did the work, in words."""
    return (f"{os.cpu_count()} cores {platform.machine()} {platform.system()}, NumPy {np.__version__}, "
            f"{blas().removesuffix(')')}, 1 thread), Python {platform.python_version()}")


def main():
    """Every recipe with every seed; prints the means and spreads."""
    train, test = ((scale_pixels(images), labels) for images, labels in load_mnist())
    rows = []
    with threadpool_limits(1, "blas"):
        for recipe in RECIPES:
            for seed in tqdm(SEEDS, desc=recipe.name, file=sys.stdout):
                accuracy, seconds = run(recipe, seed, train, test)
                rows.append([recipe.name, recipe.epochs, recipe.batch_size, seed, f"{accuracy:.4f}", f"{seconds:.1f}"])
            found = [float(row[4]) for row in rows[-len(SEEDS):]]
            print(f"{recipe.name}: mean {statistics.mean(found):.4f}, from {min(found):.4f} to {max(found):.4f}")
    columns = ["recipe", "epochs", "batch_size", "seed", "test_accuracy", "seconds"]
    write_table(FOLDER / "mlp-seeds.csv", columns, rows, command="make results", machine=machine(),
                seeds=", ".join(map(str, SEEDS)))


if __name__ == "__main__":
    main()
