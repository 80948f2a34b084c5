"""Fourier transforms of real operands, or of two that are real and imaginary part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_calls.draw import Calls, Table, any_of, fixed


def both_parts(z: Any) -> Any:
    return np.stack([np.real(z), np.imag(z)])


def of_complex(function: Callable[..., Any], *shape: int) -> Calls:
    return fixed(lambda x, y: both_parts(function(x + 1j * y)), shape, shape, analytic=False)


def of_real(function: Callable[..., Any], *shape: int) -> Calls:
    return fixed(lambda x: both_parts(function(x)), shape, analytic=False)


SMOOTH: Table = {
    np.fft.fft: any_of(
        of_real(lambda x: np.fft.fft(x, 5, norm="ortho"), 2, 3),
        of_complex(lambda z: np.fft.fft(z, 2, axis=0, norm="forward"), 3, 2),
    ),
    np.fft.ifft: of_complex(lambda z: np.fft.ifft(z, axis=0), 4, 2),
    np.fft.rfft: any_of(
        of_real(lambda x: np.fft.rfft(x, axis=0, norm="forward"), 4, 2),
        of_real(lambda x: np.fft.rfft(x, 3, norm="ortho"), 4),
        of_real(lambda x: np.fft.rfft(x, 5), 2, 4),
    ),
    np.fft.irfft: any_of(
        of_complex(np.fft.irfft, 2, 3),
        of_complex(lambda z: np.fft.irfft(z, 5, norm="ortho"), 3),
        of_complex(lambda z: np.fft.irfft(z, 7, axis=0, norm="forward"), 3, 2),
        of_real(np.fft.irfft, 3),
    ),
    np.fft.hfft: of_complex(lambda z: np.fft.hfft(z, norm="ortho"), 3),
    np.fft.ihfft: of_real(lambda x: np.fft.ihfft(x, 5), 4),
    np.fft.fft2: of_complex(lambda z: np.fft.fft2(z, (3, 2)), 2, 2, 3),
    np.fft.ifft2: of_complex(lambda z: np.fft.ifft2(z, axes=(0, 2), norm="ortho"), 2, 2, 3),
    np.fft.rfft2: of_real(np.fft.rfft2, 2, 2, 3),
    np.fft.irfft2: of_complex(lambda z: np.fft.irfft2(z, (2, 5)), 2, 3),
    np.fft.fftn: of_complex(np.fft.fftn, 2, 2, 3),
    np.fft.ifftn: of_complex(lambda z: np.fft.ifftn(z, s=(-1, 2), axes=(0, 1)), 2, 3),
    np.fft.rfftn: of_real(np.fft.rfftn, 2, 2, 3),
    np.fft.irfftn: of_complex(lambda z: np.fft.irfftn(z, axes=(1, 0)), 3, 2),
    np.fft.fftshift: any_of(
        fixed(np.fft.fftshift, (3, 2)), fixed(lambda x: np.fft.fftshift(x, 0), (5, 2))
    ),
    np.fft.ifftshift: fixed(np.fft.ifftshift, (3, 2)),
}
HIDDEN: dict[str, Calls] = {
    "fftfreq": fixed(lambda d: np.fft.fftfreq(5, d) + np.fft.rfftfreq(9, d), (), low=1.0),
}
