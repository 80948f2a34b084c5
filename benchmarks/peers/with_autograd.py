"""HIPS autograd: a tape in pure Python over numpy."""

import autograd
import autograd.numpy as anp
import numpy as np
from autograd.scipy.special import logsumexp
from digits_network import LAYOUT, SHAPES
from workers import Built


def sine_loop(x, y):
    def loss(w):
        return sum((anp.sin(w * a) - b) ** 2 for a, b in cases)

    cases = list(zip(x.tolist(), y.tolist(), strict=True))
    taped = autograd.value_and_grad(loss)

    def value_and_gradient(theta):
        value, slope = taped(theta[0])
        return float(value), np.array([slope])

    return Built(value_and_gradient)


def digits(images, labels):
    chosen = np.eye(10)[labels]

    def loss(theta):
        p = {key: theta[place].reshape(SHAPES[key]) for key, place in LAYOUT.slices.items()}
        z = anp.dot(anp.tanh(anp.dot(images, p["w1"]) + p["b1"]), p["w2"]) + p["b2"]
        return anp.mean(logsumexp(z, axis=1) - anp.sum(z * chosen, axis=1))

    return Built(autograd.value_and_grad(loss))
