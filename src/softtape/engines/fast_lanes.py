"""Graphs of scalars on many cases at once, instruction by instruction for a block of cases."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softtape.engines.fast import Part, aligned, without_simple_powers
from softtape.engines.scalar import ScalarLayout, scalar_layout
from softtape.engines.threads import in_threads
from softtape.graph import Graph

__all__ = ["LaneProgram", "Outcome"]

Floats: TypeAlias = NDArray[np.float64]
Mask: TypeAlias = NDArray[np.bool_]

_ROOM = 1 << 15  # numbers in all rows of values of a block: 256 KB, so that it stays in cache
_MOST_LANES, _LEAST_LANES = 512, 8
_LONG = 4096  # rows: as many for the least lanes are more than that
_FEW_DIRECTIONS, _MOST_DIRECTIONS = 5, 16  # to carry beside the values: of sums, of each output
_WORK = 1 << 19  # instructions times cases in a chunk: enough to be worth handing to a thread


class Outcome(NamedTuple):
    """What a :class:`LaneProgram` gives.

    Attributes
    ----------
    outputs
        Shape (outputs, cases); not where the gradient was asked for. The next run writes into the
        same memory.
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


class _Frame:
    """What a kernel needs to know, as one record, whose address it is given."""

    __slots__ = ("_fields", "_record", "address")

    def __init__(self, kind: np.dtype[Any], **fields: Any) -> None:
        """Write it; of an array its address, and the array is kept."""
        self._fields, self._record = fields, np.zeros((), kind)
        for name, value in fields.items():
            place = value.ctypes.data if isinstance(value, np.ndarray) else value
            self._record[name] = place
        self.address: int = self._record.ctypes.data


class DualLanes:
    """Instructions of what differs between cases, on as few rows as it needs at a time.

    Parameters
    ----------
    layout, codes
        The graph, and its operations.
    work
        Which of them differ between cases.
    varying
        The constants that differ.
    border
        The nodes, equal in all cases, that are used by what differs.
    pinned
        Those of them whose derivatives count.
    active
        Which nodes have a derivative that is asked for.
    """

    def __init__(
        self,
        layout: ScalarLayout,
        codes: NDArray[Any],
        work: Mask,
        varying: NDArray[Any],
        border: NDArray[Any],
        pinned: NDArray[Any],
        active: Mask,
    ) -> None:
        """List them."""
        from softtape.engines import _dual_lanes, _duals

        self.kernels = _dual_lanes
        known = codes == 0
        known[list(layout.inputs.values())] = False
        self._moving = border[~known[border]]  # of numbers, each gets one row
        self._pinned = np.isin(self._moving, pinned)
        leading = np.concatenate([varying, self._moving])
        edges, kept = (layout.left, layout.right), [layout.outputs, layout.guarded]
        instructions, constants, rows, count = _duals.plan_rows(
            np.where(work, codes, 0), *edges, layout.values, leading, active, np.concatenate(kept)
        )
        self._count: int = count
        self._shared = np.concatenate([np.zeros(self._moving.size), constants])
        ends, guards = np.split(rows.astype(np.uint64), [layout.outputs.size])
        self.fields = {
            **{"instructions": instructions, "length": len(instructions), "rows": count},
            **{"outputs": ends, "guards": guards, "shared": self._shared},
            "border": np.arange(self._shared.size, dtype=np.uint64),
            "border_count": self._shared.size,
        }

    def take(self, part: Part, directions: int) -> Floats:
        """Take the values that are equal in all cases; return their tangents."""
        self._shared[: self._moving.size] = part.values[self._moving]
        seeds = np.zeros((self._shared.size, directions))
        if directions:
            seeds[: self._moving.size][self._pinned] = part.jacobian()
        return seeds

    @property
    def fits(self) -> bool:
        """Whether there are not too many rows."""
        return self._count > 0

    def size_of_rows(self, width: int, directions: int) -> int:
        """Return how many numbers the kernels need."""
        size: int = self.kernels.size_of_rows(self._count, width, directions)
        return size


