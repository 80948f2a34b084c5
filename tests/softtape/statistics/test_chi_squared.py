import math

import pytest

from softtape.statistics.chi_squared import chance_of_more


@pytest.mark.parametrize("dof", [1, 2, 7, 40, 1000])
@pytest.mark.parametrize("share", [0.01, 0.5, 1.0, 1.3, 4.0])
def test_against_scipy(dof, share):
    distribution = pytest.importorskip("scipy.stats").chi2
    value = share * dof
    assert chance_of_more(value, dof) == pytest.approx(distribution.sf(value, dof), rel=1e-10)


def test_ends():
    assert chance_of_more(0.0, 3) == 1.0
    assert chance_of_more(math.inf, 3) == 0.0
    assert chance_of_more(1e6, 3) == 0.0
    assert chance_of_more(4.0, 2) == pytest.approx(math.exp(-2), rel=1e-14)


@pytest.mark.parametrize(("value", "dof"), [(-1.0, 3), (math.nan, 3), (1.0, 0)])
def test_what_has_no_chance(value, dof):
    with pytest.raises(ValueError, match="no chance of chi squared"):
        chance_of_more(value, dof)
