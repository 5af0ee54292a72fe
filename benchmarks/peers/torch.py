"""PyTorch, eager: the loop of its tutorial, with the whole data set as one tensor."""
import numpy as np
import torch
from torch import nn

from benchmarks.models import walk


def torch_layers(model):
    """The modules of a model, with a Flatten where images meet the first dense layer."""
    for shape, (kind, *settings) in walk(model):
        if kind == "conv":
            filters, kernel, padding = settings
            yield nn.Conv2d(shape[0], filters, kernel, padding=padding)
        elif kind == "dense":
            yield from [nn.Flatten()] * (len(shape) > 1)
            yield nn.Linear(int(np.prod(shape)), settings[0])
        else:
            yield nn.ReLU() if kind == "relu" else nn.MaxPool2d(*settings)


class Peer:
    def __init__(self, model, images, labels, threads):
        torch.set_num_threads(threads)
        self.shape, self.batch = model.shape, model.batch
        self.model = nn.Sequential(*torch_layers(model))
        rule = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[model.optimizer]
        self.optimizer = rule(self.model.parameters(), lr=model.rate)
        self.loss = nn.CrossEntropyLoss()
        self.images = torch.from_numpy(images).reshape(-1, *self.shape)
        self.labels = torch.from_numpy(labels)

    def gradient(self, images, labels):
        loss = self.loss(self.model(images), labels)
        self.optimizer.zero_grad()
        loss.backward()

    def epoch(self):
        """Train on every image once."""
        for indices in torch.randperm(len(self.images)).split(self.batch):
            self.gradient(self.images[indices], self.labels[indices])
            self.optimizer.step()

    def step(self):
        """Forward and backward for one minibatch."""
        self.gradient(self.images[:self.batch], self.labels[:self.batch])

    def predict(self, images):
        """Logits of one batch, shaped (n, 10)."""
        with torch.inference_mode():
            return self.model(torch.from_numpy(images).reshape(-1, *self.shape)).numpy()

    @staticmethod
    def versions():
        """What ran, in words."""
        return f"PyTorch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()}), NumPy {np.__version__}"
