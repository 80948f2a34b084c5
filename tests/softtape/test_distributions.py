"""What of scipy is Python code: densities, logsumexp, the matrix exponential."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.linalg
import scipy.special
import scipy.stats as st
from scipy.special import logsumexp

import softtape
from softtape.errors import TraceError
from softtape.objective import Layout, Objective, Term
from softtape.patches import following
from softtape.tape import Tape

X = np.array([0.3, 0.5, 1.2])
CONTINUOUS: dict[str, tuple[Any, ...]] = {
    "norm": (0.2, 1.3),
    "t": (4.0, 0.1, 1.2),
    "gamma": (2.5, -0.1, 1.5),
    "beta": (1.5, 2.5, 0.0, 2.0),
    "expon": (0.1, 2.0),
    "lognorm": (0.7,),
    "cauchy": (0.1, 0.5),
    "laplace": (0.1, 0.7),
    "logistic": (0.1, 0.7),
    "chi2": (3.0,),
    "weibull_min": (1.5,),
    "uniform": (0.0, 2.0),
    "halfnorm": (),
    "invgamma": (2.0,),
    "pareto": (2.0, -1.0),
    "gumbel_r": (),
}
DISCRETE: dict[str, tuple[Any, ...]] = {
    "poisson": (2.5,),
    "binom": (7, 0.4),
    "nbinom": (3.0, 0.4),
    "geom": (0.4,),
    "bernoulli": (0.4,),
}


def difference(f: Callable[[Any], Any], x: Any, h: float = 1e-5) -> Any:
    return (f(x + h) - f(x - h)) / (2 * h)


@pytest.mark.parametrize("method", ["logpdf", "pdf", "cdf", "sf", "logcdf", "logsf"])
@pytest.mark.parametrize("name", CONTINUOUS)
def test_continuous_distributions(name: str, method: str) -> None:
    args = CONTINUOUS[name]
    at: Callable[[Any], Any] = lambda x: getattr(getattr(st, name), method)(x, *args)  # noqa: E731
    value, slope = softtape.jvp(at, (X,), (np.ones(3),))
    np.testing.assert_allclose(value, at(X), rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(slope, difference(at, X), rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("name", [n for n, args in CONTINUOUS.items() if args])
def test_parameters_of_continuous_distributions(name: str) -> None:
    args = CONTINUOUS[name]
    for i in range(len(args)):

        def f(a: Any, i: int = i) -> Any:
            return np.sum(getattr(st, name).logpdf(X, *args[:i], a, *args[i + 1 :]))

        assert softtape.grad(f)(args[i]) == pytest.approx(difference(f, args[i]), rel=1e-6)


@pytest.mark.parametrize("method", ["logpmf", "pmf"])
@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_distributions(name: str, method: str) -> None:
    *others, p = DISCRETE[name]
    k = np.array([1, 0, 1, 1])

    def f(p: Any) -> Any:
        return np.sum(getattr(getattr(st, name), method)(k[:1], *others, p))

    value, slope = softtape.value_and_grad(f)(p)
    assert value == pytest.approx(f(p), rel=1e-12)
    assert slope == pytest.approx(difference(f, p), rel=1e-6)
    with following(), Tape() as tape:  # outside of the support, and between its points
        traced = getattr(st, name).pmf([-1.0, 0.5, 1.0], *others, tape.input("p", p))
    np.testing.assert_allclose(
        traced._value, getattr(st, name).pmf([-1.0, 0.5, 1.0], *others, p), rtol=1e-12
    )


def test_outside_of_the_support_no_slope_is_nan() -> None:
    x = np.array([-1.0, 0.5, 2.0])
    value, slope = softtape.jvp(lambda x: st.beta.logpdf(x, 2.0, 3.0), (x,), (np.ones(3),))
    np.testing.assert_array_equal(value[[0, 2]], -np.inf)
    np.testing.assert_array_equal(slope[[0, 2]], 0.0)
    assert np.isnan(softtape.jvp(lambda s: st.norm.logpdf(1.0, 0.0, s), (-1.0,), (1.0,))[0])


def test_frozen_distributions_keywords_and_quantiles() -> None:
    def f(a: Any) -> Any:
        frozen = st.norm(loc=a, scale=2.0)
        return frozen.logpdf(0.5) + st.norm.ppf(0.3, scale=a) + st.norm.logpdf(1.0, scale=a)

    assert softtape.grad(f)(0.7) == pytest.approx(difference(f, 0.7), rel=1e-7)


def test_a_normal_distribution_of_several_variables() -> None:
    def f(a: Any) -> Any:
        cov = np.array([[1.0, 0.3], [0.3, 2.0]]) + a * np.array([[0.5, 0.2], [0.2, 0.1]])
        mean = np.array([0.1, 0.2]) * a
        return np.sum(st.multivariate_normal.logpdf(np.array([[0.3, -0.5], [1.0, 0.0]]), mean, cov))

    value, slope = softtape.value_and_grad(f)(0.4)
    assert value == pytest.approx(f(0.4), rel=1e-12)
    assert slope == pytest.approx(difference(f, 0.4), rel=1e-7)


def test_a_distribution_that_cannot_be_followed_is_named() -> None:
    with pytest.raises(TraceError, match=r"scipy\.stats\.f\.cdf cannot be followed\. Write its"):
        softtape.grad(lambda x: st.f.cdf(x, 3.0, 4.0))(0.7)


def test_nothing_is_left_changed() -> None:
    before = st.rv_continuous.logpdf, scipy.special.logsumexp
    softtape.grad(lambda x: st.norm.logpdf(x))(0.3)
    assert (st.rv_continuous.logpdf, scipy.special.logsumexp) == before


# ---- scipy.special and scipy.linalg

A = np.array([[0.5, -0.3, 0.1], [0.2, 0.9, -0.4], [0.3, 0.1, 0.7]])
FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "logsumexp": lambda a: scipy.special.logsumexp(a, axis=1),
    "logsumexp of weights": lambda a: scipy.special.logsumexp(a, b=np.abs(A), keepdims=True),
    "logsumexp with signs": lambda a: scipy.special.logsumexp(a, b=A, return_sign=True)[0],
    "softmax": lambda a: scipy.special.softmax(a, axis=0),
    "log_softmax": lambda a: scipy.special.log_softmax(a, axis=1),
    "polygamma": lambda a: scipy.special.polygamma(2, a + 1.0) + scipy.special.polygamma(0, a + 1),
    "multigammaln": lambda a: scipy.special.multigammaln(a[0, 0] + 3.0, 2),
    "expm": scipy.linalg.expm,
    "solve_triangular": lambda a: scipy.linalg.solve_triangular(a, A[0], lower=True),
    "transposed": lambda a: scipy.linalg.solve_triangular(a, a, trans="T", unit_diagonal=True),
    "cholesky": lambda a: scipy.linalg.cholesky(a @ a.T + np.eye(3)),
    "cho_solve": lambda a: scipy.linalg.cho_solve(
        scipy.linalg.cho_factor(a @ a.T + np.eye(3)), A[0]
    ),
    "solve": lambda a: scipy.linalg.solve(a, A[0]) * scipy.linalg.det(scipy.linalg.inv(a)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions(name: str) -> None:
    f = (lambda a: scipy.linalg.expm(a)) if name == "expm" else FUNCTIONS[name]
    v = np.linspace(-1, 1, 9).reshape(3, 3)
    value, slope = softtape.jvp(f, (A,), (v,))
    np.testing.assert_allclose(value, f(A), rtol=1e-12)
    np.testing.assert_allclose(slope, difference(lambda h: f(A + h * v), 0.0), rtol=2e-6, atol=1e-9)
    loss: Callable[[Any], Any] = lambda a: np.sum(f(a) ** 2)  # noqa: E731
    gradient = softtape.grad(loss)
    assert np.sum(gradient(A) * v) == pytest.approx(
        difference(lambda h: loss(A + h * v), 0.0), rel=1e-6
    )
    (curved,) = softtape.hvp(loss, (A,), (v,))
    expected = difference(lambda h: gradient(A + h * v), 0.0)
    np.testing.assert_allclose(curved, expected, rtol=1e-5, atol=1e-7)


def test_logsumexp_far_from_zero() -> None:
    slope = softtape.grad(lambda x: scipy.special.logsumexp(np.stack([x, x - 1.0])))
    for x in (-2000.0, 2000.0):
        assert slope(x) == pytest.approx(1.0)


def test_logsumexp_taken_by_name_is_refused() -> None:
    with pytest.raises(TraceError, match=r"import scipy\.special, then scipy\.special\.logsumexp"):
        softtape.grad(lambda x: logsumexp(np.stack([x, 0.0])))(0.5)


def test_cases_of_one_test_are_batched() -> None:
    data = [0.2, 0.7, 1.9]

    def loss(a: Any, x: float) -> Any:
        rotated = scipy.linalg.expm(np.array([[0.0, -1.0], [1.0, 0.0]]) * a * x)
        return -st.gamma.logpdf(x, a) + rotated[0, 0] + scipy.special.jv(x, a)

    def term(x: float) -> Term:
        def trace(values: Any) -> Any:
            with following(), Tape() as tape:
                return tape.graph([loss(tape.input("a", values["a"]), x)])

        return Term(f"t[{x}]", trace({"a": 1.5}), trace)

    problem = Objective([term(x) for x in data], Layout({"a": ()}))
    for a in (1.5, 2.2):
        value, (slope,) = problem.value_and_gradient(np.array([a]))
        total: Callable[[float], float] = lambda a: sum(loss(a, x) for x in data)  # noqa: E731
        assert value == pytest.approx(total(a), rel=1e-12)
        assert slope == pytest.approx(difference(total, a), rel=1e-7)
    assert len(problem._groups) == 1
