"""The specification: the 14 measurements, each a soft test, and the fit that NIST certifies.

Data: Misra1a, NIST Statistical Reference Datasets (public domain), see misra1a.csv.
"""

from pathlib import Path

import numpy as np
import pytest
from dental import b1, b2, volume

from pytest_soft import soft_test

ROWS = np.loadtxt(Path(__file__).with_name("misra1a.csv"), delimiter=",", skiprows=4)


@soft_test
@pytest.mark.parametrize(("pressure", "measured"), ROWS)
def test_volume(pressure, measured):
    return (volume(pressure) - measured) ** 2


def test_certified_values():
    residuals = volume(ROWS[:, 0]) - ROWS[:, 1]
    assert b1 == pytest.approx(2.3894212918e02, rel=1e-6)
    assert b2 == pytest.approx(5.5015643181e-04, rel=1e-6)
    assert np.sum(residuals**2) == pytest.approx(1.2455138894e-01, rel=1e-9)
