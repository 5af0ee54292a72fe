"""Ask PyTorch for whole networks' outputs, gradients and steps, freeze them in network.json.

Run `python tests/torch_frozen/generate_network.py` where PyTorch is installed.
"""

import json
from pathlib import Path

import numpy as np

FROZEN = Path(__file__).with_name("network.json")
STEPS, RATE = 5, 0.1
NETWORKS = {
    "one layer": ((3,), [("Dense", 2, True)]),
    "two, tanh": ((3,), [("Dense", 4, True), ("Tanh",), ("Dense", 3, True)]),
    "pictures": ((2, 3), [("Dense", 5, True), ("ReLU",), ("Dense", 4, True), ("Sigmoid",), ("Dense", 3, True)]),
    "no biases": ((4,), [("Dense", 6, False), ("LeakyReLU", 0.1), ("Dense", 2, False)]),
    "activation first": ((4,), [("Tanh",), ("Dense", 3, True), ("ReLU",), ("Dense", 2, True)]),
}
BATCHES = (1, 5)


def sizes(shape, layers):
    """The shapes of a network's parameters, in order."""
    inputs, found = int(np.prod(shape)), []
    for kind, *settings in layers:
        if kind == "Dense":
            units, bias = settings
            found += [(units, inputs)] + [(units, 1)] * bias
            inputs = units
    return found, inputs


def cases():
    """{case: (network, parameters, x, labels)}, batch last, the same numbers every time."""
    rng, found = np.random.default_rng(1989), {}
    for name, (shape, layers) in NETWORKS.items():
        arrays, outputs = sizes(shape, layers)
        for batch in BATCHES:
            parameters = rng.normal(size=sum(int(np.prod(a)) for a in arrays))
            x, labels = rng.normal(size=(*shape, batch)), rng.integers(0, outputs, batch)
            found[f"{name}, batch {batch}"] = (name, parameters, x, labels)
    return found


def by_torch(name, parameters, x, labels, dtype="float64"):
    """Output, loss, gradients (flat, and of x) and the parameters after some steps, by PyTorch."""
    import torch
    from torch import nn

    shape, layers = NETWORKS[name]
    arrays, _ = sizes(shape, layers)
    modules, inputs = [nn.Flatten()], int(np.prod(shape))
    for kind, *settings in layers:
        if kind == "Dense":
            modules.append(nn.Linear(inputs, settings[0], bias=settings[1]))
            inputs = settings[0]
        else:
            modules.append(getattr(nn, kind)(*settings))
    model = nn.Sequential(*modules).to(getattr(torch, dtype))
    start = 0
    with torch.no_grad():
        for own, size in zip(model.parameters(), arrays):
            stop = start + int(np.prod(size))
            own.copy_(torch.tensor(parameters[start:stop].reshape(own.shape, order="F")))
            start = stop
    x = torch.tensor(np.moveaxis(x, -1, 0).copy(), dtype=getattr(torch, dtype), requires_grad=True)
    optimizer = torch.optim.SGD(model.parameters(), RATE)
    result = None
    for _ in range(STEPS):
        optimizer.zero_grad()
        y = model(x)
        loss = nn.functional.cross_entropy(y, torch.tensor(labels))
        loss.backward()
        if result is None:
            result = {"y": y.detach().numpy().T.copy(), "loss": float(loss.detach()),
                      "gradients": flat(p.grad for p in model.parameters()),
                      "dx": np.moveaxis(x.grad.numpy(), 0, -1).copy()}
        optimizer.step()
    return {**result, "after": flat(p.detach() for p in model.parameters())}


def flat(tensors):
    """Tensors end to end, matrices column after column."""
    return np.concatenate([t.numpy().ravel(order="F") for t in tensors])


if __name__ == "__main__":
    import torch

    found = {}
    for case, (name, parameters, x, labels) in cases().items():
        answer = by_torch(name, parameters, x, labels)
        found[case] = {"network": name, "parameters": parameters.tolist(), "x": x.tolist(), "labels": labels.tolist(),
                       **{k: np.asarray(v).tolist() for k, v in answer.items()}}
    FROZEN.write_text(json.dumps({"torch": torch.__version__, "cases": found}, indent=1) + "\n", encoding="utf-8")
