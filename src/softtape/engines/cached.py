"""Whether numba's cache on disk holds the compiled kernels; asked without importing numba.

Compiling them takes seconds each, loading them hundredths of a second.
"""

from __future__ import annotations

import hashlib
import os
import struct
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

__all__ = ["kernels_cached"]

_ALWAYS = ("_rows.apply", "_plans.depends")
_OF_LANES = {
    "value": "_interpreter.values_of_chunk",
    "gradient": "_interpreter.gradient_of_chunk",
    "jacobian": "_interpreter.tangents_of_chunk",
}
_OF_ONE = {"value": "_duals.run_numbers", "gradient": "_duals.run_duals"}


@cache
def kernels_cached(kind: str, *, lanes: bool) -> bool:
    """Tell whether an evaluation would find its kernels compiled.

    Parameters
    ----------
    kind
        What is evaluated.
    lanes
        Whether many cases at once.
    """
    kernel = _OF_LANES[kind] if lanes else _OF_ONE.get(kind, "_duals.run_duals")
    return all(map(_cached, (*_ALWAYS, kernel)))


def _cached(kernel: str) -> bool:
    source = Path(__file__).with_name(kernel.partition(".")[0] + ".py")
    # an index begins with numba's version and what the source was: a digest, once its time
    tag = f"py{sys.version_info[0]}{sys.version_info[1]}"
    marks = (
        hashlib.sha256(source.read_bytes()).digest(),
        struct.pack(">d", source.stat().st_mtime),
    )
    numba = _version().encode()
    for folder in _folders(source):
        for index in folder.glob(f"{kernel}-*.{tag}*.nbi"):
            content = index.read_bytes()
            if numba in content[:100] and any(mark in content for mark in marks):
                return True
    return False


def _version() -> str:
    from importlib.metadata import version  # which takes 10 ms

    return version("numba")


def _folders(source: Path) -> Iterator[Path]:
    """Yield where numba keeps what it compiled of a file, in its order."""
    folder = source.parent.absolute()
    named = f"{folder.name}_{hashlib.sha1(str(folder).encode(), usedforsecurity=False).hexdigest()}"
    chosen = os.environ.get("NUMBA_CACHE_DIR")
    if chosen:
        yield Path(chosen) / named
        return
    yield folder / "__pycache__"
    if sys.platform == "win32":
        yield Path(os.environ.get("LOCALAPPDATA", ""), "numba", "Cache", named)
    elif sys.platform == "darwin":
        yield Path("~/Library/Caches/numba").expanduser() / named
    else:
        yield Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "numba" / named
