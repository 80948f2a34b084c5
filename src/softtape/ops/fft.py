"""Fourier transforms.

All are linear. The matrix of a discrete Fourier transform is symmetric, so that cotangents, which
carry no conjugate (see :mod:`softtape.ops.complex`), go back through the same transform. Those of
real numbers keep half of the spectrum, whose inner terms stand for two each.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from softtape.ops.reductions import axes as positive
from softtape.ops.registry import Kind, Primitive, implements, primitive

__all__: list[str] = []

# By which norm a transform in the other direction is multiplied by the same factor.
_OTHER_WAY = {"backward": "forward", "ortho": "ortho", "forward": "backward"}


def _norm(norm: str | None) -> str:
    norm = norm or "backward"
    if norm not in _OTHER_WAY:
        raise ValueError(f"np.fft: norm must be one of {', '.join(_OTHER_WAY)}, got {norm!r}")
    return norm


def _twice_inside(x: Any, n: int, axis: int) -> Any:
    """Return how many terms of ``n`` each term of half a spectrum stands for, shaped for ``x``."""
    counts = np.full(n // 2 + 1, 2.0, np.real(x).dtype)
    counts[0] = 1.0
    if n % 2 == 0:
        counts[-1] = 1.0
    return np.reshape(counts, tuple(-1 if i == axis else 1 for i in range(np.ndim(x))))


_fft: Primitive = primitive(
    "fft",
    lambda x, axis, norm: np.fft.fftn(x, axes=axis, norm=norm),
    (lambda g, y, x, axis, norm: _fft(g, axis=axis, norm=norm),),
    kind=Kind.LINEAR,
)
_ifft: Primitive = primitive(
    "ifft",
    lambda x, axis, norm: np.fft.ifftn(x, axes=axis, norm=norm),
    (lambda g, y, x, axis, norm: _ifft(g, axis=axis, norm=norm),),
    kind=Kind.LINEAR,
)


def _rfft_vjp(g: Any, y: Any, x: Any, axis: int, norm: str) -> Any:
    n = np.shape(x)[axis]
    halved = np.conj(g) / _twice_inside(y, n, axis)
    return _irfft(halved, n=n, axis=axis, norm=_OTHER_WAY[norm])


def _irfft_vjp(g: Any, y: Any, x: Any, n: int, axis: int, norm: str) -> Any:
    spectrum = np.conj(_rfft(g, axis=axis, norm=_OTHER_WAY[norm]))
    return spectrum * _twice_inside(x, n, axis)


_rfft = primitive(
    "rfft",
    lambda x, axis, norm: np.fft.rfft(x, axis=axis, norm=norm),
    (_rfft_vjp,),
    kind=Kind.LINEAR,
)
_irfft = primitive(
    "irfft",
    lambda x, n, axis, norm: np.fft.irfft(x, n, axis=axis, norm=norm),
    (_irfft_vjp,),
    kind=Kind.LINEAR,
)


def _resized(x: Any, n: int, axis: int) -> Any:
    """Cut an axis to length ``n``, or fill it up with zeros."""
    shape = list(np.shape(x))
    if n < 1:
        raise ValueError(f"np.fft: the number of points is {n}, not positive")
    if n < shape[axis]:
        return x[(slice(None),) * axis + (slice(n),)]
    if n > shape[axis]:
        shape[axis] = n - shape[axis]
        return np.concatenate([x, np.zeros(shape, x.dtype)], axis=axis)
    return x


def _sizes(x: Any, s: Any, axes: Any, *, half: bool = False) -> list[tuple[int, int]]:
    """Return the axes to transform, each with its length; ``half``: the last is a half spectrum."""
    shape = np.shape(x)
    if axes is None:
        axes = range(-len(shape if s is None else s), 0)
    axes = [positive(int(a), len(shape))[0] for a in axes]
    lengths = [-1] * len(axes) if s is None else list(s)
    if len(lengths) != len(axes):
        raise ValueError("np.fft: s and axes must have the same length")
    known = [shape[a] if n == -1 else int(n) for a, n in zip(axes, lengths, strict=True)]
    if half and lengths[-1] == -1:
        known[-1] = 2 * (shape[axes[-1]] - 1)
    return list(zip(axes, known, strict=True))


def _complex_transform(x: Any, sizes: list[tuple[int, int]], norm: Any, inverse: bool) -> Any:
    for axis, n in sizes:
        x = _resized(x, n, axis)
    if not sizes:
        return x
    transform = _ifft if inverse else _fft
    return transform(x, axis=tuple(axis for axis, _ in sizes), norm=_norm(norm))


@implements(np.fft.fftn)
def _np_fftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None) -> Any:
    return _complex_transform(a, _sizes(a, s, axes), norm, inverse=False)


@implements(np.fft.ifftn)
def _np_ifftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None) -> Any:
    return _complex_transform(a, _sizes(a, s, axes), norm, inverse=True)


@implements(np.fft.rfftn)
def _np_rfftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None) -> Any:
    *others, (axis, n) = _sizes(a, s, axes)
    if a.dtype.kind == "c":
        raise TypeError("np.fft.rfft takes real numbers, not complex ones")
    half = _rfft(_resized(a, n, axis), axis=axis, norm=_norm(norm))
    return _complex_transform(half, others, norm, inverse=False)


@implements(np.fft.irfftn)
def _np_irfftn(a: Any, s: Any = None, axes: Any = None, norm: Any = None) -> Any:
    *others, (axis, n) = _sizes(a, s, axes, half=True)
    a = _complex_transform(a, others, norm, inverse=True)
    return _irfft(_resized(a, n // 2 + 1, axis), n=n, axis=axis, norm=_norm(norm))


def _given(n: Any) -> Any:
    return None if n is None else (n,)


@implements(np.fft.fft)
def _np_fft(a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    return _np_fftn(a, _given(n), (axis,), norm)


@implements(np.fft.ifft)
def _np_ifft(a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    return _np_ifftn(a, _given(n), (axis,), norm)


@implements(np.fft.rfft)
def _np_rfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    return _np_rfftn(a, _given(n), (axis,), norm)


@implements(np.fft.irfft)
def _np_irfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    return _np_irfftn(a, _given(n), (axis,), norm)


@implements(np.fft.hfft)
def _np_hfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    return _np_irfftn(np.conj(a), _given(n), (axis,), _OTHER_WAY[_norm(norm)])


@implements(np.fft.ihfft)
def _np_ihfft(a: Any, n: Any = None, axis: int = -1, norm: Any = None) -> Any:
    return np.conj(_np_rfftn(a, _given(n), (axis,), _OTHER_WAY[_norm(norm)]))


@implements(np.fft.fft2)
def _np_fft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None) -> Any:
    return _np_fftn(a, s, axes, norm)


@implements(np.fft.ifft2)
def _np_ifft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None) -> Any:
    return _np_ifftn(a, s, axes, norm)


@implements(np.fft.rfft2)
def _np_rfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None) -> Any:
    return _np_rfftn(a, s, axes, norm)


@implements(np.fft.irfft2)
def _np_irfft2(a: Any, s: Any = None, axes: Any = (-2, -1), norm: Any = None) -> Any:
    return _np_irfftn(a, s, axes, norm)


def _shifted(x: Any, axes: Any, *, back: bool) -> Any:
    axes = positive(axes, np.ndim(x))
    halves = [np.shape(x)[a] // 2 for a in axes]
    return np.roll(x, [-n if back else n for n in halves], axes)


@implements(np.fft.fftshift)
def _np_fftshift(x: Any, axes: Any = None) -> Any:
    return _shifted(x, axes, back=False)


@implements(np.fft.ifftshift)
def _np_ifftshift(x: Any, axes: Any = None) -> Any:
    return _shifted(x, axes, back=True)
