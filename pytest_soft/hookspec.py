"""The hooks of pytest-soft itself, for a ``conftest.py`` or another plugin to implement."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pytest_soft.solve import FitProgress

__all__ = ["pytest_soft_optimizers", "pytest_soft_step"]


@pytest.hookspec
def pytest_soft_optimizers(config: pytest.Config) -> Mapping[str, Any] | None:
    """Return optimizers of your own, by the names that ``--soft-optimizer`` takes.

    Called once in a run with ``--soft-fit``. An optimizer is one of these:

    * a function ``minimise(objective, theta, bounds)`` that runs to its own end and returns the
      minimum it found. ``objective.value(theta)`` is 𝓛, ``objective.value_and_gradient(theta)``
      adds its gradient; ``theta`` has shape (n,), ``bounds.lower`` and ``bounds.upper`` too, ±inf
      where there is none. The fit sees every point that is tried: it keeps the best one, and ends
      the run from within at the threshold, at the time limit and at Ctrl-C;
    * ``softtape.optimize.WholeRun(name, minimise, needs_gradient=False)``, the same for a function
      that asks for ``value`` alone: tests that cannot be traced are fitted as well;
    * an object with ``name``, ``start(objective, theta, bounds)`` and ``step(objective, bounds,
      state)``, which return a :class:`softtape.optimize.State`: one step at a time.

    Parameters
    ----------
    config
        pytest's, with the options of the run.
    """


@pytest.hookspec
def pytest_soft_step(config: pytest.Config, progress: FitProgress) -> None:
    """Hear of each accepted step of a fit, and of the start of it as step 0.

    The last call has the total loss that the fit ends with. An exception ends the fit, with the
    best point kept.

    Parameters
    ----------
    config
        pytest's.
    progress
        Plain data: ``step``, ``value``, ``best_value``, ``gradient_norm``, ``description``,
        ``seconds``, ``component``, ``components``.
    """
