"""Pass or fail."""

import math

import pytest

from pytest_soft.verdict import Sides, TestLoss, judge

WORSE = "{} more than 5 % worse than at the last fit, above all {}"
OTHER_REASON = "1 test failed for another reason than the loss"


FOLDS = [Sides(5.0, 1, 3.0, 1, 1), Sides(1.0, 4, 0.0, 1, 1)]


def loss(value, **options):
    return TestLoss(value, **options)


@pytest.mark.parametrize(
    ("tests", "options", "total", "reasons"),
    [
        # no limit: any loss passes
        ({"a": loss(1e9)}, {}, 1e9, ()),
        ({"a": loss(-1.0)}, {}, -1.0, ()),
        # limits on the total
        ({"a": loss(1.0), "b": loss(2.0)}, {"threshold": 3.0}, 3.0, ()),
        ({"a": loss(1.0), "b": loss(2.0)}, {"threshold": 2.5}, 3.0,
         ("the total loss 3 is above the threshold 2.5",)),
        ({"a": loss(0.0)}, {"threshold": 0.0}, 0.0, ()),
        ({"a": loss(1e-300)}, {"threshold": 0.0}, 1e-300,
         ("the total loss 1e-300 is above the threshold 0",)),
        ({"a": loss(-2.0)}, {"threshold": -1.0}, -2.0, ()),
        ({"a": loss(5.0)}, {"threshold": math.inf}, 5.0, ()),
        # weights
        ({"a": loss(1.0, weight=3), "b": loss(9.0, weight=0)}, {"threshold": 3}, 3.0, ()),
        # limits of single tests count without weight, and with weight 0 as well
        ({"a": loss(1.0, threshold=1.0, weight=5)}, {}, 5.0, ()),
        ({"a": loss(1.0, threshold=0.0)}, {}, 1.0, ("1 test above the threshold of the test",)),
        ({"a": loss(2.0, threshold=1, weight=0)}, {}, 0.0,
         ("1 test above the threshold of the test",)),
        ({"a": loss(2.0, threshold=1), "b": loss(2.0, threshold=1)}, {"threshold": 1}, 4.0,
         ("2 tests above the threshold of the test",
          "the total loss 4 is above the threshold 1")),
        # tests without a loss
        ({"a": loss(None)}, {"threshold": 1.0}, None, ("1 test gave no loss",)),
        ({"a": loss(None), "b": loss(0.5)}, {"threshold": 1.0}, 0.5, ("1 test gave no loss",)),
        # tests held out are no part of the total, and may fail by themselves
        ({"a": loss(1.0), "b": loss(9.0, held_out=True)}, {"threshold": 1.0}, 1.0, ()),
        ({"b": loss(9.0, held_out=True)}, {"threshold": 1.0}, None, ()),
        ({"b": loss(9.0, held_out=True)}, {"threshold": 1.0, "asked": True}, None,
         ("no soft test ran that is not held out",)),
        ({"a": loss(1.0), "b": loss(9.0, held_out=True, threshold=1)}, {}, 1.0,
         ("1 test above the threshold of the test",)),
        ({"a": loss(1.0), "b": loss(None, held_out=True)}, {}, 1.0, ("1 test gave no loss",)),
        # the gap: mean losses of a case, by weight
        ({"a": loss(1.0), "b": loss(3.0), "c": loss(6.0, held_out=True)}, {"gap": 4.0}, 4.0, ()),
        ({"a": loss(1.0), "b": loss(3.0), "c": loss(6.0, held_out=True)}, {"gap": 3.5}, 4.0,
         ("the mean loss of tests held out is 4 above the fitted one: the limit is 3.5",)),
        ({"a": loss(8.0, cases=4, weight=0.5), "c": loss(2.0, held_out=True)}, {"gap": 0}, 4.0, ()),
        ({"a": loss(5.0), "c": loss(1.0, held_out=True)}, {"gap": -3.0}, 5.0, ()),
        ({"a": loss(5.0)}, {"gap": 0.0}, 5.0, ()),
        ({"a": loss(5.0)}, {"gap": 0.0, "folds": FOLDS}, 5.0,
         ("the mean loss of folds held out is 0.3 above the fitted one: the limit is 0",)),
        # the ratchet: what each test had at the last fit
        ({"a": loss(1.05, last=1.0)}, {"ratchet": 0.05}, 1.05, ()),
        ({"a": loss(1.06, last=1.0, weight=2)}, {"ratchet": 0.05}, 2.12,
         (WORSE.format("1 test", "a: 1.06, it was 1"),)),
        ({"a": loss(2.0, last=1.0), "b": loss(9.0, last=1.0), "c": loss(1.0, last=1.0)},
         {"ratchet": 0.05}, 12.0, (WORSE.format("2 tests", "b: 9, it was 1"),)),
        ({"a": loss(9.0, last=1.0)}, {}, 9.0, ()),
        ({"a": loss(1.0 + 1e-9, last=1.0)}, {"ratchet": 0.0}, 1.0 + 1e-9, ()),
        ({"a": loss(1.0 + 1e-5, last=1.0)}, {"ratchet": 0.0}, 1.0 + 1e-5,
         ("1 test more than 0 % worse than at the last fit, above all a: 1.00001, it was 1",)),
        ({"a": loss(-0.8, last=-1.0)}, {"ratchet": 0.2}, -0.8, ()),
        ({"a": loss(-0.7, last=-1.0)}, {"ratchet": 0.05}, -0.7,
         (WORSE.format("1 test", "a: -0.7, it was -1"),)),
        # rounding makes no exact fit worse, what is above it does
        ({"a": loss(1e-13, last=0.0)}, {"ratchet": 0.05}, 1e-13, ()),
        ({"a": loss(1e-9, last=0.0)}, {"ratchet": 0.05}, 1e-9,
         (WORSE.format("1 test", "a: 1e-09, it was 0"),)),
        # suites, by the tests whose loss at the last fit is known; held out ones by themselves
        ({"a": loss(2.0, last=1.0, suite="s"), "b": loss(1.0, last=2.0, suite="s")},
         {"ratchet": 0.05}, 3.0, (WORSE.format("1 test", "a: 2, it was 1"),)),
        ({"a": loss(2.0, last=1.0, suite="s", weight=3), "b": loss(9.0, suite="s")},
         {"ratchet": 0.05}, 15.0,
         (WORSE.format("1 test", "a: 2, it was 1"),
          "the suite s is more than 5 % worse than at the last fit: 6, it was 3")),
        ({"a": loss(2.0, last=1.0, held_out=True), "b": loss(1.0)}, {"ratchet": 0.05}, 1.0,
         (WORSE.format("1 test", "a: 2, it was 1"),)),
        # none that was fitted before: nothing was held to anything
        ({"a": loss(1.0)}, {"ratchet": 0.05}, 1.0,
         ("no loss of a last fit is known: pytest --soft-fit with soft_ratchet keeps them",)),
        ({"a": loss(1.0), "b": loss(1.0, last=1.0)}, {"ratchet": 0.05}, 2.0, ()),
        # a fit keeps no losses where it fails, and none can be read from a broken file
        ({"a": loss(1.0)}, {"ratchet": 0.05, "fit_failures": ("a broken file",)}, 1.0,
         ("a broken file",)),
        ({"a": loss(None, last=1.0)}, {"ratchet": 0.05}, None, ("1 test gave no loss",)),
        ({"a": loss(9.0, last=1.0, counts=False), "b": loss(1.0, last=1.0)}, {"ratchet": 0}, 1.0,
         ()),
        # coverage: the percentage of the Params' elements that tests reach
        ({"a": loss(1.0)}, {"coverage": 50.0}, 1.0, ()),
        ({"a": loss(1.0)}, {"coverage": 50.0, "coverage_fail_under": 50.0}, 1.0, ()),
        ({"a": loss(1.0)}, {"coverage": 50.0, "coverage_fail_under": 50.1}, 1.0,
         ("tests reach 50 % of the Params' elements: the limit is 50.1 %",)),
        ({"a": loss(1.0)}, {"coverage": 0.0, "coverage_fail_under": 0.0}, 1.0, ()),
        ({"a": loss(1.0)}, {"coverage": None, "coverage_fail_under": 0.0}, 1.0,
         ("nothing tells which Params the tests reach: there are none, or it was not measured",)),
        # expected failures do not count
        ({"a": loss(9.0, counts=False), "b": loss(1.0)}, {"threshold": 1}, 1.0, ()),
        ({"a": loss(None, counts=False), "b": loss(1.0)}, {}, 1.0, ()),
        ({"a": loss(9.0, counts=False, threshold=1), "b": loss(1.0)}, {}, 1.0, ()),
        # failed by pytest itself
        ({"a": loss(1.0, error=True)}, {}, 1.0, (OTHER_REASON,)),
        ({"a": loss(1.0, error=True, counts=False)}, {}, None, (OTHER_REASON,)),
        # none at all
        ({}, {}, None, ()),
        ({}, {"threshold": 1.0}, None, ()),
        ({}, {"asked": True}, None, ("no soft test ran",)),
        ({"a": loss(1.0, counts=False)}, {"asked": True}, None, ("no soft test ran",)),
        ({"a": loss(None)}, {"asked": True}, None, ("1 test gave no loss",)),
        # the fit
        ({"a": loss(1.0)}, {"fit_failures": ("the fit failed",)}, 1.0, ("the fit failed",)),
        ({}, {"asked": True, "fit_failures": ("no soft test",)}, None,
         ("no soft test", "no soft test ran")),
        # far out
        ({"a": loss(1e308), "b": loss(1e308)}, {"threshold": 1.0}, math.inf,
         ("the total loss inf is above the threshold 1",)),
    ],
)  # fmt: skip
def test_judge(tests, options, total, reasons):
    verdict = judge(tests, **{"threshold": None, "asked": False, **options})
    assert verdict.total == total
    assert verdict.reasons == reasons
    assert verdict.passed is (not reasons)
    assert verdict.threshold == options.get("threshold")


def test_total_does_not_depend_on_the_order():
    tests = {str(i): loss(0.1 * 1.7**i * (-1) ** i) for i in range(60)}
    backwards = dict(reversed(tests.items()))
    assert judge(tests, threshold=None, asked=False) == judge(
        backwards, threshold=None, asked=False
    )
