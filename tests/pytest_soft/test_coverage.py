"""Which tests reach which Params, and what a limit would take."""

import json

import numpy as np
import pytest
from report_schema import validate

from pytest_soft.coverage import Blame, Coverage, ParamCoverage
from pytest_soft.limits import above_limits
from pytest_soft.report.covered import blame_lines, coverage_lines
from pytest_soft.verdict import TestLoss

PROGRAM = """
    import numpy as np
    import pytest
    from pytest_soft import Param, soft_test

    rate = Param(1.0)
    offset = Param(0.5)
    weights = Param(np.ones(3))
    unused = Param(2.0)
    fixed = Param(3.0, frozen=True)

    @soft_test
    @pytest.mark.parametrize("x", [0.0, 1.0, 2.0, 3.0])
    def test_line(x):
        return (rate * x + offset - 1.5 * x - 0.1 * (x == 1.0)) ** 2

    @soft_test
    def test_two_weights():
        return np.sum((weights[:2] - 3.0) ** 2)

    @soft_test
    def test_first_weight():
        return np.abs(weights[0] - 2.0)

    @soft_test(holdout=True)
    def test_held_out():
        return (unused - 1.0) ** 2

    def test_ordinary():
        assert rate == 1.0
"""


def measured(project, *options):
    result = project.check("--soft-coverage", "--soft-json=r.json", *options)
    data = json.loads((project.path / "r.json").read_text(encoding="utf-8"))
    validate(data)
    return result, data, {param["name"]: param for param in data["coverage"]["params"]}


def test_a_matrix_of_params_and_tests(project):
    project.write("test_it.py", PROGRAM)
    result, data, params = measured(project)
    assert result.ret == 0
    tests = [name.partition("::")[2] for name in data["coverage"]["tests"]]
    assert tests == [
        "test_first_weight",
        "test_line[0.0]", "test_line[1.0]", "test_line[2.0]", "test_line[3.0]",
        "test_two_weights",
    ]  # fmt: skip
    assert list(params) == ["offset", "rate", "unused", "weights"]
    found = {n: (p["reached"], p["elements"], p["alone"], p["tests"]) for n, p in params.items()}
    assert found == {
        "rate": (1, 1, 0, [2, 3, 4]),  # at x = 0, it does not matter
        "offset": (1, 1, 0, [1, 2, 3, 4]),
        "unused": (0, 1, 0, []),
        "weights": (2, 3, 1, [0, 5]),
    }
    assert data["coverage"]["percent"] == pytest.approx(100 * 4 / 6)
    assert not list(project.path.glob("*.soft.json"))


def test_shares_and_sensitivities_are_those_of_least_squares(project):
    project.write("test_it.py", PROGRAM)
    _, _, params = measured(project, "-k", "line")
    x = np.arange(4.0)
    jacobian = np.column_stack([x, np.ones(4)])
    residuals = x + 0.5 - 1.5 * x - 0.1 * (x == 1)
    errors = np.sqrt(np.diag(np.linalg.inv(jacobian.T @ jacobian) * (residuals @ residuals) / 2))
    for column, name in enumerate(["rate", "offset"]):
        rows = jacobian[:, column] != 0
        squares = jacobian[rows, column] ** 2
        assert params[name]["shares"] == pytest.approx(squares / squares.sum(), rel=1e-3)
        change = squares * errors[column] ** 2
        assert params[name]["sensitivity"] == pytest.approx(change, rel=1e-3)


def test_losses_that_are_no_squares_are_compared_to_each_side(project):
    project.write("test_it.py", PROGRAM)
    _, _, params = measured(project, "-k", "weight")
    # the absolute value falls by 1 where the sum of squares falls by 4; element 2 by none of it
    assert params["weights"]["shares"] == pytest.approx([0.2 / 2, (0.8 + 1) / 2], abs=1e-3)
    assert params["weights"]["sensitivity"] == [None, None]


def test_an_exact_fit_is_covered_where_a_slope_is_zero(project):
    project.write("test_it.py", PROGRAM.replace("weights[0] - 2.0", "weights[0] - 1.0) ** (3"))
    _, _, params = measured(project, "-k", "first")
    assert params["weights"]["reached"] == 1


