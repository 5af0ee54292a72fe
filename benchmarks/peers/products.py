"""Not a library: the matrix products of a training step and nothing else. What NumPy's BLAS could do at best."""
import numpy as np


class MLP:
    def __init__(self, images, labels, hidden, rate, batch, threads):
        rng, sizes = np.random.default_rng(0), [images.shape[1], *hidden, 10]
        self.W = [np.array(rng.random((m, n), np.float32), order="F") for n, m in zip(sizes, sizes[1:])]
        self.dW = [np.empty_like(W) for W in self.W]
        self.x = [images[:batch].T, *(rng.random((m, batch), np.float32) for m in sizes[1:])]
        self.dx = [np.empty_like(x) for x in self.x]
        self.steps = -(-len(images) // batch)

    def epoch(self):
        """The products of every step: z = W x, dW = dz xᵀ, and dx = Wᵀ dz except for the first layer."""
        for _ in range(self.steps):
            for W, x, z in zip(self.W, self.x, self.x[1:]):
                np.matmul(W, x, out=z)
            for k in reversed(range(len(self.W))):
                np.matmul(self.dx[k + 1], self.x[k].T, out=self.dW[k])
                if k:
                    np.matmul(self.W[k].T, self.dx[k + 1], out=self.dx[k])

    def predict(self, images):
        """The products of a forward pass."""
        x = images.T
        for W in self.W:
            x = W @ x
        return x.T

    @staticmethod
    def versions():
        """What ran, in words."""
        return f"NumPy {np.__version__}"
