"""The bench's picture: each library's time as a multiple of PyTorch's."""
import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt                                             # noqa: E402

import course.notebook                                                      # noqa: E402, F401  the book's look

TITLES = {"epoch": "one epoch", "step": "one step", "predict 1": "inference, batch 1",
          "predict 256": "inference, batch 256", "peak MB": "peak memory"}


def draw(rows, path):
    """One panel a task, one bar for each library and number of threads; PyTorch is the line at 1."""
    tasks = [task for task in TITLES if any(row[2] == task for row in rows)]
    figure, axes = plt.subplots(1, len(tasks), figsize=(2.75 * max(len(tasks), 3), 3.2), sharey=True, layout="constrained")
    for ax, task in zip(axes, tasks):
        chosen = [row for row in rows if row[2] == task][::-1]
        labels = [f"{peer}, {threads} thread{'s'[:threads > 1]}" for peer, threads, *_ in chosen]
        ratios = [float(row[-1]) for row in chosen]
        bars = ax.barh(labels, ratios, color=["C0" if row[0].startswith("nnlib") else "0.75" for row in chosen])
        ax.bar_label(bars, fmt="%.2f", padding=3, fontsize=7)
        ax.axvline(1, color="0.3", linewidth=0.8)
        ax.set_xlim(0, 1.3 * max(ratios))
        ax.set_title(TITLES[task], fontsize=9)
    figure.supxlabel("times PyTorch eager's, same number of threads (less is better)", fontsize=9)
    figure.savefig(path, dpi=110)
    plt.close(figure)
