"""What the installed plugin adds to a pytest run without soft tests.

Runs ``pytest`` on a project with one trivial test, with the plugin and without it (``-p no:soft``),
interleaved, each in a fresh process, and reports the median of the pairwise differences. Beside it
what ``-X importtime`` says: the time to import our modules, and whether numpy was imported.

    python benchmarks/startup.py [--repeats 31]
"""

import argparse
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def wall(folder, *arguments):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    began = time.perf_counter()
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def import_times(folder):
    """Self time in ms of each module a run imports, by name."""
    command = [sys.executable, "-X", "importtime", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    rows = re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", done.stderr)
    return {name: int(microseconds) / 1000 for microseconds, name in rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=31)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "test_trivial.py").write_text("def test_trivial():\n    assert True\n")
        wall(folder)  # compile bytecode, warm the disk cache
        pairs = [(wall(folder), wall(folder, "-p", "no:soft")) for _ in range(repeats)]
        modules = [import_times(folder) for _ in range(5)]
    ours = [sum(t for n, t in m.items() if n.startswith("pytest_soft")) for m in modules]
    print(f"with the plugin     {statistics.median(a for a, _ in pairs) * 1e3:8.1f} ms")
    print(f"without             {statistics.median(b for _, b in pairs) * 1e3:8.1f} ms")
    print(f"added (median)      {statistics.median(a - b for a, b in pairs) * 1e3:8.1f} ms")
    print(f"importing our code  {statistics.median(ours):8.1f} ms")
    heavy = sorted(n for n in modules[0] if n in ("numpy", "softtape"))
    print(f"numpy or softtape imported: {', '.join(heavy) or 'no'}")


if __name__ == "__main__":
    main()
