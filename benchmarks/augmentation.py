"""`python -m benchmarks.augmentation`: what chapter 13 quotes, one thread, float32.

1. Seconds of processor time to warp 60,000 digits, by nnlib and, where SciPy is installed, by one ndimage call an image; an epoch of
   training beside them.
2. Accuracy of a small convolutional network after 3,000 steps on few and on many digits, three seeds, with and
   without warps.
"""
import statistics
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits
from tqdm import tqdm

from benchmarks.tables import blas, write_table
from nnlib import augmentation as module
from nnlib.activations import ReLU
from nnlib.augmentation import Augmentation
from nnlib.convolution import Convolution
from nnlib.data import load_mnist, scale_pixels
from nnlib.dense import Dense
from nnlib.network import Network
from nnlib.optimizers import Adam, Cosine
from nnlib.pooling import MaxPool
from nnlib.training import evaluate, fit

FOLDER = Path(__file__).parents[1] / "book" / "results"
SIZES, SEEDS, STEPS, BATCH, ROUNDS = (500, 5_000, 60_000), (0, 1, 2), 3_000, 64, 5
KINDS = {"none": None, "affine": Augmentation(), "affine and elastic": Augmentation(elastic=0.8)}


def network():
    """Two convolutions with eight and sixteen filters; `fit` builds it."""
    return Network(Convolution(8, 3, padding=1), ReLU(), MaxPool(2), Convolution(16, 3, padding=1), ReLU(), MaxPool(2),
                   Dense(64), ReLU(), Dense(10))


def ndimage_warp(images, rng):
    """What Augmentation() does, by one call of SciPy an image."""
    from scipy import ndimage

    forward, shifts = Augmentation().draw(len(images), rng)
    inverses, centre, warped = np.linalg.inv(forward), np.array([13.5, 13.5]), np.empty_like(images)
    for image, inverse, shift, out in zip(images, inverses, shifts, warped):
        ndimage.affine_transform(image, inverse, centre - inverse @ (centre + shift), output=out, order=1)
    return warped


def speed(images, labels):
    """Rows (what, seconds of processor time for 60,000 images): medians; the contestants take turns."""
    def in_one_piece(images, rng):
        kept, module.BAND_PIXELS = module.BAND_PIXELS, images.size
        try:
            return Augmentation()(images, rng)
        finally:
            module.BAND_PIXELS = kept

    def train(images, rng):
        fit(network(), images, labels, optimizer=Adam(0.001), epochs=1, progress=False)

    work = {"affine": KINDS["affine"], "affine and elastic": KINDS["affine and elastic"],
            "affine, all images in one piece": in_one_piece, "an epoch of training": train}
    try:
        ndimage_warp(images[:1], np.random.default_rng(0))
        work["affine, ndimage"] = ndimage_warp
    except ImportError:
        pass
    found = {what: [] for what in work}
    for _ in range(ROUNDS):
        for what, function in work.items():
            start = time.process_time()
            function(images, np.random.default_rng(0))
            found[what].append(time.process_time() - start)
    return [(what, f"{statistics.median(seconds):.2f}") for what, seconds in found.items()]


def accuracy(images, labels, test):
    """Rows (digits, kind, seed, test accuracy)."""
    for size, kind, seed in tqdm([(size, kind, seed) for size in SIZES for kind in KINDS for seed in SEEDS]):
        chosen = np.random.default_rng([seed, size]).permutation(len(images))[:size]
        epochs = round(STEPS / -(-size // BATCH))
        net = network()
        rate = Cosine(0.002, epochs * -(-size // BATCH), warmup=100)
        fit(net, images[chosen], labels[chosen], optimizer=Adam(rate), epochs=epochs, batch_size=BATCH, seed=seed,
            augment=KINDS[kind], progress=False)
        yield size, kind, seed, f"{evaluate(net, *test)['accuracy']:.4f}"


def main():
    """Measure, print, and write book/results/augmentation-speed.csv and augmentation.csv."""
    (images, labels), (test, test_labels) = load_mnist()
    images, test = scale_pixels(images), (scale_pixels(test), test_labels)
    notes = {"command": "OPENBLAS_NUM_THREADS=1 python -m benchmarks.augmentation",
             "BLAS": f"{blas()}, one thread, NumPy {np.__version__}"}
    with threadpool_limits(1, "blas"):
        rows = speed(images, labels)
        write_table(FOLDER / "augmentation-speed.csv", ["what", "seconds"], rows, **notes)
        print(*rows, sep="\n")
        rows = list(accuracy(images, labels, test))
    write_table(FOLDER / "augmentation.csv", ["digits", "warps", "seed", "accuracy"], rows,
                steps=f"{STEPS} of {BATCH} digits", **notes)
    print(*rows, sep="\n")


if __name__ == "__main__":
    main()
