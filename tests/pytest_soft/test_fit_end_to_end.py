"""``pytest --soft-fit`` on whole projects."""

import math
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest

from pytest_soft import solve
from softtape.optimize import watch

# ---- the sine program

native_toml = pytest.mark.skipif(pytest.version_tuple < (9,), reason="[tool.pytest] is pytest 9's")


def test_the_readme(sine):
    result = sine.fit("--soft-threshold=1e-10", "-W", "error")
    assert result.ret == 0
    result.assert_outcomes(passed=21)
    assert sine.value() == pytest.approx(1.5, abs=1e-5)
    assert sine.entries() == {"omega": {"start": 1.0, "value": sine.value()}}
    result.stdout.fnmatch_lines(
        [
            "PASSED  21 soft tests, total loss 2.00133 -> *, threshold 1e-10",
            "fit * the total loss is at or below the threshold",
            "Params   omega  1 -> 1.5*",
            "stored   in sine.soft.json",
        ]
    )

    stored, moved = sine.files(), sine.store().stat().st_mtime_ns
    again = sine.fit("--soft-threshold=1e-10")
    assert again.ret == 0
    assert sine.files() == stored
    assert sine.store().stat().st_mtime_ns == moved
    again.stdout.fnmatch_lines(["stored   nothing moved in sine.soft.json"])

    check = sine.check("-W", "error", "--soft-threshold=1e-10")
    assert check.ret == 0
    check.stdout.fnmatch_lines(["PASSED  21 soft tests, total loss *, threshold 1e-10"])
    assert sine.files() == stored


def test_converged_fit_is_exact_and_stays(sine):
    sine.fit()
    assert sine.value() == pytest.approx(1.5, abs=1e-12)
    stored = sine.files()
    sine.fit()
    assert sine.files() == stored


def test_the_check_before_the_fit_fails(sine):
    result = sine.check("--soft-threshold=1e-10")
    assert result.ret == 1
    result.assert_outcomes(passed=21)
    result.stdout.fnmatch_lines(
        ["FAILED  21 soft tests*", "  the total loss 2.00133 is above the threshold 1e-10"]
    )
    assert sine.files() == {}


def test_production_needs_no_pytest(sine):
    sine.fit()
    result = sine.python(
        """
        import sys

        class Blocker:
            def find_spec(self, name, path=None, target=None):
                if name.split(".")[0] in ("pytest", "_pytest", "pytest_soft", "pluggy"):
                    raise ImportError(name)

        sys.meta_path.insert(0, Blocker())
        import sine
        print(sine.f(1.0))
        """
    )
    assert result.ret == 0
    assert float(result.outlines[0]) == pytest.approx(math.sin(1.5), abs=1e-6)


def test_ordinary_tests_see_the_fitted_values(sine):
    sine.write(
        "test_aaa.py",
        """
        import sine

        def test_value():
            assert abs(sine.omega - 1.5) < 1e-6
            assert isinstance(sine.omega + 0, float)
        """,
    )
    sine.fit().assert_outcomes(passed=22)


# ---- where Params may live


def test_param_in_the_test_file(project):
    project.write(
        "test_it.py",
        """
        from pytest_soft import Param, soft_test, squared_error

        rate = Param(1.0)

        @soft_test
        def test_it():
            return squared_error(rate * 2, 5.0)
        """,
    )
    assert project.fit().ret == 0
    assert project.value("rate", "test_it") == pytest.approx(2.5)
    project.check("--soft-threshold=1e-12").assert_outcomes(passed=1)


def test_class_attributes_lists_and_names(project):
    project.write(
        "prog.py",
        """
        from softtape import Param

        class Net:
            w = Param(0.0)
            class Inner:
                b = Param(0.0)

        layers = [Param(0.0), Param(0.0)]
        table = {"a": (Param(0.0),)}

        def make():
            return Param(0.0, name="made")

        kept = [[[[make()]]]]
        everything = [Net.w, Net.Inner.b, *layers, table["a"][0], kept[0][0][0][0]]
        """,
    )
    project.write(
        "test_it.py",
        """
        from pytest_soft import soft_test
        import prog

        @soft_test
        def test_it():
            return [(p - i) ** 2 for i, p in enumerate(prog.everything, 1)]
        """,
    )
    assert project.fit().ret == 0
    found = {name: entry["value"] for name, entry in project.entries("prog").items()}
    assert found == pytest.approx(
        {"Net.w": 1, "Net.Inner.b": 2, "layers[0]": 3, "layers[1]": 4, "table['a'][0]": 5,
         "made": 6}
    )  # fmt: skip
    assert project.check("--soft-threshold=1e-12").ret == 0


