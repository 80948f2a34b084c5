"""Keep fitted values: in the store beside the source, or in the source itself."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from pytest_soft.failures import param_warnings
from pytest_soft.values import Groups, as_declared
from softtape import Param, SoftError, store
from softtape.param import peek

__all__ = ["Keeping", "Kept", "keep", "relative"]


class Keeping(NamedTuple):
    """Where the fitted values go.

    Attributes
    ----------
    dry_run
        Nowhere: only show what would be kept.
    writes
        Whether this process writes (of several workers with the same result, one does).
    source
        Into the source that declares them, where it can be done, instead of the store.
    prune
        Whether stored values that no Param takes any more are removed.
    """

    dry_run: bool = False
    writes: bool = True
    source: bool = False
    prune: bool = False


class Kept:
    """What became of them.

    Attributes
    ----------
    stored
        Files that were written, or with a dry run would have been.
    unchanged
        Files whose values did not move.
    preview
        With a dry run, the diffs of the files.
    notes
        What deserves a word.
    troubles
        What went wrong: titles and texts.
    values
        Values that are kept with fewer digits than they were found with, by key.
    """

    def __init__(self) -> None:
        """Nothing was kept yet."""
        self.stored: list[str] = []
        self.unchanged: list[str] = []
        self.preview = ""
        self.notes: list[str] = []
        self.troubles: list[tuple[str, str]] = []
        self.values: dict[str, Any] = {}


def keep(
    groups: Groups,
    old: Mapping[str, Any],
    errors: Mapping[str, float | None],
    keeping: Keeping,
    records: Mapping[str, store.Record] = MappingProxyType({}),
) -> Kept:
    """Write what moved.

    Parameters
    ----------
    groups
        The fitted Params by key, which have their new values.
    old
        Their values before, by key; None for a blank never filled in.
    errors
        Standard errors by key, None where there is none.
    keeping
        Where to.
    records
        What was fitted, by source file: kept beside the values, where these are in a store.
    """
    kept = Kept()
    for file, params in _by_file(groups, old).items():
        if keeping.source:
            params = _into_source(kept, file, params, errors, keeping)
        if params:
            _into_store(kept, file, params.values(), keeping, records.get(file))
    return kept


def _by_file(groups: Groups, old: Mapping[str, Any]) -> dict[str, dict[str, Param]]:
    """Return the Params to keep by source file and key: what moved, and what is in the store.

    What is in the store already is there for its ``start``, which may have changed in the source.
    """
    files: dict[str, dict[str, Param]] = {}
    known: dict[str, Mapping[str, store.Entry]] = {}  # each store is read once
    for key, params in groups.items():
        param = params[0]
        if param.file is None:
            continue
        if param.file not in known:
            known[param.file] = store.load(store.path_for(param.file))
        moved = old[key] is None or not np.array_equal(peek(param), old[key])
        if moved or param.name in known[param.file]:
            files.setdefault(param.file, {})[key] = param
    return files


# ---- the store


def _into_store(
    kept: Kept, file: str, params: Any, keeping: Keeping, record: store.Record | None
) -> None:
    path = store.path_for(file)
    entries = {param.name: _entry(param) for param in params}
    try:
        preview = store.preview(relative(path), entries, record)
        if keeping.dry_run:
            kept.preview += preview
        elif keeping.writes:
            with param_warnings(kept.notes):
                store.update(path, entries, record)
    except SoftError as error:
        text = f"{error}\n{_listed(entries)}"
        kept.troubles.append(("the fitted values could not be stored", text))
        return
    (kept.stored if preview else kept.unchanged).append(relative(path))


def _entry(param: Param) -> store.Entry:
    start = store.describe_start(... if param.start is None else param.start)
    return store.Entry(peek(param), start)


def _listed(entries: Mapping[str, store.Entry]) -> str:
    """Return the values themselves, so that nothing is lost when they cannot be stored."""
    return "\n".join(f"{name} = {np.asarray(e.value).tolist()!r}" for name, e in entries.items())


# ---- the source


def _into_source(
    kept: Kept,
    file: str,
    params: Mapping[str, Param],
    errors: Mapping[str, float | None],
    keeping: Keeping,
) -> dict[str, Param]:
    """Write into the source; return the Params that it has no place for."""
    from pytest_soft.source import Declared, rewritten, rounded  # LibCST is an extra

    values = {
        key: _inside(param, rounded(peek(param), param.start, errors[key]))
        for key, param in params.items()
    }
    declared = [Declared(p.name, p.line, p.start, values[k]) for k, p in params.items()]
    path = Path(file)
    try:
        old = path.read_bytes()
        new, reasons = rewritten(old, declared)
        if new != old and keeping.dry_run:
            before, after = (text.decode("utf-8", "replace") for text in (old, new))
            kept.preview += store.diff_of(before, after, relative(path), relative(path))
        elif keeping.writes and not keeping.dry_run:
            if new != old:
                store.replace_file(path, new)
            written = [p.name for p in params.values() if p.name not in reasons]
            store.remove(store.path_for(file), written)
    except (SoftError, OSError, UnicodeError) as error:
        kept.notes.append(f"nothing is written into {relative(path)}, but into its store: {error}")
        return dict(params)
    (kept.stored if new != old else kept.unchanged).append(relative(path))
    left = {}
    for key, param in params.items():
        if param.name in reasons:
            kept.notes.append(f"{param.name} goes into the store: {reasons[param.name]}")
            left[key] = param
        else:
            kept.values[key] = values[key]
    return left


def _inside(param: Param, value: Any) -> Any:
    """Return a rounded value, or the one it was rounded from where it would leave the bounds."""
    lower, upper = param.bounds
    inside = np.all((value >= lower) & (value <= upper))
    return as_declared(param, value)[()] if inside else peek(param)


def relative(path: Path) -> str:
    """Return a path as messages show it: relative to the working directory if inside it."""
    return str(path.relative_to(Path.cwd())) if path.is_relative_to(Path.cwd()) else str(path)
