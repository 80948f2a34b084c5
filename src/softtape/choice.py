"""Which engine runs a group of cases."""

from __future__ import annotations

import sys
from typing import Literal, TypeAlias

from softtape.engines import fast
from softtape.engines.cached import kernels_cached
from softtape.errors import SoftError

__all__ = ["ENGINES", "EngineChoice", "Kind", "check_engine"]

Kind: TypeAlias = Literal["value", "gradient", "jacobian"]

ENGINES = ("auto", "numpy", "numba")

# Seconds, on the machine of docs/benchmarks.md; only their proportions matter.
_PRICE = 0.4  # to import numba and load the compiled kernels from its cache
_COMPILING = 20.0  # the first time they are compiled, which takes 10 to 30
_SWEEPS = {"value": 1, "gradient": 3, "jacobian": 3}  # numpy's operations per node of the graph
_CALL, _LANE = 0.15e-6, 0.7e-9  # that numba saves with each of them, and for each case
_ENTRY = 3e-6  # that calling a compiled kernel takes longer than calling numpy's program
_BUILD, _TABLE = 20e-6, 2e-6  # to make numpy's program, or, for a case by itself, a table


class EngineChoice:
    """Chooses between numpy and numba for the groups of one objective.

    For ``auto`` this is the question whether to rent or to buy. Each evaluation by numpy costs
    time that numba would save, its import costs a price once, and nobody knows how many
    evaluations will follow; a table, cheap to make, counts as if a dozen were certain. The
    classic answer is to rent until the rent paid would exceed the price: that never costs more
    than twice what the best choice in hindsight would have cost.

    The rent is reckoned from counts (nodes, cases, evaluations) and never from a clock: the
    engines differ in the last bits, and the same run has to store the same bytes. The price
    is that of the machine as it is: a cache without the kernels makes it fifty times as high.

    Parameters
    ----------
    engine
        ``auto``, ``numpy`` or ``numba``.

    Attributes
    ----------
    settled
        Whether numba is to run whatever it can; None while that is open.
    """

    def __init__(self, engine: str = "auto") -> None:
        """Start with nothing paid; what is imported already costs nothing."""
        loaded = "softtape.engines._interpreter" in sys.modules
        self.settled: bool | None = None
        self._paid = 0.0
        if engine == "numpy" or not fast.available():
            self.settled = False
        elif engine == "numba" or loaded:
            self.settled = True

    @property
    def state(self) -> tuple[float, bool | None]:
        """What it has paid, and what is settled: a resumed fit must choose alike."""
        return self._paid, self.settled

    @state.setter
    def state(self, state: tuple[float, bool | None]) -> None:
        self._paid, self.settled = state

    def compiled(self, kind: Kind, nodes: int, cases: int, *, built: bool) -> bool:
        """Whether numba is to run this evaluation of a group that it can run.

        Parameters
        ----------
        kind
            What is asked for.
        nodes, cases
            Nodes of the graph, and cases that are run together; of cases run one by one, the
            nodes of all of them, and 1.
        built
            Whether numpy's program for it has been made.
        """
        if self.settled is None:
            each = _CALL + _LANE * cases
            if not built:
                each += _BUILD if cases > 1 else _TABLE
            self._paid += max(0.0, _SWEEPS[kind] * nodes * each - _ENTRY)
            if self._paid >= _PRICE:
                price = _PRICE
                if not kernels_cached(kind, lanes=cases > 1):
                    price += _COMPILING
                self.settled = True if self._paid >= price else None
        return self.settled is True


def check_engine(engine: str) -> None:
    """Refuse an engine that does not exist, or is not installed.

    Raises
    ------
    SoftError
        The message names the way out.
    """
    if engine not in ENGINES:
        raise SoftError(f"there is no engine {engine!r}; choose one of {', '.join(ENGINES)}")
    if engine == "numba" and not fast.available():
        raise SoftError("the engine 'numba' needs numba: pip install 'pytest-soft[fast]'")
