"""Tests traced without pytest's protocol meet the world as pytest would have made it."""

from textwrap import dedent

import pytest

from pytest_soft import trace

HEAD = """
    import os, sys
    import pytest
    from pathlib import Path
    from pytest_soft import Param, soft_test

    gain = Param(1.0)

    def say(*words):
        with open(Path(__file__).parent / "said.txt", "a") as file:
            print(*words, file=file)
"""
NOTHING_BUT_A_HOOK = """
    def pytest_runtest_setup(item):
        pass
"""

# what needs no hook of pytest's own
QUICK = {
    "yield": """
        @pytest.fixture
        def two():
            say("up")
            yield 2.0
            say("down")

        @soft_test
        @pytest.mark.parametrize("x", [1.0, 2.0])
        def test_it(x, two):
            say("test", x)
            return (gain * x - two * x) ** 2
    """,
    "finalizer": """
        @pytest.fixture
        def two(request):
            request.addfinalizer(lambda: say("down"))
            request.node.addfinalizer(lambda: say("node down"))
            say("up", request.node.name)
            return 2.0

        @soft_test
        def test_it(two):
            return (gain - two) ** 2
    """,
    "scopes": """
        @pytest.fixture(scope="session")
        def session():
            say("session up")
            yield 1.0
            say("session down")

        @pytest.fixture(scope="module", autouse=True)
        def module(session):
            say("module up")
            yield
            say("module down")

        @pytest.fixture(scope="class")
        def group(session):
            say("class up")
            yield session
            say("class down")

        @soft_test
        def test_before():
            return (gain - 2) ** 2

        class TestIt:
            @soft_test
            @pytest.mark.parametrize("x", [1.0, 2.0])
            def test_it(self, group, x):
                say("test", x)
                return (gain * x - 2 * x * group) ** 2

        @soft_test
        def test_after(session):
            return (gain - 2 * session) ** 2
    """,
    "xunit": """
        def setup_module():
            say("module up")

        def teardown_module():
            say("module down")

        def setup_function(function):
            say("function up", function.__name__)

        class TestIt:
            @classmethod
            def setup_class(cls):
                say("class up")

            @classmethod
            def teardown_class(cls):
                say("class down")

            def setup_method(self, method):
                say("method up", method.__name__)
                self.two = 2.0

            def teardown_method(self):
                say("method down", self.two)

            @soft_test
            def test_one(self):
                self.two += 1.0  # no other test sees it
                return (gain - self.two + 1.0) ** 2

            @soft_test
            def test_two(self):
                return (gain - self.two) ** 2

        @soft_test
        def test_it():
            return (gain - 2) ** 2
    """,
    "mixed": """
        @pytest.fixture(scope="module")
        def two():
            say("up")
            yield 2.0
            say("down")

        @soft_test
        def test_first(two):
            return (gain - two) ** 2

        @soft_test
        @pytest.mark.parametrize("x", [1.0, 2.0])
        def test_call(x):
            say("test", x)
            return (gain * x - 2 * x) ** 2

        @soft_test
        def test_last(two):
            return (gain - two) ** 2
    """,
    "indirect": """
        @pytest.fixture
        def doubled(request, x):
            say("doubled", request.param, x)
            return 2 * request.param

        @soft_test
        @pytest.mark.parametrize("x", [1.0, 2.0])
        @pytest.mark.parametrize("doubled", [3.0, 4.0], indirect=True)
        def test_it(x, doubled):
            return (gain * x - doubled) ** 2
    """,
    "usefixtures": """
        @pytest.fixture
        def folder(monkeypatch):
            monkeypatch.setenv("SOFT_FACTOR", "2.0")
            yield
            say("down", os.environ["SOFT_FACTOR"])

        @soft_test
        @pytest.mark.slow
        @pytest.mark.usefixtures("folder")
        def test_it(request):
            say(request.node.nodeid.rpartition("::")[2], os.environ["PYTEST_CURRENT_TEST"][-6:])
            print("never shown")
            return (gain - float(os.environ["SOFT_FACTOR"])) ** 2
    """,
    "fixture that reads a Param": """
        @pytest.fixture(params=[1.0, 2.0])
        def product(request):
            return gain * request.param, request.param

        @soft_test
        def test_it(product):
            return (product[0] - 2 * product[1]) ** 2
    """,
}

