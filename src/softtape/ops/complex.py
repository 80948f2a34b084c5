"""Complex numbers: what is not holomorphic, and the convention of all rules.

A cotangent ``g`` of a complex value ``z`` means ``d𝓛 = Re(sum(g * dz))``, without a conjugate, as
in JAX and autograd: so ``g = ∂𝓛/∂(Re z) - 1j * ∂𝓛/∂(Im z)``. Then the rule of a holomorphic
function reads as it does for real numbers, reverse and forward. The transforms take the real part
of whatever arrives at a real operand, or as tangent of a real result; a rule ``g * d`` of a real
function of complex operands, ``dy = Re(d * dz)``, thereby holds in both directions, too.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from softtape.ops.registry import Kind, implements, primitive

__all__ = ["conj", "is_complex", "transposed"]


def is_complex(x: Any) -> bool:
    """Whether a number or an array, plain or traced, is complex."""
    dtype = getattr(x, "dtype", None)
    return type(x) is complex if dtype is None else bool(dtype.kind == "c")


_conjugate = primitive(
    "conjugate", np.conjugate, (lambda g, y, x: np.conj(g),), kind=Kind.ELEMENTWISE
)


def conj(x: Any) -> Any:
    """Return the conjugate of what is complex, and what is real as it is."""
    return np.conj(x) if is_complex(x) else x


def transposed(x: Any) -> Any:
    """Return the conjugate transpose of the last two axes."""
    return conj(np.swapaxes(x, -1, -2))


_real = primitive("real", np.real, (lambda g, y, x: g,), kind=Kind.ELEMENTWISE)
_imag = primitive("imag", np.imag, (lambda g, y, x: -1j * g,), kind=Kind.ELEMENTWISE)
_angle = primitive(
    "angle",
    np.angle,
    # at 0, where every direction leads to another angle, none by choice
    (lambda g, y, x: np.where(x == 0, 0.0, -1j * g / np.where(x == 0, 1.0, x)),),
    kind=Kind.ELEMENTWISE,
)


@implements(np.conjugate)
def _np_conjugate(x: Any) -> Any:
    return _conjugate(x) if is_complex(x) else x.copy() if hasattr(x, "copy") else x


@implements(np.real)
def _np_real(val: Any) -> Any:
    return _real(val) if is_complex(val) else val


@implements(np.imag)
def _np_imag(val: Any) -> Any:
    return _imag(val) if is_complex(val) else np.zeros(np.shape(val), val.dtype)[()]


@implements(np.angle)
def _np_angle(z: Any, deg: bool = False) -> Any:
    made = _angle(z) if is_complex(z) else np.where(z < 0, np.pi, 0.0)
    return np.degrees(made) if deg else made


@implements(np.iscomplexobj)
def _np_iscomplexobj(x: Any) -> bool:
    return is_complex(x)


@implements(np.isrealobj)
def _np_isrealobj(x: Any) -> bool:
    return not is_complex(x)


@implements(np.iscomplex)
def _np_iscomplex(x: Any) -> Any:
    return np.imag(x) != 0


@implements(np.isreal)
def _np_isreal(x: Any) -> Any:
    return np.imag(x) == 0


@implements(np.real_if_close)
def _np_real_if_close(a: Any, tol: float = 100) -> Any:
    if not is_complex(a):
        return a
    if tol > 1:
        tol = tol * np.finfo(a.dtype).eps
    return a.real if bool(np.all(np.abs(a.imag) < tol)) else a  # a guard


@implements(np.sort_complex)
def _np_sort_complex(a: Any) -> Any:
    made = np.sort(a)
    return made if is_complex(made) else made.astype(complex)
