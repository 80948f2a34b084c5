"""Complex numbers: real functions of real operands, with complex numbers on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from numpy_calls.draw import Calls, Table, any_of, fixed, joined

HOLOMORPHIC: tuple[Callable[..., Any], ...] = (
    *(np.exp, np.exp2, np.expm1, np.log, np.log2, np.log10, np.log1p, np.sqrt, np.square),
    *(np.sin, np.cos, np.tan, np.arcsin, np.arccos, np.arctan, np.reciprocal, np.negative),
    *(np.sinh, np.cosh, np.tanh, np.arcsinh, np.arccosh, np.arctanh, np.positive, np.sinc),
)


def of_parts(function: Callable[..., Any], operands: int = 1, *shape: int) -> Calls:
    """Draw real and imaginary parts of complex operands; look at both parts of the result."""

    def parts(*given: Any) -> Any:
        z = function(*(re + 1j * im for re, im in zip(given[::2], given[1::2], strict=True)))
        return np.stack([np.real(z), np.imag(z)])

    return fixed(parts, *[shape or (2,)] * (2 * operands), low=0.2, high=0.9, analytic=False)


def hermitian(x: Any, y: Any) -> Any:
    """Return a matrix whose eigenvalues are apart and positive."""
    z = x + 1j * y
    spread = np.diag([3.0, 7.0, 12.0])
    return z + np.conj(np.swapaxes(z, -1, -2)) + spread


def of_matrices(function: Callable[..., Any], *shape: int) -> Calls:
    return fixed(
        lambda x, y: joined([p for z in function(x + 1j * y) for p in (np.real(z), np.imag(z))]),
        *[shape or (2, 3, 3)] * 2,
        low=-0.5,
        high=0.5,
        analytic=False,
    )


SPREAD = np.array([[1.0, 0, 0], [0, 3, 0], [0, 0, 6]])

SMOOTH: Table = {
    np.imag: fixed(lambda x: np.imag(np.exp(1j * x)), (2, 3), analytic=False),
    np.angle: any_of(
        fixed(lambda x, y: np.angle(x + 1j * y), (3,), (3,), low=0.3, analytic=False),
        fixed(lambda x, y: np.angle(x + 1j * y, deg=True), (3,), (), low=0.3, analytic=False),
    ),
    np.real_if_close: fixed(lambda x: np.real_if_close((x + 0j) ** 2), (3,), analytic=False),
    np.sort_complex: fixed(lambda x: np.real(np.sort_complex(x)), (3,), apart=True, analytic=False),
}
HIDDEN: dict[str, Any] = {
    **{
        f"complex-holomorphic-{i}": of_parts(
            lambda z, i=i: np.concatenate([f(z) for f in HOLOMORPHIC[i::4]])
        )
        for i in range(4)
    },
    **{
        f"complex-{f.__name__}": of_parts(f, 2)
        for f in (np.add, np.subtract, np.multiply, np.divide, np.power, np.float_power)
    },
    "complex-power": any_of(
        of_parts(lambda z: z**2.0),
        of_parts(lambda z: (-1.5) ** z),
        fixed(lambda x: np.real(x ** (0.3 + 1j)), (3,), low=0.3, analytic=False),
    ),
    "complex-absolute": of_parts(lambda z: np.abs(z) + 1j * np.abs(z) ** 2),
    "complex-sign": of_parts(np.sign),
    "complex-conjugate": of_parts(lambda z: np.conj(z) * z.conj() + z.conjugate()),
    "complex-where": of_parts(lambda z: np.where(np.real(z) > 0.5, z * z, 1j)),
    "complex-matmul": of_parts(lambda a, b: a @ b + 1j * (a @ np.ones(2)), 2, 2, 2),
    "complex-vdot": of_parts(lambda a, b: np.vdot(a, b) + np.vecdot(a, b), 2),
    "complex-einsum": of_parts(lambda a, b: np.einsum("ij,jk->ki", a, b), 2, 2, 2),
    "complex-sum": of_parts(lambda z: np.sum(z, 0) + np.mean(z, 1) * np.prod(z, 0), 1, 2, 2),
    "complex-cumsum": of_parts(lambda z: np.cumsum(z) * np.var(z) + np.std(z)),
    "complex-getitem": of_parts(lambda z: z[::-1] * z[0] + z[np.array([1, 1])]),
    "complex-concatenate": of_parts(lambda z: np.concatenate([z, z.real, z.imag])),
    "complex-nan_to_num": of_parts(lambda z: np.nan_to_num(z) ** 2),
    "complex-inv": of_matrices(lambda a: [np.linalg.inv(a + 2 * SPREAD)]),
    "complex-solve": of_matrices(lambda a: [np.linalg.solve(a + 2 * SPREAD, a[0] + 1j)]),
    "complex-det": of_matrices(lambda a: [np.linalg.det(a)]),
    "complex-slogdet": of_matrices(lambda a: np.linalg.slogdet(a + SPREAD)),
    "complex-cholesky": fixed(
        lambda x, y: np.abs(np.linalg.cholesky(hermitian(x, y))),
        *[(2, 3, 3)] * 2,
        low=-0.5,
        high=0.5,
        analytic=False,
    ),
    "complex-eigh": any_of(
        fixed(
            lambda x, y: np.linalg.eigvalsh(hermitian(x, y)),
            *[(2, 3, 3)] * 2,
            low=-0.5,
            high=0.5,
            analytic=False,
        ),
        fixed(
            lambda x, y: np.abs(np.linalg.eigh(hermitian(x, y), "U")[1]),
            *[(2, 3, 3)] * 2,
            low=-0.5,
            high=0.5,
            analytic=False,
        ),
    ),
    "complex-eig": any_of(
        of_matrices(lambda a: [np.linalg.eigvals(a + 2 * SPREAD)]),
        of_matrices(lambda a: [np.abs(np.linalg.eig(a + 2 * SPREAD)[1])]),
    ),
    **{
        f"complex-svd-{m}x{n}": of_matrices(
            lambda a, m=m, n=n: products(np.linalg.svd(a + SPREAD[:m, :n], full_matrices=False)),
            m,
            n,
        )
        for m, n in ((3, 2), (2, 3))
    },
    "complex-qr": of_matrices(lambda a: np.linalg.qr(a + SPREAD[:, :2]), 3, 2),
    "complex-pinv": of_matrices(lambda a: [np.linalg.pinv(a + SPREAD[:, :2])], 3, 2),
    "complex-norm": any_of(
        *(
            of_matrices(lambda a, p=p: [np.linalg.norm(a + SPREAD, p)], 3, 3)
            for p in ("fro", "nuc", 1, 2)
        )
    ),
}


def products(factors: Any) -> list[Any]:
    """Return what the phases of singular vectors leave alone."""
    u, s, vh = factors
    return [s, u[:, :1] @ vh[:1]]
