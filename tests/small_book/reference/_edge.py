"""Lists in, arrays out."""

import numpy as np


def each(function, x):
    """Apply a function to every number of nested lists."""
    if hasattr(x, "tolist"):
        x = x.tolist()
    return [each(function, v) for v in x] if isinstance(x, list) else function(x)


def to_array(x):
    return np.array(x, dtype=np.float64)
