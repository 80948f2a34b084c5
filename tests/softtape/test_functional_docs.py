"""The examples of docs/functional.md and of the docstrings are run."""

from __future__ import annotations

import doctest
import importlib
import re
from pathlib import Path

import pytest

import softtape

DOCS = Path(__file__).parent.parent.parent / "docs" / "functional.md"


def failures(test: doctest.DocTest) -> str:
    said: list[str] = []
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
    runner.run(test, out=said.append, clear_globs=False)
    return "".join(said)


@pytest.mark.skipif(not DOCS.exists(), reason="the docs are not part of an installed copy")
def test_the_page() -> None:
    blocks = re.findall(r"```pycon\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) > 6
    names: dict[str, object] = {}
    said = ""
    for block in blocks:
        test = doctest.DocTestParser().get_doctest(block, names, DOCS.name, str(DOCS), 0)
        said += failures(test)
        names = test.globs
    assert said == ""


@pytest.mark.skipif(not DOCS.exists(), reason="the docs are not part of an installed copy")
def test_the_page_lists_all_public_functions() -> None:
    listed = set(re.findall(r"`(\w+)\(", DOCS.read_text(encoding="utf-8").split("## ")[0]))
    functions = {name for name in softtape.__all__ if name[0].islower()}
    assert functions <= listed


@pytest.mark.parametrize("name", ["functional", "custom", "implicit"])
def test_docstrings(name: str) -> None:
    module = importlib.import_module(f"softtape.{name}")
    tests = [t for t in doctest.DocTestFinder().find(module) if t.examples]
    assert tests
    for test in tests:
        assert failures(test) == ""
