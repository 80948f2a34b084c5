"""scipy's ``least_squares`` on plain Python floats, derivatives by finite differences: no tape."""

from math import sin

import numpy as np
from ode_loop import DATA, TRUE, program
from scipy.optimize import least_squares
from workers import Built


def _fitted(residuals):
    def fit(start):
        result = least_squares(residuals, start, method="trf", x_scale="jac")
        # ``nfev`` leaves the evaluations for the finite differences out
        return result.x, result.nfev + result.njev * len(start)

    return Built(None, fit)


def sine_loop(x, y):
    cases = list(zip(x.tolist(), y.tolist(), strict=True))

    def residuals(theta):
        w = float(theta[0])
        return np.array([sin(w * a) - b for a, b in cases])

    return _fitted(residuals)


def orbit_loop():
    def residuals(theta):
        return np.subtract(program(**dict(zip(TRUE, theta.tolist(), strict=True))), DATA)

    return _fitted(residuals)
