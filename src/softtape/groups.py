"""Cases that took the same path, evaluated together.

A :class:`Group` holds the cases of one signature (see :mod:`softtape.transforms.batch`) in chunks
of lanes. A lane without a case repeats another case's constants with weight zero, so that the
compiled programs need not change while cases come and go.
"""

from __future__ import annotations

import os
from collections.abc import Container, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property, partial
from threading import local
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softtape.engines.cases import CaseProgram
from softtape.graph import CONSTANT, Graph, same_value
from softtape.singles import Kind, Share, Single, make_single, prefers_numba
from softtape.transforms.batch import (
    WEIGHTS,
    CannotBatchError,
    batch,
    batched_gradient,
    batched_jacobian,
    case_key,
    constants_of,
    repeatable,
    stacked_constants,
)
from softtape.transforms.fuse import fuse
from softtape.transforms.residuals import Needs, residual_form

__all__ = ["Case", "CaseError", "Group"]

Floats: TypeAlias = NDArray[np.float64]

_COMPILED = 100  # as many long scalar cases are run faster one by one, compiled, than batched
_CHUNK = 4096  # lanes of a chunk: a buffer of float64 takes 32 KB, so that a dozen stay in cache

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
        Its graph, pruned.
    weight
        Factor of its loss in 𝓛.
    """

    __slots__ = ("_single", "constants", "graph", "weight")

    def __init__(self, graph: Graph, weight: float) -> None:
        """Keep the graph; programs of its own are made only if it is ever run alone."""
        self.graph = graph
        self.weight = weight
        self.constants = constants_of(graph)
        self._single: Single | None = None

    def share(self, kind: Kind, inputs: Mapping[str, Any], engine: str, *, guarded: bool) -> Share:
        """Return what it contributes when it is run alone."""
        if self._single is None:
            self._single = make_single(self.graph, engine)
        share = self._single.share(kind, inputs, self.weight, guarded=guarded)
        return Share(np.full(1, np.nan), np.zeros(1, bool)) if share is None else share


class Group:
    """All cases of one signature.

    Parameters
    ----------
    graph
        The graph of any of them, pruned.
    engine
        What runs a case alone; see :mod:`softtape.singles`.
    """

    def __init__(self, graph: Graph, engine: str = "auto") -> None:
        """Start without cases."""
        self.members: list[int] = []
        self.cases: list[Case] = []
        self._stale: bool
        self._squares: bool | None
        self._weights: Floats | None
        self._graph = graph
        self._lanes: _Lanes | None = None
        self._batchable = True
        self._engine = engine
        self._least = _COMPILED if prefers_numba(graph, engine) else 1
        self._changed()

    @cached_property
    def _form(self) -> tuple[Graph, Mapping[int, Needs]] | None:
        return residual_form(self._graph)

    @property
    def has_residuals(self) -> bool:
        """Whether the losses of all cases are visibly sums of squares."""
        if self._squares is None:
            self._squares = self._form is not None and self._needs_met(self._form[1])
        return self._squares

    def _needs_met(self, needs: Mapping[int, Needs]) -> bool:
        numbers = [k for k, node in enumerate(self._graph.nodes) if node[0] == CONSTANT]
        place = {number: i for i, number in enumerate(numbers)}
        return all(
            need.met_by([case.constants[place[number]] for case in self.cases])
            for number, need in needs.items()
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
        return _merged(shares)

    def _together(self, kind: Kind, inputs: Mapping[str, Any]) -> Share:
        if self._lanes is None or self._stale:
            if self._lanes is None:
                self._lanes = _Lanes(self._graph)
            self._lanes.fill(self.cases)
            self._stale = False
        return self._lanes.share(kind, inputs, self._form)


def _merged(shares: Sequence[Share]) -> Share:
    """Join the shares of single cases, in their order; those whose guards broke give nothing."""
    merged = Share(np.concatenate([s.losses for s in shares]))
    if any(s.holds is not None for s in shares):
        held = [np.ones(len(s.losses), bool) if s.holds is None else s.holds for s in shares]
        merged.holds = np.concatenate(held)
    gradients = [s.gradient for s in shares if s.gradient]
    if gradients:
        merged.gradient = {k: sum(g[k] for g in gradients) for k in gradients[0]}
    residuals = [s.residuals for s in shares if s.residuals is not None]
    if residuals:
        merged.residuals = np.concatenate(residuals)
    rows = [s.rows for s in shares if s.rows]
    if rows:
        merged.rows = {key: np.concatenate([r[key] for r in rows]) for key in rows[0]}
    return merged


class _Lanes:
    """Compiled programs of a batched graph, and the chunks of cases they run on.

    The number of lanes only grows, and so does the set of constants that vary, so that cases
    which come and go do not cost a compilation each time.
    """

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._numbers = [k for k, node in enumerate(graph.nodes) if node[0] == CONSTANT]
        self._width = 0
        self._varying: dict[int, Any] = {}  # value number -> values, shape (cases, ...)
        self._weights: Floats = np.zeros(0)
        self._programs: dict[Kind, _Compiled] = {}

    def fill(self, cases: Sequence[Case]) -> None:
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
        return _merged(list(_pool().map(partial(_run_in_thread, program, inputs), program.chunks)))

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
