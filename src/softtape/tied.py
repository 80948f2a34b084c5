"""``tied``: a value computed from Params, which acts as a value itself."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import Any

from softtape.acting import ActsAsValue, current
from softtape.errors import ParamError
from softtape.location import Location
from softtape.reading import set_reader

__all__ = ["tied", "ties"]

__tracebackhide__ = True  # pytest shows the user's line instead

_TIED: list[weakref.ref[tied]] = []


class tied(ActsAsValue):  # noqa: N801 -- a decorator, like property
    """A value that is computed from Params each time it is used, and reported by fits.

    It acts as what the function returns, as a Param acts as its value, and is no blank of its own.

    Parameters
    ----------
    function
        Takes nothing, and returns a number or an array computed from Params and other tied
        values. Its name, or the global of its module that holds the result, names it in reports.

    Examples
    --------
    >>> from softtape import Param, tied
    >>> rate = Param(2.0, name="rate")
    >>> @tied
    ... def lifetime():
    ...     return 1 / rate
    >>> lifetime * 3
    1.5
    """

    __slots__ = ("__weakref__", "_function", "_running")

    def __init__(self, function: Callable[[], Any]) -> None:
        """Compute nothing yet."""
        if not callable(function):
            raise ParamError(
                f"tied takes a function, not {function!r}: what is computed from a Param before "
                "would not follow it. Write tied(lambda: 2 * param)."
            )
        self._function = function
        self._running: set[int] = set()  # threads that compute it right now
        _TIED.append(weakref.ref(self, _TIED.remove))

    @property
    def name(self) -> str:
        """That of its function; of a lambda, the global of its module that holds it."""
        name: str = getattr(self._function, "__name__", "tied")
        if name != "<lambda>":
            return name
        places = self._function.__globals__.items()
        return next((key for key, value in list(places) if value is self), self.where)

    @property
    def file(self) -> str:
        """The source file of its function."""
        return str(self._function.__code__.co_filename)

    @property
    def where(self) -> str:
        """File and line of its function, for messages."""
        return str(Location(self.file, self._function.__code__.co_firstlineno, ""))

    def _softtape_current(self) -> Any:
        """Return what the function computes now; under tracing, a traced value."""
        thread = threading.get_ident()
        if thread in self._running:
            raise ParamError(
                f"{self.where}: the tied value {self.name} is computed from itself: compute it "
                "from Params, or from tied values above it"
            )
        self._running.add(thread)
        try:
            return current(self._function())
        finally:
            self._running.discard(thread)

    def _softtape_peek(self) -> Any:
        """Return the plain value, whoever reads."""
        before = set_reader(None)
        try:
            return self._softtape_current()
        finally:
            set_reader(before)

    def __getattr__(self, name: str) -> Any:
        """Pass on what numpy arrays and numbers know: ``.T``, ``.sum()``, ``.shape``."""
        if name.startswith("_"):  # protocols that probe for dunder names must see this object
            raise AttributeError(name)
        return getattr(self._softtape_current(), name)

    def __repr__(self) -> str:
        """Name it."""
        return f"tied({self.name})"

    def __str__(self) -> str:
        """Show the plain value, also under tracing."""
        return str(self._softtape_peek())

    def __format__(self, spec: str) -> str:
        """Format the plain value, also under tracing."""
        return format(self._softtape_peek(), spec)

    def __len__(self) -> int:
        """Return the length of the first axis."""
        return len(self._softtape_current())

    def __copy__(self) -> tied:
        """Return itself, as a Param does."""
        return self

    def __deepcopy__(self, memo: Any) -> tied:
        """Return itself, as a Param does."""
        return self


def ties() -> list[tied]:
    """Return all tied values that exist in this process, in the order of their declaration."""
    return [value for ref in list(_TIED) if (value := ref()) is not None]
