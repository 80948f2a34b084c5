"""What the README shows is what happens."""

import re
import shutil
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8") if (ROOT / "README.md").exists() else ""
pytestmark = pytest.mark.skipif(not README, reason="the README is not part of an installed copy")


def block(name, language="text"):
    """The fenced block behind an HTML comment."""
    found = re.search(rf"<!-- {name} -->\n```{language}\n(.*?)\n```\n", README, re.DOTALL)
    assert found, f"README.md has no {language} block named {name!r}"
    return found[1]


def python_blocks():
    return re.findall(r"```python\n(.*?)\n```", README, re.DOTALL)


def without_noise(text):
    """Drop what differs from run to run: durations, and pytest's own progress."""
    lines = [re.sub(r"\d+(\.\d+)?(e-\d+)? s\b", "SECONDS", line) for line in text.splitlines()]
    return [line for line in lines if not re.search(r"\[ *\d+%\]$", line)]


@pytest.fixture
def sine(pytester):
    """The example of the README, unfitted."""
    folder = Path(shutil.copytree(ROOT / "examples" / "sine", pytester.path / "examples" / "sine"))
    (pytester.path / "pytest.ini").write_text("[pytest]\n")
    store = folder / "sine.soft.json"  # fitted, if the README's first command was run before
    store.write_text(re.sub(r'"value": [\d.e-]+', '"value": 1.0', store.read_text()))
    return folder


def test_two_commands():
    commands = re.search(r"<!-- set-up -->\n```console\n(.*?)\n```", README, re.DOTALL)[1]
    first, second = [line.removeprefix("$ ") for line in commands.splitlines()]
    assert first.endswith("examples/sine --soft-fit --soft-threshold=1e-10")
    assert second.endswith("pytest")


def test_the_sine_program_and_its_tests_are_the_example():
    program, tests = python_blocks()[:2]
    shown = program.removeprefix("# sine.py\n")
    assert shown.split() == (ROOT / "examples/sine/sine.py").read_text().split('"""', 2)[2].split()
    decorated = tests[tests.index("@soft_test") :]
    assert decorated in (ROOT / "examples/sine/test_sine.py").read_text()


def test_the_output_of_the_fit(pytester, sine):
    result = pytester.runpytest_subprocess(
        "examples/sine", "--soft-fit", "--soft-threshold=1e-10", "-p", "no:cacheprovider"
    )
    assert result.ret == 0
    shown = without_noise(block("output: sine"))
    start = shown.index(
        "===================================== soft ====================================="
    )
    got = without_noise(result.stdout.str())
    # the last digits of a loss of 1e-13 are another machine's business
    assert [line[:40] for line in got[-len(shown) + start : -1]] == [
        line[:40] for line in shown[start:-1]
    ]


def test_the_diff_of_the_store(pytester, sine):
    before = (sine / "sine.soft.json").read_text().splitlines()
    removed, added = (
        line[1:] for line in block("diff: sine", "diff").splitlines() if line[0] in "-+"
    )
    assert removed in before
    name, value = re.search(r'"(\w+)": .*"value": ([\d.]+)', added).groups()
    assert (name, round(float(value), 6)) == ("omega", 1.5)


def test_the_error_at_import_time(pytester):
    pytester.makepyfile(
        decay="import numpy as np\nfrom softtape import Param\n\nrate = Param(0.5)\n"
        "K = np.log(2) / rate\n\n\ndef f(x):\n    return K * x\n",
        test_decay="from pytest_soft import soft_test\nfrom decay import f\n\n\n"
        "@soft_test\ndef test_f():\n    return (f(1.0) - 2.0) ** 2\n",
    )
    result = pytester.runpytest_subprocess("--soft-fit")
    said = [line[4:] for line in result.stdout.lines if line.startswith("E  ")]
    assert said == block("error: import time").splitlines()


def test_all_options_are_listed(pytester):
    listed = set(re.findall(r"`(--soft-[a-z-]+)", README))
    text = pytester.runpytest_subprocess("--help").stdout.str()
    assert listed == set(re.findall(r"^  (--soft-[a-z-]+)", text, re.MULTILINE))


def test_all_examples_are_listed():
    folders = {p.name for p in (ROOT / "examples").iterdir() if (p / "pyproject.toml").exists()}
    assert folders == set(re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE))


def test_the_guide_declares_params_as_they_are():
    guide = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
    code = re.search(r"```python\n(.*?)\n```", guide, re.DOTALL)[1]
    names = {"np": __import__("numpy")}
    exec(code, names)
    assert names["gain"].value == 2.0
    assert names["W"].shape == (64, 32)
    assert names["offset"].frozen
