"""One fit of a project at a time: two would overwrite each other's values and checkpoint.

The operating system holds the lock, on a file in pytest's cache, and frees it when the process
ends, however that happens: a kill leaves nothing that blocks. What the file says is for people.
"""

from __future__ import annotations

import errno
import os
import platform
import sys
import time
from pathlib import Path

__all__ = ["Lock", "LockedError"]

_HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)  # what systems say if another one has it

if sys.platform == "win32":
    import msvcrt

    _BEYOND = 1 << 20  # a locked byte cannot be read by others: it is not one of the text's

    def _take(descriptor: int) -> None:
        os.lseek(descriptor, _BEYOND, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        os.lseek(descriptor, 0, os.SEEK_SET)

else:
    import fcntl

    def _take(descriptor: int) -> None:
        # not flock, which children that outlive a fork would go on holding
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class LockedError(Exception):
    """Another process has the lock; the message names it and the ways out."""


class Lock:
    """A lock that one process at a time can have.

    Parameters
    ----------
    file
        The file that stands for it; created where there is none, empty while nobody has it.

    Raises
    ------
    LockedError
        Another process has it.
    """

    def __init__(self, file: Path) -> None:
        """Take it. Where files cannot be written or locked, there is no lock to have."""
        self._descriptor: int | None = None
        try:
            descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError:  # a read-only file system, on which no fit stores anything either
            return
        try:
            _take(descriptor)
        except OSError as error:
            os.close(descriptor)
            if error.errno in _HELD:
                raise LockedError(_message(file)) from None
            return  # a file system without locks
        self._descriptor = descriptor
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"process {os.getpid()} on {platform.node()}, since {since}".encode())

    def release(self) -> None:
        """Let others have it."""
        if self._descriptor is not None:
            os.ftruncate(self._descriptor, 0)
            os.close(self._descriptor)
            self._descriptor = None


def _message(file: Path) -> str:
    try:
        holder = file.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        holder = ""
    return (
        f"another --soft-fit of this project is running: {holder or 'a process just started'}.\n"
        "Two at a time would overwrite each other's values. Wait until it has ended, or stop it\n"
        f"(Ctrl-C: it keeps the best point found). It has locked {file},\n"
        "and its end frees the lock, whatever ends it; nothing needs to be removed. Checks, which "
        "is pytest without --soft-fit, may run meanwhile."
    )
