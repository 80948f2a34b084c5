"""A fit that was cut short goes on as if nothing had happened, to the last bit."""

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from pytest_soft import checkpoint
from pytest_soft.goal import Goal
from pytest_soft.journal import Journal
from pytest_soft.solve import solve
from pytest_soft.values import group_by_key, set_values
from softtape import Param, SoftError
from softtape.param import assign, peek
from softtape.tape import Tape
from softtape.terms import Term

valley = Param(np.array([-1.2, 1.0]))
wave = Param(0.2, bounds=(0.0, 4.0))
single = Param(np.full(2, 0.5, np.float32))


@pytest.fixture(autouse=True)
def restore():
    params = (valley, wave, single)
    before = {p: peek(p) for p in params}
    yield
    for param, value in before.items():
        assign(param, value)


def in_a_valley():
    return 10 * (valley[1] - valley[0] ** 2) ** 2 + (1 - valley[0]) ** 2


def on_a_wave(x):
    def loss():
        frequency = wave if wave < 2 else 4 - wave  # another path beyond 2
        return (np.sin(frequency * x) - np.sin(1.5 * x)) ** 2

    return loss


def in_a_cup():
    return np.sum(np.cosh(single - 1.5)) - 2


LOSSES = {"valley": in_a_valley, "cup": in_a_cup}
LOSSES |= {f"wave{x}": on_a_wave(x) for x in np.linspace(0, 7, 12).tolist()}


def traced(losses):
    def term(name, loss):
        def trace(values):
            set_values(group_by_key(list(values)), values)
            return record()

        def record():
            with Tape() as tape:
                return tape.graph([loss()])

        return Term(name, record(), trace)

    return [term(name, loss) for name, loss in sorted(losses.items())]


class Fit:
    """One run of a fit, in a process that does not remember another one."""

    def __init__(self, path, goal, *, resume=False, losses=LOSSES, write_at=()):
        self.path, self.write_at = path, write_at
        self.kept, self.count = [], 0
        for param, value in ((valley, [-1.2, 1.0]), (wave, 0.2), (single, [0.5, 0.5])):
            assign(param, np.array(value, param.dtype))
        self.journal = Journal(goal, lambda: path)
        self.found = self.journal.read() if resume else None
        terms = traced(losses)
        start = {key: value for t in terms for key, value in t.starts.items()}
        self.journal.begin(terms, start)
        self.solution = solve(
            terms, start, goal, callback=self.stepped, minimize=self.journal.minimize
        )

    def stepped(self, _):
        if self.count in self.write_at:
            assert self.journal.write()
            self.kept.append(self.path.read_bytes())
        self.count += 1

    @property
    def bits(self):
        values = {key: np.asarray(v).tobytes() for key, v in self.solution.values.items()}
        counts = [(c.steps, c.evaluations, c.status) for c in self.solution.components]
        return values, counts, self.solution.after


GOALS = {
    "auto": Goal(),
    "with restarts": Goal(restarts=6),
    "with a threshold": Goal(threshold=0.3),
    "lbfgs": Goal("lbfgs"),
    "adam": Goal("adam", max_steps=40),
    "gradient-descent": Goal("gradient-descent", max_steps=30, restarts=1),
}


@pytest.mark.parametrize("case", GOALS)
def test_from_any_step_to_the_same_bits(tmp_path, case):
    path = tmp_path / "checkpoint.npz"
    whole = Fit(path, GOALS[case], write_at=(0, 3, 12, 31))
    assert len(whole.kept) >= 3
    for content in whole.kept:
        path.write_bytes(content)
        again = Fit(path, GOALS[case], resume=True)
        assert again.found == ""
        assert again.bits == whole.bits
        assert again.journal.resumed is not None


def test_stopped_again_before_the_first_step(tmp_path):
    path = tmp_path / "checkpoint.npz"
    whole = Fit(path, Goal("lbfgs"), write_at=[5])
    path.write_bytes(whole.kept[0])

    class Stopped(Fit):
        def stepped(self, _):
            raise KeyboardInterrupt

    stopped = Stopped(path, Goal("lbfgs"), resume=True)
    assert stopped.solution.status.name == "INTERRUPTED"
    assert stopped.journal.end(stopped.solution.values, cut_short=True)
    again = Fit(path, Goal("lbfgs"), resume=True)
    assert again.bits == whole.bits
    assert again.journal.resumed == stopped.journal.resumed


def test_a_limit_that_is_raised(tmp_path):
    path = tmp_path / "checkpoint.npz"
    whole = Fit(tmp_path / "other.npz", Goal("lbfgs", max_steps=60))
    short = Fit(path, Goal("lbfgs", max_steps=5))
    assert short.journal.end(short.solution.values, cut_short=short.solution.cut_short)
    assert Fit(path, Goal("lbfgs", max_steps=60), resume=True).bits == whole.bits


def test_a_fit_that_ends_leaves_nothing(tmp_path):
    path = tmp_path / "checkpoint.npz"
    fit = Fit(path, Goal(), write_at=[1])
    assert path.exists()
    assert not fit.journal.end(fit.solution.values, cut_short=fit.solution.cut_short)
    assert list(tmp_path.iterdir()) == []


def test_no_checkpoint_is_no_error(tmp_path):
    fit = Fit(tmp_path / "checkpoint.npz", Goal(), resume=True)
    assert fit.found == "--soft-resume found no checkpoint: the fit began at its start"


OTHERS = {
    "optimizer was auto, and is lm now": {"goal": Goal("lm")},
    "cup took part then, and is not selected now": {
        "losses": {name: loss for name, loss in LOSSES.items() if name != "cup"}
    },
    "bowl is new": {"losses": {**LOSSES, "bowl": in_a_cup}},
    "valley computes something else now than then": {
        "losses": {**LOSSES, "valley": lambda: in_a_valley() + 1}
    },
}


