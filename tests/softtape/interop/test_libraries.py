"""PyTorch and JAX functions among numpy ones. Skipped where the library is not installed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from softtape import SoftError, check_grads, grad, hessian, jacobian
from softtape.interop.jax import from_jax
from softtape.interop.torch import from_torch

# PyTorch's forward mode compiles by what PyTorch itself has deprecated
pytestmark = pytest.mark.filterwarnings(
    "ignore:`torch.jit.script` is deprecated:DeprecationWarning"
)

X = np.array([0.3, -0.7, 1.1])
W = np.array([[0.2, 0.5, -0.4], [1.0, -0.3, 0.8]])


def by_torch(kind: str) -> Any:
    torch = pytest.importorskip("torch")
    functions: dict[str, Callable[..., Any]] = {
        "number": lambda x: torch.sin(x).sum() * x[0],
        "layers": lambda p, x, n: {"y": torch.tanh(p["w"] @ x) ** n, "s": [p["b"] * x.sum()]},
    }
    return from_torch(functions[kind])


def by_jax(kind: str) -> Any:
    jnp = pytest.importorskip("jax.numpy")
    functions: dict[str, Callable[..., Any]] = {
        "number": lambda x: jnp.sin(x).sum() * x[0],
        "layers": lambda p, x, n: {"y": jnp.tanh(p["w"] @ x) ** n, "s": [p["b"] * x.sum()]},
    }
    return from_jax(functions[kind])


both = pytest.mark.parametrize("library", [by_torch, by_jax])


@both
def test_derivatives_of_a_number(library: Any) -> None:
    f = library("number")

    def same(x: Any) -> Any:
        return np.sum(np.sin(x)) * x[0]

    assert f(X) == pytest.approx(same(X), rel=1e-15)
    np.testing.assert_allclose(grad(f)(X), grad(same)(X), rtol=1e-14)
    np.testing.assert_allclose(hessian(f)(X), hessian(same)(X), rtol=1e-14, atol=1e-15)
    check_grads(lambda x: f(np.cos(x)) * x[1], (X,), order=3)


@both
def test_containers_and_static_arguments(library: Any) -> None:
    f = library("layers")
    p = {"w": W, "b": 1.5}
    made = f(p, X, 2)
    np.testing.assert_allclose(made["y"], np.tanh(W @ X) ** 2, rtol=1e-14)
    assert made["s"][0] == pytest.approx(1.5 * X.sum())
    check_grads(lambda p, x: f(p, x, 2), (p, X), order=2)


@both
def test_width_is_kept(library: Any) -> None:
    f = library("number")
    assert f(X.astype(np.float32)).dtype == np.float32
    assert grad(f)(X.astype(np.float32)).dtype == np.float32
    assert grad(f)(X).dtype == np.float64


def test_a_module_and_its_weights() -> None:
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Tanh(), torch.nn.Linear(4, 1))
    module.double()
    f = from_torch(module)
    tensor = torch.tensor(X, requires_grad=True)
    module(tensor)[0].backward()
    np.testing.assert_allclose(jacobian(f)(X)[0], tensor.grad.numpy(), rtol=1e-12)

    by_weights = from_torch(lambda w, x: torch.func.functional_call(module, w, (x,)))
    weights = {name: p.detach().numpy() for name, p in module.named_parameters()}
    made = grad(lambda w: by_weights(w, X)[0])(weights)
    for name, parameter in module.named_parameters():
        np.testing.assert_allclose(made[name], parameter.grad.numpy(), rtol=1e-12)


@pytest.mark.parametrize(("made", "name"), [(from_torch, "torch"), (from_jax, "jax")])
def test_a_missing_library_is_named(made: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:

    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(SoftError, match=rf"pip install 'pytest-soft\[{name}\]'"):
        made(lambda x: x)
