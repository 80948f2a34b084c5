"""``--soft-compare``: what changed since another run, from the two runs as data."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest

from pytest_soft.report.data import FORMAT, VERSION

__all__ = ["compare", "read_report"]

_ROUNDING = 1e-9  # relative difference of two losses that means nothing,
_NOTHING = 1e-14  # and an absolute one: what rounding leaves of a loss that is 0

_WAY_OUT = "Write one with: pytest --soft-json="


def read_report(path: Path) -> dict[str, Any]:
    """Return the report of another run.

    Raises
    ------
    pytest.UsageError
        There is none, or none that this version understands; the message names the file.
    """
    said = f"--soft-compare: {path}"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise pytest.UsageError(f"{said} does not exist. {_WAY_OUT}{path}") from None
    except (OSError, ValueError) as error:
        raise pytest.UsageError(f"{said} cannot be read as JSON: {error}. {_WAY_OUT}FILE") from None
    if not isinstance(found, dict) or found.get("format") != FORMAT:
        raise pytest.UsageError(f"{said} is no report of pytest-soft. {_WAY_OUT}FILE")
    if found.get("version") != VERSION:
        raise pytest.UsageError(
            f"{said} is a report of version {found.get('version')}, and this pytest-soft knows "
            f"version {VERSION}. {_WAY_OUT}FILE in that run, with this pytest-soft"
        )
    try:
        compare(found, found)
    except (KeyError, TypeError, AttributeError) as error:
        raise pytest.UsageError(
            f"{said} lacks a part that reports have ({error}). {_WAY_OUT}FILE anew"
        ) from None
    return found


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return what changed from one run to the other, as ``report.schema.json`` has it.

    Parameters
    ----------
    before, after
        The runs, as :func:`pytest_soft.report.data.run_data` returns them.

    Returns
    -------
    dict
        ``total``: both total losses. ``params``: the Params that moved, in units of their
        standard errors before, or else after; the farthest first. ``tests``: those whose weighted
        loss changed, the worst change first. Names of what only one of the runs has; how many
        are the same.
    """
    params, errors = _params(before), [_errors(run) for run in (before, after)]
    now = _params(after)
    moved = [
        _move(key, params[key], now[key], errors)
        for key in params
        if key in now and params[key] != now[key]
    ]
    tests, ran = _losses(before), _losses(after)
    changed = [
        {"id": name, "before": tests[name], "after": ran[name], "change": _change(tests, ran, name)}
        for name in tests
        if name in ran and not _alike(tests[name], ran[name])
    ]
    return {
        "total": {"before": before["verdict"]["total"], "after": after["verdict"]["total"]},
        "params": sorted(moved, key=_by_move),
        "params_same": len(params.keys() & now.keys()) - len(moved),
        "params_added": _names(now.keys() - params.keys()),
        "params_removed": _names(params.keys() - now.keys()),
        "arrays": sum(bool(param["shape"]) for param in after["params"]),
        "tests": sorted(changed, key=_by_change),
        "tests_same": len(tests.keys() & ran.keys()) - len(changed),
        "tests_added": sorted(ran.keys() - tests.keys()),
        "tests_removed": sorted(tests.keys() - ran.keys()),
    }


def _params(run: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    """Return the numbers that a run was checked with, by file and name."""
    return {(p["file"], p["name"]): p["value"] for p in run["params"] if p["value"] is not None}


def _errors(run: Mapping[str, Any]) -> dict[tuple[str, str], float]:
    """Return the standard errors that a run found; a check finds none."""
    params = (run["fit"] or {}).get("params", ())
    return {(p["file"], p["name"]): p["error"] for p in params if p["error"]}


def _move(
    key: tuple[str, str], old: float, new: float, errors: Iterable[Mapping[tuple[str, str], float]]
) -> dict[str, Any]:
    known = [(e[key], of) for e, of in zip(errors, ("before", "after"), strict=True) if key in e]
    error, of = known[0] if known else (None, None)
    return {
        "file": key[0],
        "name": key[1],
        "before": old,
        "after": new,
        "error": error,
        "error_of": of,
        "moved": None if error is None else (new - old) / error,
    }


def _by_move(param: Mapping[str, Any]) -> tuple[bool, float, str, str]:
    """Order by distance; what has no standard error comes last, by its relative change."""
    old, new, moved = param["before"], param["after"], param["moved"]
    far = (new - old) / max(abs(old), abs(new)) if moved is None else moved
    return moved is None, -abs(far), param["name"], param["file"]


def _losses(run: Mapping[str, Any]) -> dict[str, float | None]:
    """Return weighted losses by test id."""
    return {
        test["id"]: None if test["loss"] is None else test["weight"] * test["loss"]
        for test in run["tests"]
    }


def _alike(old: float | None, new: float | None) -> bool:
    if old is None or new is None:
        return old is new
    return abs(new - old) <= _ROUNDING * max(abs(old), abs(new)) + _NOTHING


def _change(
    before: Mapping[str, float | None], after: Mapping[str, float | None], name: str
) -> float | None:
    old, new = before[name], after[name]
    return None if old is None or new is None else new - old


def _by_change(test: Mapping[str, Any]) -> tuple[int, float, str]:
    """Order by change, for the worse first; no loss is worse than any, and better than none."""
    group = 0 if test["after"] is None else 2 if test["before"] is None else 1
    return group, -(test["change"] or 0.0), test["id"]


def _names(keys: Iterable[tuple[str, str]]) -> list[str]:
    return sorted(f"{name} ({file})" for file, name in keys)
