"""Not a library: the matrix products of a training step and nothing else. What NumPy's BLAS could do at best.

For a convolution, the three products of im2col: all columns at once, made beforehand.
"""
import math

import numpy as np

from benchmarks.models import walk


class Peer:
    def __init__(self, model, images, labels, threads):
        rng = np.random.default_rng(0)
        self.rng = rng
        self.products = list(self.shapes(model))
        self.arrays = [self.product(*shape) for shape in self.products]
        self.inputs = []                                    # of `predict`, made when its batch size is known
        self.steps, self.batch = -(-model.images // model.batch), model.batch

    @staticmethod
    def shapes(model):
        """(rows, depth, columns for one sample) of every product W x of the model."""
        for shape, (kind, *settings) in walk(model):
            if kind == "dense":
                yield settings[0], math.prod(shape), 1
            elif kind == "conv":
                filters, kernel, padding = settings
                yield filters, shape[0] * kernel ** 2, math.prod(size + 2 * padding - kernel + 1 for size in shape[1:])

    def product(self, rows, depth, places, batch=64):
        """W, x, z and room for dW and dx."""
        order = "F" if places == 1 else "C"                 # as the library keeps them
        W = np.asarray(self.rng.random((rows, depth), np.float32), order=order)
        x = self.rng.random((depth, places * batch), np.float32)
        return W, x, self.rng.random((rows, x.shape[1]), np.float32), np.empty_like(W), np.empty_like(x)

    def step(self):
        """z = W x, dW = dz xᵀ, and dx = Wᵀ dz except for the first layer."""
        for W, x, z, dW, _ in self.arrays:
            np.matmul(W, x, out=z)
        for k, (W, x, z, dW, dx) in reversed(list(enumerate(self.arrays))):
            np.matmul(z, x.T, out=dW)
            if k:
                np.matmul(W.T, z, out=dx)

    def epoch(self):
        """The products of every step."""
        for _ in range(self.steps):
            self.step()

    def predict(self, images):
        """The products of a forward pass."""
        if not self.inputs or self.inputs[-1].shape[1] < len(images):
            self.inputs = [self.rng.random((depth, places * len(images)), np.float32) for _, depth, places in self.products]
        for (W, *_), x, (_, _, places) in zip(self.arrays, self.inputs, self.products):
            W @ x[:, :places * len(images)]

    @staticmethod
    def versions():
        """What ran, in words."""
        return f"NumPy {np.__version__}"
