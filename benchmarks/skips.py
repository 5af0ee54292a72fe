"""`python -m benchmarks.skips`: what chapter 15 quotes. Plain, skip, loop and feedback networks, three seeds.

All have 24 hidden layers of 16 neurons between the same first and last layer, so the same number of parameters, except
the shallow one, which spends about as many on one hidden layer. 20,000 training and 10,000 test pictures of digits, and
of Fashion-MNIST (Debian's package, or data/fashion-mnist).
"""
import sys
from pathlib import Path

from threadpoolctl import threadpool_limits
from tqdm import tqdm

from benchmarks.results import machine
from benchmarks.tables import write_table
from nnlib.activations import ReLU
from nnlib.data import load_fashion_mnist, load_mnist, scale_pixels
from nnlib.dense import Dense, he_normal
from nnlib.network import Network
from nnlib.optimizers import Adam
from nnlib.skips import Feedback, Loop, Skip
from nnlib.training import fit

FILE = Path(__file__).parents[1] / "book" / "results" / "skips.csv"
SEEDS, EPOCHS, SAMPLES, WIDTH = (0, 1, 2), 5, 20_000, 16


def quiet(shape, rng):
    """A tenth of the usual starting weights."""
    return 0.1 * he_normal(shape, rng)


def stack(count, last=he_normal):
    """ReLU and Dense in turns; the last Dense may start otherwise."""
    inits = [he_normal] * (count - 1) + [last]
    return [layer for init in inits for layer in (ReLU(), Dense(WIDTH, init=init))]


def steps(count):
    """Residual steps: skips around one quiet layer each."""
    return [Skip(*stack(1, quiet)) for _ in range(count)]


def shared_feedback():
    """Four residual steps, run twice with the same weights."""
    return Feedback(*steps(4), times=2, how_in="mean", how_out="mean")


def own_feedback():
    """One residual step, run four times with weights of its own each time."""
    return Feedback(*steps(1), times=4, shared=False, how_in="mean", how_out="mean")


NETWORKS = {    # name: (layers that the signal passes between the first and the last, how to make them)
    "plain": (24, lambda: stack(24)),
    "skip": (24, lambda: steps(24)),
    "loop": (48, lambda: [Skip(Loop(*stack(4, quiet), times=2)) for _ in range(6)]),
    "feedback, shared": (48, lambda: [shared_feedback() for _ in range(6)]),
    "feedback, own": (24, lambda: [own_feedback() for _ in range(6)]),
    "shallow": (0, lambda: []),
}


def network(name, seed):
    """Built and initialised from this seed."""
    first = Dense(24 if name == "shallow" else WIDTH)
    return Network(first, *NETWORKS[name][1](), ReLU(), Dense(10)).build((28, 28), seed)


def data_sets():
    """Name, training part, test part, scaled."""
    for name, load in (("digits", load_mnist), ("fashion", load_fashion_mnist)):
        (images, labels), (test_images, test_labels) = load()
        yield name, (scale_pixels(images[:SAMPLES]), labels[:SAMPLES]), (scale_pixels(test_images), test_labels)


def main():
    """Train everything; a row per epoch."""
    rows = []
    with threadpool_limits(1, "blas"):
        for data, train, test in data_sets():
            for name, (depth, _) in NETWORKS.items():
                for seed in tqdm(SEEDS, desc=f"{data}, {name}", file=sys.stdout):
                    net = network(name, seed)
                    history = fit(net, *train, optimizer=Adam(0.002), epochs=EPOCHS, batch_size=64, seed=seed,
                                  validation=test, progress=False)
                    rows += [[data, name, depth, net.parameter_count, seed, int(row.epoch), f"{row.loss:.4f}", f"{row.val_accuracy:.4f}"]
                             for row in history.itertuples()]
    columns = ["data", "network", "layers_between", "parameters", "seed", "epoch", "train_loss", "test_accuracy"]
    write_table(FILE, columns, rows, command="python -m benchmarks.skips", machine=machine(),
                training=f"{SAMPLES:,} pictures, {EPOCHS} epochs of minibatches of 64, Adam at 0.002")


if __name__ == "__main__":
    main()
