"""After README's first command: one value of the store moved, to 1.5; after a second, no byte."""

import subprocess
import sys
from pathlib import Path

STORE = "examples/sine/sine.soft.json"
USE = "import sys; sys.modules['pytest'] = None; import sine; print(sine.omega + 0, sine.f(1.0))"


def output(*command, **keywords):
    return subprocess.run(command, check=True, capture_output=True, text=True, **keywords).stdout


diff = output("git", "diff", "-U0", "--", STORE)
moved = [line for line in diff.splitlines() if line[:1] in "+-" and line[:3] not in ("+++", "---")]
assert len(moved) == 2, f"exactly one line must change in {STORE}:\n{diff}"
omega, sine = map(float, output(sys.executable, "-c", USE, cwd="examples/sine").split())
assert abs(omega - 1.5) < 1e-6, omega
assert abs(sine - 0.9974949866) < 1e-6, sine
after_first = sys.argv[1] == "first"
kept = Path(".venv", "sine.diff")
if after_first:
    kept.write_text(diff)
else:
    assert kept.read_text() == diff, "the second fit changed the store"
print(f"omega = {omega!r}, sine.f(1.0) = {sine!r}; {len(moved) // 2} line of the store changed")
