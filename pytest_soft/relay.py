"""Progress under pytest-xdist: the worker that fits writes it down, the controller shows it.

A worker can say nothing to its controller between two tests, and pytest-xdist calls no hook
while it waits, so a thread looks into the folder that they have in common.
"""

from __future__ import annotations

import json
import threading
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pytest_soft import workers
from pytest_soft.report.progress import Progress, worth_a_line
from pytest_soft.solve import FitProgress

__all__ = ["Relay", "Sending"]

_FILE = "progress"
_EVERY = 0.1  # seconds between two steps written down, and between two looks


class Sending:
    """Callback of the optimizer in a worker.

    Parameters
    ----------
    folder
        The one that the workers and the controller have in common.
    """

    def __init__(self, folder: Path) -> None:
        """Write nothing yet."""
        self._file = folder / _FILE
        self._last = 0.0

    def __call__(self, step: FitProgress) -> None:
        """Write a step down, if it may be shown."""
        now = time.monotonic()
        if worth_a_line(step.step) or now - self._last >= _EVERY:
            self._last = now
            with self._file.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(step)) + "\n")


class Relay:
    """Registered in the controller; shows the steps until the first test runs."""

    def __init__(self) -> None:
        """Show nothing yet."""
        self._collecting = 0
        self._done = threading.Event()
        self._thread: threading.Thread | None = None

    @pytest.hookimpl(optionalhook=True)
    def pytest_configure_node(self) -> None:
        """Count the workers (a hook of pytest-xdist)."""
        self._collecting += 1

    @pytest.hookimpl(optionalhook=True)
    def pytest_xdist_node_collection_finished(self, node: Any) -> None:
        """Begin once all have collected: from then on, pytest-xdist writes nothing until a test."""
        self._collecting -= 1
        folder, progress = workers.opened(node.config), Progress.on(node.config)
        if self._collecting == 0 and folder is not None and progress.shows:
            given = progress, folder / _FILE
            self._thread = threading.Thread(target=self._show, args=given, daemon=True)
            self._thread.start()

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_logstart(self) -> None:
        """End before anything is written of a test."""
        self._end()

    @pytest.hookimpl(tryfirst=True, optionalhook=True)
    def pytest_testnodedown(self) -> None:
        """End where no test runs at all, or a worker is gone."""
        self._end()

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """End after Ctrl-C, too."""
        self._end()

    def _end(self) -> None:
        if self._thread is not None:
            self._done.set()
            self._thread.join()
            self._thread = None

    def _show(self, progress: Progress, file: Path) -> None:
        done, read = False, 0
        with progress as show:
            while not done:
                done = self._done.wait(_EVERY)  # and look once more
                lines = _whole_lines(file, read)
                for line in lines:
                    show(FitProgress(**json.loads(line)))
                read += sum(map(len, lines))


def _whole_lines(file: Path, start: int) -> list[bytes]:
    """Return the lines from a byte on, without one that is still being written."""
    try:
        with file.open("rb") as opened:
            opened.seek(start)
            return [line for line in opened if line.endswith(b"\n")]
    except FileNotFoundError:  # not yet, or no longer
        return []
