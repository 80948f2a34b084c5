"""What a fit shows while it runs: a live line on a terminal, a few lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

import pytest

from pytest_soft.solve import FitProgress

__all__ = ["Progress", "worth_a_line"]

_EVERY = 0.1  # seconds between two updates of the live line


class Progress:
    """Callback of the optimizer; a context manager that clears the live line at the end.

    Parameters
    ----------
    reporter
        pytest's terminal reporter, or None to show nothing.
    live
        Whether the output is a terminal whose line can be overwritten.
    """

    def __init__(self, reporter: pytest.TerminalReporter | None, live: bool) -> None:
        """Show nothing yet."""
        self._reporter = reporter
        self._live = live
        self._last = 0.0

    @classmethod
    def on(cls, config: pytest.Config) -> Self:
        """Return one that fits the output of ``config``; silent under ``-q`` and in workers."""
        reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
        if reporter is None or config.get_verbosity() < 0:
            return cls(None, live=False)
        return cls(reporter, live=reporter.isatty and reporter.hasmarkup)

    @property
    def shows(self) -> bool:
        """Whether there is an output, and it shall show something."""
        return self._reporter is not None

    def __call__(self, step: FitProgress) -> None:
        """Show one step."""
        if self._reporter is None:
            return
        where = f"component {step.component} of {step.components}, " if step.components > 1 else ""
        text = f"soft-fit: {where}step {step.step}, total loss {step.best_value:.6g}"
        now = time.monotonic()
        if self._live and now - self._last >= _EVERY:
            self._last = now
            self._reporter.rewrite(f"{text}  ({step.seconds:.1f} s)", erase=True)
            self._reporter.write("\r")  # the ^C of a terminal would wrap at the end of the line
        elif not self._live and worth_a_line(step.step):
            self._reporter.ensure_newline()
            self._reporter.write_line(text)

    def __enter__(self) -> Self:
        """Start a line of its own."""
        if self._reporter is not None:
            self._reporter.ensure_newline()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Clear the live line."""
        if self._reporter is not None and self._live and self._last:
            self._reporter.rewrite("", erase=True)


def worth_a_line(step: int) -> bool:
    """Whether a step is one of 0, 1, 2, 5, 10, 20, 50, …: a handful however long the fit."""
    while step >= 10 and step % 10 == 0:
        step //= 10
    return step in (0, 1, 2, 5)
