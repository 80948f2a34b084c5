"""From what a test returned to its loss."""

import math
from fractions import Fraction

import numpy as np
import pytest

from pytest_soft.loss import LossError, loss_of, parts_of
from softtape import Param
from softtape.tape import Tape

rate = Param(2.5)


@pytest.mark.parametrize(
    ("returned", "loss", "cases"),
    [
        (0, 0.0, 1),
        (2.5, 2.5, 1),
        (-1.0, -1.0, 1),
        (np.float32(0.5), 0.5, 1),
        (np.array(3), 3.0, 1),
        (np.arange(6).reshape(2, 3), 15.0, 6),
        ([1.0, [2.0, 3.0]], 6.0, 3),
        ((1, np.ones(4)), 5.0, 5),
        ({"a": 1.0, "b": {"c": np.ones((2, 2))}}, 5.0, 5),
        (Fraction(1, 4), 0.25, 1),
        (rate, 2.5, 1),
        ([rate, 1], 3.5, 2),
    ],
)
def test_losses(returned, loss, cases):
    found = loss_of(returned)
    assert found == (loss, cases)
    assert type(found[0]) is float


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (None, "returned None: a soft test returns its loss, or asserts something that has a *"),
        ("x", "returned the text 'x' instead of a loss"),
        (b"x", "returned the text b'x' instead of a loss"),
        (math.nan, "returned a loss of nan"),
        (-math.inf, "returned a loss of -inf"),
        (np.array([1, np.inf]), "returned a loss of inf"),
        ([1.0, {"a": math.nan}], "returned a loss of nan (at [1]['a'])"),
        (1j, "returned the complex number 1j: return np.abs(z) ** 2 or z.real"),
        (np.complex128(1j), "returned the complex number np.complex128(1j): return np.abs(z) ** 2"),
        (True, "returned True, a pass or fail: return a distance from what is expected"),
        (np.True_, "returned np.True_, a pass or fail"),
        (np.array([], float), "returned an empty array, which measures nothing"),
        ([], "returned an empty list"),
        ((), "returned an empty tuple"),
        ({}, "returned an empty dict, which is no loss"),
        ({"a": {}}, "returned an empty dict (at ['a']), which is no loss"),
        ([[1.0, None]], "returned None: a soft test returns its loss*(at [0][1])"),
        (len, "returned <built-in function len>, a builtin_function_or_method, instead of a loss"),
        ({1, 2}, "returned {1, 2}, a set, instead of a loss"),
        (np.array(["a"]), "returned an array of dtype <U1, not of numbers"),
        (np.array([rate], object), "returned an array of dtype object, not of numbers"),
    ],
)
def test_no_losses(returned, message):
    with pytest.raises(LossError) as caught:
        loss_of(returned)
    for part in message.split("*"):
        assert part in str(caught.value)


def test_a_coroutine_is_closed_and_refused():
    async def test_it():
        return 1.0

    with pytest.raises(LossError, match="returned a coroutine that nobody awaits: make"):
        loss_of(test_it())


def test_parts_have_paths_and_stay_traced():
    with Tape():
        parts = list(parts_of({"a": rate * 2, "b": [1.0, rate]}))
        assert [name for name, _ in parts] == ["['a']", "['b'][0]", "['b'][1]"]
        assert type(parts[0][1]).__name__ == "Traced"
