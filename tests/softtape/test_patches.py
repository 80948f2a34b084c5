"""math and np.array under tracing: followed where they are called through their module."""

import math

import numpy as np
import pytest

from softtape import Param, TraceError, grad, value_and_grad
from softtape.engines import Program
from softtape.patches import following
from softtape.tape import Tape, Traced
from softtape.transforms import value_and_gradient

blank = Param(0.4)
matrix = Param(np.arange(4.0).reshape(2, 2))


def derivative(program, x):
    """Value and slope of a program of one number, from the tape."""
    with following(), Tape() as tape:
        graph = tape.graph([program(tape.input("x", x))])
    value, slope = Program(value_and_gradient(graph)).run({"x": np.float64(x)})
    return float(value), float(slope)


@pytest.mark.parametrize(
    "name",
    [
        "sin",
        "cos",
        "tan",
        "sinh",
        "cosh",
        "tanh",
        "exp",
        "expm1",
        "exp2",
        "log",
        "log2",
        "log10",
        "log1p",
        "sqrt",
        "cbrt",
        "fabs",
        "degrees",
        "radians",
        "asin",
        "acos",
        "atan",
        "asinh",
        "atanh",
    ],
)
@pytest.mark.parametrize("x", [0.3, 0.7])
def test_functions_of_one_number(name, x):
    function = getattr(math, name)
    value, slope = derivative(lambda t: getattr(math, name)(t), x)
    assert value == pytest.approx(function(x), rel=1e-14)
    assert slope == pytest.approx((function(x + 1e-6) - function(x - 1e-6)) / 2e-6, rel=1e-7)


@pytest.mark.parametrize(
    "program",
    [
        lambda t: math.acosh(t + 1.5),
        lambda t: math.atan2(t, 2.0) + math.atan2(2.0, t),
        lambda t: math.pow(t, 3) + math.pow(2.0, t),
        lambda t: math.log(t, 10) + math.log(7.0, t),
        lambda t: math.hypot(t, 3.0, t),
        lambda t: math.fsum([t, 2 * t, 1.0]),
        lambda t: math.prod([t, t, 3.0], start=2),
        lambda t: math.dist([t, 1.0], [0.0, t]),
        lambda t: math.fmod(5.0, t) + math.copysign(t, -1.0),
        lambda t: t if math.isfinite(t) and not math.isnan(t) and not math.isinf(t) else 0 * t,
        lambda t: math.fsum(t * i for i in range(3)) + math.prod(iter([t, t])),
        lambda t: math.remainder(5.0, t) + math.modf(3 * t)[0] + math.ldexp(math.frexp(t)[0], 3),
        lambda t: t if math.isclose(t, 0.6, abs_tol=0.1) and not math.isclose(t, 0.7) else 0 * t,
        lambda t: math.floor(t * 7) * t + math.ceil(t) * t,
        lambda t: np.array([t, 2.0 * t, 1.0]).sum(),
        lambda t: np.array([[t, 1.0], [2.0, t]], dtype=float)[0] @ np.asarray([t, 3.0]),
        lambda t: np.array((t, t))[1] * np.array(t),
        lambda t: np.full((2, 3), t).sum() + np.full(2, [t, 1.0])[0],
        lambda t: np.array([np.array([t, 1.0]), [2.0, 3.0]]).T[0].sum(),
        lambda t: np.array([t], ndmin=2)[0, 0] + np.asarray(2 * t),
    ],
)
def test_programs_as_people_write_them(program):
    x = 0.6
    value, slope = derivative(program, x)
    assert value == pytest.approx(float(program(x)), rel=1e-14)
    numeric = (float(program(x + 1e-6)) - float(program(x - 1e-6))) / 2e-6
    assert slope == pytest.approx(numeric, rel=1e-7)


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        *((name, (-2.0,)) for name in ("sqrt", "log", "log2", "acosh", "log1p")),
        *((name, (1.5,)) for name in ("asin", "acos", "atanh")),
        *(("log", (0.0,)), ("pow", (-1.0, 0.5)), ("exp", (800.0,)), ("fmod", (1.0, 0.0))),
    ],
)
def test_where_math_raises_so_does_what_follows_it(name, arguments):
    with pytest.raises((ValueError, OverflowError)) as plain:
        getattr(math, name)(*arguments)
    numbers = tuple(range(len(arguments)))
    with np.errstate(all="ignore"), pytest.raises(plain.type) as followed:
        grad(lambda *x: getattr(math, name)(*x), numbers)(*arguments)
    assert str(followed.value) == str(plain.value)


