"""What the report says of suites with a planted defect, and of one with none."""

import re

import numpy as np
import pytest

SUITE = """
    import numpy as np
    import pytest
    from pytest_soft import Param, soft_test

    gain, offset, level = Param(1.0), Param(1.5), Param({level})
    X = np.linspace(0.2, 3.0, 20)
    Y = 2 * X + 1 + 0.05 * np.cos(40 * X**2)
    POINTS = list(zip(X.tolist(), Y.tolist()))
    {change}

    def program(x):
        return {program}

    @soft_test
    @pytest.mark.parametrize("x, y", POINTS)
    def test_line(x, y):
        return (program(x) - y) ** 2
"""


CURVE = """POINTS = [
        (x, 2 / (1 + float(np.exp(-3 * (x - 1)))) + 0.05 * float(np.cos(40 * x * x))) for x in X
    ]"""


@pytest.fixture
def told(project):
    """Fit a suite; return the notes and the line of each Param."""

    def run(program, change="", level="0.0", *options):
        text = SUITE.format(program=program, change=change, level=level)
        project.write("test_line.py", text)
        result = project.fit("-W", "error", *options)
        assert result.ret == 0
        text = run.text = result.stdout.str()
        notes = re.findall(r"^note     (.*(?:\n {9}\S.*)*)", text, re.MULTILINE)
        notes = [" ".join(note.split()) for note in notes if "no threshold" not in note]
        # Params of other tests of this process may be alive still
        notes = [note for note in notes if not note.startswith("reached by no")]
        params = dict(
            re.findall(r"^(?:Params)? +(gain|offset|level) +(.* -> .*)$", text, re.MULTILINE)
        )
        return notes, params

    return run


def test_nothing_is_wrong(told):
    notes, params = told("gain * x + level")
    assert notes == []
    for name, value in {"gain": 2.0, "level": 1.0}.items():
        new, error = re.search(r"-> (\S+) ± (\S+)$", params[name]).groups()
        assert 0.005 < float(error) < 0.05
        assert abs(float(new) - value) < 3 * float(error)


@pytest.mark.parametrize(
    ("program", "combination"),
    [
        ("gain * offset * x + level", "only gain * offset is determined"),
        ("gain / offset * x + level", "only gain / offset is determined"),
        ("2 * x + level + offset + 0 * gain", "only level + offset is determined"),
    ],
)
def test_a_combination(told, program, combination):
    notes, params = told(program)
    found = [note for note in notes if note.startswith("the tests do not determine every Param")]
    assert any(combination in note for note in found), notes
    assert not any(" ± " in params[name] for name in re.findall("gain|offset", combination))
    assert not any("contradict" in note or "stands out" in note for note in notes)


def test_contradicting_tests(told):
    notes, _ = told("gain * x + level", "POINTS += [(2.0, 6.0), (2.0, 4.0)]")
    (note,) = notes
    assert re.match(
        r"test_line.py::test_line\[2.0-(6|4).0\] and test_line.py::test_line\[2.0-(4|6).0\] "
        r"contradict each other: without the other, the loss of the first would fall by about",
        note,
    )


def test_an_outlier(told):
    notes, _ = told("gain * x + level", "POINTS.append((2.0, 6.0))")
    (note,) = notes
    assert note.startswith("test_line.py::test_line[2.0-6.0] stands out: ")
    assert note.endswith(" standard deviations from what the other tests say")


def test_a_local_minimum_and_the_way_out(told):
    wave = "POINTS = [(x, float(np.sin(1.5 * x))) for x in np.linspace(0.0, 9.0, 60).tolist()]"
    notes, params = told("np.sin(level * x)", wave, "0.2")
    assert any(
        note.startswith("the fit ended in a local minimum: the total loss is lower at level =")
        and "--soft-restarts=20" in note
        for note in notes
    )
    assert "-> 1.5" not in params["level"]


