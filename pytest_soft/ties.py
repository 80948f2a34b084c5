"""What became of the tied values of a fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pytest_soft.keep import relative
from pytest_soft.summary import ParamChange
from pytest_soft.values import Groups, set_values
from softtape.tape import Tape
from softtape.tied import tied, ties

__all__ = ["tied_changes"]


def tied_changes(
    groups: Groups, start: Mapping[str, Any], end: Mapping[str, Any]
) -> list[ParamChange]:
    """Return the values, before and after, that are tied to the fitted Params.

    The Params end at ``end``. A value that cannot be computed is left out: tests that use it say
    why.
    """
    found = []
    for value in ties():
        try:
            if _reads(value).isdisjoint(groups):
                continue
            both = []
            for values in (start, end):
                set_values(groups, values)
                both.append(np.asarray(value._softtape_peek(), float))
        except Exception:
            continue
        finally:
            set_values(groups, end)
        old, new = both
        found.append(
            ParamChange(
                name=value.name,
                file=relative(Path(value.file)),
                shape=new.shape,
                old=None if new.ndim else float(old),
                new=None if new.ndim else float(new),
                change=float(np.sqrt(np.mean((new - old) ** 2))) if new.size else 0.0,
                at_bound=False,
                tied=True,
            )
        )
    return found


def _reads(value: tied) -> set[str]:
    """Return the keys of the Params that a value is computed from."""
    with Tape() as tape:
        value._softtape_current()
        return set(tape.inputs)