def test_math_computes_with_64_bits_whatever_it_is_given():
    x = np.float32(0.3)
    value, slope = value_and_grad(lambda t: math.sin(t) * 3.0)(x)
    assert value == math.sin(x) * 3.0
    assert slope.dtype == np.float32
    assert value_and_grad(lambda t: math.tanh(np.any(t > 0.1)) * t)(0.3)[1] == math.tanh(1.0)


def test_what_math_makes_of_nan_and_infinity_is_no_error():
    assert math.isnan(grad(lambda t: math.sqrt(t))(math.nan))
    assert grad(lambda t: math.exp(t) + math.pow(2.0, t))(-math.inf) == 0.0
    assert grad(lambda t: math.pow(t, 3))(-2.0) == 12.0


def test_params_are_followed_too():
    with following(), Tape() as tape:
        made = math.sin(blank) + np.array([blank, 1.0])[0] + np.array(matrix)[1, 1]
        assert isinstance(made, Traced)
        assert set(tape.inputs) == {blank.key, matrix.key}
    assert made._value == math.sin(0.4) + 0.4 + 3.0


def test_without_a_tape_they_are_what_they_were():
    with following():
        assert math.sin(0.5) == math.sin(0.5)
        assert type(math.sin(0.5)) is float
        assert math.sin(blank) == pytest.approx(math.sin(0.4), rel=1e-15)
        plain = np.array([1, 2], dtype=np.int8)
        assert plain.dtype == np.int8
        assert np.array([[1.0], [2.0]]).shape == (2, 1)
        with pytest.raises(ValueError, match=r"domain|expected"):
            math.sqrt(-1.0)


def test_they_are_put_back_whatever_happens():
    names = [(math, "sin"), (math, "log"), (np, "array"), (np, "asarray"), (np, "full")]
    before = [getattr(module, name) for module, name in names]
    with following():
        assert all(getattr(m, n) is not b for (m, n), b in zip(names, before, strict=True))
    with pytest.raises(KeyboardInterrupt), following():
        raise KeyboardInterrupt
    assert [getattr(module, name) for module, name in names] == before


def test_what_another_one_put_there_between_two_runs_stays(monkeypatch):
    with following():
        pass
    other = lambda x: 42.0  # noqa: E731
    monkeypatch.setattr(math, "sin", other)
    with following():
        assert math.sin(1.0) == 42.0
    assert math.sin is other


def test_they_stay_until_the_last_one_ends():
    original = math.sin
    outer, inner = following(), following()
    with outer:
        inner.__enter__()
        patched = math.sin
    assert math.sin is patched is not original
    inner.__exit__(None, None, None)
    assert math.sin is original


def test_a_name_taken_before_is_refused_with_its_replacement():
    from math import sin

    with following(), Tape() as tape:
        x = tape.input("x", 0.5)
        with pytest.raises(TraceError, match=r"Use np\.sin"):
            sin(x)


def test_a_function_of_scipy_taken_before_is_refused_with_its_replacement():
    pytest.importorskip("scipy")
    from scipy.special import polygamma

    with following(), Tape() as tape:
        x = tape.input("x", 0.5)
        said = r"test_patches\.py:\d+: polygamma\(1, x\)\n.*Call it by its module, as scipy"
        with pytest.raises(TraceError, match=said):
            polygamma(1, x)


@pytest.mark.parametrize("shape", [(), (2,), (3, 2)])
def test_a_series_of_several_columns_taken_before_is_followed(shape):
    from numpy.polynomial.chebyshev import chebval
    from numpy.polynomial.polynomial import polyval

    points, columns = np.linspace(0.5, 1.5, 6)[: math.prod(shape)].reshape(shape), np.ones((3, 2))
    with following(), Tape() as tape:
        x = tape.input("x", points[()])
        made = [function(x, columns) for function in (polyval, chebval)]
    for one, function in zip(made, (polyval, chebval), strict=True):
        np.testing.assert_allclose(one._value, function(points[()], columns), rtol=1e-14)


def test_what_numpy_calls_a_scalar_is_one():
    with following(), Tape() as tape:
        x = tape.input("x", 0.5), tape.input("v", np.ones(2))
        assert [np.isscalar(i) for i in (*x, x[1][0], np.sum(x[1]))] == [True, False, True, True]
        assert np.isscalar(2.0)
        assert not np.isscalar([2.0])


def test_assigning_into_a_plain_array_is_still_refused():
    plain = np.zeros(2)
    with pytest.raises(TraceError, match=r"np\.array"), following(), Tape() as tape:
        plain[0] = tape.input("x", 0.5)


