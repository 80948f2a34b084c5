"""The cases of a group in chunks of lanes, and the compiled programs that run on them.

A lane without a case repeats another case's constants with weight zero, so that the compiled
programs need not change while cases come and go.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softtape.choice import Kind
from softtape.engines.numpy import Program, Workspace
from softtape.engines.quiet import ERRORS, IGNORED
from softtape.engines.threads import in_threads
from softtape.graph import CONSTANT, Graph, same_value
from softtape.singles import Share
from softtape.transforms.batch import (
    WEIGHTS,
    batch,
    batched_gradient,
    batched_jacobian,
    case_key,
    repeatable,
    stacked_constants,
)
from softtape.transforms.fuse import fuse
from softtape.transforms.template import Template

__all__ = ["Lanes", "derived", "merged"]

Floats: TypeAlias = NDArray[np.float64]

# Most lanes of a chunk: a buffer of float64 takes 64 KB, so that a dozen stay in cache. Sums are
# formed chunk by chunk, so that their bits do not depend on the number of threads; from 10,000
# elements on, OpenBLAS would share out each sum among threads of its own.
_CHUNK = 8192
_LEFT_OUT: Floats = np.zeros(0)  # the losses, where their total is all that is asked for
_WORTH_A_THREAD = 100_000  # elements to go through, in some 50 µs: waking a thread takes as long
_MOST_PROGRAMS = 16  # of one structure: for several numbers of cases, and of what they differ in
_MOST_KEPT = 1 << 28  # bytes that chunks may keep of what follows from their cases alone


class _Case(Protocol):
    @property
    def constants(self) -> Sequence[Any]: ...

    @property
    def weight(self) -> float: ...


def merged(shares: Sequence[Share], counts: Sequence[int]) -> Share:
    """Join the shares of so many cases each, adding up in their order."""
    losses = [s.losses for s in shares if s.losses is not _LEFT_OUT]
    joined = Share(np.concatenate(losses) if losses else _LEFT_OUT)
    if all(s.total is not None for s in shares):
        joined.total = sum(s.total for s in shares if s.total is not None)
    if any(s.holds is not None for s in shares):
        held = zip(shares, counts, strict=True)
        joined.holds = np.concatenate(
            [np.ones(n, bool) if s.holds is None else s.holds for s, n in held]
        )
    gradients = [s.gradient for s in shares if s.gradient]
    if gradients:
        joined.gradient = {k: sum(g[k] for g in gradients) for k in gradients[0]}
    residuals = [s.residuals for s in shares if s.residuals is not None]
    if residuals:
        joined.residuals = np.concatenate(residuals)
    rows = [s.rows for s in shares if s.rows]
    if rows:
        joined.rows = {key: np.concatenate([r[key] for r in rows]) for key in rows[0]}
    return joined


class Lanes:
    """Compiled programs of a batched graph, and the chunks of cases they run on.

    The number of lanes only grows, and so does the set of constants that vary, so that cases
    which come and go do not cost a compilation each time.

    Parameters
    ----------
    graph
        That of any of the cases.
    threads
        How many threads may run chunks at the same time.
    """

    def __init__(self, graph: Graph, threads: int) -> None:
        """Start without cases."""
        self._graph = graph
        self._threads = threads
        self._numbers = [k for k, node in enumerate(graph.nodes) if node[0] == CONSTANT]
        self._width = 0
        self._varying: dict[int, Any] = {}  # value number -> values, shape (cases, ...)
        self._weights: Floats = np.zeros(0)
        self._programs: dict[Kind, _Compiled] = {}

    def fill(self, cases: Sequence[_Case]) -> None:
        """Take these cases, instead of those before."""
        columns = stacked_constants([case.constants for case in cases])
        chunks = -(-len(cases) // _CHUNK)
        chunks += chunks > 1 and chunks % 2  # so that two threads have as many each
        width = -(-len(cases) // chunks)  # chunks of one size, so that few lanes are left over
        varying: dict[int, Any] = {}
        for number, column, value in zip(self._numbers, columns, cases[0].constants, strict=True):
            known = number in self._varying
            if column is None and (known or not _same_as(self._graph.nodes[number][2], value)):
                column = np.repeat(repeatable(value)[None], len(cases), axis=0)
            if column is not None:
                varying[number] = column
        if width > self._width or varying.keys() != self._varying.keys():
            grown = width if self._width == 0 else min(_CHUNK, 1 << (width - 1).bit_length())
            self._width = max(self._width, grown)
            self._programs.clear()
        self._varying = varying
        self._weights = np.array([case.weight for case in cases])
        for program in self._programs.values():
            program.chunks.clear()

    def ready(self, kind: Kind, template: Template) -> Callable[[Mapping[str, Any]], Share]:
        """Return what gives the share of the cases, whose structure is ``template``, at inputs."""
        program = self._programs.get(kind)
        if program is None:
            program = self._programs[kind] = self._compiled(kind, template)
        if not program.chunks:
            for start in range(0, len(self._weights), self._width):
                columns = {n: self._lanes(c, start) for n, c in self._varying.items()}
                program.chunks.append(_Chunk(columns, self._weights[start : start + self._width]))
        return program.run

    def _compiled(self, kind: Kind, template: Template) -> _Compiled:
        """Return a program without cases yet; what it runs may have been made for others."""
        graph = self._graph
        if kind == "jacobian":
            assert template.form is not None  # only groups that have residuals are asked
            graph = template.form[0]
        example = {n: self._lanes(c, 0) for n, c in self._varying.items()}
        key = kind, self._width, *((n, column.dtype.str) for n, column in example.items())
        made = template.programs.get(key)
        if made is None:
            cases = [WEIGHTS, *map(case_key, example)]
            whole = fuse(derived(graph, example, self._width, kind), cases)
            made = Program(whole, [key for key in cases if key in whole.inputs])
            if len(template.programs) >= _MOST_PROGRAMS:
                template.programs.clear()
            template.programs[key] = made
        return _Compiled(made, graph, [*example], self._width, kind, self._threads)

    def _lanes(self, column: NDArray[Any], start: int) -> NDArray[Any]:
        """Return the values in the lanes of a chunk; lanes left over repeat the chunk's first."""
        part = column[start : start + self._width]
        missing = self._width - len(part)
        return np.concatenate([part, *[part[:1]] * missing]) if missing else part


