"""A made-up book of three chapters, for breaking each rule of the machinery once."""

import shutil
from pathlib import Path

HERE = Path(__file__).parent


def copy_to(folder):
    """A fresh copy of the small book; returns its root."""
    root = folder / "small"
    shutil.copytree(HERE, root, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    return root


def edit(root, chapter, old, new):
    """Replace the one place where a chapter says `old`; returns the line it stood on."""
    path = next((root / "book").glob(f"{chapter}-*.md"))
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {path.name}"
    path.write_text(text.replace(old, new), encoding="utf-8")
    return text[:text.index(old)].count("\n") + 1


def add(root, chapter, *cells):
    """Put code cells, given as (tags, source), at the end; returns their sources' first lines."""
    path = next((root / "book").glob(f"{chapter}-*.md"))
    text, lines = path.read_text(encoding="utf-8"), []
    for tags, source in cells:
        text += f"\n```{{code-cell}} ipython3\n:tags: [{tags}]\n\n"
        lines.append(text.count("\n") + 1)
        text += f"{source}\n```\n"
    path.write_text(text, encoding="utf-8")
    return lines
