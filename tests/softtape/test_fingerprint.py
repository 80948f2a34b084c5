"""Digests that are the same on every machine, and other ones for other computations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softtape import Param
from softtape.fingerprint import case_digests, structure
from softtape.store import CASE_WIDTH
from softtape.tape import Tape
from softtape.terms import Term

omega = Param(1.3)
weights = Param(np.array([1.0, 2.0]))


def named():
    return omega * 2.0


def term(program):
    with Tape() as tape:
        graph = tape.graph([program()])
    return Term("a test", graph, lambda _: graph)


def digests(program):
    known = term(program)
    case = known.paths[known.path]
    names = {key: "it" if key == omega.key else "others" for key in known.starts}
    return structure(case.template.graph, names), *case_digests([case.constants], [known.weight])


SAME = {
    "a name": (lambda: (omega * 2.0) ** 2, lambda: named() ** 2),
    "what is not used": (lambda: omega * 2.0, lambda: (np.exp(omega), omega * 2.0)[1]),
    "the type of a number": (lambda: omega * 2, lambda: omega * np.float64(2.0)),
    "a last bit": (lambda: omega * 0.1, lambda: omega * np.nextafter(0.1, 1.0)),
    "a last bit of an array": (
        lambda: np.sum(weights * np.array([0.1, 0.2])),
        lambda: np.sum(weights * np.array([0.1, np.nextafter(0.2, 1.0)])),
    ),
    "noise beside numbers": (
        lambda: np.sum(weights * np.array([1.0, 0.0])),
        lambda: np.sum(weights * np.array([1.0, 1e-17])),
    ),
    "the order of attributes": (
        lambda: np.sum(weights * 2.0, axis=0, keepdims=True)[0],
        lambda: np.sum(weights * 2.0, keepdims=True, axis=0)[0],
    ),
}
OTHER = {
    "an operation": (lambda: np.sin(omega), lambda: np.cos(omega)),
    "the wiring": (lambda: omega - omega * omega, lambda: omega * omega - omega),
    "an attribute": (
        lambda: np.sum(np.cumsum(weights * weights, axis=0)[:1]),
        lambda: np.sum(np.cumsum(weights * weights, axis=0)[1:]),
    ),
    "a Param": (lambda: omega * 2.0, lambda: np.sum(weights) * 2.0),
    "the way a branch goes": (
        lambda: omega * 2.0 if omega > 1 else omega,
        lambda: omega * 2.0 if omega < 2 else omega,
    ),
    "a shape": (
        lambda: np.sum(weights * np.ones((3, 1))),
        lambda: np.sum(weights * np.ones((4, 1))),
    ),
}
NUMBERS = {
    "a number": (lambda: omega * 2.0, lambda: omega * 2.0000001),
    "a tiny number": (lambda: omega * 1.6e-19, lambda: omega * 1.7e-19),
    "an element": (
        lambda: np.sum(weights * np.array([1.0, 2.0])),
        lambda: np.sum(weights * np.array([1.0, 2.5])),
    ),
    "a sign": (lambda: omega * 2.0, lambda: omega * -2.0),
}


@pytest.mark.parametrize("case", SAME)
def test_the_same_computation(case):
    one, other = SAME[case]
    assert digests(one) == digests(other)


@pytest.mark.parametrize("case", OTHER)
def test_another_structure(case):
    one, other = OTHER[case]
    assert digests(one)[0] != digests(other)[0]


@pytest.mark.parametrize("case", NUMBERS)
def test_other_numbers(case):
    one, other = map(digests, NUMBERS[case])
    assert one[0] == other[0]
    assert one[1] != other[1]


def test_known_digests():
    """They outlive this version: where this fails, every stored fit becomes stale."""
    found = digests(lambda: (np.sin(omega * 0.5) - 0.25) ** 2)
    assert found == ("d37d46daf579", "fA_M")
    found = digests(lambda: np.sum(weights[::-1] * np.array([1.0, 2.0], np.float32)))
    assert found == ("957494328dd6", "R-yH")


def test_a_weight_counts_as_a_number():
    one, other = case_digests([(1.0,), (1.0,)], [1.0, 2.0])
    assert one != other


def test_complex_texts_and_flags():
    cases = [(1 + 2j,), (1 - 2j,), ("a",), ("b",), (True,), (False,), (None,)]
    found = [case_digests([case], [1.0])[0] for case in cases]
    assert len(set(found)) == len(cases)
    assert {len(digest) for digest in found} == {CASE_WIDTH}


@given(st.lists(st.tuples(st.floats(-1e6, 1e6), st.integers(-9, 9)), min_size=1, max_size=8))
def test_a_case_has_its_digest_whatever_stands_beside_it(cases):
    together = case_digests(cases, [1.0] * len(cases))
    assert together == [case_digests([case], [1.0])[0] for case in cases]


def test_no_cases():
    assert case_digests([], []) == []
