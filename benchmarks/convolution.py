"""`python -m benchmarks.convolution`: what chapter 10 quotes, one thread, float32, medians.

1. Seven loops and im2col for one small layer.
2. im2col, the product and col2im when the same numbers lie in memory in three different orders.
3. The gradient of a bias, which is a sum of many numbers, with np.sum and np.einsum.
4. The size of a band against the time of a forward and a backward pass.
5. The same pass with im2col and with Winograd's tiles, for layers with more and more channels.
"""
import contextlib
import statistics
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.tables import blas, write_table
from nnlib import convolution as module
from nnlib.convolution import Convolution, convolution, convolution_db
from nnlib.dense import dense_db

FILE = Path(__file__).parents[1] / "book" / "results" / "convolution.csv"
ROUNDS = 9


def milliseconds(work, repeats):
    """Median over the rounds of the mean time of one call, warm."""
    found = []
    work()
    for _ in range(ROUNDS if repeats > 1 else 3):
        start = time.perf_counter()
        for _ in range(repeats):
            work()
        found.append((time.perf_counter() - start) / repeats * 1e3)
    return statistics.median(found)


def seven_loops(x, W):
    """The loops of chapter 10, in the same order."""
    channels, height, width, batch = x.shape
    filters, _, kh, kw = W.shape
    z = np.zeros((filters, height - kh + 1, width - kw + 1, batch))
    for f, r, c, n in np.ndindex(z.shape):
        for k in range(channels):
            for i in range(kh):
                for j in range(kw):
                    z[f, r, c, n] += W[f, k, i, j] * x[k, r + i, c + j, n]
    return z


def loops_or_columns():
    """Rows for 8 filters of 3x3 on 16 digits."""
    rng = np.random.default_rng(0)
    x, W = rng.random((1, 28, 28, 16), np.float32), rng.random((8, 1, 3, 3), np.float32)
    assert np.allclose(seven_loops(x, W), convolution(x, W), atol=1e-4)
    yield "loops", "seven loops", milliseconds(lambda: seven_loops(x, W), 1)
    yield "loops", "im2col and a product", milliseconds(lambda: convolution(x, W), 100)


def layouts(channels=8, filters=16, size=14, batch=64):
    """Rows for 3x3 on images padded by 1: the same windows, whole, in three orders of the axes.

    Each layout's columns are the ones it can fill with the longest runs and multiply without a copy.
    """
    rng = np.random.default_rng(0)
    x, side = rng.random((channels, size + 2, size + 2, batch), np.float32), slice(None)
    W = rng.random((filters, channels, 3, 3), np.float32)
    orders = {"batch last": (0, 1, 2, 3), "channels last": (3, 1, 2, 0), "batch first": (3, 0, 1, 2)}
    for name, order in orders.items():
        image = np.ascontiguousarray(x.transpose(order))
        if name == "batch last":                        # (C, 3, 3, OH, OW, N): W times a matrix
            columns = np.empty((channels, 3, 3, size, size, batch), np.float32)
            pixels, place = [(side, slice(i, i + size), slice(j, j + size)) for i in range(3) for j in range(3)], 1
            left, right = W.reshape(filters, -1), columns.reshape(channels * 9, -1)
        elif name == "channels last":                   # (N, OH, OW, 3, 3, C): a matrix times W
            columns = np.empty((batch, size, size, 3, 3, channels), np.float32)
            pixels, place = [(side, slice(i, i + size), slice(j, j + size)) for i in range(3) for j in range(3)], 3
            left = columns.reshape(-1, 9 * channels)
            right = np.ascontiguousarray(W.transpose(2, 3, 1, 0).reshape(-1, filters))
        else:                                           # (N, C, 3, 3, OH, OW): a product for each image
            columns = np.empty((batch, channels, 3, 3, size, size), np.float32)
            pixels = [(side, side, slice(i, i + size), slice(j, j + size)) for i in range(3) for j in range(3)]
            place, left, right = 2, W.reshape(filters, -1), columns.reshape(batch, channels * 9, -1)
        windows = [(*[side] * place, i, j) for i in range(3) for j in range(3)]
        product, back = np.matmul(left, right), np.zeros_like(image)

        def im2col():
            for window, pixel in zip(windows, pixels):
                columns[window] = image[pixel]

        def col2im():
            for window, pixel in zip(windows, pixels):
                back[pixel] += columns[window]

        yield name, "im2col", milliseconds(im2col, 50)
        yield name, "product", milliseconds(lambda: np.matmul(left, right, out=product), 50)
        yield name, "col2im", milliseconds(col2im, 50)


