"""Tasks shared out among threads; which thread takes which is nothing a result depends on."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from queue import SimpleQueue
from threading import Lock, Thread

__all__ = ["in_threads", "threads_to_use"]


def threads_to_use() -> int:
    """Return ``OMP_NUM_THREADS``, as for numpy's own linear algebra, else the processors there."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Part:
    """What one thread is asked to do, once; a future does the same in five times the time.

    Parameters
    ----------
    work
        What to do.
    """

    __slots__ = ("_begun", "_done", "_error", "_work")

    def __init__(self, work: Callable[[], object]) -> None:
        """Begin nothing."""
        self._work = work
        self._begun, self._done = Lock(), Lock()
        self._done.acquire()
        self._error: BaseException | None = None

    def run(self) -> None:
        """Do it, if it has not been withdrawn."""
        if self._begun.acquire(blocking=False):
            try:
                self._work()
            except BaseException as error:  # raised where it is waited for
                self._error = error
            finally:
                self._done.release()

    def end(self) -> None:
        """Withdraw it if it has not begun, as on a busy machine, else wait for its end."""
        if not self._begun.acquire(blocking=False):
            self._done.acquire()

    def check(self) -> None:
        """Raise what it raised."""
        if self._error is not None:
            raise self._error


class _Helpers:
    """The threads beside the caller's; what is worth a thread releases the GIL."""

    def __init__(self) -> None:
        """Start none yet."""
        self.start_over()

    def start_over(self) -> None:
        """Forget all threads, as in the child of a fork, where they are not."""
        self._parts: SimpleQueue[_Part] = SimpleQueue()
        self._count = 0
        self._lock = Lock()

    def ask(self, parts: Sequence[_Part]) -> None:
        """Have each part run by the next thread that is free."""
        if self._count < len(parts):
            with self._lock:
                while self._count < len(parts):
                    self._count += 1
                    name = f"softtape-{self._count}"
                    Thread(target=self._serve, args=(self._parts,), name=name, daemon=True).start()
        for part in parts:
            self._parts.put(part)

    @staticmethod
    def _serve(parts: SimpleQueue[_Part]) -> None:
        while True:
            parts.get().run()


_helpers = _Helpers()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_helpers.start_over)


def in_threads(count: int, tasks: int, run: Callable[[int, int], None]) -> None:
    """Call ``run(thread, task)`` for each task; a thread that is done takes the next one.

    Parameters
    ----------
    count
        How many threads, the caller's included.
    tasks
        How many tasks there are.
    run
        Gets the number of the thread and that of the task.
    """
    if count == 1:
        for task in range(tasks):
            run(0, task)
        return
    left = deque(range(tasks))

    def work(thread: int) -> None:
        # from both ends, so that a thread mostly meets what it had in its cache the last time
        take = left.pop if thread else left.popleft
        while left:
            try:
                task = take()
            except IndexError:  # another thread was faster
                return
            run(thread, task)

    others = [_Part(partial(work, thread)) for thread in range(1, count)]
    _helpers.ask(others)
    try:
        work(0)
    finally:
        left.clear()
        for other in others:
            other.end()
    for other in others:
        other.check()
