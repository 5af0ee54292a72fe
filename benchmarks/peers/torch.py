"""PyTorch, eager: the loop of its tutorial, with the whole data set as one tensor."""
import numpy as np
import torch
from torch import nn


class MLP:
    def __init__(self, images, labels, hidden, rate, batch, threads):
        torch.set_num_threads(threads)
        sizes = [images.shape[1], *hidden]
        layers = [layer for a, b in zip(sizes, sizes[1:]) for layer in (nn.Linear(a, b), nn.ReLU())]
        self.model = nn.Sequential(*layers, nn.Linear(sizes[-1], 10))
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=rate)
        self.loss = nn.CrossEntropyLoss()
        self.images, self.labels = torch.from_numpy(images), torch.from_numpy(labels)
        self.batch = batch

    def epoch(self):
        """Train on every image once."""
        order = torch.randperm(len(self.images))
        for indices in order.split(self.batch):
            loss = self.loss(self.model(self.images[indices]), self.labels[indices])
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()

    def predict(self, images):
        """Logits of one batch, shaped (n, 10)."""
        with torch.inference_mode():
            return self.model(torch.from_numpy(images)).numpy()

    @staticmethod
    def versions():
        """What ran, in words."""
        return f"PyTorch {torch.__version__} ({torch.backends.cpu.get_cpu_capability()}), NumPy {np.__version__}"
