# Generated from book/05-backpropagation.md by `python -m course tangle`.
# Do not edit: change the chapter, then tangle again.
"""Backpropagation."""

import numpy as np

__all__ = [
    "numerical_gradient",
    "GradientError",
    "compare_gradients",
    "check_function",
    "check_layer",
    "check_loss",
    "check_network",
]


# book/05-backpropagation.md, "How do we know it is right?"
def numerical_gradient(f, x, step=6e-6):
    """Central differences of a number with respect to every element of an array.

    Parameters
    ----------
    f : callable
        Takes no argument, reads x, returns a number.
    x : ndarray of float64, any shape
        Changed in place, one element at a time, and put back.
    step : float
        Relative to max(1, |element|). The default is near the cube root of float64's
        rounding unit, where the errors of truncation and of rounding balance.

    Returns
    -------
    ndarray of float64, shaped like x

    Raises
    ------
    ValueError
        If x is not float64: in single precision rounding drowns the differences.
    """
    if x.dtype != np.float64:
        raise ValueError("expected x of float64 for finite differences, "
                         f"got {x.dtype}")
    gradient = np.empty(x.shape)
    for i in np.ndindex(x.shape):
        kept = x[i]
        h = step * max(1.0, abs(kept))
        x[i] = kept + h
        above = f()
        x[i] = kept - h
        below = f()
        x[i] = kept
        gradient[i] = (above - below) / (2 * h)
    return gradient


# book/05-backpropagation.md, "The checker"
class GradientError(AssertionError):
    """A gradient that disagrees with finite differences; the message says where."""


# book/05-backpropagation.md, "The checker"
def compare_gradients(name, got, expected, tolerance=1e-6):
    """Compare a gradient with its finite differences, every element.

    Parameters
    ----------
    name : str
        What to call the array in a message, such as "dW".
    got, expected : ndarray of one shape
    tolerance : float
        For errors relative to the expected element or to the array's root mean square,
        whichever is larger.

    Returns
    -------
    float
        The largest such error.

    Raises
    ------
    GradientError
        If it is larger than the tolerance, or the shapes differ.
    """
    if got.shape != expected.shape:
        raise GradientError(f"{name}: expected a gradient shaped {expected.shape}, "
                            f"got {got.shape}")
    typical = max(np.sqrt(np.mean(expected**2)), 1e-8)
    error = np.abs(got - expected) / np.maximum(np.abs(expected), typical)
    error = np.where(np.isnan(error), np.inf, error)
    worst = tuple(int(i) for i in np.unravel_index(np.argmax(error), error.shape))
    if error[worst] > tolerance:
        raise GradientError(f"{name}{list(worst)}: expected {expected[worst]:.9g} "
                            f"from finite differences, got {got[worst]:.9g}, "
                            f"relative error {error[worst]:.1e} "
                            f"(tolerance {tolerance:.0e})")
    return float(error[worst])


# book/05-backpropagation.md, "The checker"
def check_function(function, backward, x, rng, tolerance=1e-6):
    """Check a function and its backward, backward(dy, y), with a random cotangent.

    Parameters
    ----------
    function : callable
        x -> y, arrays.
    backward : callable
        (dy, y) -> dx, where y is the function's output.
    x : ndarray of float64
    rng : numpy.random.Generator
    tolerance : float

    Returns
    -------
    float
        The largest relative error; GradientError if it exceeds the tolerance.
    """
    y = function(x)
    c = rng.normal(size=y.shape)
    expected = numerical_gradient(lambda: np.sum(c * function(x)), x)
    return compare_gradients("dx", backward(c, y), expected, tolerance)


# book/05-backpropagation.md, "The checker"
def check_layer(layer, x, rng, tolerance=1e-6):
    """Check dx and the gradient of every parameter of a layer, with a random cotangent.

    Parameters
    ----------
    layer : Layer
        Built, with arrays of float64.
    x : ndarray of float64, shape (…, batch)
    rng : numpy.random.Generator
    tolerance : float

    Returns
    -------
    dict
        {"dx": largest relative error, "dW": …}; GradientError if one exceeds the
        tolerance.
    """
    c = rng.normal(size=layer.forward(x).shape)
    got, arrays = {"dx": layer.backward(c.copy()).copy()}, {"dx": x}
    for name in layer.parameter_shapes:
        got[f"d{name}"] = getattr(layer, f"d{name}").copy()
        arrays[f"d{name}"] = getattr(layer, name)

    def loss():
        return np.sum(c * layer.forward(x))

    expected = {name: numerical_gradient(loss, array) for name, array in arrays.items()}
    return {name: compare_gradients(name, got[name], expected[name], tolerance)
            for name in got}


# book/05-backpropagation.md, "The checker"
def check_loss(loss, prediction, y, tolerance=1e-6):
    """Check a loss's gradient with respect to its prediction, every element.

    Parameters
    ----------
    loss : Loss
    prediction : ndarray of float64, shape (features, batch)
    y : ndarray
        Labels (batch,) or targets shaped like the prediction.
    tolerance : float

    Returns
    -------
    float
        The largest relative error; GradientError if it exceeds the tolerance.
    """
    loss.forward(prediction, y)
    got = loss.backward().copy()
    expected = numerical_gradient(lambda: loss.forward(prediction, y), prediction)
    return compare_gradients("dprediction", got, expected, tolerance)


# book/05-backpropagation.md, "The checker"
def check_network(network, x, y, loss, tolerance=1e-6):
    """Check every element of a network's gradient vector, and of dx, through a loss.

    Parameters
    ----------
    network : Network
        Built, float64.
    x : ndarray of float64, shape (…, batch)
    y : ndarray
        The loss's targets for this batch.
    loss : Loss
    tolerance : float

    Returns
    -------
    dict
        {"dx": …, "parameters": …}, the largest relative errors; GradientError if one
        exceeds the tolerance.
    """
    def value():
        return loss.forward(network.forward(x), y)

    value()
    dx = network.backward(loss.backward(), need_dx=True).copy()
    got = {"dx": dx, "parameters": network.gradients.copy()}
    arrays = {"dx": x, "parameters": network.parameters}
    expected = {name: numerical_gradient(value, array)
                for name, array in arrays.items()}
    return {name: compare_gradients(name, got[name], expected[name], tolerance)
            for name in got}
