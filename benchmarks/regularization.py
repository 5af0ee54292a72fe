"""`python -m benchmarks.regularization`: what chapter 12 compares, over five seeds, into book/results/.

A small convolutional network learns from 1,000 digits, twenty epochs, with one means of regularization at a time.
"""
import sys
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from benchmarks.results import machine
from benchmarks.tables import write_table
from nnlib.activations import ReLU
from nnlib.convolution import Convolution
from nnlib.data import load_mnist, scale_pixels
from nnlib.dense import Dense
from nnlib.network import Network
from nnlib.optimizers import SGD, Cosine
from nnlib.pooling import MaxPool
from nnlib.regularization import (
    Averaged, BatchNorm, Dropout, SmoothedCrossEntropy, decay_weights, refresh_statistics)
from nnlib.training import evaluate, fit

FILE = Path(__file__).parents[1] / "book" / "results" / "regularization.csv"
SEEDS, SAMPLES, EPOCHS, BATCH = range(5), 1000, 20, 64
STEPS = EPOCHS * -(-SAMPLES // BATCH)
RECIPES = {
    "nothing": {},
    "weight decay 0.01": {"decay": 0.01},
    "label smoothing 0.1": {"smoothing": 0.1},
    "dropout 0.25 and 0.5": {"rate": 0.5},
    "batch normalization": {"norm": True},
    "batch norm., weight decay": {"norm": True, "decay": 0.01},
    "batch norm., decay, dropout": {"norm": True, "decay": 0.01, "rate": 0.5},
    "all four": {"norm": True, "decay": 0.01, "rate": 0.5, "smoothing": 0.1},
    "constant rate": {"schedule": "constant"},
    "constant rate, averaged": {"schedule": "constant", "average": 0.99},
    "all four, averaged": {"norm": True, "decay": 0.01, "rate": 0.5, "smoothing": 0.1, "average": 0.99},
}


def make_network(norm=False, rate=0.0):
    """Two convolutions and two dense layers, with what is asked for between them."""
    def norms():
        return [BatchNorm()] if norm else []

    def drops(share):
        return [Dropout(share)] if share else []

    return Network(Convolution(8, 5), *norms(), ReLU(), MaxPool(2), Convolution(16, 3), *norms(), ReLU(), MaxPool(2),
                   *drops(rate / 2), Dense(64), *norms(), ReLU(), *drops(rate), Dense(10))


def run(seed, train, test, norm=False, rate=0.0, decay=0.0, smoothing=0.0, schedule="cosine", average=None):
    """Train once; loss and accuracy on the digits learned from, and on the 10,000 test digits."""
    network = make_network(norm, rate).build((28, 28), seed)
    lr = Cosine(0.05, STEPS, warmup=STEPS // 10) if schedule == "cosine" else 0.05
    optimizer = SGD(lr, momentum=0.9, nesterov=True, weight_decay=decay_weights(network, decay))
    if average:
        optimizer = Averaged(optimizer, average)
    loss = SmoothedCrossEntropy(smoothing) if smoothing else None
    fit(network, *train, optimizer=optimizer, loss=loss, epochs=EPOCHS, batch_size=BATCH, seed=seed, progress=False)
    if average:
        optimizer.put_into(network)
        refresh_statistics(network, train[0])
    return [f"{evaluate(network, *digits)[what]:.4f}" for digits in (train, test) for what in ("loss", "accuracy")]


def main():
    """Every recipe with every seed; prints the means and spreads."""
    (images, labels), (test_images, test_labels) = load_mnist()
    train = scale_pixels(images[:SAMPLES]), labels[:SAMPLES]
    test, rows = (scale_pixels(test_images), test_labels), []
    with threadpool_limits(1, "blas"):
        for name, settings in RECIPES.items():
            for seed in tqdm(SEEDS, desc=name, file=sys.stdout):
                rows.append([name, seed, *run(seed, train, test, **settings)])
            found = np.array([row[2:] for row in rows[-len(SEEDS):]], float)
            print(name, found.mean(axis=0).round(4), found.std(axis=0, ddof=1).round(4), flush=True)
    columns = ["recipe", "seed", "train_loss", "train_accuracy", "test_loss", "test_accuracy"]
    write_table(FILE, columns, rows, command="python -m benchmarks.regularization", machine=machine(),
                seeds=", ".join(map(str, SEEDS)), samples=SAMPLES, epochs=EPOCHS, batch_size=BATCH)


if __name__ == "__main__":
    main()
