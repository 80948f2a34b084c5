"""Remove from a graph what need not be computed: once, before it is run many times."""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softtape.columns import IS_INPUT, NONE, SHORT, Recording
from softtape.graph import CONSTANT, INPUT, Graph, Node
from softtape.ops import PRIMITIVES, Kind

__all__ = ["prune", "pruned", "simplify"]

# nodes up to which repeated ones are looked for: a table of more would take gigabytes
_MOST_COMPARED = 2_000_000


def prune(graph: Graph) -> Graph:
    """Return the graph without dead code and repeated instructions, whatever its constants are.

    That two constants are equal may be a coincidence of one case, and the structure of a test's
    graph must not depend on it: otherwise its cases could not be batched.
    """
    return pruned(graph)[0]


def pruned(graph: Graph) -> tuple[Graph, NDArray[np.bool_]]:
    """Return what :func:`prune` does, and which of the nodes stayed."""
    nodes = Recording.of(graph.nodes)
    same = _repeated(nodes)
    roots = np.array([*graph.outputs, *(g for g, _ in graph.guards)], np.int32)
    keep = _alive(nodes, same, roots if same is None else same[roots])
    if keep.all():  # then nothing is repeated, either
        return replace(graph, nodes=nodes), keep
    made, number = nodes.selected(keep, same)
    pruned = Graph(
        nodes=made,
        outputs=tuple(int(number[o]) for o in graph.outputs),
        guards=tuple((int(number[g]), expected) for g, expected in graph.guards),
        inputs={key: int(number[i]) for key, i in graph.inputs.items()},
        start=graph.start,
    )
    return pruned, keep


def _repeated(nodes: Recording) -> NDArray[np.int32] | None:
    """Return for each node the first that is equal to it; None where no two are."""
    if len(nodes) > _MOST_COMPARED or not (_twins(nodes) or len(nodes.others) > 1):
        return None
    first: list[int] = []
    known: dict[Hashable, int] = {}
    for number, (op, args, attrs) in enumerate(nodes):
        if op in (INPUT, CONSTANT):
            first.append(number)
        else:
            key = _key(op, tuple([first[a] for a in args]), attrs)
            first.append(known.setdefault(key, number))
    leaves = int(np.count_nonzero(nodes.columns.codes <= IS_INPUT))
    return np.array(first, np.int32) if len(known) < len(first) - leaves else None


def _twins(nodes: Recording) -> bool:
    """Tell whether two operations have the same operands: mostly none have.

    That is where two that are equal begin.
    """
    codes, left, right = nodes.columns
    if len(nodes) <= SHORT:
        found = [*map(tuple, nodes.wiring.rows[left != NONE].tolist())]
        return len({*found}) < len(found)
    # all in 32 bits, which a few may share by chance: these are compared
    mixed = left.view(np.uint32) * _MIX[0]
    mixed += right.view(np.uint32) * _MIX[1]
    mixed += codes.view(np.uint32)
    mixed *= _MIX[2]
    plain = left != NONE
    mixed = mixed[plain]
    ordered = np.sort(mixed)
    shared = ordered[1:][ordered[1:] == ordered[:-1]]
    if not shared.size:
        return False
    places = np.searchsorted(shared, mixed)
    some = shared[np.minimum(places, shared.size - 1)] == mixed
    table = np.stack(nodes.columns, axis=1)[plain][some]
    return len({*map(tuple, table.tolist())}) < len(table)


_MIX = np.array([0x9E3779B1, 0x85EBCA6B, 0xC2B2AE35], np.uint32)  # odd, without a pattern


def _alive(
    nodes: Recording, same: NDArray[np.int32] | None, roots: NDArray[np.int32]
) -> NDArray[np.bool_]:
    """Mark what the roots depend on, and the inputs."""
    codes, left, right = nodes.columns
    if same is not None:
        left, right = (np.where(c == NONE, NONE, same[c]) for c in (left, right))
        others = {k: same[list(args)].tolist() for k, (args, _) in nodes.others.items()}
    else:
        others = {k: list(args) for k, (args, _) in nodes.others.items()}
    used = [left, right, roots, np.array([a for args in others.values() for a in args], np.int32)]
    seen = np.zeros(len(nodes) + 1, bool)  # the last is where NONE leads to
    for numbers in used:
        seen[numbers.astype(np.intp)] = True  # indexing by other integers takes twice as long
    alive: NDArray[np.bool_] = seen[:-1] | (codes == IS_INPUT)
    if alive.all():
        return alive
    dead = np.flatnonzero(~alive).tolist()
    uses = np.bincount(np.concatenate(used) + 1, minlength=len(nodes) + 1)[1:]
    alive[:] = True
    # what only dead code uses is dead; the work is as much as there is dead code
    count = uses.tolist()
    while dead:
        number = dead.pop()
        alive[number] = False
        for a in others.get(number) or (int(left[number]), int(right[number])):
            if a != NONE:
                count[a] -= 1
                if count[a] == 0 and codes[a] != IS_INPUT:
                    dead.append(a)
    return alive


