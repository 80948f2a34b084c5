"""Two tests that hold each other at the minimum, seen from their gradients alone.

At a minimum the gradients of all tests add up to zero. Where two of them are opposite and all
others are small beside them, these two decide where the minimum is, each keeping the other from
its own. That needs neither residuals nor a scatter to compare with, so it is what can be told of
losses that are no squares, and of a handful of tests.
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

__all__ = ["opposed", "worth_telling"]

Floats: TypeAlias = NDArray[np.float64]

_OPPOSITE = -0.9  # the cosine from which two gradients count as opposite
_ASIDE = 0.2  # most that any other test may pull, relative to the weaker of the two
_DISAGREEMENT = 0.05  # least gain, relative to what moving all Params by their sizes would change


def opposed(pulls: Floats) -> tuple[int, int] | None:
    """Return the numbers of two tests that hold each other, the stronger first, or None.

    Parameters
    ----------
    pulls
        Gradient of each test times the sizes of the Params, shape (tests, n): what a loss changes
        by when a Param changes by its own size.
    """
    if len(pulls) < 2 or not np.all(np.isfinite(pulls)):
        return None
    norms = np.sqrt(np.sum(pulls**2, axis=1))
    first, second, *others = (int(i) for i in np.argsort(-norms, kind="stable"))
    if not norms[second] > 0 or any(norms[i] > _ASIDE * norms[second] for i in others):
        return None
    cosine = float(pulls[first] @ pulls[second] / (norms[first] * norms[second]))
    return (first, second) if cosine <= _OPPOSITE else None


def worth_telling(gain: float, pull: Floats) -> bool:
    """Tell whether a test would gain more without its opponent than two careful measurements do.

    For a square r² the gain is r², and the pull 2 r times what the Params do to it: so two tests
    that disagree by less than a tenth of what they measure are not a conflict.

    Parameters
    ----------
    gain
        By how much its loss falls without the other one.
    pull
        Its row of ``pulls``, shape (n,).
    """
    return gain > _DISAGREEMENT * float(np.sum(np.abs(pull)))
