"""JAX: one compiled training step, called once per minibatch; the data set lives on its device."""
import jax
import jax.numpy as jnp
import numpy as np


def logits(parameters, x):
    *hidden, (W, b) = parameters
    for V, c in hidden:
        x = jax.nn.relu(x @ V + c)
    return x @ W + b


def loss(parameters, x, y):
    log_p = jax.nn.log_softmax(logits(parameters, x))
    return -jnp.mean(jnp.take_along_axis(log_p, y[:, None], axis=1))


@jax.jit
def step(parameters, images, labels, indices, rate):
    gradients = jax.grad(loss)(parameters, images[indices], labels[indices])
    return jax.tree.map(lambda p, g: p - rate * g, parameters, gradients)


forward = jax.jit(logits)


class MLP:
    def __init__(self, images, labels, hidden, rate, batch, threads):
        rng = np.random.default_rng(0)
        sizes = [images.shape[1], *hidden, 10]
        self.parameters = [(jnp.asarray(rng.normal(0, (2 / a) ** 0.5, (a, b)), jnp.float32), jnp.zeros(b))
                           for a, b in zip(sizes, sizes[1:])]
        self.images, self.labels = jnp.asarray(images), jnp.asarray(labels)
        self.rate, self.batch, self.rng = rate, batch, rng

    def epoch(self):
        """Train on every image once."""
        order = self.rng.permutation(len(self.images))
        for start in range(0, len(order), self.batch):
            indices = order[start:start + self.batch]
            self.parameters = step(self.parameters, self.images, self.labels, indices, self.rate)
        jax.block_until_ready(self.parameters)

    def predict(self, images):
        """Logits of one batch, shaped (n, 10)."""
        return np.asarray(forward(self.parameters, images))

    @staticmethod
    def versions():
        """What ran, in words."""
        return f"JAX {jax.__version__}, NumPy {np.__version__}"
