"""What tests of several chapters ask of the arrays that layers keep from call to call."""

import numpy as np
from numpy.testing import assert_array_equal

from nnlib.network import Network


def spoil(layer):
    """Put NaN wherever a layer's next call must not look for something.

    A padded image has a tuple for a name. Nobody but `pad_image` writes there, and never on the border, which stays zero.
    """
    for name, array in layer._arrays.items():
        if isinstance(name, tuple):
            array[array != 0] = np.nan
        else:
            array[...] = np.nan


def lending_and_apart(layers, shape):
    """Two equal networks: in the second, no layer lends its arrays. `layers` makes new ones."""
    lending, apart = (Network(*layers(), dtype=np.float64).build(shape, seed=1) for _ in range(2))
    for layer in apart.layers:
        layer._lent = {}
    return lending, apart


def expect_that_lending_changes_nothing(layers, shape):
    """Forwards and back, three times, with two sizes of batch; the last layer has three outputs. Nothing given is written over."""
    lending, apart = lending_and_apart(layers, shape)
    rng = np.random.default_rng(0)
    for batch in (4, 3, 4):
        x, dy = rng.normal(size=(*shape, batch)), rng.normal(size=(3, batch))
        given = x.copy(), dy.copy()
        assert_array_equal(lending.forward(x, training=True), apart.forward(x, training=True))
        assert_array_equal(lending.backward(dy, need_dx=True), apart.backward(dy, need_dx=True))
        assert_array_equal(lending.gradients, apart.gradients)
        for array, before in zip((x, dy), given):
            assert_array_equal(array, before)
