"""Nested containers of numbers and arrays, taken apart into leaves and put together again.

A container is a dict, list, tuple, named tuple or dataclass instance; everything else is a leaf.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Structure", "flatten"]


@dataclass(frozen=True, slots=True)
class Structure:
    """The shape of a container without its leaves.

    Attributes
    ----------
    kind
        Type of the container, or None for a leaf.
    names
        What each part is found by: the keys of a dict, the positions in a list, the fields of a
        dataclass.
    parts
        The structure of each part.
    example
        For a dataclass, an instance that gives what is no field.
    """

    kind: type | None = None
    names: tuple[Any, ...] = ()
    parts: tuple[Structure, ...] = ()
    example: Any = dataclasses.field(default=None, compare=False, repr=False)

    def rebuild(self, leaves: Iterable[Any]) -> Any:
        """Return the container that holds ``leaves``, in the order of :func:`flatten`."""
        return self._build(iter(leaves))

    def _build(self, leaves: Iterator[Any]) -> Any:
        if self.kind is None:
            return next(leaves)
        parts = [part._build(leaves) for part in self.parts]
        if dataclasses.is_dataclass(self.kind):
            made = copy.copy(self.example)  # no __init__, which may check for plain numbers
            for name, part in zip(self.names, parts, strict=True):
                object.__setattr__(made, name, part)
            return made
        if self.kind is dict:
            return dict(zip(self.names, parts, strict=True))
        return self.kind(*parts) if hasattr(self.kind, "_fields") else self.kind(parts)

    def leaves_of(self, value: Any, path: str = "") -> Iterator[Any]:
        """Yield the leaves of another container of this structure, in the order of its own.

        Raises
        ------
        ValueError
            It has another structure; the message says where.
        """
        if self.kind is None:
            yield value
            return
        found = _parts(value)
        if type(value) is not self.kind or found is None or set(found) != set(self.names):
            wanted = f"{self.kind.__name__} with {list(self.names)}"
            raise ValueError(f"at {path or 'the top'} stands {value!r} instead of a {wanted}")
        for name, part in zip(self.names, self.parts, strict=True):
            yield from part.leaves_of(found[name], path + self._step(name))

    def paths(self, before: str = "") -> Iterator[str]:
        """Yield what each leaf is called, such as ``['layers'][0].weight``."""
        if self.kind is None:
            yield before
        for name, part in zip(self.names, self.parts, strict=True):
            yield from part.paths(before + self._step(name))

    def _step(self, name: Any) -> str:
        return f".{name}" if dataclasses.is_dataclass(self.kind) else f"[{name!r}]"


def flatten(value: Any) -> tuple[list[Any], Structure]:
    """Return the leaves of a container, from left to right, and its structure."""
    leaves: list[Any] = []
    return leaves, _flatten(value, leaves)


def _flatten(value: Any, leaves: list[Any]) -> Structure:
    parts = _parts(value)
    if parts is None:
        leaves.append(value)
        return Structure()
    example = value if dataclasses.is_dataclass(value) else None
    structures = tuple(_flatten(part, leaves) for part in parts.values())
    return Structure(type(value), tuple(parts), structures, example)


def _parts(value: Any) -> dict[Any, Any] | None:
    """Return what a container holds, by name; None for a leaf."""
    kind = type(value)
    if kind is dict:
        return dict(value)
    if kind in (list, tuple) or (issubclass(kind, tuple) and hasattr(kind, "_fields")):
        return dict(enumerate(value))
    if dataclasses.is_dataclass(kind):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(kind)}
    return None