def test_containers_that_are_class_attributes(project):
    project.write(
        "prog.py",
        """
        from softtape import Param

        class Net:
            layers = [Param(0.0), {"bias": Param(0.0)}]
        """,
    )
    project.write(
        "test_it.py",
        """
        from pytest_soft import soft_test
        from prog import Net

        @soft_test
        def test_it():
            return [(Net.layers[0] - 1) ** 2, (Net.layers[1]["bias"] - 2) ** 2]
        """,
    )
    assert project.fit().ret == 0
    found = {name: entry["value"] for name, entry in project.entries("prog").items()}
    assert found == pytest.approx({"Net.layers[0]": 1, "Net.layers[1]['bias']": 2})


VALUES = """
    import numpy as np
    from softtape import Param

    p = Param({})
    q = Param(0.0)
"""
TEST_VALUES = """
    import numpy as np
    from pytest_soft import soft_test
    import prog

    @soft_test
    def test_it():
        return np.sum((prog.p - {}) ** 2) + (prog.q - 1) ** 2
"""


@pytest.mark.parametrize(
    ("declared", "target", "fitted"),
    [
        ("np.zeros((2, 3))", "np.arange(6.0).reshape(2, 3)", [[0, 1, 2], [3, 4, 5]]),
        ("[0.0, 1.0]", "[3.0, 4.0]", [3, 4]),
        ("np.zeros(2, np.float32)", "0.1", [0.1, 0.1]),
        ("2", "3", 3),
        ("0.5, bounds=(0, 1)", "3.0", 1),
        ("0.5, bounds=(0, 1)", "-3.0", 0),
        ("0.0, bounds=(0, None)", "3.0", 3),
        ("np.zeros(2), bounds=(-1, [0.5, 2])", "1.0", [0.5, 1]),
        ("..., bounds=(0, 10)", "3.0", 3),
        ("..., bounds=(0, 10), shape=2", "3.0", [3, 3]),
        ("..., shape=(1, 2)", "3.0", [[3, 3]]),
        ("..., shape=2, bounds=(4, None)", "3.0", [4, 4]),
    ],
)
def test_values_of_every_kind(project, declared, target, fitted):
    project.write("prog.py", VALUES.format(declared))
    project.write("test_it.py", TEST_VALUES.format(target))
    result = project.fit("-W", "error")
    assert result.ret == 0
    found = project.value("p", "prog")
    assert np.shape(found) == np.shape(fitted)
    assert np.asarray(found) == pytest.approx(np.asarray(fitted), abs=1e-6)
    result.stdout.no_fnmatch_line("*please report**")
    stored = project.files()
    assert project.check().ret == 0
    project.fit()
    assert project.files() == stored
    if "float32" in declared:
        assert project.entries("prog")["p"]["dtype"] == "float32"
    if "bounds" in declared and fitted in (0, 1):
        result.stdout.fnmatch_lines(["*(on its bound)"])


def test_frozen_is_left_alone(project):
    project.write("prog.py", VALUES.format("2.0, frozen=True") + "    K = np.log(2) / p\n")
    project.write("test_it.py", TEST_VALUES.format("3.0"))
    result = project.apart("-p", "no:xdist", "--soft-fit", "--soft-threshold=1.5")
    assert result.ret == 0
    assert project.entries("prog").keys() == {"q"}
    result.stdout.no_fnmatch_line("Params   p *")
    result.stdout.no_fnmatch_line("note*reached by no*")


def test_blank_with_nothing_to_start_from(project):
    project.write("prog.py", VALUES.format("..."))
    project.write("test_it.py", TEST_VALUES.format("3.0"))
    result = project.fit()
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*the blank p has nothing to start from. Give it finite bounds*"])
    assert project.files() == {}


