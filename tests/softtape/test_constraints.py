"""What a Param may be declared to keep to."""

import pickle

import numpy as np
import pytest

from softtape import Param, ParamError, StoreError
from softtape.param import peek, starting_value


def test_constraints_are_bounds_by_name():
    assert Param(1.0, constraint="positive").bounds == (np.finfo(float).tiny, np.inf)
    assert Param(0.5, constraint="unit_interval").bounds == (0.0, 1.0)
    assert Param([0.2, 0.3, 0.5], constraint="simplex").bounds == (0.0, 1.0)
    assert Param(1.0, scale="log").bounds == (np.finfo(float).tiny, np.inf)
    assert Param(1.0, bounds=(0, 5), scale="log").bounds == (np.finfo(float).tiny, 5.0)
    narrow = Param(np.ones(2, np.float32), constraint="positive")
    assert narrow.bounds[0] == np.finfo(np.float32).tiny


@pytest.mark.parametrize(
    ("value", "options", "message"),
    [
        (0.0, {"constraint": "positive"}, "the value 0.0 is not positive"),
        (1.5, {"constraint": "unit_interval"}, "the value 1.5 is not between 0 and 1"),
        ([0.5, 0.4], {"constraint": "simplex"}, "its shares add up to 0.9, not to 1"),
        ([1.5, -0.5], {"constraint": "simplex"}, "is no simplex: a share is negative"),
        ([[1.0, 0.0], [0.5, 0.4]], {"constraint": "simplex"}, "add up to 0.9, not to 1"),
        (1.0, {"constraint": "simplex"}, "shares are an array"),
        (..., {"constraint": "simplex"}, "shares are an array"),
        (1.0, {"constraint": "postive"}, "'postive': it must be 'positive', 'unit_interval'"),
        (1.0, {"constraint": "positive", "bounds": (0, 2)}, "give one of them"),
        (1.0, {"scale": "ln"}, "scale='ln': it must be 'linear' or 'log'"),
        (0.0, {"scale": "log"}, "the value 0.0 is not positive, as a log scale needs it"),
        (1.0, {"scale": "log", "bounds": (-1, 2)}, "bounds below 0 on a log scale"),
        (..., {"scale": "log"}, "a blank on a log scale starts in the middle of its bounds"),
        ([0.5, 0.5], {"scale": "log", "constraint": "simplex"}, "a simplex has no log scale"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_line(value, options, message):
    with pytest.raises(ParamError, match=r"test_constraints.py:\d+: ") as caught:
        Param(value, **options)
    assert message in str(caught.value)


def test_blanks_start_where_the_constraint_holds():
    shares = Param(..., name="a", shape=(2, 4), constraint="simplex")
    np.testing.assert_array_equal(starting_value(shares, 0), np.full((2, 4), 0.25))
    rate = Param(..., name="b", bounds=(1e-3, 1e3), scale="log")
    assert starting_value(rate, 0) == pytest.approx(1.0)
    sizes = Param(..., name="c", shape=9, constraint="positive")
    assert np.all(starting_value(sizes, 0) > 0)


def test_a_pickled_param_keeps_its_constraint():
    shares = Param([0.5, 0.5], name="shares", constraint="simplex")
    copy = pickle.loads(pickle.dumps(shares))
    assert (copy.constraint, copy.scale, copy.bounds) == ("simplex", "linear", (0.0, 1.0))


def test_a_stored_value_that_breaks_the_constraint_is_refused(tmp_path):
    file = tmp_path / "mix.py"
    (tmp_path / "mix.soft.json").write_text(
        '{"format": "pytest-soft", "version": 1, "params": '
        '{"w": {"start": null, "value": [0.5, 0.6]}}}'
    )
    namespace = {"__file__": str(file), "Param": Param, "__name__": "mix"}
    exec("w = Param(..., shape=2, constraint='simplex')", namespace)
    with pytest.raises(StoreError, match=r"value of w is no simplex: its shares add up to 1\.1"):
        peek(namespace["w"])
