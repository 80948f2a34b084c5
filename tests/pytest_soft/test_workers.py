"""Under pytest-xdist: the same bytes, losses and verdict as in one process, whatever happens."""

import json
import shutil

import pytest

pytest.importorskip("xdist")

PROGRAM = """
    import numpy as np
    from softtape import Param

    omega = Param(1.0)
    gain = Param(2.0)
    levels = Param(np.zeros(3))

    def f(x):
        return gain * np.sin(omega * x)
"""
TESTS = """
    import math
    import numpy as np
    import pytest
    from pytest_soft import soft_test
    import prog

    @soft_test(suite="curve")
    @pytest.mark.parametrize("i", range(13))
    def test_f(i):
        x = i / 7
        return (prog.f(x) - 1.7 * math.sin(1.1 * x) - 0.01 * i) ** 2

    class TestLevels:
        @soft_test(weight=0.3)
        @pytest.mark.xdist_group("levels")
        def test_levels(self):
            return np.cosh(prog.levels - 1.7).sum()

        @soft_test(holdout=True)
        def test_more(self):
            return np.sum((prog.levels - 1.6) ** 2)

    @soft_test(threshold=1e-9)
    def test_strict():
        return abs(prog.omega - 1.05) ** 1.5

    def test_ordinary():
        pass
"""
ALONE = ("-p", "no:xdist")
MODES = ("load", "loadscope", "loadfile", "loadgroup", "worksteal", "each", "no")


@pytest.fixture
def several(project):
    project.write("prog.py", PROGRAM)
    project.write("test_it.py", TESTS)
    project.write("pytest.ini", "[pytest]\nmarkers = xdist_group\ncache_dir = cache\n")
    return project


def outcome(project, *args):
    """Fit from the declared start and check; return all that must not depend on workers."""
    shutil.rmtree(project.path / "cache", ignore_errors=True)  # which knows what failed last
    if project.store("prog").exists():
        project.store("prog").unlink()
    found = []
    for run in (["--soft-fit"], []):
        command = ["-p", "no:hypothesispytest", "--soft-json=report.json", *run, *args]
        result = project.pytester.runpytest_subprocess(*command)
        report = json.loads((project.path / "report.json").read_text())
        times = report["fit"] and report["fit"].pop("seconds")
        assert times is None or times > 0
        found.append((result.ret, report))
    return project.store("prog").read_bytes(), found


def test_workers_change_neither_bytes_nor_losses_nor_verdict(several):
    assert outcome(several, "-n", "2", "--dist=worksteal") == outcome(several, *ALONE)


@pytest.mark.many
@pytest.mark.parametrize("select", ["", "-k=test_f", "--lf", "--soft-threshold=0.1"])
@pytest.mark.parametrize("workers", ["-n=2", "-n=0", "--tx=2*popen"])
def test_workers_in_every_mode(several, workers, select):
    args = [select] if select else []
    alone = outcome(several, *ALONE, *args)
    for mode in MODES:
        assert outcome(several, workers, f"--dist={mode}", *args) == alone, mode


def test_where_each_worker_runs_every_test_the_worst_counts(project):
    project.write(
        "test_it.py",
        """
        import os
        from pytest_soft import soft_test

        @soft_test(threshold=1.5)
        def test_it():
            return {"gw0": 2.0, "gw1": 1.0}[os.environ["PYTEST_XDIST_WORKER"]]

        @soft_test
        def test_other():
            return {"gw0": 1.0, "gw1": 2.0}[os.environ["PYTEST_XDIST_WORKER"]]
        """,
    )
    result = project.apart("-n", "2", "--dist=each")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["FAILED  2 soft tests, total loss 4", "  1 test above the threshold of the test"]
    )


DIES = """
    import os
    import pytest
    from pytest_soft import Param, soft_test

    a = Param(0.0)

    @soft_test
    @pytest.mark.parametrize("i", range(3))
    def test_it(i):
        if i == 1 and {condition}:
            os._exit(9)
        return (a - i) ** 2
"""


def test_a_soft_test_that_takes_its_worker_with_it_gave_no_loss(project):
    project.write("test_it.py", DIES.format(condition="True"))
    result = project.apart("-n", "2")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["FAILED  3 soft tests, total loss 4", "  1 test gave no loss"])


@pytest.mark.parametrize("restart", [(), ("--max-worker-restart=0",)], ids=" ".join)
def test_a_first_worker_that_dies_while_it_fits(project, restart):
    condition = "os.environ['PYTEST_XDIST_WORKER'] == 'gw0'"
    project.write("test_it.py", DIES.format(condition=condition))
    result = project.apart("--soft-fit", "-n", "2", *restart)
    assert result.ret == 1
    assert project.files() == {}
    result.stdout.fnmatch_lines(
        [
            "FAILED  * soft test*",
            "  a worker died before the fit was done",
            "  gw0, which fits for all workers: Not properly terminated",
        ]
    )