def test_blank_before_its_fit(project):
    project.write("prog.py", VALUES.format("..., bounds=(0, 1)"))
    project.write("test_it.py", TEST_VALUES.format("0.5"))
    result = project.check()
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*prog.py:5: the blank p was never filled in: run pytest --soft-f*"]
    )
    assert project.fit().ret == 0  # it starts where it belongs; stored all the same
    assert project.value("p", "prog") == 0.5


def test_random_starts_follow_the_seed(project):
    project.write("prog.py", VALUES.format("..., shape=3"))
    project.write("test_it.py", TEST_VALUES.format("3.0"))

    def start(*args):
        result = project.fit("--soft-dry-run", "--soft-max-steps=0", *args)
        (stored,) = [line for line in result.outlines if '+      "value": [' in line]
        return stored

    first = start()
    assert start("--soft-seed=0") == first
    assert start("--soft-seed=1") != first


def test_same_bytes_from_every_run(project):
    project.write("prog.py", VALUES.format("..., shape=(3, 2)"))
    project.write("test_it.py", TEST_VALUES.format("np.sin(prog.p * 1.1) + 0.3"))
    seen = set()
    for seed in ("0", "1"):
        project.pytester._monkeypatch.setenv("PYTHONHASHSEED", seed)
        assert project.apart("--soft-fit", "--soft-seed=3", "-p", "no:xdist").ret == 0
        seen.add(project.store("prog").read_bytes())
        project.store("prog").unlink()
    assert len(seen) == 1


# ---- weights and thresholds


def test_weights(project):
    project.write(
        "test_it.py",
        """
        from pytest_soft import Param, soft_test

        a = Param(0.0)

        @soft_test(weight=3)
        def test_heavy():
            return (a - 1) ** 2

        @soft_test
        def test_light():
            return (a - 5) ** 2

        @soft_test(weight=0)
        def test_measured():
            return (a - 100) ** 4
        """,
    )
    result = project.fit("-v")
    assert project.value("a", "test_it") == pytest.approx(2.0)
    result.stdout.fnmatch_lines(
        ["*test_measured PASSED loss 9.22e+07*", "PASSED  3 soft tests, total loss 28 -> 12"]
    )


def test_threshold_of_a_test(project):
    project.write(
        "test_it.py",
        """
        from pytest_soft import Param, soft_test

        a = Param(0.0)

        @soft_test(threshold=0.1)
        def test_near():
            return (a - 1) ** 2

        @soft_test(threshold=100)
        def test_far():
            return (a - 5) ** 2
        """,
    )
    result = project.fit("--soft-threshold=50")
    assert result.ret == 1
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "the loss 4 is above the threshold 0.1 of this test",
            "FAILED  2 soft tests*",
            "  1 test above the threshold of the test",
        ]
    )
    assert project.value("a", "test_it") == pytest.approx(3.0)  # what improved is stored


@pytest.mark.parametrize(
    ("file", "text", "ret"),
    [
        ("pytest.ini", "[pytest]\nsoft_threshold = 1e-3\n", 0),
        ("pytest.ini", "[pytest]\nsoft_threshold = 1e-20\nsoft_max_steps = 1\n", 1),
        ("pytest.ini", "[pytest]\nsoft_threshold = 1e-3\nsoft_max_steps = 0\n", 1),
        ("pyproject.toml", '[tool.pytest.ini_options]\nsoft_threshold = "1e-3"\n', 0),
        ("pyproject.toml", "[tool.pytest.ini_options]\nsoft_threshold = 1e-3\n", 0),
        pytest.param(
            "pyproject.toml", "[tool.pytest]\nsoft_threshold = 1e-3\n", 0, marks=native_toml
        ),
        pytest.param(
            "pyproject.toml",
            "[tool.pytest]\nsoft_threshold = 0\nsoft_max_steps = 1\n",
            1,
            marks=native_toml,
        ),
        pytest.param(
            "pyproject.toml",
            "[tool.pytest]\nsoft_max_steps = 1\nsoft_threshold = 1e-20\n",
            1,
            marks=native_toml,
        ),
        ("pytest.ini", "[pytest]\naddopts = --soft-threshold=1e-3\n", 0),
    ],
)
def test_thresholds_from_files(sine, file, text, ret):
    sine.write(file, text)
    result = sine.fit()
    assert result.ret == ret
    assert sine.check().ret == ret
    result.stdout.fnmatch_lines([f"{'FAILED' if ret else 'PASSED'}  21 soft tests*threshold *"])


