"""numpy's error state, set to silence and back."""

from threading import Thread

import numpy as np
import pytest

from softtape.engines import quiet
from softtape.engines.quiet import ERRORS, IGNORED


@pytest.mark.parametrize(
    ("errors", "ignored"), [(ERRORS, IGNORED), (quiet._Entered(), None)], ids=["found", "entered"]
)
def test_silence_lasts_until_it_is_taken_back(errors, ignored):
    with np.errstate(all="raise"):
        outer = errors.set(ignored)
        inner = errors.set(ignored)
        assert set(np.geterr().values()) == {"ignore"}
        errors.reset(inner)
        assert np.float64(1.0) / np.zeros(1) == np.inf
        errors.reset(outer)
        with pytest.raises(FloatingPointError):
            np.float64(1.0) / np.zeros(1)


def test_silence_is_of_one_thread():
    seen = []
    before = ERRORS.set(IGNORED)
    try:
        other = Thread(target=lambda: seen.append(np.geterr()))
        other.start()
        other.join()
    finally:
        ERRORS.reset(before)
    assert seen == [np.geterr()]


def test_another_place_of_numpys_state_is_reached_by_errstate():
    class Empty:
        def run(self, *_, **__):
            pass

        def items(self):
            return []

    errors, ignored = quiet._found(Empty())
    assert (type(errors), ignored) == (quiet._Entered, None)
