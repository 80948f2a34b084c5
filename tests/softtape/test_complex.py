"""Complex numbers between real Params and real losses."""

from __future__ import annotations

import cmath
from collections.abc import Callable
from typing import Any

import autograd
import autograd.numpy as anp
import numpy as np
import pytest

import softtape
from softtape.columns import Recording
from softtape.errors import DerivativeError
from softtape.objective import Layout, Objective, Term
from softtape.singles import can_compile
from softtape.tape import Tape
from softtape.transforms.residuals import residuals

X = np.array([0.4, -0.7, 1.3])


def filtered(np: Any, x: Any) -> Any:
    spectrum = np.fft.fft(x) * np.exp(-0.3j * np.array([0.0, 1.0, -1.0]))
    return np.sum(np.abs(np.fft.ifft(spectrum) - x[::-1]) ** 2)


def impedance(np: Any, x: Any) -> Any:
    z = x[0] ** 2 + 1.0 + 1j * x[1] + 1.0 / (1j * x[2] + 0.3)
    return np.real(np.log(z)) + np.imag(np.sqrt(z)) ** 2 + np.abs(z) + np.angle(z)


def evolved(np: Any, x: Any) -> Any:
    h = np.array([[x[0], x[1] - 1j * x[2]], [x[1] + 1j * x[2], -x[0]]])
    psi = np.array([1.0 + 0.0j, 0.5j])
    for _ in range(3):
        psi = psi - 0.1j * (h @ psi)
    return np.real(np.sum(np.conj(psi) * (h @ psi)))


PROGRAMS = {f.__name__: f for f in (filtered, impedance)}


@pytest.mark.parametrize("name", PROGRAMS)
def test_gradients_and_curvatures_against_autograd(name: str) -> None:
    f, v = PROGRAMS[name], np.array([0.3, 1.0, -0.5])
    wanted = autograd.grad(lambda x: f(anp, x))
    np.testing.assert_allclose(softtape.grad(lambda x: f(np, x))(X), wanted(X), rtol=1e-10)
    (curved,) = softtape.hvp(lambda x: f(np, x), (X,), (v,))
    np.testing.assert_allclose(curved, autograd.grad(lambda x: wanted(x) @ v)(X), rtol=1e-8)


@pytest.mark.many
@pytest.mark.parametrize("name", [*PROGRAMS, "evolved"])
def test_gradients_against_jax(name: str) -> None:
    jax = pytest.importorskip("jax")
    f = PROGRAMS.get(name, evolved)
    with jax.enable_x64(True):
        wanted = jax.grad(lambda x: f(jax.numpy, x))(jax.numpy.asarray(X))
    np.testing.assert_allclose(softtape.grad(lambda x: f(np, x))(X), wanted, rtol=1e-10)


@pytest.mark.parametrize("name", ["evolved", *PROGRAMS])
def test_forward_and_reverse_agree(name: str) -> None:
    f, v = PROGRAMS.get(name, evolved), np.array([0.3, 1.0, -0.5])
    value, slope = softtape.jvp(lambda x: f(np, x), (X,), (v,))
    assert value == pytest.approx(f(np, X), rel=1e-12)
    assert slope == pytest.approx(softtape.grad(lambda x: f(np, x))(X) @ v, rel=1e-12)


# ---- the convention: d𝓛 = Re(sum(g * dz))


def test_a_cotangent_multiplies_without_conjugate() -> None:
    z, back = softtape.vjp(lambda x: np.exp((1.0 + 2.0j) * x), 0.3)
    g = 0.7 - 0.4j
    assert z == pytest.approx(np.exp(0.3 + 0.6j))
    assert back(g)[0] == pytest.approx(np.real(g * (1.0 + 2.0j) * z))


def test_a_tangent_of_a_complex_result_is_complex() -> None:
    _, tangent = softtape.jvp(lambda x: x * (1.0 + 2.0j), (0.3,), (2.0,))
    assert tangent == 2.0 + 4.0j


def test_the_jacobian_of_a_complex_result_is_complex() -> None:
    made = softtape.jacobian(lambda x: np.sum(x**2 * (1.0 + 1.0j)))(X)
    np.testing.assert_allclose(made, 2 * X * (1.0 + 1.0j))


