"""Programs that cannot be differentiated, fitted by the losses of plain runs."""

import pytest

PROGRAM = """
    from math import sin
    from softtape import Param

    omega = Param(1.0, bounds=(0.5, 2.5))

    def by_c(x):
        return sin(omega * x)

    def by_text(x):
        return eval(f"{omega} * {x}")
"""

TESTS = """
    import math
    import pytest
    from pytest_soft import soft_test
    from program import by_c, by_text, omega

    @soft_test
    @pytest.mark.parametrize("x", [0.3, 0.9, 1.7])
    def test_c(x):
        return (by_c(x) - math.sin(1.5 * x)) ** 2

    @soft_test
    def test_traced():
        return 0.1 * (omega - 1.5) ** 2
"""

EVOLVE = ("--soft-optimizer=differential-evolution", "--soft-threshold=1e-9")


@pytest.fixture
def program(project):
    pytest.importorskip("scipy.optimize")
    project.write("program.py", PROGRAM)
    project.write("test_program.py", TESTS)
    return project


@pytest.mark.filterwarnings("ignore:.*")  # cma's own, about numpy
@pytest.mark.parametrize("optimizer", ["differential-evolution", "cma"])
def test_it_is_fitted(program, optimizer):
    pytest.importorskip("cma" if optimizer == "cma" else "scipy.optimize")
    result = program.fit(f"--soft-optimizer={optimizer}", "--soft-threshold=1e-9")
    assert result.ret == 0
    assert program.value("omega", "program") == pytest.approx(1.5, abs=1e-4)
    said = " ".join(" ".join(result.outlines).split())
    assert "3 of 4 tests cannot be traced and are run plainly at each trial point" in said
    assert program.check("--soft-threshold=1e-9").ret == 0


def test_the_same_run_writes_the_same_bytes(program):
    program.fit(*EVOLVE)
    first = program.files()
    program.store("program").unlink()
    program.apart("--soft-fit", *EVOLVE)
    assert program.files() == first


def test_a_gradient_is_never_silently_zero(program):
    result = program.fit("--soft-optimizer=lbfgs")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "*math.sin would take a traced value off the tape and lose its gradient*",
            "*can be fitted by its losses alone: --soft-optimizer=cma or differential-evolution",
        ]
    )
    assert not program.files()


def test_a_value_that_comes_back_from_a_text_counts(program):
    program.write(
        "test_program.py",
        """
        from pytest_soft import soft_test
        from program import by_text

        @soft_test
        def test_text():
            return (by_text(2.0) - 3.0) ** 2
        """,
    )
    assert program.fit(*EVOLVE).ret == 0
    assert program.value("omega", "program") == pytest.approx(1.5, abs=1e-4)


def test_fixtures_are_set_up_for_each_run(program):
    program.write(
        "test_program.py",
        """
        import pytest
        from pytest_soft import soft_test
        from program import by_c

        @pytest.fixture
        def fresh():
            yield []

        @soft_test
        def test_it(fresh):
            fresh.append(by_c(1.0))
            return (fresh[0] - 0.8) ** 2 + len(fresh) - 1
        """,
    )
    assert program.fit(*EVOLVE).ret == 0


def test_a_test_that_fails_plainly_too_is_told_once(program):
    program.write(
        "test_program.py",
        """
        from pytest_soft import soft_test
        from program import by_c

        @soft_test
        def test_it():
            return by_c(1.0) + {}["missing"]
        """,
    )
    result = program.fit(*EVOLVE)
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*test_it failed while it was traced*", "*KeyError: 'missing'*"])
    result.stdout.no_fnmatch_line("*fitted by its losses alone*")


def test_a_trial_point_that_raises_is_avoided(program):
    program.write(
        "test_program.py",
        """
        from pytest_soft import soft_test
        from program import by_c, omega

        @soft_test
        def test_it():
            value = float(by_c(1.0))
            if float(omega) > 2.0:
                raise ValueError("out of range")
            return (float(omega) - 1.9) ** 2
        """,
    )
    result = program.fit(*EVOLVE)
    assert result.ret == 0
    said = " ".join(" ".join(result.outlines).split())
    assert "some trial points could not be evaluated" in said
    assert "ValueError: out of range" in said


def test_another_param_that_a_branch_reads_joins_the_fit(program):
    program.write(
        "test_program.py",
        """
        from pytest_soft import Param, soft_test
        from program import omega

        other = Param(1.0, bounds=(0.0, 4.0))

        @soft_test
        def test_it():
            if float(omega) < 1.2:
                return 5.0 - float(omega)
            return (float(omega) - 2.0) ** 2 + (float(other) - 3.0) ** 2
        """,
    )
    assert program.fit(*EVOLVE).ret == 0
    assert program.value("other", "test_program") == pytest.approx(3.0, abs=1e-3)
