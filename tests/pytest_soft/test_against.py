"""Data against program: shown where a test tells which is which, and only there."""

import json

import numpy as np
import pytest
from report_schema import validate

PROGRAM = """
    import numpy as np
    import pytest
    from pytest_soft import Param, soft_test, squared_error

    slope = Param(1.0)

    def f(x):
        return np.sin(slope * x)

    CASES = [(x / 10, np.sin(x / 5)) for x in range(1, 11)]

    @soft_test
"""


def drawn(project, test):
    """Return what is drawn of a test."""
    project.write("test_it.py", PROGRAM + test)
    result = project.fit("--soft-html=r.html", "--soft-json=r.json")
    assert result.ret == 0
    report = json.loads((project.path / "r.json").read_text(encoding="utf-8"))
    validate(report)
    return report["fit"]["against"]


@pytest.mark.parametrize(
    "body",
    [
        "return (f(x) - y) ** 2",
        "return 0.5 * ((y - f(x)) / 0.1) ** 2",
        "return squared_error(f(x), y)",
        "assert f(x) == pytest.approx(y)",
        "return np.mean((f(x) - [y]) ** 2) if x < 0 else (f(x) - y) ** 2",
    ],
)
def test_a_square_of_a_difference_tells(project, body):
    (found,) = drawn(
        project,
        f"""
    @pytest.mark.parametrize(("y", "x"), [(y, x) for x, y in CASES][::-1])
    def test_f(x, y):
        {body}
    """,
    )
    assert (found["function"], found["input"]) == ("test_it.py::test_f", "x")
    x = np.arange(1, 11) / 10
    assert found["x"] == x.tolist()
    assert found["data"] == pytest.approx(np.sin(2 * x))
    assert found["program"] == pytest.approx(np.sin(2 * x), abs=1e-5)


def test_data_may_be_computed_in_the_test(project):
    (found,) = drawn(
        project,
        """
    @pytest.mark.parametrize("x", range(1, 6))
    def test_f(x):
        return (f(x / 10) - np.sin(x / 5)) ** 2
    """,
    )
    assert found["input"] == "x"
    assert found["data"] == pytest.approx(np.sin(np.arange(1, 6) / 5))


@pytest.mark.parametrize(
    ("cases", "body"),
    [
        ("[(x, y, i) for i, (x, y) in enumerate(CASES)]", "(f(x + z) - y) ** 2"),  # two inputs
        ("[(x, y, str(x)) for x, y in CASES]", "(f(x) - y) ** 2"),  # one is no number
        ("[(x, y, 1) for x, y in CASES]", "abs(f(x) - y)"),  # no square
        ("[(x, y, 1) for x, y in CASES]", "(f(x) - y) ** 2 + (slope - 2) ** 2"),  # two squares
        ("[(x, 1, 1) for x, y in CASES]", "(slope * x - 1) ** 2"),  # 1 may be the program's
        ("[(x, y, 1) for x, y in CASES]", "(y - slope - slope * x) ** 2"),  # the tape does not say
        ("[(x, y, 1) for x, y in CASES[:2]]", "(f(x) - y) ** 2"),  # two points are no curve
    ],
)
def test_nothing_is_shown_where_it_is_a_guess(project, cases, body):
    test = f"""
    @pytest.mark.parametrize(("x", "y", "z"), {cases})
    def test_f(x, y, z):
        return {body}
    """
    assert drawn(project, test) == []


def test_of_many_points_some_are_shown(project, monkeypatch):
    monkeypatch.setattr("pytest_soft.against._MOST", 10)
    (found,) = drawn(
        project,
        """
    @pytest.mark.parametrize("x", range(10, 40))
    def test_f(x):
        return (f(x / 20) - np.sin(x / 10)) ** 2
    """,
    )
    assert found["x"] == [*range(10, 40, 3)]
