"""Reverse mode: from a graph to the graph that also computes its gradient."""

from __future__ import annotations

import dis
import inspect
import itertools
from collections.abc import Mapping, Sequence
from functools import cache, partial
from types import CodeType
from typing import Any

import numpy as np

from softtape.graph import CONSTANT, INPUT, Graph, shape_of
from softtape.ops import PRIMITIVES, Kind, Primitive
from softtape.ops.complex import is_complex
from softtape.ops.shaping import unbroadcast
from softtape.transforms.replay import derive

__all__ = ["gradient_of", "pullback", "value_and_gradient"]


def pullback(
    graph: Graph,
    values: Sequence[Any],
    seeds: Mapping[int, Any],
    wanted: Sequence[int],
    done: list[Any] | None = None,
) -> list[Any]:
    """Carry cotangents from some nodes of ``graph`` back to others.

    Parameters
    ----------
    graph
        The graph that was run.
    values
        Value of each node in that run, plain or traced.
    seeds
        Cotangent of each node the sweep starts from, by value number.
    wanted
        Value numbers of the nodes whose cotangents are asked for, such as inputs. The
        sweep does not go on behind them.
    done
        The list of the values, if nobody else needs them: each is taken out of it once the sweep
        is past it.

    Returns
    -------
    list[Any]
        One cotangent per wanted node, in its shape; zeros where none arrives.
    """
    active = graph.active(wanted)
    ends = set(wanted)
    cotangents = dict(seeds)
    for number in range(max(seeds, default=-1), -1, -1):
        if done is not None and number + 1 not in ends and number + 1 < len(done):
            done[number + 1] = None
        if number in ends or not active[number] or number not in cotangents:
            continue
        g = cotangents.pop(number)
        op, args, attrs = graph.nodes[number]
        rules, operands = PRIMITIVES[op], [values[a] for a in args]
        for i, a in enumerate(args):
            rule = rules.vjp_rule(i) if active[a] else None
            if rule is None:
                continue
            part = rule(g, values[number], *operands, **(attrs or {}))
            if rules.kind is Kind.ELEMENTWISE:
                part = unbroadcast(part, shape_of(operands[i]))
            part = _in_dtype(part, operands[i])
            known = cotangents.get(a)
            cotangents[a] = part if known is None else known + part
    return [cotangents[n] if n in cotangents else zeros(values[n]) for n in wanted]


def zeros(value: Any) -> Any:
    """Return the derivative that is nowhere: plain zeros, as many as ``value`` and as wide."""
    wanted = getattr(value, "dtype", None)
    kept = wanted if wanted in _NARROW else complex if is_complex(value) else float
    return np.zeros(np.shape(value), kept)[()]


_NARROW = (np.float32, np.complex64)


def _in_dtype(cotangent: Any, operand: Any) -> Any:
    """Give the cotangent of a float its width, whatever the width of the constants it met.

    What is real moves in real directions alone; a cotangent that happens to be real stays so.
    """
    if is_complex(cotangent) and not is_complex(operand):
        cotangent = np.real(cotangent)
    wanted = getattr(operand, "dtype", None)
    if wanted in _FLOATS and getattr(cotangent, "dtype", wanted) != wanted:
        return cotangent.astype(wanted)
    if wanted == np.complex64 and getattr(cotangent, "dtype", None) == np.complex128:
        return cotangent.astype(wanted)
    return cotangent


_FLOATS = (np.float32, np.float64)


def value_and_gradient(graph: Graph) -> Graph:
    """Return the graph of the first output (a scalar) and of its derivative by each input.

    Its outputs are the value, then one gradient per input in the order of ``graph.inputs``, each
    in the shape of the input.
    """
    return derive(graph, partial(gradient_of, graph), read_by_sweep(graph))


def read_by_sweep(graph: Graph) -> list[bool]:
    """Return whether the value of each node is read by `gradient_of`, not only its shape."""
    active = graph.active()
    read = [False] * len(graph)
    for number in (*graph.outputs, *graph.inputs.values()):
        read[number] = True
    for number, (op, args, _) in enumerate(graph.nodes):
        if op in (CONSTANT, INPUT) or not active[number]:
            continue
        result, operands = _reads(PRIMITIVES[op], tuple(active[a] for a in args))
        read[number] = read[number] or result
        for a, needed in zip(args, operands, strict=True):
            read[a] = read[a] or needed
    return read


@cache
def _reads(primitive: Primitive, active: tuple[bool, ...]) -> tuple[bool, tuple[bool, ...]]:
    """Return whether the rules read the result, and which operands, by their names in the code."""
    count, every = len(active), primitive.vjps
    rules = [every] if callable(every) else list(itertools.compress(every, active))
    first = 3 if callable(every) else 2  # of its parameters that is an operand
    result, operands = False, [False] * count
    for rule in filter(None, rules):
        code = getattr(rule, "__code__", None)
        if code is None:
            return True, (True,) * count
        used = _named_in(code)
        names = list(code.co_varnames[: code.co_argcount])
        if code.co_flags & inspect.CO_VARARGS:
            rest = code.co_varnames[code.co_argcount + code.co_kwonlyargcount]
            names += [rest] * (first + count - len(names))
        result = result or names[first - 1] in used
        known = zip(operands, names[first : first + count], strict=True)
        operands = [read or name in used for read, name in known]
    return result, tuple(operands)


def _named_in(code: CodeType) -> set[Any]:
    """Return the names that code uses, among what else its instructions have for arguments."""
    found: set[Any] = {*code.co_cellvars}
    for step in dis.get_instructions(code):
        # from Python 3.13 on, an instruction may load two variables
        found.update(step.argval if isinstance(step.argval, tuple) else (step.argval,))
    return found


def gradient_of(graph: Graph, values: list[Any]) -> list[Any]:
    """Return what :func:`value_and_gradient` does, from the values of a run, plain or traced.

    The list is used up: what the sweep is past is let go, so that values and cotangents do not
    stand side by side in memory.
    """
    total, wanted = graph.outputs[0], list(graph.inputs.values())
    return [values[total], *pullback(graph, values, {total: 1.0}, wanted, done=values)]
