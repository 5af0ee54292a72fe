"""Ask PyTorch for the values and gradients of skips, loops and feedback blocks, and freeze them in skips.json.

Run `python tests/torch_frozen/generate_skips.py` where PyTorch is installed.

A case is a description in plain values: [kind, settings, layers]. A layer is ["Dense", units], ["Tanh"],
["Convolution", filters, kernel, padding, stride] or such a description itself.
"""

import json
from pathlib import Path

import numpy as np

FROZEN = Path(__file__).with_name("skips.json")
WAYS = ("add", "subtract", "multiply", "mean", "overwrite", "concatenate")
DENSE, NARROW, TANH = ["Dense", 3], ["Dense", 2], ["Tanh"]


def cases():
    """{name: (description, shape of a sample)}."""
    found = {}
    for how in WAYS:
        found[f"skip, {how}"] = ["Skip", {"how": how}, [DENSE, TANH, DENSE]], (3,)
        found[f"skip over a projection, {how}"] = ["Skip", {"how": how, "projection": NARROW}, [DENSE, TANH, NARROW]], (3,)
        found[f"crossing skips, {how}"] = ["Skips", {"how": how, "arrows": [[0, 2], [1, 3], [0, 3], [2, 4]]},
                                           [DENSE, TANH, DENSE if how != "concatenate" else NARROW, TANH]], (3,)
        if how != "concatenate":
            for scale in (1.0, 0.5, 0.0):
                found[f"loop, {how}, {scale}"] = ["Loop", {"times": 3, "how": how, "gradient_scale": scale}, [DENSE, TANH]], (3,)
        for shared in (True, False):
            for way_in, out in (("subtract", how), (how, "multiply")):
                if not (shared and way_in == "concatenate"):
                    settings = {"times": 3, "shared": shared, "how_in": way_in, "how_out": out, "gradient_scale": 1.0}
                    found[f"feedback, {shared}, {way_in}, {out}"] = ["Feedback", settings, [DENSE, TANH]], (3,)
    image, same = (2, 4, 5), ["Convolution", 2, 3, 1, 1]
    found["images, skip"] = ["Skip", {"how": "add", "projection": ["Convolution", 3, 1, 0, 2]}, [["Convolution", 3, 3, 1, 2], TANH]], image
    found["images, concatenate"] = ["Skip", {"how": "concatenate"}, [["Convolution", 3, 3, 1, 1]]], image
    found["images, loop"] = ["Loop", {"times": 4, "how": "add", "gradient_scale": 0.7}, [same, TANH]], image
    found["images, feedback"] = ["Feedback", {"times": 2, "shared": True, "how_in": "mean", "how_out": "concatenate",
                                              "gradient_scale": 1.0}, [same, TANH]], image
    found["nested"] = ["Loop", {"times": 2, "how": "subtract", "gradient_scale": 0.5},
                       [["Skip", {"how": "mean"}, [DENSE, TANH]],
                        ["Feedback", {"times": 2, "shared": False, "how_in": "add", "how_out": "mean", "gradient_scale": 1.0}, [DENSE]]]], (3,)
    return found


def met(torch, values, how):
    """Values that meet, in PyTorch."""
    if how == "overwrite":
        return values[-1]
    if how == "concatenate":
        return torch.cat(values)
    stack = torch.stack(values)
    return {"add": lambda: stack.sum(0), "mean": lambda: stack.mean(0), "multiply": lambda: stack.prod(0),
            "subtract": lambda: values[0] - stack[1:].sum(0)}[how]()