def test_threshold_0_that_is_met(project):
    project.write("pytest.ini", "[pytest]\nsoft_threshold = 0\n")
    project.write(
        "test_it.py",
        """
        from pytest_soft import Param, soft_test

        a = Param(4.0)

        @soft_test
        def test_it():
            return abs(a - 2)
        """,
    )
    assert project.check().ret == 1
    project.write("test_it.py", (project.path / "test_it.py").read_text().replace("4.0", "2.0"))
    result = project.check()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["PASSED  1 soft test, total loss 0, threshold 0"])


# ---- how the fit goes


@pytest.mark.parametrize("name", ["auto", "lm", "lbfgs", "adam", "gradient-descent"])
def test_optimizers(sine, name):
    result = sine.fit("--soft-threshold=1e-6", f"--soft-optimizer={name}")
    assert result.ret == 0
    assert sine.value() == pytest.approx(1.5, abs=1e-3)
    result.stdout.fnmatch_lines([f"         by {'lm' if name == 'auto' else name} (*"])


def test_misspelt_optimizer(sine):
    result = sine.fit("--soft-optimizer=adma")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*soft_optimizer is 'adma': *Did you mean 'adam'?"])
    assert sine.files() == {}


def test_max_steps(sine):
    result = sine.fit("--soft-max-steps=1", "--soft-threshold=1e-10")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["fit * the limit on the number of steps is reached"])
    assert sine.value() == pytest.approx(1.5, abs=0.1)
    assert sine.fit("--soft-threshold=1e-10").ret == 0  # goes on from there


def test_timeout(project, monkeypatch):
    project.write(
        "test_it.py",
        """
        from pytest_soft import Param, soft_test

        a = Param(0.0)

        @soft_test
        def test_it():
            return (a - 3) ** 4
        """,
    )
    clock = SimpleNamespace(monotonic=count(step=0.1).__next__)  # of whoever looks at it
    monkeypatch.setattr(solve, "time", clock)
    monkeypatch.setattr(watch, "time", clock)
    result = project.fit("--soft-timeout=4", "--soft-optimizer=gradient-descent")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["fit * the time limit is reached"])
    assert 0 < project.value("a", "test_it") < 2.9  # to converge takes hundreds of evaluations


def test_dry_run(sine):
    result = sine.fit("--soft-dry-run", "--soft-threshold=1e-10")
    assert result.ret == 0
    assert sine.files() == {}
    result.stdout.fnmatch_lines(
        [
            "stored   would be in sine.soft.json",
            "  --- /dev/null",
            '  +*"omega": {"start": 1.0, "value": 1.5*',
        ]
    )
    sine.fit("--soft-max-steps=1")
    stored = sine.files()
    result = sine.fit("--soft-dry-run")
    assert sine.files() == stored
    result.stdout.fnmatch_lines(['  -*"omega": *', '  +*"omega": {"start": 1.0, "value": 1.5*'])


def test_path_changes_during_the_fit(project):
    project.write(
        "prog.py",
        """
        import numpy as np
        from softtape import Param

        gain = Param(0.2)

        def f(x, gain=gain):
            y = gain * x
            if y > 1:
                y = 1 + np.log(y)
            return y
        """,
    )
    project.write(
        "test_prog.py",
        """
        import pytest
        from pytest_soft import soft_test
        from prog import f

        @soft_test
        @pytest.mark.parametrize("x", [0.5, 1.0, 1.5, 2.0, 2.5, 3.0])
        def test_f(x):
            return (f(x) - f(x, gain=0.9)) ** 2
        """,
    )
    result = project.fit("--soft-threshold=1e-12")
    assert result.ret == 0
    assert project.value("gain", "prog") == pytest.approx(0.9, abs=1e-5)
    result.stdout.fnmatch_lines(["*traced again on another path"])
    result.stdout.no_fnmatch_line("*please report**")


def test_loops_and_indices_that_depend_on_a_param(project):
    project.write(
        "test_it.py",
        """
        import numpy as np
        from pytest_soft import Param, soft_test

        a = Param(1.4)
        table = np.array([30.0, 20.0, 20.0, 30.0])

        @soft_test
        def test_loop():
            y = a
            while y < 40:
                y = y * 2
            return (y - 48.0) ** 2 / 1000 + table[int(a)]
        """,
    )
    result = project.fit("--soft-max-steps=50")
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*please report**")
    assert project.value("a", "test_it") == pytest.approx(1.5, abs=1e-6)


