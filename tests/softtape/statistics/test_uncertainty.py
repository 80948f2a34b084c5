import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softtape.statistics.uncertainty import estimate, student_quantile

LINE = np.stack([np.ones(12), np.linspace(0.0, 3.0, 12)], axis=1)


def noisy(design, theta, seed=0, sigma=0.1):
    data = design @ theta + np.random.default_rng(seed).normal(0.0, sigma, len(design))
    fitted = np.linalg.lstsq(design, data)[0]
    return design @ fitted - data, fitted


# Abramowitz and Stegun, table 26.10
@pytest.mark.parametrize(
    ("probability", "dof", "quantile"),
    [(0.975, 1, 12.706), (0.975, 2, 4.303), (0.95, 5, 2.015), (0.995, 10, 3.169), (0.9, 30, 1.310)],
)
def test_student_quantiles_of_the_table(probability, dof, quantile):
    assert student_quantile(probability, dof) == pytest.approx(quantile, abs=5e-4)
    assert student_quantile(1 - probability, dof) == pytest.approx(-quantile, abs=5e-4)


@pytest.fixture(scope="module")
def student():
    return pytest.importorskip("scipy.stats").t


@given(probability=st.floats(0.501, 0.99999), dof=st.integers(1, 50_000))
def test_student_quantiles_are_scipys(student, probability, dof):
    expected = student.ppf(probability, dof)
    assert student_quantile(probability, dof) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize(("probability", "dof"), [(0.0, 3), (1.0, 3), (0.5, 0), (np.nan, 3)])
def test_no_such_quantile(probability, dof):
    with pytest.raises(ValueError, match="no quantile"):
        student_quantile(probability, dof)


def test_a_straight_line_as_the_textbook_has_it():
    residuals, _ = noisy(LINE, [1.0, 2.0])
    known = estimate(residuals, LINE)
    x = LINE[:, 1]
    variance = residuals @ residuals / 10
    spread = np.sum((x - x.mean()) ** 2)
    assert known.variance == pytest.approx(variance)
    assert known.errors[1] == pytest.approx(np.sqrt(variance / spread))
    assert known.errors[0] == pytest.approx(np.sqrt(variance * (1 / 12 + x.mean() ** 2 / spread)))
    correlation = -x.mean() / np.sqrt(np.mean(x**2))
    assert known.correlation[0, 1] == pytest.approx(correlation)
    assert known.half_width(0.95) == pytest.approx(2.228139 * known.errors, rel=1e-6)
    assert not known.reasons
    assert known.undetermined.shape == (0, 2)


@given(st.integers(0, 1000), st.floats(-8, 8), st.floats(-8, 8))
def test_units_do_not_matter(seed, one, other):
    units = 10.0 ** np.array([one, other])
    residuals, _ = noisy(LINE, [1.0, 2.0], seed)
    plain, scaled = estimate(residuals, LINE), estimate(residuals, LINE * units)
    np.testing.assert_allclose(scaled.errors * units, plain.errors, rtol=1e-9)
    assert not scaled.reasons


def test_what_is_on_a_bound_has_no_error_and_the_others_are_estimated_without_it():
    residuals, _ = noisy(LINE[:, :1], [1.0])
    known = estimate(residuals, LINE, held=np.array([False, True]))
    assert known.reasons == {1: "on its bound"}
    assert np.isnan(known.errors[1])
    assert known.errors[0] == pytest.approx(np.sqrt(residuals @ residuals / 11 / 12))


def test_a_product_is_determined_and_its_factors_are_not():
    x = np.linspace(1.0, 2.0, 9)
    design = np.stack([3.0 * x, 2.0 * x, np.ones(9)], axis=1)  # of gain * offset * x + level
    residuals, _ = noisy(design[:, 1:], [2.0, 1.0])
    known = estimate(residuals, design)
    assert known.reasons == dict.fromkeys([0, 1], "not determined by the tests")
    assert known.dof == 7
    (direction,) = known.undetermined
    np.testing.assert_allclose(direction / direction[1], [-2 / 3, 1.0, 0.0])
    assert known.errors[2] == pytest.approx(estimate(residuals, design[:, 1:]).errors[1])


def test_a_param_without_effect():
    residuals, _ = noisy(LINE, [1.0, 2.0])
    known = estimate(residuals, np.hstack([LINE, np.zeros((12, 1))]))
    assert list(known.reasons) == [2]
    np.testing.assert_array_equal(np.abs(known.undetermined), [[0.0, 0.0, 1.0]])
    np.testing.assert_allclose(known.errors[:2], estimate(residuals, LINE).errors)


def test_fewer_residuals_than_params():
    known = estimate(np.zeros(1), np.array([[1.0, 1.0, 0.0]]))
    assert known.dof == 0
    assert np.isnan(known.errors).all()
    assert sorted(known.reasons) == [0, 1, 2]
    np.testing.assert_allclose(known.undetermined @ [1.0, 1.0, 0.0], 0.0, atol=1e-12)
    assert len(known.undetermined) == 2


def test_as_many_residuals_as_params():
    known = estimate(np.array([1e-9, 0.0]), np.eye(2))
    assert np.isnan(known.variance)
    assert "no more residuals than Params" in known.reasons[0]
    assert np.isnan(known.half_width()).all()


def test_no_params_left():
    known = estimate(np.ones(3), np.ones((3, 1)), held=np.array([True]))
    assert known.dof == 3
    assert known.variance == 1.0
    assert list(known.reasons) == [0]


def test_known_scales_against_scipy():
    curve_fit = pytest.importorskip("scipy.optimize").curve_fit
    draw = np.random.default_rng(3)
    x = np.linspace(0, 1, 12)
    sigma = 0.1 + 0.2 * x
    y = 2 * x + 1 + sigma * draw.standard_normal(12)
    theta, covariance = curve_fit(
        lambda x, a, b: a * x + b, x, y, [1, 1], sigma=sigma, absolute_sigma=True
    )
    jacobian = np.column_stack([x, np.ones(12)]) / sigma[:, None]
    known = estimate((theta[0] * x + theta[1] - y) / sigma, jacobian, absolute=True)
    assert known.covariance == pytest.approx(covariance, rel=1e-6)
    assert known.half_width(0.95) == pytest.approx(1.959963985 * known.errors)


def test_known_scales_need_no_scatter():
    jacobian = np.array([[2.0, 0.0], [0.0, 1.0]])
    known = estimate(np.zeros(2), jacobian, absolute=True)
    assert known.errors == pytest.approx([0.5, 1.0])
    assert known.reasons == {}
