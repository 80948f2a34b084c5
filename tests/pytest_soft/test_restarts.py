"""Many starts that go their first steps together, as one fit."""

from types import SimpleNamespace

import numpy as np
import pytest

from pytest_soft import restarts
from pytest_soft.restarts import minimize_from_many
from softtape.objective import Layout, Objective, Term
from softtape.optimize import LBFGS, Bounds, LevenbergMarquardt, Status, minimize
from softtape.points import Points
from softtape.tape import Tape

BAD = np.array([0.2])
LM = LevenbergMarquardt()


def objective(frequency, threads=None):
    def term(x):
        def trace(values):
            with Tape() as tape:
                w = tape.input("w", values["w"])
                return tape.graph([(np.sin(frequency(w) * x) - np.sin(1.5 * x)) ** 2])

        return Term(f"t{x}", trace({"w": 0.2}), trace)

    points = np.linspace(0.0, 9.0, 60).tolist()
    return Objective([term(x) for x in points], Layout({"w": ()}), threads=threads)


def plain(w):
    return w


def bent(w):
    return w if w < 2.0 else 4.0 - w  # another path beyond 2


class Run:
    def __init__(self, frequency=plain, *, optimizer=LM, threads=None, **limits):
        self.descents = 0
        options = {"restarts": 20, "seed": 0, "threshold": None, "max_steps": None, "timeout": None}
        with np.errstate(all="ignore"):
            self.result, self.basins = minimize_from_many(
                objective(frequency, threads),
                BAD,
                optimizer=optimizer,
                bounds=Bounds(np.array([0.0]), np.array([4.0])),
                callback=None,
                minimize=self.minimize,
                **options | limits,
            )

    def minimize(self, *args, **options):
        self.descents += 1
        return minimize(*args, **options)


@pytest.mark.parametrize("frequency", [plain, bent])
@pytest.mark.parametrize("seed", [0, 1])
def test_only_survivors_are_descended_from_alone(frequency, seed):
    run = Run(frequency, seed=seed)
    assert run.result.value < 1e-12
    assert frequency(run.result.theta[0]) == pytest.approx(1.5)
    assert sum(basin.starts for basin in run.basins) == 21
    assert run.descents < 21


def test_each_basin_that_was_found_together_is_a_minimum():
    for basin in Run().basins:
        result = minimize(
            objective(plain),
            basin.theta,
            optimizer=LM,
            bounds=Bounds(np.array([0.0]), np.array([4.0])),
        )
        assert result.theta == pytest.approx(basin.theta, rel=1e-4)
        assert result.value == pytest.approx(basin.value, rel=1e-6, abs=1e-9)


def test_another_optimizer_descends_from_each_start():
    assert Run(optimizer=LBFGS()).descents == 21


def test_the_bits_do_not_depend_on_the_number_of_threads():
    one, two = (Run(bent, threads=n) for n in (1, 2))
    assert one.result.theta.tobytes() == two.result.theta.tobytes()
    assert [b.theta.tobytes() for b in one.basins] == [b.theta.tobytes() for b in two.basins]
    assert one.result.evaluations == two.result.evaluations


def test_a_break_amid_the_common_steps_keeps_the_best_point(monkeypatch):
    models, asked = Points.models, []

    def interrupted(self, thetas):
        asked.append(len(thetas))
        if len(asked) == 3:
            raise KeyboardInterrupt
        return models(self, thetas)

    monkeypatch.setattr(Points, "models", interrupted)
    run = Run()
    assert run.result.status is Status.INTERRUPTED
    assert run.descents == 1
    assert Run(restarts=0).result.value > 5.0  # where that one ends
    assert run.result.value < 1.0
    assert objective(plain).value(run.result.theta) == run.result.value


def test_a_time_limit_amid_the_common_steps(monkeypatch):
    models = Points.models

    def slow(self, thetas):
        clock[0] += 1.0
        return models(self, thetas)

    clock = [0.0]
    monkeypatch.setattr(Points, "models", slow)
    monkeypatch.setattr(restarts, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    run = Run(timeout=2.5)
    assert run.result.status is Status.TIMEOUT
    assert run.descents == 1
    assert run.result.value < 1.0
