"""The specification: 200 points of the function we want, each of them a soft test."""

import csv
from pathlib import Path

import pytest
from sine import f

from pytest_soft import soft_test

with Path(__file__).with_name("points.csv").open() as file:
    POINTS = [(float(row["x"]), float(row["y"])) for row in csv.DictReader(file)]


@soft_test
@pytest.mark.parametrize(("x", "y"), POINTS)
def test_f(x, y):
    return (f(x) - y) ** 2
