"""`python -m benchmarks`: train and run one network with every library, in turns, and write the table and its picture."""
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

from benchmarks.picture import draw
from nnlib.data import load_mnist, scale_pixels

HERE = Path(__file__).parent
PEERS = ("nnlib", "products", "torch", "jax", "sklearn")
AVX512 = {"OPENBLAS_CORETYPE": "SkylakeX"}
THREADS = (1, 2)
ROUNDS = 7
COLUMNS = ("peer", "threads", "task", "median", "low", "high", "ratio_to_torch")


class Peer:
    """A worker process and the answers it has given."""

    def __init__(self, name, threads, data, **environment):
        self.name, self.threads = name + " (AVX-512)" * bool(environment), threads
        self.times = {"epoch": [], "predict 1": [], "predict 256": []}
        self.process = subprocess.Popen([sys.executable, "-m", "benchmarks.worker", name, str(threads), data],
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


def run(data):
    """All peers, interleaved: every round asks each of them once, so that a slow minute hits them alike."""
    peers = [Peer(name, threads, data) for name in PEERS for threads in THREADS]
    if avx512_unused():
        peers += [Peer(name, threads, data, **AVX512) for name in ("nnlib", "products") for threads in THREADS]
    versions = {peer.name: peer.ask("versions") for peer in peers}
    for _ in tqdm(range(ROUNDS), desc="rounds"):
        for peer in peers:
            for task, times in peer.times.items():
                times.append(peer.ask(task))
    peaks = {peer: peer.ask("peak") for peer in peers}
    for peer in peers:
        peer.close()
    return peers, peaks, versions


def table(peers, peaks):
    """Rows of COLUMNS: seconds (median, lowest, highest of the rounds), megabytes for the task `peak MB`."""
    rows = [[p.name, p.threads, task, statistics.median(t), min(t), max(t)] for p in peers for task, t in p.times.items()]
    rows += [[p.name, p.threads, "peak MB", mb, mb, mb] for p, mb in peaks.items()]
    torch = {(threads, task): median for name, threads, task, median, *_ in rows if name == "torch"}
    return [[*row[:3], *(f"{v:.4g}" for v in row[3:]), f"{row[3] / torch[row[1], row[2]]:.2f}"] for row in rows]


def main():
    """Run, write results/mlp.csv, results/mlp-versions.json and results/mlp.png, and print the table."""
    with tempfile.TemporaryDirectory() as data:
        save_data(data)
        peers, peaks, versions = run(data)
    rows = table(peers, peaks)
    results = HERE / "results"
    results.mkdir(exist_ok=True)
    with open(results / "mlp.csv", "w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *rows])
    (results / "mlp-versions.json").write_text(json.dumps(versions, indent=1) + "\n")
    draw(rows, results / "mlp.png")
    print("\n".join("{:19} {:>7} {:12} {:>8} {:>8} {:>8} {:>6}".format(*row) for row in [COLUMNS, *rows]))


if __name__ == "__main__":
    main()
