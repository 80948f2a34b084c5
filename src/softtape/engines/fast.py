"""The engine of the extra ``fast``: programs of scalars, run by a compiled interpreter.

An ODE integrated by a Python loop is tens of thousands of scalar operations, each of which costs
numpy a call. Here the graph becomes a list of instructions, and one kernel compiled by numba walks
it (see :mod:`softtape.engines._interpreter`). Derivatives are swept along the same list, so no
graph of derivatives is built: that would take longer than a whole fit. :class:`ScalarProgram` runs
one case, :class:`LaneProgram` many, instruction by instruction for a block of them.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, cached_property
from threading import local
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softtape.engines.scalar import CODES, ScalarLayout, scalar_layout
from softtape.graph import Graph

__all__ = ["LaneProgram", "Outcome", "ScalarProgram", "available"]

Floats: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]

_ROOM = 1 << 15  # numbers in all rows of values of a block: 256 KB, so that it stays in cache
_MOST_LANES, _LEAST_LANES = 512, 8
_WORK = 1 << 19  # instructions times cases in a chunk: enough to be worth handing to a thread


@cache
def available() -> bool:
    """Whether numba is installed; it is imported only when a program is made."""
    return importlib.util.find_spec("numba") is not None


_SIMPLE_POWERS = {2.0: "square", 1.0: "positive", 0.5: "sqrt", -1.0: "reciprocal"}


def _without_simple_powers(layout: ScalarLayout, varies: Mask) -> NDArray[np.int16]:
    """Return the codes; powers whose exponent is simple, and the same in all cases, replaced."""
    codes, right = layout.codes.copy(), layout.right
    fixed = (codes == 0) & ~varies
    fixed[list(layout.inputs.values())] = False
    powers = (codes == CODES["power"]) | (codes == CODES["float_power"])
    powers &= fixed[right]
    for exponent, name in _SIMPLE_POWERS.items():
        codes[powers & (layout.values[right] == exponent)] = CODES[name]
    return codes


class _Part:
    """The nodes of a graph that are the same in all cases: numbers.

    Parameters
    ----------
    layout
        The graph.
    codes
        Its operations.
    chosen
        Which nodes belong to the part.
    wanted
        Numbers of the nodes whose derivatives may be asked for.
    """

    def __init__(
        self, layout: ScalarLayout, codes: NDArray[np.int16], chosen: Mask, wanted: NDArray[Any]
    ) -> None:
        from softtape.engines import _interpreter, _plans

        self._kernels, self._plans = _interpreter, _plans
        self._inputs = list(layout.inputs)
        self._numbers = np.array(list(layout.inputs.values()), np.int64)
        self._edges = layout.left, layout.right
        self._wanted = wanted
        sources = np.zeros(codes.size, bool)
        sources[self._numbers] = True
        self.active: Mask = _plans.depends(codes, *self._edges, sources, True)
        rows = np.arange(codes.size)
        self._instructions, self._nodes, size = _plans.list_instructions(
            codes, *self._edges, chosen, rows, self.active, codes.size
        )
        self.values = np.zeros(size + 1)
        self.values[: codes.size] = layout.values

    def run(self, inputs: Mapping[str, Any]) -> None:
        """Compute the values."""
        values = self.values
        for key, number in zip(self._inputs, self._numbers, strict=True):
            values[number] = inputs[key]
        self._kernels.run_single(self._kernels.APPLY, self._instructions, values)

    def _plan(self, seeds: NDArray[Any]) -> tuple[Any, Any, int]:
        graph = (self._instructions, self._nodes, *self._edges, self.active)
        made: tuple[Any, Any, int] = self._plans.plan_cotangents(*graph, seeds, self._numbers)
        return made

    @cached_property
    def _cotangents(self) -> tuple[Any, Any, int]:
        return self._plan(self._wanted)

    @cached_property
    def _tangents(self) -> tuple[Any, Any, int]:
        graph = (self._instructions, self._nodes, *self._edges, self.active)
        made: tuple[Any, Any, int] = self._plans.plan_tangents(*graph, self._numbers, self._wanted)
        return made

    @cached_property
    def _each(self) -> list[tuple[Any, Any, int]]:
        return [self._plan(self._wanted[k : k + 1]) for k in range(self._wanted.size)]

    def gradient(self, cotangents: Floats) -> dict[str, float]:
        """Return the cotangents of the inputs that those of the wanted nodes give."""
        return dict(zip(self._inputs, self._pull(self._cotangents, cotangents), strict=True))

    def _pull(self, plan: tuple[Any, Any, int], cotangents: Floats) -> Floats:
        steps, starts, used = plan
        c = np.zeros(used)
        c[starts] += cotangents
        self._kernels.sweep_single(steps, self.values, c, 1)
        return c[: self._numbers.size]

    def jacobian(self) -> Floats:
        """Return the derivatives of the wanted nodes by the inputs, shape (wanted, inputs)."""
        n, m = self._numbers.size, self._wanted.size
        if m < n:
            one = np.ones(1)
            return np.array([self._pull(plan, one) for plan in self._each]).reshape(m, n)
        steps, slots, used = self._tangents
        c: Floats = np.zeros((used + 1, n))  # slot -1 is for what does not move
        c[:n] = np.eye(n)
        if n:
            self._kernels.sweep_single(steps, self.values, c.ravel(), n)
        moved: Floats = c[slots]
        return moved


class ScalarProgram:
    """A graph of scalars made ready to run many times.

    Parameters
    ----------
    graph
        What to run; one that :func:`softtape.engines.scalar.suits`.
    """

    def __init__(self, graph: Graph) -> None:
        """List the instructions."""
        layout = scalar_layout(graph)
        everything = np.ones(layout.codes.size, bool)
        self._outputs = layout.outputs
        self._guarded, self._expected = layout.guarded, layout.expected
        codes = _without_simple_powers(layout, ~everything)
        self._part = _Part(layout, codes, everything, layout.outputs)

    def value(self, inputs: Mapping[str, Any], *, guarded: bool = True) -> Floats | None:
        """Return the outputs, or None where a guard does not hold."""
        self._part.run(inputs)
        values = self._part.values
        if guarded and not np.array_equal(values[self._guarded], self._expected, equal_nan=True):
            return None
        return values[self._outputs]

    def gradient(self) -> dict[str, float]:
        """Return the derivative of the first output by each input, where `value` ran last."""
        return self._part.gradient(np.eye(1, self._outputs.size)[0])

    def jacobian(self) -> Floats:
        """Return the derivatives of the outputs by the inputs, where `value` ran last.

        The shape is (outputs, inputs).
        """
        return self._part.jacobian()


@dataclass(frozen=True)
class Outcome:
    """What a :class:`LaneProgram` gives.

    Attributes
    ----------
    outputs
        Shape (outputs, cases). The next run writes into the same memory.
    holds
        Whether each case's guards hold; None where all do.
    total
        Sum of the weighted first outputs, where the gradient was asked for.
    gradient
        Its derivative by each input.
    jacobian
        Derivatives of the outputs by the inputs, shape (outputs, inputs, cases), where asked for.
    """

    outputs: Floats
    holds: Mask | None
    total: float | None = None
    gradient: Mapping[str, float] | None = None
    jacobian: Floats | None = None


class LaneProgram:
    """A graph of scalars made ready to run on many cases at once.

    What is the same in all cases is computed once. The rest is computed for a block of cases,
    instruction by instruction, while its values stay in cache. Sums over the cases are made lane
    by lane and chunk by chunk, in an order that does not depend on the number of threads.

    Parameters
    ----------
    graph
        The graph of any one case; one that :func:`softtape.engines.scalar.suits`.
    varying
        Value numbers of the constants that differ between cases.
    threads
        How many threads may run chunks of cases at the same time: one, or several.
    """

    def __init__(self, graph: Graph, varying: Sequence[int], threads: int = 1) -> None:
        """List the instructions, and give every node that differs between cases a row."""
        self._threads = threads
        from softtape.engines import _interpreter, _plans

        self._kernels, self._plans = _interpreter, _plans
        layout = scalar_layout(graph)
        size, edges = layout.codes.size, (layout.left, layout.right)
        varies = np.zeros(size, bool)
        varies[list(varying)] = True
        codes = _without_simple_powers(layout, varies)
        lane: Mask = _plans.depends(codes, *edges, varies, False)
        work = lane & (codes > 0)
        used = np.zeros(size, bool)
        for numbers in (layout.left[work], layout.right[work], layout.outputs, layout.guarded):
            used[numbers] = True
        self._border = np.flatnonzero(used & ~lane)
        self._columns = len(varying)
        self._filled = slice(self._columns, self._columns + self._border.size)
        ordered = np.concatenate([np.array(varying, int), self._border, np.flatnonzero(work)])
        rows = np.zeros(size, np.int64)
        rows[ordered] = np.arange(ordered.size)
        self._outputs = layout.outputs
        inputs = np.zeros(size, bool)
        inputs[list(layout.inputs.values())] = True
        self._active: Mask = _plans.depends(codes, *edges, inputs, True)
        self._pinned = self._border[self._active[self._border]]
        self._part = _Part(layout, codes, ~lane, self._pinned)
        self._edges = edges
        instructions, self._nodes, self._rows = _plans.list_instructions(
            codes, *edges, work, rows, self._active, ordered.size
        )
        self._forward = (
            instructions.astype(np.uint64),
            rows[layout.outputs].astype(np.uint64),
            rows[layout.guarded].astype(np.uint64),
            layout.expected,
        )
        self._count = len(layout.inputs)
        self.width = _lanes(self._rows)
        blocks = -(-_WORK // ((len(instructions) + 4) * self.width))
        self._chunk = blocks * self.width
        self._local = local()
        self._results = np.empty((self._outputs.size, 0))

    def values(self, inputs: Mapping[str, Any], columns: Floats) -> Outcome:
        """Return the outputs of all cases.

        Parameters
        ----------
        inputs
            Value of each input.
        columns
            The constants that differ, shape (varying, cases).
        """
        run = self._kernels.values_of_chunk
        return self._over_chunks(inputs, columns, lambda *first: run(*first))

    def gradient(self, inputs: Mapping[str, Any], columns: Floats, weights: Floats) -> Outcome:
        """Return the first outputs, their weighted sum and its gradient.

        ``weights`` has one for each case, or a single one for all.
        """
        steps, starts, used = self._backward
        plan = steps, np.uint64(starts[0])
        chunks = -(-columns.shape[1] // self._chunk)
        sums = np.zeros((chunks, 1 + self._pinned.size))

        def run(*first: Any) -> None:
            c = self._slots("gradient", used * self.width)
            place = sums[int(first[3]) // self._chunk]
            self._kernels.gradient_of_chunk(*first, plan, weights, c, place)

        made = self._over_chunks(inputs, columns, run)
        total, *cotangents = sums.sum(axis=0)
        gradient = self._part.gradient(np.array(cotangents))
        return Outcome(made.outputs, made.holds, float(total), gradient)

    def jacobian(self, inputs: Mapping[str, Any], columns: Floats) -> Outcome:
        """Return all outputs and their derivatives, by tangents or cotangents, as costs less."""
        cases, m = columns.shape[1], self._outputs.size
        if self._count <= m:
            made, derivatives = self._by_tangents(inputs, columns)
        else:
            steps, ends, seeds, used = self._backward_each
            parts = np.zeros((m, self._pinned.size, cases))

            def run(*first: Any) -> None:
                c = self._slots("cotangents", used * self.width)
                self._kernels.cotangents_of_chunk(*first, (steps, ends, seeds), c, parts)

            made = self._over_chunks(inputs, columns, run)
            derivatives = np.einsum("mpc,pi->mic", parts, self._part.jacobian())
        return Outcome(made.outputs, made.holds, jacobian=derivatives)

    def _by_tangents(self, inputs: Mapping[str, Any], columns: Floats) -> tuple[Outcome, Floats]:
        steps, slots, used = self._onward
        derivatives = np.zeros((self._outputs.size, self._count, columns.shape[1]))
        self._part.run(inputs)
        seeds = self._part.jacobian()

        def run(*first: Any) -> None:
            c = self._slots("tangents", used * self.width * self._count)
            self._kernels.tangents_of_chunk(*first, (steps, slots), seeds, c, derivatives)

        return self._over_chunks(inputs, columns, run), derivatives

    # ---- plans

    @property
    def _listed(self) -> tuple[Any, ...]:
        return self._forward[0], self._nodes, *self._edges, self._active

    @cached_property
    def _backward(self) -> tuple[Any, Any, int]:
        seeds = self._outputs[:1]
        steps, starts, used = self._plans.plan_cotangents(*self._listed, seeds, self._pinned)
        return steps.astype(np.uint64), starts, used

    @cached_property
    def _backward_each(self) -> tuple[Any, Any, Any, int]:
        plans = [
            self._plans.plan_cotangents(*self._listed, self._outputs[k : k + 1], self._pinned)
            for k in range(self._outputs.size)
        ]
        steps = np.concatenate([steps for steps, _, _ in plans]).astype(np.uint64)
        ends = np.cumsum([len(steps) for steps, _, _ in plans])
        seeds = np.array([starts[0] for _, starts, _ in plans], np.uint64)
        return steps, ends, seeds, max(used for _, _, used in plans)

    @cached_property
    def _onward(self) -> tuple[Any, Any, int]:
        plan = self._plans.plan_tangents
        steps, slots, used = plan(*self._listed, self._pinned, self._outputs)
        return steps.astype(np.uint64), slots, used

    # ---- chunks

    def _slots(self, name: str, size: int) -> Floats:
        """Return memory of this thread, to be used again and again."""
        slots: Floats | None = getattr(self._local, name, None)
        if slots is None:
            slots = _aligned(size)
            setattr(self._local, name, slots)
        return slots

    def _over_chunks(
        self, inputs: Mapping[str, Any], columns: Floats, run: Callable[..., None]
    ) -> Outcome:
        self._part.run(inputs)
        shared = self._part.values[self._border][:, None]
        cases = columns.shape[1]
        if self._results.shape[1] != cases:
            self._results = np.empty((self._outputs.size, cases))
        outputs = self._results
        holds = np.ones(cases if self._forward[3].size else 0, bool)
        width = np.uint64(self.width)

        def chunk(start: int) -> None:
            v = self._slots("values", (self._rows + 1) * self.width)
            v.reshape(-1, self.width)[self._filled] = shared
            span = np.uint64(start), np.uint64(min(start + self._chunk, cases))
            run(self._kernels.APPLY, self._forward, (columns, outputs, holds), *span, v, width)

        starts = range(0, cases, self._chunk)
        alone = len(starts) == 1 or self._threads == 1
        list((map if alone else _pool(self._threads).map)(chunk, starts))
        return Outcome(outputs, holds if holds.size else None)


def _aligned(size: int) -> Floats:
    """Return zeros that start where a cache line does, so that no vector straddles two."""
    zeros = np.zeros(size + 7)
    first = -zeros.ctypes.data % 64 // 8
    return zeros[first : first + size]


def _lanes(rows: int) -> int:
    """Return how many lanes a block has: as many as keep its values in cache."""
    return max(_LEAST_LANES, min(_MOST_LANES, 1 << max(0, (_ROOM // rows).bit_length() - 1)))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    """Return the threads that run chunks; the kernels release the GIL."""
    return ThreadPoolExecutor(threads, thread_name_prefix="softtape")
