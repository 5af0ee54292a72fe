"""This book's library, as chapter 8 trains it."""
import numpy as np

from benchmarks.tables import blas
from nnlib.activations import ReLU
from nnlib.dense import Dense
from nnlib.losses import SoftmaxCrossEntropy
from nnlib.network import Network
from nnlib.optimizers import SGD
from nnlib.training import MinibatchGradient, train_epoch


class MLP:
    def __init__(self, images, labels, hidden, rate, batch, threads):
        layers = [layer for units in hidden for layer in (Dense(units), ReLU())]
        self.network = Network(*layers, Dense(10)).build(images.shape[1:])
        # The second thread is BLAS's: for this network that is faster than splitting the minibatch (choices.py).
        self.gradient = MinibatchGradient(self.network, SoftmaxCrossEntropy(), images, labels)
        self.optimizer = SGD(rate)
        self.batch = batch
        self.rng = np.random.default_rng(0)

    def epoch(self):
        """Train on every image once."""
        train_epoch(self.gradient, self.optimizer, self.rng, self.batch)

    def predict(self, images):
        """Logits of one batch, shaped (n, 10)."""
        return self.network.predict(images, len(images))

    @staticmethod
    def versions():
        """What ran, in words."""
        return f"NumPy {np.__version__}, {blas()}"
