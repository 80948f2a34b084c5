"""What the elements of an array are that a program changes in place.

A traced value never changes. An array does, and several names and views may stand for the same
elements. A :class:`Memory` knows of each element whether it is a plain number or which element of
which traced value was assigned to it last: a map from *places*, the positions in memory, to
*parts*. An assignment changes the map and records nothing. Reading takes from the parts what was
asked for: an element that was assigned as a number is that number again, so a loop over elements
records what it would have recorded with plain variables; an array of many parts is one
``np.stack`` or ``np.concatenate`` of them.
"""

from __future__ import annotations

import functools
import itertools
from math import prod
from typing import Any
from weakref import ReferenceType

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from softtape.graph import HOLE
from softtape.ops import PRIMITIVES
from softtape.ops.indexing import Slot, getitem
from softtape.refusals import UNREADABLE, refuse
from softtape.traced import Traced

__all__ = ["Memory", "unreadable"]

__tracebackhide__ = True  # pytest shows the user's line instead

Places = NDArray[np.intp]

_MANY = 16  # parts after whose joining the result takes their place
_DEAD = 64  # parts that may be kept although nothing of them is left

_stack, _concatenate = PRIMITIVES["stack"], PRIMITIVES["concatenate"]
_reshape, _broadcast_to = PRIMITIVES["reshape"], PRIMITIVES["broadcast_to"]


def flat_memory(array: NDArray[Any]) -> NDArray[Any] | None:
    """Return the elements of a whole array in the order they lie in memory, as a view of it."""
    order = sorted(range(array.ndim), key=lambda axis: -array.strides[axis])
    flat = array.view(np.ndarray).transpose(order).reshape(-1)
    return flat if np.may_share_memory(flat, array) or not array.size else None


