"""`python -m benchmarks [MODEL ...]`: train and run networks with every library, in turns; tables and pictures."""
import csv
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_info
from tqdm import tqdm

from benchmarks.models import MODELS
from benchmarks.picture import draw
from nnlib.data import load_mnist, scale_pixels

HERE = Path(__file__).parent
RESULTS = HERE / "results"
AVX512 = {"OPENBLAS_CORETYPE": "SkylakeX"}
THREADS = (1, 2)
ROUNDS = 7
COLUMNS = ("peer", "threads", "task", "median", "low", "high", "ratio_to_torch")


class Worker:
    """A worker process and the answers it has given."""

    def __init__(self, model, library, threads, data, **environment):
        self.name, self.threads = library + " (AVX-512)" * bool(environment), threads
        self.times = {task: [] for task in MODELS[model].tasks}
        self.process = subprocess.Popen([sys.executable, "-m", "benchmarks.worker", model, library, str(threads), data],
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=HERE.parent,
                                        env=os.environ | environment)

    def ask(self, question):
        """One request, one answer."""
        print(question, file=self.process.stdin, flush=True)
        answer = self.process.stdout.readline()
        if not answer:
            raise SystemExit(f"benchmarks: {self.name} with {self.threads} threads stopped; its message is above")
        return json.loads(answer)

    def close(self):
        """Let the process end."""
        self.process.stdin.close()
        self.process.wait()


def avx512_unused():
    """Whether the processor has AVX-512 and OpenBLAS, not knowing the processor, chose older kernels.

    The comparison leaves the choice to the machine. Where it chose badly, a second row says what the other choice does.
    """
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    return "avx512f" in flags and any(pool.get("architecture") in ("Haswell", "Zen") for pool in threadpool_info())


def save_data(folder):
    """The arrays every worker loads: float32 pixels in [0, 1], samples first."""
    (images, labels), (test, _) = load_mnist()
    for name, array in (("images", scale_pixels(images).reshape(-1, 784)), ("labels", labels.astype(np.int64)),
                        ("test", scale_pixels(test).reshape(-1, 784))):
        np.save(Path(folder) / f"{name}.npy", array)


def run(model, data):
    """All peers, interleaved: every round asks each of them once, so that a slow minute hits them alike."""
    workers = [Worker(model, library, threads, data) for library in MODELS[model].peers for threads in THREADS]
    if avx512_unused():
        workers += [Worker(model, library, threads, data, **AVX512)
                    for library in ("nnlib", "products") for threads in THREADS]
    versions = {worker.name: worker.ask("versions") for worker in workers}
    for _ in tqdm(range(ROUNDS), desc=f"{model}, rounds"):
        for worker in workers:
            for task, times in worker.times.items():
                times.append(worker.ask(task))
    peaks = {worker: worker.ask("peak") for worker in workers}
    profiles = [workers[0].ask("profile") for _ in range(ROUNDS)] if model != "mlp" else []
    for worker in workers:
        worker.close()
    return workers, peaks, versions, profiles


def table(workers, peaks):
    """Rows of COLUMNS: seconds (median, lowest, highest of the rounds), megabytes for the task `peak MB`."""
    rows = [[w.name, w.threads, task, statistics.median(t), min(t), max(t)] for w in workers for task, t in w.times.items()]
    rows += [[w.name, w.threads, "peak MB", mb, mb, mb] for w, mb in peaks.items()]
    torch = {(threads, task): median for name, threads, task, median, *_ in rows if name == "torch"}
    return [[*row[:3], *(f"{v:.4g}" for v in row[3:]), f"{row[3] / torch[row[1], row[2]]:.2f}"] for row in rows]


def write_csv(path, rows):
    """Rows as a CSV file."""
    with open(path, "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)


def main(names):
    """Run; write results/MODEL.csv, MODEL-versions.json, MODEL.png and, for images, MODEL-layers.csv; print the table."""
    RESULTS.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as data:
        save_data(data)
        for name in names:
            workers, peaks, versions, profiles = run(name, data)
            rows = table(workers, peaks)
            write_csv(RESULTS / f"{name}.csv", [COLUMNS, *rows])
            (RESULTS / f"{name}-versions.json").write_text(json.dumps(versions, indent=1) + "\n")
            draw(rows, RESULTS / f"{name}.png")
            if profiles:
                layers = [[parts[0][0], f"{statistics.median(s for _, s in parts) * 1e3:.3f}"] for parts in zip(*profiles)]
                write_csv(RESULTS / f"{name}-layers.csv", [("layer", "milliseconds"), *layers])
            print("\n".join("{:19} {:>7} {:12} {:>8} {:>8} {:>8} {:>6}".format(*row) for row in [COLUMNS, *rows]))


if __name__ == "__main__":
    if unknown := set(sys.argv[1:]) - set(MODELS):
        raise SystemExit(f"expected models from {', '.join(MODELS)}, got {', '.join(sorted(unknown))}")
    main(sys.argv[1:] or list(MODELS))
