"""Chunks of cases on threads: the same bits whatever their number."""

import os
import subprocess
import sys
import textwrap
from threading import Event

import numpy as np
import pytest

from softtape import chunks, primitive
from softtape.engines import threads
from softtape.engines.threads import in_threads, threads_to_use
from softtape.objective import Layout, Objective, Term
from softtape.tape import Tape

LAYOUT = Layout({"a": (), "b": (3,)})
THETA = np.array([1.2, 0.4, -0.3, 0.9])


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Chunks so small that few tests fill many, and threads where they do not pay."""
    monkeypatch.setattr(chunks, "_CHUNK", 16)
    monkeypatch.setattr(chunks, "_WORTH_A_THREAD", 1)


def residual(a, b, x):
    return np.sin(a * x) * b[1] + np.exp(-b[0] * x) - b @ np.array([x, 1.0, x * x])


def by_square(a, b, x):
    return residual(a, b, x) ** 2


def by_branch(a, b, x):
    return residual(a, b, x) ** 2 if a * x > 1.3 else abs(residual(a, b, x))


def suite(program, n, count):
    def term(k):
        x = 0.02 * k + 0.1

        def trace(values):
            with Tape() as tape:
                return tape.graph(
                    [program(tape.input("a", values["a"]), tape.input("b", values["b"]), x)]
                )

        return Term(str(k), trace(LAYOUT.unpack(THETA)), trace, 0.5 + k % 3)

    return Objective([term(k) for k in range(n)], LAYOUT, threads=count)


@pytest.mark.parametrize("program", [by_square, by_branch])
@pytest.mark.parametrize("n", [16, 17, 250])
def test_one_thread_two_threads_and_repeated_runs_give_the_same_bits(program, n):
    one, *others = (suite(program, n, count) for count in (1, 2, 3, 2))
    for theta in (THETA, THETA * 1.1, THETA * 0.7, THETA):
        value, gradient = one.value_and_gradient(theta)
        rows = one.residuals_and_jacobian(theta) if one.has_residuals else ()
        for other in others:
            assert other.value(theta) == one.value(theta) == value
            np.testing.assert_array_equal(other.losses(theta), one.losses(theta))
            again, slope = other.value_and_gradient(theta)
            assert again == value
            np.testing.assert_array_equal(slope, gradient)
            if rows:
                residuals, jacobian = other.residuals_and_jacobian(theta)
                np.testing.assert_array_equal(residuals, rows[0])
                np.testing.assert_array_equal(jacobian, rows[1])


def test_an_error_in_one_thread_is_the_error_of_the_case():
    def trace(values, x):
        with Tape() as tape:
            a = tape.input("a", values["a"])
            m = np.stack([np.stack([a, x]), np.stack([x, x])])
            return tape.graph([np.sum(np.linalg.inv(m) ** 2)])

    made = []
    for x in np.arange(1.0, 61.0):
        again = lambda values, x=x: trace(values, x)  # noqa: E731
        made.append(Term(f"x={x}", again({"a": 5.5}), again))
    problem = Objective(made, Layout({"a": ()}), threads=2)
    assert np.isfinite(problem.value(np.array([5.5])))
    assert problem.value(np.array([57.0])) == np.inf
    assert problem.last_failure.startswith("x=57.0: ")
    assert np.isfinite(problem.value(np.array([5.5])))


def test_what_would_take_too_much_memory_is_computed_again(monkeypatch):
    kept = suite(by_square, 100, 2)
    expected = kept.value_and_gradient(THETA)
    monkeypatch.setattr(chunks, "_MOST_KEPT", 0)
    problem = suite(by_square, 100, 2)
    for _ in range(2):
        value, gradient = problem.value_and_gradient(THETA)
        assert value == expected[0]
        np.testing.assert_array_equal(gradient, expected[1])


def test_what_depends_on_no_case_is_computed_once_for_all_chunks():
    def program(a, b, x):
        return np.sum((np.exp(b) * x - a) ** 2)

    problem = suite(program, 100, 1)
    problem.value_and_gradient(THETA)
    (group,) = problem._in_order()
    compiled = group._lanes._programs["gradient"]
    assert len(compiled.chunks) == 8  # an even number, for two threads
    assert "exp_" in compiled._program.before.__code__.co_names
    assert "exp" not in compiled._program.compute.__code__.co_names


def test_what_was_compiled_serves_every_suite_of_the_structure():
    def program(of):
        return of._in_order()[0]._lanes._programs["gradient"]._program

    one, other, shorter = (suite(by_square, n, 1) for n in (50, 50, 20))
    found = one.value_and_gradient(THETA)
    for problem in (other, shorter):
        value, gradient = problem.value_and_gradient(THETA)
    assert program(other) is program(one)
    assert program(shorter) is not program(one)  # of as many lanes
    alone = suite(by_square, 20, 1)
    alone.terms[0].case.template.programs.clear()
    np.testing.assert_array_equal(alone.value_and_gradient(THETA)[1], gradient)
    assert alone.value(THETA) == value
    again = one.value_and_gradient(THETA)
    np.testing.assert_array_equal(again[1], found[1])


def test_threads_that_have_not_begun_are_not_waited_for():
    in_threads(3, 3, lambda thread, task: None)
    gate, done = Event(), []
    busy = [threads._Part(gate.wait) for _ in range(threads._helpers._count)]
    try:
        threads._helpers.ask(busy)
        in_threads(3, 5, lambda thread, task: done.append((thread, task)))
        assert done == [(0, task) for task in range(5)]
    finally:
        gate.set()
        for part in busy:
            part.end()


def test_what_another_thread_raises_is_raised_when_all_have_ended():
    raising, ended = Event(), []

    def run(thread, task):
        if thread:
            raising.set()
            raise KeyError(task)
        assert raising.wait(60.0)
        ended.append(task)

    with pytest.raises(KeyError, match="3"):
        in_threads(2, 4, run)
    assert ended  # what this thread had in hand; all else if the other was slow to end


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_the_child_of_a_fork_has_threads_of_its_own():
    script = """
        import os
        import os
        from threading import Event
        from softtape.engines.threads import in_threads

        def used():
            both = [Event(), Event()]
            def run(thread, task):
                both[thread].set()
                assert both[1 - thread].wait(60.0)
            in_threads(2, 2, run)

        used()
        child = os.fork()
        used()
        if child:
            assert os.waitpid(child, 0)[1] == 0
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(script)]
    subprocess.run(command, check=True, timeout=120)


@pytest.mark.parametrize(("given", "wanted"), [("3", 3), ("2,1", 2), ("1", 1)])
def test_the_number_of_threads_is_that_of_numpys_own(monkeypatch, given, wanted):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert threads_to_use() == wanted


@pytest.mark.parametrize("given", ["", "0", "many"])
def test_without_a_number_as_many_threads_as_processors(monkeypatch, given):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    assert threads_to_use() >= 1


@primitive(vjp=lambda g, y, x, table: (g * table[1], None))
def looked_up(x, table):
    return x * table[1]


def test_tests_without_a_batching_rule_are_listed():
    layout = Layout({"a": ()})

    def term(k):
        def trace(values):
            table = np.arange(3.0) * (k + 1)
            with Tape() as tape:
                a = tape.input("a", values["a"])
                return tape.graph([looked_up(a, table) ** 2])

        return Term(f"t{k}", trace({"a": np.float64(1.2)}), trace)

    problem = Objective([term(k) for k in range(20)], layout)
    assert problem.alone == {}
    problem.value(np.array([1.2]))
    assert set(problem.alone) == {f"t{k}" for k in range(20)}
    assert "rules of its own" in problem.alone["t0"]
