"""What a tape wrote, as columns: the nodes of a graph that need no Python object each.

Recording appends three small integers for every operation of the user's program, and nothing
that the garbage collector has to follow. A :class:`Recording` shows them as the nodes of a
:class:`softtape.graph.Graph`, which transforms walk one by one, and as arrays, by which a tape of
millions of operations is looked through at once.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, overload
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from softtape.graph import CONSTANT, INPUT, Node
from softtape.ops import BY_CODE, PRIMITIVES

__all__ = [
    "FLOAT",
    "IS_INPUT",
    "NONE",
    "NUMBERS",
    "OTHER",
    "SHORT",
    "Columns",
    "Recording",
    "Wiring",
]

# Codes of leaves; those of operations, which are not negative, are their primitives'.
IS_INPUT, FLOAT, INT, NUMPY_FLOAT, OTHER = -1, -2, -3, -4, -5
NUMBERS = {float: FLOAT, int: INT, np.float64: NUMPY_FLOAT}
"""Codes of the constants that are ordinary numbers, by type."""

SHORT = 200
"""Nodes up to which Python looks through them faster than numpy is called for the first time."""

NONE = -1
"""In place of an operand: there is none, or it stands among the ``others``."""


class Columns(NamedTuple):
    """One entry per node, in the order of computation, shape (n,) each.

    Attributes
    ----------
    codes
        Code of the primitive, or of the kind of leaf.
    left, right
        Value numbers of the operands; :data:`NONE` where there is none.
    """

    codes: NDArray[np.int32]
    left: NDArray[np.int32]
    right: NDArray[np.int32]


class Wiring:
    """What the rows of a recording say by themselves; tests of one program mostly share it.

    Parameters
    ----------
    rows
        For each node its code and the value numbers of its one or two operands, shape (n, 3).
    used
        The codes that occur, if they are known.

    Attributes
    ----------
    shared
        Whether recordings of the same rows have this very object.
    """

    __slots__ = ("__weakref__", "_columns", "_digest", "_odd", "_places", "_used", "rows", "shared")

    def __init__(self, rows: NDArray[np.int32], used: list[int] | None = None) -> None:
        """Keep the rows; they are read when first asked for."""
        self.rows = rows
        self.shared = False
        self._columns: Columns | None = None
        self._places: NDArray[np.intp] | None = None
        self._used = used
        self._digest: bytes | None = None
        self._odd: list[bool] | None = None

    @staticmethod
    def of(rows: bytes) -> Wiring:
        """Return that of rows of 32-bit integers, one for all that are the same."""
        known = _KNOWN.get(rows)
        if known is None:
            known = _KNOWN[rows] = Wiring(np.frombuffer(rows, np.int32).reshape(-1, 3))
            known.shared = True
        return known

    @property
    def columns(self) -> Columns:
        """The nodes as arrays."""
        if self._columns is None:
            self._columns = Columns(*np.ascontiguousarray(self.rows.T))
        return self._columns

    @property
    def constant_numbers(self) -> NDArray[np.intp]:
        """Value numbers of the constants."""
        if self._places is None:
            self._places = np.flatnonzero(self.columns.codes < IS_INPUT)
        return self._places

    @property
    def used(self) -> list[int]:
        """The codes that occur, ascending: of operations, and of kinds of leaves."""
        if self._used is None:
            codes = self.columns.codes
            if len(codes) <= SHORT:
                self._used = sorted(set(codes.tolist()))
            else:
                counts = np.bincount(codes - OTHER)  # np.unique imports np.ma
                self._used = (np.flatnonzero(counts) + OTHER).tolist()
        return self._used

    @property
    def digest(self) -> bytes:
        """A digest of the rows, in which ordinary numbers are alike whatever their type."""
        if self._digest is None:
            codes, left, right = self.columns
            if INT in self.used or NUMPY_FLOAT in self.used:
                codes = np.where((codes == INT) | (codes == NUMPY_FLOAT), FLOAT, codes)
            made = hashlib.sha256(usedforsecurity=False)  # the fastest where processors help
            for column in (codes, left, right):
                made.update(column.astype(np.int32, copy=False).data)
            self._digest = made.digest()
        return self._digest

    @property
    def odd(self) -> list[bool]:
        """Whether the code of each constant does not tell its type; empty if all do."""
        if self._odd is None:
            self._odd = []
            if OTHER in self.used:
                self._odd = (self.columns.codes[self.constant_numbers] == OTHER).tolist()
        return self._odd


# like interned strings: there for as long as a recording has it
_KNOWN: WeakValueDictionary[bytes, Wiring] = WeakValueDictionary()


class Recording(Sequence[Node]):
    """The nodes of a graph, written as numbers.

    Parameters
    ----------
    wiring
        The operations and their operands.
    constants
        Values of the constants, in the order of their nodes.
    keys
        Keys of the inputs, in the order of their nodes.
    others
        Operands and static keywords of the operations that have keywords, or more operands
        than two, by value number.
    """

    __slots__ = ("_nodes", "constants", "keys", "others", "wiring")

    def __init__(
        self,
        wiring: Wiring,
        constants: Sequence[Any],
        keys: Sequence[str],
        others: Mapping[int, tuple[tuple[int, ...], Any]],
    ) -> None:
        """Keep what was written; it is read when first asked for."""
        self.wiring = wiring
        self.constants = constants
        self.keys = keys
        self.others = others
        self._nodes: tuple[Node, ...] | None = None

    @classmethod
    def of(cls, nodes: Sequence[Node]) -> Recording:
        """Return nodes as a recording: themselves, if they are one."""
        if isinstance(nodes, cls):
            return nodes
        made = cls(Wiring(np.empty((0, 3), np.int32), []), [], [], {})
        return made.extended(nodes)

    @property
    def columns(self) -> Columns:
        """The nodes as arrays."""
        return self.wiring.columns

    @property
    def constant_numbers(self) -> NDArray[np.intp]:
        """Value numbers of the constants."""
        return self.wiring.constant_numbers

    @property
    def used(self) -> list[int]:
        """The codes that occur, ascending: of operations, and of kinds of leaves."""
        return self.wiring.used

    @property
    def digest(self) -> bytes:
        """A digest of the rows, in which ordinary numbers are alike whatever their type."""
        return self.wiring.digest

    def unusual(self) -> list[Any]:
        """Return the constants whose code does not tell their type: they may be arrays."""
        odd = self.wiring.odd
        return [*itertools.compress(self.constants, odd)] if odd else []

    # ---- as a sequence of nodes

    def __len__(self) -> int:
        """Return the number of nodes."""
        return len(self.wiring.rows)

    def __iter__(self) -> Iterator[Node]:
        """Yield the nodes."""
        return iter(self._all)

    @overload
    def __getitem__(self, number: int) -> Node: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Node]: ...

    def __getitem__(self, number: Any) -> Any:
        """Return one node, or several."""
        return self._all[number]

    @property
    def _all(self) -> tuple[Node, ...]:
        """All nodes, kept from the first time on that they are asked for one by one."""
        if self._nodes is None:
            self._nodes = tuple(self._decoded())
        return self._nodes

    def node(self, number: int) -> Node:
        """Return one node and leave the others alone: for a few looks at a long tape."""
        if self._nodes is not None:
            return self._nodes[number]
        codes, lefts, rights = self.columns
        code, left, right = codes.item(number), lefts.item(number), rights.item(number)
        if code < IS_INPUT:
            place = int(self.constant_numbers.searchsorted(number))
            return CONSTANT, (), self.constants[place]
        if code == IS_INPUT:
            return INPUT, (), self.keys[int(np.sum(self.columns.codes[:number] == IS_INPUT))]
        return self._operation(number, code, left, right)

    def _operation(self, number: int, code: int, left: int, right: int) -> Node:
        if left == NONE:
            return BY_CODE[code].name, *self.others[number]
        return BY_CODE[code].name, (left,) if right == NONE else (left, right), None

    def _decoded(self) -> Iterator[Node]:
        constants, keys = iter(self.constants), iter(self.keys)
        columns = (column.tolist() for column in self.columns)
        for number, code, left, right in zip(itertools.count(), *columns, strict=False):
            if code < IS_INPUT:
                yield CONSTANT, (), next(constants)
            elif code == IS_INPUT:
                yield INPUT, (), next(keys)
            else:
                yield self._operation(number, code, left, right)

    def __reduce__(self) -> Any:
        """Travel as plain nodes: codes mean nothing elsewhere."""
        return tuple, (tuple(self),)

    # ---- others made of it

    def with_constants(self, constants: Sequence[Any]) -> Recording:
        """Return the same operations on other constants."""
        return Recording(self.wiring, constants, self.keys, self.others)

    def extended(self, nodes: Iterable[Node]) -> Recording:
        """Return these nodes and then some more."""
        constants, keys, others = [*self.constants], [*self.keys], {**self.others}
        added: list[tuple[int, int, int]] = []
        for number, (op, args, attrs) in enumerate(nodes, start=len(self)):
            if op == INPUT:
                keys.append(attrs)
                added.append((IS_INPUT, NONE, NONE))
            elif op == CONSTANT:
                constants.append(attrs)
                added.append((NUMBERS.get(type(attrs), OTHER), NONE, NONE))
            elif attrs or len(args) not in (1, 2):
                others[number] = (args, attrs)
                added.append((PRIMITIVES[op].code, NONE, NONE))
            else:
                added.append((PRIMITIVES[op].code, args[0], args[1] if len(args) > 1 else NONE))
        if not added:
            return self  # a recording never changes
        rows = np.empty((len(self) + len(added), 3), np.int32)
        rows[: len(self)] = self.wiring.rows
        rows[len(self) :] = added
        used = sorted({*self.used, *(code for code, _, _ in added)})
        return Recording(Wiring(rows, used), constants, keys, others)

    def selected(
        self, keep: NDArray[np.bool_], same: NDArray[np.int32] | None = None
    ) -> tuple[Recording, NDArray[np.int32]]:
        """Return some of the nodes, and the new number of each old one that is left.

        Parameters
        ----------
        keep
            Which nodes stay, shape (n,): all inputs, and all that those that stay refer to.
        same
            For each node the one that stands for it, shape (n,), by default itself.
        """
        number = np.where(keep, np.cumsum(keep, dtype=np.int32) - 1, NONE)
        if same is not None:
            number = number[same]
        codes, left, right = (column[keep] for column in self.columns)
        for column in (left, right):
            there = column != NONE
            column[there] = number[column[there]]
        constants = list(itertools.compress(self.constants, keep[self.constant_numbers].tolist()))
        others = {
            int(number[k]): (tuple(number[list(args)].tolist()), attrs)
            for k, (args, attrs) in self.others.items()
            if keep[k]
        }
        rows = np.stack([codes, left, right], axis=1)
        return Recording(Wiring(rows), constants, self.keys, others), number
