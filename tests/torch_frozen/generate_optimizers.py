"""Ask PyTorch for ten steps of each optimizer and for its schedules, freeze them in optimizers.json.

Run `python tests/torch_frozen/generate_optimizers.py` where PyTorch is installed.
"""

import json
from pathlib import Path

import numpy as np

EACH = [0.2, 0.0, 0.5, 0.0, 0.1, 0.3]       # a weight decay of its own for each of the six parameters
FROZEN = Path(__file__).with_name("optimizers.json")
STEPS = 10
RATES = 30

# {case: (class in nnlib, its settings; class in PyTorch, its settings)}
CASES = {
    "sgd": ("SGD", dict(learning_rate=0.1), "SGD", dict(lr=0.1)),
    "sgd, decay": ("SGD", dict(learning_rate=0.1, weight_decay=0.2), "SGD", dict(lr=0.1, weight_decay=0.2)),
    "momentum": ("SGD", dict(learning_rate=0.1, momentum=0.9), "SGD", dict(lr=0.1, momentum=0.9)),
    "momentum, decay": ("SGD", dict(learning_rate=0.1, momentum=0.5, weight_decay=0.2),
                        "SGD", dict(lr=0.1, momentum=0.5, weight_decay=0.2)),
    "nesterov": ("SGD", dict(learning_rate=0.1, momentum=0.9, nesterov=True),
                 "SGD", dict(lr=0.1, momentum=0.9, nesterov=True)),
    "nesterov, decay": ("SGD", dict(learning_rate=0.1, momentum=0.6, nesterov=True, weight_decay=0.2),
                        "SGD", dict(lr=0.1, momentum=0.6, nesterov=True, weight_decay=0.2)),
    "rmsprop": ("RMSprop", dict(), "RMSprop", dict()),
    "rmsprop, decay": ("RMSprop", dict(learning_rate=0.1, decay=0.8, eps=0.01, weight_decay=0.2),
                       "RMSprop", dict(lr=0.1, alpha=0.8, eps=0.01, weight_decay=0.2)),
    "rmsprop, momentum": ("RMSprop", dict(learning_rate=0.1, momentum=0.9), "RMSprop", dict(lr=0.1, momentum=0.9)),
    "centered": ("RMSprop", dict(learning_rate=0.1, decay=0.9, centered=True),
                 "RMSprop", dict(lr=0.1, alpha=0.9, centered=True)),
    "centered, all": ("RMSprop", dict(learning_rate=0.1, centered=True, momentum=0.7, weight_decay=0.2),
                      "RMSprop", dict(lr=0.1, centered=True, momentum=0.7, weight_decay=0.2)),
    "adam": ("Adam", dict(), "Adam", dict()),
    "adam, decay": ("Adam", dict(learning_rate=0.1, weight_decay=0.2), "Adam", dict(lr=0.1, weight_decay=0.2)),
    "adam, all": ("Adam", dict(learning_rate=0.1, beta1=0.7, beta2=0.9, eps=0.01),
                  "Adam", dict(lr=0.1, betas=(0.7, 0.9), eps=0.01)),
    "adamw": ("AdamW", dict(), "AdamW", dict()),
    "adamw, all": ("AdamW", dict(learning_rate=0.1, beta1=0.7, beta2=0.9, eps=0.01, weight_decay=0.5),
                   "AdamW", dict(lr=0.1, betas=(0.7, 0.9), eps=0.01, weight_decay=0.5)),
    "sgd, each its decay": ("SGD", dict(learning_rate=0.1, weight_decay=EACH), "SGD", dict(lr=0.1, weight_decay=EACH)),
    "nesterov, each its decay": ("SGD", dict(learning_rate=0.1, momentum=0.6, nesterov=True, weight_decay=EACH),
                                 "SGD", dict(lr=0.1, momentum=0.6, nesterov=True, weight_decay=EACH)),
    "rmsprop, each its decay": ("RMSprop", dict(learning_rate=0.1, centered=True, momentum=0.7, weight_decay=EACH),
                                "RMSprop", dict(lr=0.1, centered=True, momentum=0.7, weight_decay=EACH)),
    "adam, each its decay": ("Adam", dict(learning_rate=0.1, weight_decay=EACH), "Adam", dict(lr=0.1, weight_decay=EACH)),
    "adamw, each its decay": ("AdamW", dict(learning_rate=0.1, weight_decay=EACH), "AdamW", dict(lr=0.1, weight_decay=EACH)),
    "clipped by value": ("SGD", dict(learning_rate=0.1, momentum=0.9, weight_decay=0.2, clip_value=0.5),
                         "SGD", dict(lr=0.1, momentum=0.9, weight_decay=0.2)),
    "clipped by norm": ("Adam", dict(learning_rate=0.1, weight_decay=0.2, clip_norm=1.5),
                        "Adam", dict(lr=0.1, weight_decay=0.2)),
}

