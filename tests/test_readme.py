"""What the README says is measured, and what it shows exists."""

import csv
import re
import statistics
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
NAMES = {"nnlib": "nnlib", "nnlib, AVX-512 kernels": "nnlib (AVX-512)", "PyTorch eager": "torch", "JAX jit": "jax",
         "scikit-learn": "sklearn", "(the matrix products alone)": "products"}


def rows(path):
    """A CSV's rows as dicts, comments skipped."""
    lines = (line for line in path.read_text(encoding="utf-8").splitlines() if not line.startswith("#"))
    return list(csv.DictReader(lines))


def cells(first):
    """The cells of the README's table row that starts so."""
    found = [line for line in README.splitlines() if line.startswith(f"| {first} |")]
    assert len(found) == 1, f"one row for {first} expected in README.md"
    return [cell.strip() for cell in found[0].strip("|").split("|")][1:]


@pytest.mark.parametrize("name", NAMES)
def test_speed_is_what_the_bench_measured(name):
    bench = {(row["threads"], row["task"]): row for row in rows(ROOT / "benchmarks/results/mlp.csv") if row["peer"] == NAMES[name]}
    expected = [text for threads in "12" for text in (f"{float(bench[threads, 'epoch']['median']):.2f}", bench[threads, "epoch"]["ratio_to_torch"])]
    assert cells(name) == [*expected, f"{float(bench['1', 'peak MB']['median']):.0f}"]


def test_accuracies_are_what_the_long_runs_gave():
    found = {}
    for row in rows(ROOT / "book/results/mlp-seeds.csv"):
        found.setdefault((row["recipe"], row["epochs"]), []).append(100 * float(row["test_accuracy"]))
    assert len(found) == 3
    for (recipe, epochs), values in found.items():
        assert len(values) == 3, "three seeds"
        assert cells(recipe) == [epochs, f"{statistics.mean(values):.2f} %", f"{min(values):.2f} – {max(values):.2f} %"]


def test_the_long_runs_reach_their_floors():
    """The floors: 98.0 % for the submission's network, 97.49 and 94.91 % for the two plain recipes."""
    means = {}
    for row in rows(ROOT / "book/results/mlp-seeds.csv"):
        means.setdefault(row["recipe"].split(",")[0], []).append(float(row["test_accuracy"]))
    means = {recipe: statistics.mean(values) for recipe, values in means.items()}
    assert means["784-256-128-10 ReLU"] >= 0.98
    assert means["784-256-64-10 ReLU"] >= 0.9749
    assert means["784-256-64-10 sigmoid"] >= 0.9491


def test_links_and_pictures_exist():
    targets = re.findall(r"\]\(([^)#]+)\)", README)
    assert len(targets) >= 10
    missing = [target for target in targets if not target.startswith("http") and not (ROOT / target).exists()]
    assert not missing


def test_every_chapter_is_in_the_map():
    for chapter in sorted((ROOT / "book").glob("[0-9]*.md")):
        assert f"(book/{chapter.name})" in README, f"{chapter.name} is missing from the README's map"


def test_the_example_runs_as_far_as_it_is_cheap():
    """The README's code, with fewer digits and one epoch."""
    code = re.search(r"```python\n(.*?)```", README, re.S).group(1)
    assert "epochs=8" in code
    code = code.replace("epochs=8", "epochs=1, progress=False").replace("steps = 8", "steps = 1")
    names = {}
    head, tail = code.split("network = Network", 1)
    exec(head + "images, labels = images[:3000], labels[:3000]\nnetwork = Network" + tail, names)
    assert names["network"].parameter_count == 235_146
    assert names["evaluate"](names["network"], names["scale_pixels"](names["test_images"]), names["test_labels"])["accuracy"] > 0.7