# what does, or may turn out to
LEFT_TO_PYTEST = {
    "tmp_path": """
        @soft_test
        def test_it(tmp_path):
            (tmp_path / "two").write_text("2")
            return (gain - float((tmp_path / "two").read_text())) ** 2
    """,
    "capsys": """
        @soft_test
        def test_it(capsys):
            print("2.0")
            return (gain - float(capsys.readouterr().out)) ** 2
    """,
    "caplog": """
        import logging

        @soft_test
        def test_it(caplog):
            logging.getLogger().warning("2.0")
            return (gain - float(caplog.messages[0])) ** 2
    """,
    "caplog by name": """
        import logging

        @soft_test
        def test_it(request):
            caplog = request.getfixturevalue("caplog")
            logging.getLogger().warning("2.0")
            return (gain - float(caplog.messages[0])) ** 2
    """,
    "marks": """
        @soft_test
        def test_it():
            return (gain - 2) ** 2

        @soft_test
        @pytest.mark.skip
        def test_skipped():
            say("never")

        @soft_test
        @pytest.mark.parametrize("x", [1.0, pytest.param(9.0, marks=pytest.mark.xfail)])
        def test_expected(x):
            return (gain * x - 2) ** 2 if x == 1 else 1 / 0
    """,
    "marked meanwhile": """
        @pytest.fixture
        def broken(request):
            request.applymarker(pytest.mark.xfail(reason="not counted", strict=False))

        @soft_test
        def test_broken(broken):
            return (gain - 7) ** 2

        @soft_test
        def test_it():
            return (gain - 2) ** 2
    """,
    "skip in a fixture": """
        @pytest.fixture
        def absent():
            pytest.skip("nothing here")

        @soft_test
        def test_absent(absent):
            say("never")

        @soft_test
        def test_it(request):
            return (gain - 2) ** 2
    """,
}


@pytest.fixture
def protocols(monkeypatch):
    """Count the tests that were traced through pytest's protocol."""
    seen = []

    def counting(item, **keywords):
        seen.append(item.nodeid)
        return protocol(item, **keywords)

    protocol = trace.runtestprotocol
    monkeypatch.setattr(trace, "runtestprotocol", counting)
    return seen


def fit_in(project, folder, body, conftest=None):
    """Fit in a folder; return the outcomes, what was said, and the value found."""
    project.write("pytest.ini", "[pytest]\nmarkers = slow: a mark of no consequence\n")
    file = project.write(f"{folder}/test_{folder}.py", dedent(HEAD) + dedent(body))
    if conftest is not None:
        project.write(f"{folder}/conftest.py", conftest)
    result = project.fit(folder, "-W", "error")
    assert "never shown" not in result.stdout.str()
    said = file.with_name("said.txt")
    value = project.value("gain", f"{folder}/test_{folder}")
    return result.parseoutcomes(), said.read_text() if said.exists() else "", value


@pytest.mark.parametrize("kind", QUICK)
def test_fixtures_without_the_protocol_do_what_they_do_within_it(project, protocols, kind):
    quick = fit_in(project, "quick", QUICK[kind])
    assert not protocols
    outcomes, said, value = fit_in(project, "whole", QUICK[kind], NOTHING_BUT_A_HOOK)
    assert protocols
    assert quick == (outcomes, said, value)
    assert "failed" not in outcomes
    assert "errors" not in outcomes


@pytest.mark.parametrize("kind", LEFT_TO_PYTEST)
def test_what_needs_pytest_is_left_to_pytest(project, protocols, kind):
    mine = fit_in(project, "mine", LEFT_TO_PYTEST[kind])
    assert protocols
    assert mine == fit_in(project, "whole", LEFT_TO_PYTEST[kind], NOTHING_BUT_A_HOOK)
    outcomes, said, value = mine
    assert said == ""
    assert value == pytest.approx(2.0)
    assert not outcomes.keys() & {"failed", "errors"}


@pytest.mark.parametrize(
    "where", ["fixture", "test", "teardown", "module fixture", "module teardown"]
)
def test_failures_are_told_in_pytests_words(project, where):
    scope = "module" if "module" in where else "function"
    broken = "raise RuntimeError('broken')"
    before = broken if where.endswith("fixture") else "pass"
    after = broken if where.endswith("teardown") else "pass"
    returned = "1 / 0" if where == "test" else "(gain - two) ** 2"
    project.write(
        "test_it.py",
        dedent(HEAD)
        + dedent(f"""
        @pytest.fixture(scope="{scope}")
        def two():
            {before}
            yield 2.0
            {after}

        @soft_test
        def test_it(two):
            return {returned}
        """),
    )
    result = project.fit()
    assert result.ret == 1
    error = "ZeroDivisionError" if where == "test" else "RuntimeError: broken"
    result.stdout.fnmatch_lines(
        ["test_it.py::test_it failed while it was traced:", f"*E * {error}*"]
    )
    assert not project.store("test_it").exists()


def test_a_wide_fixture_still_may_not_read_a_param(project, protocols):
    project.write(
        "test_it.py",
        dedent(HEAD)
        + dedent("""
        @pytest.fixture(scope="module")
        def two():
            return 2.0 * gain

        @soft_test
        def test_it(two):
            return (two - 4) ** 2
        """),
    )
    result = project.fit()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*is read in the module-scoped fixture 'two'*"])


@pytest.mark.parametrize("conftest", ["", NOTHING_BUT_A_HOOK])
def test_each_run_of_a_method_has_an_instance_of_its_own(project, conftest):
    project.write("conftest.py", conftest)
    project.write(
        "test_it.py",
        dedent(HEAD)
        + dedent("""
        class TestIt:
            kept = None

            @soft_test
            def test_it(self):
                assert self.kept is None
                self.kept = gain * 2
                return (self.kept - 4) ** 2
        """),
    )
    assert project.fit().ret == 0
    assert project.value("gain", "test_it") == pytest.approx(2.0)
