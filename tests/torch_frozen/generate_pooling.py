"""Ask PyTorch for the values and gradients of every pooling layer, and freeze them in pooling.json.

Run `python tests/torch_frozen/generate_pooling.py` where PyTorch is installed.
"""

import json
from pathlib import Path

import numpy as np

FROZEN = Path(__file__).with_name("pooling.json")
GEOMETRIES = {
    "two by two": ((2, 4, 6, 3), dict(size=2)),
    "a row and a column left over": ((1, 5, 7, 2), dict(size=2)),
    "overlapping": ((2, 7, 7, 1), dict(size=3, stride=2)),
    "overlapping and padded": ((2, 6, 5, 2), dict(size=3, stride=2, padding=1)),
    "gaps": ((1, 8, 7, 2), dict(size=2, stride=3)),
    "every way different": ((2, 7, 6, 2), dict(size=(4, 3), stride=(2, 1), padding=(2, 1))),
    "one pixel": ((2, 3, 3, 2), dict(size=1)),
    "the whole image": ((3, 4, 5, 2), dict(size=(4, 5))),
}


def inputs():
    """{case: (kind, settings, x, upstream gradient)}, batch last, no ties, the same numbers every time."""
    rng, cases = np.random.default_rng(1998), {}
    for kind in ("max", "average"):
        for name, (shape, settings) in GEOMETRIES.items():
            x = rng.normal(size=shape)
            cases[f"{kind}, {name}"] = (kind, settings, x, rng.normal(size=by_torch(kind, settings, x)[0].shape))
    for shape in ((3, 4, 5, 2), (1, 1, 1, 1)):
        cases[f"global, {shape}"] = ("global", {}, rng.normal(size=shape), rng.normal(size=(shape[0], shape[3])))
    return cases


def by_torch(kind, settings, x, dy=None):
    """Value and gradient (None without dy) by PyTorch in float64; batch last here, batch first there."""
    import torch
    from torch.nn import functional as F

    x = torch.tensor(x, requires_grad=True)
    images = x.permute(3, 0, 1, 2)
    size, stride, padding = settings.get("size"), settings.get("stride"), settings.get("padding", 0)
    y = {
        "max": lambda: F.max_pool2d(images, size, stride, padding),
        "average": lambda: F.avg_pool2d(images, size, stride, padding, count_include_pad=False),
        "global": lambda: F.adaptive_avg_pool2d(images, 1).squeeze((2, 3)),
    }[kind]()
    y = y.moveaxis(0, -1)
    if dy is None:
        return y.detach().numpy(), None
    y.backward(torch.tensor(dy))
    return y.detach().numpy(), x.grad.numpy()


def main():
    """Write pooling.json."""
    import torch

    frozen = {"torch": torch.__version__.split("+")[0], "cases": {}}
    for case, (kind, settings, x, dy) in inputs().items():
        y, dx = by_torch(kind, settings, x, dy)
        frozen["cases"][case] = {"kind": kind, "settings": settings, "x": x.tolist(), "dy": dy.tolist(),
                                 "y": y.tolist(), "dx": dx.tolist()}
    FROZEN.write_text(json.dumps(frozen) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
