"""A small neural network that reads handwritten digits: 64 pixels, 32 tanh units, 10 classes."""

import numpy as np

from softtape import Param

W1 = Param(..., shape=(64, 32))  # no value yet: a fit starts from random weights
b1 = Param(np.zeros(32))
W2 = Param(..., shape=(32, 10))
b2 = Param(np.zeros(10))


def scores(images):
    """Return a score for each digit, shape (n, 10), of images (n, 64) with pixels from 0 to 16."""
    hidden = np.tanh(images / 16 @ W1 + b1)
    return hidden @ W2 + b2


def read(images):
    """Return the digits that the images show, shape (n,)."""
    return np.argmax(scores(images), axis=1)
