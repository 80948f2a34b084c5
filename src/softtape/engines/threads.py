"""Tasks shared out among threads; which thread takes which is nothing a result depends on."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from concurrent.futures import ThreadPoolExecutor

__all__ = ["in_threads", "threads_to_use"]


def threads_to_use() -> int:
    """Return ``OMP_NUM_THREADS``, as for numpy's own linear algebra, else the processors there."""
    wanted = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@cache
def _pool() -> ThreadPoolExecutor:
    """Return the threads beside the caller's; what is worth a thread releases the GIL."""
    from concurrent.futures import ThreadPoolExecutor

    return ThreadPoolExecutor(thread_name_prefix="softtape")


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
    from concurrent.futures import wait

    left = deque(range(tasks))

    def take() -> int | None:
        try:
            return left.popleft()
        except IndexError:
            return None

    def work(thread: int) -> None:
        for task in iter(take, None):
            run(thread, task)

    others = [_pool().submit(work, thread) for thread in range(1, count)]
    try:
        work(0)
    finally:
        left.clear()
        # one that has not even begun, on a busy machine, has nothing left to do
        begun = [other for other in others if not other.cancel()]
        wait(begun)
    for other in begun:
        other.result()