@pytest.mark.parametrize("start", ["0.2", "2.25", "3.0"])
def test_restarts(told, start):
    wave = "POINTS = [(x, float(np.sin(1.5 * x))) for x in np.linspace(0.0, 9.0, 60).tolist()]"
    notes, params = told("np.sin(level * x)", wave, start, "--soft-restarts=20")
    assert float(re.search(r"-> (\S+)", params["level"]).group(1)) == pytest.approx(1.5)
    assert any(note.startswith("local minima of the total loss, lowest first: ") for note in notes)
    assert not any("standard deviations" in note for note in notes)  # it is exact


def test_restarts_end_at_the_threshold(told):
    wave = "POINTS = [(x, float(np.sin(1.5 * x))) for x in np.linspace(0.0, 9.0, 60).tolist()]"
    notes, _ = told(
        "np.sin(level * x)", wave, "0.2", "--soft-restarts=100000", "--soft-threshold=1e-6"
    )
    assert any(note.startswith("local minima") for note in notes)


def test_array_params(project):
    project.write(
        "test_poly.py",
        """
        import numpy as np
        from pytest_soft import Param, soft_test

        w = Param([0.0, 0.0, 0.0])
        X = np.linspace(0, 1, 30)

        @soft_test
        def test_poly():
            return (w[0] + (w[1] + w[2]) * X - 1 - 2 * X - 0.1 * np.cos(30 * X)) ** 2
        """,
    )
    result = project.fit()
    assert result.ret == 0
    text = " ".join(result.stdout.str().split())
    assert "only w[1] + w[2] is determined" in text


def test_a_fit_that_stops_early_gives_no_errors(told):
    _, params = told("gain * x + level", "", "0.0", "--soft-threshold=5")
    assert not any("±" in line for line in params.values())


@pytest.mark.parametrize("name", ["cma", "differential-evolution", "scipy-least-squares"])
def test_optimizers_of_others(told, name):
    pytest.importorskip("cma" if name == "cma" else "scipy.optimize")
    change = "gain, level = Param(1.0, bounds=(0, 9)), Param(0.1, bounds=(-5, 5))"
    _, params = told("gain * x + level", change, "0.0", f"--soft-optimizer={name}")
    assert float(re.search(r"-> (\S+)", params["gain"]).group(1)) == pytest.approx(2.0, abs=0.05)


def test_a_gradient_that_is_not_finite_has_an_address(project):
    project.write(
        "test_it.py",
        """
        import numpy as np
        import pytest
        from pytest_soft import Param, soft_test

        width, other = Param(0.0, bounds=(0, 9)), Param(1.0)

        @soft_test
        @pytest.mark.parametrize("x", [0.0, 1.0])
        def test_root(x):
            return (other - 2) ** 2 + (np.sqrt(width + x) - 2) ** 2
        """,
    )
    result = project.fit()
    told = " ".join(result.stdout.str().split())
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "the fit failed; the best point so far is kept" in told
    assert "the gradient is not finite at the best point" in told
    assert "test_it.py::test_root[0.0] is not finite with respect to width = 0: a root" in told


def test_more_restarts_than_none(project):
    result = project.check("--soft-fit", "--soft-restarts=-1")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*soft_restarts is -1: it must be 0 or more*"])


def test_intervals_by_profile(told):
    _, params = told("gain / (1 + np.exp(-level * (x - 1)))", CURVE, "2.0", "--soft-profile")
    new, error = map(float, re.search(r"-> (\S+) ± (\S+)$", params["gain"]).groups())
    assert error > 0
    lower, upper = re.search(r"95 %: (\S+) \.\. (\S+) by profile", told.text).groups()
    assert float(lower) < new < float(upper)


def test_intervals_by_curvature_with_v(told):
    told("gain * x + level", "", "0.0", "-v")
    assert " by curvature" in told.text


def test_profiles_need_a_fit(project):
    result = project.check("--soft-profile")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["*--soft-profile needs --soft-fit*"])


