import sys

import numpy as np
import pytest

from softtape import SoftError
from softtape.optimize import OPTIMIZERS, Bounds, Status, choose, minimize

NAMES = ["scipy-least-squares", "scipy-minimize", "differential-evolution", "cma"]
VALUES_ONLY = NAMES[2:]
BOX = Bounds(np.array([-2.0, -1.0]), np.array([3.0, 4.0]))


@pytest.fixture(params=NAMES)
def optimizer(request):
    pytest.importorskip("cma" if request.param == "cma" else "scipy.optimize")
    return OPTIMIZERS[request.param]()


def rosenbrock(b):
    return np.stack([10 * (b[1] - b[0] ** 2), 1 - b[0]])


@pytest.mark.filterwarnings("ignore:.*")  # cma's own, about numpy
def test_it_finds_a_minimum_within_bounds(optimizer, squares):
    objective = squares(rosenbrock)
    result = minimize(objective, np.array([-1.2, 1.0]), optimizer=optimizer, bounds=BOX)
    assert result.theta == pytest.approx([1.0, 1.0], abs=1e-4)
    assert result.status.converged
    assert result.optimizer == optimizer.name
    assert all(BOX.contains(theta) for theta in objective.asked)


@pytest.mark.filterwarnings("ignore:.*")
def test_a_bound_holds(optimizer, squares):
    bounds = Bounds(np.array([-2.0, -1.0]), np.array([0.5, 4.0]))
    objective = squares(rosenbrock)
    result = minimize(objective, np.array([-1.2, 1.0]), optimizer=optimizer, bounds=bounds)
    assert result.theta == pytest.approx([0.5, 0.25], abs=1e-3)
    assert all(bounds.contains(theta) for theta in objective.asked)


@pytest.mark.filterwarnings("ignore:.*")
def test_the_threshold_ends_it_from_within(optimizer, squares):
    objective = squares(rosenbrock)
    result = minimize(
        objective, np.array([-1.2, 1.0]), optimizer=optimizer, bounds=BOX, threshold=1e-2
    )
    assert result.status is Status.THRESHOLD
    assert result.value <= 1e-2


@pytest.mark.parametrize("name", VALUES_ONLY)
@pytest.mark.filterwarnings("ignore:.*")
def test_no_gradient_is_asked_for(name, smooth):
    pytest.importorskip("cma" if name == "cma" else "scipy.optimize")

    def staircase(theta):
        return float(np.sum(np.floor(np.abs(theta - 0.7) * 50)))

    def gradient(theta):
        raise AssertionError("there is none")

    result = minimize(
        smooth(staircase, gradient),
        np.array([2.0, 3.0]),
        optimizer=OPTIMIZERS[name](),
        bounds=BOX,
    )
    assert result.value == 0
    assert np.isnan(result.gradient_norm)


@pytest.mark.filterwarnings("ignore:.*")
def test_cma_takes_a_single_variable(squares):
    pytest.importorskip("cma")
    bounds = Bounds.unbounded(1)
    objective = squares(
        lambda t: np.sin(t[0] * np.linspace(0, 3, 9)) - np.sin(np.linspace(0, 4, 9))
    )
    result = minimize(objective, np.array([1.0]), optimizer=OPTIMIZERS["cma"](), bounds=bounds)
    assert result.theta == pytest.approx([4 / 3], abs=1e-4)


def test_differential_evolution_needs_bounds(squares):
    pytest.importorskip("scipy.optimize")
    with pytest.raises(SoftError, match=r"1 of 2 variables have none .* bounds=\(0.0, 5.0\)"):
        minimize(
            squares(rosenbrock),
            np.zeros(2),
            optimizer=OPTIMIZERS["differential-evolution"](),
            bounds=Bounds(np.array([-1.0, -1.0]), np.array([1.0, np.inf])),
        )


@pytest.mark.parametrize(
    ("name", "module"), [(n, "scipy.optimize") for n in NAMES[:3]] + [("cma", "cma")]
)
def test_what_is_not_installed_is_named(name, module, monkeypatch, squares):
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(SoftError, match=rf"'{name}' needs \w+: pip install 'pytest-soft\[\w+\]'"):
        minimize(squares(rosenbrock), np.zeros(2), optimizer=OPTIMIZERS[name](), bounds=BOX)


def test_squares_are_needed_by_name():
    with pytest.raises(SoftError, match="'scipy-least-squares' needs every loss to be a sum"):
        choose("scipy-least-squares", n_params=1, has_residuals=False)
