"""Where the numbers that an optimizer moves stand in the Params."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from pytest_soft.values import Groups
from softtape.coordinates import Coordinates, Simplex, simplex_rounding
from softtape.objective import Layout
from softtape.optimize import Bounds

__all__ = ["bounds_of", "layout_of", "moved_by_values", "placed"]


def layout_of(groups: Groups) -> Layout:
    """Return where each Param lies in θ, each number being its value."""
    shapes = {key: params[0].shape for key, params in groups.items()}
    narrow = frozenset(k for k, params in groups.items() if params[0].dtype == np.float32)
    return Layout(shapes, narrow)


def placed(layout: Layout, groups: Groups, values: Mapping[str, Any]) -> Layout:
    """Return the layout for an optimizer: log scales with θ = 0 at ``values``, and simplices."""
    logs: list[int] = []
    simplices = []
    for key, params in groups.items():
        place = layout.slices[key]
        if params[0].scale == "log":
            logs += range(place.start, place.stop)
        elif params[0].constraint == "simplex" and place.stop > place.start:
            width = params[0].shape[-1]
            simplices.append(Simplex(place, width, simplex_rounding(width, params[0].dtype)))
    if not (logs or simplices):
        return layout
    lower, upper = _flat_bounds(layout, groups)
    where = np.array(logs, np.intp)
    origin = layout.flat(values)[where]
    made = Coordinates(where, origin, lower[where], upper[where], tuple(simplices))
    return replace(layout, coordinates=made)


def moved_by_values(layout: Layout) -> Layout:
    """Return the layout in which log scales are linear, and simplices are as they were."""
    if layout.coordinates is None:
        return layout
    nothing, none = np.zeros(0), np.zeros(0, np.intp)
    simplices = layout.coordinates.simplices
    kept = Coordinates(none, nothing, nothing, nothing, simplices) if simplices else None
    return replace(layout, coordinates=kept)


def bounds_of(groups: Groups, layout: Layout) -> Bounds:
    """Return the bounds on θ."""
    lower, upper = _flat_bounds(layout, groups)
    if layout.coordinates is not None:
        lower, upper = layout.coordinates.bounds(lower, upper)
    return Bounds(lower, upper, tuple(s.stop - s.start for s in layout.slices.values()))


def _flat_bounds(layout: Layout, groups: Groups) -> list[Any]:
    """Return lower and upper bounds on the values, those of float32 Params as float32 has them."""
    found = []
    for side in (0, 1):
        flat = layout.flat({key: params[0].bounds[side] for key, params in groups.items()})
        for key in layout.narrow:
            flat[layout.slices[key]] = flat[layout.slices[key]].astype(np.float32)
        found.append(flat)
    return found
