"""Functions of scipy.special: values, derivatives to second order, and what is not known."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import mpmath
import numpy as np
import pytest
import scipy.special as sc

import softtape
from softtape.errors import TraceError
from softtape.ops import PRIMITIVES, foreign
from softtape.singles import can_compile
from softtape.tape import Tape
from softtape.transforms.replay import replay

X = np.array([0.3, 0.7, 0.85])

# how each function is called: points of its operands, the last ones differentiated
POINTS: dict[str, tuple[Any, ...]] = {
    **dict.fromkeys(("gamma", "gammaln", "loggamma", "rgamma", "psi"), (X + 0.4,)),
    **dict.fromkeys(("beta", "betaln", "poch"), (X + 0.4, X[::-1] + 1.0)),
    "binom": (X + 4.0, X + 1.5),
    "zeta": (2.5, X + 0.5),
    **dict.fromkeys(("gammainc", "gammaincc", "chdtr", "chdtrc"), (2.5, X + 0.5)),
    **dict.fromkeys(("gammaincinv", "gammainccinv"), (2.5, X)),
    **dict.fromkeys(("betainc", "betaincc", "betaincinv"), (2.5, 1.5, X)),
    **dict.fromkeys(("stdtr", "stdtrit"), (4.0, X)),
    **dict.fromkeys(("erf", "erfc", "erfcx", "erfi", "dawsn", "ndtr", "log_ndtr"), (3 * X - 1.5,)),
    **dict.fromkeys(("erfinv", "erfcinv", "ndtri", "logit"), (X,)),
    **dict.fromkeys(("expit", "log_expit", "cosm1", "exp2", "exp10", "expm1"), (3 * X - 1.5,)),
    **dict.fromkeys(("log1p", "cbrt", "entr"), (X,)),
    **dict.fromkeys(("sindg", "cosdg", "tandg", "cotdg"), (40 * X,)),
    **dict.fromkeys(("xlogy", "xlog1py", "rel_entr", "kl_div", "boxcox"), (X, X[::-1] + 0.5)),
    **dict.fromkeys(("huber", "pseudo_huber"), (np.array([1.0, 0.4, 2.0]), 3 * X - 1.0)),
    **dict.fromkeys(("j0", "j1", "y0", "y1", "k0", "k1", "k0e", "k1e"), (2 * X + 0.3,)),
    **dict.fromkeys(("i0", "i1", "i0e", "i1e"), (3 * X - 1.5,)),
    **dict.fromkeys(("jv", "yv", "iv", "ive", "kv", "kve"), (1.5, 2 * X + 0.3)),
    **dict.fromkeys(("expi", "exp1", "spence", "ellipk", "ellipe"), (X,)),
    "expn": (3, X),
    "hyp0f1": (1.5, X),
    "hyp1f1": (1.5, 2.5, X),
    "hyp2f1": (0.5, 1.5, 2.5, X / 2),
}


def richardson(f: Callable[[float], Any], h: float = 1e-3) -> Any:
    def difference(h: float) -> Any:
        return (f(h) - f(-h)) / (2.0 * h)

    return (4.0 * difference(h / 2.0) - difference(h)) / 3.0


def moving(name: str) -> tuple[Callable[..., Any], list[Any]]:
    """Return the function of the arrays among its operands, and these."""
    points, function = POINTS[name], getattr(sc, name)
    held = points[: -sum(np.ndim(p) > 0 for p in points)]
    return lambda *x: function(*held, *x), [p for p in points if np.ndim(p)]


def test_every_rule_has_points() -> None:
    assert foreign(sc.gamma) is not None
    prefix = "scipy.special."
    known = {name.removeprefix(prefix) for name in PRIMITIVES if name.startswith(prefix)}
    assert known - {"gammasgn"} == set(POINTS)


@pytest.mark.parametrize("name", POINTS)
def test_derivatives(name: str) -> None:
    f, points = moving(name)
    for i, x in enumerate(points):

        def g(x: Any, i: int = i) -> Any:
            return f(*points[:i], x, *points[i + 1 :])

        def slope(x: Any, g: Any = g) -> Any:
            return softtape.grad(lambda x: np.sum(g(x) * X))(x)

        value, tangent = softtape.jvp(g, (x,), (X,))
        np.testing.assert_array_equal(value, g(x))
        wanted = richardson(lambda h, g=g, x=x: g(x + h))
        np.testing.assert_allclose(slope(x), wanted * X, rtol=2e-8, atol=1e-9)
        np.testing.assert_allclose(tangent, wanted * X, rtol=2e-8, atol=1e-9)
        (curved,) = softtape.hvp(lambda x, g=g: np.sum(g(x) * X), (x,), (np.ones(3),))
        expected = richardson(lambda h, slope=slope, x=x: slope(x + h))
        np.testing.assert_allclose(curved, expected, rtol=2e-8, atol=1e-9)


@pytest.mark.parametrize(
    ("name", "slope"),
    [
        ("i1", 0.5),
        ("j1", 0.5),
        ("ellipk", mpmath.pi / 8),
        ("ellipe", -mpmath.pi / 8),
    ],
)
def test_slopes_at_zero(name: str, slope: Any) -> None:
    assert softtape.grad(getattr(sc, name))(0.0) == pytest.approx(float(slope), rel=1e-14)


def test_products_with_a_logarithm_of_zero() -> None:
    assert softtape.grad(lambda y: sc.xlogy(0.0, y))(0.0) == 0.0
    assert softtape.grad(lambda y: sc.rel_entr(0.0, y))(0.0) == 0.0


def test_the_sign_of_gamma_is_flat() -> None:
    assert softtape.grad(lambda x: sc.gammasgn(x) * sc.gammaln(x))(-0.5) == pytest.approx(
        float(-mpmath.digamma(-0.5)), rel=1e-14
    )


# ---- where no rule is known


@pytest.mark.parametrize("name", [n for n, p in POINTS.items() if np.ndim(p[0]) == 0])
def test_an_order_that_moves_is_refused(name: str) -> None:
    others = POINTS[name][1:]
    with pytest.raises(TraceError, match=rf"scipy\.special\.{name} by operand 0.*stop_gradient"):
        softtape.grad(lambda v: np.sum(getattr(sc, name)(v, *others)))(2.5)


def test_an_order_may_be_held() -> None:
    slope = softtape.grad(lambda x: sc.jv(softtape.stop_gradient(x), x))(1.5)
    assert slope == pytest.approx(float(sc.jvp(1.5, 1.5)), rel=1e-12)
    assert softtape.grad(lambda x: sc.gammainc(np.argmax([0, 1]) + 1, x))(1.0) > 0


def test_a_function_without_rule_is_named() -> None:
    with pytest.raises(TraceError, match=r"scipy\.special\.agm has no rule"):
        softtape.grad(lambda x: sc.agm(x, 1.0))(1.5)


# ---- the library comes when it is needed


def test_softtape_does_not_import_scipy() -> None:
    code = "import sys, softtape, softtape.objective; print('scipy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_a_graph_runs_in_another_process() -> None:
    with Tape() as tape:
        graph = tape.graph([sc.erf(tape.input("x", 0.5)) ** 2])
    assert not can_compile(graph)
    code = (
        "import pickle, sys; from softtape.transforms.replay import replay\n"
        "graph = pickle.load(sys.stdin.buffer); print(replay(graph, graph.start)[-1])"
    )
    sent = pickle.dumps(graph)
    done = subprocess.run([sys.executable, "-c", code], input=sent, capture_output=True, check=True)
    assert float(done.stdout) == replay(graph, graph.start)[-1]
