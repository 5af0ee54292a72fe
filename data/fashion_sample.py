"""`python data/fashion_sample.py`: make fashion-mnist-sample.npz out of Fashion-MNIST.

The first 60 training and the first 30 test pictures of each class, in the order of the files. The same bytes every time.
"""
import sys
import zipfile
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from nnlib.data import load_fashion_mnist  # noqa: E402


def first_of_each(labels, count):
    """Where the first `count` samples of each of ten classes are, in order."""
    return np.sort(np.concatenate([np.flatnonzero(labels == c)[:count] for c in range(10)]))


def main():
    """Write the sample beside this file."""
    parts = [(images[chosen], labels[chosen]) for (images, labels), count in zip(load_fashion_mnist(), (60, 30))
             for chosen in [first_of_each(labels, count)]]
    images, labels = map(np.concatenate, zip(*parts))
    with zipfile.ZipFile(HERE / "fashion-mnist-sample.npz", "w", compresslevel=9) as archive:
        for name, array in (("images", images), ("labels", labels)):
            entry = zipfile.ZipInfo(f"{name}.npy")      # without the time of day
            entry.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(entry, "w") as file:
                np.lib.format.write_array(file, array)


if __name__ == "__main__":
    main()
