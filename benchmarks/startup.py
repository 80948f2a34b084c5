"""What the installed plugin adds to a pytest run without soft tests.

Runs ``pytest`` on a project with one trivial test, with the plugin and without it (``-p no:soft``),
interleaved and in alternating order, each in a fresh process. Compared is processor time, which
varies less than the time on the clock. Beside it what ``-X importtime`` says: the time to import
our modules, and whether numpy was imported.

    python benchmarks/startup.py [--repeats 31]
"""

import argparse
import re
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path


def processor_time(folder, *arguments):
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def import_times(folder):
    """Self time in ms of each module a run imports, by name."""
    command = [sys.executable, "-X", "importtime", "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True)
    rows = re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", done.stderr)
    return {name: int(microseconds) / 1000 for microseconds, name in rows}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=41)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "test_trivial.py").write_text("def test_trivial():\n    assert True\n")
        processor_time(folder)  # compile bytecode, warm the disk cache
        times = {"with": [], "without": []}
        for i in range(repeats):
            for name in ("with", "without") if i % 2 else ("without", "with"):
                off = () if name == "with" else ("-p", "no:soft")
                times[name].append(processor_time(folder, *off))
        modules = [import_times(folder) for _ in range(5)]
    ours = [sum(t for n, t in m.items() if n.startswith("pytest_soft")) for m in modules]
    print(f"{'':20} {'median':>9} {'least':>9}")
    for name, values in times.items():
        shown = f"{statistics.median(values) * 1e3:6.1f} ms {min(values) * 1e3:6.1f} ms"
        print(f"{name + ' the plugin':20} {shown}")
    # whatever else the machine does only adds to a time: the least of each is the cleanest
    print(f"added (least of each): {(min(times['with']) - min(times['without'])) * 1e3:.1f} ms")
    print(f"importing our code: {statistics.median(ours):.1f} ms")
    heavy = sorted(n for n in modules[0] if n in ("numpy", "softtape"))
    print(f"numpy or softtape imported: {', '.join(heavy) or 'no'}")


if __name__ == "__main__":
    main()