class Torch:
    """Runs a description. Parameters are made when first asked for, or given, by name."""

    def __init__(self, torch, parameters=None):
        self.torch, self.parameters, self.rng = torch, {}, np.random.default_rng(15)
        for name, array in (parameters or {}).items():
            self.parameters[name] = torch.tensor(np.asarray(array), requires_grad=True)

    def parameter(self, name, *shape):
        if name not in self.parameters:
            value = 0.7 * self.rng.normal(size=shape)
            self.parameters[name] = self.torch.tensor(value, requires_grad=True)
        return self.parameters[name]

    def run(self, layers, x, prefix):
        """Layers one after the other; each kind is counted, as in dense2."""
        counts = {}
        for layer in layers:
            x = self.apply(layer, x, self.name(layer, prefix, counts))
        return x

    def name(self, layer, prefix, counts):
        kind = layer[0].lower()
        counts[kind] = counts.get(kind, 0) + 1
        return f"{prefix}{kind}{counts[kind]}."

    def apply(self, layer, x, name):
        kind, *rest = layer
        if kind == "Tanh":
            return x.tanh()
        if kind == "Dense":
            return self.parameter(name + "W", rest[0], len(x)) @ x + self.parameter(name + "b", rest[0], 1)
        if kind == "Convolution":
            filters, kernel, padding, stride = rest
            W, b = self.parameter(name + "W", filters, len(x), kernel, kernel), self.parameter(name + "b", filters, 1)
            images = self.torch.nn.functional.conv2d(x.permute(3, 0, 1, 2), W, b[:, 0], stride, padding)
            return images.permute(1, 2, 3, 0)
        return getattr(self, kind.lower())(x, name, rest[1], **rest[0])

    def skip(self, x, name, layers, how, projection=None):
        return self.skips(x, name, layers, how, [[0, len(layers), *([projection] if projection else [])]])

    def skips(self, x, name, layers, how, arrows):
        counts, u = {}, []
        for k in range(len(layers) + 1):
            arrived = [x]
            for start, stop, *projection in arrows:
                if stop == k:
                    value = u[start]
                    for layer in projection:
                        value = self.apply(layer, value, self.name(layer, name, counts))
                    arrived.append(value)
            u.append(met(self.torch, arrived, how))
            if k < len(layers):
                x = self.apply(layers[k], u[k], self.name(layers[k], name, counts))
        return u[-1]

    def feedback(self, x, name, layers, times, shared, how_in, how_out, gradient_scale):
        outputs = []
        for t in range(times):
            arrived = [x]
            if t:
                y, s = outputs[-1], gradient_scale
                arrived.append(s * y + (1 - s) * y.detach())        # y, but with s times its gradient
            u = met(self.torch, arrived, how_in)
            outputs.append(self.run(layers, u, name if shared else f"{name}{t + 1}."))
        return met(self.torch, outputs, how_out)

    def loop(self, x, name, layers, times, how, gradient_scale):
        return self.feedback(x, name, layers, times, True, how, "overwrite", gradient_scale)


def by_torch(description, x, dy=None, parameters=None):
    """y, dx, and parameters and gradients by name, in float64; dy is drawn where it is not given."""
    import torch

    machine = Torch(torch, parameters)
    x = torch.tensor(x, requires_grad=True)
    y = machine.apply(description, x, "")
    dy = np.random.default_rng(16).normal(size=tuple(y.shape)) if dy is None else dy
    y.backward(torch.tensor(dy))
    gradients = {name: (np.zeros(p.shape) if p.grad is None else p.grad.numpy()) for name, p in machine.parameters.items()}
    dx = np.zeros(x.shape) if x.grad is None else x.grad.numpy()
    return {"y": y.detach().numpy(), "dx": dx, "dy": np.asarray(dy), "gradients": gradients,
            "parameters": {name: p.detach().numpy() for name, p in machine.parameters.items()}}


def main():
    """Write skips.json."""
    import torch

    frozen, rng = {"torch": torch.__version__.split("+")[0], "cases": {}}, np.random.default_rng(1)
    for name, (description, shape) in cases().items():
        x = rng.normal(size=(*shape, 2))
        found = by_torch(description, x)
        plain = {key: {k: v.tolist() for k, v in value.items()} if isinstance(value, dict) else value.tolist()
                 for key, value in found.items()}
        frozen["cases"][name] = {"description": description, "x": x.tolist(), **plain}
    FROZEN.write_text(json.dumps(frozen) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
