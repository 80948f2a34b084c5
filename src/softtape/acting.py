"""Python's operators for an object that acts as a value it looks up on each use."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["ActsAsValue", "current"]

__tracebackhide__ = True  # pytest shows the user's line instead


class ActsAsValue:
    """Base of :class:`softtape.Param`: every operator acts on what ``_softtape_current`` returns.

    Spelt out rather than generated, so that type checkers know the operators too and each costs
    one call only.
    """

    __slots__ = ()

    def _softtape_current(self) -> Any:
        """Return the value to act as, now."""
        raise NotImplementedError

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Return the value as an array (under tracing: raise, naming np.stack)."""
        return np.array(self._softtape_current(), dtype=dtype)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **keywords: Any) -> Any:
        """Apply a ufunc to the value."""
        __tracebackhide__ = True
        return getattr(ufunc, method)(*map(current, inputs), **keywords)

    def __array_function__(
        self, function: Callable[..., Any], types: Any, args: Any, keywords: Any
    ) -> Any:
        """Apply a numpy function to the value."""
        __tracebackhide__ = True
        return function(*map(current, args), **{k: current(v) for k, v in keywords.items()})

    def __add__(self, other: Any) -> Any:
        """Return ``self + other``."""
        return self._softtape_current() + other

    def __radd__(self, other: Any) -> Any:
        """Return ``other + self``."""
        return other + self._softtape_current()

    def __sub__(self, other: Any) -> Any:
        """Return ``self - other``."""
        return self._softtape_current() - other

    def __rsub__(self, other: Any) -> Any:
        """Return ``other - self``."""
        return other - self._softtape_current()

    def __mul__(self, other: Any) -> Any:
        """Return ``self * other``."""
        return self._softtape_current() * other

    def __rmul__(self, other: Any) -> Any:
        """Return ``other * self``."""
        return other * self._softtape_current()

    def __truediv__(self, other: Any) -> Any:
        """Return ``self / other``."""
        return self._softtape_current() / other

    def __rtruediv__(self, other: Any) -> Any:
        """Return ``other / self``."""
        return other / self._softtape_current()

    def __floordiv__(self, other: Any) -> Any:
        """Return ``self // other``."""
        return self._softtape_current() // other

    def __rfloordiv__(self, other: Any) -> Any:
        """Return ``other // self``."""
        return other // self._softtape_current()

    def __mod__(self, other: Any) -> Any:
        """Return ``self % other``."""
        return self._softtape_current() % other

    def __rmod__(self, other: Any) -> Any:
        """Return ``other % self``."""
        return other % self._softtape_current()

    def __pow__(self, other: Any) -> Any:
        """Return ``self ** other``."""
        return self._softtape_current() ** other

    def __rpow__(self, other: Any) -> Any:
        """Return ``other ** self``."""
        return other ** self._softtape_current()

    def __matmul__(self, other: Any) -> Any:
        """Return ``self @ other``."""
        return self._softtape_current() @ other

    def __rmatmul__(self, other: Any) -> Any:
        """Return ``other @ self``."""
        return other @ self._softtape_current()

    def __divmod__(self, other: Any) -> Any:
        """Return ``divmod(self, other)``."""
        return divmod(self._softtape_current(), other)

    def __rdivmod__(self, other: Any) -> Any:
        """Return ``divmod(other, self)``."""
        return divmod(other, self._softtape_current())

    def __lt__(self, other: Any) -> Any:
        """Return ``self < other``."""
        return self._softtape_current() < other

    def __le__(self, other: Any) -> Any:
        """Return ``self <= other``."""
        return self._softtape_current() <= other

    def __gt__(self, other: Any) -> Any:
        """Return ``self > other``."""
        return self._softtape_current() > other

    def __ge__(self, other: Any) -> Any:
        """Return ``self >= other``."""
        return self._softtape_current() >= other

    def __eq__(self, other: object) -> Any:
        """Return ``self == other``, by value."""
        return self._softtape_current() == other

    def __ne__(self, other: object) -> Any:
        """Return ``self != other``, by value."""
        return self._softtape_current() != other

    def __hash__(self) -> int:
        """Hash by identity."""
        return id(self)

    def __neg__(self) -> Any:
        """Return ``-self``."""
        return -self._softtape_current()

    def __pos__(self) -> Any:
        """Return ``+self``."""
        return +self._softtape_current()

    def __abs__(self) -> Any:
        """Return ``abs(self)``."""
        return abs(self._softtape_current())

    def __bool__(self) -> bool:
        """Return ``bool(self)``."""
        return bool(self._softtape_current())

    def __float__(self) -> float:
        """Return ``float(self)``."""
        return float(self._softtape_current())

    def __int__(self) -> int:
        """Return ``int(self)``."""
        return int(self._softtape_current())

    def __complex__(self) -> complex:
        """Return ``complex(self)``."""
        return complex(self._softtape_current())

    def __index__(self) -> int:
        """Raise, as a float does: a Param is no integer."""
        return operator.index(self._softtape_current())

    def __round__(self, ndigits: int | None = None) -> Any:
        """Return ``round(self, ndigits)``."""
        return round(self._softtape_current(), ndigits)

    def __floor__(self) -> int:
        """Return ``math.floor(self)``."""
        whole: int = math.floor(self._softtape_current())
        return whole

    def __ceil__(self) -> int:
        """Return ``math.ceil(self)``."""
        whole: int = math.ceil(self._softtape_current())
        return whole

    def __trunc__(self) -> int:
        """Return ``math.trunc(self)``."""
        whole: int = math.trunc(self._softtape_current())
        return whole

    def __contains__(self, item: object) -> bool:
        """Return ``item in self``."""
        return item in self._softtape_current()

    def __iter__(self) -> Iterator[Any]:
        """Iterate over the first axis of the value."""
        return iter(self._softtape_current())

    def __getitem__(self, index: Any) -> Any:
        """Index the value."""
        return self._softtape_current()[index]


def current(value: Any) -> Any:
    """Return what acts as a value as that value, also within a list; anything else as it is."""
    __tracebackhide__ = True
    if isinstance(value, ActsAsValue):
        return value._softtape_current()
    if type(value) in (list, tuple):
        return type(value)(map(current, value))
    return value
