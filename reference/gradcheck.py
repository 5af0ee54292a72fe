"""Finite differences, one element at a time: see book/05-backpropagation.md."""

import math

from reference._edge import to_array, to_list


def _indices(shape):
    """Every index of an array of this shape, last axis fastest."""
    if not shape:
        return [()]
    return [(i, *rest) for i in range(shape[0]) for rest in _indices(shape[1:])]


def _flat(nested):
    """The numbers of a nested list, in order."""
    if not isinstance(nested, list):
        return [nested]
    return [number for part in nested for number in _flat(part)]


def numerical_gradient(f, x, step=6e-6):
    """(f at x + h) - (f at x - h), over 2 h, for each element; x is an array that f reads."""
    slopes = to_array(x)
    for index in _indices(x.shape):
        kept = float(x[index])
        h = step * max(1.0, math.fabs(kept))
        x[index] = kept + h
        above = float(f())
        x[index] = kept - h
        below = float(f())
        x[index] = kept
        slopes[index] = (above - below) / (2.0 * h)
    return slopes


def compare_gradients(name, got, expected, tolerance=1e-6):
    """Largest error relative to the element or to the root mean square, whichever is larger."""
    got, expected = _flat(to_list(got)), _flat(to_list(expected))
    typical = math.sqrt(math.fsum(e * e for e in expected) / len(expected))
    errors = [abs(g - e) / max(abs(e), typical, 1e-8) for g, e in zip(got, expected, strict=True)]
    worst = max(math.inf if math.isnan(error) else error for error in errors)
    if worst > tolerance:
        raise AssertionError(f"{name}: relative error {worst:.1e}")
    return worst
