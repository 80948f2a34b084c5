"""Fit each example from its declared start, in a copy, then check it as CI would for ever after."""

import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def run(*arguments, folder):
    began = time.perf_counter()
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *arguments]
    print("$ pytest", *arguments, f"  # in {folder.name}", flush=True)
    subprocess.run(command, cwd=folder, check=True)
    return time.perf_counter() - began


with tempfile.TemporaryDirectory() as scratch:
    for example in map(Path, sys.argv[1:]):
        folder = Path(shutil.copytree(example, Path(scratch, example.name)))
        for store in folder.glob("*.soft.json"):
            store.unlink()
        seconds = run("--soft-fit", folder=folder)
        stores = {p: p.read_bytes() for p in folder.glob("*.soft.json")}
        assert stores, f"{example}: nothing was stored"
        run("-q", folder=folder)
        run("-q", "--soft-fit", folder=folder)
        assert stores == {p: p.read_bytes() for p in stores}, f"{example}: a second fit moved it"
        print(f"{example.name}: fitted and checked, fit {seconds:.1f} s\n", flush=True)
