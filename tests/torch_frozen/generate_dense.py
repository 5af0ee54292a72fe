"""Ask PyTorch for dense layers' values and gradients and for initialisers, freeze in dense.json.

Run `python tests/torch_frozen/generate_dense.py` where PyTorch is installed.
"""

import json
from pathlib import Path

import numpy as np

FROZEN = Path(__file__).with_name("dense.json")
SHAPES = {"one of each": (1, 1, 1), "one sample": (4, 3, 1), "one neuron": (5, 1, 4),
          "square": (3, 3, 3), "wide": (7, 4, 6)}
WEIGHTS = [(3, 4), (10, 784), (8, 3, 5, 5), (16, 8, 1, 3)]


def inputs():
    """{case: (x, W, b or None, dz)}, batch last, the same numbers every time."""
    rng = np.random.default_rng(1958)
    cases = {}
    for name, (inputs, units, batch) in SHAPES.items():
        x, W, b, dz = (rng.normal(size=shape) for shape in
                       ((inputs, batch), (units, inputs), (units, 1), (units, batch)))
        cases[name] = (x, W, b, dz)
        cases[f"{name}, no bias"] = (x, W, None, dz)
    return cases


def by_torch(x, W, b, dz, dtype="float64"):
    """z, dx, dW and db (None without a bias) by PyTorch; batch last outside, batch first inside."""
    import torch
    from torch.nn import functional as F

    x, W, dz = (torch.tensor(a.copy(), dtype=getattr(torch, dtype)) for a in (x.T, W, dz.T))
    b = None if b is None else torch.tensor(b[:, 0], dtype=x.dtype)
    leaves = [t.requires_grad_() for t in (x, W, b) if t is not None]
    z = F.linear(x, W, b)
    z.backward(dz)
    dx, dW, *db = (t.grad.numpy() for t in leaves)
    return {"z": z.detach().numpy().T, "dx": dx.T, "dW": dW, "db": db[0][:, None] if db else None}


def initializers():
    """What PyTorch's initialisers use: fans, He's standard deviation, the largest of Glorot's draws."""
    import torch
    from torch.nn import init

    found = []
    for shape in WEIGHTS:
        torch.manual_seed(0)
        tensor = torch.empty(shape, dtype=torch.float64)
        fan_in, fan_out = init._calculate_fan_in_and_fan_out(tensor)
        found.append({
            "shape": shape, "fans": [fan_in, fan_out],
            "he_deviation": init.calculate_gain("relu") / fan_in ** 0.5,
            "glorot_largest": float(init.xavier_uniform_(tensor).abs().max()),
        })
    return found


def plain(values):
    """Arrays as lists, for JSON."""
    return {k: None if v is None else v.tolist() for k, v in values.items()}


if __name__ == "__main__":
    import torch

    cases = {name: {**plain(dict(zip(("x", "W", "b", "upstream"), case))), **plain(by_torch(*case))}
             for name, case in inputs().items()}
    FROZEN.write_text(json.dumps({"torch": torch.__version__.split("+")[0], "cases": cases,
                                  "initializers": initializers()}, indent=1) + "\n", encoding="utf-8")
