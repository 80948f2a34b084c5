"""The summary of a run in Markdown, as GitHub shows it beside a job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from pytest_soft.report.comparison import counts, moved_by

__all__ = ["markdown"]

_WORST = 10
_MOST = 50


def markdown(data: Mapping[str, Any]) -> str:
    """Return the verdict, the Params that moved and the worst tests.

    Parameters
    ----------
    data
        What :func:`pytest_soft.report.data.run_data` returns.
    """
    parts = (_headline, _params, _worst, _since, _notes)
    return "\n".join(line for part in parts for line in part(data)) + "\n"


def _headline(data: Mapping[str, Any]) -> Iterator[str]:
    verdict, fit = data["verdict"], data["fit"]
    parts = [f"{len(data['tests'])} soft tests"]
    if verdict["total"] is not None:
        before = f"{fit['before']:.6g} → " if fit and fit["before"] is not None else ""
        parts.append(f"total loss {before}{verdict['total']:.6g}")
    if verdict["threshold"] is not None:
        parts.append(f"threshold {verdict['threshold']:.6g}")
    yield f"### {'✅ PASSED' if verdict['passed'] else '❌ FAILED'}: {', '.join(parts)}"
    yield ""
    for reason in verdict["reasons"]:
        yield f"- {_escaped(reason)}"
    if fit and fit["outcome"]:
        yield f"- fit: {_escaped(fit['outcome'])}, by {_escaped(fit['optimizer'])}"
    if verdict["coverage"] is not None:
        yield f"- coverage: {_escaped(_coverage(data))}"
    yield ""


def _coverage(data: Mapping[str, Any]) -> str:
    params = data["coverage"]["params"]
    missed = [param["name"] for param in params if param["reached"] < param["elements"]]
    more = f" and {len(missed) - _WORST} more" if len(missed) > _WORST else ""
    names = f"; not {', '.join(missed[:_WORST])}{more}" if missed else ""
    return f"tests reach {data['verdict']['coverage']:.4g} % of the elements of Params{names}"


def _params(data: Mapping[str, Any]) -> Iterator[str]:
    params = (data["fit"] or {}).get("params", [])
    if not params:
        return
    yield from _table(
        ["Param", "before", "after", "± standard error", ""],
        [
            [
                f"{param['name']} ({param['file']})",
                _number(param["old"]),
                _number(param["new"]) or f"array {tuple(param['shape'])}",
                _number(param["error"], 2),
                "on its bound" if param["at_bound"] else "",
            ]
            for param in params[:_MOST]
        ],
        len(params),
    )


def _worst(data: Mapping[str, Any]) -> Iterator[str]:
    tests = [t for t in data["tests"] if t["loss"] is not None]
    tests.sort(key=lambda t: (-t["weight"] * t["loss"], t["id"]))
    if tests:
        yield from _table(
            ["worst tests", "loss"],
            [[test["id"], _number(test["weight"] * test["loss"])] for test in tests[:_WORST]],
            len(tests),
        )


def _since(data: Mapping[str, Any]) -> Iterator[str]:
    """Yield what changed since the run that this one is compared with."""
    found = data["comparison"]
    if found is None:
        return
    yield f"#### Since {_escaped(found['file'])}: {counts(found)}"
    yield ""
    if found["params"]:
        rows = [
            [p["name"], _number(p["before"]), _number(p["after"]), moved_by(p)]
            for p in found["params"][:_MOST]
        ]
        yield from _table(["Param", "there", "here", "moved"], rows, len(found["params"]))
    tests = found["tests"]
    if tests:
        rows = [
            [t["id"], *(_number(t[key], 4) for key in ("before", "after", "change"))]
            for t in tests[:_WORST]
        ]
        yield from _table(["worst changes", "there", "here", "change"], rows, len(tests))


def _notes(data: Mapping[str, Any]) -> Iterator[str]:
    for note in (data["fit"] or {}).get("notes", ()):
        yield f"- note: {_escaped(note)}"
    for trouble in (data["fit"] or {}).get("troubles", ()):
        yield f"- {_escaped(trouble['title'])}: {_escaped(trouble['text'].splitlines()[-1])}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]], count: int) -> Iterator[str]:
    yield _row(head)
    yield _row(["---"] * len(head))
    yield from map(_row, rows)
    if count > len(rows):
        yield _row([f"… and {count - len(rows)} more", *[""] * (len(head) - 1)])
    yield ""


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(_escaped(cell) for cell in cells) + " |"


def _number(value: float | None, digits: int = 8) -> str:
    return "" if value is None else f"{value:.{digits}g}"


def _escaped(text: str) -> str:
    """Return a text as Markdown shows it literally, within a cell of a table too."""
    for special in "\\`*_<>[]|":
        text = text.replace(special, f"\\{special}")
    return text.replace("\n", " ")
