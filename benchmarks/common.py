"""What the scripts share: times as text, tables, and one interleaved comparison in one process."""

import gc
import importlib.util
import os
import platform
import shutil
import statistics
import time

# glibc: keep freed memory, or chance in the layout of the heap decides who pays for page faults
os.environ |= {"MALLOC_TRIM_THRESHOLD_": str(1 << 30), "MALLOC_MMAP_THRESHOLD_": str(1 << 30)}
for name in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE"):  # some machines set them; numpy is slower
    os.environ.pop(name, None)

import numpy as np  # noqa: E402 -- after the environment
from workers import Built, Candidate, measure  # noqa: E402

from softtape.optimize import Bounds, choose, minimize  # noqa: E402

__all__ = [
    "Built",
    "Candidate",
    "compare",
    "fitted",
    "installed",
    "machine",
    "markdown",
    "measure",
    "np",
    "seconds",
    "table",
    "timed",
]


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


def fitted(problem, start, threshold):
    """Fit an objective with the default optimizer; return θ and the evaluations it took."""
    optimizer, _ = choose("auto", n_params=start.size, has_residuals=problem.has_residuals)
    bounds = Bounds.unbounded(start.size)
    result = minimize(problem, start, optimizer=optimizer, bounds=bounds, threshold=threshold)
    assert result.value <= threshold, f"the fit ended at {result.value}"
    return result.theta, result.evaluations


def machine():
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"Python {platform.python_version()}, numpy {np.__version__}, processors to use: {allowed}"
    )


def installed(candidates):
    """The candidates that can run here; of the others it is said why they cannot."""
    able = []
    for candidate in candidates:
        packages = dict.fromkeys(name.partition(".")[0] for name in candidate.needs)
        missing = [name for name in packages if importlib.util.find_spec(name) is None]
        missing += [name for name in candidate.tools if shutil.which(name) is None]
        if missing:
            print(f"{candidate.name}: left out, {', '.join(missing)} is not installed")
        else:
            able.append(candidate)
    return able


def table(rows, title, *, limit=None):
    """Print figures as a Markdown table; ratios are to the row called ``limit``, or the first."""
    base = next(row for row in rows if limit in (None, row.name)).steady
    head = [title, "set-up", "first call", "steady state", "ratio", "cores", "memory"]
    fits = any(row.fit is not None for row in rows)
    head += ["set-up and fit", "the same again", "evaluations"] if fits else []
    lines = [head]
    for row in rows:
        line = [row.name, _shown(row.set_up), _shown(row.first), _shown(row.steady)]
        line.append(f"{row.steady / base:,.2f}" if row.steady and base else "")
        line.append(f"{row.cores:.1f}" if row.cores is not None else "")
        line.append("" if row.memory is None else f"{row.memory / 1e6:,.1f} MB")
        if fits:
            line += [_shown(row.fit), _shown(row.fit_again), str(row.evaluations or "")]
        lines.append([f"{row.name}: {row.note}", *[""] * (len(head) - 1)] if row.note else line)
    print(f"\n{markdown(lines)}\n", flush=True)


def _shown(value):
    return "" if value is None else seconds(value)


def markdown(lines):
    """A Markdown table of the lines, the first its head; all columns but the first to the right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])]
    padded = [
        [line[0].ljust(widths[0]), *(c.rjust(w) for c, w in zip(line[1:], widths[1:], strict=True))]
        for line in [lines[0], rule, *lines[1:]]
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in padded)