@pytest.mark.parametrize("why", OTHERS)
def test_a_checkpoint_of_another_fit_is_refused_and_stays(tmp_path, why):
    path = tmp_path / "checkpoint.npz"
    Fit(path, Goal(), write_at=[1])
    before = path.read_bytes()
    with pytest.raises(SoftError, match=f"--soft-resume cannot go on: {why}"):
        Fit(path, **{"goal": Goal(), "resume": True, **OTHERS[why]})
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 torn", b"\x93NUMPY", b"{}"])
def test_what_is_no_checkpoint(tmp_path, content):
    path = tmp_path / "checkpoint.npz"
    path.write_bytes(content)
    with pytest.raises(SoftError, match=r"checkpoint.npz: this checkpoint cannot be read"):
        checkpoint.read(path)


def test_a_pickle_is_not_opened(tmp_path):
    path = tmp_path / "checkpoint.npz"
    np.savez(path, tree=np.array([{"a": 1}], dtype=object))
    with pytest.raises(SoftError, match="cannot be read"):
        checkpoint.read(path)


def test_data_come_back_bit_for_bit(tmp_path):
    data = {
        "numbers": [0.1, -0.0, float("inf"), 3, True, None, "text"],
        "scalars": [np.float64(0.1), np.float32(0.1)],
        "arrays": {"one": np.array([np.nan, -0.0]), "none": np.zeros((0, 3), np.float32)},
    }
    checkpoint.write(tmp_path / "it.npz", data)
    back = checkpoint.read(tmp_path / "it.npz")
    assert repr(back) == repr(data)
    assert [type(x) for x in back["scalars"]] == [np.float64, np.float32]


def test_a_full_disk_does_not_end_the_fit(tmp_path):
    fit = Fit(tmp_path / "missing" / "checkpoint.npz", Goal("lbfgs"))
    assert not fit.journal.write()
    assert fit.journal.problem.startswith("no checkpoint could be written: ")


# ---- with pytest

PROGRAM = """
    import numpy as np
    from softtape import Param

    rate, level = Param(0.3), Param(np.zeros(20))

    def f(x):
        return np.exp(-rate * x) * level
"""
TESTS = """
    import numpy as np
    import pytest
    from pytest_soft import soft_test
    from prog import f, rate

    @soft_test
    @pytest.mark.parametrize("x", [0.5, 1.0, 2.0, 3.0])
    def test_it(x):
        return np.sum(np.cosh(f(x) - np.arange(20) / 20 * x) - 1)
"""
CONFTEST = """
    import os
    import signal
    from pytest_soft import journal

    journal.EVERY = journal._PATIENCE = 0.0
    how, steps = map(int, os.environ.get("CUT", "0 0").split())
    if steps:  # a shell's background jobs ignore Ctrl-C
        signal.signal(signal.SIGINT, signal.default_int_handler)
    heard = 0

    def pytest_soft_step(progress):
        global heard
        heard += 1
        with open("steps", "a") as file:
            file.write(f"{progress.step} {progress.value!r}\\n")
        if heard == steps:
            os.kill(os.getpid(), how)
"""
OPTIONS = ["--soft-optimizer=gradient-descent", "--soft-max-steps=50", "-p", "no:hypothesispytest"]


@pytest.fixture
def long(project):
    project.write("prog.py", PROGRAM)
    project.write("test_it.py", TESTS)
    project.write("conftest.py", CONFTEST)

    def steps():
        path = project.path / "steps"
        return path.read_text().splitlines() if path.exists() else []

    project.steps = steps
    return project


def cut(project, how, at, *options):
    """Fit, in a process that gets a signal at the given step that it hears of."""
    command = [sys.executable, "-m", "pytest", "--soft-fit", *OPTIONS, *options]
    done = subprocess.run(
        command,
        cwd=project.path,
        env={**os.environ, "CUT": f"{int(how)} {at}"},
        stdout=subprocess.PIPE,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_killed_and_interrupted(long):
    run = long.pytester.runpytest_subprocess
    assert run("--soft-fit", *OPTIONS).ret == 0
    (want,), whole = long.files().values(), long.steps()
    long.store("prog").unlink()
    (long.path / "steps").unlink()

    killed, interrupted = 17, 6  # the first line is step 0
    status, _ = cut(long, signal.SIGKILL, killed)
    assert status == -signal.SIGKILL
    assert not long.store("prog").exists()
    status, output = cut(long, signal.SIGINT, interrupted, "--soft-resume")
    assert status == pytest.ExitCode.INTERRUPTED
    assert "--soft-fit --soft-resume goes on where this fit stopped" in output
    assert "stored   in prog.soft.json" in output

    result = run("--soft-fit", "--soft-resume", *OPTIONS)
    assert result.ret == 0
    result.stdout.re_match_lines([r" +resumed after \d+ steps"])
    assert long.files() == {"prog.soft.json": want}
    assert set(long.steps()) == set(whole)


def test_values_that_changed_in_between(long):
    run = long.pytester.runpytest_subprocess
    run("--soft-fit", "--soft-max-steps=2", *OPTIONS[2:])
    store = long.store("prog")
    stored = long.value("rate", "prog")
    store.write_text(store.read_text().replace(repr(stored), "0.25"))
    result = run("--soft-fit", "--soft-resume", "--soft-max-steps=4", *OPTIONS[2:])
    assert result.ret == 1
    text = " ".join(result.stdout.str().split())
    assert "cannot go on: rate has another value now than at the start of that fit" in text


def test_without_a_cache(long):
    result = long.fit("--soft-resume", "--soft-max-steps=1")
    assert "--soft-resume needs pytest's cache" in " ".join(result.stdout.str().split())