def test_the_limit_is_part_of_the_verdict(project):
    project.write("test_it.py", PROGRAM)
    result, data, _ = measured(project, "--soft-coverage-fail-under=67")
    assert result.ret == 1
    reason = "tests reach 66.67 % of the Params' elements: the limit is 67 %"
    assert data["verdict"]["reasons"] == [reason]
    result.stdout.fnmatch_lines(
        [
            f"  {reason}",
            "coverage 6 tests reach 66.67 % of 6 elements, limit 67 %",
            "         Param    reached  tests  share  strongest test",
            "         offset       1/1      4   25 %  test_it.py::test_line[[]0.0]",
            "         rate         1/1      3   64 %  test_it.py::test_line[[]3.0]",
            "         unused       0/1      0         no test reaches it",
            "         weights      2/3      2   90 %  test_it.py::test_two_weights",
        ]
    )
    assert measured(project, "-o", "soft_coverage_fail_under=66")[0].ret == 0
    # without --soft-coverage, the ini value waits for a run that measures
    assert project.check("-o", "soft_coverage_fail_under=67").ret == 0


def test_a_fit_shows_it_at_the_fitted_values(project):
    project.write("test_it.py", PROGRAM.replace("assert rate == 1.0", "pass"))
    result, data, params = measured(project, "--soft-fit")
    assert result.ret == 0
    assert params["rate"]["tests"] == [2, 3, 4]
    # Σ J² σ² = 1 / (1 - ρ²) · 𝓛 / dof, with the correlation ρ of a straight line through 0, 1, 2, 3
    loss = sum(test["loss"] for test in data["tests"] if "line" in test["id"])
    assert sum(params["rate"]["sensitivity"]) == pytest.approx(14 / 5 * loss / 2, rel=1e-2)


def test_a_test_that_cannot_be_traced_is_named(project):
    project.write("test_it.py", PROGRAM.replace("rate * x", "float(rate) * x"))
    result, data, params = measured(project, "-k", "line")
    assert result.ret == 0
    assert params["rate"]["tests"] == []
    assert len(data["coverage"]["untraced"]) == 4
    result.stdout.fnmatch_lines(["note     4 tests could not be traced, such as *"])


def test_what_outlives_a_test_is_read_plainly(project):
    project.write(
        "test_it.py",
        """
        import pytest
        from pytest_soft import Param, soft_test

        rate = Param(1.0)
        offset = Param(2.0)

        @pytest.fixture(scope="module")
        def doubled():
            return 2 * rate

        @soft_test
        def test_it(doubled):
            assert type(doubled) is float
            return (doubled - offset) ** 2
        """,
    )
    result, _, params = measured(project)
    assert result.ret == 0
    assert params["offset"]["reached"] == 1
    assert params["rate"]["reached"] == 0


def test_blame_says_what_a_limit_would_take_and_whom_it_hurts(project):
    project.write(
        "test_it.py",
        PROGRAM.replace("@soft_test\n    def test_t", "@soft_test(threshold=0.5)\n    def test_t"),
    )
    result, data, _ = measured(project, "--soft-threshold=3")
    assert result.ret == 1
    test, total = data["coverage"]["blames"]
    assert (test["what"], test["loss"], test["limit"]) == ("test_it.py::test_two_weights", 8.0, 0.5)
    assert test["after"] == pytest.approx(0.0, abs=1e-12)
    assert test["moves"] == [
        {"name": "weights", "before": None, "after": pytest.approx(np.sqrt(8 / 3))}
    ]
    assert test["worse"] == []  # |3 - 2| is as far as |1 - 2|
    assert total["what"] == "the total loss"
    assert total["after"] < total["loss"]
    result.stdout.fnmatch_lines(["blame    test_it.py::test_two_weights: 8, limit 0.5"])