def _same_as(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.tobytes() == b.tobytes()  # their dtypes and shapes are part of the signature
    return type(a) is type(b) and same_value(a, b) and str(a) == str(b)  # not 0.0 for -0.0


class _Chunk:
    """One chunk of cases: their constants and weights, and what a program made of these."""

    __slots__ = ("bound", "columns", "weights")

    def __init__(self, columns: Mapping[int, Any], weights: Floats) -> None:
        self.columns = columns
        self.weights = weights
        self.bound: list[Any] | None = None


class _Compiled:
    """The program of one kind for all chunks.

    Parameters
    ----------
    program
        What runs a chunk.
    graph
        What it was made of.
    varying
        Numbers of the constants that vary.
    width, kind
        How many lanes a chunk has, and what is computed.
    threads
        How many threads may run chunks at the same time.
    """

    def __init__(
        self,
        program: Program,
        graph: Graph,
        varying: Sequence[int],
        width: int,
        kind: Kind,
        threads: int,
    ) -> None:
        self._keys = list(graph.inputs)
        self._places = [*enumerate(self._keys, start=1)]  # of the gradient, among the outputs
        self._sizes = [int(np.size(graph.start[key])) for key in self._keys]
        self._count = len(graph.outputs)
        self._width = width
        self._kind = kind
        self._guards = [expected for _, expected in graph.guards]
        self._counts: list[int | None] | None = None  # of the true elements of guarded truths
        self._cases = [WEIGHTS, *map(case_key, varying)]
        self._program = program
        self._threads = threads
        self._workspaces: dict[int, Workspace] = {}
        self.chunks: list[_Chunk] = []

    def run(self, inputs: Mapping[str, Any]) -> Share:
        """Run all chunks and join what they give, in their order."""
        shared, chunks = self._program.before(inputs), self.chunks
        if len(chunks) == 1:
            return self._run(shared, chunks[0], 0)
        counts = [len(chunk.weights) for chunk in chunks]
        useful = len(chunks) * self._program.work // _WORTH_A_THREAD
        if self._threads <= 1 or useful <= 1:
            return merged([self._run(shared, chunk, 0) for chunk in chunks], counts)
        shares: list[Any] = [None] * len(chunks)

        def run(thread: int, task: int) -> None:
            errors = ERRORS.set(IGNORED)  # numpy keeps this per thread
            try:
                shares[task] = self._run(shared, chunks[task], thread)
            finally:
                ERRORS.reset(errors)

        in_threads(min(self._threads, len(chunks), useful), len(chunks), run)
        return merged(shares, counts)

    def _bind(self, chunk: _Chunk) -> list[Any]:
        """Return what a chunk contributes, and keep it if that is not too much."""
        missing = self._width - len(chunk.weights)
        weights = np.pad(chunk.weights, (0, missing)) if missing else chunk.weights
        values = [weights, *chunk.columns.values()]
        bound = self._program.bind(dict(zip(self._cases, values, strict=True)))
        own = sum(v.nbytes for v in bound if isinstance(v, np.ndarray) and v.base is None)
        if own * len(self.chunks) <= _MOST_KEPT:
            chunk.bound = bound
        return bound

    def _run(self, shared: list[Any], chunk: _Chunk, thread: int) -> Share:
        """Return what one chunk contributes."""
        workspace = self._workspaces.get(thread)
        if workspace is None:
            workspace = self._workspaces[thread] = self._program.workspace()
        bound = self._bind(chunk) if chunk.bound is None else chunk.bound
        outputs: Any = self._program.compute(shared, bound, workspace, True)
        weights, holds = chunk.weights, None
        n = len(weights)
        if self._guards:
            holds = self._holding(outputs[len(outputs) - len(self._guards) :], n)
        if self._kind == "jacobian":
            return self._rows(outputs, weights, holds)
        losses = outputs[0] if n == self._width else outputs[0][:n]
        total = float(weights.dot(losses))
        if self._kind == "value":
            return Share(losses.copy(), holds, total=total)
        gradient = {}
        for place, key in self._places:
            part = outputs[place]
            gradient[key] = part.copy() if isinstance(part, np.ndarray) else part
        return Share(_LEFT_OUT, holds, gradient, total)

    def _holding(self, values: Sequence[Any], n: int) -> NDArray[np.bool_] | None:
        """Tell for which cases all guards hold; None where all do for all cases."""
        if self._counts is None:
            self._counts = list(map(_true_where_it_holds, values, self._guards))
        holds = None
        for value, expected, count in zip(values, self._guards, self._counts, strict=True):
            if count is not None and np.count_nonzero(value) == count:
                continue
            if np.ndim(value) == np.ndim(expected):
                equal: Any = same_value(value, expected)
            else:
                equal = (value == expected) | ((value != value) & (expected != expected))
                equal = equal.reshape(self._width, -1).all(axis=1)[:n]
            if not np.all(equal):
                holds = (np.ones(n, bool) if holds is None else holds) & equal
        return holds

    def _rows(
        self, outputs: Sequence[Any], weights: Floats, holds: NDArray[np.bool_] | None
    ) -> Share:
        n, m, width = len(weights), self._count, self._width
        roots = np.sqrt(weights).reshape(n, 1, 1)
        parts = [r.reshape(width, -1, 1)[:n] for r in outputs[:m]]
        residuals = roots * (parts[0] if m == 1 else np.concatenate(parts, axis=1))
        rows = {}
        for i, key in enumerate(self._keys, start=m):
            blocks = [
                block.reshape(width, part.shape[1], self._sizes[i - m])[:n]
                for block, part in zip(outputs[i :: len(self._keys)], parts, strict=False)
            ]
            block = roots * (blocks[0] if m == 1 else np.concatenate(blocks, axis=1))
            rows[key] = block.reshape(n * block.shape[1], block.shape[2])
        return Share(_LEFT_OUT, holds, residuals=residuals.reshape(-1), rows=rows)


def _true_where_it_holds(value: Any, expected: Any) -> int | None:
    """Return how many elements are true where a guard holds for all cases; None if it is no truth.

    Lanes left over are counted: they repeat a case.
    """
    if np.asarray(value).dtype != bool or not isinstance(expected, bool | np.bool_):
        return None
    return int(np.size(value)) if expected else 0


def derived(graph: Graph, example: Mapping[int, Any], width: int, kind: Kind) -> Graph:
    """Return the batched graph of what is asked for, with the guarded values as last outputs."""
    keys = list(graph.inputs)
    if kind == "jacobian":
        made = batched_jacobian(graph, example, width)
    else:
        made = batch(graph, example, width)
        if kind == "gradient":
            made = batched_gradient(made, keys)
    return Graph(
        made.nodes, (*made.outputs, *(g for g, _ in made.guards)), (), made.inputs, made.start
    )
