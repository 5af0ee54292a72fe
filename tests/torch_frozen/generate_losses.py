"""Ask PyTorch for the values and gradients of every loss, and freeze them in losses.json.

Run `python tests/torch_frozen/generate_losses.py` where PyTorch is installed.
"""

import json
from pathlib import Path

import numpy as np

FROZEN = Path(__file__).with_name("losses.json")


def inputs():
    """{case: (loss's name, prediction, target)}, batch last, the same numbers every time."""
    rng = np.random.default_rng(1948)
    p, y = rng.normal(size=(2, 3, 5))
    z = 3 * rng.normal(size=(4, 6))
    extreme = rng.choice([-1000.0, -30.0, 0.0, 30.0, 1000.0], size=(4, 6))
    labels = rng.integers(0, 4, 6)
    probabilities = rng.dirichlet(np.ones(4), 6).T
    soft = rng.dirichlet(np.ones(4), 6).T
    coins, soft_coins = rng.uniform(0.01, 0.99, (2, 3, 5))
    hard_coins = rng.integers(0, 2, (3, 5)).astype(float)
    distances = ["absolute_error", "mean_absolute_error", "mean_squared_error", "root_mean_squared_error"]
    return {
        **{name: (name, p, y) for name in distances},
        "cross_entropy, labels": ("cross_entropy", probabilities, labels),
        "cross_entropy, soft": ("cross_entropy", probabilities, soft),
        "kl_divergence": ("kl_divergence", probabilities, soft),
        "binary_cross_entropy, hard": ("binary_cross_entropy", coins, hard_coins),
        "binary_cross_entropy, soft": ("binary_cross_entropy", coins, soft_coins),
        "sigmoid_binary_cross_entropy, hard": ("sigmoid_binary_cross_entropy", 5 * p, hard_coins),
        "sigmoid_binary_cross_entropy, soft": ("sigmoid_binary_cross_entropy", 5 * p, soft_coins),
        "sigmoid_binary_cross_entropy, extreme": ("sigmoid_binary_cross_entropy", extreme[:3, :5], hard_coins),
        "softmax_cross_entropy, labels": ("softmax_cross_entropy", z, labels),
        "softmax_cross_entropy, soft": ("softmax_cross_entropy", z, soft),
        "softmax_cross_entropy, extreme": ("softmax_cross_entropy", extreme, labels),
    }


def by_torch(name, p, y):
    """Value and gradient by PyTorch in float64; batch last outside, batch first inside."""
    import torch
    from torch.nn import functional as F

    p = torch.tensor(p.T.copy(), requires_grad=True)
    y = torch.tensor(y.T.copy())
    losses = {
        "absolute_error": lambda: (p - y).abs().sum(dim=1).mean(),
        "mean_absolute_error": lambda: F.l1_loss(p, y),
        "mean_squared_error": lambda: F.mse_loss(p, y),
        "root_mean_squared_error": lambda: F.mse_loss(p, y).sqrt(),
        "cross_entropy": lambda: F.nll_loss(p.log(), y) if y.ndim == 1 else -(y * p.log()).sum(dim=1).mean(),
        "kl_divergence": lambda: F.kl_div(p.log(), y, reduction="batchmean"),
        "binary_cross_entropy": lambda: F.binary_cross_entropy(p, y),
        "sigmoid_binary_cross_entropy": lambda: F.binary_cross_entropy_with_logits(p, y),
        "softmax_cross_entropy": lambda: F.cross_entropy(p, y),
    }
    value = losses[name]()
    value.backward()
    return value.item(), p.grad.numpy().T


def main():
    """Write losses.json."""
    import torch

    frozen = {"torch": torch.__version__.split("+")[0], "cases": {}}
    for case, (name, p, y) in inputs().items():
        value, gradient = by_torch(name, p, y)
        frozen["cases"][case] = {"loss": name, "prediction": p.tolist(), "target": y.tolist(),
                                 "value": value, "gradient": gradient.tolist()}
    FROZEN.write_text(json.dumps(frozen, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
