"""What was fitted, in lines that the store keeps, and what became of it since."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pytest_soft.collect import function_of
from pytest_soft.glance import declaration, declared_otherwise
from pytest_soft.values import Groups
from softtape import Param
from softtape.fingerprint import case_digests, structure
from softtape.store import CASE_WIDTH, Record
from softtape.terms import Term

__all__ = ["Change", "Function", "changes_since", "fitted_functions", "records"]

_MOST = 3


class Function(NamedTuple):
    """What one test function computes, in all its cases.

    Attributes
    ----------
    program
        Digest of the operations on its paths.
    cases
        Digest of the numbers of each case, by test id.
    keys
        Keys of the Params that it reaches.
    """

    program: str
    cases: Mapping[str, str]
    keys: frozenset[str]

    @property
    def line(self) -> dict[str, str]:
        """What the store keeps: in an order of its own, so that no name of a case is in it."""
        return {"cases": "".join(sorted(self.cases.values())), "program": self.program}


class Change(NamedTuple):
    """What is not as it was fitted.

    Attributes
    ----------
    what
        The test function or the Param.
    how
        What is different, in words.
    keys
        Keys of the Params that it concerns; of a test that is gone, all that it may have reached.
    tests
        Ids of the tests that are concerned, those to be traced for another look.
    stale
        Whether that matters to the fit: a new name does not.
    former
        The name that the test function had at the fit, if it is another one now.
    """

    what: str
    how: str
    keys: frozenset[str]
    tests: tuple[str, ...] = ()
    stale: bool = True
    former: str | None = None


def fitted_functions(terms: Iterable[Term], groups: Groups) -> dict[str, Function]:
    """Return what the tests compute on the paths they took last, by function.

    Parameters
    ----------
    terms
        The tests; those without a weight, those that reach no Param and those that cannot be
        traced have no part in this.
    groups
        The Params by key.
    """
    names = {key: _label(params[0]) for key, params in groups.items() if params}
    by_path: dict[Any, list[Term]] = {}
    for term in terms:
        if term.weight and term.traced and term.starts:
            by_path.setdefault(term.path, []).append(term)
    programs: dict[str, set[str]] = {}
    cases: dict[str, dict[str, str]] = {}
    keys: dict[str, set[str]] = {}
    for path, members in by_path.items():
        first = members[0].paths[path]
        program = structure(first.template.graph, names)
        digests = case_digests(
            [term.paths[path].constants for term in members], [term.weight for term in members]
        )
        for term, digest in zip(members, digests, strict=True):
            function = function_of(term.name)
            programs.setdefault(function, set()).add(program)
            cases.setdefault(function, {})[term.name] = digest
            keys.setdefault(function, set()).update(term.starts)
    return {
        function: Function("+".join(sorted(found)), cases[function], frozenset(keys[function]))
        for function, found in programs.items()
    }


def _label(param: Param) -> str:
    return f"{Path(param.file or '').name}::{param.name}"


def records(
    functions: Mapping[str, Function], groups: Groups, gone: Collection[str] = ()
) -> dict[str, Record]:
    """Return what the store of each source file is to keep, by source file."""
    found: dict[str, tuple[dict[str, Any], dict[str, str], set[str]]] = {}
    for key, params in groups.items():
        if params and params[0].file is not None:
            left = {*gone, *functions}  # those it still has are added below
            tests, declared, dropped = found.setdefault(params[0].file, ({}, {}, left))
            text = declaration(params[0])
            if text:
                declared[params[0].name] = text
            else:
                dropped.add(params[0].name)
            tests |= {name: f.line for name, f in functions.items() if key in f.keys}
    return {file: Record(*parts) for file, parts in found.items()}


def changes_since(
    functions: Mapping[str, Function],
    groups: Groups,
    kept: Mapping[str, Record],
    *,
    root: Path,
    whole: Collection[str],
) -> list[Change]:
    """Return what is not as it was fitted; empty where all is.

    Parameters
    ----------
    functions
        What the tests compute now.
    groups
        The Params they reach, by key.
    kept
        What was fitted, by source file.
    root
        The folder that test ids start from.
    whole
        The test files of which all tests were selected: what is not there is gone.
    """
    then = {name: line for record in kept.values() for name, line in record.tests.items()}
    changes = list(_declarations(groups, kept))
    left = then.keys() - functions.keys()
    missing = {name: then[name] for name in left if _gone(name, root, whole)}
    for name, function in functions.items():
        if name in then:
            changes += _change(name, function, then[name], whole=_file(name) in whole)
            continue
        old = next((n for n, line in missing.items() if line == function.line), None)
        if old is not None:
            del missing[old]
            changes.append(Change(name, f"was {old}", function.keys, stale=False, former=old))
        else:
            changes.append(
                Change(name, "was not part of the last fit", function.keys, tuple(function.cases))
            )
    for name in sorted(missing):
        holders = {file for file, record in kept.items() if name in record.tests}
        keys = frozenset(k for k, params in groups.items() if params and params[0].file in holders)
        changes.append(Change(name, "was part of the last fit, and is gone", keys))
    return changes


def _change(name: str, now: Function, then: Mapping[str, Any], *, whole: bool) -> list[Change]:
    line = now.line
    programs, before = (set(str(p).split("+")) for p in (now.program, then.get("program")))
    if not (programs == before if whole else programs <= before):
        return [Change(name, "computes something else", now.keys, tuple(now.cases))]
    if line["cases"] == then.get("cases"):
        return []
    text = str(then.get("cases", ""))
    left = Counter(text[place : place + CASE_WIDTH] for place in range(0, len(text), CASE_WIDTH))
    other = []
    for case, digest in now.cases.items():
        if left[digest]:
            left[digest] -= 1
        else:
            other.append(case)
    gone = left.total()
    if not other:
        if not whole:
            return []
        how = f"has {len(now.cases)} cases, {gone} fewer than at the last fit"
        return [Change(name, how, now.keys)]
    n = len(now.cases)
    more = len(other) - gone
    how = "has other numbers" if n == 1 else f"has other numbers in {len(other)} of {n} cases"
    if more > 0 and not gone:
        how = f"has {n} cases, {more} more than at the last fit"
    elif more and whole:
        how += f", and {abs(more)} {'more' if more > 0 else 'fewer'} than at the last fit"
    if n > 1:
        how += f": {', '.join(other[:_MOST])}" + (", ..." if len(other) > _MOST else "")
    return [Change(name, how, now.keys, tuple(other))]


def _declarations(groups: Groups, kept: Mapping[str, Record]) -> Iterable[Change]:
    for key, params in groups.items():
        record = kept.get(params[0].file or "") if params else None
        how = declared_otherwise(params[0], record) if record is not None else ""
        if how:
            yield Change(params[0].name, how, frozenset([key]))


def _gone(name: str, root: Path, whole: Collection[str]) -> bool:
    return _file(name) in whole or not (root / _file(name)).exists()


def _file(name: str) -> str:
    return name.partition("::")[0]
