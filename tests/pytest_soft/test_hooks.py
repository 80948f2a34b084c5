"""Our own hooks: optimizers of a user's conftest, and what is told after each step."""

import json
import re
from pathlib import Path

import pytest

GUIDE = Path(__file__).parents[2] / "docs" / "guide.md"


def example(name):
    text = GUIDE.read_text(encoding="utf-8")
    found = re.search(rf"<!-- conftest: {name} -->\n```python\n(.*?)\n```\n", text, re.DOTALL)
    assert found, name
    return found[1]


def test_the_function_of_the_guide_fits(sine):
    pytest.importorskip("scipy.optimize")
    sine.write("conftest.py", example("optimizer"))
    result = sine.fit("--soft-optimizer=nelder-mead")
    assert result.ret == 0
    assert sine.value() == pytest.approx(1.5, abs=1e-4)
    result.stdout.fnmatch_lines(["*by nelder-mead (asked for by name)*"])


def test_the_object_of_the_guide_steps_and_is_told_of(sine):
    sine.write("conftest.py", example("step"))
    result = sine.fit("--soft-optimizer=sign-descent", "--soft-max-steps=200", "-s")
    assert sine.value() == pytest.approx(1.5, abs=0.01)
    result.stdout.fnmatch_lines(["*by sign-descent (asked for by name)*"])
    told = [line.split() for line in result.outlines if re.match(r"\d+ [\d.e-]+ *$", line)]
    assert [int(step) for step, _ in told] == [0, 100, 200]
    assert float(told[0][1]) > float(told[1][1])


STAND_IN = """
    class SummaryWriter:
        def __init__(self):
            self.file = open("told", "a")

        def add_scalar(self, tag, value, step):
            print(tag, value, step, file=self.file)

        def close(self):
            print("closed", file=self.file)
            self.file.close()
"""


@pytest.mark.parametrize("workers", [[], ["-n", "2"]])
def test_the_record_for_tensorboard_has_each_step(sine, workers):
    sine.write("conftest.py", example("tensorboard"))
    sine.write("tensorboardX.py", STAND_IN)
    result = sine.apart("--soft-fit", "--soft-json=r.json", *workers)
    assert result.ret == 0
    *told, closed = (sine.path / "told").read_text(encoding="utf-8").splitlines()
    assert closed == "closed"
    fit = json.loads((sine.path / "r.json").read_text(encoding="utf-8"))["fit"]
    best = [line.split()[1:] for line in told if line.startswith("soft/best_value ")]
    assert [int(step) for _, step in best] == list(range(fit["steps"] + 1))
    assert float(best[0][0]) == fit["before"]
    assert float(best[-1][0]) == pytest.approx(fit["after"])
    assert len(told) == 3 * len(best)


def test_the_record_for_tensorboard_is_one(sine):
    pytest.importorskip("tensorboardX")
    sine.write("conftest.py", example("tensorboard"))
    assert sine.apart("--soft-fit").ret == 0
    (events,) = (sine.path / "runs").glob("*/events.out.tfevents.*")
    assert b"soft/best_value" in events.read_bytes()


def test_the_limits_hold_for_a_function_that_knows_of_none(sine):
    sine.write(
        "conftest.py",
        """
        def walk(objective, theta, bounds):
            while True:
                _, gradient = objective.value_and_gradient(theta)
                theta = theta - 0.01 * gradient

        def pytest_soft_optimizers():
            return {"walk": walk}
        """,
    )
    result = sine.fit("--soft-optimizer=walk", "--soft-threshold=1e-6")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["fit *the total loss is at or below the threshold"])


def test_bounds_hold_for_a_function_that_ignores_them(project):
    project.write(
        "test_it.py",
        """
        from pytest_soft import Param, soft_test

        a = Param(1.0, bounds=(0.0, 2.0))

        @soft_test
        def test_it():
            assert 0.0 <= a <= 2.0
            return (a - 5.0) ** 2
        """,
    )
    project.write(
        "conftest.py",
        """
        def far(objective, theta, bounds):
            objective.value(theta + 100)
            return theta + 7

        def pytest_soft_optimizers():
            return {"far": far}
        """,
    )
    assert project.fit("--soft-optimizer=far").ret == 0
    assert project.value("a", "test_it") == 2.0


@pytest.mark.parametrize(
    ("definition", "messages"),
    [
        (
            "def mine(objective, theta): pass",
            ["*conftest.py:1: def mine(objective, theta): pass", "*'mine' cannot be called with*"],
        ),
        (
            "mine = 3",
            ["*conftest.py:3: def pytest_soft_optimizers():", "*'mine' is 3. It must be*"],
        ),
        ("class mine: pass", ["*conftest.py:1: class mine: pass", "*register an object, mine()*"]),
        (
            "class A:\n    def start(self, objective, theta, bounds): pass\n"
            "    def step(self, state): pass\nmine = A()",
            ["*conftest.py:3: def step(self, state): pass", "*'mine' cannot be called with three*"],
        ),
    ],
)
def test_what_is_no_optimizer_is_shown(sine, definition, messages):
    (sine.path / "conftest.py").write_text(
        f"{definition}\n\ndef pytest_soft_optimizers():\n    return {{'mine': mine}}\n"
    )
    result = sine.fit()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(messages)
    assert sine.check("-W", "ignore").ret == 0  # a check has no use for it


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("[len]", "*returned [[]<built-in function len>]: it must return a dict*"),
        ("{3: len}", "*an optimizer is called 3: give it a name"),
        ("{'lm': len}", "*there is an optimizer 'lm' already"),
    ],
)
def test_what_is_no_dict_of_names_is_shown(sine, returned, message):
    sine.write("conftest.py", f"def pytest_soft_optimizers():\n    return {returned}\n")
    result = sine.fit()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*conftest.py:1: def pytest_soft_optimizers():", message])


def test_a_result_that_is_no_point_fails_the_fit(sine):
    sine.write(
        "conftest.py", "def pytest_soft_optimizers():\n    return {'f': lambda o, t, b: 1}\n"
    )
    result = sine.fit("--soft-optimizer=f")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*optimizer 'f' returned array(1); it must return the minimum*"])


def test_a_registered_name_is_near(sine):
    sine.write("conftest.py", "def pytest_soft_optimizers():\n    return {'brent': len}\n")
    result = sine.check("--soft-optimizer=brend")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*'brend': it must be one of auto*, brent. Did you mean 'brent'*"])


def test_an_error_in_the_step_hook_keeps_the_best_point(sine):
    sine.write(
        "conftest.py",
        "def pytest_soft_step(progress):\n    if progress.step == 2:\n        1 / 0\n",
    )
    result = sine.fit("--soft-optimizer=gradient-descent")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*the fit crashed; the best point so far is kept*"])
    assert sine.value() != 1.0


@pytest.mark.parametrize("options", [(), ("--soft-threshold=1e-10",)], ids=" ".join)
def test_the_last_step_that_the_hook_hears_of_has_the_loss_of_the_report(sine, options):
    sine.write(
        "conftest.py",
        """
        import json

        def pytest_soft_step(progress):
            with open("steps", "a") as file:
                file.write(json.dumps([progress.step, progress.best_value]) + "\\n")
        """,
    )
    sine.fit(*options, "--soft-json=report.json")
    steps = [json.loads(line) for line in (sine.path / "steps").read_text().splitlines()]
    fit = json.loads((sine.path / "report.json").read_text())["fit"]
    assert steps[-1] == [fit["steps"], pytest.approx(fit["after"], rel=1e-12)]
    assert [step for step, _ in steps] == list(range(fit["steps"] + 1))
