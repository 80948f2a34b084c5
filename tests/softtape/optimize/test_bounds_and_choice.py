import re

import numpy as np
import pytest

from softtape.errors import SoftError
from softtape.optimize import OPTIMIZERS, Bounds, Status, choose


def test_project_clips_and_keeps_inner_points_bit_for_bit():
    bounds = Bounds(np.array([0.0, -np.inf]), np.array([1.0, 5.0]))
    assert bounds.project(np.array([-3.0, 7.0])).tolist() == [0.0, 5.0]
    inside = np.array([0.1 + 0.2, -1e300])
    assert bounds.project(inside).tobytes() == inside.tobytes()


def test_free_leaves_out_variables_pushed_against_a_bound():
    bounds = Bounds(np.array([0.0, 0.0, -1.0, 2.0]), np.array([1.0, 1.0, 1.0, 2.0]))
    theta = np.array([0.0, 1.0, 0.0, 2.0])
    downhill_is_up = bounds.free(theta, np.array([-1.0, -1.0, -1.0, 0.0]))
    assert downhill_is_up.tolist() == [True, False, True, False]
    downhill_is_down = bounds.free(theta, np.array([1.0, 1.0, 1.0, 0.0]))
    assert downhill_is_down.tolist() == [False, True, True, False]


@pytest.mark.parametrize(
    ("lower", "upper", "message"),
    [
        ([0.0, 2.0], [1.0, 1.0], "variable 1: lower bound 2.0 is not below 1.0"),
        ([0.0, np.nan], [1.0, 1.0], "variable 1: lower bound nan"),
        ([0.0], [1.0, 1.0], "shapes (1,) and (2,)"),
    ],
)
def test_bounds_that_are_no_box_are_refused(lower, upper, message):
    with pytest.raises(SoftError, match=re.escape(message)):
        Bounds(np.array(lower), np.array(upper))


def test_auto_chooses_by_structure_and_size_and_says_why():
    optimizer, why = choose("auto", n_params=3, has_residuals=True)
    assert optimizer.name == "lm"
    assert "sum of squares" in why
    optimizer, why = choose("auto", n_params=501, has_residuals=True)
    assert optimizer.name == "lbfgs"
    assert "501 Params" in why
    optimizer, why = choose("auto", n_params=3, has_residuals=False)
    assert optimizer.name == "lbfgs"
    assert "not a sum of squares" in why


@pytest.mark.parametrize("name", list(OPTIMIZERS))
def test_every_optimizer_is_found_by_its_own_name(name):
    optimizer, why = choose(name, n_params=2, has_residuals=True)
    assert optimizer.name == name
    assert why == "asked for by name"


@pytest.mark.parametrize(
    ("typo", "meant"),
    [("l-bfgs", "lbfgs"), ("Adm", "adam"), ("gradient_descent", "gradient-descent")],
)
def test_a_misspelt_name_is_refused_with_the_nearest_one_and_the_list(typo, meant):
    with pytest.raises(SoftError) as caught:
        choose(typo, n_params=2, has_residuals=True)
    message = str(caught.value)
    assert f"no optimizer {typo!r}" in message
    assert f"Did you mean {meant!r}?" in message
    assert all(name in message for name in ["auto", *OPTIMIZERS])


def test_a_name_like_no_other_gets_the_list_without_a_guess():
    with pytest.raises(SoftError, match="Choose one of: auto, gradient-descent") as caught:
        choose("quux", n_params=2, has_residuals=True)
    assert "Did you mean" not in str(caught.value)


def test_lm_without_residuals_is_refused_with_the_way_out():
    with pytest.raises(SoftError, match=r"sum of squares.*choose 'lbfgs' or 'auto'"):
        choose("lm", n_params=2, has_residuals=False)


def test_the_registry_cannot_be_changed():
    with pytest.raises(TypeError):
        OPTIMIZERS["mine"] = OPTIMIZERS["lm"]


def test_only_convergence_counts_as_converged():
    assert {s for s in Status if s.converged} == {
        Status.GRADIENT,
        Status.STEP,
        Status.OWN,
    }
    assert len({s.sentence for s in Status}) == len(Status)
