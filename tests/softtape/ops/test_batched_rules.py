"""Every function on many cases at once, against a loop over the cases."""

from __future__ import annotations

import contextlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from numpy_calls import ONE_BY_ONE, ROWS
from numpy_calls.draw import Call
from numpy_calls.series_classes import SERIES_ROWS

from softtape.engines import Program
from softtape.patches import following
from softtape.tape import Tape
from softtape.transforms.batch import (
    WEIGHTS,
    CannotBatchError,
    batch,
    batched_gradient,
    case_key,
)

CASES = 3
once = settings(derandomize=True, deadline=None, max_examples=1, database=None)


def cases_of(call: Call, which: int | None) -> list[list[Any]]:
    """Return the operands of each case: all of them vary, or one alone."""
    return [
        [x * (1.0 + 0.003 * case) if which in (None, i) else x for i, x in enumerate(call.operands)]
        for case in range(CASES)
    ]


def check_batched(call: Call, which: int | None) -> None:
    cases = cases_of(call, which)
    with following(), Tape() as tape, np.errstate(all="ignore"):
        t = tape.input("t", 0.0)
        moved, varying = [], {}
        for i, x in enumerate(call.operands):
            moved.append(np.add(x, t))
            if which in (None, i):
                number = tape.nodes[moved[-1]._index][1][0]
                varying[number] = np.stack([case[i] for case in cases])
        made = call.function(*moved)
        graph = tape.graph([made])
        total = tape.graph([np.sum(np.real(made))])
    inputs = {"t": 0.0, WEIGHTS: np.ones(CASES)} | {case_key(k): v for k, v in varying.items()}

    def run(graph: Any) -> list[Any]:
        with np.errstate(all="ignore"):
            result = Program(graph).run(inputs, guarded=False)
        assert result is not None
        return result

    (got,) = run(batch(graph, varying, CASES))
    with np.errstate(all="ignore"):
        wanted = np.stack([call.function(*case) for case in cases])
    assert np.shape(got) == wanted.shape
    np.testing.assert_allclose(got, wanted, rtol=1e-10, atol=1e-12)

    (_, slope) = run(batched_gradient(batch(total, varying, CASES), ["t"]))

    def sums(h: float) -> Any:
        with np.errstate(all="ignore"):
            return sum(np.sum(np.real(call.function(*(x + h for x in case)))) for case in cases)

    h = 1e-4
    difference = (8 * (sums(h) - sums(-h)) - sums(2 * h) + sums(-2 * h)) / (12 * h)
    np.testing.assert_allclose(slope, difference, rtol=1e-6, atol=1e-6 * np.sum(np.abs(wanted)))


def check_row(name: str, *, alone: bool) -> None:
    @once
    @given((ROWS | SERIES_ROWS)[name])
    def check(call: Call) -> None:
        for which in [None, *(range(len(call.operands)) if alone else ())]:
            if name.partition("-")[0] not in ONE_BY_ONE:
                check_batched(call, which)
                continue
            with contextlib.suppress(CannotBatchError):  # then one by one
                check_batched(call, which)

    check()


@pytest.mark.parametrize("name", [n for n in sorted(ROWS) if "-" not in n or n.endswith("-0")])
def test_many_cases_at_once_are_as_a_loop_over_them(name: str) -> None:
    check_row(name, alone=False)


@pytest.mark.many
@pytest.mark.parametrize("name", [*sorted(ROWS), *SERIES_ROWS])
def test_every_row_and_each_operand_alone(name: str) -> None:
    check_row(name, alone=True)


def batches(name: str) -> bool:
    made = []

    @once
    @given(ROWS[name])
    def check(call: Call) -> None:
        try:
            check_batched(call, None)
            made.append(True)
        except CannotBatchError:
            made.append(False)

    check()
    return all(made)


@pytest.mark.parametrize("name", sorted(ONE_BY_ONE))
def test_what_is_said_to_run_one_by_one_does(name: str) -> None:
    assert not all(batches(row) for row in ROWS if row.partition("-")[0] == name)
