"""The specification: where a ball was seen at 40 moments, with four bounces.

Data: trajectory.csv, which make_trajectory.py computes from true values, plus noise.
"""

from pathlib import Path

import numpy as np
import pytest
from make_trajectory import TRUE_DRAG, TRUE_RESTITUTION
from projectile import DT, drag, restitution, trajectory

from pytest_soft import soft_test

T, X, Y = np.loadtxt(Path(__file__).with_name("trajectory.csv"), delimiter=",", skiprows=1).T
STEPS = np.rint(T / DT).astype(int)


@soft_test(threshold=0.01)  # m²: 80 coordinates, each seen to about 1 cm
def test_trajectory():
    x, y = trajectory(STEPS[-1])
    return (x[STEPS] - X) ** 2 + (y[STEPS] - Y) ** 2


def test_true_values_are_recovered():
    assert drag == pytest.approx(TRUE_DRAG, rel=0.01)
    assert restitution == pytest.approx(TRUE_RESTITUTION, rel=0.01)
