"""Which tests reach which Params, and what stands in the way of a limit: plain data.

Measured by :mod:`pytest_soft.reach` and :mod:`pytest_soft.blame`, sent from a worker to the
controller, rendered by the reports. It has to do with Params; pytest-cov's is of source lines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Self

__all__ = ["Blame", "Coverage", "ParamCoverage"]


@dataclass(frozen=True)
class ParamCoverage:
    """One Param, and the tests that reach it.

    Attributes
    ----------
    name
        Its name in its module.
    file
        The source file that declares it.
    elements
        How many numbers it has.
    reached
        How many of them change the loss of a test.
    alone
        How many of them change that of one test only.
    tests
        The tests that one of its elements changes, by their places in :attr:`Coverage.tests`.
    shares
        For each of them, the part of all that the tests know of the Param which this one
        knows, from 0 to 1.
    sensitivity
        For each of them, by how much its loss changes where the Param is one standard error off;
        None where there is no standard error.
    """

    name: str
    file: str
    elements: int
    reached: int = 0
    alone: int = 0
    tests: list[int] = field(default_factory=list)
    shares: list[float] = field(default_factory=list)
    sensitivity: list[float | None] = field(default_factory=list)

    @property
    def strongest(self) -> int | None:
        """Place in the lists of the test that knows most of it; None where none reaches it."""
        places = range(len(self.tests))
        return max(places, key=lambda place: self.shares[place], default=None)


@dataclass(frozen=True)
class Blame:
    """What a limit that is not kept would take: one step for what is above it alone.

    Attributes
    ----------
    what
        What is above its limit: a test id, ``the suite NAME``, or ``the total loss``.
    loss
        Its loss.
    limit
        The limit.
    after
        Its loss after the step; as before where no step lowers it.
    moves
        Names, values before and values after of the Params that the step moves most; for an
        array None and the root mean square of the change of its elements.
    more_moves
        How many further Params it moves.
    worse
        Ids, losses before and after of single tests that it makes worse, the most first.
    more_worse
        How many further tests it makes worse.
    """

    what: str
    loss: float
    limit: float
    after: float
    moves: list[tuple[str, float | None, float]] = field(default_factory=list)
    more_moves: int = 0
    worse: list[tuple[str, float, float]] = field(default_factory=list)
    more_worse: int = 0


@dataclass
class Coverage:
    """What was found.

    Attributes
    ----------
    tests
        Ids of the tests that were traced and take part in fits, sorted.
    params
        All Params that a fit could move.
    untraced
        Why other tests could not be traced, by id.
    blames
        One for each limit that is not kept, up to a few.
    asked
        Whether ``--soft-coverage`` asked for more than the blames.
    """

    tests: list[str] = field(default_factory=list)
    params: list[ParamCoverage] = field(default_factory=list)
    untraced: dict[str, str] = field(default_factory=dict)
    blames: list[Blame] = field(default_factory=list)
    asked: bool = True

    @property
    def elements(self) -> int:
        """How many numbers all Params have."""
        return sum(param.elements for param in self.params)

    @property
    def percent(self) -> float | None:
        """Percentage of them that change the loss of a test; None where there are none."""
        reached = sum(param.reached for param in self.params)
        return 100.0 * reached / self.elements if self.elements else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists, numbers and texts."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """Rebuild what :meth:`to_dict` gave."""
        made = cls(**plain)
        made.params = [ParamCoverage(**param) for param in plain["params"]]
        made.blames = [
            Blame(**{**b, **{k: [tuple(x) for x in b[k]] for k in ("moves", "worse")}})
            for b in plain["blames"]
        ]
        return made
