"""docs/kinks.md: every line of its table is run, and compared with the peers on demand."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softtape import grad

PAGE = Path(__file__).parents[3] / "docs" / "kinks.md"
pytestmark = pytest.mark.skipif(not PAGE.exists(), reason="an installed copy has no docs")
NUMBERS = {"inf": np.inf, "nan": np.nan}


def rows() -> dict[str, list[str]]:
    if not PAGE.exists():
        return {}
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line[:2] == "| "]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]
    return {row[0]: [cell.strip("`") for cell in row[1:]] for row in cells}


ROWS = rows()


def numbers(cell: str) -> Any:
    return np.array(eval(cell, NUMBERS))


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("case", ROWS)
def test_the_slope_is_what_the_page_says(case: str) -> None:
    program, at, ours, *_ = ROWS[case]
    got = grad(eval(f"lambda x: {program}", {"np": np}))(numbers(at))
    np.testing.assert_allclose(got, numbers(ours), rtol=1e-12)


@pytest.mark.many
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(
    ("peer", "column"), [("jax.numpy", 3), ("autograd.numpy", 4)], ids=["jax", "autograd"]
)
@pytest.mark.parametrize("case", ROWS)
def test_the_peers_answer_what_the_page_says(case: str, peer: str, column: int) -> None:
    program, at, *_ = ROWS[case]
    if not ROWS[case][column]:
        return  # the program is not one of theirs
    library = pytest.importorskip(peer.partition(".")[0])
    if library.__name__ == "jax":
        library.config.update("jax_enable_x64", True)
    np_of_peer = importlib.import_module(peer)
    f = eval(f"lambda x: {program}", {"np": np_of_peer})
    got = library.grad(f)(np_of_peer.array(numbers(at)))
    np.testing.assert_allclose(got, numbers(ROWS[case][column]), rtol=1e-12)


def test_the_examples_of_the_page() -> None:
    failed, tried = doctest.testfile(
        str(PAGE), module_relative=False, optionflags=doctest.ELLIPSIS, verbose=False
    )
    assert tried > 8
    assert not failed
