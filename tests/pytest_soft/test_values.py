"""Params by key."""

from pytest_soft.values import group_by_key
from softtape import Param
from softtape.param import declared

a = Param(1.0)


def test_group_by_key_leaves_frozen_and_nameless_out():
    frozen = Param(1.0, name="values_frozen", frozen=True)
    Param(1.0)
    groups = group_by_key([frozen.key, a.key])
    assert groups[a.key] == [a]
    assert groups[frozen.key] == []
    assert list(groups) == sorted(groups)
    assert frozen in declared()
