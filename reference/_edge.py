"""Where arrays become lists and lists become arrays. No arithmetic here."""

import numpy as np


def to_list(x):
    """Nested lists of Python floats, whatever array-like came in."""
    return np.asarray(x, dtype=np.float64).tolist()


def to_array(x):
    """A float64 array, for handing a result back."""
    return np.array(x, dtype=np.float64)
