"""The cases of a group in chunks of lanes, and the compiled programs that run on them.

A lane without a case repeats another case's constants with weight zero, so that the compiled
programs need not change while cases come and go.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from threading import local
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softtape.choice import Kind
from softtape.engines.cases import CaseProgram
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

__all__ = ["Lanes", "merged"]

Floats: TypeAlias = NDArray[np.float64]

_CHUNK = 4096  # lanes of a chunk: a buffer of float64 takes 32 KB, so that a dozen stay in cache


class _Case(Protocol):
    @property
    def constants(self) -> Sequence[Any]: ...

    @property
    def weight(self) -> float: ...


def merged(shares: Sequence[Share]) -> Share:
    """Join the shares of single cases, in their order; those whose guards broke give nothing."""
    joined = Share(np.concatenate([s.losses for s in shares]))
    if any(s.holds is not None for s in shares):
        held = [np.ones(len(s.losses), bool) if s.holds is None else s.holds for s in shares]
        joined.holds = np.concatenate(held)
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
    """

    def __init__(self, graph: Graph) -> None:
        """Start without cases; ``graph`` is that of any of them."""
        self._graph = graph
        self._numbers = [k for k, node in enumerate(graph.nodes) if node[0] == CONSTANT]
        self._width = 0
        self._varying: dict[int, Any] = {}  # value number -> values, shape (cases, ...)
        self._weights: Floats = np.zeros(0)
        self._programs: dict[Kind, _Compiled] = {}

    def fill(self, cases: Sequence[_Case]) -> None:
        """Take these cases, instead of those before."""
        columns = stacked_constants([case.constants for case in cases])
        width = min(len(cases), _CHUNK)
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
            program.forget_chunks()

    def share(self, kind: Kind, inputs: Mapping[str, Any], form: tuple[Graph, Any] | None) -> Share:
        """Run all chunks and join what they give, in their order."""
        program = self._programs.get(kind)
        if program is None:
            graph = self._graph
            if kind == "jacobian":
                assert form is not None
                graph = form[0]
            example = {n: c[self._places(0)] for n, c in self._varying.items()}
            program = self._programs[kind] = _Compiled(graph, example, self._width, kind)
        if not program.chunks:
            for start in range(0, len(self._weights), self._width):
                places = self._places(start)
                program.add_chunk(
                    {n: c[places] for n, c in self._varying.items()},
                    self._weights[start : start + self._width],
                )
        if len(program.chunks) == 1:
            return program.run(inputs, program.chunks[0])
        return merged(list(_pool().map(partial(_run_in_thread, program, inputs), program.chunks)))

    def _places(self, start: int) -> NDArray[np.intp]:
        """Which case sits in each lane of a chunk; lanes left over repeat the chunk's first."""
        places = np.arange(start, start + self._width)
        places[places >= len(self._weights)] = start
        return places


@cache
def _pool() -> ThreadPoolExecutor:
    """Return the threads that run chunks; numpy releases the GIL while it computes."""
    return ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="softtape")


def _run_in_thread(program: _Compiled, inputs: Mapping[str, Any], chunk: _Chunk) -> Share:
    with np.errstate(all="ignore"):  # numpy keeps this per thread
        return program.run(inputs, chunk)


def _same_as(a: Any, b: Any) -> bool:
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.tobytes() == b.tobytes()  # their dtypes and shapes are part of the signature
    return type(a) is type(b) and same_value(a, b) and str(a) == str(b)  # not 0.0 for -0.0


@dataclass
class _Chunk:
    """One chunk of cases: what it binds, and the weights of its cases."""

    bound: Sequence[tuple[int, Any]]
    weights: Floats
    roots: Floats


class _Compiled:
    """The program of one kind for all chunks."""

    def __init__(self, graph: Graph, example: Mapping[int, Any], width: int, kind: Kind) -> None:
        self._keys = list(graph.inputs)
        self._shapes = [np.shape(graph.start[key]) for key in self._keys]
        self._count = len(graph.outputs)
        self._width = width
        self._kind = kind
        self._guards = [expected for _, expected in graph.guards]
        cases = [WEIGHTS, *(case_key(n) for n in example)]
        made = fuse(_derived(graph, example, width, kind), cases)
        self._program = CaseProgram(made, [key for key in cases if key in made.inputs])
        self._local = local()
        self.chunks: list[_Chunk] = []

    def forget_chunks(self) -> None:
        """Drop the chunks: other cases come."""
        self.chunks.clear()

    def add_chunk(self, varying: Mapping[int, Any], weights: Floats) -> None:
        """Take one more chunk; lanes without a weight are padding."""
        padded = np.zeros(self._width)
        padded[: len(weights)] = weights
        inputs = {WEIGHTS: padded, **{case_key(n): c for n, c in varying.items()}}
        self.chunks.append(_Chunk(self._program.bind(inputs), weights, np.sqrt(weights)))

    def run(self, inputs: Mapping[str, Any], chunk: _Chunk) -> Share:
        """Return what one chunk contributes."""
        try:
            workspace = self._local.workspace
        except AttributeError:
            workspace = self._local.workspace = self._program.workspace()
        outputs = self._program.run(inputs, chunk.bound, workspace)
        n = len(chunk.weights)
        holds = None
        if self._guards:
            holds = self._holding(outputs[len(outputs) - len(self._guards) :], n)
        if self._kind == "jacobian":
            return self._rows(outputs, chunk, holds)
        share = Share(outputs[0][:n].copy(), holds)
        if self._kind == "gradient":
            # the next chunk writes into the same buffers
            share.gradient = {
                key: g.copy() if isinstance(g, np.ndarray) else g
                for key, g in zip(self._keys, outputs[1:], strict=False)
            }
        return share

    def _holding(self, values: Sequence[Any], n: int) -> NDArray[np.bool_]:
        holds = np.ones(n, bool)
        for value, expected in zip(values, self._guards, strict=True):
            if np.ndim(value) == np.ndim(expected):
                holds &= same_value(value, expected)
            else:
                equal = (value == expected) | ((value != value) & (expected != expected))
                holds &= equal.reshape(self._width, -1).all(axis=1)[:n]
        return holds

    def _rows(
        self, outputs: Sequence[Any], chunk: _Chunk, holds: NDArray[np.bool_] | None
    ) -> Share:
        n, m = len(chunk.weights), self._count
        roots = chunk.roots[:, None]
        parts = [np.reshape(r, (self._width, np.size(r) // self._width))[:n] for r in outputs[:m]]
        residuals = (parts[0] if m == 1 else np.concatenate(parts, axis=1)) * roots
        rows = {}
        for i, key in enumerate(self._keys):
            size = int(np.prod(self._shapes[i]))
            blocks = [
                np.reshape(outputs[m + j * len(self._keys) + i], (self._width, part.shape[1], size))
                for j, part in enumerate(parts)
            ]
            block = (blocks[0] if m == 1 else np.concatenate(blocks, axis=1))[:n]
            rows[key] = np.reshape(block * roots[:, :, None], (n * block.shape[1], size))
        return Share(np.zeros(n), holds, residuals=np.ravel(residuals), rows=rows)


def _derived(graph: Graph, example: Mapping[int, Any], width: int, kind: Kind) -> Graph:
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
