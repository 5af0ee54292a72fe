"""Training, one sample at a time: see book/08-training.md.

The loop itself is in two_three_two.py, which trains a whole network in plain Python.
"""

from reference._edge import to_list


def accuracy(outputs, labels):
    """Share of rows whose first largest entry stands at their label."""
    right = 0
    rows = to_list(outputs)
    for row, label in zip(rows, to_list(labels), strict=True):
        best = 0
        for k in range(1, len(row)):
            if row[k] > row[best]:
                best = k
        if best == label:
            right += 1
    return right / len(rows)
