"""numpy's error state set to silence, at a seventh of what ``np.errstate`` takes.

What an engine does at each evaluation, a thousand times in a fit of some milliseconds, is this::

    before = ERRORS.set(IGNORED)
    try:
        ...
    finally:
        ERRORS.reset(before)
"""

from __future__ import annotations

from contextvars import Context
from typing import Any

import numpy as np

__all__ = ["ERRORS", "IGNORED"]


class _Entered:
    """The same by ``np.errstate``, should numpy keep its error state elsewhere one day."""

    def set(self, _: Any) -> np.errstate:
        state = np.errstate(all="ignore")
        state.__enter__()
        return state

    def reset(self, state: np.errstate) -> None:
        state.__exit__(None, None, None)


def _found(context: Context) -> tuple[Any, Any]:
    """Return numpy's variable, which is all that `np.seterr` sets in an empty context."""
    context.run(np.seterr, all="ignore")
    for variable, ignored in context.items():
        return variable, ignored
    return _Entered(), None


ERRORS, IGNORED = _found(Context())
"""The variable of this thread, or task, that holds numpy's error state; one to ignore all."""
