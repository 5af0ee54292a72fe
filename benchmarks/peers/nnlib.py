"""This book's library, as chapter 8 trains it."""
import time

import numpy as np

from benchmarks.tables import blas
from nnlib.activations import ReLU
from nnlib.convolution import Convolution
from nnlib.dense import Dense
from nnlib.losses import SoftmaxCrossEntropy
from nnlib.network import Network
from nnlib.optimizers import SGD, Adam
from nnlib.pooling import MaxPool
from nnlib.training import MinibatchGradient, train_epoch

LAYERS = {"dense": Dense, "relu": ReLU, "pool": MaxPool,
          "conv": lambda filters, kernel, padding: Convolution(filters, kernel, padding=padding)}


def layers_of(model):
    """New layers, as the model describes them."""
    return [LAYERS[kind](*settings) for kind, *settings in model.layers]


class Peer:
    def __init__(self, model, images, labels, threads):
        self.network = Network(*layers_of(model)).build(model.shape)
        images = images.reshape(-1, *model.shape)
        # For dense networks the second thread is BLAS's: faster than splitting the minibatch. Where there are few weights
        # and many pixels, one thread takes a minibatch in two halves, which fit nearer caches (choices.py).
        convolves = any(kind == "conv" for kind, *_ in model.layers)
        self.parts = 2 if convolves and threads == 1 and self.network.parameter_count < 100_000 else 1
        self.gradient = MinibatchGradient(self.network, SoftmaxCrossEntropy(), images, labels, threads if convolves else 1)
        self.optimizer = {"sgd": SGD, "adam": Adam}[model.optimizer](model.rate)
        self.batch = model.batch
        self.rng = np.random.default_rng(0)

    def epoch(self):
        """Train on every image once."""
        train_epoch(self.gradient, self.optimizer, self.rng, self.batch // self.parts, self.parts)

    def step(self):
        """Forward and backward for one minibatch."""
        self.gradient(np.arange(self.batch), self.batch)

    def predict(self, images):
        """Logits of one batch, shaped (n, 10)."""
        return self.network.predict(images, len(images))

    def profile(self):
        """Seconds that each layer takes for one minibatch: pairs of (layer, seconds), forward and backward."""
        network, x = self.network, np.moveaxis(self.gradient.images[:self.batch], 0, -1)
        spent = []
        for layer in network.layers:
            start = time.perf_counter()
            x = layer.forward(x, training=True)
            spent.append((f"{type(layer).__name__} forward", time.perf_counter() - start))
        for layer in reversed(network.layers):
            start = time.perf_counter()
            x = layer.backward(x, layer is not network.layers[0])
            spent.append((f"{type(layer).__name__} backward", time.perf_counter() - start))
        return spent

    @staticmethod
    def versions():
        """What ran, in words."""
        return f"NumPy {np.__version__}, {blas()}"
