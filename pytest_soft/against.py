"""Data against program, where a test has one input and one output: what a figure needs."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from numbers import Real
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pytest

from pytest_soft.collect import function_of
from softtape.errors import SoftError
from softtape.graph import Graph
from softtape.terms import Term
from softtape.transforms.replay import GuardBroken, replay
from softtape.transforms.residuals import residual_form

__all__ = ["Inputs", "against", "inputs_of"]

Inputs: TypeAlias = Mapping[str, Mapping[str, float]]
"""The arguments of each case by test id, for those that have numbers alone."""

_MOST = 500  # points of a figure
_BUDGET = 1_000_000  # instructions to replay for one of them
_FEWEST = 3  # points


class _Point(NamedTuple):
    arguments: Mapping[str, float]
    data: float
    program: float


def inputs_of(tests: Iterable[pytest.Function]) -> Inputs:
    """Return the arguments of the parametrized tests that have numbers alone."""
    found = {}
    for item in tests:
        given = getattr(getattr(item, "callspec", None), "params", {})
        if given and all(map(_is_number, given.values())):
            found[item.nodeid] = {name: float(value) for name, value in given.items()}
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def against(
    terms: Iterable[Term], values: Mapping[str, Any], inputs: Inputs
) -> list[dict[str, Any]]:
    """Return what the tests expect beside what the program gives, for the tests that tell.

    A test tells if its loss is one square, of a difference between what depends on Params and what
    does not: (f(x) - y)², whatever positive factors there are. What does not is the data. The
    input is the one argument that varies from case to case and is not the data itself.

    Parameters
    ----------
    terms
        Tests, on the paths that they take where the Params are ``values``.
    values
        Of the Params, by key.
    inputs
        The arguments of the cases.

    Returns
    -------
    list[dict]
        Of each function ``function``; ``input``, the name of the argument; ``x``, ``data`` and
        ``program``, sorted by ``x``.
    """
    functions: dict[str, list[Term]] = {}
    for term in terms:
        if term.traced and term.name in inputs:
            functions.setdefault(function_of(term.name), []).append(term)
    found = []
    for function, cases in functions.items():
        points = _points(cases, values, inputs)
        name = _input(points)
        if name is not None:
            points.sort(key=lambda point: (point.arguments[name], point.data))
            found.append(
                {
                    "function": function,
                    "input": name,
                    "x": [point.arguments[name] for point in points],
                    "data": [point.data for point in points],
                    "program": [point.program for point in points],
                }
            )
    return found


def _points(cases: Sequence[Term], values: Mapping[str, Any], inputs: Inputs) -> list[_Point]:
    sides: dict[Hashable, tuple[int, int] | None] = {}  # of each path
    points = []
    longest = max(len(term.paths[term.path].graph) for term in cases[:_FEWEST])
    most = max(min(_MOST, _BUDGET // longest), _FEWEST)
    for term in cases[:: math.ceil(len(cases) / most)]:
        graph = term.paths[term.path].graph
        if term.path not in sides:
            sides[term.path] = _sides(graph)
        numbers = sides[term.path]
        if numbers is None:
            return []
        try:
            with np.errstate(all="ignore"):
                computed = replay(graph, {**graph.start, **values}, guarded=True)
            data, program = (float(computed[number]) for number in numbers)
        except (GuardBroken, SoftError, ArithmeticError, TypeError, ValueError):
            continue  # another path, or an array
        if math.isfinite(data) and math.isfinite(program):
            points.append(_Point(inputs[term.name], data, program))
    return points


def _sides(graph: Graph) -> tuple[int, int] | None:
    """Return the value numbers of data and program, or None if the loss does not show them."""
    form = residual_form(graph)
    if form is None or len(form[0].outputs) != 1:
        return None
    made = form[0]
    active, number = made.active(), made.outputs[0]
    while True:
        op, args, _ = made.nodes[number]
        moving = [a for a in args if active[a]]
        if op == "subtract" and len(moving) == 1:
            fixed = args[0] if moving[0] == args[1] else args[1]
            return fixed, moving[0]
        if op not in ("multiply", "divide", "negative") or len(moving) != 1:
            return None
        number = moving[0]


def _input(points: Sequence[_Point]) -> str | None:
    """Return the name of the one input, or None if there is none, or more than one."""
    if len(points) < _FEWEST:
        return None
    arguments = points[0].arguments
    if any(point.arguments.keys() != arguments.keys() for point in points):
        return None
    varying = [name for name in arguments if len({p.arguments[name] for p in points}) > 1]
    others = [n for n in varying if any(p.arguments[n] != p.data for p in points)]
    known = len(others) < len(varying) or len({point.data for point in points}) > 1
    return others[0] if len(others) == 1 and known else None
