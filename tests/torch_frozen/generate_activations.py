"""Ask PyTorch for the values and gradients of every activation, and freeze them in activations.json.

Run `python tests/torch_frozen/generate_activations.py` where PyTorch is installed.
"""

import json
from pathlib import Path

import numpy as np

FROZEN = Path(__file__).with_name("activations.json")
NAMES = ["identity", "relu", "leaky_relu", "sigmoid", "tanh", "softmax"]
SLOPE = 0.2


def inputs():
    """{case: (activation's name, z, upstream gradient)}, batch last, the same numbers every time."""
    rng = np.random.default_rng(1990)
    kinds = {
        "usual": 2 * rng.normal(size=(4, 5)),
        "one sample": rng.normal(size=(3, 1)),
        "zeros": np.zeros((2, 3)),
        "extreme": rng.choice([-1000.0, -30.0, -1.0, 0.0, 1.0, 30.0, 1000.0], size=(4, 6)),
        "three axes": rng.normal(size=(3, 2, 4)),
    }
    return {f"{name}, {kind}": (name, z, rng.normal(size=z.shape)) for name in NAMES for kind, z in kinds.items()}


def by_torch(name, z, dy):
    """Value and gradient by PyTorch in float64."""
    import torch
    from torch.nn import functional as F

    z = torch.tensor(z, requires_grad=True)
    y = {
        "identity": lambda: z.clone(),
        "relu": lambda: F.relu(z),
        "leaky_relu": lambda: F.leaky_relu(z, SLOPE),
        "sigmoid": lambda: torch.sigmoid(z),
        "tanh": lambda: torch.tanh(z),
        "softmax": lambda: F.softmax(z, dim=0),
    }[name]()
    y.backward(torch.tensor(dy))
    return y.detach().numpy(), z.grad.numpy()


def main():
    """Write activations.json."""
    import torch

    frozen = {"torch": torch.__version__.split("+")[0], "cases": {}}
    for case, (name, z, dy) in inputs().items():
        y, dz = by_torch(name, z, dy)
        frozen["cases"][case] = {"activation": name, "z": z.tolist(), "dy": dy.tolist(),
                                 "y": y.tolist(), "dz": dz.tolist()}
    FROZEN.write_text(json.dumps(frozen, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