SCALED = "POINTS = [(x, (2 * x + 1 + 0.05 * float(np.cos(40 * x * x))) / {}) for x in X.tolist()]"


@pytest.mark.parametrize(
    ("sigma", "note"),
    [("0.035", None), ("0.005", "the residuals are larger than"), ("1.0", "are smaller than")],
)
def test_known_scales(told, sigma, note):
    program, points = f"(gain * x + level) / {sigma}", SCALED.format(sigma)
    notes, params = told(program, points, "0.0", "--soft-absolute-sigma")
    assert re.search(r"^χ²/dof   \S+ \(\S+ / 18\), larger by chance in \S+ of all", told.text, re.M)
    assert [note] * (note is not None) == [n for n in (note,) for m in notes if n and n in m]
    assert len(notes) == (note is not None)
    design = np.stack([np.linspace(0.2, 3.0, 20), np.ones(20)], axis=1)
    error = float(sigma) * np.sqrt(np.linalg.inv(design.T @ design)[0, 0])
    assert float(re.search(r"± (\S+)$", params["gain"]).group(1)) == pytest.approx(error, rel=0.05)


def test_known_scales_from_the_ini_file(told, project):
    project.write("pytest.ini", "[pytest]\nsoft_absolute_sigma = true\n")
    told("gain * x + level")
    assert "χ²/dof" in told.text


def test_what_v_and_vv_add(told):
    told("gain * x + level", "", "0.0", "-v")
    advice, cook = told.text.partition("stored")[0].partition("next  ")[2].split("Cook", 1)
    assert re.fullmatch(
        r"test_line.py::test_line\[\S+\] once more would take the standard error of "
        r"(gain|level) from \S+ to \S+",
        " ".join(advice.split()),
    )
    cook = "Cook" + cook
    assert len(re.findall(r"^(?:Cook|    ) +\d\S* +test_line.py::", cook, re.M)) == 3
    assert "correl." not in told.text
    told("gain * x + level", "", "0.0", "-vv")
    (found,) = re.findall(r"^correl. +gain\n +level +(\S+)$", told.text, re.M)
    x = np.linspace(0.2, 3.0, 20)
    assert float(found) == pytest.approx(-np.mean(x) / np.sqrt(np.mean(x**2)), abs=1e-3)


@pytest.mark.parametrize(
    ("returned", "why"),
    [
        ("np.cosh(bowl - 1)", "the losses are not visibly sums of squares"),
        ("(bowl - 1) ** 2", "the fit is exact"),
        ("(bowl - 9) ** 2 + (bowl - 8) ** 2", "on its bound"),
    ],
)
def test_why_there_is_no_standard_error(project, returned, why):
    project.write(
        "test_it.py",
        f"""
        import numpy as np
        from pytest_soft import Param, soft_test

        bowl = Param(0.5, bounds=(-5.0, 5.0))

        @soft_test
        def test_bowl():
            return {returned}
        """,
    )
    project.fit("-v").stdout.fnmatch_lines([f"* no standard error: *{why}*"])


@pytest.mark.parametrize(("wrong", "said"), [(0.0, []), (1.0, ["without it, the other tests"])])
def test_beside_exact_tests_no_prior_stands_out(project, wrong, said):
    project.write(
        "test_it.py",
        f"""
        import numpy as np
        from pytest_soft import Param, soft_test
        from softtape.priors import normal

        gain = Param(1.0, prior=normal(2.5, 1e8))
        level = Param(0.3)

        @soft_test
        def test_line():
            x = np.arange(6.0)
            return np.sum((gain * x + level - 2.0 * x - 1.0) ** 2)

        @soft_test
        def test_wrong():
            return (gain * 3.0 + level - 7.0 - {wrong}) ** 2
        """,
    )
    told = " ".join(project.fit().stdout.str().split())
    assert re.findall(r"stands out: (without it, the other tests|\S+)", told) == said
