# status: crashed
from nnlib.activations import softmax
