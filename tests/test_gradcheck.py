"""nnlib.gradcheck: the judge is judged. It must pass what is right and catch what is wrong, wherever it hides."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import reference.gradcheck as reference
from nnlib.activations import LeakyReLU, ReLU, Sigmoid, Softmax, Tanh, softmax, softmax_backward, tanh, tanh_backward
from nnlib.dense import Dense, dense, dense_backward
from nnlib.gradcheck import (
    GradientError,
    check_function,
    check_layer,
    check_loss,
    check_network,
    compare_gradients,
    numerical_gradient,
)
from nnlib.losses import BinaryCrossEntropy, MeanSquaredError, SoftmaxCrossEntropy


def built(layer, inputs=4, seed=0):
    layer.build((inputs,))
    layer.allocate(np.float64).initialize(np.random.default_rng(seed))
    return layer


# --- numerical_gradient -----------------------------------------------------------------------------------


@given(st.lists(st.integers(1, 3), min_size=0, max_size=3), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_differences_of_a_known_function(shape, seed):
    rng = np.random.default_rng(seed)
    x, c = rng.normal(size=shape), rng.normal(size=shape)
    kept = x.copy()
    got = numerical_gradient(lambda: float(np.sum(c * np.sin(x))), x)
    np.testing.assert_allclose(got, c * np.cos(x), rtol=1e-7, atol=1e-9)  # what central differences can give
    assert np.array_equal(x, kept), "x must be put back"
    np.testing.assert_allclose(reference.numerical_gradient(lambda: float(np.sum(c * np.sin(x))), x), got, rtol=1e-9, atol=1e-15)


def test_differences_work_on_views():
    """Parameters are views of a flat vector, and may be transposed: the very elements must be moved."""
    flat = np.arange(1.0, 7.0)
    view = flat.reshape(2, 3).T
    assert not view.flags.c_contiguous
    np.testing.assert_allclose(numerical_gradient(lambda: float(flat @ flat), view), 2 * view, rtol=1e-8)


def test_large_elements_get_larger_steps():
    x = np.array([1e8])
    assert numerical_gradient(lambda: float(x[0] ** 2), x)[0] == pytest.approx(2e8, rel=1e-8)


@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_only_double_precision_is_accepted(dtype):
    with pytest.raises(ValueError, match="float64"):
        numerical_gradient(lambda: 0.0, np.zeros(3, dtype))


# --- compare_gradients ------------------------------------------------------------------------------------


def test_the_message_says_where_and_by_how_much():
    expected = np.ones((2, 3))
    got = expected.copy()
    got[1, 2] = 1.5
    with pytest.raises(GradientError, match=r"dW\[1, 2\]: expected 1 .* got 1.5, relative error 5.0e-01"):
        compare_gradients("dW", got, expected)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_a_number_is_wrong(bad):
    with pytest.raises(GradientError):
        compare_gradients("dW", np.array([1.0, bad]), np.ones(2))


def test_a_wrong_shape_is_wrong():
    with pytest.raises(GradientError, match=r"shaped \(2, 1\), got \(2,\)"):
        compare_gradients("db", np.ones(2), np.ones((2, 1)))


def test_errors_are_relative_to_the_element_or_the_array():
    assert compare_gradients("d", np.array([1.0, 1e-12]), np.array([1.0, 0.0])) < 1e-6
    with pytest.raises(GradientError):
        compare_gradients("d", np.array([1.0, 1e-5]), np.array([1.0, 0.0]))
    assert compare_gradients("d", np.array([1e6 + 0.5]), np.array([1e6])) == pytest.approx(5e-7)


@given(st.integers(1, 20), st.integers(0, 2**32 - 1))
def test_errors_agree_with_the_reference(n, seed):
    rng = np.random.default_rng(seed)
    expected = rng.normal(size=n)
    got = expected * (1 + 1e-3 * rng.normal(size=n))
    assert compare_gradients("d", got, expected, 1.0) == pytest.approx(reference.compare_gradients("d", got, expected, 1.0), rel=1e-9)


# --- what is right passes ---------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [Dense(3), Dense(3, bias=False), ReLU(), LeakyReLU(0.2), Sigmoid(), Tanh(), Softmax()],
                         ids=lambda layer: type(layer).__name__)
def test_right_layers_pass(layer):
    errors = check_layer(built(layer), np.random.default_rng(1).normal(size=(4, 5)), np.random.default_rng(2))
    assert set(errors) == {"dx"} | {f"d{name}" for name in layer.parameter_shapes}
    assert max(errors.values()) < 1e-6


def test_right_functions_and_losses_pass():
    rng = np.random.default_rng(3)
    assert check_function(tanh, tanh_backward, rng.normal(size=(3, 4)), rng) < 1e-6
    assert check_loss(SoftmaxCrossEntropy(), rng.normal(size=(4, 5)), np.array([0, 1, 2, 3, 0])) < 1e-6
    assert check_loss(BinaryCrossEntropy(), rng.uniform(0.2, 0.8, (2, 3)), np.array([[0, 1, 1], [1, 0, 1]])) < 1e-6


class TwoLayers:
    """As little of a network as check_network asks for: forward, backward, two flat vectors."""

    def __init__(self, scale=1.0):
        rng = np.random.default_rng(4)
        self.parameters, self.gradients, self.scale = rng.normal(size=9), np.zeros(9), scale
        self.W, self.V = self.parameters[:6].reshape(2, 3), self.parameters[6:8].reshape(1, 2)
        self.b = self.parameters[8:].reshape(1, 1)

    def forward(self, x):
        self.x, self.h = x, np.tanh(self.W @ x)
        return self.V @ self.h + self.b

    def backward(self, dy, need_dx=False):
        dh, dV, db = dense_backward(dy, self.h, self.V)
        dx, dW, _ = dense_backward(tanh_backward(dh, self.h) * self.scale, self.x, self.W)
        self.gradients[...] = np.concatenate([dW.ravel(), dV.ravel(), db.ravel()])
        return dx


def test_networks_are_checked_as_a_whole():
    rng = np.random.default_rng(5)
    x, y = rng.normal(size=(3, 4)), rng.normal(size=(1, 4))
    assert set(check_network(TwoLayers(), x, y, MeanSquaredError())) == {"dx", "parameters"}
    with pytest.raises(GradientError):
        check_network(TwoLayers(scale=1.001), x, y, MeanSquaredError())


# --- what is wrong is caught ------------------------------------------------------------------------------

SLIPS = {
    "reverses the batch": lambda c: c[:, ::-1],
    "shifts the units": lambda c: np.roll(c, 1, axis=0),
    "averages over the batch": lambda c: np.broadcast_to(c.mean(axis=1, keepdims=True), c.shape),
    "averages over the units": lambda c: np.broadcast_to(c.mean(axis=0), c.shape),
    "squares": lambda c: c * c,
    "loses the sign": np.abs,
}


@pytest.mark.parametrize("slip", SLIPS.values(), ids=SLIPS)
def test_slips_that_leave_ones_alone_are_caught(slip):
    """A check on the sum of the outputs would pass all of these."""
    rng = np.random.default_rng(6)
    A, x, ones = rng.normal(size=(3, 4)), rng.normal(size=(4, 5)), np.ones((3, 5))
    np.testing.assert_array_equal(slip(ones), ones)
    with pytest.raises(GradientError):
        check_function(lambda x: dense(x, A), lambda c, y: A.T @ slip(c), x, rng)


@pytest.mark.parametrize("wrong", [lambda c, p: 0 * c, lambda c, p: 2 * softmax_backward(c, p),
                                   lambda c, p: -softmax_backward(c, p), lambda c, p: p * (c - (c * p).sum(axis=0).mean())])
def test_wrong_softmaxes_are_caught(wrong):
    rng = np.random.default_rng(7)
    with pytest.raises(GradientError):
        check_function(softmax, wrong, rng.normal(size=(4, 5)), rng)


@pytest.mark.parametrize("row, column", [(0, 0), (2, 3), (1, 3)])
def test_one_wrong_element_is_caught(row, column):
    class Off(Dense):
        def backward(self, dz, need_dx=True):
            dx = super().backward(dz, need_dx)
            self.dW[row, column] *= 1 + 1e-4
            return dx

    with pytest.raises(GradientError, match=rf"dW\[{row}, {column}\]"):
        check_layer(built(Off(3)), np.random.default_rng(1).normal(size=(4, 5)), np.random.default_rng(2))


def test_a_wrong_bias_gradient_is_caught():
    class Forgetful(Dense):
        def backward(self, dz, need_dx=True):
            dx = super().backward(dz, need_dx)
            self.db[...] = dz[:, :1]
            return dx

    with pytest.raises(GradientError, match="^db"):
        check_layer(built(Forgetful(3)), np.random.default_rng(1).normal(size=(4, 5)), np.random.default_rng(2))


def test_a_wrong_loss_gradient_is_caught():
    class Doubled(MeanSquaredError):
        def backward(self, count=None):
            return 2 * super().backward(count)

    rng = np.random.default_rng(8)
    with pytest.raises(GradientError, match="dprediction"):
        check_loss(Doubled(), rng.normal(size=(2, 3)), rng.normal(size=(2, 3)))


def test_the_judge_leaves_everything_as_it_was():
    layer, x = built(Dense(3)), np.random.default_rng(1).normal(size=(4, 5))
    before = x.copy(), layer.W.copy(), layer.b.copy()
    check_layer(layer, x, np.random.default_rng(2))
    assert all(np.array_equal(a, b) for a, b in zip(before, (x, layer.W, layer.b)))


# --- the chapter's trained figures ------------------------------------------------------------------------


def test_xor_and_the_wrong_gradients_of_the_chapter():
    """Floors of the XOR counts: 8 of 20 starting points with 2 neurons, 18 of 20 with 8 (the chapter: 64 and 100 of 100)."""
    corners, classes = np.array([[0.0, 0, 1, 1], [0, 1, 0, 1]]), np.array([0, 1, 1, 0])
    loss, solved = SoftmaxCrossEntropy(), {}
    for hidden in (2, 8):
        solved[hidden] = 0
        for seed in range(20):
            rng = np.random.default_rng(seed)
            W, V = rng.normal(size=(hidden, 2)), rng.normal(size=(2, hidden))
            b, d = np.zeros((hidden, 1)), np.zeros((2, 1))
            for _ in range(600):
                h = tanh(dense(corners, W, b))
                z = dense(h, V, d)
                loss.forward(z, classes)
                dh, dV, dd = dense_backward(loss.backward(), h, V)
                _, dW, db = dense_backward(tanh_backward(dh, h), corners, W)
                for parameter, gradient in zip((W, b, V, d), (dW, db, dV, dd)):
                    parameter -= 0.5 * gradient
            solved[hidden] += (z.argmax(axis=0) == classes).all()
    assert solved[2] >= 8 and solved[8] >= 18


def test_a_wrong_gradient_trains_but_worse():
    """Floors of the chapter's comparison, over three seeds: the right one well above the one that never learns."""
    from nnlib.activations import relu, relu_backward
    from nnlib.data import load_mnist, scale_pixels

    (images, labels), (test, truth) = load_mnist()
    images, test = scale_pixels(images[:5000]).reshape(5000, 784), scale_pixels(test[:2000]).reshape(2000, 784)

    def accuracy(backward, seed):
        rng, loss = np.random.default_rng(seed), SoftmaxCrossEntropy()
        W, b = rng.normal(0, (2 / 784) ** 0.5, (32, 784)).astype(np.float32), np.zeros((32, 1), np.float32)
        V, d = rng.normal(0, 0.25, (10, 32)).astype(np.float32), np.zeros((10, 1), np.float32)
        for _ in range(500):
            batch = rng.integers(0, 5000, 64)
            h = relu(dense(images[batch].T, W, b))
            loss.forward(dense(h, V, d), labels[batch])
            dh, dV, dd = dense_backward(loss.backward(), h, V)
            _, dW, db = dense_backward(backward(dh, h), images[batch].T, W)
            for parameter, gradient in zip((W, b, V, d), (dW, db, dV, dd)):
                parameter -= 0.1 * gradient
        return (dense(relu(dense(test.T, W, b)), V, d).argmax(axis=0) == truth[:2000]).mean()

    right = np.mean([accuracy(relu_backward, seed) for seed in range(3)])
    blocks_nothing = np.mean([accuracy(lambda dy, y: dy, seed) for seed in range(3)])
    frozen = np.mean([accuracy(lambda dy, y: 0 * dy, seed) for seed in range(3)])
    assert right > 0.86 and blocks_nothing > 0.80 and 0.25 < frozen < 0.75
