"""docs/numpy.md lists every public name of numpy, and says what is so."""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy_calls import FLAT, ROWS, name_of
from numpy_calls.series_classes import MODULES, SERIES

DOCS = Path(__file__).parents[3] / "docs"
GONE = {"trapz", "row_stack", "in1d", "fft.helper", "linalg.linalg"}  # names of older versions
NEW = {  # from numpy 2.5 on
    f"polynomial.{module}.{name}valnd" for module, name in MODULES.items()
}
pytestmark = pytest.mark.skipif(not DOCS.exists(), reason="an installed copy has no docs")


@pytest.fixture(scope="module")
def made() -> ModuleType:
    spec = importlib.util.spec_from_file_location("make_numpy_page", DOCS / "make_numpy_page.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_public_name_is_known(made: ModuleType) -> None:
    unknown = [name for _, name, cells in made.rows() if cells is None]
    assert not unknown, "give it a rule, refuse it, or say why not in docs/make_numpy_page.py"


def test_the_page_is_current(made: ModuleType) -> None:
    text = (DOCS / "numpy.md").read_text(encoding="utf-8")
    again = "run python docs/make_numpy_page.py"
    if f"version {np.__version__})" in text:
        assert text == made.page(), again
    else:  # another version may have fewer names, and calls some of them by other aliases
        names = {line.split("|")[1] for line in text.splitlines() if line.startswith("| `np.")}
        here = {line.split("|")[1] for _, line in made.lines()}
        assert here - names <= {f" `np.{name}` " for name in GONE | NEW}, again


def test_every_function_of_the_page_is_tried(made: ModuleType) -> None:
    """Derivatives, engines and batching are tested by row of the tables: see test_rules.py."""
    tried = {name.partition("-")[0] for name in ROWS} | {name_of(f) for f in FLAT} | set(SERIES)
    for _, name, cells in made.rows():
        if cells is not None and cells[0] in ("differentiated", "constant"):
            same = cells[-1].removeprefix("the same as `np.").removesuffix("`")
            function = functools.reduce(getattr, name.split("."), np)
            assert {name, same, name_of(function) if callable(function) else name} & tried, name


def test_nothing_is_said_twice_or_of_nothing(made: ModuleType) -> None:
    names = {name for _, name, _ in made.rows()}
    for why, listed in made.OTHER.items():
        assert names & set(listed.split()) or GONE.issuperset(listed.split()), why
    assert set(made.NOTES) <= names, set(made.NOTES) - names
