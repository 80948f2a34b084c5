"""Values that are computed from Params and act as values."""

import copy
import math

import numpy as np
import pytest

from softtape import Param, ParamError, grad, stop_gradient, tied
from softtape.param import assign
from softtape.tape import Tape

rate = Param(2.0, name="rate")
weights = Param(np.array([1.0, 3.0]), name="weights")
twice = tied(lambda: 2 * rate)


@tied
def lifetime():
    return 1 / rate


total = tied(lambda: np.sum(weights) * lifetime)
same = tied(lambda: weights)
ring = tied(lambda: other_ring + 1)
other_ring = tied(lambda: ring * 2)


@pytest.fixture(autouse=True)
def _start():
    assign(rate, 2.0)


def test_they_act_as_plain_values():
    assert type(twice + 0) is float
    assert lifetime * 3 == 1.5
    assert math.exp(lifetime) == math.exp(0.5)
    assert total == 2.0
    assert np.sqrt(twice) == 2.0
    assert (same.sum(), len(same), same[1], list(same)) == (4.0, 2, 3.0, [1.0, 3.0])
    assert np.concatenate([same, [twice]]).tolist() == [1.0, 3.0, 4.0]
    assert f"{twice:.1f} {lifetime}" == "4.0 0.5"
    assert (repr(twice), repr(lifetime)) == ("tied(twice)", "tied(lifetime)")
    assert copy.deepcopy(twice) is twice


def test_they_follow_their_params():
    assign(rate, 5.0)
    assert (twice, float(lifetime)) == (10.0, 0.2)


def test_under_tracing_they_are_recorded_as_computed_from_the_params():
    with Tape() as tape:
        loss = total * twice
        graph = tape.graph([loss])
    assert set(graph.inputs) == {rate.key, weights.key}
    assert stop_gradient(twice) == 4.0
    assert grad(lambda x: x * twice)(1.0) == 4.0


def test_one_that_is_computed_from_itself_is_an_error():
    with pytest.raises(ParamError, match=r"test_tied.py:\d+: .* ring is computed from itself"):
        ring + 0
    assert twice == 4.0  # and the next use works


def test_a_number_is_no_function():
    with pytest.raises(ParamError, match=r"tied takes a function, not 4.0"):
        tied(2 * rate)
