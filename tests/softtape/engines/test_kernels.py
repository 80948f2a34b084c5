"""The vectorised elementary functions against mpmath, in units of the last place."""

import numpy as np
import pytest

from softtape.engines import fast
from softtape.engines.fast_lanes import LaneProgram
from softtape.tape import Tape

mpmath = pytest.importorskip("mpmath")
pytestmark = pytest.mark.skipif(not fast.available(), reason="the extra «fast» is not installed")

RANDOM = np.random.default_rng(5)
SPREAD = np.concatenate([RANDOM.normal(size=60) * s for s in (1e-300, 1e-9, 0.1, 0.5, 1, 3, 30)])
TINY = np.array([5e-324, -5e-324, 1e-310, 2.2250738585072014e-308, -1e-20])
HALF_TURNS = np.arange(-150, 150) * (np.pi / 2)
FAR = RANDOM.uniform(-1e8, 1e8, 300)
FARTHEST = np.array([1e8, 1e9, -1e15, 2.0**60, 1e22, -1e300, 1.7976931348623157e308])
CIRCULAR = np.concatenate([SPREAD, TINY, HALF_TURNS, FAR, np.rint(FAR) * (np.pi / 2), FARTHEST])
POSITIVE = np.concatenate([np.abs(SPREAD), 10.0 ** RANDOM.uniform(-308, 308, 200), TINY[:1],
                           1 + RANDOM.normal(size=300) * 0.1])  # fmt: skip
ABOVE_MINUS_ONE = np.concatenate([SPREAD[SPREAD > -1], 10.0 ** RANDOM.uniform(-30, 308, 200), TINY,
                                  10.0 ** RANDOM.uniform(-15, 0, 200) - 1])  # fmt: skip

CASES = {  # name: (arguments, error allowed, reference)
    "sin": (CIRCULAR, 1, mpmath.sin),
    "cos": (CIRCULAR, 1, mpmath.cos),
    "tan": (CIRCULAR, 2, mpmath.tan),
    "exp": (np.concatenate([SPREAD, TINY, RANDOM.uniform(-745, 709.7, 500)]), 1, mpmath.exp),
    "expm1": (
        np.concatenate([SPREAD, TINY, RANDOM.uniform(-50, 709.7, 300), RANDOM.uniform(-2, 2, 500)]),
        1,
        mpmath.expm1,
    ),
    "log": (POSITIVE, 1, mpmath.log),
    "log1p": (ABOVE_MINUS_ONE, 1, mpmath.log1p),
    "tanh": (np.concatenate([SPREAD, TINY, RANDOM.uniform(-2, 2, 500)]), 2, mpmath.tanh),
    "arctan": (
        np.concatenate([SPREAD, TINY, RANDOM.uniform(-5, 5, 500), FARTHEST]),
        2,
        mpmath.atan,
    ),
}  # fmt: skip


def computed(name, xs):
    """The function on a row of lanes, as an instruction computes it."""
    with Tape() as tape:
        x = tape.input("x", np.float64(0.0))
        graph = tape.graph([getattr(np, name)(x + 0.25)])
    constant = next(k for k, node in enumerate(graph.nodes) if node[0] == "constant")
    program = LaneProgram(graph, [constant])
    program.bind(xs[None], np.ones(1))
    # x is -0.0, the one number whose sum with any other is that other, signed zeros included
    return program.values({"x": -0.0}).outputs[0].copy()


@pytest.mark.parametrize("name", CASES)
def test_error(name):
    xs, allowed, reference = CASES[name]
    for x, y in zip(xs.tolist(), computed(name, xs).tolist(), strict=True):
        with mpmath.workprec(1200):
            exact = reference(mpmath.mpf(x))
            unit = mpmath.mpf(np.spacing(abs(float(exact))))
            assert abs(mpmath.mpf(y) - exact) <= allowed * unit, x


SPECIAL = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, -1.0, -2.0, 800.0, -800.0, 1e300])


@pytest.mark.parametrize("name", CASES)
def test_special_values_as_in_numpy(name):
    with np.errstate(all="ignore"):
        expected = getattr(np, name)(SPECIAL)
    made = computed(name, SPECIAL)
    np.testing.assert_allclose(made, expected, rtol=1e-15)
    numbers = ~np.isnan(expected)
    np.testing.assert_array_equal(np.signbit(made[numbers]), np.signbit(expected[numbers]))
