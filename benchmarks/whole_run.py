"""A whole ``pytest --soft-fit`` on N sine tests against plain pytest on N trivial tests.

Interleaved runs, each in a fresh process. The ratio is the median of those of single rounds, whose
runs are neighbours in time. Plain tests that import numpy are there for scale: a soft test's
program needs it anyway, and with few tests that import is most of the difference.

    python benchmarks/whole_run.py [--n 200 2000 20000] [--seconds 30]
"""

import argparse
import os
import statistics
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
RUNS = {
    "plain pytest": (PLAIN,),
    "plain, with numpy": ("import numpy\n" + PLAIN,),
    "--soft-fit": (SOFT, *FIT),
    "--soft-fit, fixture": (WITH_FIXTURE + FIXTURE, *FIT),
}


def measure(source, *arguments):
    """Seconds on the clock and peak memory in MB of one run."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_it.py").write_text(source)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        began = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - began
    assert status == 0, f"pytest ended with status {status}"
    return seconds, usage.ru_maxrss / 1024


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, nargs="*", default=[200, 2000, 20000])
    parser.add_argument(
        "--seconds", type=float, default=30, help="to spend on each N, or one round"
    )
    arguments = parser.parse_args()
    measure(SOFT.format(n=1), *FIT)  # compile bytecode, warm the disk cache
    print(f"{'tests':>6}  {'run':20} {'seconds':>8} {'ratio':>6} {'peak MB':>8}   ({machine()})")
    for n in arguments.n:
        rounds = []
        began = time.perf_counter()
        while not rounds or time.perf_counter() - began < arguments.seconds:
            rounds.append([measure(source.format(n=n), *rest) for source, *rest in RUNS.values()])
        for i, name in enumerate(RUNS):
            seconds = statistics.median(r[i][0] for r in rounds)
            ratio = statistics.median(r[i][0] / r[0][0] for r in rounds)
            memory = max(r[i][1] for r in rounds)
            print(f"{n:6}  {name:20} {seconds:8.2f} {ratio:6.2f} {memory:8.0f}", flush=True)


if __name__ == "__main__":
    main()
