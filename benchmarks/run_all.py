"""Run every benchmark and print its tables as Markdown, for docs/benchmarks.md.

    pip install -e '.[bench]'
    python benchmarks/run_all.py [sine_suite ode_loop ...] > tables.md

What has peers runs on one processor, so that no library gets two where another gets one, and then
on all of them. A script that is not named below runs as it is.
"""

import argparse
import datetime
import os
import subprocess
import sys
from pathlib import Path

from common import machine

FOLDER = Path(__file__).parent
NOT_RUN = {"common", "workers", "run_all"}
ARGUMENTS = {
    "sine_suite": ["--peers", "--n", "200", "1000", "10000", "100000", "1000000"],
    "ode_loop": ["--peers"],
    "digits_network": ["--peers"],
    "digits_minibatches": [],
    "whole_run": ["--n", "200", "2000", "20000"],
}


def processor():
    """The processor's name, where the system says it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return "unknown processor"
    return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "")


def run(script, arguments, processors):
    """Run one script on these processors; its tables go as they are, other text as a block."""
    everything = os.sched_getaffinity(0)
    os.sched_setaffinity(0, processors)
    try:
        command = [sys.executable, FOLDER / f"{script}.py", *arguments]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True)
    finally:
        os.sched_setaffinity(0, everything)
    shown = " ".join([f"{script}.py", *arguments])
    print(f"## `{shown}`\n\nProcessors: {len(processors)}\n")
    output = done.stdout.strip()
    print(output if "\n|" in output else f"```\n{output}\n```", "\n", flush=True)
    return done.returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    known = sorted({path.stem for path in FOLDER.glob("*.py")} - NOT_RUN)
    parser.add_argument("scripts", nargs="*", help=f"of {', '.join(known)}; all without")
    scripts = parser.parse_args().scripts or known
    print(f"{datetime.date.today()}, {processor()}: {machine()}\n")
    everything = os.sched_getaffinity(0)
    failed = []
    for script in scripts:
        arguments = ARGUMENTS.get(script, [])
        choices = [{min(everything)}, everything] if "--peers" in arguments else [everything]
        for processors in choices:
            if run(script, arguments, processors):
                failed.append(script)
    sys.exit(f"failed: {', '.join(failed)}" if failed else 0)


if __name__ == "__main__":
    main()
