"""The networks that `python -m benchmarks` trains with every library, described once for all peers."""
from dataclasses import dataclass


@dataclass(frozen=True)
class Model:
    """Layers in words: ("conv", filters, kernel, padding), ("pool", size), ("dense", units), ("relu",)."""
    shape: tuple            # one sample: channels, height, width; or (784,)
    layers: tuple
    optimizer: str          # "sgd" or "adam"
    rate: float
    images: int             # trained on in one epoch
    tasks: tuple            # what the worker is asked: "epoch", "step", "predict BATCH"
    peers: tuple
    batch: int = 64


RELU = ("relu",)
ALL = ("epoch", "predict 1", "predict 256")

MODELS = {
    "mlp": Model((784,), (("dense", 256), RELU, ("dense", 128), RELU, ("dense", 10)), "sgd", 0.1, 60_000, ALL,
                 ("nnlib", "products", "torch", "jax", "sklearn")),
    "small": Model((1, 28, 28), (("conv", 8, 3, 1), RELU, ("pool", 2), ("conv", 16, 3, 1), RELU, ("pool", 2),
                                 ("dense", 64), RELU, ("dense", 10)), "adam", 0.001, 10_000, ALL,
                   ("nnlib", "products", "torch", "jax")),
    "medium": Model((1, 28, 28), (("conv", 32, 3, 0), RELU, ("conv", 64, 3, 0), RELU, ("pool", 2),
                                  ("dense", 128), RELU, ("dense", 10)), "sgd", 0.1, 1_280, ("step",),
                    ("nnlib", "products", "torch", "jax")),
}


def walk(model):
    """Each layer with the shape of one sample before it: pairs of (shape, layer)."""
    shape = model.shape
    for layer in model.layers:
        yield shape, layer
        kind, *settings = layer
        if kind == "conv":
            filters, kernel, padding = settings
            shape = (filters, *(size + 2 * padding - kernel + 1 for size in shape[1:]))
        elif kind == "pool":
            shape = (shape[0], *(size // settings[0] for size in shape[1:]))
        elif kind == "dense":
            shape = (settings[0],)