# ---- ways to import the program


def test_program_imported_inside_the_test(project):
    project.write("prog.py", "from softtape import Param\nrate = Param(1.0)\n")
    project.write(
        "test_it.py",
        """
        from pytest_soft import soft_test

        @soft_test
        def test_one():
            import prog
            return (prog.rate - 3) ** 2

        @soft_test
        def test_two():
            from prog import rate
            return (rate - 3) ** 2
        """,
    )
    assert project.fit("--soft-threshold=1e-10").ret == 0
    assert project.value("rate", "prog") == pytest.approx(3, abs=1e-4)


def test_importlib_mode(sine):
    args = ("--import-mode=importlib", "-o", "pythonpath=.", "--soft-threshold=1e-10")
    assert sine.fit(*args).ret == 0
    assert sine.value() == pytest.approx(1.5, abs=1e-4)
    assert sine.check(*args).ret == 0


def test_importlib_mode_with_params_in_test_files_of_one_name(project):
    for folder, target in (("a", 2.0), ("b", 3.0)):
        project.write(
            f"{folder}/test_it.py",
            f"""
            from pytest_soft import Param, soft_test

            p = Param(1.0)

            @soft_test
            def test_it():
                return (p - {target}) ** 2
            """,
        )
    assert project.fit("--import-mode=importlib").ret == 0
    assert project.value("p", "a/test_it") == pytest.approx(2.0)
    assert project.value("p", "b/test_it") == pytest.approx(3.0)
    assert project.check("--import-mode=importlib", "--soft-threshold=1e-12").ret == 0


def test_package_elsewhere_on_the_path(project, tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    (site / "lib").mkdir()
    (site / "lib" / "__init__.py").write_text("from lib.core import gain\n")
    (site / "lib" / "core.py").write_text("from softtape import Param\ngain = Param(1.0)\n")
    project.pytester.syspathinsert(site)
    project.write(
        "test_it.py",
        """
        from pytest_soft import soft_test
        import lib

        @soft_test
        def test_it():
            return (lib.gain - 2) ** 2
        """,
    )
    result = project.fit()
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"stored   in {site}/lib/core.soft.json"])
    assert (site / "lib" / "core.soft.json").exists()
    assert project.check("--soft-threshold=1e-12").ret == 0


# ---- fixtures


def test_fixtures_are_set_up_and_torn_down_for_each_trace(project):
    project.write(
        "test_it.py",
        """
        import pytest
        from pytest_soft import Param, soft_test

        a = Param(1.0)
        log = []

        def fixture(scope):
            @pytest.fixture(scope=scope, name=scope)
            def made():
                log.append(scope)
                yield []
                log.append("-" + scope)
            return made

        session, module = fixture("session"), fixture("module")
        klass, function = fixture("class"), fixture("function")

        globals()["class_"] = klass

        class TestThem:
            @soft_test
            @pytest.mark.parametrize("y", [2.0, 3.0])
            def test_one(self, session, module, request, function, y):
                request.getfixturevalue("class")
                assert function == []     # nobody else's leftovers
                function.append(1)
                log.append("call")
                return (a - y) ** 2

        def test_log():
            print("\\nLOG", *log)
        """,
    )
    result = project.fit("-s")
    assert result.ret == 0
    (line,) = [t.split()[1:] for t in result.outlines if t.startswith("LOG")]
    once = ["function", "class", "call", "-function", "function", "call", "-function", "-class"]
    traced = ["session", "module", *once, "-module"]
    assert line == [*traced, "module", *once]


def test_retraces_have_fixtures_of_their_own(project):
    project.write(
        "test_it.py",
        """
        import pytest
        from pytest_soft import Param, soft_test

        a = Param(1.0)

        @pytest.fixture(scope="module")
        def cache():
            return {}

        @pytest.fixture
        def fresh():
            made = []
            yield made
            made.append("down")

        @soft_test
        def test_it(fresh, cache, tmp_path):
            assert fresh == []
            assert list(tmp_path.iterdir()) == []
            (tmp_path / "file").touch()
            fresh.append(1)
            return (a - 3) ** 2 if a > 2 else (a - 4) ** 2
        """,
    )
    result = project.fit("--soft-threshold=1e-8")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*traced again on another path"])