class LaneProgram:
    """A graph of scalars made ready to run on many cases at once.

    It runs on the cases it was bound to last. What is the same in all of them is computed once.
    The rest is computed for a block of cases, instruction by instruction, while its values stay in
    cache. Sums over the cases are made lane by lane and chunk by chunk, in an order that does not
    depend on the number of threads.

    Parameters
    ----------
    graph
        The graph of any one case; one that :func:`softtape.engines.scalar.suits`.
    varying
        Value numbers of the constants that differ between cases.
    threads
        How many threads may run chunks of cases at the same time.
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
        codes = without_simple_powers(layout, varies)
        lane: Mask = _plans.depends(codes, *edges, varies, False)
        work = lane & (codes > 0)
        used = np.zeros(size, bool)
        for numbers in (layout.left[work], layout.right[work], layout.outputs, layout.guarded):
            used[numbers] = True
        self._border = np.flatnonzero(used & ~lane)
        ordered = np.concatenate([np.array(varying, int), self._border, np.flatnonzero(work)])
        rows = np.zeros(size, np.int64)
        rows[ordered] = np.arange(ordered.size)
        self._outputs = layout.outputs
        inputs = np.zeros(size, bool)
        inputs[list(layout.inputs.values())] = True
        self._active: Mask = _plans.depends(codes, *edges, inputs, True)
        # a cotangent of zero does not stop at an infinite slope: only those that get one are pinned
        fed: Mask = _plans.feeding(*edges, work, self._active, layout.outputs)
        self._pinned = self._border[fed[self._border]]
        self._part = Part(layout, codes, ~lane, self._pinned)
        self._edges = edges
        instructions, self._nodes, self._rows = _plans.list_instructions(
            codes, *edges, work, rows, self._active, ordered.size
        )
        self._instructions = instructions.astype(np.uint64)
        self._ends = rows[layout.outputs].astype(np.uint64)
        self._guards = rows[layout.guarded].astype(np.uint64)
        self._expected = layout.expected
        self._guarded = layout.expected.size > 0
        self._keys = list(layout.inputs)
        self._count = len(self._keys)
        self._duals: DualLanes | None = None
        if self._rows > _LONG:
            lanes = np.array(varying, int), self._border, self._pinned
            duals = DualLanes(layout, codes, work, *lanes, self._active)
            self._duals = duals if duals.fits else None
        self._workspaces: list[dict[str, tuple[Floats, int]]] = []

    def bind(self, columns: Floats, weights: Floats) -> None:
        """Take these cases, instead of those before.

        Parameters
        ----------
        columns
            The constants that differ, shape (varying, cases).
        weights
            One for each case, or a single one for all.
        """
        cases = columns.shape[1]
        self._weights = weights
        self.width = _lanes(self._rows, cases)
        self._workspaces = [{} for _ in range(self._threads)]
        blocks = -(-cases // self.width)
        chunks = max(1, min(blocks, (len(self._instructions) + 4) * cases // _WORK))
        self._chunk = -(-blocks // chunks) * self.width
        self._starts = range(0, cases, self._chunk)
        self._holds = np.ones(cases if self._guards.size else 0, bool)
        self._fields = {
            **{"apply": self._kernels.APPLY, "instructions": self._instructions},
            **{"length": len(self._instructions), "outputs": self._ends},
            **{"guards": self._guards, "expected": self._expected},
            **{"guard_count": self._guards.size, "shared": self._part.values},
            **{"border": self._border.astype(np.uint64), "border_count": self._border.size},
            **{"columns": np.ascontiguousarray(columns), "column_count": len(columns)},
            **{"cases": cases, "holds": self._holds, "width": self.width},
            **{"rows": self._rows + 1},
        }
        for made in ("_with_outputs", "_summed", "_on_few_rows"):
            self.__dict__.pop(made, None)

    def values(self, inputs: Mapping[str, Any]) -> Outcome:
        """Return the outputs of all cases, where the inputs are ``inputs``."""
        if self._duals is not None:
            return self._by_duals(inputs, 0)
        return self._over_chunks(inputs, self._kernels.values_of_chunk)

    def gradient(self, inputs: Mapping[str, Any]) -> Outcome:
        """Return the weighted sum of the first outputs, and its gradient."""
        if self._duals is not None and self._count <= _FEW_DIRECTIONS:
            carried = self._gradient_by_duals(inputs)
            if carried is not None:
                return carried
        part, holds = self._part, None
        part.run(inputs)
        if self._guarded:
            holds = self._holds
            holds.fill(True)
        run, sums, count = self._summed
        if count == 1:
            run(0, 0)
            total, *cotangents = sums[0].tolist()
        else:
            in_threads(min(self._threads, count), count, run)
            total, *cotangents = sums.sum(axis=0).tolist()
        if holds is not None and holds.all():
            holds = None
        return Outcome(_NOTHING, holds, total, part.gradient(cotangents))

    def jacobian(self, inputs: Mapping[str, Any]) -> Outcome:
        """Return all outputs and their derivatives, by tangents or cotangents, as costs less."""
        if self._duals is not None and self._count <= _MOST_DIRECTIONS:
            carried = self._by_duals(inputs, self._count)
            if carried.jacobian is not None and np.isfinite(carried.jacobian).all():
                return carried
        m, cases = self._outputs.size, self._fields["cases"]
        if self._count <= m:
            made, derivatives = self._by_tangents(inputs, cases)
        else:
            steps, ends, seeds, used = self._backward_each
            parts = np.zeros((m, self._pinned.size, cases))

            def run(thread: int, *first: int) -> None:
                c, _ = self._room(thread, "cotangents", used)
                self._kernels.cotangents_of_chunk(*first, (steps, ends, seeds), c, parts)

            made = self._over_chunks(inputs, run, threaded=True)
            derivatives = np.einsum("mpc,pi->mic", parts, self._part.jacobian())
        return Outcome(made.outputs, made.holds, jacobian=derivatives)

    def _by_tangents(self, inputs: Mapping[str, Any], cases: int) -> tuple[Outcome, Floats]:
        steps, slots, used = self._onward
        derivatives = np.zeros((self._outputs.size, self._count, cases))
        self._part.run(inputs)
        seeds = self._part.jacobian()

        def run(thread: int, *first: int) -> None:
            c, _ = self._room(thread, "tangents", used * self._count)
            self._kernels.tangents_of_chunk(*first, (steps, slots), seeds, c, derivatives)

        return self._over_chunks(inputs, run, threaded=True), derivatives

    # ---- on few rows, derivatives beside the values; where they are not finite they are swept

    @cached_property
    def _on_few_rows(self) -> tuple[_Frame, Floats]:
        assert self._duals is not None
        results = np.empty((self._outputs.size, self._fields["cases"]))
        fields = self._fields | self._duals.fields
        fields |= {"output_count": len(results), "results": results}
        return _Frame(self._kernels.FORWARD, **fields), results

    def _seeds(self, inputs: Mapping[str, Any], directions: int) -> Floats:
        """Compute what is equal in all cases; return its tangents."""
        assert self._duals is not None
        self._part.run(inputs)
        return self._duals.take(self._part, directions)

    def _by_duals(self, inputs: Mapping[str, Any], directions: int) -> Outcome:
        assert self._duals is not None
        seeds, kernel = self._seeds(inputs, directions), self._duals.kernels.duals_of_chunk
        _, results = self._on_few_rows
        derivatives = np.zeros((*results.shape[:1], directions, results.shape[1]))
        self._holds.fill(True)
        self._in_chunks(directions, lambda _, *span: kernel(*span, seeds, derivatives))
        holds = None if self._holds.all() else self._holds
        return Outcome(results, holds, jacobian=derivatives if directions else None)

    def _gradient_by_duals(self, inputs: Mapping[str, Any]) -> Outcome | None:
        """Return the gradient, or None where it is not finite."""
        assert self._duals is not None
        seeds, kernel = self._seeds(inputs, self._count), self._duals.kernels.dual_gradient_of_chunk
        weights, sums = self._weights, np.zeros((len(self._starts), 1 + self._count))
        self._holds.fill(True)
        self._in_chunks(self._count, lambda task, *span: kernel(*span, seeds, weights, sums[task]))
        total, *slopes = sums.sum(axis=0).tolist()
        if not np.isfinite(slopes).all():
            return None
        holds = None if self._holds.all() else self._holds
        return Outcome(_NOTHING, holds, total, dict(zip(self._keys, slopes, strict=True)))

    def _in_chunks(self, directions: int, run: Callable[..., None]) -> None:
        """Call ``run`` with a chunk's number, the frame, the span of cases, and the rows."""
        assert self._duals is not None
        frame, cases = self._on_few_rows[0].address, self._fields["cases"]
        size = self._duals.size_of_rows(self.width, directions)

        def chunk(thread: int, task: int) -> None:
            start = self._starts[task]
            stop = min(start + self._chunk, cases)
            v = self._memory(thread, f"duals {directions}", size)[1]
            run(task, frame, start, stop, v, size)

        in_threads(min(self._threads, len(self._starts)), len(self._starts), chunk)

    # ---- plans

    @property
    def _listed(self) -> tuple[Any, ...]:
        return self._instructions, self._nodes, *self._edges, self._active

    @cached_property
    def _backward(self) -> tuple[Any, int, int]:
        seeds = self._outputs[:1]
        steps, starts, used = self._plans.plan_cotangents(*self._listed, seeds, self._pinned)
        return steps.astype(np.uint64), int(starts[0]), used

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

    def _room(self, thread: int, name: str, rows: int) -> tuple[Floats, int]:
        """Return memory of a thread for so many rows, and its address."""
        return self._memory(thread, name, rows * self.width)

    def _memory(self, thread: int, name: str, size: int) -> tuple[Floats, int]:
        """Return memory of a thread, to be used again and again, and its address."""
        workspace = self._workspaces[thread]
        room = workspace.get(name)
        if room is None:
            made = aligned(size)
            room = workspace[name] = made, made.ctypes.data
        return room

    @cached_property
    def _with_outputs(self) -> tuple[_Frame, Floats]:
        results = np.empty((self._outputs.size, self._fields["cases"]))
        fields = self._fields | {"output_count": len(results), "results": results}
        return _Frame(self._kernels.FORWARD, **fields), results

    @cached_property
    def _summed(self) -> tuple[Callable[[int, int], None], Floats, int]:
        """What runs a chunk and writes its sums; these, one row for each chunk; how many."""
        steps, seed, used = self._backward
        forward = _Frame(self._kernels.FORWARD, **self._fields)
        backward = _Frame(
            self._kernels.GRADIENT,
            **{"steps": steps, "length": len(steps), "seed": seed, "pinned": self._pinned.size},
            **{"total": used, "weights": self._weights, "weight_count": self._weights.size},
        )
        plan, rows = backward.address, self._rows + 1
        sums = np.zeros((len(self._starts), 1 + self._pinned.size))
        cases, kernel, room = self._fields["cases"], self._kernels.gradient_of_chunk, self._room
        spans = [
            (forward.address, start, min(start + self._chunk, cases)) for start in self._starts
        ]
        places = [sums[k:].ctypes.data for k in range(len(sums))]

        def run(thread: int, task: int, kept: Any = (forward, backward)) -> None:  # noqa: ARG001
            v, c = room(thread, "values", rows)[1], room(thread, "slots", used + 1)[1]
            kernel(*spans[task], v, plan, c, places[task])

        return run, sums, len(sums)

    def _over_chunks(
        self, inputs: Mapping[str, Any], run: Callable[..., None], *, threaded: bool = False
    ) -> Outcome:
        """Call ``run`` with the address of the frame, a span of cases, and that of the values.

        Where it is ``threaded``, the number of the thread comes first.
        """
        self._part.run(inputs)
        frame, results = self._with_outputs
        self._holds.fill(True)
        cases, starts = self._fields["cases"], self._starts

        def chunk(thread: int, task: int) -> None:
            v = self._room(thread, "values", self._rows + 1)[1]
            span = starts[task], min(starts[task] + self._chunk, cases)
            run(*([thread] if threaded else []), frame.address, *span, v)

        in_threads(min(self._threads, len(starts)), len(starts), chunk)
        return Outcome(results, None if self._holds.all() else self._holds)


_NOTHING: Floats = np.zeros((0, 0))


def _lanes(rows: int, cases: int) -> int:
    """Return how many lanes a block has: as many as keep its values in cache."""
    room = max(_LEAST_LANES, min(_MOST_LANES, 1 << max(0, (_ROOM // rows).bit_length() - 1)))
    return min(room, max(1, -(-cases // _LEAST_LANES)) * _LEAST_LANES)
