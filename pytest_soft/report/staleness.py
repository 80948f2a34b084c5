"""What changed since the last fit, as lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pytest_soft.report.terminal import Line, fold

__all__ = ["staleness_lines"]

_MOST = 10
_MOVES = 5
_NOTHING = 1e-6  # of the loss: far below any standard error
_YELLOW = {"yellow": True}


def staleness_lines(
    staleness: Mapping[str, Any],
    *,
    fitted: bool = False,
    verbosity: int = 0,
    width: int | None = None,
) -> Iterator[Line]:
    """Yield the lines, each with its markup.

    Parameters
    ----------
    staleness
        What changed, as reports have it.
    fitted
        Whether it was fitted again since.
    verbosity
        pytest's: below 0 for what failed the run alone; above 0 for everything.
    width
        Columns to fold prose to; None for no limit.
    """
    if verbosity < 0:
        if not fitted and "gain" in staleness:  # that fails the run: say at least by what
            yield from [(f"  {_told(c)}", {}) for c in staleness["changes"] if c["stale"]][:_MOST]
        return
    for text, markup in _lines(staleness, verbosity, fitted):
        for part in fold(text, width):
            yield part, markup


def _lines(staleness: Mapping[str, Any], verbosity: int, fitted: bool) -> Iterator[Line]:
    changes = staleness["changes"]
    if staleness["current"] and not fitted:  # a fit says «nothing to do»
        tests, functions = staleness["tests"], staleness["functions"]
        of = _count(tests, "test")
        of += f" of {_count(functions, 'function')}" if tests != functions else ""
        yield f"current  all is as it was fitted: {of}", {}
    shown = changes if verbosity > 0 else changes[:_MOST]
    for change in shown:
        label, markup = ("stale", _YELLOW) if change["stale"] else ("note", {})
        label, markup = ("changed", {}) if fitted and change["stale"] else (label, markup)
        yield f"{label:9}{_told(change)}", markup
    if len(changes) > len(shown):
        yield f"{'':9}and {len(changes) - len(shown)} more (-v shows all)", {}
    if "gain" in staleness and not staleness["current"] and staleness["known"]:
        yield from _gain_lines(staleness)


def _told(change: Mapping[str, Any]) -> str:
    reached = ", ".join(p for p in change["params"] if p != change["what"])
    return f"{change['what']} {change['how']}" + (f" (reaches {reached})" if reached else "")


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"


def _gain_lines(staleness: Mapping[str, Any]) -> Iterator[Line]:
    gain, before = staleness["gain"], staleness["before"]
    moves = staleness["moves"] if gain > _NOTHING * before else []
    if not (moves or staleness["untold"]):
        yield "refit    would gain nothing: the Params are where these tests want them", {}
    if moves:
        yield (
            f"refit    would take about {gain:.3g} off the loss {before:.6g} of what it touches",
            {},
        )
    for move in moves[:_MOVES]:
        by = "" if move["moved"] is None else f" ({move['moved']:+.3g} standard errors)"
        yield f"{'':9}{move['name']}  {move['old']:.6g} -> {move['new']:.6g}{by}", {}
    more = len(moves) - _MOVES
    if more > 0:
        yield f"{'':9}and {more} more", {}
    if staleness["untold"]:
        names = ", ".join(staleness["untold"])
        yield (
            f"note     one step does not tell what a refit of {names} would gain",
            _YELLOW,
        )
