"""Values without a Param, perhaps because it was renamed, and Params without a test."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

from pytest_soft.keep import relative
from pytest_soft.values import Groups, of_loaded_modules
from softtape import Param, SoftError, store

__all__ = ["orphans", "unreached"]


def orphans(groups: Groups, *, prune: bool) -> tuple[list[str], list[str]]:
    """Find values in the stores of the fitted Params that no Param takes any more.

    Parameters
    ----------
    groups
        The fitted Params by key.
    prune
        Whether to remove them.

    Returns
    -------
    tuple[list[str], list[str]]
        What to say, and the stores that were changed.

    Raises
    ------
    StoreError
        A store cannot be read or written.
    """
    names: dict[str, set[str]] = {}
    for param in of_loaded_modules():
        try:
            names.setdefault(param.file or "", set()).add(param.name)
        except SoftError:  # without a name, it has no entry either
            continue
    notes, changed = [], []
    for file in sorted({params[0].file or "" for params in groups.values()} - {""}):
        path = store.path_for(file)
        left = sorted(store.load(path).keys() - names.get(file, set()))
        for name in left:
            gone = f"{relative(path)} had" if prune else f"{relative(path)} has"
            way_out = "it is removed" if prune else "rename the entry, or --soft-prune removes it"
            notes.append(
                f"{gone} a value of {name!r}, but no Param of {Path(file).name} is called so "
                f"(any more): {way_out}"
            )
        if prune and left and store.remove(path, left):
            changed.append(relative(path))
    return notes, changed


def unreached(params: Iterable[Param], reached: Collection[str]) -> list[str]:
    """Return the names of those of the Params that could be fitted, but that no test reaches."""
    found: dict[str, str] = {}
    for param in params:
        if param.frozen or param.file is None:
            continue
        try:
            key, name = param.key, f"{param.name} ({Path(param.file).name})"
        except SoftError:
            key, name = param.where, f"the Param without a name at {param.where}"
        if key not in reached:
            found[key] = name
    return list(found.values())
