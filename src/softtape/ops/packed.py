"""Several arrays as one: what a decomposition returns is a single node of a graph."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

__all__ = ["pack", "unpack"]


def pack(parts: Iterable[Any], lead: tuple[int, ...]) -> Any:
    """Return arrays of the same leading axes ``lead`` as one, their other axes laid out flat."""
    return np.concatenate([np.reshape(part, (*lead, -1)) for part in parts], axis=-1)


def unpack(packed: Any, *shapes: Sequence[int]) -> list[Any]:
    """Return the arrays that :func:`pack` took, which have these ``shapes`` behind the others."""
    parts, start = [], 0
    for shape in shapes:
        size = math.prod(shape)
        part = packed[..., start : start + size]
        parts.append(np.reshape(part, (*np.shape(part)[:-1], *shape)))
        start += size
    return parts