@pytest.mark.parametrize(
    ("limits", "above"),
    [
        ({}, [("a", 4.0, 3.0)]),
        ({"worst_threshold": 2.0}, [("a", 4.0, 2.0), ("b", 2.5, 2.0)]),
        ({"ratchet": 0.1}, [("a", 4.0, 3.0), ("b", 2.5, 2.2)]),
        ({"threshold": 8.0}, [("a", 4.0, 3.0), ("the total loss", 9.0, 8.0)]),
        ({"mean_threshold": 2.0}, [("a", 4.0, 3.0), ("the total loss, for its mean,", 9.0, 8.0)]),
        (
            {"suite_thresholds": {"s": 4.9, "t": 4.0}},
            [("a", 4.0, 3.0), ("the suite s", 5.0, 4.9)],
        ),
        ({"threshold": 9.0, "worst_threshold": 4.0, "ratchet": 0.3}, [("a", 4.0, 3.0)]),
    ],
)
def test_what_is_above_its_limit(limits, above):
    tests = {
        "a": TestLoss(4.0, threshold=3.0),
        "b": TestLoss(2.5, cases=1, weight=2.0, suite="s", last=2.0),
        "c": TestLoss(9.0, held_out=True, threshold=1.0),
        "d": TestLoss(9.0, counts=False, threshold=1.0),
        "e": TestLoss(0.0, suite="s"),
    }
    nothing = dict.fromkeys(["threshold", "mean_threshold", "worst_threshold", "ratchet"])
    found = above_limits(tests, **{**nothing, "suite_thresholds": {}, **limits})
    assert [(each.what, each.loss) for each in found] == [row[:2] for row in above]
    assert [each.limit for each in found] == pytest.approx([row[2] for row in above], rel=1e-5)


CONFLICT = """
    from pytest_soft import Param, soft_test

    rate = Param(1.0)

    @soft_test(threshold=0.5)
    def test_low():
        return (rate - 1.0) ** 2

    @soft_test
    def test_high():
        return (rate - 3.0) ** 2

    @soft_test
    def test_higher():
        return (rate - 4.0) ** 2
"""


def test_a_fit_that_misses_a_limit_says_what_stands_in_the_way(project):
    project.write("test_it.py", CONFLICT)
    result = project.fit("--soft-threshold=0.1")
    result.stdout.fnmatch_lines(
        [
            "blame    test_it.py::test_low: 2.778, limit 0.5",
            "         0 after one step for it alone: rate 2.667 -> 1",
            "         but 1.78 -> 9  test_it.py::test_higher",
            "         but 0.111 -> 4  test_it.py::test_high",
            "blame    the total loss: 4.667, limit 0.1",
            "         no small step of the Params lowers it",
        ]
    )
    assert result.stdout.str().count("coverage") == 0


def many(params, tests):
    return Coverage(
        [f"tests/test_long_name.py::test_function[{i}-a-long-id-of-a-case]" for i in range(tests)],
        [
            ParamCoverage(
                f"network.layer_{p}.weights", "net.py", 10, 10 if p else 0, 0,
                list(range(p % 3, tests if p > 1 else p, 3)),
                [1.0 / tests] * len(range(p % 3, tests if p > 1 else p, 3)),
                [None] * len(range(p % 3, tests if p > 1 else p, 3)),
            )
            for p in range(params)
        ],
    )  # fmt: skip


@pytest.mark.parametrize(("params", "tests", "most"), [(3, 200, 5), (100, 20_000, 13)])
def test_lines_fit_a_terminal(params, tests, most):
    lines = [text for text, _ in coverage_lines(many(params, tests), 90.0, 0, 80)]
    assert len(lines) <= most
    assert max(map(len, lines)) <= 80
    assert lines[2].endswith("0         no test reaches it")


def test_a_few_of_many_are_those_that_need_a_look():
    lines = [text for text, _ in coverage_lines(many(100, 200), None, 0, 80)]
    assert lines[2].split()[0] == "network.layer_0.weights"
    assert lines[-1] == "         and 90 more (-v shows all)"
    assert len(list(coverage_lines(many(100, 200), None, 1, 80))) == 102


def test_no_param():
    ((text, _),) = coverage_lines(Coverage(), None, 0, 80)
    assert text == "coverage there is no Param that a fit could move"


def test_it_travels_as_plain_data():
    found = many(3, 4)
    found.blames = [Blame("t", 1.0, 0.5, 0.0, [("a", None, 1.0)], 0, [("t", 0.0, 1.0)], 0)]
    again = Coverage.from_dict(json.loads(json.dumps(found.to_dict())))
    assert again == found
    assert [text for text, _ in blame_lines(again.blames)][1].endswith("a by 1 (rms)")
