"""One peer with one number of threads, in a process of its own; does what its standard input says.

`python -m benchmarks.worker MODEL PEER THREADS DATA` answers each line (`epoch`, `step`, `predict BATCH`, `peak`,
`profile`, `versions`) with one line of JSON. A process of its own keeps threads, caches and peak memory apart, and
staying alive between requests lets the bench interleave the peers without paying for their start again.
"""
import importlib
import json
import os
import sys
import time
from pathlib import Path

from benchmarks.models import MODELS

SINGLE = 2_000          # images predicted one at a time; the full 10,000 would say the same
STEPS = 10              # of which `step` gives the mean


def keep_to(threads):
    """Give every library the same cores: the environment for those that read it, affinity for those that do not."""
    for name in ("OPENBLAS", "OMP", "MKL"):
        os.environ[f"{name}_NUM_THREADS"] = str(threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:threads]))


def seconds(work):
    """How long work() takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def forget_peak():
    """Begin to look for the peak anew: the files that the data were read from were counted, as long as they were mapped."""
    Path("/proc/self/clear_refs").write_text("5")


def peak_megabytes():
    """The largest resident size this process has had since `forget_peak` (Linux: VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) / 1024


def predict_all(peer, images, batch):
    """Every image through the network, `batch` at a time."""
    for start in range(0, len(images), batch):
        peer.predict(images[start:start + batch])


def main(name, library, threads, data):
    """Answer requests until standard input ends."""
    keep_to(int(threads))
    import numpy as np
    model = MODELS[name]
    images, labels, test = (np.array(np.load(Path(data) / f"{part}.npy", mmap_mode="r")[:model.images])
                            for part in ("images", "labels", "test"))
    forget_peak()
    kind = importlib.import_module(f"benchmarks.peers.{library}").Peer
    peer = kind(model, images, labels, int(threads))
    warm_up = peer.step if "step" in model.tasks else peer.epoch
    warm_up()                                               # compiles, allocates, warms the caches
    answers = {"epoch": lambda: seconds(peer.epoch),
               "step": lambda: seconds(lambda: [peer.step() for _ in range(STEPS)]) / STEPS,
               "predict": lambda batch: seconds(lambda: predict_all(peer, test if batch > 1 else test[:SINGLE], batch)),
               "peak": peak_megabytes,
               "profile": lambda: peer.profile(),
               "versions": kind.versions}
    for line in sys.stdin:
        question, *arguments = line.split()
        print(json.dumps(answers[question](*map(int, arguments))), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
