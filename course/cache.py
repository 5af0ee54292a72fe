"""Executed chapters, kept under a key of everything they depend on."""

import ast
import hashlib
import os
import shutil
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from course.chapter import parse_file
from course.imports import closure, nnlib_modules

MACHINERY = ("notebook.py", "standin.py", "kernel.py", "weave.py", "outputs.py", "inline.py", "checks.py")
PACKAGES = ("numpy", "matplotlib", "pandas", "ipykernel")


def entry(root, key):
    """The folder of one executed chapter."""
    return root / ".cache" / "weave" / key


def key(root, module, modules):
    """A digest of all that a chapter's outputs can depend on."""
    texts = {m.name: m for m in modules}
    needed = closure(set().union(*map(nnlib_modules, module.chapter.trees)),
                     lambda name: texts[name].needs)
    sources = [texts[name].text for name in sorted(needed)]
    everything = "\n".join([module.chapter.text, *sources])
    parts = [module.chapter.name, everything, *map(installed, PACKAGES), f"{sys.version_info[:2]}"]
    files = [Path(__file__).parent / name for name in MACHINERY]
    files += reference_files(root, needed | {module.name})
    for folder in ("data", "book/results", "nnlib/pretrained"):
        files += named_files(root / folder, everything)
    digest = hashlib.sha256()
    for part in (*(p.encode() for p in parts), *(f.read_bytes() for f in files)):
        digest.update(hashlib.sha256(part).digest())
    return digest.hexdigest()[:24]


def reference_files(root, names):
    """The reference's modules of these names, what they import, and its shared parts."""
    folder = root / "reference"
    files = {path.stem: path for path in sorted(folder.glob("*.py"))}

    def needs(name):
        tree = parse_file(files[name], root)
        words = {part for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)
                 for part in [*(n.module or "").split("."), *(a.name for a in n.names)]}
        return words & files.keys()

    shared = {name for name in files if name.startswith("_")}
    return [files[name] for name in sorted(closure((names | shared) & files.keys(), needs))]


def named_files(folder, text):
    """The files in `folder` that the text names, or that lie in a sub-folder it names."""
    entries = sorted(folder.iterdir()) if folder.is_dir() else []
    return [path for top in entries if top.name in text
            for path in ([top] if top.is_file() else sorted(p for p in top.rglob("*") if p.is_file()))]


def installed(package):
    """A package's name and version."""
    try:
        return f"{package} {version(package)}"
    except PackageNotFoundError:
        return f"{package} missing"


def store(root, key, files):
    """Put an executed chapter into the cache, whole or not at all."""
    publish(entry(root, key), files, replace=True)


def library(root, files):
    """A folder holding this state of the package, as `nnlib/` within it."""
    digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()[:24]
    folder = root / ".cache" / "library" / digest
    publish(folder, {f"nnlib/{name}": text.encode() for name, text in files.items()})
    return folder


def publish(folder, files, replace=False):
    """Write files into a temporary folder, then rename it into place."""
    if folder.exists() and not replace:
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, ignore_cleanup_errors=True) as temporary:
        for name, data in files.items():
            path = Path(temporary) / "whole" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        shutil.rmtree(folder, ignore_errors=True)
        try:
            os.replace(Path(temporary) / "whole", folder)
        except OSError:  # another process has just made the same one
            if not folder.is_dir():
                raise
