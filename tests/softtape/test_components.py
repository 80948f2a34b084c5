"""Connected components of tests and Params, against the transitive closure of sharing one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from softtape.components import connected

KEYS = st.frozensets(st.integers(0, 12).map("k{}".format), max_size=4)


def by_closure(reached):
    """Return the sets of tests and keys found by squaring the matrix of who shares a key."""
    shares = np.array([[not a.isdisjoint(b) for b in reached] for a in reached], int)
    for _ in reached:
        shares = np.minimum(shares @ shares, 1)
    tests = {tuple(np.flatnonzero(row).tolist()) for row in shares} - {()}
    return {(ts, tuple(sorted(set().union(*(reached[t] for t in ts))))) for ts in tests}


@given(st.lists(KEYS, min_size=1, max_size=25))
def test_as_the_closure_finds_them(reached):
    found = connected(reached)
    assert {(tuple(c.tests), tuple(c.keys)) for c in found} == by_closure(reached)
    assert len(found) == len({tuple(c.tests) for c in found})


@given(st.lists(KEYS, max_size=25), st.randoms())
def test_the_order_of_tests_changes_nothing_but_their_order(reached, random):
    order = list(range(len(reached)))
    random.shuffle(order)
    shuffled = connected([reached[i] for i in order])
    assert {(tuple(sorted(order[i] for i in c.tests)), tuple(c.keys)) for c in shuffled} == {
        (tuple(c.tests), tuple(c.keys)) for c in connected(reached)
    }


@given(st.lists(KEYS, max_size=25))
def test_they_come_in_the_order_of_their_first_tests(reached):
    firsts = [c.tests[0] for c in connected(reached)]
    assert firsts == sorted(firsts)


def test_tests_without_params_are_in_none():
    assert connected([(), ("a",), ()]) == [([1], ["a"])]
    assert connected([(), ()]) == []


def test_long_chains_are_one():
    n = 100_000
    (found,) = connected([(f"k{i}", f"k{i + 1}") for i in range(n)])
    assert len(found.tests) == n
    assert len(found.keys) == n + 1
