"""Give the page "Draw a digit" what it runs: two networks, strokes to replay, and ONNX Runtime.

The networks are those of nnlib/pretrained, exported to ONNX; the strokes are traced from
test digits; the runtime comes from npm, at the versions of book/draw/package-lock.json.
A page opened as a file cannot fetch, but it can load scripts: so all of it becomes two
scripts beside the page, with binary files as base64 in them. What is missing is named in
the first, and the page says so.
"""

import base64
import gzip
import hashlib
import json
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PRETRAINED = ROOT / "nnlib" / "pretrained"
NETWORKS = {"mlp": "MLP", "cnn": "CNN"}  # file name, and what the page calls it
MODULE, BINARY = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
HEAD = "/* ONNX Runtime Web, Copyright (c) Microsoft Corporation, MIT License; see the module below for its version. */\n"
EACH = 6  # how many samples of each digit can be replayed
SECONDS = 300  # that npm may take


def furnish(source, output):
    """Write what the page in the site at `output` runs; returns what is missing, in sentences."""
    if not (Path(source) / "draw.md").exists():
        return []
    folder = Path(output) / "_static" / "draw"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    runtime, problem = fetch_runtime(Path(source) / "draw")
    if runtime:
        shutil.copyfile(runtime, folder / runtime.name)
    found, lost = networks(PRETRAINED)
    missing = [text for text in (problem, *lost) if text]
    data = {"runtime": runtime and runtime.name, "networks": found, "samples": samples(), "missing": missing}
    (folder / "data.js").write_text(f"window.DRAW = {json.dumps(data, separators=(',', ':'))};\n", encoding="utf-8")
    return missing


@cache
def fetch_runtime(folder):
    """The runtime as a script, made once for each lock file, and "", or None and why there is none."""
    lock = (folder / "package-lock.json").read_bytes()
    script = ROOT / "build" / "draw" / f"runtime-{hashlib.sha256(lock).hexdigest()[:12]}.js"
    if script.exists():
        return script, ""
    npm = shutil.which("npm")
    if not npm:
        return None, "Node is not installed where this site was built."
    with tempfile.TemporaryDirectory(prefix="draw-") as work:
        for name in ("package.json", "package-lock.json", ".npmrc"):
            shutil.copyfile(folder / name, Path(work, name))
        try:
            subprocess.run([npm, "ci", "--ignore-scripts", "--fetch-retries=1"], cwd=work, check=True,
                           capture_output=True, timeout=SECONDS)
            files = Path(work, "node_modules", "onnxruntime-web", "dist")
            module, binary = (files / MODULE).read_text(encoding="utf-8"), (files / BINARY).read_bytes()
        except (OSError, subprocess.SubprocessError):
            return None, "npm could not fetch onnxruntime-web where this site was built."
    parts = {"module": module, "wasm": base64.b64encode(gzip.compress(binary, mtime=0)).decode()}
    script.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile("w", dir=script.parent, delete=False, encoding="utf-8") as file:
        file.write(f"{HEAD}window.DRAW_RUNTIME = {json.dumps(parts)};\n")
    Path(file.name).replace(script)  # several builds may run at the same time
    return script, ""


@cache
def networks(folder):
    """The networks as the page wants them, and a sentence about each that is not there."""
    found, lost = [], []
    for stem, name in NETWORKS.items():
        path = folder / f"{stem}.safetensors"
        if path.exists():
            found.append(exported(path, name))
        else:
            lost.append(f"The {name}'s weights, {path.name}, are not there.")
    return found, lost


def exported(path, name):
    """One network: its ONNX file, and what the page says and asks about it."""
    from nnlib.activations import ReLU
    from nnlib.checkpoint import load
    from nnlib.onnx import to_onnx
    from nnlib.skips import number_layers

    saved = load(path)
    network, notes = saved.network, saved.notes or {}
    first = next(label for label, layer in number_layers(network.layers) if isinstance(layer, ReLU))
    shapes = dict(zip((label for label, _ in number_layers(network.layers)), network.shapes[1:]))
    model = to_onnx(network, name.lower(), outputs=[first],
                    metadata={k: v for k, v in notes.items() if k == "preprocessing"})
    return {"name": name, "numbers": network.parameter_count,
            "right": round(100 * notes["test_accuracy"], 2) if "test_accuracy" in notes else None, "input": list(network.input_shape),
            "first": first, "shape": list(shapes[first]),
            "model": base64.b64encode(model.SerializeToString()).decode()}


@cache
def samples():
    """Strokes of the first test digits of each kind: ten lists of digits, as `course.strokes` has them."""
    import numpy as np

    from course.strokes import strokes
    from nnlib.data import load_mnist

    _, (images, labels) = load_mnist(ROOT / "data")
    return [[strokes(image) for image in images[np.flatnonzero(labels == digit)[:EACH]]] for digit in range(10)]
