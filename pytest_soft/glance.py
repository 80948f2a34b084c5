"""What a check sees of changes since the fit without tracing anything."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pytest_soft.collect import function_of
from pytest_soft.run import RUN, Run
from pytest_soft.values import of_project
from softtape import Param, SoftError, store
from softtape.store import Record

__all__ = ["declaration", "declared_otherwise", "glance", "whole_files"]


def glance(session: pytest.Session) -> dict[str, Any] | None:
    """Return what is seen to have changed, as reports have it; None where nothing is.

    Only the declarations of Params, and tests that are gone: whatever takes no tracing.
    """
    run = session.config.stash[RUN]
    records: dict[str, Record] = {}
    changes = []
    for param in of_project(session.config):
        if param.file is None or param.frozen:
            continue
        try:
            if param.file not in records:
                records[param.file] = store.load_record(store.path_for(param.file))
            record, name = records[param.file], param.name
        except SoftError:  # a check of its tests says it
            continue
        how = declared_otherwise(param, record)
        if how:
            changes.append(_change(name, how, name))
    tests = {name: line for record in records.values() for name, line in record.tests.items()}
    changes += _missing(tests, run, session.config.rootpath, whole_files(session))
    if not changes:
        return None
    return {
        "known": True,
        "current": False,
        "functions": len(tests),
        "tests": len(run.tests),
        "changes": changes,
    }


def _missing(
    then: Mapping[str, Mapping[str, Any]], run: Run, root: Path, whole: set[str]
) -> list[dict[str, Any]]:
    now = Counter(map(function_of, run.options))
    found = []
    for name, line in sorted(then.items()):
        file = name.partition("::")[0]
        before = len(str(line.get("cases", ""))) // store.CASE_WIDTH
        if not now[name] and (file in whole or not (root / file).exists()):
            found.append(_change(name, "was part of the last fit, and is gone"))
        elif file in whole and now[name] < before:
            found.append(_change(name, f"has {now[name]} cases, and had {before} at the last fit"))
    return found


def _change(what: str, how: str, *params: str) -> dict[str, Any]:
    return {"what": what, "how": how, "params": [*params], "stale": True}


def whole_files(session: pytest.Session) -> set[str]:
    """Return the test files of which every test was selected."""
    if session.config.getoption("lf", False):
        return set()  # it leaves tests out of files without a word to pytest_deselected
    run = session.config.stash[RUN]
    files = {item.nodeid.partition("::")[0] for item in session.items}
    named = [Path(arg.partition("::")[0]).name for arg in session.config.args if "::" in arg]
    return {f for f in files - run.deselected if Path(f).name not in named}


def declared_otherwise(param: Param, record: Record) -> str:
    """Say how the declaration of a Param differs from that at the fit; empty where it does not."""
    now, then = declaration(param), record.declared.get(param.name)
    if then is None or now == then or not record.tests:
        return ""
    plain = "nothing but its start"
    return f"is declared with {now or plain}, at the last fit with {then or plain}"


def declaration(param: Param) -> str:
    """Return in words how a Param is declared beyond its start; empty where there is nothing."""
    lower, upper = (_shown(bound) for bound in param.bounds)
    positive = repr(float(np.finfo(param.dtype).tiny))  # the lower bound of a log scale
    implied = (lower, upper) in (("-inf", "inf"), (positive, "inf"))
    parts = [] if implied or param.constraint else [f"bounds {lower} to {upper}"]
    parts += [param.constraint] if param.constraint is not None else []
    parts += [f"{param.scale} scale"] if param.scale != "linear" else []
    parts += [f"prior {param.prior}"] if param.prior is not None else []
    return ", ".join(parts)


def _shown(bound: Any) -> str:
    array = np.asarray(bound, float)
    if array.size and (array == array.flat[0]).all():
        return repr(float(array.flat[0]))
    return str(store.describe_start(array))
