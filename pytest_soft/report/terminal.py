"""The section «soft» of pytest's summary: from plain data to lines."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isnan
from typing import TYPE_CHECKING, TypeAlias

from pytest_soft.verdict import Sides, TestLoss, Verdict, pooled

if TYPE_CHECKING:
    from pytest_soft.coverage import Coverage
    from pytest_soft.summary import ComponentFit, FitSummary, ParamChange

__all__ = ["Line", "fold", "summary_lines"]

Line: TypeAlias = tuple[str, dict[str, bool]]

_INDENT = 9
_TEST_ID = re.compile(r"\S+::[^\s\[]*(?:\[[^\]]*\]\S*)?")
_SPACE = "\0"  # in place of one within a test id
_COLUMNS = 80  # of the table of components
_PROSE = ("note", "next", "stale", "changed")  # of which a test id is but a part
_SPACED = ("PASSED", "FAILED", "soft:")
_MOST = 10
_WORST = 3
_GREEN = {"green": True, "bold": True}
_RED = {"red": True, "bold": True}
_YELLOW = {"yellow": True}


def summary_lines(
    verdict: Verdict,
    tests: Mapping[str, TestLoss],
    fit: FitSummary | None,
    *,
    coverage: Coverage | None = None,
    verbosity: int = 0,
    width: int | None = None,
) -> Iterator[Line]:
    """Yield the lines of the section, each with its markup.

    Parameters
    ----------
    verdict
        What was decided.
    tests
        What was measured, by test id.
    fit
        What the fit has to say, if there was one.
    coverage
        Which tests reach which Params, if that was measured.
    verbosity
        pytest's: below 0 for one line, above 0 for everything.
    width
        Columns to fold prose to; test ids, tracebacks and diffs stay whole. None for no
        limit.
    """
    headline, markup = _headline(verdict, tests, fit)
    if verbosity < 0:
        shown = f"soft: {headline}{', no threshold' if _unlimited(verdict, tests) else ''}"
    else:
        shown = headline
    yield from _folded([(shown, markup)], width)
    if not headline.startswith("INTERRUPTED"):
        for reason in verdict.reasons:
            yield f"  {reason}", {"red": True}
    measured = bool(tests) and all(test.loss is not None for test in tests.values())
    if fit is None and measured and verdict.by_measures and verbosity >= 0:
        yield "  pytest --soft-fit fits the Params again, if the tests are right", {}
    if fit is not None:
        yield from _trouble_lines(fit, verbosity)
    if verbosity < 0:
        return
    if fit is not None:
        yield from _folded(_fit_lines(fit, verbosity), width)
        yield from _preview_lines(fit)
        yield from _folded([(f"note     {note}", {"yellow": True}) for note in fit.notes], width)
        yield from _folded(_difference(tests, fit), width)
    yield from _folded(_suite_lines(verdict), width)
    yield from _sides_lines(verdict, fit)
    if coverage is not None:
        from pytest_soft.report.covered import blame_lines, coverage_lines

        if coverage.asked:
            limit = verdict.coverage_fail_under
            yield from _folded(coverage_lines(coverage, limit, verbosity, width), width)
        yield from _folded(blame_lines(coverage.blames), width)
    yield from _folded(_doubts(verdict, tests, fit.folds if fit is not None else []), width)
    yield from _worst(tests, verbosity)


def _folded(lines: Iterable[Line], width: int | None) -> Iterator[Line]:
    for text, markup in lines:
        for part in fold(text, width):
            yield part, markup


def fold(text: str, width: int | None) -> list[str]:
    """Return a line as lines of at most ``width`` columns, those after the first indented.

    Words and test ids are not broken; a line that shows little but a test id is left alone.
    """
    if width is None or len(text) <= width or ("::" in text and not text.startswith(_PROSE)):
        return [text]
    label, rest = text[:_INDENT], text[_INDENT:]
    if text.startswith(_SPACED):  # a headline has no column of labels
        label, rest = "", text
    rest = _TEST_ID.sub(lambda found: found[0].replace(" ", _SPACE), rest)
    wrapped = textwrap.wrap(
        rest, max(width - _INDENT, 20), break_long_words=False, break_on_hyphens=False
    )
    parts = [part.replace(_SPACE, " ") for part in wrapped]
    return [(" " * _INDENT if i else label) + part for i, part in enumerate(parts)]


def _trouble_lines(fit: FitSummary, verbosity: int) -> Iterator[Line]:
    for trouble in fit.troubles:
        if verbosity >= 0:
            yield "", {}
        yield f"{trouble.title}:", {"red": True}
        for line in trouble.text.rstrip().splitlines():
            yield f"  {line}", {}


def _headline(verdict: Verdict, tests: Mapping[str, TestLoss], fit: FitSummary | None) -> Line:
    if fit is not None and fit.interrupted and not tests:
        change = f"total loss {fit.before:.6g} -> {fit.after:.6g}, not checked"
        return f"INTERRUPTED  fit of {_count(fit.tests, 'soft test')}, {change}", _RED
    parts = [_count(len(tests), "soft test")]
    if verdict.total is not None:
        change = ""
        if fit is not None and fit.before is not None:
            change = f"{fit.before:.6g} -> "
        parts.append(f"total loss {change}{verdict.total:.6g}")
    if verdict.threshold is not None:
        parts.append(f"threshold {verdict.threshold:.6g}")
    word, markup = ("PASSED", _GREEN) if verdict.passed else ("FAILED", _RED)
    return f"{word}  " + ", ".join(parts), markup


def _unlimited(verdict: Verdict, tests: Mapping[str, TestLoss]) -> bool:
    """Whether no loss, however high, would fail this run."""
    limits = [verdict.threshold, verdict.mean_threshold, verdict.worst_threshold, verdict.gap]
    limits.append(verdict.ratchet)
    limits += [suite.threshold for suite in verdict.suites]
    limited = any(limit is not None for limit in limits) or any(
        t.threshold is not None or t.holds is not None for t in tests.values()
    )
    return verdict.total is not None and not limited


def _fit_lines(fit: FitSummary, verbosity: int) -> Iterator[Line]:
    if fit.before is None:
        return
    cost = f"{_count(fit.steps, 'step')}, {_count(fit.evaluations, 'evaluation')}"
    yield f"fit      {fit.outcome}", {}
    yield f"         {cost}, {fit.seconds:.2g} s", {}
    if fit.resumed is not None:
        yield f"         resumed after {_count(fit.resumed, 'step')}", {}
    if fit.optimizer:
        yield f"         by {fit.optimizer}", {}
    if fit.retraces:
        yield f"         {_count(fit.retraces, 'test run')} traced again on another path", {}
    if verbosity > 1:
        for name, operation in fit.alone.items():
            yield f"alone    {name}: there is no batching rule for {operation}", {}
    if len(fit.components) > 1:
        yield from _component_lines(fit.components, verbosity)
    shown = fit.params if verbosity > 0 else fit.params[:_MOST]
    width = max((len(p.name) for p in shown), default=0)
    for i, param in enumerate(shown):
        yield f"{'Params' if i == 0 else '':9}{param.name:{width}}  {_moved(param)}", {}
        if param.interval is not None and (verbosity > 0 or param.interval_by == "profile"):
            lower, upper = param.interval
            interval = f"95 %: {lower:.6g} .. {upper:.6g} by {param.interval_by}"
            yield f"{'':9}{'':{width}}  {interval}", {}
        elif param.no_error and verbosity > 0:
            yield f"{'':9}{'':{width}}  no standard error: {param.no_error}", {}
    if len(fit.params) > len(shown):
        yield f"{'':9}and {len(fit.params) - len(shown)} more (-v shows all)", {}
    for i, prior in enumerate(fit.priors):
        change = f"{prior.before:.4g} -> {prior.after:.4g}"
        label = "priors" if i == 0 else ""
        yield f"{label:9}{prior.name} ~ {prior.prior}  {change}, beside the total loss", {}
    yield from _meaning_lines(fit, verbosity)
    would = "would be " if fit.dry_run else ""
    for path in fit.stored:
        yield f"stored   {would}in {path}", {}
    for path in fit.unchanged:
        yield f"stored   nothing moved in {path}", {}


def _meaning_lines(fit: FitSummary, verbosity: int) -> Iterator[Line]:
    """Yield what the residuals tell beyond standard errors."""
    if fit.chi_squared is not None:
        total, dof, chance = fit.chi_squared
        shown = f"{total / dof:.3g} ({total:.4g} / {dof}), larger by chance in {chance:.2g}"
        yield f"χ²/dof   {shown} of all cases", {}
    poor = any(p.error is not None and p.new and p.error > abs(p.new) / 2 for p in fit.params)
    if verbosity > 0 or poor:
        for advice in fit.advice[: None if verbosity > 1 else _WORST]:
            yield f"{'next':9}{advice}", {}
    if verbosity > 0:
        leading = [*fit.influences.items()][: None if verbosity > 1 else _WORST]
        for i, (name, distance) in enumerate(leading):
            yield f"{'Cook' if i == 0 else '':9}{distance:<9.3g} {name}", {}
    if verbosity > 1:
        for table in fit.correlations:
            yield from _correlations(table["params"], table["matrix"])


def _correlations(names: Sequence[str], matrix: Sequence[Sequence[float]]) -> Iterator[Line]:
    """Yield the lower triangle of a matrix of correlations, as wide as 80 columns allow."""
    most = (_COLUMNS - _INDENT - max(map(len, names))) // 7
    for i, (name, row) in enumerate(zip(names, matrix, strict=True)):
        cells = "".join(f"{value:7.3f}" for value in row[:i][:most])
        more = " ..." if i > most else ""
        label = "correl." if i == 0 else ""
        yield f"{label:9}{name:{max(map(len, names))}}{cells}{more}".rstrip(), {}


def _component_lines(components: Sequence[ComponentFit], verbosity: int) -> Iterator[Line]:
    """Yield a table of the components; of many, those that need a look first."""
    yield f"         as {len(components)} components that share no test and no Param", {}
    shown = components
    if len(components) > _MOST and verbosity < 1:
        shown = sorted(components, key=lambda c: (c.end in ("converged", "threshold"), -c.after))
        shown = shown[:_WORST]
    rows = [("tests", "loss", "by", "steps", "end"), *map(_cells, shown)]
    if len({c.optimizer for c in components} - {""}) <= 1:  # said above
        rows = [(*row[:2], *row[3:]) for row in rows]
    formats = [
        f"{'>' if column[0] in ('tests', 'steps') else '<'}{max(map(len, column))}"
        for column in zip(*rows, strict=True)
    ]
    room = _COLUMNS - _INDENT - sum(int(form[1:]) + 2 for form in formats)
    titles = [_cut(title, room) for title in ("Params", *(c.title for c in shown))]
    widest = max(map(len, titles))
    for title, row in zip(titles, rows, strict=True):
        cells = [f"{cell:{form}}" for cell, form in zip(row, formats, strict=True)]
        line = "  ".join([f"{title:{widest}}", *cells]).rstrip()
        yield f"{'':{_INDENT}}{line}", {"red": True} if row[-1] == "failed" else {}
    if len(components) > len(shown):
        yield f"{'':9}and {len(components) - len(shown)} more (-v shows all)", {}


def _cells(component: ComponentFit) -> tuple[str, ...]:
    """Return a row of the table of components, without its title."""
    loss = f"{component.before:.3g} -> {component.after:.3g}"
    steps, tests = str(component.steps), str(len(component.tests))
    return tests, loss, component.optimizer, steps, component.end


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: max(most - 3, 1)]}..."


def _preview_lines(fit: FitSummary) -> Iterator[Line]:
    for line in fit.preview.splitlines():
        yield f"  {line}", {"green": line.startswith("+"), "red": line.startswith("-")}


def _moved(param: ParamChange) -> str:
    bound = "  (on its bound)" if param.at_bound else "  (tied)" if param.tied else ""
    if param.new is None:
        shape = " x ".join(str(n) for n in param.shape)
        moved = "not moved" if param.change == 0 else f"changed by {param.change:.3g} (rms)"
        moved = "filled in" if isnan(param.change) else moved
        return f"[{shape}] {moved}{bound}"
    old = "..." if param.old is None else f"{param.old:.10g}"
    error = f" ± {param.error:.2g}" if param.error is not None else ""
    return f"{old} -> {param.new:.10g}{error}{bound}"


def _suite_lines(verdict: Verdict) -> Iterator[Line]:
    """Show the total of each named suite."""
    for i, suite in enumerate(verdict.suites):
        ran = suite.total is not None
        total = f"total loss {suite.total:.6g}" if ran else "none of its tests ran"
        limit = "" if suite.threshold is None else f", threshold {suite.threshold:.6g}"
        shown = f"{suite.name}  {_count(suite.tests, 'test')}, {total}{limit}"
        yield f"{'suites' if i == 0 else '':9}{shown}", {"red": True} if suite.above else {}


def _sides_lines(verdict: Verdict, fit: FitSummary | None) -> Iterator[Line]:
    """Show mean losses of what was fitted and of what was held out, side by side."""
    limit = "" if verdict.gap is None else f", limit {verdict.gap:.4g}"
    if verdict.sides is not None:
        fitted, held_out = verdict.sides.means
        count = _count(verdict.sides.tests, "test")
        yield f"holdout  mean loss {fitted:.4g} fitted, {held_out:.4g} of {count} held out", {}
        yield f"{'':9}gap {verdict.sides.gap:.4g}{limit}", {}
    folds = fit.folds if fit is not None else []
    whole = pooled(folds)
    if whole is None:
        return
    yield f"folds    {'tests':>5}  {'fitted':<10}  held out", {}
    for fold in [*folds, whole]:
        fitted, held_out = fold.means
        label, gap = ("all", f"  gap {fold.gap:.4g}{limit}") if fold is whole else ("", "")
        row = f"{label:9}{fold.tests:5}  {fitted:<10.4g}  {held_out:<10.4g}{gap}"
        yield row.rstrip(), {}


def _difference(tests: Mapping[str, TestLoss], fit: FitSummary) -> Iterator[Line]:
    """Say where the check on plain numbers and the tape disagree: that is an error of ours."""
    for name, checked, loss in fit.differing(tests):
        if name in fit.unsteady:
            continue
        yield f"note     {name}: its loss is {checked:.6g}, but {loss:.6g} on the tape.", _RED
        if name in fit.repeated:
            text = "It is each time the test runs: please report this error of ours."
        else:
            text = "If the test is deterministic, please report this error of ours."
        yield f"{'':{_INDENT}}{text}", _RED
        return


def _doubts(
    verdict: Verdict, tests: Mapping[str, TestLoss], folds: Sequence[Sides]
) -> Iterator[Line]:
    """Say where a pass means less than it seems."""
    counted = [(name, t) for name, t in tests.items() if t.counts and t.loss is not None]
    negative = [name for name, t in counted if t.weight * (t.loss or 0.0) < 0]
    if negative:
        yield f"note     {negative[0]}: its loss is below 0,", _YELLOW
        text = "which makes up for other losses in the total. Return a distance, such as a square."
        yield f"{'':9}{text}", _YELLOW
    if verdict.gap is not None and verdict.sides is None and pooled(folds) is None:
        yield "note     nothing was held out, so soft_gap was not checked", _YELLOW
    unknown = [name for name, t in counted if t.last is None]
    if verdict.ratchet is not None and 0 < len(unknown) < len(counted):
        text = (
            f"{_count(len(unknown), 'test')} not yet fitted with soft_ratchet, and not held by it"
        )
        yield f"note     {text}, such as {unknown[0]}", _YELLOW
    if _unlimited(verdict, tests):
        text = "no threshold, so no loss fails this run: set soft_threshold in the ini file"
        yield f"note     {text} (pyproject.toml, pytest.ini), or @soft_test(threshold=...)", _YELLOW


def _worst(tests: Mapping[str, TestLoss], verbosity: int) -> Iterator[Line]:
    measured = [(t.weight * t.loss, n, t) for n, t in tests.items() if t.loss is not None]
    measured.sort(key=lambda m: (-m[0], m[1]))
    chosen = measured if verbosity > 1 else measured[:_WORST]
    if len(measured) < 2 and verbosity < 1:
        return
    for i, (_, name, test) in enumerate(chosen):
        remarks = [f"weight {test.weight:.3g}"] if test.weight != 1 else []
        if test.threshold is not None:
            remarks.append(f"threshold {test.threshold:.3g}")
        if test.held_out:
            remarks.append("held out")
        if not test.counts:
            remarks.append("xfail, not counted")
        remark = f"  ({', '.join(remarks)})" if remarks else ""
        yield f"{'worst' if i == 0 else '':9}{test.loss:<9.3g} {name}{remark}", {}


def _count(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
