"""Who may import whom, and how large a module may grow."""

from __future__ import annotations

import ast
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CORE = ROOT / "src" / "softtape"
PLUGIN = ROOT / "pytest_soft"

# Lowest first: a module may import what stands above it in this list, and its own family.
# optimize and statistics stand apart: they look at any function, and know no graph.
ORDER = [
    "errors",
    "reading",
    "location",
    "graph",
    "ops",
    "columns",
    "refusals",
    "libraries",
    "_store_format",
    "store",
    "fingerprint",
    "operands",
    "_recorder",
    "native",
    "operators",
    "traced",
    "memory",
    "arrays",
    "tape",
    "acting",
    "coordinates",
    "priors",
    "param",
    "tied",
    "distributions",
    "mathematics",
    "patches",
    "losses",
    "transforms",
    "recording",
    "containers",
    "functional",
    "checking",
    "custom",
    "implicit",
    "rematerialize",
    "interop",
    "engines",
    "choice",
    "singles",
    "chunks",
    "lanes",
    "groups",
    "terms",
    "curvature",
    "components",
    "optimize",
    "statistics",
    "objective",
    "points",
]
APART = {
    "components": {"components"},
    "optimize": {"errors", "optimize"},
    "statistics": {"errors", "optimize", "statistics"},
    "_store_format": {"errors", "_store_format"},
    "store": {"errors", "_store_format", "store"},
    "acting": {"acting"},
    "coordinates": {"coordinates"},
}

# the compiled interpreter's choice among operations: two lines for each of them
TABLES = {"apply"}


def name_of(file: Path) -> str:
    base = CORE.parent if file.is_relative_to(CORE) else ROOT
    parts = file.relative_to(base).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def files(package: Path) -> list[Path]:
    return sorted(package.rglob("*.py"))


MODULES = {name_of(f): f for f in [*files(CORE), *files(PLUGIN)]}


@cache
def imports(file: Path) -> frozenset[str]:
    """Return every module that ``file`` imports, lazily or for its types alone as well."""
    return frozenset(_imports(file))


def _imports(file: Path) -> Iterator[str]:
    name = name_of(file)
    package = name if file.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            for alias in node.names:
                inner = f"{base}.{alias.name}"
                yield inner if inner in MODULES else base


def family(name: str) -> str:
    """Return ``ops`` for ``softtape.ops.linalg``."""
    parts = name.split(".")
    return parts[1] if len(parts) > 1 else ""


def test_imports_form_no_cycle() -> None:
    # a package's __init__ that gathers its modules is above them, not beside them
    graph = {
        name: {
            other
            for other in imports(file)
            if other in MODULES and other != name and not name.startswith(f"{other}.")
        }
        for name, file in MODULES.items()
    }
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as cycle:
        pytest.fail(" -> ".join(cycle.args[1]))


def test_every_module_of_the_core_has_its_place() -> None:
    here = {family(name_of(f)) for f in files(CORE)} - {""}
    assert here <= set(ORDER), here - set(ORDER)


@pytest.mark.parametrize("file", files(CORE), ids=name_of)
def test_the_core_imports_downward(file: Path) -> None:
    mine = family(name_of(file))
    if not mine:
        return  # the package itself gathers public names from everywhere
    allowed = APART.get(mine) or set(ORDER[: ORDER.index(mine) + 1])
    used = {family(other) for other in imports(file) if other.split(".")[0] == "softtape"}
    assert used - {""} <= allowed
    assert "" not in used, "import from the module that has it, not from the package"


@pytest.mark.parametrize("file", files(CORE), ids=name_of)
def test_the_core_knows_the_standard_library_and_numpy_only(file: Path) -> None:
    known = {*sys.stdlib_module_names, "numpy", "softtape"}
    if family(name_of(file)) == "engines":
        known |= {"numba", "llvmlite"}  # the extra «fast», imported where it is used
    if family(name_of(file)) == "interop":
        known |= {"torch", "jax"}  # extras of their own
    used = {other.split(".")[0] for other in imports(file)}
    assert used <= known, used - known


def test_the_core_can_be_imported_without_pytest() -> None:
    core = [name for name in MODULES if name.split(".")[0] == "softtape"]
    script = f"""
        import sys

        class Blocker:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in ("pytest", "_pytest", "pluggy", "pytest_soft"):
                    raise ImportError(f"{{name}} is blocked")

        sys.path.insert(0, {str(CORE.parent)!r})
        sys.meta_path.insert(0, Blocker())
        for name in {core!r}:
            try:
                __import__(name)
            except ModuleNotFoundError as error:
                if error.name not in ("numba", "llvmlite"):
                    raise
        import softtape
        assert softtape.__file__.startswith({str(CORE)!r})
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def code_lines(node: ast.AST, text: str) -> int:
    """Count lines that hold code: neither blank, nor comment, nor docstring."""
    lines = text.splitlines()
    first, last = getattr(node, "lineno", 1), getattr(node, "end_lineno", len(lines))
    written = set()
    for number in range(first, last + 1):
        line = lines[number - 1].strip()
        if line and not line.startswith("#"):
            written.add(number)
    for inner in ast.walk(node):
        if isinstance(inner, ast.Expr) and isinstance(inner.value, ast.Constant):
            written -= set(range(inner.lineno, (inner.end_lineno or inner.lineno) + 1))
    return len(written)


@pytest.mark.parametrize("file", MODULES.values(), ids=name_of)
def test_modules_and_functions_stay_small(file: Path) -> None:
    text = file.read_text()
    tree = ast.parse(text)
    assert code_lines(tree, text) <= 450
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert code_lines(node, text) <= 60 or node.name in TABLES, node.name