def bias_sums(filters=8, size=28, batch=64):
    """Rows for adding up a layer's upstream gradient."""
    dz = np.random.default_rng(0).random((filters, size, size, batch), np.float32)
    yield "bias", "sum", milliseconds(lambda: dense_db(dz.reshape(filters, -1)), 100)
    yield "bias", "einsum", milliseconds(lambda: convolution_db(dz), 100)


def band_sizes(channels, filters, size, batch=64):
    """Rows (megabytes of a band) for a forward and backward pass of a layer of 3x3 kernels."""
    rng = np.random.default_rng(0)
    layer = Convolution(filters, 3)
    with pretend(tile=None, rows=False):                # im2col's columns: it is their bands that are measured
        out = layer.build((channels, size, size))
    layer.allocate().initialize(rng)
    x, dz = rng.random((channels, size, size, batch), np.float32), rng.random((*out, batch), np.float32)
    row, found, kept = channels * 9 * out[2] * batch * 4, {}, module.BAND_BYTES
    for _ in range(ROUNDS):                             # interleaved: the machine is not always equally busy
        for rows in (1, 2, 3, 4, 6, 8, 12, out[1]):
            module.BAND_BYTES = rows * row
            layer.forward(x)
            start = time.perf_counter()
            layer.forward(x)
            layer.backward(dz)
            found.setdefault(rows, []).append((time.perf_counter() - start) * 1e3)
    module.BAND_BYTES = kept
    yield from ((f"bands {channels}-{filters}", f"{rows * row / 2**20:.2f}", statistics.median(times))
                for rows, times in found.items())


def two_ways(way, shapes, padding, batch=64):
    """Rows for a forward and a backward pass of layers of 3x3 kernels: im2col's way and another, in turns."""
    rng = np.random.default_rng(0)
    for channels, filters, size in shapes:
        layers, found = {}, {"im2col": [], way: []}
        for name in found:
            with pretend(tile=None if name != "tiles" else 4 if size != 8 else 3, rows=name == "rows"):
                layers[name] = Convolution(filters, 3, padding=padding)
                out = layers[name].build((channels, size, size))
            layers[name].allocate().initialize(rng)
        x, dz = rng.random((channels, size, size, batch), np.float32), rng.random((*out, batch), np.float32)
        for _ in range(2 * ROUNDS):
            for name, layer in layers.items():
                start = time.perf_counter()
                layer.forward(x)
                layer.backward(dz, need_dx=channels > 1)
                found[name].append((time.perf_counter() - start) * 1e3)
        for name, times in found.items():
            yield f"{channels} to {filters}, {out[1]}×{out[2]}", name, statistics.median(times)


def rows_or_columns():
    """Small layers, of networks whose first layer computes no dx."""
    yield from two_ways("rows", ((1, 8, 28), (1, 32, 28), (8, 16, 14), (16, 32, 14), (32, 32, 14)), padding=1)


def tiles_or_columns():
    """Layers with more channels."""
    yield from two_ways("tiles", ((8, 16, 14), (16, 32, 26), (32, 64, 26), (64, 64, 14), (128, 128, 8)), padding=0)


@contextlib.contextmanager
def pretend(tile, rows):
    """Layers built inside use this tile, and share rows or not, whatever they would have chosen."""
    kept = module.winograd_tile, module.shares_rows
    module.winograd_tile, module.shares_rows = lambda *_: tile, lambda *_: rows
    yield
    module.winograd_tile, module.shares_rows = kept


def main():
    """Measure, print, and write book/results/convolution.csv."""
    with threadpool_limits(1, "blas"):
        found = *loops_or_columns(), *layouts(), *bias_sums(), *band_sizes(8, 16, 28), *band_sizes(32, 64, 26), \
            *rows_or_columns(), *tiles_or_columns()
    rows = [(part, what, f"{ms:.3g}") for part, what, ms in found]
    write_table(FILE, ["part", "what", "milliseconds"], rows, command="python -m benchmarks.convolution",
                BLAS=f"{blas()}, one thread, NumPy {np.__version__}")
    for row in rows:
        print("{:15} {:22} {:>8} ms".format(*row))


if __name__ == "__main__":
    main()
