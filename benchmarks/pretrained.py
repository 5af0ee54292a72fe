"""`python -m benchmarks.pretrained [mlp] [cnn]`: the two networks that nnlib ships, into nnlib/pretrained/.

Both learn all 60,000 training digits, slightly warped anew in every epoch, so that they also read what people draw.
"""
import argparse
from dataclasses import replace
from pathlib import Path

from threadpoolctl import threadpool_limits

from benchmarks.results import Recipe, dense_layers, nesterov, seeing
from nnlib.activations import ReLU
from nnlib.augmentation import Augmentation
from nnlib.checkpoint import save
from nnlib.cli import PREPARATION
from nnlib.data import load_mnist, scale_pixels
from nnlib.dense import he_normal
from nnlib.training import evaluate

FOLDER = Path(__file__).parents[1] / "nnlib" / "pretrained"
RECIPES = {
    "mlp": Recipe("784-256-128-10", dense_layers((256, 128), ReLU, he_normal), 30, 64, nesterov, augment=Augmentation()),
    "cnn": seeing("16-32-64 filters", 14, Augmentation()),
}


def make(name, epochs, seed, train, test):
    """Train one network, test it once, and save it with notes on how it came about."""
    recipe = RECIPES[name] if epochs is None else replace(RECIPES[name], epochs=epochs)
    network = recipe.train(*train, seed)
    accuracy = evaluate(network, *test)["accuracy"]
    notes = {"name": f"{name}, {recipe.name}", "trained_on": "the 60,000 training digits of MNIST", "epochs": recipe.epochs,
             "augmentation": repr(recipe.augment), "seed": seed, "test_accuracy": round(accuracy, 4), "preprocessing": PREPARATION,
             "command": f"python -m benchmarks.pretrained {name} --epochs {recipe.epochs} --seed {seed}"}
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / f"{name}.safetensors"
    save(path, network, notes=notes)
    print(f"{path}: {accuracy:.4f} on the test digits, {path.stat().st_size:,} bytes")


def main(arguments=None):
    """Read the options, make the networks that were asked for."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pretrained", description=__doc__.split("\n\n")[0])
    parser.add_argument("names", nargs="*", help=f"from {', '.join(RECIPES)}; all, if none is named")
    parser.add_argument("--epochs", type=int, help="instead of the recipe's own")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    if unknown := set(options.names) - set(RECIPES):
        parser.error(f"expected names from {', '.join(RECIPES)}, got {', '.join(sorted(unknown))}")
    train, test = ((scale_pixels(images), labels) for images, labels in load_mnist())
    with threadpool_limits(1, "blas"):
        for name in options.names or RECIPES:
            make(name, options.epochs, options.seed, train, test)


if __name__ == "__main__":
    main()
