"""Tests that assert, rewritten to measure."""
# ruff: noqa: PT018, RUF018 -- these assertions are material

import math

import numpy as np
import pytest

from pytest_soft.asserts import Asserts, measure
from pytest_soft.collect import may_assert, measuring
from pytest_soft.soften import softened

np_all = np.all


def plain(x):
    assert x == pytest.approx(2.0, abs=0.5), "never shown"
    assert x < 3.0


def losses(function, *args):
    soft = Asserts()
    names = function.__code__.co_varnames
    softened(function)(soft=soft, **dict(zip(names, args, strict=False)))
    return soft.losses()


def test_each_assertion_is_a_loss_at_its_line():
    first = plain.__code__.co_firstlineno
    assert losses(plain, 3.0) == {f"line {first + 1}": 4.0, f"line {first + 2}": 1.0}


def test_the_function_itself_stays():
    assert softened(plain) is not None
    with pytest.raises(AssertionError, match="never shown"):
        plain(3.0)


def test_arguments_closures_and_methods():
    limit = 2.0

    def closed(x, *, y=1.0):
        assert x * y == pytest.approx(limit, abs=1.0)

    class Suite:
        factor = 3.0

        def test_it(self, x):
            assert self.factor * x == pytest.approx(limit, abs=1.0)

    soft = Asserts()
    softened(closed)(soft=soft, x=4.0)
    softened(Suite().test_it)(soft=soft, x=1.0)
    assert [float(one.loss) for one in soft.met] == [4.0, 1.0]


def chained(x):
    assert 0 < x <= 2.0


def both(x):
    assert x > 1.0 and math.sqrt(x - 1.0) < 5.0


def either(x):
    assert abs(x) < 1.0 or abs(x - 10.0) < 1.0


def neither(x):
    assert not (x < 1.0 or x > 2.0)


def every(xs):
    assert all(abs(x) < 1.0 for x in xs)


def array(x):
    assert np.all(x < 1.0)
    assert (x < 1.0).all()
    assert np.isclose(x, 0.0, atol=1.0).all()
    np.testing.assert_allclose(x, 0.0, atol=1.0)


@pytest.mark.parametrize("x", [-3.0, -1e-3, 0.5, 1.5, 2.5, 1e3])
@pytest.mark.parametrize("function", [chained, either, neither])
def test_the_loss_is_at_most_1_where_the_assertion_holds(function, x):
    (loss,) = losses(function, x).values()
    try:
        function(x)
    except AssertionError:
        assert loss > 1
    else:
        assert loss <= 1


def test_and_adds_up_and_what_could_not_be_run_counts_nothing():
    (outside,) = losses(both, -3.0).values()  # math.sqrt fails there
    assert outside == pytest.approx((4e6 + 1) ** 2)
    (inside,) = losses(both, 65.0).values()
    assert inside == pytest.approx((3 / 5e-6 + 1) ** 2)


def test_all_elements():
    x = np.array([0.0, 3.0])
    found = [float(loss) for loss in losses(array, x).values()]
    assert found[0] == found[1] == pytest.approx((2e6 + 1) ** 2)
    assert found[2:] == pytest.approx([9.0, 9.0], rel=1e-4)
    (loss,) = losses(every, [0.5, 2.0]).values()
    assert loss == pytest.approx(4.25)


def caught():
    try:
        assert math.pi > 3
    except AssertionError:
        pass
    else:
        assert math.pi < 4
    with pytest.raises(AssertionError):
        assert math.e < 2
    assert math.e < 3


def test_assertions_that_the_test_itself_handles_stay():
    first = caught.__code__.co_firstlineno
    assert losses(caught) == {f"line {first + 6}": 0.0, f"line {first + 9}": 0.0}


def inner():
    def check(value):
        assert value < 3.0

    check(1.0)
    check(2.0)


def test_functions_inside_the_test_measure_too():
    assert list(losses(inner).values()) == [[0.0, 0.0]]


def hard(name, x):
    assert name == "gain"
    assert x < 1.0


def test_what_has_no_distance_stops_the_test():
    assert list(losses(hard, "gain", 0.5).values()) == [0.0]
    with pytest.raises(AssertionError, match=r"name == 'gain'\nIt does not hold, and has no"):
        losses(hard, "offset", 0.5)


def returning(x):
    assert x < 1.0
    return x**2


def generator():
    assert math.pi < 4
    yield


async def coroutine():
    assert math.pi < 4


def walrus(x):
    assert (y := x) < 1.0
    return y


@pytest.mark.parametrize("function", [returning, generator, coroutine, walrus, math.sin, print])
def test_functions_that_do_not_rely_on_asserts(function):
    assert softened(function) is None
    assert measuring(function) is function


def test_only_functions_that_may_assert_are_looked_into():
    assert may_assert(plain)
    assert may_assert(array)
    assert not may_assert(lambda x: x**2)
    assert not may_assert(math.sin)
    plainly = {}
    exec("def f(x):\n    assert x", plainly)  # as with --assert=plain
    assert may_assert(plainly["f"])


def test_source_that_is_gone():
    made = {}
    exec("def f(x):\n    assert x", made)
    assert softened(made["f"]) is None


def test_measuring_on_plain_numbers():
    soft = measure(plain, {"x": 2.0})
    assert soft.holds
    soft = measure(plain, {"x": 3.0})
    assert not soft.holds
    assert [line.split(None, 2)[2] for line in soft.lines()] == [
        "assert x == pytest.approx(2.0, abs=0.5): 2 times its tolerance",
        "assert x < 3.0: 1 times its tolerance",
    ]
    soft = measure(hard, {"name": "offset", "x": 0.5})
    assert (soft.holds, soft.met) == (False, [])