def simplify(graph: Graph) -> Graph:
    """Return an equal graph without dead code, repeated subexpressions and products with one."""
    nodes: list[Node] = []
    known: dict[Hashable, int] = {}
    number: list[int] = []  # new number of each old node; -1 where it is not needed
    ones = _Ones(graph, nodes)
    for old, ((op, args, attrs), keep) in enumerate(zip(graph.nodes, _needed(graph), strict=True)):
        if not keep:
            number.append(-1)
            continue
        args = tuple([number[a] for a in args])
        if op == "multiply":
            same = ones.other_factor(old, args)
            if same is not None:
                number.append(same)
                continue
        new = known.setdefault(_key(op, args, attrs), len(nodes))
        if new == len(nodes):
            nodes.append((op, args, attrs))
        number.append(new)
    return Graph(
        nodes=tuple(nodes),
        outputs=tuple(number[o] for o in graph.outputs),
        guards=tuple((number[g], expected) for g, expected in graph.guards),
        inputs={key: number[i] for key, i in graph.inputs.items()},
        start=graph.start,
    )


def _needed(graph: Graph) -> list[bool]:
    """Mark what the outputs and guards depend on; inputs always stay."""
    needed = [op == INPUT for op, _, _ in graph.nodes]
    for root in (*graph.outputs, *(g for g, _ in graph.guards)):
        needed[root] = True
    for i in range(len(graph.nodes) - 1, -1, -1):
        if needed[i]:
            for a in graph.nodes[i][1]:
                needed[a] = True
    return needed


class _Ones:
    """Finds products with one. (A sum with zero is something else: -0.0 + 0.0 is 0.0.)"""

    def __init__(self, graph: Graph, nodes: list[Node]) -> None:
        self._graph = graph
        self._nodes = nodes
        self._floats: list[bool] = []

    def other_factor(self, old: int, args: tuple[int, ...]) -> int | None:
        """Return the new number of the factor that the node ``old`` is equal to, if so."""
        for i, j in ((0, 1), (1, 0)):
            kind, _, value = self._nodes[args[i]]
            if kind == CONSTANT and type(value) is float and value == 1.0:
                return args[j] if self._is_float(self._graph.nodes[old][1][j]) else None
        return None

    def _is_float(self, number: int) -> bool:
        """Whether multiplying by 1.0 surely leaves a node as it is. (A mask becomes numbers.)"""
        floats = self._floats
        for op, args, attrs in self._graph.nodes[len(floats) : number + 1]:
            if op in (INPUT, CONSTANT):
                value = self._graph.start[attrs] if op == INPUT else attrs
                known = isinstance(value, float)  # numpy's float64 is one, too
                floats.append(known or getattr(value, "dtype", _INTEGER).kind == "f")
            elif PRIMITIVES[op].kind is Kind.CONSTANT:
                floats.append(False)
            else:  # the others give floats if what they differentiate is float
                rules = PRIMITIVES[op].vjp_rule
                floats.append(any(floats[a] for i, a in enumerate(args) if rules(i)))
        return floats[number]


_INTEGER = np.dtype(int)


def _contents(array: NDArray[Any]) -> bytes:
    """Return the elements, or a digest of many: a copy of all constants would be in the way."""
    if array.nbytes <= _SMALL:
        return array.tobytes()
    whole = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
    return hashlib.blake2b(whole.data, digest_size=32).digest()


_SMALL = 4096  # bytes


def _key(op: str, args: tuple[int, ...], attrs: Any) -> Hashable:
    """Equal keys mean equal values."""
    if attrs is None:
        return op, args
    if op == INPUT:
        return (op, attrs)
    if op == CONSTANT:
        if isinstance(attrs, np.ndarray):
            return (op, attrs.dtype.str, attrs.shape, _contents(attrs))
        return (op, type(attrs), repr(attrs))  # repr keeps 0.0 and -0.0, and NaNs, apart
    # a template of an index holds slices, which are hashable only from Python 3.12 on
    return (op, args, repr(sorted(attrs.items())))
