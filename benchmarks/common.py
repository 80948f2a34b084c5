"""Interleaved timing: A B A B …, medians, after both sides agreed on value and gradient."""

import gc
import os
import platform
import statistics
import time

for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # some machines set them; numpy is slower
    os.environ.pop(name, None)

import numpy as np  # noqa: E402 -- after the environment


def seconds(value):
    """A duration as text with a unit."""
    for unit, size in (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6)):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value / 1e-9:.3g} ns"


def timed(function):
    began = time.perf_counter()
    result = function()
    return time.perf_counter() - began, result


def compare(functions, theta, *, repeats=9, block=0.05, tolerance=1e-9):
    """Median seconds per call of each function of θ, interleaved, by name.

    The first is the limit: the others must give its value and gradient.
    """
    expected = None
    for name, function in functions.items():
        value, gradient = function(theta)
        if expected is None:
            expected = value, gradient
        np.testing.assert_allclose(value, expected[0], rtol=tolerance, err_msg=name)
        np.testing.assert_allclose(
            gradient, expected[1], rtol=tolerance, atol=tolerance, err_msg=name
        )
    calls = {}
    for name, function in functions.items():
        once = min(timed(lambda f=function: f(theta))[0] for _ in range(3))
        calls[name] = max(1, int(block / once))
    gc.collect()
    gc.freeze()
    times = {name: [] for name in functions}
    for _ in range(repeats):
        for name, function in functions.items():
            began = time.perf_counter()
            for _ in range(calls[name]):
                function(theta)
            times[name].append((time.perf_counter() - began) / calls[name])
    return {name: statistics.median(t) for name, t in times.items()}


def machine():
    return f"Python {platform.python_version()}, numpy {np.__version__}, {os.cpu_count()} cores"
