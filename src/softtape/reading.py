"""Who answers when a Param is read; all that Params know of tapes.

Production and checks read Params as plain values, so they load none of what records.
"""

from __future__ import annotations

from typing import Any, Protocol

__all__ = ["Readable", "Reader", "reader", "set_reader"]


class Readable(Protocol):
    """What a reader needs to know of a Param."""

    @property
    def key(self) -> str:
        """What tells it from every other."""
        ...

    @property
    def where(self) -> str:
        """File and line of its declaration."""
        ...

    def _softtape_peek(self) -> Any: ...


class Reader(Protocol):
    """Who answers when a Param is read: nobody (None) outside a fit, then it acts as its value."""

    def read(self, param: Readable, /) -> Any:
        """Return what the program gets for ``param``."""
        ...

    def show(self, param: Readable, /) -> None:
        """Take note that the program made a text of the plain value of ``param``."""


reader: Reader | None = None


def set_reader(new: Reader | None) -> Reader | None:
    """Make ``new`` answer for Params from now on, and return the reader before.

    There is one reader for the whole process, not one per thread: a program that reads a Param
    in a thread of its own must meet the same tape, or its gradient would be lost.
    """
    global reader
    before, reader = reader, new
    return before
