"""When numba is chosen: from counts alone."""

import sys

import numpy as np
import pytest

from softtape import choice
from softtape.choice import EngineChoice
from softtape.engines import fast


@pytest.fixture
def fresh(monkeypatch):
    """As if numba were installed, its cache warm, and nothing imported yet."""
    monkeypatch.setattr(fast, "available", lambda: True)
    monkeypatch.setattr(choice, "kernels_cached", lambda kind, *, lanes: True)
    monkeypatch.delitem(sys.modules, "softtape.engines._interpreter", raising=False)


def evaluations(made, kind="gradient", nodes=8, cases=200):
    """How many evaluations numpy gets before numba takes over, up to a million."""
    for count in range(1_000_000):
        if made.compiled(kind, nodes, cases, built=count > 0):
            return count
    return np.inf


def test_a_short_fit_never_waits_for_an_import(fresh):
    made = EngineChoice("auto")
    assert not any(made.compiled("gradient", 8, 200, built=k > 0) for k in range(300))


def test_a_long_tape_is_compiled_at_once(fresh):
    assert evaluations(EngineChoice("auto"), nodes=62_507, cases=1) == 0


def test_a_tape_of_thousands_is_walked_as_a_table_first(fresh):
    assert evaluations(EngineChoice("auto"), nodes=4_000, cases=1) > 100


def test_nothing_small_is_ever_worth_an_import(fresh):
    assert evaluations(EngineChoice("auto"), kind="value", nodes=8, cases=10) == np.inf


def test_two_hundred_cases_change_after_tens_of_thousands_of_evaluations(fresh):
    assert 30_000 < evaluations(EngineChoice("auto")) < 300_000


def test_larger_suites_change_sooner(fresh):
    counts = [evaluations(EngineChoice("auto"), cases=n) for n in (10**3, 10**5, 10**6)]
    assert np.inf > counts[0] > counts[1] > counts[2] > 0


def test_a_cold_cache_counts_as_the_compilation_it_takes(fresh, monkeypatch):
    warm = [evaluations(EngineChoice("auto"), cases=10**5)]
    warm.append(evaluations(EngineChoice("auto"), "jacobian", nodes=62_507, cases=1))
    asked = []
    monkeypatch.setattr(
        choice, "kernels_cached", lambda kind, *, lanes: asked.append((kind, lanes))
    )
    cold = [evaluations(EngineChoice("auto"), cases=10**5)]
    cold.append(evaluations(EngineChoice("auto"), "jacobian", nodes=62_507, cases=1))
    assert cold[0] > 40 * warm[0]
    assert cold[1] > 40 > warm[1]
    assert {*asked} == {("gradient", True), ("jacobian", False)}


def test_groups_pay_together(fresh):
    alone, shared = EngineChoice("auto"), EngineChoice("auto")
    long = evaluations(alone, cases=10**5)
    for _ in range(long // 2 + 1):
        assert not shared.compiled("gradient", 8, 10**5, built=True)
    assert evaluations(shared, cases=10**5) <= long // 2


def test_what_is_imported_costs_nothing(fresh, monkeypatch):
    monkeypatch.setitem(sys.modules, "softtape.engines._interpreter", object())
    assert evaluations(EngineChoice("auto")) == 0


def test_an_engine_by_name(fresh):
    assert evaluations(EngineChoice("numba")) == 0
    assert not EngineChoice("numpy").compiled("gradient", 10**9, 10**9, built=False)


def test_without_numba_there_is_no_choice(monkeypatch):
    monkeypatch.setattr(fast, "available", lambda: False)
    assert not EngineChoice("auto").compiled("gradient", 10**9, 10**9, built=False)
