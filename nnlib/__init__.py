# Generated from book/ by `python -m course tangle`.
# Do not edit: change the chapters, then tangle again.
"""Neural networks, cell by cell: the library that the book's chapters write.

data            Digits
dense           Neurons
activations     Activations
losses          Losses
gradcheck       Backpropagation
network         Networks
optimizers      Optimizers
training        Training
kaggle          A first submission
convolution     Convolution
pooling         Pooling
regularization  A convolutional network
augmentation    Augmentation
transposed      Transposed convolution
skips           Skips and feedback
checkpoint      Saving
onnx            ONNX
cli             A command line
"""

__version__ = "0.1.0"
