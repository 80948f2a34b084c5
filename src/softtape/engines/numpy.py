"""The numpy engine: a graph becomes one straight-line function of numpy calls."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, TypeAlias

import numpy as np

from softtape.engines.source import Writer
from softtape.graph import CONSTANT, INPUT, Graph, Node
from softtape.ops import PRIMITIVES
from softtape.transforms.replay import replay

__all__ = ["Program", "Workspace"]

_CHEAP = {
    "add", "subtract", "multiply", "divide", "square", "sqrt", "negative", "absolute", "sign",
    "maximum", "minimum", "greater", "greater_equal", "less", "less_equal", "equal", "not_equal",
    "logical_and", "logical_or", "logical_not", "where", "sum", "max", "min",
    "reshape", "transpose", "broadcast_to", "getitem", "stack", "concatenate",
}  # fmt: skip
_FUNCTION = 16  # additions take as long as a sine

Workspace: TypeAlias = list[Any]


class Program:
    """A graph made ready to run many times.

    What depends on no input is computed once, here. A batched graph is run on one chunk of cases
    after the other: what depends on the cases but on no Param is computed once for each chunk, by
    :meth:`bind`, and what depends on Params but on no case once for each evaluation, by
    :attr:`before`.

    Parameters
    ----------
    graph
        What to run.
    cases
        Keys of the inputs that belong to the chunk; none for a graph that is not batched.

    Attributes
    ----------
    before
        ``before(inputs)`` returns what all chunks share.
    compute
        ``compute(shared, bound, workspace, guarded)`` returns the outputs, from what `before`,
        `bind` and `workspace` returned, or None where a guard does not hold. Arrays that
        depend on a chunk are overwritten when the next one is computed.
    workspace
        Returns the buffers one thread needs, whatever the number of chunks.
    work
        About how much `compute` does, in elements that an addition goes through.
    """

    before: Callable[[Mapping[str, Any]], list[Any]]
    compute: Callable[[list[Any], list[Any], Workspace, bool], list[Any] | None]

    def __init__(self, graph: Graph, cases: Sequence[str] = ()) -> None:
        """Write and compile the functions."""
        own = [graph.inputs[key] for key in cases]
        moves = graph.active(set(graph.inputs.values()) - set(own))
        cased = graph.active(own)
        with np.errstate(all="ignore"):
            read = [not (a or b) for a, b in zip(moves, cased, strict=True)]
            shown = replay(graph, graph.start, read=read)
        work = [k for k, (op, _, _) in enumerate(graph.nodes) if op not in (CONSTANT, INPUT)]
        moving = [k for k in work if moves[k]]
        # where there are no chunks, nothing is shared between them: all is one function
        shared = [k for k in moving if cases and not cased[k]]
        mine = [k for k in moving if cased[k] or not cases]
        self.work = sum(_work(graph.nodes[k], shown[k], shown) for k in mine)
        self._static = [self._step(graph, k) for k in work if cased[k] and not moves[k]]
        used = {a for k in mine for a in graph.nodes[k][1]} | set(graph.outputs)
        self._kept = sorted(k for k in used if cased[k] and not moves[k])
        self._cases = [(key, graph.inputs[key]) for key in cases]
        self._fixed = {k: shown[k] for k in range(len(shown)) if not cased[k] and not moves[k]}
        self._write(graph, shown, shared, mine)

    def _write(
        self, graph: Graph, shown: Sequence[Any], shared: Sequence[int], mine: Sequence[int]
    ) -> None:
        own = {number for _, number in self._cases}
        inputs = {key: k for key, k in graph.inputs.items() if k not in own}
        given = [*inputs.values(), *shared]
        active = graph.active(inputs.values())
        expected = {k: value for k, value in graph.guards if active[k]}
        first = Writer(graph, shown, shared, given, {}, fresh=True)
        second = Writer(graph, shown, mine, graph.outputs, expected, fresh=not own)
        scope = first.scope | second.scope
        scope |= {f"v{k}": value for k, value in self._fixed.items()}
        scope |= {f"k{number}": key for key, number in inputs.items()}
        reads = [f"v{number} = inputs[k{number}]" for number in inputs.values()]
        unpacking = [
            f"{_listed(first.names, given)} = shared",
            f"{_listed(first.names, self._kept)} = bound",
            f"{second.buffers} = workspace",
        ]
        text = [
            "def before(inputs):",
            *reads,
            *first.lines,
            f"return {_listed(first.names, given)}",
            "def compute(shared, bound, workspace, guarded=True):",
            *unpacking,
            *second.lines,
            f"return {_listed(second.names, graph.outputs)}",
        ]
        source = "\n".join(line if line.startswith("def ") else f" {line}" for line in text)
        exec(source, scope)  # our own text: no name and no value of the user's is in it
        self.before, self.compute = scope.pop("before"), scope.pop("compute")
        self.workspace = second.workspace
        self._mine = [] if own else second.workspace()

    @staticmethod
    def _step(graph: Graph, number: int) -> tuple[Callable[..., Any], tuple[int, ...], int]:
        op, args, attrs = graph.nodes[number]
        compute = PRIMITIVES[op].compute
        return partial(compute, **attrs) if attrs else compute, args, number

    def bind(self, cases: Mapping[str, Any]) -> list[Any]:
        """Return what a chunk contributes: the values that depend on its cases alone."""
        values = self._fixed | {number: cases[key] for key, number in self._cases}
        for compute, args, number in self._static:
            values[number] = compute(*[values[a] for a in args])
        return [values[k] for k in self._kept]

    def run(self, inputs: Mapping[str, Any], *, guarded: bool = True) -> list[Any] | None:
        """Return the outputs, or None as soon as a guard does not hold; for no chunks.

        Parameters
        ----------
        inputs
            Value of each input, by key: arrays, and numpy scalars rather than Python
            floats, which would raise where numpy gives inf.
        guarded
            Whether to ask the guards at all.
        """
        return self.compute(self.before(inputs), [], self._mine, guarded)


def _work(node: Node, value: Any, shown: Sequence[Any]) -> int:
    op, args, _ = node
    largest: int = max(getattr(v, "size", 1) for v in (value, *[shown[a] for a in args]))
    return largest if op in _CHEAP or not np.ndim(value) else _FUNCTION * largest


def _listed(names: Sequence[str], numbers: Sequence[int]) -> str:
    return f"[{', '.join(names[k] for k in numbers)}]"
