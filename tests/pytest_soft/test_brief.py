"""Tests checked in brief are told of exactly as if pytest had run its whole protocol."""

import re

import pytest

from pytest_soft import plugin
from pytest_soft.brief import Brief

PROGRAM = """
    from softtape import Param

    gain = Param(1.0)
"""
SUITE = """
    import logging, os, sys, warnings
    import pytest
    from program import gain
    from pytest_soft import soft_test

    @soft_test
    @pytest.mark.parametrize("x", [1.0, 2.0, 3.0])
    def test_loss(x):
        return (gain * x - x) ** 2

    @soft_test
    @pytest.mark.filterwarnings("always:said twice")
    @pytest.mark.parametrize("x, word", [(1.0, "one"), (2.0, "two")], ids=str)
    def test_says(x, word):
        print("out", word, os.environ["PYTEST_CURRENT_TEST"])
        print("err", word, file=sys.stderr)
        logging.getLogger("program").error("logged %s", word)
        warnings.warn("said twice")
        return {"first": (gain - 1) ** 2, "second": 0.0}

    @soft_test(threshold=0.5)
    @pytest.mark.parametrize("x", [1.0, 2.0, 3.0])
    def test_ends_otherwise(x):
        print("before the end")
        if x == 2.0:
            pytest.skip("not this one")
        return 1 / (3.0 - x)

    @soft_test
    @pytest.mark.parametrize("x", [
        1.0,
        pytest.param(2.0, marks=pytest.mark.xfail(reason="known")),
        pytest.param(3.0, marks=pytest.mark.skip(reason="never")),
        pytest.param(4.0, marks=pytest.mark.xfail(strict=True)),
        pytest.param(5.0, marks=pytest.mark.xfail(run=False)),
    ])
    def test_marked(x):
        if x == 2.0:
            pytest.xfail("in its body")
        assert x != 4.0 or gain == 1.0
        return 0.0

    @soft_test
    def test_asserts():
        assert gain == pytest.approx(2.0)

    @soft_test
    def test_no_loss():
        return "a word"

    class TestClass:
        kept = None

        @soft_test
        @pytest.mark.parametrize("x", [1.0, 2.0])
        def test_method(self, x, y=3.0):
            assert self.kept is None
            self.kept = x
            return (gain * x - y) ** 2

    class TestSetUp:
        def setup_method(self):
            print("set up")
            self.two = 2.0

        @soft_test
        @pytest.mark.parametrize("x", [1.0, 2.0])
        def test_method(self, x):
            return (gain * x - self.two) ** 2

    def test_plain():
        pass

    @pytest.fixture(scope="module")
    def shared():
        print("up")
        yield 2.0
        print("down")

    @soft_test
    @pytest.mark.parametrize("x", [1.0, 2.0])
    def test_shares(x, shared):
        return (gain * x - shared) ** 2

    @soft_test
    @pytest.mark.parametrize("x", [1.0, 2.0])
    def test_between(x):
        return (gain * x - x) ** 2

    @soft_test
    def test_shares_too(shared):
        return (gain - shared) ** 2

    @pytest.fixture
    def doubled(request):
        return 2 * request.param

    @soft_test
    @pytest.mark.parametrize("doubled", [1.0, 2.0], indirect=True)
    def test_indirect(doubled):
        return (gain - doubled) ** 2

    class Loud:
        def __del__(self):
            raise RuntimeError("while it was thrown away")

    @soft_test
    @pytest.mark.parametrize("x", [1.0, 2.0])
    def test_unraisable(x):
        Loud()
        return (gain - x) ** 2
"""
BROKEN_MODULE = """
    import pytest
    from pytest_soft import soft_test

    def setup_module():
        print("about to fail")
        raise OSError("no such thing")

    @soft_test
    @pytest.mark.parametrize("x", [1.0, 2.0])
    def test_never(x):
        return x

    @soft_test
    def test_never_either():
        return 0.0
"""
NOTHING_BUT_A_HOOK = """
    def pytest_runtest_setup(item):
        pass
"""
TIMES = ("start", "stop", "duration")


