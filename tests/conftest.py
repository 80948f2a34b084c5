"""What every test of both packages gets.

The imports are here because pytester purges the modules that a run inside a run imported, and
numpy cannot be loaded twice in one process.
"""

from collections.abc import Iterator

import numpy as np
import numpy.fft
import numpy.linalg
import numpy.ma
import numpy.polynomial
import numpy.random
import numpy.testing
import pytest

import pytest_soft.fitting
import pytest_soft.report.terminal
import softtape.losses
from softtape import tape

pytest_plugins = ["pytester"]
_LOADED = (pytest_soft.fitting, pytest_soft.report.terminal, softtape.losses)


@pytest.fixture(autouse=True)
def no_global_state_leaks() -> Iterator[None]:
    """Fail a test that leaves a tape open, or numpy's error state changed."""
    reader, errors = tape.reading, np.geterr()
    yield
    left, tape.reading = tape.reading, reader
    changed = np.geterr()
    np.seterr(**errors)
    assert left is reader, f"the test left the reader {left!r} active"
    assert changed == errors, f"the test left numpy's error state at {changed}"
