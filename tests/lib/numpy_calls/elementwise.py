"""Elementwise functions: the calls that try their rules."""

from __future__ import annotations

import numpy as np

from numpy_calls.draw import MASK, Table, any_of, away_from_ties, binary, fixed, unary
from softtape.tape import stop_gradient

SMOOTH: Table = {
    np.add: binary(np.add),
    np.subtract: binary(np.subtract),
    np.multiply: binary(np.multiply),
    np.divide: binary(np.divide, right=(0.5, 2.0)),
    np.power: any_of(
        binary(np.power, left=(0.3, 2.0)),
        unary(lambda x: np.power(x, 2)),
        unary(lambda x: x**2.0 + x**1 + x**0 + x**3 + x**-1.0, 0.5, 2.0),
        unary(lambda x: x ** np.float64(2.5), 0.5, 2.0),
        unary(lambda x: 2.0**x),
        fixed(lambda x: x ** np.array([0, 1, 2.5]), (3,), low=0.5),
    ),
    np.float_power: binary(np.float_power, left=(0.3, 2.0)),
    np.remainder: binary(np.remainder, left=(7.2, 7.4), right=(2.6, 3.0), analytic=False),
    np.fmod: binary(np.fmod, left=(-7.4, -7.2), right=(2.6, 3.0), analytic=False),
    np.divmod: binary(
        lambda a, b: np.divmod(a, b)[0] + np.divmod(a, b)[1],
        left=(7.2, 7.4),
        right=(2.6, 3.0),
        analytic=False,
    ),
    np.negative: unary(np.negative),
    np.positive: unary(np.positive),
    np.absolute: unary(np.absolute, -2.0, -0.2, analytic=False),
    np.fabs: unary(np.fabs, 0.2, 2.0, analytic=False),
    np.exp: unary(np.exp),
    np.exp2: unary(np.exp2),
    np.expm1: unary(np.expm1),
    np.log: unary(np.log, 0.3, 3.0),
    np.log2: unary(np.log2, 0.3, 3.0),
    np.log10: unary(np.log10, 0.3, 3.0),
    np.log1p: unary(np.log1p, -0.5, 3.0),
    np.sqrt: unary(np.sqrt, 0.3, 3.0),
    np.cbrt: unary(np.cbrt, 0.3, 3.0, analytic=False),
    np.square: unary(np.square),
    np.reciprocal: unary(np.reciprocal, 0.5, 2.0),
    np.sin: unary(np.sin),
    np.cos: unary(np.cos),
    np.tan: unary(np.tan, -1.2, 1.2),
    np.arcsin: unary(np.arcsin, -0.8, 0.8),
    np.arccos: unary(np.arccos, -0.8, 0.8),
    np.arctan: unary(np.arctan),
    np.sinh: unary(np.sinh),
    np.cosh: unary(np.cosh),
    np.tanh: unary(np.tanh),
    np.arcsinh: unary(np.arcsinh),
    np.arccosh: unary(np.arccosh, 1.3, 3.0),
    np.arctanh: unary(np.arctanh, -0.8, 0.8),
    np.degrees: unary(np.degrees, analytic=False),
    np.radians: unary(np.radians, analytic=False),
    np.rad2deg: unary(np.rad2deg, analytic=False),
    np.deg2rad: unary(np.deg2rad, analytic=False),
    np.sinc: unary(np.sinc, 0.2, 2.0, analytic=False),
    np.arctan2: binary(np.arctan2, right=(0.4, 2.0), analytic=False),
    np.hypot: binary(np.hypot, right=(0.4, 2.0), analytic=False),
    np.logaddexp: binary(np.logaddexp, analytic=False),
    np.logaddexp2: binary(np.logaddexp2, analytic=False),
    np.maximum: away_from_ties(np.maximum),
    np.minimum: away_from_ties(np.minimum),
    np.fmax: away_from_ties(np.fmax),
    np.fmin: away_from_ties(np.fmin),
    np.copysign: binary(
        lambda a, b: np.copysign(a, stop_gradient(b)), left=(0.3, 2.0), analytic=False
    ),
    np.ldexp: fixed(lambda x: np.ldexp(x, [0, 1, -2]), (3,), analytic=False),
    np.frexp: unary(lambda x: np.frexp(x)[0] + 0.0 * np.frexp(x)[1], 1.1, 1.9, analytic=False),
    np.modf: unary(lambda x: np.modf(x)[0] + np.modf(x)[1] * 2, 1.1, 1.9, analytic=False),
    np.nextafter: binary(
        lambda a, b: np.nextafter(a, stop_gradient(b)), left=(0.3, 2.0), analytic=False
    ),
    np.astype: unary(lambda x: np.astype(x, np.float64), analytic=False),
    np.where: any_of(
        fixed(lambda a, b: np.where(MASK, a, b), (2, 3), (3,)),
        fixed(lambda a: np.where(MASK, a, 1.0), ()),
    ),
    np.clip: any_of(
        unary(lambda x: np.clip(x, -5, 5), analytic=False),
        unary(lambda x: np.clip(x, None, 3.0), -5, 2.5, analytic=False),
        fixed(lambda x: np.clip(x, -0.5, 0.45), (5,), apart=True, analytic=False),
        fixed(lambda x, low, high: np.clip(x, low, high + 6.0), (3,), (), (3,), analytic=False),
        unary(lambda x: np.clip(x, min=-5, max=5), analytic=False),
    ),
    np.real: unary(np.real, analytic=False),
    np.conjugate: unary(np.conjugate, analytic=False),
    np.nan_to_num: fixed(
        lambda x: np.nan_to_num(np.where(MASK[0], x, np.array([np.nan, np.nan, np.inf]))),
        (2, 3),
        analytic=False,
    ),
}
SMOOTH[np.round] = SMOOTH[np.around] = unary(lambda x: x * np.round(x, 1), 0.11, 0.14)