class Recorder:
    """Keeps whatever pytest tells of tests."""

    def __init__(self):
        self.told = []

    def pytest_runtest_logstart(self, nodeid, location):
        self.told.append(("start", nodeid, location))

    def pytest_runtest_logfinish(self, nodeid, location):
        self.told.append(("finish", nodeid, location))

    def pytest_runtest_logreport(self, report):
        kept = {name: value for name, value in vars(report).items() if name not in TIMES}
        assert all(isinstance(getattr(report, name), float) for name in TIMES)
        text = re.sub(r" at 0x\w+", "", report.longreprtext)
        self.told.append({**kept, "longrepr": (type(report.longrepr), text)})

    def pytest_exception_interact(self, node, call, report):
        self.told.append(("interact", node.nodeid, call.when, repr(call.excinfo.value)))

    def pytest_warning_recorded(self, warning_message, when, nodeid, location):
        text = re.sub(r"0x\w+", "", str(warning_message.message))
        self.told.append(("warning", text, when, nodeid, location))


@pytest.fixture
def briefly(monkeypatch):
    """Count the tests that were checked in brief."""
    seen = []

    def counting(self, item, *rest):
        seen.append(item.name)
        return check(self, item, *rest)

    check = Brief._check
    monkeypatch.setattr(Brief, "_check", counting)
    return seen


def run(project, *args, conftest=""):
    """Run a project; return all that was told of its tests, and the lines of it."""
    project.write("conftest.py", conftest)
    recorder = Recorder()
    project.pytester.plugins = [recorder]
    result = project.check("--tb=short", *args)
    xml = project.path / "told.xml"
    texts = [xml.read_text(encoding="utf-8")] if xml.exists() else []
    lines = [re.sub(r"\d+\.\d+ ?s\b| at 0x\w+|0x\w+", "", line) for line in result.outlines]
    texts = [re.sub(r'time(stamp)?="[^"]*"| at 0x\w+|0x\w+', "", text) for text in texts]
    return recorder.told, sorted(lines), texts, result.ret  # the slowest come first


@pytest.mark.parametrize(
    "args",
    [
        ["-rA"],
        ["-v", "-p", "no:logging", "-p", "no:hypothesispytest"],
        ["-x"],
        ["--maxfail=3", "-q"],
        ["-s", "-vv", "--durations=0"],
        ["--junitxml=told.xml", "-o", "junit_logging=all"],
        ["-o", "log_cli=true", "-o", "log_cli_level=INFO"],
        ["-W", "error"],
        ["--runxfail", "--capture=sys", "-p", "no:warnings", "-p", "no:threadexception"],
        ["-k", "loss or says or between", "-W", "error", "--soft-threshold=9"],
        ["--soft-fit", "-k", "loss or method or shares"],
    ],
    ids=" ".join,
)
def test_all_that_is_told_is_the_same(project, briefly, args):
    project.write("program.py", PROGRAM)
    project.write("test_a.py", SUITE)
    project.write("test_b.py", BROKEN_MODULE)
    brief = run(project, *args)
    assert {"test_loss[2.0]", "test_loss[3.0]"} <= set(briefly)
    assert not {"test_plain", "test_never_either", "test_shares[2.0]"} & set(briefly)
    briefly.clear()
    project.pytester.path.joinpath("program.soft.json").unlink(missing_ok=True)
    whole = run(project, *args, conftest=NOTHING_BUT_A_HOOK)
    assert not briefly
    for one, other in zip(brief, whole, strict=True):
        assert one == other


def test_set_ups_are_shown_as_ever(project, briefly):
    project.write("program.py", PROGRAM)
    project.write("test_a.py", SUITE)
    shown = run(project, "--setup-show", "-k", "test_loss")
    assert not briefly
    assert any("test_loss[2.0] (fixtures used: x)" in line for line in shown[1])


def test_a_pytest_to_come_runs_the_whole(project, briefly, monkeypatch):
    monkeypatch.setattr(plugin, "_KNOWN_PYTEST", False)
    project.write("program.py", PROGRAM)
    project.write("test_a.py", SUITE)
    run(project, "-k", "test_loss")
    assert not briefly


def test_workers_tell_the_same(project):
    project.write("program.py", PROGRAM)
    project.write("test_a.py", SUITE)
    texts = []
    for conftest in ("", NOTHING_BUT_A_HOOK):
        project.write("conftest.py", conftest)
        result = project.apart("-n1", "-v", "-k", "test_loss or says or shares")
        assert result.ret == 0
        texts.append([re.sub(r"\d+\.\d+s\b", "", line) for line in result.outlines])
    assert texts[0] == texts[1]