@functools.cache
def unreadable(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return a dtype of the same size that numpy neither casts to numbers nor computes with."""
    half = f"V{dtype.itemsize // 2}"
    return np.dtype([(UNREADABLE, half), ("", half)])


def address(array: NDArray[Any]) -> int:
    """Return where the first element of an array lies."""
    place: int = array.__array_interface__["data"][0]
    return place


class Memory:
    """The elements of an array and of all its views.

    Parameters
    ----------
    flat
        Their plain numbers, shape (n,). A NaN of its own (see softtape.graph) stands there for an
        element of a traced value: what reads the bare memory, as foreign code may, does not get
        a number that is out of date.
    """

    __slots__ = (
        *("_joined", "_most", "_next", "flat", "numbers", "owner", "parts", "place", "start"),
        "halves",
    )

    def __init__(self, flat: NDArray[Any]) -> None:
        """Start with plain numbers alone."""
        self.flat = flat
        self.start = address(flat)
        self.numbers: Places = np.arange(flat.size)
        self.owner: Places = np.zeros(flat.size, np.intp)  # 0: a plain number
        self.place: Places = np.zeros(flat.size, np.intp)  # within its part
        self.parts: dict[int, Traced] = {}
        self._next = 1
        self._most = _DEAD
        self._joined: dict[bytes, Traced] = {}
        self.halves: list[ReferenceType[Any]] = []  # real and imaginary parts as they were

    def places(self, array: NDArray[Any]) -> Places:
        """Return the place of each element of an array in this memory."""
        if not array.size:
            return np.zeros(array.shape, np.intp)
        size = array.itemsize
        first = (address(array) - self.start) // size
        strides = [self.numbers.itemsize * (s // size) for s in array.strides]
        return as_strided(self.numbers[first:], array.shape, strides)

    # ---- writing

    def write(self, places: Any, value: Traced) -> None:
        """Let elements be those of ``value``, which broadcasts against ``places``."""
        self._check_halves()
        if value.dtype != self.flat.dtype:
            value = value.astype(self.flat.dtype)
        shape, own = places.shape if type(places) is np.ndarray else (), value.shape
        if own and own != shape:
            extra = len(own) - len(shape)
            if extra > 0 and own[:extra] == (1,) * extra:
                value = _reshape(value, shape=own[extra:])
            if value.shape != shape:
                value = _broadcast_to(value, shape=shape)
        number = self._next
        self._next = number + 1
        self.parts[number] = value.copy()  # it may itself be changed in place, and what shares it
        self.owner[places] = number
        self.place[places] = np.arange(prod(shape)).reshape(shape) if own else 0
        self.flat[places] = HOLE
        value._tape.holes = True
        if self._joined:
            self._joined.clear()
        if len(self.parts) > self._most:
            alive = set(np.unique(self.owner).tolist())
            self.parts = {k: part for k, part in self.parts.items() if k in alive}
            self._most = 2 * len(self.parts) + _DEAD

    def written(self, places: Any) -> None:
        """Note that plain numbers were written."""
        self._check_halves()
        self.owner[places] = 0
        if self._joined:
            self._joined.clear()

    def _check_halves(self) -> None:
        """Refuse a change that someone who holds ``z.real`` would not see."""
        if self.halves:
            self.halves = [half for half in self.halves if half() is not None]
            if self.halves:
                refuse(
                    "assigning to complex numbers whose z.real or z.imag was taken before",
                    "Take a copy: z.real.copy().",
                )

    # ---- reading

    def read(self, places: Any) -> Any:
        """Return elements: a plain number or array if none of them is traced."""
        if type(places) is not np.ndarray:
            return self._element(places)
        if not places.size:
            return self.flat[places]
        owners = self.owner[places]
        first = int(owners.flat[0])
        if not (owners == first).all():
            key = places.tobytes() + repr(places.shape).encode()
            known = self._joined.get(key)
            if known is None:
                known = self._join(places)
                self._joined[key] = known
            return known
        return self._of_one(self.parts[first], self.place[places]) if first else self.flat[places]

    def _element(self, place: Any) -> Any:
        owner = int(self.owner[place])
        if not owner:
            return self.flat[place]
        part = self.parts[owner]
        if not part.ndim:
            return part
        index = np.unravel_index(int(self.place[place]), part.shape)
        return getitem(part, index=tuple(map(int, index)))

    def _of_one(self, part: Traced, wanted: Places) -> Any:
        """Return elements of one part, by their numbers in it."""
        if not part.ndim:
            return _broadcast_to(part, shape=wanted.shape)
        if part.size == wanted.size and (wanted.ravel() == np.arange(part.size)).all():
            return part if part.shape == wanted.shape else _reshape(part, shape=wanted.shape)
        flat = _flat(part)
        if wanted.ndim == 1:
            first, step = int(wanted[0]), int(wanted[1] - wanted[0]) if wanted.size > 1 else 1
            if step > 0 and (np.diff(wanted) == step).all():
                return getitem(flat, index=(slice(first, int(wanted[-1]) + 1, step),))
        return getitem(flat, wanted.copy(), index=(Slot(0),))

    def _join(self, places: Places) -> Any:
        """Return elements of several parts as one array."""
        flat = places.ravel()
        owners, wanted = self.owner[flat], self.place[flat]
        new = (owners[1:] != owners[:-1]) | ((owners[1:] > 0) & (wanted[1:] != wanted[:-1] + 1))
        cuts = [0, *(np.flatnonzero(new) + 1).tolist(), flat.size]
        runs = list(itertools.pairwise(cuts))
        torn = sum(self._torn(int(owners[a]), b - a) for a, b in runs)
        if torn > len(set(owners.tolist())) + 2:
            made = self._gathered(owners, wanted, flat)
        else:
            made = _side_by_side(
                [self._run(int(owners[a]), wanted[a:b], flat[a:b]) for a, b in runs]
            )
        if places.ndim != 1:
            made = _reshape(made, shape=places.shape)
        if len(runs) > _MANY:
            self.write(places, made)
        return made

    def _torn(self, owner: int, length: int) -> bool:
        """Whether a run is a piece only of an array."""
        return bool(owner) and self.parts[owner].size not in (1, length)

    def _run(self, owner: int, wanted: Places, places: Places) -> Any:
        if owner:
            part = self.parts[owner]
            alone = not part.ndim and wanted.size == 1
            return part if alone else _number_or_array(self._of_one(part, wanted))
        return self.flat[places] if places.size > 1 else self.flat[places[0]]

    def _gathered(self, owners: Places, wanted: Places, places: Places) -> Any:
        """Return the elements by one look-up in all their parts laid end to end."""
        alive = np.unique(owners[owners > 0]).tolist()
        flats = [_number_or_array(_flat(self.parts[k])) for k in alive]
        start, starts = 0, np.zeros(max(alive) + 1, np.intp)
        for k in alive:
            starts[k] = start
            start += self.parts[k].size
        numbers = starts[owners] + wanted
        plain = owners == 0
        if plain.any():
            numbers[plain] = start + np.arange(np.count_nonzero(plain))
            flats.append(self.flat[places[plain]])
        return getitem(_side_by_side(flats), numbers, index=(Slot(0),))


def _flat(part: Traced) -> Any:
    return part if part.ndim == 1 else _reshape(part, shape=(part.size,))


def _number_or_array(part: Any) -> Any:
    """Return an array of one element as that element: many of them are stacked at once."""
    if type(part) is Traced and part.shape == (1,):
        return getitem(part, index=(0,))
    return part


def _side_by_side(parts: list[Any]) -> Any:
    """Join numbers and arrays of one axis to an array of one axis."""
    joined = []
    for is_number, group in itertools.groupby(parts, key=lambda part: np.ndim(part) == 0):
        some = list(group)
        joined += [_stack(*some, axis=0)] if is_number else some
    return joined[0] if len(joined) == 1 else _concatenate(*joined, axis=0)
