"""What is known of a Param beforehand."""

import numpy as np
import pytest

from softtape import Param, ParamError
from softtape.priors import lognormal, normal
from softtape.tape import Tape
from softtape.transforms.residuals import residuals


def test_terms_are_squares_in_units_of_the_spread():
    assert normal(2.0, 0.1).loss(2.3) == pytest.approx(9.0)
    assert lognormal(np.log(2.0), 0.5).loss(2.0 * np.exp(1.0)) == pytest.approx(4.0)
    assert normal([0.0, 1.0], [1.0, 0.5]).loss(np.array([2.0, 2.0])) == pytest.approx(8.0)
    assert str(normal(2, 0.1)) == "normal(2, 0.1)"
    assert str(lognormal([1, 2], 0.1)) == "lognormal([...], 0.1)"


@pytest.mark.parametrize("prior", [normal(1.0, 0.5), lognormal(0.0, [1.0, 2.0])])
def test_they_show_their_residuals(prior):
    with Tape() as tape:
        graph = tape.graph([prior.loss(tape.input("x", np.array([1.5, 2.0])))])
    assert residuals(graph) is not None


@pytest.mark.parametrize("std", [0.0, -1.0, np.nan, [1.0, 0.0]])
def test_a_spread_is_positive(std):
    with pytest.raises(ValueError, match=r"normal\(1.0, .*the mean is finite, and std positive"):
        normal(1.0, std)


@pytest.mark.parametrize(
    ("value", "prior", "message"),
    [
        (1.0, (2.0, 0.1), r"prior=\(2.0, 0.1\): it must be one of softtape.priors"),
        (1.0, lognormal(0.0, 1.0), "a lognormal prior needs a positive Param"),
        (np.ones(3), normal([0.0, 1.0], 1.0), r"does not broadcast to shape \(3,\)"),
    ],
)
def test_a_prior_that_does_not_suit_is_refused_with_its_line(value, prior, message):
    with pytest.raises(ParamError, match=rf"test_priors.py:\d+: .*{message}"):
        Param(value, prior=prior)
