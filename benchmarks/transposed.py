"""`python -m benchmarks.transposed`: the trained table that chapter 14 quotes. One thread, three seeds.

Denoisers that end in two steps from 7x7 to 28x28, made in different ways, and one with a dense code between its
halves; all learn from the same 10,000 digits under noise of deviation 0.5, drawn anew for every epoch. And the
autoencoder with a code of two numbers, on the digits without noise.
"""
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.tables import blas, write_table
from nnlib.activations import ReLU, Tanh, sigmoid
from nnlib.convolution import Convolution
from nnlib.data import load_mnist, scale_pixels
from nnlib.dense import Dense
from nnlib.losses import SigmoidBinaryCrossEntropy
from nnlib.network import Network
from nnlib.optimizers import Adam, Cosine
from nnlib.training import fit
from nnlib.transposed import TransposedConvolution, Upsample

FILE = Path(__file__).parents[1] / "book" / "results" / "transposed.csv"
SEEDS, EPOCHS, BATCH, NOISE = (0, 1, 2), 4, 64, 0.5
STEPS = {
    "kernel 2": lambda filters: [TransposedConvolution(filters, 2, stride=2)],
    "kernel 3": lambda filters: [TransposedConvolution(filters, 3, stride=2, padding=1, output_padding=1)],
    "kernel 4": lambda filters: [TransposedConvolution(filters, 4, stride=2, padding=1)],
    "upsampling": lambda filters: [Upsample(2), Convolution(filters, 3, padding=1)],
}


def denoiser(step, code=None):
    """Two convolutions down to 7x7, maybe a code, two steps of one kind back up to 28x28; logits."""
    middle = [] if code is None else [Dense(128), ReLU(), Dense(code), Dense(128), ReLU(), Dense(16 * 49), ReLU()]
    return Network(Convolution(8, 3, stride=2, padding=1), ReLU(), Convolution(16, 3, stride=2, padding=1), ReLU(),
                   *middle, *STEPS[step](8), ReLU(), *STEPS[step](1))


def noisy(images, seed):
    """The images plus noise, float32."""
    return (images + NOISE * np.random.default_rng(seed).normal(size=images.shape)).astype(np.float32)


def unevenness(squares):
    """Largest over smallest mean of (n, 1, 28, 28) squares among the sixteen places in a 4x4 block."""
    places = np.mean(squares, axis=(0, 1)).reshape(7, 4, 7, 4).mean(axis=(0, 2))
    return places.max() / places.min()


def row(name, seed, clean, test, dirty, **options):
    """Train one denoiser: its error, how uneven its outputs were before, and its errors after, and CPU seconds."""
    network = denoiser(**options).build((1, 28, 28), seed)
    start = unevenness(network.predict(dirty) ** 2)
    optimizer = Adam(Cosine(0.005, EPOCHS * -(-len(clean) // BATCH)))
    began = time.process_time()
    for epoch in range(EPOCHS):
        fit(network, noisy(clean, epoch), clean, optimizer=optimizer, loss=SigmoidBinaryCrossEntropy(), epochs=1,
            batch_size=BATCH, seed=100 * seed + epoch, progress=False)
    seconds = time.process_time() - began
    squares = (sigmoid(network.predict(dirty)) - test) ** 2
    return (name, seed, network.parameter_count, f"{squares.mean():.5f}", f"{start:.3g}",
            f"{unevenness(squares):.3g}", f"{seconds:.2g}")


def autoencoder_row(seed, clean, test):
    """Train the chapter's autoencoder: its error and CPU seconds."""
    network = Network(Convolution(8, 3, stride=2, padding=1), ReLU(), Convolution(16, 3, stride=2, padding=1), ReLU(),
                      Dense(128), ReLU(), Dense(64), ReLU(), Dense(2), Tanh(), Dense(64), ReLU(), Dense(128), ReLU(),
                      Dense(16 * 49), ReLU(), *STEPS["kernel 4"](8), ReLU(), *STEPS["kernel 4"](1))
    began = time.process_time()
    fit(network.build((1, 28, 28), seed), clean, clean, optimizer=Adam(Cosine(0.003, 8 * -(-len(clean) // 32))),
        loss=SigmoidBinaryCrossEntropy(), epochs=8, batch_size=32, seed=seed, progress=False)
    seconds = time.process_time() - began
    squares = (sigmoid(network.predict(test)) - test) ** 2
    return "code of 2", seed, network.parameter_count, f"{squares.mean():.5f}", "", "", f"{seconds:.2g}"


def main():
    """Train, print, and write book/results/transposed.csv."""
    (clean, _), (test, _) = load_mnist()
    clean, test = scale_pixels(clean[:10_000])[:, None], scale_pixels(test[:2000])[:, None]
    dirty, rows = noisy(test, 99), []
    with threadpool_limits(1, "blas"):
        for seed in SEEDS:
            for name in STEPS:
                rows.append(row(name, seed, clean, test, dirty, step=name))
                print(*rows[-1], flush=True)
            rows.append(row("kernel 4, code of 32", seed, clean, test, dirty, step="kernel 4", code=32))
            rows.append(autoencoder_row(seed, clean, test))
            print(*rows[-2:], flush=True)
    columns = ["decoder", "seed", "parameters", "error", "uneven_before", "uneven_after", "cpu_seconds"]
    write_table(FILE, columns, rows, command="python -m benchmarks.transposed",
                BLAS=f"{blas()}, one thread, NumPy {np.__version__}")


if __name__ == "__main__":
    main()
