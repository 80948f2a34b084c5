"""Projects in a temporary folder, to run pytest in."""

import importlib
import json
import os
import pkgutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from textwrap import dedent

import pytest
from hypothesis import settings

import pytest_soft

# pytester purges what a run inside this one imports, of which the package would keep another copy
for module in pkgutil.walk_packages(pytest_soft.__path__, "pytest_soft."):
    with suppress(ImportError):  # of an extra
        importlib.import_module(module.name)

SINE = """
    import numpy as np
    from softtape import Param

    omega = Param(1.0)

    def f(x):
        return np.sin(omega * x)
"""

TEST_SINE = """
    import math
    import pytest
    from pytest_soft import soft_test
    from sine import f

    POINTS = [(i / 10, math.sin(1.5 * i / 10)) for i in range(21)]

    @soft_test
    @pytest.mark.parametrize("x, y", POINTS)
    def test_f(x, y):
        return (f(x) - y) ** 2
"""


# hypothesis' plugin imports the whole of it at the end of every run
_LEAN = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")


class Project:
    """A folder with a program and its tests.

    Runs are in this process where nothing else is said, without other plugins, so that one costs
    some 50 ms. The modules of such a run stay alive until the end of the test, and so do their
    Params: a test that deletes a store and fits again needs processes of their own.
    """

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.path = pytester.path

    def write(self, name: str, text: str) -> Path:
        """Write a file, its text dedented."""
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
        return path

    def check(self, *args: str) -> pytest.RunResult:
        """Run pytest."""
        return self.pytester.runpytest_inprocess(*_LEAN, "-p", "no:xdist", *args)

    def fit(self, *args: str) -> pytest.RunResult:
        """Run ``pytest --soft-fit``."""
        return self.check("--soft-fit", *args)

    def apart(self, *args: str) -> pytest.RunResult:
        """Run pytest in a process of its own."""
        return self.pytester.runpytest_subprocess(*_LEAN, *args)

    def python(self, code: str) -> pytest.RunResult:
        """Run Python in a process of its own."""
        return self.pytester.run(sys.executable, "-c", dedent(code))

    def store(self, module: str = "sine") -> Path:
        """Return the path of the store of a module."""
        return self.path / f"{module}.soft.json"

    def entries(self, module: str = "sine") -> dict:
        """Return what is stored, by name."""
        return json.loads(self.store(module).read_text(encoding="utf-8"))["params"]

    def value(self, name: str = "omega", module: str = "sine"):
        """Return one stored value."""
        return self.entries(module)[name]["value"]

    def files(self) -> dict[str, bytes]:
        """Return the bytes of every store, by path."""
        return {
            str(p.relative_to(self.path)): p.read_bytes() for p in self.path.rglob("*.soft.json*")
        }


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Iterator[Project]:
    """Return an empty project.

    Without bytecode files: a module rewritten within a second would not be seen. Without the
    warning filters and the draws of this run, which a run inside it would inherit.
    """
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    monkeypatch.setenv("COLUMNS", "80")
    for name in [n for n in os.environ if n.startswith("PYTEST_") and n != "PYTEST_DEBUG_TEMPROOT"]:
        if name not in ("PYTEST_CURRENT_TEST", "PYTEST_VERSION"):
            monkeypatch.delenv(name)
    settings.load_profile("default")
    yield Project(pytester)
    settings.load_profile("certain")


@pytest.fixture
def sine(project: Project) -> Project:
    """Return the project of the README: one blank, 21 points of sin(1.5 x)."""
    project.write("sine.py", SINE)
    project.write("test_sine.py", TEST_SINE)
    return project
