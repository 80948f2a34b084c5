"""What travels from a worker to the controller."""

import json

from pytest_soft.summary import ComponentFit, FitSummary, ParamChange, PriorTerm, Trouble
from pytest_soft.verdict import Sides

FULL = FitSummary(
    tests=2,
    before=2.0,
    after=0.5,
    losses={"test_a.py::test_a": 0.25, "test_a.py::test_b": 0.25},
    outcome="converged",
    optimizer="lm (auto)",
    steps=3,
    evaluations=9,
    seconds=0.5,
    retraces=1,
    alone={"t.py::test_a": "interp"},
    priors=[PriorTerm("omega", "normal(1, 2)", 0.5, 0.25)],
    folds=[Sides(1.0, 4.0, 0.5, 1.0, 1)],
    params=[
        ParamChange("omega", "sine.py", (), 1.0, 1.5, 0.5, at_bound=False),
        ParamChange("W", "net.py", (2, 3), None, None, 0.1, at_bound=True),
    ],
    components=[
        ComponentFit(
            ["omega"],
            ["test_a.py::test_a"],
            1.5,
            0.25,
            "converged",
            "converged: it is",
            "lm",
            "auto",
            2,
            5,
            1,
        ),
        ComponentFit(["W"], ["test_a.py::test_b"], 0.5, 0.25, "failed", "", "", "", 0, 0, 0),
    ],
    stored=["sine.soft.json"],
    unchanged=["net.soft.json"],
    dry_run=True,
    preview="+1.5",
    notes=["a note"],
    troubles=[Trouble("title", "text")],
    interrupted=True,
)


def test_round_trip_through_plain_data():
    assert FitSummary.from_dict(json.loads(json.dumps(FULL.to_dict()))) == FULL


def test_empty_round_trip():
    assert FitSummary.from_dict(FitSummary().to_dict()) == FitSummary()


def test_plain_data_is_what_execnet_takes():
    def check(value):
        assert type(value) in (dict, list, str, int, float, bool, type(None)), value
        for part in value.values() if type(value) is dict else value if type(value) is list else ():
            check(part)

    check(FULL.to_dict())


def test_a_component_is_called_by_its_params():
    def title(*names):
        return ComponentFit(list(names), [], 1.0, 0.0, "", "", "", "", 0, 0, 0).title

    assert title("a") == "a"
    assert title("a", "b", "c", "d") == "a, b, c, d"
    assert title("a", "b", "c", "d", "e") == "a, b, c and 2 more"
