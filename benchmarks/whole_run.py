"""A whole ``pytest --soft-fit`` on N sine tests against plain pytest on N trivial tests.

python benchmarks/whole_run.py [--n 200 2000]
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SOFT = """import numpy as np, pytest
from pytest_soft import Param, soft_test
omega = Param(1.3)
X = np.random.default_rng(0).uniform(0.0, 3.0, {n}).tolist()
@soft_test
@pytest.mark.parametrize("x", X)
def test_sine(x):
    return (np.sin(omega * x) - np.sin(1.7 * x)) ** 2
"""
WITH_FIXTURE = (
    SOFT.replace("def test_sine(x):", "def test_sine(x, shift):").replace(
        "np.sin(omega * x)", "np.sin(omega * x + shift)"
    )
    + """
@pytest.fixture
def shift():
    return 0.0
"""
)
PLAIN = """import pytest
@pytest.mark.parametrize("x", [0.5 * i for i in range({n})])
def test_plain(x):
    assert x >= 0
"""


def wall(source, *arguments):
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "test_it.py").write_text(source)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
        began = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        return time.perf_counter() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--n", type=int, nargs="*", default=[200, 2000])
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    for n in arguments.n:
        runs = {
            "plain pytest": (PLAIN.format(n=n),),
            "--soft-fit": (SOFT.format(n=n), "--soft-fit", "--soft-threshold=1e-10"),
            "with a fixture": (WITH_FIXTURE.format(n=n), "--soft-fit", "--soft-threshold=1e-10"),
        }
        times = {name: [] for name in runs}
        for _ in range(arguments.repeats):
            for name, run in runs.items():
                times[name].append(wall(*run))
        median = {name: statistics.median(t) for name, t in times.items()}
        base = median["plain pytest"]
        shown = ", ".join(f"{k} {t:.2f} s ({t / base:.2f})" for k, t in median.items())
        print(f"{n:6} tests: {shown}", flush=True)


if __name__ == "__main__":
    main()