# {schedule: (class in nnlib, its arguments)}
SCHEDULES = {
    "step": ("StepDecay", (0.4, 0.3, 7)),
    "exponential": ("ExponentialDecay", (0.4, 0.9)),
    "cosine": ("Cosine", (0.4, 20, 0.05)),
    "cosine, warm-up": ("Cosine", (0.4, 25, 0.05, 5)),
}


def start():
    """Six parameters, and for each step the part of the gradient that does not depend on them.

    The first element and its gradient are always zero; the sizes of the others differ widely.
    """
    rng = np.random.default_rng(1964)
    size = np.array([0.0, 1e-3, 0.1, 1.0, 10.0, 1e3])
    return rng.normal(size=6) * (size > 0), rng.normal(size=(STEPS, 6)) * size


def gradient(w, step):
    """What both libraries are handed: it depends on w, so that errors add up."""
    return 0.3 * w + start()[1][step].astype(w.dtype)


def steps_by_torch(case, dtype="float64"):
    """The parameters after each of ten steps, shape (10, 6)."""
    import torch

    _, settings, kind, theirs = CASES[case]
    if isinstance(theirs.get("weight_decay"), list):
        return steps_in_groups(kind, theirs, dtype)
    w = torch.tensor(start()[0], dtype=getattr(torch, dtype), requires_grad=True)
    optimizer = getattr(torch.optim, kind)([w], **theirs)
    path = []
    for step in range(STEPS):
        w.grad = torch.tensor(gradient(w.detach().numpy(), step))
        if "clip_value" in settings:
            torch.nn.utils.clip_grad_value_([w], settings["clip_value"])
        if "clip_norm" in settings:
            # PyTorch scales by limit / (length + 1e-6); this limit makes that our limit / length.
            limit, length = settings["clip_norm"], float(w.grad.norm())
            torch.nn.utils.clip_grad_norm_([w], limit * (1 + 1e-6 / length))
        optimizer.step()
        path.append(w.detach().numpy().copy())
    return np.array(path)


def steps_in_groups(kind, theirs, dtype):
    """The same with a weight decay for each parameter: in PyTorch a group of its own, with a tensor of its own."""
    import torch

    w = [torch.tensor([value], dtype=getattr(torch, dtype), requires_grad=True) for value in start()[0]]
    optimizer = getattr(torch.optim, kind)(
        [{"params": [one], "weight_decay": decay} for one, decay in zip(w, theirs["weight_decay"], strict=True)],
        **{name: value for name, value in theirs.items() if name != "weight_decay"})
    path = []
    for step in range(STEPS):
        slopes = gradient(np.array([float(one.detach()) for one in w], dtype), step)
        for one, slope in zip(w, slopes):
            one.grad = torch.tensor([slope], dtype=one.dtype)
        optimizer.step()
        path.append(np.array([float(one.detach()) for one in w], dtype))
    return np.array(path)


def rates_by_torch(name):
    """The learning rate of each of the first thirty steps."""
    import torch
    from torch.optim import lr_scheduler as schedules

    _, (initial, *rest) = SCHEDULES[name]
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=initial)
    if name == "step":
        schedule = schedules.StepLR(optimizer, step_size=rest[1], gamma=rest[0])
    elif name == "exponential":
        schedule = schedules.ExponentialLR(optimizer, gamma=rest[0])
    elif name == "cosine":
        schedule = schedules.CosineAnnealingLR(optimizer, T_max=rest[0], eta_min=rest[1])
    else:
        steps, final, warmup = rest
        parts = [schedules.LinearLR(optimizer, 1 / (warmup + 1), 1.0, warmup),
                 schedules.CosineAnnealingLR(optimizer, T_max=steps - warmup, eta_min=final)]
        schedule = schedules.SequentialLR(optimizer, parts, [warmup])
    rates = []
    for step in range(RATES):
        # After its last step PyTorch's cosine turns round and climbs; ours stays.
        rates.append(rest[1] if "cosine" in name and step > rest[0] else optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return rates


def main():
    import torch

    frozen = {
        "torch": torch.__version__.split("+")[0],
        "steps": {case: steps_by_torch(case).tolist() for case in CASES},
        "rates": {name: rates_by_torch(name) for name in SCHEDULES},
    }
    FROZEN.write_text(json.dumps(frozen, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