@pytest.mark.parametrize(
    "make",
    [
        lambda: np.vectorize(lambda s, k=1: len(s) * k)(["a", "bcd"], k=2),
        lambda: np.vectorize(lambda x: x * 2, otypes=[np.float32])([[1], [2]]),
        lambda: np.vectorize(lambda x: type(x).__name__)(np.array([1.0, 2.0])),
        lambda: np.vectorize(lambda x, y: (x, y))([[1], [2]], [1.5, 2.5])[1],
        lambda: np.vectorize(lambda x: x, otypes=[float])([]),
        lambda: np.vectorize(otypes=[float])(lambda x: x)(3),
    ],
)
def test_a_vectorized_function_of_plain_values_is_numpys(make):
    plain = make()
    with following():
        made = make()
    assert type(made) is type(plain)
    assert made.dtype == plain.dtype
    assert made.tolist() == plain.tolist()


LISTS = [
    lambda x: np.sum([x[0], 2 * x[1] ** 2]),
    lambda x: np.mean([f(x[0]) for f in (np.sin, np.cos)]) * x[1],
    lambda x: np.max((x[0], x[1])) + np.min([x[0], 1.0]),
    lambda x: np.prod([[x[0], x[1]], [2.0, x[0]]]),
    lambda x: np.std([x[0], x[1], 3.0]) + np.var([x[0], x[1]]) + np.median([x[0], 5.0]),
    lambda x: np.linalg.norm([x[0], x[1]]),
    lambda x: np.linalg.det([[x[0], 1.0], [2.0, x[1]]]) + np.dot([x[0], 1.0], [2.0, x[1]]),
    lambda x: np.linalg.solve([[x[0], 1.0], [2.0, x[1]]], [1.0, x[0]])[1],
    lambda x: np.interp(0.3, [0.0, x[0]], [x[1], 1.0]) + np.trapezoid([x[0], 2.0, x[1]]),
    lambda x: np.where([True, False], [x[0], 1.0], (2.0, x[1])) @ np.cumsum([x[0], x[1]]),
    lambda x: np.vectorize(lambda a, b=1.0: a * b)([x[0], 2.0], b=x)[1],
    lambda x: np.vectorize(lambda p, a: p[1] * a, excluded=[0])(x, x)[0],
    lambda x: np.vectorize(lambda t: x[0] ** t if t > 0 else x[1])([[1.0, -1.0]])[0] @ [2.0, 3.0],
    lambda x: np.interp(0.3, [0.0, 1.0], x * 1j + x[::-1]).imag,
    lambda x: np.concatenate([x, [1]], dtype=float)[:2] @ np.stack([x, x], dtype=float)[1],
    lambda x: np.einsum("i,i", x, [1, 2], dtype=float) + np.vstack([x, x], dtype=float)[0, 1],
]
if np.lib.NumpyVersion(np.__version__) < "2.5.0":  # which knows no vectors of two components
    LISTS += [
        lambda x: np.cross(x * x, [3.0, 4.0]) * 1.0,
        lambda x: np.cross(x * x, [3.0, 4.0, 5.0])[0] + np.cross([1.0, 2.0, 3.0], x * x)[2],
    ]


@pytest.mark.filterwarnings("ignore:Arrays of 2-dimensional vectors:DeprecationWarning")
@pytest.mark.parametrize("number", range(len(LISTS)))
def test_lists_of_traced_values_and_pairs(number):
    program, x, h = LISTS[number], np.array([0.7, 1.9]), 1e-6
    value, gradient = value_and_grad(program)(x)
    assert value == pytest.approx(program(x), rel=1e-14)
    slopes = [(program(x + h * d) - program(x - h * d)) / (2 * h) for d in np.eye(2)]
    np.testing.assert_allclose(gradient, slopes, rtol=1e-7, atol=1e-9)


def test_a_cross_product_takes_what_numpy_takes():
    pairs = [
        lambda x: np.linalg.cross(x, np.ones(2)),
        lambda x: np.linalg.cross(np.ones(3), x),
        lambda x: np.cross(x, np.ones(4)),
    ]
    if np.lib.NumpyVersion(np.__version__) >= "2.5.0":
        pairs += [lambda x: np.cross(x, [3.0, 4.0]), lambda x: np.cross(np.ones(3), x)]
    for program in pairs:
        with pytest.raises(ValueError, match="dimension"):
            program(np.ones(2))
        with pytest.raises(ValueError, match=r"they are . and . dimensional instead"):
            value_and_grad(lambda x, f=program: np.sum(f(x)))(np.ones(2))
