"""Ask PyTorch for transposed convolutions' values and gradients, freeze them in transposed.json.

Run `python tests/torch_frozen/generate_transposed.py` where PyTorch is installed.
"""

import json
from pathlib import Path

import numpy as np

FROZEN = Path(__file__).with_name("transposed.json")
# (channels, height, width, batch), filters, settings
CASES = {
    "plain": ((2, 3, 4, 2), 3, {"kernel": 3}),
    "one pixel": ((3, 3, 2, 2), 2, {"kernel": 1}),
    "stride, stamps side by side": ((2, 3, 4, 2), 3, {"kernel": 2, "stride": 2}),
    "stride, overlapping, padded": ((2, 3, 4, 2), 2, {"kernel": 4, "stride": 2, "padding": 1}),
    "stride with gaps": ((1, 3, 2, 2), 2, {"kernel": (1, 2), "stride": (3, 4)}),
    "strip kernel, padded": ((1, 4, 5, 1), 2, {"kernel": (1, 3), "padding": (0, 1)}),
    "output padding": ((2, 4, 3, 2), 2, {"kernel": 3, "stride": (3, 2), "padding": 1, "output_padding": (2, 1)}),
    "dilated": ((1, 3, 4, 1), 2, {"kernel": (3, 2), "stride": 2, "dilation": (2, 3), "padding": 1}),
    "groups": ((4, 3, 2, 2), 6, {"kernel": 2, "groups": 2, "stride": 2, "padding": 1, "output_padding": 1}),
    "depthwise": ((3, 3, 3, 1), 3, {"kernel": 3, "groups": 3, "stride": 2}),
}


def inputs():
    """{case: (x, W, b, settings)}, batch last, the same numbers every time."""
    rng = np.random.default_rng(2010)
    cases = {}
    for name, (shape, filters, settings) in CASES.items():
        kernel = settings["kernel"] if isinstance(settings["kernel"], tuple) else (settings["kernel"],) * 2
        W = rng.normal(size=(shape[0], filters // settings.get("groups", 1), *kernel))
        cases[name] = rng.normal(size=shape), W, rng.normal(size=(filters, 1)), settings
    return cases


def by_torch(x, W, b, settings, dy=None, dtype="float64"):
    """y, dy (drawn if not given), dx, dW and db by PyTorch; batch last outside, batch first inside."""
    import torch
    from torch.nn import functional as F

    def tensor(array):
        return torch.tensor(np.ascontiguousarray(array), dtype=getattr(torch, dtype))

    x, W, b = (t.requires_grad_() for t in (tensor(x.transpose(3, 0, 1, 2)), tensor(W), tensor(b[:, 0])))
    y = F.conv_transpose2d(x, W, b, **{k: v for k, v in settings.items() if k != "kernel"})
    if dy is None:
        dy = np.random.default_rng(y.numel()).normal(size=y.detach().numpy().transpose(1, 2, 3, 0).shape)
    y.backward(tensor(dy.transpose(3, 0, 1, 2)))
    back = (1, 2, 3, 0)
    return {"y": y.detach().numpy().transpose(back), "dy": dy, "dx": x.grad.numpy().transpose(back),
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
