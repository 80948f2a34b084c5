"""CasADi: a scalar graph of the loop (SX), or the loop rewritten with ``mapaccum``."""

import casadi
import numpy as np
from ode_loop import DATA, END, OBSERVED, STEPS, TRUE, loss
from workers import Built


def _built(symbols, loss):
    """Call through buffers, which spares the conversion of every argument."""
    function = casadi.Function("f", [symbols], [loss, casadi.gradient(loss, symbols)])
    buffer, evaluate = function.buffer()
    theta, value, gradient = np.empty(symbols.numel()), np.empty(1), np.empty(symbols.numel())
    buffer.set_arg(0, memoryview(theta))
    buffer.set_res(0, memoryview(value))
    buffer.set_res(1, memoryview(gradient))

    def value_and_gradient(at):
        theta[:] = at
        evaluate()
        return float(value[0]), gradient.copy()

    value_and_gradient.keeps = function, buffer  # ``evaluate`` does not
    return Built(value_and_gradient)


def sine_loop(x, y):
    w = casadi.SX.sym("w")
    cases = zip(x.tolist(), y.tolist(), strict=True)
    return _built(w, sum((casadi.sin(w * a) - b) ** 2 for a, b in cases))


def orbit_loop():
    symbols = casadi.SX.sym("theta", len(TRUE))
    return _built(symbols, loss(**dict(zip(TRUE, casadi.vertsplit(symbols), strict=True))))


def orbit_mapaccum():
    p, state, h = casadi.SX.sym("p", 4), casadi.SX.sym("state", 2), END / STEPS

    def slope(z):
        return casadi.vertcat(z[0] * (p[0] - p[1] * z[1]), z[1] * (p[2] * z[0] - p[3]))

    k1 = slope(state)
    k2 = slope(state + h / 2 * k1)
    k3 = slope(state + h / 2 * k2)
    k4 = slope(state + h * k3)
    after = state + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
    steps = casadi.Function("step", [state, p], [after]).mapaccum(STEPS)
    theta = casadi.MX.sym("theta", 6)
    states = steps(theta[4:], casadi.repmat(theta[:4], 1, STEPS))
    every = STEPS // OBSERVED
    seen = states[:, every - 1 :: every]
    return _built(theta, casadi.sumsqr(seen - casadi.DM(np.reshape(DATA, (OBSERVED, 2)).T)))
