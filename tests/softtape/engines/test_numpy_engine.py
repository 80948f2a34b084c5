"""The default engine against the recording itself, and the peer autograd on whole programs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from softtape.engines import Program
from softtape.tape import Tape
from softtape.transforms import value_and_gradient
from softtape.transforms.replay import _layout_of


def test_runs_again_and_again() -> None:
    with Tape() as tape:
        x = tape.input("x", np.float64(1.0))
        y = tape.input("y", np.ones(2))
        program = Program(tape.graph([x * y + 1, x, 3.0]))
    for a, b in [(2.0, [1.0, 2.0]), (0.5, [0.0, 4.0]), (2.0, [1.0, 2.0])]:
        made = program.run({"x": np.float64(a), "y": np.array(b)})
        assert made is not None
        np.testing.assert_array_equal(made[0], a * np.array(b) + 1)
        assert made[1:] == [a, 3.0]


def test_stops_at_the_first_broken_guard() -> None:
    def program(x: Any) -> Any:
        assert x > 0
        return np.sqrt(x)  # would warn for what the guard keeps away

    with Tape() as tape:
        graph = tape.graph([program(tape.input("x", np.float64(4.0)))])
    assert Program(graph).run({"x": np.float64(9.0)}) == [3.0]
    assert Program(graph).run({"x": np.float64(-9.0)}) is None


def test_guards_on_an_input_itself() -> None:
    with Tape() as tape:
        n = tape.input("n", np.int64(2))
        x = tape.input("x", np.float64(3.0))
        graph = tape.graph([sum(x for _ in range(n))])
    assert Program(graph).run({"n": np.int64(2), "x": np.float64(5.0)}) == [10.0]
    assert Program(graph).run({"n": np.int64(3), "x": np.float64(5.0)}) is None


def test_a_nan_holds_its_guard() -> None:
    with Tape() as tape, np.errstate(invalid="ignore"):
        x = tape.input("x", np.array([np.nan, 1.0]))
        plain = np.ones(2)[np.isnan(x)]
        graph = tape.graph([np.nansum(x) + plain.sum()])
    assert Program(graph).run({"x": np.array([np.nan, 5.0])}) == [6.0]
    assert Program(graph).run({"x": np.array([5.0, 5.0])}) is None


def rosenbrock(np: Any, x: Any, w: Any) -> Any:
    return np.sum(100.0 * (x[1:] - x[:-1] ** 2.0) ** 2.0 + (1 - x[:-1]) ** 2.0) + np.sum(w * w)


def network(np: Any, x: Any, w: Any) -> Any:
    hidden = np.tanh(np.dot(w, x) + x[0])
    scores = np.dot(hidden, w)
    return -np.log(np.exp(scores) / np.sum(np.exp(scores)))[1] + np.linalg.norm(hidden)


def oscillator(np: Any, x: Any, w: Any) -> Any:
    position, speed = x[0], x[1]
    for _ in range(30):
        speed = speed - 0.05 * (w[0, 0] ** 2 * np.sin(position) + 0.1 * speed)
        position = position + 0.05 * speed
        if position > 1.0:
            speed = -0.9 * speed
    return position * speed + np.mean(x) * w[1, 1]


def gaussian_process(np: Any, x: Any, w: Any) -> Any:
    distance = (np.reshape(x, (-1, 1)) - np.reshape(x, (1, -1))) ** 2
    kernel = np.exp(-distance * w[0, 0] ** 2) + np.eye(3) * (0.5 + w[1, 1] ** 2)
    alpha = np.linalg.solve(kernel, np.sin(x))
    return np.dot(np.sin(x), alpha) + np.linalg.slogdet(kernel)[1]


def statistics(np: Any, x: Any, w: Any) -> Any:
    both = np.concatenate([x, np.ravel(w), np.max(w, axis=1)])
    return np.std(both) + np.prod(1.0 + 0.1 * np.cumsum(both)) + np.sum(np.sort(both)[2:5])


@pytest.mark.parametrize("program", [rosenbrock, network, oscillator, gaussian_process, statistics])
def test_the_peer_agrees(program: Callable[..., Any]) -> None:
    peer = pytest.importorskip("autograd")
    peers_numpy = pytest.importorskip("autograd.numpy")
    rng = np.random.default_rng(7)
    x, w = rng.normal(size=3), rng.normal(size=(3, 3))
    with Tape() as tape:
        graph = tape.graph([program(np, tape.input("x", x), tape.input("w", w))])
    made = Program(value_and_gradient(graph)).run({"x": x, "w": w})
    assert made is not None
    assert made[0] == pytest.approx(program(np, x, w), rel=1e-14)
    wanted = peer.grad(lambda x, w: program(peers_numpy, x, w), (0, 1))(x, w)
    for got, expected in zip(made[1:], wanted, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    "array",
    [
        np.ones((3, 5)),
        np.ones((3, 5, 2), np.float32).transpose(2, 0, 1),
        np.broadcast_to(np.ones(5), (3, 5)),
        np.ones((3, 5))[:, ::-2],
    ],
)
def test_a_layout_is_that_of_the_array_numpy_would_make_like_it(array: Any) -> None:
    layout, wanted = _layout_of(array), np.empty_like(array)
    assert (layout.shape, layout.strides, layout.dtype) == (
        wanted.shape, wanted.strides, wanted.dtype,
    )  # fmt: skip
    assert layout.base is not None
    assert not layout.any()


def test_work_counts_elements_and_a_function_for_many():
    def work(program, n):
        with Tape() as tape:
            a, x = tape.input("a", np.float64(2.0)), tape.input("x", np.ones(n))
            graph = tape.graph([program(a, x)])
        return Program(graph, ["x"]).work

    assert work(lambda a, x: np.sum(x * a), 50) == 100
    assert work(lambda a, x: np.sum(np.sin(x * a)), 50) > 500
    assert work(lambda a, x: (x * a) @ x, 50) == 100
