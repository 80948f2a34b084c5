"""Candidates in processes of their own that take turns: A B C A B C …, one at a time.

A process each, since thread pools of several libraries in one process disturb one another, and
since only so is the peak memory one candidate's. Times are of one library imported and nothing
else done; the import is timed by itself.
"""

import gc
import importlib.util
import multiprocessing
import os
import statistics
import time
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

import numpy as np

PAUSE = 0.01  # seconds, for the threads of the one before to come to rest
_PATIENCE = 120.0  # seconds for whatever has no limit of its own
_FITS_AGAIN = 5
_TELLING = {
    "import": "import",
    "start": "set-up and first call",
    "fit": "fit",
    "calls_in": "evaluation",
    "block": "evaluation",
}
_LONG_FIT = 5.0  # seconds; once is enough


@dataclass
class Built:
    """What a candidate's ``build`` returns.

    Attributes
    ----------
    function
        θ → (value, gradient), the gradient None where there is none; or None.
    fit
        start → (θ, evaluations). Without it, a fit is scipy's BFGS on ``function``.
    """

    function: Callable | None
    fit: Callable | None = None


@dataclass(frozen=True)
class Candidate:
    """One way to do the work.

    Attributes
    ----------
    name
        How the table calls it.
    build
        ``"module:function"``; imported in the process that runs it, so that the others need not.
    arguments
        What ``build`` is called with.
    needs
        Modules that are imported before any clock starts.
    tools
        Programs that must be there.
    """

    name: str
    build: str
    arguments: tuple = ()
    needs: tuple[str, ...] = ()
    tools: tuple[str, ...] = ()


@dataclass
class Figures:
    """What was measured of one candidate: seconds, bytes, counts; None where there is none."""

    name: str
    note: str = ""
    imports: float = 0.0
    set_up: float = 0.0
    first: float | None = None
    steady: float | None = None
    cores: float | None = None
    memory: int | None = None
    fit: float | None = None
    fit_again: float | None = None
    evaluations: int | None = None


def bfgs(function, start, gtol):
    from scipy.optimize import minimize  # noqa: PLC0415 -- the peers' optimizer, if they run

    result = minimize(function, start, jac=True, method="BFGS", options={"gtol": gtol})
    return result.x, result.nfev


def peak_memory():
    """The most memory this process ever held, in bytes; None where the system does not say."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


class _Worker:
    """The side of a candidate that runs in its own process."""

    def __init__(self, candidate, theta, gtol):
        began = time.perf_counter()
        for name in candidate.needs:
            import_module(name)
        self.imports = time.perf_counter() - began
        self._bfgs = importlib.util.find_spec("scipy") is not None
        if self._bfgs:
            import_module("scipy.optimize")
        module, _, function = candidate.build.partition(":")
        self._build = getattr(import_module(module), function)
        self._arguments, self._theta, self._gtol = candidate.arguments, theta, gtol

    def start(self):
        before = peak_memory()
        built, set_up, first, value, gradient = self._from_nothing()
        self._built = built
        if built.function is not None:
            built.function(self._theta)  # what a second call holds besides
        self._once = set_up + first
        memory = None if before is None else peak_memory() - before
        first = first if built.function else None
        fits = built.fit is not None or (gradient is not None and self._bfgs)
        return (self.imports, set_up, first, memory), (value, gradient), fits

    def _from_nothing(self):
        began = time.perf_counter()
        built = self._build(*self._arguments)
        ready = time.perf_counter()
        value = gradient = None
        if built.function is not None:
            value, gradient = built.function(self._theta)
        done = time.perf_counter()
        return built, ready - began, done - ready, value, gradient

    def fit(self, *, again):
        """Seconds of set-up, first call and fit; where it ended; the evaluations it took."""
        if again:
            self._built, set_up, first, *_ = self._from_nothing()
            self._once = set_up + first
        began = time.perf_counter()
        if self._built.fit is None:
            end, evaluations = bfgs(self._built.function, self._theta, self._gtol)
        else:
            end, evaluations = self._built.fit(self._theta)
        return self._once + time.perf_counter() - began, end, evaluations

    def calls_in(self, block):
        """How many calls fill ``block`` seconds."""
        gc.collect()
        gc.freeze()
        once = []
        for _ in range(3):
            began = time.perf_counter()
            self._built.function(self._theta)
            once.append(time.perf_counter() - began)
        return max(1, int(block / min(once)))

    def block(self, calls):
        """Seconds per call on the clock, and of the processor."""
        function, theta = self._built.function, self._theta
        processor, began = time.process_time(), time.perf_counter()
        for _ in range(calls):
            function(theta)
        clock = time.perf_counter() - began
        return clock / calls, (time.process_time() - processor) / calls


def _serve(connection, candidate, theta, gtol):
    worker = _Worker(candidate, theta, gtol)
    connection.send(None)
    while (order := connection.recv()) is not None:
        name, arguments = order
        try:
            connection.send((None, getattr(worker, name)(**arguments)))
        except Exception as error:
            connection.send((f"{type(error).__name__}: {error}"[:120], None))


class _Failed(Exception):  # noqa: N818 -- an outcome, not an error of ours
    pass


class _Process:
    """The parent's side of one worker."""

    def __init__(self, candidate, theta, gtol):
        context = multiprocessing.get_context("spawn")
        self._connection, theirs = context.Pipe()
        self._process = context.Process(
            target=_serve, args=(theirs, candidate, theta, gtol), daemon=True
        )
        self._process.start()
        theirs.close()
        self._answer(_PATIENCE, "import")

    def __call__(self, order, limit=_PATIENCE, **arguments):
        time.sleep(PAUSE)
        self._connection.send((order, arguments))
        error, result = self._answer(limit, order)
        if error:
            raise _Failed(error)
        return result

    def _answer(self, limit, what):
        try:
            if not self._connection.poll(limit):
                raise _Failed(f"{_TELLING[what]} stopped after {limit:.0f} s")
            return self._connection.recv()
        except EOFError:
            raise _Failed(f"{_TELLING[what]}: the process died") from None

    def stop(self):
        self._process.kill()
        self._process.join()


