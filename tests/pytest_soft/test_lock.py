"""Two fits of one project at a time, and checks beside a fit."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from pytest_soft.lock import Lock, LockedError
from softtape import store

HOLDS = """
    import sys, time
    from pathlib import Path
    from pytest_soft.lock import Lock
    lock = Lock(Path("fit.lock"))
    print("has it", flush=True)
    sys.stdin.read()
    lock.release()
"""


@pytest.fixture
def holder(project):
    """Another process that has the lock."""
    project.write("holder.py", HOLDS)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen([sys.executable, "holder.py"], cwd=project.path, **pipes) as process:
        assert process.stdout.readline() == "has it\n"
        yield process
        process.kill()


def test_a_lock_names_the_process_that_has_it(project, holder):
    file = project.path / "fit.lock"
    with pytest.raises(LockedError) as caught:
        Lock(file)
    message = str(caught.value)
    assert f"process {holder.pid} on " in message
    assert str(file) in message
    assert "Ctrl-C" in message


def test_a_lock_that_was_released_is_free(project, holder):
    holder.communicate("")
    file = project.path / "fit.lock"
    assert file.read_text() == ""
    Lock(file).release()


def test_a_process_that_is_killed_leaves_nothing_that_blocks(project, holder):
    holder.kill()
    holder.wait()
    file = project.path / "fit.lock"
    assert str(holder.pid) in file.read_text()  # it had no time to wipe it
    lock = Lock(file)
    assert f"process {os.getpid()} on " in file.read_text()
    assert str(holder.pid) not in file.read_text()
    lock.release()


FORKS = """
    import os, time
    from pathlib import Path
    from pytest_soft.lock import Lock
    lock = Lock(Path("fit.lock"))
    child = os.fork()
    if child == 0:
        os.close(1), os.close(2)
        time.sleep(60)
    else:
        print(child)
    os._exit(0)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_child_that_outlives_the_process_holds_no_lock(project):
    (child,) = project.python(FORKS).outlines
    try:
        Lock(project.path / "fit.lock").release()
    finally:
        os.kill(int(child), signal.SIGKILL)


def test_a_file_that_cannot_be_made_locks_nobody_out(tmp_path):
    Lock(tmp_path / "missing" / "fit.lock").release()


# ---- whole runs

WAITS = """
    import os, time
    import pytest

    @pytest.fixture(scope="session", autouse=True)
    def slow():
        if "SLOW" in os.environ:
            open("fitting", "w").close()
            while not os.path.exists("go on"):
                time.sleep(0.01)
"""
RUN = [sys.executable, "-m", "pytest", "-p", "no:hypothesispytest"]


@pytest.fixture
def slow(sine, monkeypatch):
    """Return a project and a fit of it, in a process of its own, that waits for a file."""
    sine.write("conftest.py", WAITS)
    began = []

    def begin(*args):
        env = {**os.environ, "SLOW": "1"}
        pipes = {"stdout": subprocess.PIPE, "text": True}
        process = subprocess.Popen([*RUN, "--soft-fit", *args], cwd=sine.path, env=env, **pipes)
        began.append(process)
        deadline = time.monotonic() + 30
        while not (sine.path / "fitting").exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        return process

    sine.begin = begin
    yield sine
    for process in began:
        process.kill()
        process.communicate()


def run(project, *args):
    return project.pytester.run(*RUN, *args)


@pytest.mark.parametrize("workers", [("-p", "no:xdist"), ("-n", "2")], ids=" ".join)
def test_a_second_fit_is_refused_while_the_first_one_runs(slow, workers):
    first = slow.begin(*workers)
    second = run(slow, "--soft-fit", *workers)
    assert second.ret == pytest.ExitCode.USAGE_ERROR
    assert f"is running: process {first.pid} on " in second.stderr.str()
    assert "INTERNALERROR" not in second.stdout.str() + second.stderr.str()
    assert slow.files() == {}
    check = run(slow, "-p", "no:xdist")  # sees the old values, whole
    check.stdout.fnmatch_lines(["* 21 soft tests, total loss 2.00133*"])
    slow.write("go on", "")
    output, _ = first.communicate(timeout=30)
    assert first.returncode == 0, output
    assert slow.value() == pytest.approx(1.5)


def test_a_fit_that_was_killed_blocks_nobody(slow):
    first = slow.begin("-p", "no:xdist")
    first.kill()
    first.wait()
    assert run(slow, "--soft-fit", "-p", "no:xdist").ret == 0


# ---- the store

WRITES = """
    import sys, numpy as np
    from softtape import store
    store._PATIENCE = 600  # however slow the machine: neither is halted
    name = sys.argv[1]
    for i in range(60):
        store.update("many.soft.json", {f"{name}{i}": store.Entry(np.full(50, float(i)), None)})
"""


def test_stores_lose_nothing_to_two_processes_and_readers_see_whole_files(project):
    project.write("writes.py", WRITES)
    path = project.path / "many.soft.json"
    command = [sys.executable, "writes.py"]
    writers = [subprocess.Popen([*command, name], cwd=project.path) for name in "ab"]
    sizes = [0]
    while any(writer.poll() is None for writer in writers):
        entries = store.load(path)  # raises where it is not whole
        assert all(np.all(e.value == float(name[1:])) for name, e in entries.items())
        sizes.append(len(entries))
    assert [writer.returncode for writer in writers] == [0, 0]
    assert sizes == sorted(sizes)
    assert store.load(path).keys() == {f"{name}{i}" for name in "ab" for i in range(60)}


@pytest.fixture
def halted(monkeypatch):
    """Return what locks a folder as a process does that was halted while it wrote."""
    fcntl = pytest.importorskip("fcntl")
    monkeypatch.setattr(store, "_PATIENCE", 0.05)
    opened = []

    def lock(folder):
        opened.append(os.open(folder, os.O_RDONLY))
        fcntl.flock(opened[0], fcntl.LOCK_EX)

    yield lock
    for descriptor in opened:
        os.close(descriptor)


def test_a_store_that_another_process_keeps_locked_is_written_with_a_note(halted, sine):
    halted(sine.path)
    result = sine.fit()
    assert result.ret == 0
    assert sine.value() == pytest.approx(1.5)
    told = " ".join(result.stdout.str().split())
    assert f"note the lock of the stores in {sine.path} has been held by another process" in told
    assert "End that process, which may be halted, and look whether values" in told


def test_who_was_halted_before_writing_keeps_what_another_process_wrote(tmp_path, monkeypatch):
    path, merge = tmp_path / "x.soft.json", store._merge
    first, second = ({name: store.Entry(1.0, 0.0)} for name in "ab")

    def halting(*args):
        merged = merge(*args)
        monkeypatch.setattr(store, "_merge", merge)
        path.write_text(merge(path, second, None)[1])  # the other one, after waiting in vain
        return merged

    monkeypatch.setattr(store, "_merge", halting)
    store.update(path, first)
    assert store.load(path).keys() == {"a", "b"}
