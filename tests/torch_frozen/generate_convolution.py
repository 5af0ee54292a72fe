"""Ask PyTorch for convolutions' values and gradients, freeze them in convolution.json.

Run `python tests/torch_frozen/generate_convolution.py` where PyTorch is installed.
"""

import json
from pathlib import Path

import numpy as np

FROZEN = Path(__file__).with_name("convolution.json")
# (channels, height, width, batch), filters, settings
CASES = {
    "plain": ((2, 5, 6, 2), 3, {"kernel": 3}),
    "one pixel": ((3, 3, 2, 2), 2, {"kernel": 1}),
    "strip kernel, padded": ((1, 4, 7, 1), 2, {"kernel": (1, 3), "padding": (0, 1)}),
    "stride that leaves pixels over": ((2, 6, 7, 2), 2, {"kernel": (2, 3), "stride": (3, 2)}),
    "uneven padding": ((1, 4, 5, 2), 2, {"kernel": 3, "padding": ((2, 0), (1, 3))}),
    "same, even kernel": ((2, 5, 4, 1), 2, {"kernel": (2, 4), "padding": "same"}),
    "dilated": ((1, 7, 8, 1), 2, {"kernel": (3, 2), "dilation": (2, 3), "padding": 1}),
    "groups": ((4, 4, 5, 2), 6, {"kernel": 2, "groups": 2, "stride": 2, "padding": 1}),
    "depthwise": ((3, 5, 5, 1), 3, {"kernel": 3, "groups": 3, "padding": "same"}),
}


def inputs():
    """{case: (x, W, b, settings)}, batch last, the same numbers every time."""
    rng = np.random.default_rng(1980)
    cases = {}
    for name, (shape, filters, settings) in CASES.items():
        kernel = settings["kernel"] if isinstance(settings["kernel"], tuple) else (settings["kernel"],) * 2
        W = rng.normal(size=(filters, shape[0] // settings.get("groups", 1), *kernel))
        cases[name] = rng.normal(size=shape), W, rng.normal(size=(filters, 1)), settings
    return cases


def by_torch(x, W, b, settings, dz=None, dtype="float64"):
    """z, dz (drawn if not given), dx, dW and db by PyTorch; batch last outside, batch first inside."""
    import torch
    from torch.nn import functional as F

    def tensor(array):
        return torch.tensor(np.ascontiguousarray(array), dtype=getattr(torch, dtype))

    x, W, b = (t.requires_grad_() for t in (tensor(x.transpose(3, 0, 1, 2)), tensor(W), tensor(b[:, 0])))
    settings = {k: v for k, v in settings.items() if k != "kernel"}
    padding = settings.pop("padding", 0)
    padded, stay = x, padding
    if isinstance(padding, tuple) and isinstance(padding[0], tuple):
        padded, stay = F.pad(x, (*padding[1], *padding[0])), 0
    z = F.conv2d(padded, W, b, padding=stay, **settings)
    if dz is None:
        dz = np.random.default_rng(z.numel()).normal(size=z.detach().numpy().transpose(1, 2, 3, 0).shape)
    z.backward(tensor(dz.transpose(3, 0, 1, 2)))
    back = (1, 2, 3, 0)
    return {"z": z.detach().numpy().transpose(back), "dz": dz, "dx": x.grad.numpy().transpose(back),
            "dW": W.grad.numpy(), "db": b.grad.numpy()[:, None]}


def plain(values):
    """Arrays as lists, for JSON."""
    return {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in values.items()}


if __name__ == "__main__":
    import torch

    cases = {name: {**plain(dict(zip(("x", "W", "b", "settings"), case))), **plain(by_torch(*case))}
             for name, case in inputs().items()}
    FROZEN.write_text(json.dumps({"torch": torch.__version__.split("+")[0], "cases": cases}) + "\n",
                      encoding="utf-8")