@contextmanager
def _reporting(rows, processes, name):
    """Turn a failure into a note in the candidate's row; it takes no more turns."""
    try:
        yield rows[name]
    except _Failed as error:
        rows[name].note = str(error)
        if name in processes:
            processes.pop(name).stop()


def measure(
    candidates,
    theta,
    *,
    solution=None,
    repeats=9,
    block=0.05,
    tolerance=1e-9,
    gtol=1e-8,
    limit=60.0,
):
    """Measure candidates in turns.

    Values and gradients are compared before anything is timed in steady state.

    Parameters
    ----------
    candidates
        The first is the limit that ratios refer to.
    theta
        Where to evaluate, shape (n,), and where fits start.
    solution
        Where fits must end, to a relative error of 1e-5; without it there are no fits.
    repeats, block
        How many turns each gets in steady state, and how many seconds a turn takes.
    gtol
        Largest gradient component at which BFGS stops.
    limit
        Seconds that set-up and first call may take.

    Returns
    -------
    list of Figures
        In the order of ``candidates``.
    """
    rows = {c.name: Figures(c.name) for c in candidates}
    processes, fitting, expected = {}, [], {}
    try:
        for candidate in candidates:
            name = candidate.name
            with _reporting(rows, processes, name) as row:
                processes[name] = _Process(candidate, theta, gtol)
                figures, found, fits = processes[name]("start", limit)
                row.imports, row.set_up, row.first, row.memory = figures
                _check(expected, found, tolerance, name)
                if fits and solution is not None:
                    seconds, row.evaluations = _fit(processes[name], solution, again=False)
                    row.fit = seconds
                    fitting += [name] if seconds < _LONG_FIT else []
        _take_turns(rows, processes, repeats, block)
        _fit_in_turns(rows, processes, fitting, solution)
    finally:
        for process in processes.values():
            process.stop()
    return list(rows.values())


def _check(expected, found, tolerance, name):
    for what, value in zip(("value", "gradient"), found, strict=True):
        if value is not None:
            reference = expected.setdefault(what, value)
            scale = np.max(np.abs(reference))
            message = f"{name}: {what} differs"
            np.testing.assert_allclose(
                value, reference, rtol=tolerance, atol=tolerance * scale, err_msg=message
            )


def _fit(process, solution, *, again):
    seconds, end, evaluations = process("fit", again=again)
    np.testing.assert_allclose(end, solution, rtol=1e-5)
    return seconds, evaluations


def _take_turns(rows, processes, repeats, block):
    evaluating = [name for name in processes if rows[name].first is not None]
    calls, turns = {}, {name: [] for name in evaluating}
    for name in evaluating:
        with _reporting(rows, processes, name):
            calls[name] = processes[name]("calls_in", block=block)
    for _ in range(repeats):
        for name in [n for n in evaluating if n in processes]:
            with _reporting(rows, processes, name):
                turns[name].append(processes[name]("block", calls=calls[name]))
    for name in [n for n in evaluating if n in processes]:
        clock, processor = (statistics.median(t) for t in zip(*turns[name], strict=True))
        rows[name].steady = processor if _alone() else clock
        rows[name].cores = processor / clock


def _alone():
    """Whether there is one processor to use: its time is then what others cannot take."""
    return hasattr(os, "sched_getaffinity") and len(os.sched_getaffinity(0)) == 1


def _fit_in_turns(rows, processes, fitting, solution):
    again = {name: [] for name in fitting}
    for _ in range(_FITS_AGAIN):
        for name in [n for n in fitting if n in processes]:
            with _reporting(rows, processes, name):
                again[name].append(_fit(processes[name], solution, again=True)[0])
    for name, times in again.items():
        rows[name].fit_again = statistics.median(times) if times else None