def test_float32_meets_complex64() -> None:
    def f(x: Any) -> Any:
        z = np.fft.fft(x) * np.complex64(1j)
        assert z.dtype == np.complex64
        return np.sum(np.abs(z) ** 2)

    assert softtape.grad(f)(X.astype(np.float32)).dtype == np.float32


# ---- Python's ways


def test_cmath_follows_traced_values() -> None:
    def f(x: Any) -> Any:
        r, phi = cmath.polar(cmath.exp(1j * x) + cmath.sqrt(-x) + cmath.log(x, 2))
        return cmath.rect(r, phi * x).real + cmath.phase(x + 1j)

    slope = softtape.grad(f)(0.7)
    assert slope == pytest.approx((f(0.7 + 1e-6) - f(0.7 - 1e-6)) / 2e-6, rel=1e-7)


def test_attributes_and_methods() -> None:
    def f(x: Any) -> Any:
        z = x + 1j * x**2
        assert np.iscomplexobj(z)
        assert not np.isrealobj(z)
        assert np.all(np.iscomplex(z))
        return (z.real * z.imag + (z * z.conj()).real + z.conjugate().imag).sum()

    x = X
    np.testing.assert_allclose(softtape.grad(f)(x), 3 * x**2 + 2 * x + 4 * x**3 - 2 * x)


def test_a_cast_to_real_warns_as_numpy_does() -> None:
    with pytest.warns(np.exceptions.ComplexWarning, match="discards the imaginary part"):
        slope = softtape.grad(lambda x: ((1 + 2j) * x).astype(float))(0.5)
    assert slope == 1.0


# ---- fits


def single(f: Callable[[Any], Any], x: float = 0.5) -> Objective:
    def trace(values: Any) -> Any:
        with Tape() as tape:
            return tape.graph([f(tape.input("x", values["x"]))])

    return Objective([Term("t", trace({"x": x}), trace)], Layout({"x": ()}))


def test_eigenvalues_that_become_complex_are_traced_again() -> None:
    def f(x: Any) -> Any:
        turned = np.array([[0.0, 1.0], [1.0, 0.0]]) + x * np.array([[0.0, 0.0], [1.0, 0.0]])
        w = np.linalg.eigvals(turned)  # ± sqrt(1 + x)
        return np.sum(np.abs(w - 2.0) ** 2)

    problem = single(f)
    for x in (0.5, -3.0, 0.7, -2.0):
        value, (slope,) = problem.value_and_gradient(np.array([x]))
        assert value == pytest.approx(f(x), rel=1e-12)
        assert slope == pytest.approx((f(x + 1e-6) - f(x - 1e-6)) / 2e-6, rel=1e-6)


def test_the_square_of_a_complex_error_has_two_residuals() -> None:
    problem = single(lambda x: 0.5 * np.abs(np.exp(1j * x) - 2.0) ** 2)
    r, jacobian = problem.residuals_and_jacobian(np.array([0.4]))
    root = np.sqrt(0.5)
    np.testing.assert_allclose(r, [root * (np.cos(0.4) - 2.0), root * np.sin(0.4)])
    np.testing.assert_allclose(jacobian[:, 0], [-root * np.sin(0.4), root * np.cos(0.4)])


def test_the_square_of_an_absolute_value_of_real_numbers_has_one() -> None:
    with Tape() as tape:
        graph = tape.graph([abs(tape.input("x", 0.5) - 2.0) ** 2])
    found = residuals(graph)
    assert found is not None
    assert len(found.outputs) == 1


def test_the_compiled_engine_declines_complex_numbers() -> None:
    with Tape() as tape:
        graph = tape.graph([abs(tape.input("x", 0.5) * 1j)])
    assert not can_compile(graph)
    assert not Recording.of(graph.nodes).others  # it looks at the constants


# ---- misuse


def test_a_complex_result_has_no_gradient() -> None:
    with pytest.raises(DerivativeError, match=r"complex number.*np\.abs\(z\) \*\* 2 or z\.real"):
        softtape.grad(lambda x: x * 1j)(1.0)


def test_functions_with_rules_of_their_own_take_real_arguments() -> None:
    f = softtape.custom_vjp(lambda z: z.real)
    f.defvjp(lambda g, y, z: (g,))
    with pytest.raises(DerivativeError, match=r"complex\. Pass z\.real and z\.imag"):
        softtape.grad(lambda x: f(x * 1j))(1.0)
