"""Long fits: what has been done so far, kept in a checkpoint, and taken up again after a kill.

A fit is a sequence of descents, each from a point that what came before it decides. So it is
enough to keep how the descents ended that are over, and where the optimizer is in the one that is
not: the same code, run again, asks for the same descents in the same order, and is given the
results of those that were done. Nothing depends on when a checkpoint was written.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from hashlib import blake2b
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from pytest_soft import checkpoint
from pytest_soft.goal import Goal
from pytest_soft.solve import CUT_SHORT
from pytest_soft.values import group_by_key
from softtape import Param, SoftError
from softtape.engines import fast
from softtape.objective import Objective
from softtape.optimize import Result, Snapshot, State, Status, minimize
from softtape.optimize.base import Optimizer
from softtape.param import assign, starting_value, stored_or_declared
from softtape.terms import PlainTerm, Term

__all__ = ["Journal"]

__tracebackhide__ = True  # a Param asks for its value here; pytest shows the user's line instead

EVERY = 10.0  # seconds between two checkpoints
_PATIENCE = 50.0  # at least so many times as long as writing one takes

S = TypeVar("S", bound=State)


class Journal:
    """What a fit has done so far.

    Parameters
    ----------
    goal
        What the fit is asked for: limits may differ when it is resumed, nothing else.
    file
        Gives the file of the checkpoint; None where there can be none.

    Attributes
    ----------
    resumed
        After how many steps this fit went on with another one; None where it did not.
    problem
        What went otherwise than asked for; empty where nothing did.
    """

    def __init__(
        self,
        goal: Goal,
        file: Callable[[], Path | None] = lambda: None,
    ) -> None:
        """Know of no checkpoint yet."""
        self.resumed: int | None = None
        self.problem = ""
        self._broken = False
        self._file = file
        self._identity = _options(goal)
        self._terms: Sequence[Term] = ()
        self._start: Mapping[str, Any] = {}
        self._given: set[Param] = set()
        self._done: list[dict[str, Any]] = []
        self._current: tuple[Snapshot, dict[str, Any]] | None = None
        self._pause = EVERY
        self._last = time.monotonic()
        self._path: Path | None = None
        self._saved: dict[str, Any] | None = None
        self._waiting: list[dict[str, Any]] = []

    def read(self) -> str:
        """Read the checkpoint to resume from, before anything is traced; say if there is none.

        Raises
        ------
        SoftError
            It cannot be read.
        """
        self._path = self._file()
        if self._path is None:
            return "--soft-resume needs pytest's cache, which is off or cannot be written"
        self._saved = checkpoint.read(self._path)
        if self._saved is None:
            return "--soft-resume found no checkpoint: the fit began at its start"
        self._waiting = list(self._saved["descents"])
        return ""

    def starting_value(self, param: Param, seed: int) -> Any:
        """Return the value of a Param where the fit starts, or where the other one did."""
        if self._saved is not None and param not in self._given:
            self._given.add(param)
            value = self._saved["start"].get(param.key)
            if value is not None and np.shape(value) == param.shape:
                assign(param, value)
        return starting_value(param, seed)

    def begin(self, terms: Sequence[Term], start: Mapping[str, Any]) -> None:
        """Take what is to be fitted, and see that it is what the checkpoint is of.

        Raises
        ------
        SoftError
            It is something else; the message says what.
        """
        self._terms, self._start = terms, start
        self._last = time.monotonic()
        if self._saved is None:
            return
        self._complete_identity()
        why = _difference(self._saved["identity"], self._identity) or self._moved(self._saved)
        if why:
            raise SoftError(
                f"--soft-resume cannot go on: {why}. The checkpoint {self._path} stays. Undo the "
                "change, or fit without --soft-resume to begin anew."
            )

    def minimize(
        self,
        objective: Objective,
        theta: NDArray[np.float64],
        *,
        optimizer: Optimizer[S],
        **options: Any,
    ) -> Result:
        """Do what :func:`softtape.optimize.minimize` does, or return what it did before."""
        known = self._recorded(objective, theta)
        snapshot = None
        if known is not None:
            objective.engine_state = known["engine"]
            if "result" in known:
                self._done.append(known)
                return _result(known["result"])
            snapshot = Snapshot.from_plain(known["snapshot"])
            self.resumed = (self.resumed or 0) + snapshot.steps
            if type(snapshot.state) is State:
                self.problem = f"{optimizer.name} keeps its state to itself, so its run began anew"
        entry = {"keys": list(objective.layout.shapes), "theta": theta.copy()}

        if known is not None and snapshot is not None:  # until there is a later one
            self._current = snapshot, {**entry, "engine": known["engine"]}

        def keep(snapshot: Snapshot) -> None:
            # at once, since Ctrl-C may come in between
            self._current = snapshot, {**entry, "engine": objective.engine_state}
            if time.monotonic() - self._last >= self._pause:
                self.write()

        result = minimize(
            objective, theta, optimizer=optimizer, **options, snapshots=keep, resume=snapshot
        )
        if result.status in CUT_SHORT:
            self._settle()
        else:
            ended = {"engine": objective.engine_state, "result": _plain(result)}
            self._done.append({**entry, **ended})
        self._current = None
        return result

    def end(self, values: Mapping[str, Any] | None, *, cut_short: bool) -> bool:
        """Leave a checkpoint behind if the fit was cut short, and none else.

        Parameters
        ----------
        values
            The best values found, which may be stored by now.
        cut_short
            Whether there is more to do.

        Returns
        -------
        bool
            Whether there is a checkpoint to resume from.
        """
        if cut_short:
            return self.write(values)
        if self._path is not None:
            self._path.unlink(missing_ok=True)
        return False

    def write(self, values: Mapping[str, Any] | None = None) -> bool:
        """Write a checkpoint; tell whether that could be done."""
        began = time.monotonic()
        self._path = self._path or self._file()
        if self._path is None or self._broken:
            return False
        self._complete_identity()
        try:
            current = [] if self._current is None else [self._in_progress(*self._current)]
            data = {
                "identity": self._identity,
                "start": dict(self._start),
                "values": dict(values or {}),
                "descents": [*self._done, *current, *self._waiting],
            }
            checkpoint.write(self._path, data)
        except (OSError, SoftError) as error:
            return self._give_up(error)
        self._last = time.monotonic()
        self._pause = max(EVERY, _PATIENCE * (self._last - began))
        return True

    def _settle(self) -> None:
        """Keep where a descent was when it was cut short."""
        if self._current is None or self._broken:
            return
        try:
            self._done.append(self._in_progress(*self._current))
        except SoftError as error:
            self._give_up(error)

    def _give_up(self, error: Exception) -> bool:
        self._broken = True
        self.problem = f"no checkpoint could be written: {error}"
        return False

    def _in_progress(self, snapshot: Snapshot, entry: Mapping[str, Any]) -> dict[str, Any]:
        return {**entry, "snapshot": snapshot.to_plain()}

    def _recorded(self, objective: Objective, theta: NDArray[np.float64]) -> dict[str, Any] | None:
        """Return, once, what is known of a descent from this point."""
        keys = list(objective.layout.shapes)
        for place, entry in enumerate(self._waiting):
            if entry["keys"] == keys and entry["theta"].tobytes() == theta.tobytes():
                return self._waiting.pop(place)
        return None

    def _complete_identity(self) -> None:
        """Add what can be told of tests and Params only when they are traced, and takes a while."""
        if "tests" not in self._identity:
            self._identity |= _versions()
            self._identity["tests"] = {term.name: _digest(term) for term in self._terms}
            self._identity["Params"] = {
                key: _in_digest(*params[0].bounds)
                for key, params in group_by_key(self._start).items()
                if params
            }

    def _moved(self, saved: Mapping[str, Any]) -> str:
        """Say which Param has another value now than where that fit began, or where it came to."""
        for key, params in group_by_key(self._start).items():
            now = stored_or_declared(params[0])
            known = [saved[place][key] for place in ("start", "values") if key in saved[place]]
            if now is not None and not any(np.array_equal(now, value) for value in known):
                name = params[0].name
                return f"{name} has another value now than at the start of that fit"
        return ""


def _options(goal: Goal) -> dict[str, Any]:
    """Return what decides the course of a fit, apart from its tests and Params."""
    free = ("max_steps", "timeout")
    options = {name: value for name, value in goal._asdict().items() if name not in free}
    for name, value in options.items():
        if not (value is None or isinstance(value, (bool, int, float, str))):
            options[name] = repr(value)
    return options


def _versions() -> dict[str, Any]:
    """Return what decides the last bits."""
    try:
        ours = version("pytest-soft")
    except PackageNotFoundError:
        ours = "unknown"
    return {"pytest-soft": ours, "numpy": np.__version__, "numba": fast.available()}


def _difference(then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Say in what a fit differs from another, if it does."""
    for option in sorted((then.keys() | now.keys()) - {"tests", "Params"}):
        before, after = then.get(option), now.get(option)
        if before != after:
            return f"{option} was {before}, and is {after} now"
    tests = then["tests"], now["tests"]
    for name in sorted(tests[0].keys() | tests[1].keys()):
        if name not in tests[1]:
            return f"{name} took part then, and is not selected now"
        if name not in tests[0]:
            return f"{name} is new"
        if tests[0][name] != tests[1][name]:
            return f"{name} computes something else now than then: its program or its data changed"
    if then["Params"] != now["Params"]:
        return "the bounds of a Param changed"
    return ""


def _digest(term: Term) -> str:
    """Return what tells a test from one that computes something else."""
    if isinstance(term, PlainTerm):
        return _in_digest(term.refusal, term.weight)
    case = term.paths[term.path]
    return _in_digest(case.template.path, term.weight, *case.constants)


def _in_digest(*parts: Any) -> str:
    digest = blake2b(digest_size=16)
    for part in parts:
        if isinstance(part, bytes):
            digest.update(part)
        elif isinstance(part, (np.ndarray, np.generic)) and part.dtype.kind in "biufc":
            digest.update(f"{part.dtype.str}{part.shape}".encode() + part.tobytes())
        else:
            digest.update(f"{part!r}\0".encode())
    return digest.hexdigest()


def _plain(result: Result) -> dict[str, Any]:
    plain = {**asdict(replace(result, error=None)), "status": result.status.name}
    del plain["error"]
    return plain


def _result(plain: Mapping[str, Any]) -> Result:
    return Result(**{**plain, "status": Status[plain["status"]]})
