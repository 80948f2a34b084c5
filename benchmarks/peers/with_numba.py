"""numba on a loop over arrays, with the derivative worked out by hand."""

from math import cos, sin

import numba
import numpy as np
from workers import Built


def sine(x, y):
    @numba.njit
    def suite(w, x, y):
        total = slope = 0.0
        for i in range(x.size):
            phase = w * x[i]
            r = sin(phase) - y[i]
            total += r * r
            slope += 2.0 * r * cos(phase) * x[i]
        return total, slope

    def value_and_gradient(theta):
        total, slope = suite(theta[0], x, y)
        return total, np.array([slope])

    return Built(value_and_gradient)