def test_function_fixtures_are_differentiated_through(project):
    project.write(
        "test_it.py",
        """
        import numpy as np
        import pytest
        from pytest_soft import Param, soft_test

        rate = Param(1.0)

        @pytest.fixture
        def curve():
            return np.exp(-rate * np.arange(5.0))

        @pytest.fixture(params=[0.5])
        def half(request, curve):
            return curve * request.param

        @soft_test
        def test_it(half):
            return np.sum((half - 0.5 * np.exp(-0.7 * np.arange(5.0))) ** 2)
        """,
    )
    assert project.fit("--soft-threshold=1e-10").ret == 0
    assert project.value("rate", "test_it") == pytest.approx(0.7, abs=1e-4)


def test_param_itself_as_a_parametrize_argument(project):
    project.write(
        "test_it.py",
        """
        import pytest
        from pytest_soft import Param, soft_test

        a, b = Param(1.0), Param(1.0)

        @soft_test
        @pytest.mark.parametrize("p, y", [(a, 2.0), (b, 3.0)])
        def test_it(p, y):
            return (p - y) ** 2
        """,
    )
    assert project.fit("--soft-threshold=1e-10").ret == 0
    assert project.value("a", "test_it") == pytest.approx(2)
    assert project.value("b", "test_it") == pytest.approx(3)


# ---- partial runs, options of pytest

TWO = """
    import pytest
    from pytest_soft import Param, soft_test

    a = Param(0.0)
    b = Param(0.0)

    @soft_test(threshold=1e-6)
    def test_a():
        return (a - {}) ** 2

    @soft_test(threshold=1e-6)
    def test_b():
        return (b - {}) ** 2
"""


def test_partial_runs_keep_other_entries(project):
    project.write("test_it.py", TWO.format(1, 1))
    assert project.fit().ret == 0
    before = project.entries("test_it")
    project.write("test_it.py", TWO.format(2, 2))
    result = project.apart("-p", "no:xdist", "--soft-fit", "-k", "test_b")
    assert result.ret == 0
    after = project.entries("test_it")
    assert list(after) == ["a", "b"]
    assert after["a"] == before["a"]
    assert after["b"]["value"] == pytest.approx(2)
    result.stdout.fnmatch_lines(["note     reached by no selected soft test: a (test_it.py)"])


def test_last_failed(project):
    project.write("test_it.py", TWO.format(1, 1))
    assert project.fit().ret == 0
    project.write("test_it.py", TWO.format(1, 2))
    run = project.pytester.runpytest_inprocess
    assert run("-p", "no:hypothesispytest").ret == 1
    result = run("-p", "no:hypothesispytest", "--lf", "--soft-fit")
    assert result.ret == 0
    result.assert_outcomes(passed=1)
    found = {name: entry["value"] for name, entry in project.entries("test_it").items()}
    assert found == pytest.approx({"a": 1, "b": 2})


@pytest.mark.parametrize("option", ["-x", "-q", "-v", "-qq", "-vv", "--tb=short", "-rA", "-s"])
def test_options_of_pytest(sine, option):
    result = sine.fit(option, "--soft-threshold=1e-10")
    assert result.ret == 0
    assert sine.value() == pytest.approx(1.5, abs=1e-5)
    result.stdout.fnmatch_lines(["*PASSED  21 soft tests*"])


def test_verbose_shows_the_loss_of_each_test(sine):
    sine.fit()
    result = sine.check("-v")
    result.stdout.fnmatch_lines(["test_sine.py::test_f[[]1.0-*] PASSED loss *[[]*%]"])


def test_quiet_is_one_line(sine):
    result = sine.fit("-q", "--soft-threshold=1e-10")
    lines = [line for line in result.outlines if line]
    assert len(lines) == 3
    assert lines[1].startswith("soft: PASSED  21 soft tests, total loss 2.00133 -> ")


def test_x_stops_the_check_not_the_fit(project):
    project.write("test_it.py", TWO.format(1, 2).replace("(b - 2) ** 2", "(b - 2) ** 2 + 1"))
    project.write("test_aaa.py", "def test_fails(): assert 0")
    result = project.fit("-x")
    assert result.ret == 1
    result.assert_outcomes(failed=1)
    assert project.value("b", "test_it") == pytest.approx(2)


