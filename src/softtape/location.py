"""Where in the user's own code something happened."""

from __future__ import annotations

import linecache
import os
import sys
from pathlib import Path
from types import FrameType, TracebackType
from typing import NamedTuple

import numpy as np

__all__ = ["Location", "asked_by_scipy", "raised_at", "user_location"]

_STANDARD = f"{Path(os.__file__).parent}{os.sep}"  # as sysconfig says, which takes 2 ms
_INSTALLED = (f"{_STANDARD}site-packages{os.sep}", f"{_STANDARD}dist-packages{os.sep}")
_OURS_AND_NUMPYS = (
    f"{Path(__file__).parent}{os.sep}",
    f"{Path(np.__file__).parent}{os.sep}",
    "<__array_function__",
)
_SCIPYS = f"{Path(np.__file__).parent.with_name('scipy')}{os.sep}"
_INNER = (*_OURS_AND_NUMPYS, _SCIPYS)
_CYTHON = (".pyx", ".pxd")  # of numpy.random, under paths of the machine that compiled it


class Location(NamedTuple):
    """A line of source: ``file``, ``line`` (1-based) and its ``text``."""

    file: str
    line: int
    text: str

    def __str__(self) -> str:
        """Return ``file:line: text``, the file relative to the working directory if inside it."""
        file = Path(self.file)
        if file.is_relative_to(Path.cwd()):
            file = file.relative_to(Path.cwd())
        return f"{file}:{self.line}: {self.text}" if self.text else f"{file}:{self.line}"


def user_location() -> Location:
    """Return the innermost line that belongs to none of softtape, numpy, scipy and Python itself.

    Modules whose global ``__tracebackhide__`` is true are passed over as well, as pytest does it.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None and (
        _is_inner(frame.f_code.co_filename) or frame.f_globals.get("__tracebackhide__")
    ):
        frame = frame.f_back
    file, line = frame.f_code.co_filename, frame.f_lineno
    return Location(file, line, linecache.getline(file, line, frame.f_globals).strip())


def asked_by_scipy() -> bool:
    """Whether the innermost code that is neither softtape's nor numpy's is scipy's."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_OURS_AND_NUMPYS):
        frame = frame.f_back
    return frame is not None and frame.f_code.co_filename.startswith(_SCIPYS)


def raised_at(traceback: TracebackType) -> Location:
    """Return the innermost line of the user's code that an error passed."""
    found = traceback
    step: TracebackType | None = traceback
    while step is not None:
        if not _is_inner(step.tb_frame.f_code.co_filename):
            found = step
        step = step.tb_next
    frame, line = found.tb_frame, found.tb_lineno
    file = frame.f_code.co_filename
    return Location(file, line, linecache.getline(file, line, frame.f_globals).strip())


def _is_inner(file: str) -> bool:
    standard = file.startswith(_STANDARD) and not file.startswith(_INSTALLED)
    return standard or file.startswith(_INNER) or file.endswith(_CYTHON)
