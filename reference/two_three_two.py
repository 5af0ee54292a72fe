"""A whole network in pure Python: 2 inputs, 3 tanh neurons, 2 classes, trained by any optimizer.

Its 17 parameters are one flat list, in the order in which nnlib's network keeps them:
W1 (2 columns of 3), b1 (3), W2 (3 columns of 2), b2 (2). A sample is a pair of floats, a label 0 or 1.
"""

import math

INPUTS, HIDDEN, CLASSES = 2, 3, 2
SIZE = HIDDEN * INPUTS + HIDDEN + CLASSES * HIDDEN + CLASSES


def matrix(numbers, rows, columns):
    """A list of rows, filled column after column."""
    filled = [[0.0] * columns for _ in range(rows)]
    for j in range(columns):
        for i in range(rows):
            filled[i][j] = float(next(numbers))
    return filled


def unpack(parameters):
    """The flat list as W1, b1, W2, b2."""
    numbers = iter(parameters)
    W1 = matrix(numbers, HIDDEN, INPUTS)
    b1 = [float(next(numbers)) for _ in range(HIDDEN)]
    W2 = matrix(numbers, CLASSES, HIDDEN)
    b2 = [float(next(numbers)) for _ in range(CLASSES)]
    return W1, b1, W2, b2


def forward(parameters, x):
    """One sample: the hidden neurons' outputs and the two logits."""
    W1, b1, W2, b2 = unpack(parameters)
    hidden = []
    for i in range(HIDDEN):
        terms = [W1[i][j] * x[j] for j in range(INPUTS)]
        hidden.append(math.tanh(math.fsum(terms + [b1[i]])))
    logits = []
    for k in range(CLASSES):
        terms = [W2[k][i] * hidden[i] for i in range(HIDDEN)]
        logits.append(math.fsum(terms + [b2[k]]))
    return hidden, logits


def probabilities(logits):
    """Softmax of one sample's logits."""
    largest = max(logits)
    exponentials = [math.exp(z - largest) for z in logits]
    total = math.fsum(exponentials)
    return [e / total for e in exponentials]


def sample_gradient(parameters, x, label):
    """One sample's loss (softmax cross-entropy) and its derivative by every parameter."""
    _, _, W2, _ = unpack(parameters)
    hidden, logits = forward(parameters, x)
    p = probabilities(logits)
    loss = -math.log(p[label])
    dlogits = [p[k] - (1.0 if k == label else 0.0) for k in range(CLASSES)]
    dhidden = [math.fsum(dlogits[k] * W2[k][i] for k in range(CLASSES)) for i in range(HIDDEN)]
    dz = [dhidden[i] * (1.0 - hidden[i] * hidden[i]) for i in range(HIDDEN)]
    dW1 = [dz[i] * x[j] for j in range(INPUTS) for i in range(HIDDEN)]
    dW2 = [dlogits[k] * hidden[i] for i in range(HIDDEN) for k in range(CLASSES)]
    return loss, dW1 + dz + dW2 + dlogits


def loss_and_gradient(parameters, inputs, labels):
    """The means over a batch. inputs: a list of pairs."""
    results = [sample_gradient(parameters, x, label) for x, label in zip(inputs, labels)]
    n = len(results)
    loss = math.fsum(loss for loss, _ in results) / n
    gradient = [math.fsum(g[i] for _, g in results) / n for i in range(SIZE)]
    return loss, gradient


def train(optimizer, parameters, inputs, labels, steps=10):
    """Take `steps` steps; parameters (a list) change in place. Returns the loss before each step."""
    losses = []
    for _ in range(steps):
        loss, gradient = loss_and_gradient(parameters, inputs, labels)
        optimizer.step(parameters, gradient)
        losses.append(loss)
    return losses
