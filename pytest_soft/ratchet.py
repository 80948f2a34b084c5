"""``--soft-ratchet``: the losses at the last fit, kept beside the test files.

What ``test_sine.py`` measured is in ``test_sine.soft-losses.json``, which no program reads. A
function is one line there, however many cases it has, so that the diff of a pull request stays
as short as the test file. A loss is kept with three digits, rounded up so that the loss itself
always keeps to it, and is written anew only where it left what these digits stand for: a refit
on another machine, which differs in the last bits, changes nothing.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from decimal import ROUND_CEILING, Context, Decimal
from math import isfinite
from pathlib import Path
from typing import Any, TypeAlias

from pytest_soft.keep import relative
from pytest_soft.run import Run
from pytest_soft.verdict import NOISE, TestLoss, most_allowed
from softtape import store
from softtape.errors import StoreError

__all__ = ["kept_losses", "path_for", "ratchet", "rounded_up", "update"]

_FORMAT = "pytest-soft losses"
_VERSION = 1
_DIGITS = 3
_UP = Context(prec=_DIGITS, rounding=ROUND_CEILING)
_WAY_OUT = "restore it from version control, or delete it and fit again"

Losses: TypeAlias = dict[str, dict[str, float]]  # by function and case; "" for one without cases


def ratchet(run: Run, root: Path) -> None:
    """Keep the losses of a fit, and tell the tests what theirs was at the last one.

    Parameters
    ----------
    run
        What was measured.
    root
        The folder that test ids start from.
    """
    fit, wanted = run.fit, run.settings.ratchet is not None
    counted = {name: test for name, test in run.tests.items() if test.counts}
    try:
        if fit is not None and not (fit.troubles or fit.dry_run):
            # where -x ended the check, the tape knows the rest
            found = {**fit.losses, **{n: t.loss for n, t in counted.items() if t.loss is not None}}
            fit.stored += [relative(path) for path in update(root, found, new_files=wanted)]
        if wanted:
            _tell(run.tests, kept_losses(root, counted))
    except StoreError as error:
        run.problems.append(str(error))


def _tell(tests: dict[str, TestLoss], last: Mapping[str, float]) -> None:
    for name, loss in last.items():
        tests[name] = tests[name]._replace(last=loss)


def path_for(test_file: Path) -> Path:
    """Return the file that keeps the losses of a test file."""
    return test_file.with_suffix(".soft-losses.json")


def kept_losses(root: Path, names: Mapping[str, Any]) -> dict[str, float]:
    """Return what the tests with these ids had at the last fit, by id.

    Raises
    ------
    StoreError
        A file cannot be read, or holds something else.
    """
    files: dict[str, Losses] = {}
    found = {}
    for name in names:
        file, function, case = _parts(name)
        if file not in files:
            files[file] = _read(path_for(root / file))
        loss = files[file].get(function, {}).get(case)
        if loss is not None:
            found[name] = loss
    return found


def update(root: Path, losses: Mapping[str, float], *, new_files: bool) -> list[Path]:
    """Keep losses, by test id; return the files that were written.

    Those of tests that are not mentioned stay.

    Parameters
    ----------
    root
        The folder that test ids start from.
    losses
        The losses; those that are not finite are left out.
    new_files
        Whether to make files where there are none.

    Raises
    ------
    StoreError
        A file cannot be read or written, or holds something else.
    """
    files: dict[str, Losses] = {}
    keeps: dict[str, bool] = {}
    for name, loss in losses.items():
        file = name.partition("::")[0]
        if file not in keeps:
            keeps[file] = new_files or path_for(root / file).exists()
        if keeps[file] and isfinite(loss):
            _, function, case = _parts(name)
            files.setdefault(file, {}).setdefault(function, {})[case] = loss
    written = []
    for file, functions in sorted(files.items()):
        path = path_for(root / file)
        kept = _read(path)
        for function, cases in functions.items():
            before = kept.get(function, {})
            # a function that got or lost its cases is another one
            before = {c: loss for c, loss in before.items() if ("" in before) == ("" in cases)}
            moved = {case: _kept(before.get(case), loss) for case, loss in cases.items()}
            kept[function] = {**before, **moved}
        text = _rendered(kept).encode("utf-8")
        if not path.exists() or path.read_bytes() != text:
            store.replace_file(path, text)
            written.append(path)
    return written


def _kept(before: float | None, loss: float) -> float:
    """Return the number to keep: the one before as long as it still describes the loss."""
    if before is not None and loss <= most_allowed(before, 0.0):
        unit = float(Decimal(1).scaleb(Decimal(before).adjusted() - _DIGITS + 1)) if before else 0.0
        if before - loss < max(2 * unit, NOISE):
            return before
    return rounded_up(loss)


def rounded_up(loss: float) -> float:
    """Return a loss with three digits, at least itself; 0 where it is but rounding."""
    return 0.0 if abs(loss) <= NOISE else float(_UP.create_decimal(loss))


def _parts(name: str) -> tuple[str, str, str]:
    """Return file, function and case of a test id."""
    file, _, rest = name.partition("::")
    function, _, case = rest.partition("[")
    return file, function, case.removesuffix("]")


def _read(path: Path) -> Losses:
    try:
        document = json.loads(path.read_bytes().decode("utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise StoreError(f"{relative(path)}: cannot be read ({error}); {_WAY_OUT}") from error
    version = document.get("version") if isinstance(document, dict) else None
    if version is None or document.get("format") != _FORMAT:
        raise StoreError(f'{relative(path)}: its "format" is not "{_FORMAT}"; {_WAY_OUT}')
    if version != _VERSION:
        raise StoreError(f"{relative(path)}: written by a newer pytest-soft: upgrade")
    try:
        return {
            function: {case: float(loss) for case, loss in cases.items()}
            if isinstance(cases, dict)
            else {"": float(cases)}
            for function, cases in document["losses"].items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise StoreError(f"{relative(path)}: holds what is no loss; {_WAY_OUT}") from error


def _rendered(losses: Losses) -> str:
    lines = [
        f"  {json.dumps(function, ensure_ascii=False)}: {_line(cases)}"
        for function, cases in sorted(losses.items())
    ]
    head = f'{{\n "format": "{_FORMAT}",\n "version": {_VERSION},\n "losses": {{\n'
    return head + ",\n".join(lines) + "\n }\n}\n"


def _line(cases: Mapping[str, float]) -> str:
    value: Any = cases[""] if "" in cases else dict(sorted(cases.items()))
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
