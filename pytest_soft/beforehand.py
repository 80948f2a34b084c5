"""Priors of Params, as terms of a fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from pytest_soft.summary import PriorTerm
from pytest_soft.values import group_by_key
from softtape import Param
from softtape.graph import Graph
from softtape.tape import Tape
from softtape.terms import Term

__all__ = ["PriorOf", "prior_losses", "prior_terms"]


class PriorOf(Term):
    """What a prior adds to what a fit minimises."""

    __slots__ = ()

    def reweighted(self, weight: float) -> Term:
        """Return a fresh one."""
        return PriorOf(self.name, self.paths[self.path].graph, self._trace, weight)


def prior_terms(terms: Sequence[Term], start: Mapping[str, Any]) -> list[Term]:
    """Return a term for each Param with a prior that tests with a weight reach."""
    reached = {key for term in terms if term.weight for key in term.starts}
    made: list[Term] = []
    for key, params in group_by_key(reached).items():
        if params and params[0].prior is not None:
            trace = partial(_trace, params[0], key)
            made.append(PriorOf(f"the prior of {params[0].name}", trace(start), trace))
    return made


def prior_losses(
    priors: Sequence[Term], start: Mapping[str, Any], end: Mapping[str, Any]
) -> dict[str, PriorTerm]:
    """Return what the priors add before and after a fit, by the key of the Param."""
    found = {}
    for term in priors:
        (key,) = term.starts
        param = group_by_key([key])[key][0]
        assert param.prior is not None
        before, after = (float(param.prior.loss(values[key])) for values in (start, end))
        found[key] = PriorTerm(param.name, str(param.prior), before, after)
    return found


def _trace(param: Param, key: str, values: Mapping[str, Any]) -> Graph:
    assert param.prior is not None
    with Tape() as tape:
        return tape.graph([param.prior.loss(tape.input(key, values[key]))])
