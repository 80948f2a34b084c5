"""What changed since another run, as lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_soft.report.terminal import Line, fold

__all__ = ["comparison_lines", "counts", "moved_by"]

_MOST = 10
_WORST = 3
_RED, _GREEN = {"red": True}, {"green": True}


def comparison_lines(
    comparison: Mapping[str, Any], *, verbosity: int = 0, width: int | None = None
) -> Iterator[Line]:
    """Yield the lines, each with its markup.

    Parameters
    ----------
    comparison
        What :func:`pytest_soft.compare.compare` returns, and the name of its ``file``.
    verbosity
        pytest's: below 0 for one line, above 0 for more, above 1 for everything.
    width
        Columns to fold prose to; None for no limit.
    """
    for text, markup in _lines(comparison, verbosity):
        for part in fold(text, width):
            yield part, markup


def _lines(comparison: Mapping[str, Any], verbosity: int) -> Iterator[Line]:
    total = comparison["total"]
    changed = f"total loss {_number(total['before'])} -> {_number(total['after'])}"
    if verbosity < 0:
        yield f"soft: {changed}, {counts(comparison)}, since {comparison['file']}", {}
        return
    yield f"since    {comparison['file']}", {}
    yield f"{'':9}{changed}", {}
    yield from _param_lines(comparison, verbosity)
    yield f"losses   {counts(comparison)}", {}
    worse = [t for t in comparison["tests"] if _is_worse(t)]
    better = [t for t in comparison["tests"] if not _is_worse(t)][::-1]
    yield from _test_lines("worse", worse, verbosity, _RED)
    yield from _test_lines("better", better, verbosity, _GREEN)
    for label, names in (("new", "tests_added"), ("not run", "tests_removed")):
        shown = _first(comparison[names], verbosity)
        for i, name in enumerate(shown):
            yield f"{label if i == 0 else '':9}{name}", {}
        yield from _more(comparison[names], shown)


def moved_by(param: Mapping[str, Any]) -> str:
    """Say how far a Param moved, and in whose standard errors."""
    if param["moved"] is None:
        return "no standard error is known"
    whose = "of that run" if param["error_of"] == "before" else "of this run"
    return f"{param['moved']:+.3g} standard errors {whose}"


def _param_lines(comparison: Mapping[str, Any], verbosity: int) -> Iterator[Line]:
    params = comparison["params"]
    shown = params if verbosity > 0 else params[:_MOST]
    names = [param["name"] for param in shown]
    labels = [
        p["name"] if names.count(p["name"]) == 1 else f"{p['name']} ({p['file']})" for p in shown
    ]
    width = max(map(len, labels), default=0)
    for i, (label, param) in enumerate(zip(labels, shown, strict=True)):
        change = f"{param['before']:.8g} -> {param['after']:.8g}"
        yield f"{'Params' if i == 0 else '':9}{label:{width}}  {change}  {moved_by(param)}", {}
    yield from _more(params, shown)
    same, arrays = comparison["params_same"], comparison["arrays"]
    rest = [f"{same} did not move"] if same else []
    rest += [f"{arrays} that are arrays are not compared"] if arrays else []
    if rest:
        yield f"{'' if params else 'Params':9}{', '.join(rest)}", {}
    for label, key in (("new", "params_added"), ("gone", "params_removed")):
        if comparison[key]:
            some = _first(comparison[key], verbosity)
            yield f"{'':9}{label}: {', '.join(some)}", {}
            yield from _more(comparison[key], some)


def _test_lines(
    label: str, tests: Sequence[Mapping[str, Any]], verbosity: int, markup: dict[str, bool]
) -> Iterator[Line]:
    shown = _first(tests, verbosity)
    for i, test in enumerate(shown):
        change = "no loss" if test["change"] is None else f"{test['change']:+.3g}"
        losses = f"{_number(test['before'], 4)} -> {_number(test['after'], 4)}"
        yield f"{label if i == 0 else '':9}{change:<9} {losses}  {test['id']}", markup
    yield from _more(tests, shown)


def _first(names: Sequence[Any], verbosity: int) -> Sequence[Any]:
    return names if verbosity > 1 else names[: _MOST if verbosity > 0 else _WORST]


def _more(everything: Sequence[Any], shown: Sequence[Any]) -> Iterator[Line]:
    if len(everything) > len(shown):
        yield f"{'':9}and {len(everything) - len(shown)} more (-vv shows all)", {}


def counts(comparison: Mapping[str, Any]) -> str:
    """Say of how many tests the loss is worse, better, …."""
    worse = sum(map(_is_worse, comparison["tests"]))
    counts = {
        "worse": worse,
        "better": len(comparison["tests"]) - worse,
        "as before": comparison["tests_same"],
        "new": len(comparison["tests_added"]),
        "not run": len(comparison["tests_removed"]),
    }
    return ", ".join(f"{n} {word}" for word, n in counts.items() if n) or "no test in both runs"


def _is_worse(test: Mapping[str, Any]) -> bool:
    return test["after"] is None or (test["change"] or 0.0) > 0


def _number(value: float | None, digits: int = 6) -> str:
    return "none" if value is None else f"{value:.{digits}g}"