# ---- the declared value changes


def test_changed_declaration_keeps_the_fitted_value_and_warns(sine):
    sine.fit("--soft-threshold=1e-10")
    fitted = sine.value()
    text = sine.path.joinpath("sine.py").read_text()
    sine.path.joinpath("sine.py").write_text(text.replace("Param(1.0)", "Param(2.0)"))
    result = sine.apart("-p", "no:xdist", "--soft-threshold=1e-10")
    assert result.ret == 0
    said = [line for line in result.outlines if "declared value of omega changed" in line]
    assert len(said) == 1
    assert "its fitted value in" in said[0]

    result = sine.apart("-p", "no:xdist", "--soft-fit", "--soft-threshold=1e-10")
    assert result.ret == 0
    said = [line for line in result.outlines if "declared value of omega changed" in line]
    assert len(said) == 1
    assert sine.entries() == {"omega": {"start": 2.0, "value": fitted}}

    result = sine.apart("-p", "no:xdist")
    result.stdout.no_fnmatch_line("*declared value of omega changed*")


# ---- several processes


def test_workers_agree_with_one_process(sine):
    text = sine.path.joinpath("test_sine.py").read_text()
    options = "weight=np.float64(2), threshold=np.float32(1)"  # which travel as numbers
    text = text.replace("@soft_test", f"@soft_test({options})")
    sine.path.joinpath("test_sine.py").write_text("import numpy as np\n" + text)
    assert sine.fit("--soft-threshold=1e-10").ret == 0
    alone = sine.store().read_bytes()
    sine.store().unlink()
    result = sine.apart("--soft-fit", "--soft-threshold=1e-10", "-n", "2")
    assert result.ret == 0
    assert sine.store().read_bytes() == alone
    result.stdout.fnmatch_lines(
        ["PASSED  21 soft tests, total loss 4.00265 -> *", "Params   omega  1 -> 1.5*"]
    )
    result.stdout.no_fnmatch_line("*INTERNALERROR*")


# ---- numbers of four bytes, and texts

SINGLE = """
    import numpy as np
    from softtape import Param

    W = Param(np.linspace(-0.05, 0.05, 12, dtype=np.float32).reshape(3, 4), bounds=(-0.1, 0.3))
    b = Param(np.zeros(4, np.float32))
    X = np.random.default_rng(1).standard_normal((20, 3)).astype(np.float32)

    def f():
        return np.tanh(X @ W + b)
"""
TEST_SINGLE = """
    import numpy as np
    from pytest_soft import soft_test
    import prog

    Y = np.random.default_rng(0).standard_normal((20, 4)).astype(np.float32)

    @soft_test
    def test_it():
        return (prog.f() - Y) ** 2
"""


def test_float32_program(project):
    project.write("prog.py", SINGLE)
    project.write("test_it.py", TEST_SINGLE)
    result = project.fit()
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*W *changed by * (on its bound)"])  # not rounded out of it
    result.stdout.no_fnmatch_line("*please report*")
    stored = project.files()
    assert project.check().ret == 0
    project.fit()
    assert project.files() == stored


def test_float32_data(project):
    project.write("prog.py", SINGLE.replace("(20, 3)).astype", "(20, 3)).cumsum(0).astype"))
    project.write(
        "test_it.py", TEST_SINGLE.replace("prog.f() - Y", "prog.b[0] * prog.X - Y[:, :3]")
    )
    result = project.fit()
    assert result.ret == 0
    result.stdout.no_fnmatch_line("*please report*")


def test_fitted_value_in_texts(sine):
    sine.fit()
    result = sine.python("import sine; print(sine.omega, f'{sine.omega:.3f}', repr(sine.omega))")
    assert result.outlines == [f"{sine.value()!r} 1.500 Param({sine.value()!r}, name='omega')"]


