"""Tests whose loss in the check is not what the fit saw: do they repeat, or is it our error?

The check runs every test once more anyway, at the fitted values, so comparing all of them costs
nothing. Only where a loss differs is a test run again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from pytest_soft.summary import FitSummary
from pytest_soft.trace import Traces
from softtape.patches import following as numpy_and_math_follow

__all__ = ["run_again"]

_MOST = 3  # tests that are run again
_RUNS = 3  # times each


def run_again(
    found: Sequence[tuple[str, float, float]],
    fit: FitSummary,
    items: Mapping[str, pytest.Function],
    traces: Traces,
) -> None:
    """Run some of the tests that differ again, and note those that give another loss each time.

    Parameters
    ----------
    found
        Those that differ: test id, loss in the check, loss in the fit.
    fit
        Takes the notes.
    items
        The soft tests, by test id.
    traces
        Runs them.
    """
    for name, checked, seen in found[:_MOST]:
        plain, traced = _losses(items[name], traces)
        steady = all(fit.alike(checked, loss) for loss in plain)
        if steady and (traced is None or fit.alike(traced, seen)):
            fit.repeated.append(name)  # the same again on both sides: an error of ours
            continue
        losses = [checked, seen, *plain]
        fit.unsteady.append(name)
        fit.notes.append(
            f"{name} gives another loss each time it runs, at the same Params: "
            f"{min(losses):.6g} to {max(losses):.6g} in {len(losses)} runs, and {seen:.6g} is what "
            "the fit saw. Let it draw from a seeded generator, and depend on no clock, order of "
            "tests, or state that an earlier run left behind"
        )
    if fit.unsteady and len(found) > _MOST:
        fit.unsteady += [name for name, _, _ in found[_MOST:]]
        fit.notes.append(f"{len(found) - _MOST} more tests gave another loss than the fit saw")


def _losses(item: pytest.Function, traces: Traces) -> tuple[list[float], float | None]:
    """Return the losses of further plain runs at the same Params, and of one under a tape."""
    runs = [traces.measure(item)[0].loss for _ in range(_RUNS)]
    with numpy_and_math_follow():
        tracing, _ = traces.trace(item)
    traced = None
    if tracing.done:
        traced = float(sum(np.sum(getattr(part, "_value", part)) for _, part in tracing.losses))
    return [loss for loss in runs if loss is not None], traced
