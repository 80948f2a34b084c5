import numpy as np

from softtape.statistics.pulls import opposed, worth_telling


def test_two_that_hold_each_other():
    assert opposed(np.array([[1.0, 2.0], [0.0, 0.0], [-1.1, -2.0]])) == (2, 0)


def test_scatter_is_no_conflict():
    assert opposed(np.array([[1.0], [-0.7], [-0.3]])) is None
    assert opposed(np.random.default_rng(0).standard_normal((20, 1))) is None


def test_pulls_on_different_params_are_no_conflict():
    assert opposed(np.array([[1.0, 0.0], [0.0, -1.0]])) is None
    assert opposed(np.array([[1.0, 0.0], [1.0, 0.1]])) is None


def test_nothing_to_tell():
    assert opposed(np.zeros((3, 1))) is None
    assert opposed(np.ones((1, 1))) is None
    assert opposed(np.array([[np.nan], [1.0]])) is None


def test_two_measurements_that_nearly_agree():
    def of(a, b):  # (t - a)² + (t - b)² at its minimum
        t = (a + b) / 2
        return worth_telling((t - a) ** 2, np.array([2 * (t - a) * t]))

    assert of(1.0, 3.0)
    assert not of(0.99, 1.01)
    assert of(-1.0, 1.0)  # a Param of no size