@pytest.mark.parametrize("option", ["--soft-max-steps=2", "--soft-dry-run"])
def test_slow_worker_checks_what_the_first_one_stored(project, option):
    project.write(
        "conftest.py",
        """
        import os
        import time

        if os.environ.get("PYTEST_XDIST_WORKER") == "gw1":
            time.sleep(1.0)
        """,
    )
    project.write(
        "test_it.py",
        """
        import numpy as np
        import pytest
        from pytest_soft import Param, soft_test

        a = Param(0.0)
        b = Param(np.zeros(2, np.float32))

        @soft_test
        @pytest.mark.parametrize("y", range(8))
        def test_it(y):
            return np.cosh(a - y) + np.sum((b - y) ** 2)

        @pytest.mark.parametrize("i", range(8))
        def test_same(i):
            assert a != 0
            assert b.dtype == np.float32
        """,
    )
    result = project.apart("--soft-fit", option, "-n", "2", "-v")
    assert result.ret == 0
    result.assert_outcomes(passed=16)
    result.stdout.fnmatch_lines(["*gw1*PASSED loss*"])
    result.stdout.no_fnmatch_line("*please report*")


@pytest.mark.parametrize("worker", ["gw0", "gw1"])
def test_a_worker_that_dies(project, worker):
    project.write(
        "test_it.py",
        f"""
        import os
        from pytest_soft import Param, soft_test

        a = Param(0.0)

        @soft_test
        def test_it():
            return (a - 1) ** 2

        def test_dies():
            if os.environ["PYTEST_XDIST_WORKER"] == "{worker}":
                os._exit(9)

        def test_other():
            pass
        """,
    )
    result = project.apart("--soft-fit", "-n", "2", "--max-worker-restart=0")  # and ends
    assert result.ret in (0, 1)


def test_math_and_arrays_as_people_write_them(project):
    """math.sin and np.array([...]) of Params are followed in the fit, and plain in the check."""
    project.write(
        "prog.py",
        """
        import math

        import numpy as np
        from softtape import Param

        omega = Param(1.0)
        offset = Param(0.0)

        def state(t):
            return np.array([math.sin(omega * t), math.cos(omega * t) + offset])
        """,
    )
    project.write(
        "test_it.py",
        """
        import math

        import numpy as np
        import pytest
        from prog import state
        from pytest_soft import soft_test

        SINE = math.sin

        @soft_test
        @pytest.mark.parametrize("t", [0.1, 0.5, 1.0, 1.7])
        def test_state(t):
            seen = [math.sin(1.3 * t), math.cos(1.3 * t) + 0.25]
            return np.sum((state(t) - seen) ** 2)

        def test_math_is_itself_again():
            assert math.sin is SINE
        """,
    )
    result = project.fit("--soft-threshold=1e-12")
    result.assert_outcomes(passed=5)
    assert result.ret == 0
    assert project.value("omega", "prog") == pytest.approx(1.3, abs=1e-5)
    assert project.value("offset", "prog") == pytest.approx(0.25, abs=1e-5)
    assert project.check("--soft-threshold=1e-12").ret == 0


def test_a_stored_value_of_a_renamed_param_is_named(sine):
    sine.fit("--soft-threshold=1e-10")
    before = sine.value()
    program = sine.path / "sine.py"
    program.write_text(program.read_text().replace("omega", "frequency"))
    result = sine.apart("--soft-fit", "--soft-threshold=1e-10")
    said = " ".join(" ".join(result.outlines).split())
    assert "sine.soft.json has a value of 'omega', but no Param of sine.py is called so" in said
    assert sine.entries()["omega"]["value"] == before  # reported, not dropped
    assert sine.entries()["frequency"]["value"] == pytest.approx(1.5, abs=1e-5)


def test_one_broken_param_tells_its_story_once(project):
    project.write(
        "test_it.py",
        """
        import pytest
        from pytest_soft import Param, soft_test

        def make(p=Param(1.0)):
            return p

        @soft_test
        @pytest.mark.parametrize("x", [1.0, 2.0, 3.0])
        def test_it(x):
            return (make() - 2) ** 2
        """,
    )
    result = project.apart("--soft-fit")  # its Param has no name, and would outlive this test
    assert result.ret == 1
    soft = result.outlines[result.outlines.index("=" * 37 + " soft " + "=" * 37) :]
    told = [line for line in soft if line.startswith("  E ") and "has no name" in line]
    assert len(told) == 1
    assert (
        sum("for the same reason as above: test_it.py::test_it[1.0]" in line for line in soft) == 2
    )
