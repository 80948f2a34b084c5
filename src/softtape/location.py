"""Where in the user's own code something happened."""

from __future__ import annotations

import linecache
import os
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

__all__ = ["Location", "user_location"]

_INNER = (
    f"{Path(__file__).parent}{os.sep}",
    f"{Path(np.__file__).parent}{os.sep}",
    "<__array_function__",
)


@dataclass(frozen=True, slots=True)
class Location:
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
    """Return the innermost line that belongs neither to softtape nor to numpy.

    Modules whose global ``__tracebackhide__`` is true are passed over as well, as pytest does it.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None and (
        frame.f_code.co_filename.startswith(_INNER) or frame.f_globals.get("__tracebackhide__")
    ):
        frame = frame.f_back
    file, line = frame.f_code.co_filename, frame.f_lineno
    return Location(file, line, linecache.getline(file, line, frame.f_globals).strip())
