"""Ask PyTorch for what the layers, losses and averages of regularization give, and freeze it in regularization.json.

Run `python tests/torch_frozen/generate_regularization.py` where PyTorch is installed. Batch last here, batch first there.
"""

import json
from pathlib import Path

import numpy as np

FROZEN = Path(__file__).with_name("regularization.json")
NORMS = {
    "features": ((4, 6), {}),
    "features, two samples": ((3, 2), {"momentum": 0.5, "eps": 0.01}),
    "images": ((3, 4, 5, 2), {}),
    "one image": ((2, 3, 2, 1), {"momentum": 0.25}),
    "far from zero": ((2, 4, 4, 3), {}),
}
DECAYS = {"W1": 0.3, "gamma": 0.0, "beta": 0.0, "W2": 0.3, "b2": 0.0}


def inputs():
    """{case: (kind, settings, arrays)}: the same numbers every time."""
    rng, cases = np.random.default_rng(2015), {}
    for name, (shape, settings) in NORMS.items():
        channels, offset = shape[0], 50.0 if name == "far from zero" else 0.0
        arrays = {"x": rng.normal(size=(3, *shape)) * 2 + offset, "dy": rng.normal(size=(4, *shape)),
                  "gamma": rng.normal(size=channels), "beta": rng.normal(size=channels)}
        cases[f"norm, {name}"] = ("norm", settings, arrays)
    for smoothing in (0.0, 0.1, 0.5):
        z, targets = 3 * rng.normal(size=(5, 7)), rng.dirichlet(np.ones(5), 7).T
        cases[f"labels smoothed by {smoothing}"] = (
            "loss", {"smoothing": smoothing}, {"z": z, "y": rng.integers(0, 5, 7)})
        cases[f"distributions smoothed by {smoothing}"] = ("loss", {"smoothing": smoothing}, {"z": z, "y": targets})
    for rate in (0.2, 0.5):
        cases[f"dropout {rate}"] = ("dropout", {"rate": rate}, {name: rng.normal(size=(6, 5)) for name in ("x", "dy")})
    sizes = {"W1": (4, 3), "gamma": (4,), "beta": (4,), "W2": (2, 4), "b2": (2,)}
    arrays = {name: rng.normal(size=shape) for name, shape in sizes.items()}
    arrays |= {"x": rng.normal(size=(10, 3, 8)), "y": rng.integers(0, 2, (10, 8))}
    cases["ten steps, decay on weights, averaged"] = ("steps", {"decay": 0.95}, arrays)
    return cases


def batch_first(x):
    return np.moveaxis(x, -1, 0)


def batch_last(x):
    return np.moveaxis(x.detach().numpy(), 0, -1)


def norm(settings, x, dy, gamma, beta):
    """Three training steps forward and back, then the same in evaluation mode on the last batch."""
    import torch

    kind = torch.nn.BatchNorm2d if x.ndim == 5 else torch.nn.BatchNorm1d
    layer = kind(len(gamma), **settings, dtype=torch.float64)
    with torch.no_grad():
        layer.weight[:], layer.bias[:] = torch.tensor(gamma), torch.tensor(beta)
    found = {name: [] for name in ("y", "dx", "dgamma", "dbeta", "mean", "var")}
    for i in range(4):
        layer.train(i < 3)
        layer.zero_grad()
        batch = torch.tensor(batch_first(x[min(i, 2)]).copy(), requires_grad=True)
        y = layer(batch)
        y.backward(torch.tensor(batch_first(dy[i]).copy()))
        numbers = (batch_last(y), batch_last(batch.grad), layer.weight.grad.numpy().copy(),
                   layer.bias.grad.numpy().copy(), layer.running_mean.numpy().copy(), layer.running_var.numpy().copy())
        for name, array in zip(found, numbers):
            found[name].append(array)
    return {name: np.array(arrays) for name, arrays in found.items()}


def loss(settings, z, y):
    import torch

    logits = torch.tensor(z.T.copy(), requires_grad=True)
    target = torch.tensor(y if y.ndim == 1 else y.T.copy())
    value = torch.nn.CrossEntropyLoss(label_smoothing=settings["smoothing"])(logits, target)
    value.backward()
    return {"value": np.array(value.item()), "dz": logits.grad.numpy().T}


def dropout(settings, x, dy):
    """What PyTorch kept is part of the answer: its random numbers are its own."""
    import torch

    torch.manual_seed(0)
    x = torch.tensor(x, requires_grad=True)
    y = torch.nn.functional.dropout(x, settings["rate"], training=True)
    y.backward(torch.tensor(dy))
    return {"kept": (y != 0).numpy().astype(float), "y": y.detach().numpy(), "dx": x.grad.numpy()}


def steps(settings, x, y, **parameters):
    """Dense without bias, batch norm, ReLU, dense: ten steps of SGD with Nesterov's momentum, averaged."""
    import torch

    net = torch.nn.Sequential(torch.nn.Linear(3, 4, bias=False), torch.nn.BatchNorm1d(4), torch.nn.ReLU(),
                              torch.nn.Linear(4, 2)).double()
    mine = dict(zip(DECAYS, net.parameters()))
    with torch.no_grad():
        for name, parameter in mine.items():
            parameter[:] = torch.tensor(parameters[name])
    groups = [{"params": [parameter], "weight_decay": DECAYS[name]} for name, parameter in mine.items()]
    optimizer = torch.optim.SGD(groups, lr=0.2, momentum=0.9, nesterov=True)

    def average_fn(old, new, count):
        keep = min(settings["decay"], (1 + int(count)) / (10 + int(count)))
        return keep * old + (1 - keep) * new

    average = torch.optim.swa_utils.AveragedModel(net, avg_fn=average_fn)
    average.update_parameters(net)
    for batch, labels in zip(x, y):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(torch.tensor(batch.T.copy())), torch.tensor(labels)).backward()
        optimizer.step()
        average.update_parameters(net)
    found = {name: parameter.detach().numpy().copy() for name, parameter in mine.items()}
    found |= {f"average {name}": parameter.detach().numpy().copy()
              for name, parameter in zip(DECAYS, average.module.parameters())}
    return found | {"mean": net[1].running_mean.numpy(), "var": net[1].running_var.numpy()}


def by_torch(kind, settings, arrays):
    """{name: array}, in float64."""
    return {"norm": norm, "loss": loss, "dropout": dropout, "steps": steps}[kind](settings, **arrays)


def main():
    """Write regularization.json."""
    import torch

    frozen = {"torch": torch.__version__.split("+")[0], "cases": {}}
    for case, (kind, settings, arrays) in inputs().items():
        expected = by_torch(kind, settings, arrays)
        frozen["cases"][case] = {"kind": kind, "settings": settings,
                                 "arrays": {name: array.tolist() for name, array in arrays.items()},
                                 "expected": {name: array.tolist() for name, array in expected.items()}}
    FROZEN.write_text(json.dumps(frozen) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
