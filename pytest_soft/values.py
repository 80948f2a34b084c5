"""The values of Params during a fit, by key."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pytest

from softtape import Param, SoftError
from softtape.param import assign, declared, forget

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "Groups",
    "as_declared",
    "forget_values",
    "group_by_key",
    "of_loaded_modules",
    "of_project",
    "set_values",
]

Groups: TypeAlias = Mapping[str, Sequence[Param]]


def group_by_key(keys: Iterable[str]) -> dict[str, list[Param]]:
    """Return the Params with these keys, sorted by key.

    Several Params have one key where their module was imported under several names.
    """
    groups: dict[str, list[Param]] = {key: [] for key in sorted(keys)}
    for param in declared():
        try:
            key = param.key
        except SoftError:  # has no name: no test can have reached it
            continue
        if key in groups and not param.frozen:
            groups[key].append(param)
    return groups


def of_loaded_modules() -> list[Param]:
    """Return the declared Params, but for what is left of modules that were thrown away."""
    loaded = {getattr(module, "__file__", None) for module in list(sys.modules.values())}
    return [param for param in declared() if param.file is None or param.file in loaded]


def of_project(config: pytest.Config) -> list[Param]:
    """Return the Params of loaded modules of the project: those below its folder, or this one.

    Those of libraries are none of its blanks, unless its tests reach them.
    """
    folders = {config.rootpath, config.invocation_params.dir}
    return [
        param
        for param in of_loaded_modules()
        if param.file is None or not folders.isdisjoint(Path(param.file).parents)
    ]


def set_values(groups: Groups, values: Mapping[str, Any]) -> None:
    """Give each Param its value, in its own dtype."""
    for key, params in groups.items():
        for param in params:
            assign(param, as_declared(param, values[key]))


def forget_values(keys: Iterable[str]) -> None:
    """Let these Params take their stored or declared values again."""
    for params in group_by_key(list(keys)).values():
        for param in params:
            forget(param)


def as_declared(param: Param, value: Any) -> NDArray[Any]:
    """Return ``value`` in the dtype of ``param``, not rounded out of its bounds."""
    wide = np.asarray(value)
    cast = wide.astype(param.dtype)
    lower, upper = param.bounds
    cast = np.where(cast > upper, np.nextafter(cast, -np.inf, dtype=param.dtype), cast)
    return np.where(cast < lower, np.nextafter(cast, np.inf, dtype=param.dtype), cast)
