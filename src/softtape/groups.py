"""Cases that took the same path, evaluated together.

A :class:`Group` holds the cases of one signature (see :mod:`softtape.transforms.template`), which
:mod:`softtape.chunks` runs together; where that cannot be, they are run one by one.
"""

from __future__ import annotations

from collections.abc import Container, Mapping
from functools import partial
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softtape.chunks import Lanes, merged
from softtape.columns import Recording
from softtape.graph import Graph
from softtape.singles import Kind, Share, Single, make_single, prefers_numba
from softtape.transforms.batch import CannotBatchError
from softtape.transforms.residuals import Needs
from softtape.transforms.template import Template, template_of

__all__ = ["Case", "CaseError", "Group"]

Floats: TypeAlias = NDArray[np.float64]

_COMPILED = 100  # as many long scalar cases are run faster one by one, compiled, than batched

# what numpy raises where a program fails at the values it meets, not for how it is written: a
# singular matrix, an index out of range, a negative power of an integer
_FAILURES = (ArithmeticError, IndexError, ValueError)


class CaseError(Exception):
    """A case cannot be evaluated at this point.

    Parameters
    ----------
    member
        Which case.
    error
        Why.
    """

    def __init__(self, member: int, error: Exception) -> None:
        """Keep which case it was."""
        super().__init__(str(error))
        self.member = member


class Case:
    """One test on one path: a lane of a group.

    Parameters
    ----------
    graph
        What it recorded.
    weight
        Factor of its loss in 𝓛.
    """

    __slots__ = ("_single", "constants", "start", "template", "weight")

    def __init__(self, graph: Graph, weight: float) -> None:
        """Keep its constants; a graph and programs of its own are made only to run it alone."""
        self.template = template_of(graph)
        self.constants = self.template.constants_of(graph)
        self.start = self.template.start_of(graph)
        self.weight = weight
        self._single: Single | None = None

    @property
    def graph(self) -> Graph:
        """Its graph, pruned."""
        return self.template.graph_with(self.constants, self.start)

    def share(self, kind: Kind, inputs: Mapping[str, Any], engine: str, *, guarded: bool) -> Share:
        """Return what it contributes when it is run alone."""
        if self._single is None:
            residuals = partial(self.template.residuals_with, self.constants, self.start)
            self._single = make_single(self.graph, engine, residuals)
        share = self._single.share(kind, inputs, self.weight, guarded=guarded)
        return Share(np.full(1, np.nan), np.zeros(1, bool)) if share is None else share


class Group:
    """All cases of one signature.

    Parameters
    ----------
    template
        That of any of them.
    engine
        What runs a case alone; see :mod:`softtape.singles`.
    """

    def __init__(self, template: Template, engine: str = "auto") -> None:
        """Start without cases."""
        self.members: list[int] = []
        self.cases: list[Case] = []
        self._stale: bool
        self._squares: bool | None
        self._weights: Floats | None
        self._template = template
        self._lanes: Lanes | None = None
        self._batchable = True
        self._engine = engine
        self._least = _COMPILED if prefers_numba(template.graph, engine) else 1
        self._changed()

    @property
    def has_residuals(self) -> bool:
        """Whether the losses of all cases are visibly sums of squares."""
        if self._squares is None:
            form = self._template.form
            self._squares = form is not None and self._needs_met(form[1])
        return self._squares

    def _needs_met(self, needs: Mapping[int, Needs]) -> bool:
        numbers = Recording.of(self._template.graph.nodes).constant_numbers
        places = np.searchsorted(numbers, list(needs)).tolist()
        return all(
            need.met_by([case.constants[place] for case in self.cases])
            for place, need in zip(places, needs.values(), strict=True)
        )

    @property
    def weights(self) -> Floats:
        """Weight of each case."""
        if self._weights is None:
            self._weights = np.array([case.weight for case in self.cases])
        return self._weights

    def add(self, member: int, case: Case) -> None:
        """Take in a case; ``member`` is what the caller calls it."""
        self.members.append(member)
        self.cases.append(case)
        self._changed()

    def remove(self, members: set[int]) -> None:
        """Let cases go."""
        kept = [i for i, m in enumerate(self.members) if m not in members]
        self.members = [self.members[i] for i in kept]
        self.cases = [self.cases[i] for i in kept]
        self._changed()

    def _changed(self) -> None:
        self._stale, self._squares, self._weights = True, None, None

    def share(self, kind: Kind, inputs: Mapping[str, Any], trusted: Container[int]) -> Share:
        """Return what the cases contribute where the Params are ``inputs``.

        Parameters
        ----------
        kind
            What is asked for.
        inputs
            Value of each Param by key.
        trusted
            Members whose guards need not be asked.

        Raises
        ------
        CaseError
            A case cannot be evaluated there.
        """
        if self._batchable and len(self.cases) > self._least:
            try:
                return self._together(kind, inputs)
            except CannotBatchError:
                self._batchable = False
            except _FAILURES:
                pass  # one of them is to blame: the others may have to take another path
        shares = []
        for member, case in zip(self.members, self.cases, strict=True):
            try:
                guarded = member not in trusted
                shares.append(case.share(kind, inputs, self._engine, guarded=guarded))
            except _FAILURES as error:
                raise CaseError(member, error) from error
        return merged(shares)

    def _together(self, kind: Kind, inputs: Mapping[str, Any]) -> Share:
        if self._lanes is None or self._stale:
            if self._lanes is None:
                self._lanes = Lanes(self._template.graph)
            self._lanes.fill(self.cases)
            self._stale = False
        return self._lanes.share(kind, inputs, self._template.form if kind == "jacobian" else None)
