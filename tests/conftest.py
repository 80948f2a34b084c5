"""What every test of both packages gets.

The imports are here because pytester purges the modules that a run inside a run imported, and
numpy cannot be loaded twice in one process.
"""

import gc
import os
import sys
from collections.abc import Iterator

import numpy as np
import numpy.fft
import numpy.linalg
import numpy.ma
import numpy.polynomial
import numpy.random
import numpy.testing
import pytest
from hypothesis import settings

import pytest_soft.fitting
import pytest_soft.report.terminal
import softtape.losses
from softtape import reading

# the same draws in every run, however slow the machine
settings.register_profile("certain", derandomize=True, deadline=None, database=None)
settings.load_profile("certain")

pytest_plugins = ["pytester"]
_LOADED = (pytest_soft.fitting, pytest_soft.report.terminal, softtape.losses)


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> None:
    """Let a run of the whole suite use all cores, as by ``-n auto --dist worksteal``.

    Not one of files that are named, where starting the workers costs more than they save. An
    ``-n`` that is asked for is kept; without pytest-xdist, one process runs all.
    """
    if hasattr(config, "workerinput"):
        return  # a worker has no workers
    # or the workers, and each of some two hundred runs in a process of its own, compile all anew
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.dont_write_bytecode = False
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if whole and getattr(config.option, "numprocesses", 0) is None:
        config.option.numprocesses = "auto"
        if config.option.dist == "no":
            config.option.dist = "worksteal"  # the last long test shall not wait behind others


def pytest_collection_finish() -> None:
    """Leave what is there for good out of all garbage collections of the tests to come."""
    gc.freeze()


@pytest.fixture(autouse=True)
def no_global_state_leaks() -> Iterator[None]:
    """Fail a test that leaves a tape open, or numpy's error state changed."""
    reader, errors = reading.reader, np.geterr()
    yield
    left, reading.reader = reading.reader, reader
    changed = np.geterr()
    np.seterr(**errors)
    assert left is reader, f"the test left the reader {left!r} active"
    assert changed == errors, f"the test left numpy's error state at {changed}"
