"""A whole ``pytest --soft-fit`` on N sine tests against plain pytest on N trivial tests.

Interleaved runs, each in a fresh process, with bytecode kept as on a user's machine. Compared is
the least processor time of each: whatever else the machine does only adds to it. Plain tests that
import numpy are there for scale: a soft test's program needs it anyway, and with few tests that
import is most of the difference. A check is the same soft tests without ``--soft-fit``. Where
hypothesis is installed, its plugin imports the whole of it in every run, plain ones too, which
makes the ratios smaller; with ``--lean`` no run has that plugin.

    python benchmarks/whole_run.py [--n 200 2000 20000] [--seconds 60] [--lean]
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common import machine

PLAIN = """import pytest
@pytest.mark.parametrize("x", [3.0 * i / {n} for i in range({n})])
def test_plain(x):
    assert x >= 0
"""
SOFT = """import numpy as np, pytest
from pytest_soft import Param, soft_test
omega = Param(1.3)
@soft_test
@pytest.mark.parametrize("x", [3.0 * i / {n} for i in range({n})])
def test_sine(x):
    return (np.sin(omega * x) - np.sin(1.7 * x)) ** 2
"""
FIXTURE = """
@pytest.fixture
def shift():
    return 0.0
"""
WITH_FIXTURE = SOFT.replace("(x):", "(x, shift):").replace("omega * x)", "omega * x + shift)")
FIT = ("--soft-fit", "--soft-threshold=1e-10")
LEAN = ("-p", "no:hypothesispytest")
RUNS = {
    "plain pytest": (PLAIN,),
    "plain, with numpy": ("import numpy\n" + PLAIN,),
    "check": (SOFT, "--soft-threshold=1e6"),
    "--soft-fit": (SOFT, *FIT),
    "--soft-fit, fixture": (WITH_FIXTURE + FIXTURE, *FIT),
}


# a run that keeps no bytecode compiles all of pytest-soft each time, as pytest does with plugins
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def measure(source, *arguments):
    """Seconds of processor time and on the clock, and peak memory in MB, of one run."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_it.py").write_text(source)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
    assert status == 0, f"pytest ended with status {status}"
    return usage.ru_utime + usage.ru_stime, seconds, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, nargs="*", default=[200, 2000, 20000])
    parser.add_argument(
        "--seconds", type=float, default=60, help="to spend on each N, or one round"
    )
    parser.add_argument("--lean", action="store_true", help="without hypothesis' plugin")
    arguments = parser.parse_args()
    lean = LEAN if arguments.lean else ()
    measure(SOFT.format(n=1), *FIT)  # compile bytecode, warm the disk cache
    print(f"{machine()}; least of the runs; ratio of processor times")
    print(f"{'tests':>6}  {'run':20} {'processor':>9} {'clock':>8} {'ratio':>6} {'peak MB':>8}")
    for n in arguments.n:
        rounds = []
        began = time.perf_counter()
        while not rounds or time.perf_counter() - began < arguments.seconds:
            rounds.append(
                [measure(source.format(n=n), *lean, *rest) for source, *rest in RUNS.values()]
            )
        least = [tuple(map(min, zip(*runs, strict=True))) for runs in zip(*rounds, strict=True)]
        for name, (processor, seconds, _), runs in zip(
            RUNS, least, zip(*rounds, strict=True), strict=True
        ):
            memory = max(run[2] for run in runs)
            ratio = processor / least[0][0]
            print(
                f"{n:6}  {name:20} {processor:9.3f} {seconds:8.3f} {ratio:6.2f} {memory:8.0f}",
                flush=True,
            )
        print(f"{n:6}  rounds: {len(rounds)}", flush=True)


if __name__ == "__main__":
    main()
