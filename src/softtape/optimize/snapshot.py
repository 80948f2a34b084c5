"""Where a minimisation is between two steps, as plain data: what a checkpoint is made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from softtape.errors import SoftError
from softtape.optimize.base import State, Status
from softtape.optimize.watch import Best

__all__ = ["Snapshot"]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """All that the rest of a minimisation depends on, apart from its objective and arguments.

    Attributes
    ----------
    state
        Of the optimizer, after the last accepted step.
    best
        The best point seen.
    lowest
        The lowest L seen in this leg.
    steps, evaluations
        How many there were.
    leg
        How many fresh starts of the optimizer came before.
    moved
        Whether this leg has found a better point than it started from.
    marked, mark, slope, flattest
        After how many steps it was last looked for a plateau; the lowest L then, and the least
        ``remaining`` of a state up to then and since then.
    """

    state: Any
    best: Best
    lowest: float
    steps: int
    evaluations: int
    leg: int
    moved: bool
    marked: int
    mark: float
    slope: float
    flattest: float

    def to_plain(self) -> dict[str, Any]:
        """Return nested dicts and tuples of numbers, texts and numpy arrays.

        Raises
        ------
        SoftError
            The state of the optimizer holds something else.
        """
        kind = type(self.state)
        plain = {f.name: getattr(self, f.name) for f in fields(self)}
        plain["state"] = {"kind": _name(kind), **_plain_fields(self.state)}
        plain["best"] = _plain_fields(self.best)
        return plain

    @classmethod
    def from_plain(cls, plain: Mapping[str, Any]) -> Snapshot:
        """Rebuild what :meth:`to_plain` gave.

        Raises
        ------
        SoftError
            It is of another version, or the optimizer is not there any more.
        """
        try:
            stored = dict(plain["state"])
            kind = stored.pop("kind")
            status = stored.pop("status")
            # the optimizer was chosen before: no name from a file is ever imported
            known = {_name(found): found for found in _descendants(State)}
            state = known[kind](status=None if status is None else Status[status], **stored)
            return cls(**{**plain, "state": state, "best": Best(**plain["best"])})
        except (KeyError, TypeError, ValueError) as error:
            raise SoftError(f"the state of the optimizer cannot be read: {error!r}") from error


def _plain_fields(data: Any) -> dict[str, Any]:
    plain = {f.name: getattr(data, f.name) for f in fields(data)}
    for name, value in plain.items():
        if isinstance(value, Status):
            plain[name] = value.name
        elif not _is_plain(value):
            msg = f"{_name(type(data))}.{name} is a {type(value).__name__}, which is no plain data"
            raise SoftError(msg)
    return plain


def _is_plain(value: Any) -> bool:
    if isinstance(value, (np.ndarray, np.generic)):
        return value.dtype.kind in "biuf"
    if isinstance(value, (tuple, list)):
        return all(map(_is_plain, value))
    if isinstance(value, dict):
        return all(isinstance(k, str) and _is_plain(v) for k, v in value.items())
    return value is None or isinstance(value, (bool, int, float, str))


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"


def _descendants(kind: type[State]) -> Iterator[type[State]]:
    yield kind
    for child in kind.__subclasses__():
        yield from _descendants(child)
