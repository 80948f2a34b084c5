"""The lines on which tests reach which Params, and on what stands in the way of a limit."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TypeAlias

from pytest_soft.coverage import Blame, Coverage, ParamCoverage

__all__ = ["blame_lines", "coverage_lines"]

Line: TypeAlias = tuple[str, dict[str, bool]]

_INDENT = 9
_MOST = 10
_COLUMNS = 80
_NAME = 24
_YELLOW = {"yellow": True}


def coverage_lines(
    coverage: Coverage, fail_under: float | None, verbosity: int, width: int | None
) -> Iterator[Line]:
    """Yield a line for each Param; of many, for those that need a look first.

    Parameters
    ----------
    coverage
        What was measured.
    fail_under
        The limit on its percentage, or None.
    verbosity
        pytest's: above 0 for all Params.
    width
        Columns that a line may take, or None for 80.
    """
    if coverage.percent is None:
        yield "coverage there is no Param that a fit could move", _YELLOW
        return
    limit = "" if fail_under is None else f", limit {fail_under:.4g} %"
    params, many = _count(coverage.elements, "element"), len(coverage.params)
    of = params if coverage.elements != many else _count(many, "Param")
    missed = fail_under is not None and not coverage.percent >= fail_under
    head = f"coverage {_count(len(coverage.tests), 'test')} reach {coverage.percent:.4g} % of {of}"
    yield head + limit, {"red": True} if missed else {}
    shown: Sequence[ParamCoverage] = coverage.params
    if many > _MOST and verbosity < 1:
        shown = sorted(shown, key=_concern)[:_MOST]
    yield from _table(coverage, shown, verbosity, width or _COLUMNS)
    if many > len(shown):
        alone = sum(len(param.tests) == 1 for param in coverage.params)
        by_one = f"; a single test decides {alone} of all" if alone else ""
        yield f"{'':{_INDENT}}and {many - len(shown)} more (-v shows all){by_one}", {}
    if coverage.untraced:
        name = min(coverage.untraced)
        count = _count(len(coverage.untraced), "test")
        text = f"{count} could not be traced, such as {name}: {coverage.untraced[name]}"
        yield f"note     {text}", _YELLOW


def _concern(param: ParamCoverage) -> tuple[float, int, str, str]:
    """Order Params by how little is known of them."""
    return param.reached / max(param.elements, 1), len(param.tests), param.file, param.name


def _table(
    coverage: Coverage, shown: Sequence[ParamCoverage], verbosity: int, width: int
) -> Iterator[Line]:
    arrays = any(param.elements > 1 for param in shown)
    rows = [_cells(coverage, param) for param in shown]
    head = ("Param", "reached", "tests", "loss by ±", "share", "strongest test")
    keep = [0, *([1] if arrays else []), 2, *([3] if verbosity > 0 else []), 4]
    table = [[row[i] for i in keep] for row in (head, *rows)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    room = max(width - _INDENT - sum(widths) - 2 * len(widths), 16)
    for place, (cells, row) in enumerate(zip(table, (head, *rows), strict=True)):
        shaped = [
            f"{cell:{'>' if i else '<'}{w}}"
            for i, (cell, w) in enumerate(zip(cells, widths, strict=True))
        ]
        line = "  ".join([*shaped, _end_of(row[-1], room)])
        unreached = place > 0 and shown[place - 1].reached < shown[place - 1].elements
        yield f"{'':{_INDENT}}{line}".rstrip(), _YELLOW if unreached else {}


def _cells(coverage: Coverage, param: ParamCoverage) -> tuple[str, ...]:
    """Return the cells of a Param: the last is the strongest test."""
    place = param.strongest
    name = param.name if len(param.name) <= _NAME else f"{param.name[: _NAME - 3]}..."
    reached = f"{param.reached}/{param.elements}"
    if place is None:
        return name, reached, "0", "", "", "no test reaches it"
    sensitivity = param.sensitivity[place]
    loss = "" if sensitivity is None else f"{sensitivity:.2g}"
    share = "alone" if len(param.tests) == 1 else f"{100 * param.shares[place]:.0f} %"
    return name, reached, str(len(param.tests)), loss, share, coverage.tests[param.tests[place]]


def _end_of(text: str, room: int) -> str:
    return text if len(text) <= room else f"...{text[len(text) - room + 3 :]}"


def blame_lines(blames: Sequence[Blame]) -> Iterator[Line]:
    """Yield what each limit that is not kept would take, and whom that would hurt."""
    for blame in blames:
        yield f"blame    {blame.what}: {blame.loss:.4g}, limit {blame.limit:.4g}", {}
        if not blame.moves:
            yield f"{'':{_INDENT}}no small step of the Params lowers it", {}
            continue
        moves = [_move(*move) for move in blame.moves]
        moves += [f"{blame.more_moves} more"] if blame.more_moves else []
        yield f"{'':{_INDENT}}{blame.after:.4g} after one step for it alone: {', '.join(moves)}", {}
        for name, before, after in blame.worse:
            yield f"{'':{_INDENT}}but {before:.3g} -> {after:.3g}  {name}", {}
        if blame.more_worse:
            yield f"{'':{_INDENT}}and {_count(blame.more_worse, 'more test')} get worse", {}
        if not blame.worse:
            yield f"{'':{_INDENT}}no other test gets worse by it", {}


def _move(name: str, old: float | None, new: float) -> str:
    return f"{name} by {new:.3g} (rms)" if old is None else f"{name} {old:.4g} -> {new:.4g}"


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
