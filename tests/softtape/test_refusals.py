"""Every place of softtape that refuses: what it says names the line and the way out.

The table has a call for each place; a place that no call reaches fails the last test.
"""

from __future__ import annotations

import ast
import functools
import json
import pickle
import re
import statistics
import traceback
import warnings
from collections.abc import Callable, Iterator
from decimal import Decimal
from fractions import Fraction
from math import erf, exp, gamma, nextafter, ulp
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import softtape
from softtape import TraceError, grad
from softtape.errors import DerivativeError

CORE = Path(softtape.__file__).parent
REFUSING = {
    *("refuse", "refuse_derivative", "refuse_array", "refuse_constant", "refuse_float"),
    *("refuse_function", "refuse_hole", "_refuse", "_refuse_around", "_refuse_leaf"),
}
RAISED = {"TraceError", "NotImplementedError", "DerivativeError"}
X = np.array([1.5, 2.5, 0.5])
PLAIN = np.ones(3)


def filled(x: Any) -> Any:
    made = np.zeros(3)
    made[:] = x
    return made


def hole(x: Any) -> Any:
    plain = PLAIN.copy()
    plain[...] = filled(x)
    return plain


def half(x: Any) -> Any:
    z = x * 1j
    z[0] = x[0]
    kept = z.real
    z[1] = x[1]
    return kept


def primitive(**rules: Any) -> Callable[..., Any]:
    return softtape.primitive(lambda x, y=1.0: np.sum(np.asarray(x)) * y, **rules)


@softtape.custom_vjp
def unruled(x: Any) -> Any:
    return x * 2.0


ELSEWHERE: set[str] = {
    "arrays.py: __array__",
    "arrays.py: _mosaics",
    "arrays.py: _reading",
    "arrays.py: method",
    "arrays.py: mutated",
    "checking.py: check_grads",
    "custom.py: _as_float",
    "custom.py: _check_order",
    "custom.py: _checked",
    "custom.py: _joined",
    "custom.py: _refuse_around",
    "custom.py: compute",
    "custom.py: read",
    "custom.py: vjp",
    "distributions.py: _call",
    "distributions.py: _polygamma",
    "distributions.py: _taken_by_name",
    "functional.py: __init__",
    "functional.py: _alike",
    "functional.py: _numbers",
    "functional.py: _outputs",
    "functional.py: _refuse_leaf",
    "functional.py: jvp",
    "functional.py: refuse_derivative",
    "functional.py: scalar",
    "implicit.py: _vector",
    "libraries.py: function",
    "libraries.py: library_ufunc",
    "ops/special.py: _by_some",
    "ops/special.py: function",
    "refusals.py: outlived",
    "refusals.py: refuse_array",
    "refusals.py: refuse_float",
    "refusals.py: refuse_unknown_arguments",
    "tape.py: graph",
    "traced.py: __array_ufunc__",
}
"""What tests of those modules provoke."""

# each takes a traced array of three elements
TRACED: list[tuple[Callable[[Any], Any], str]] = [
    (lambda x: filled(x).view(np.int64), "x.astype(dtype)"),
    (lambda x: np.array(filled(x).view().tobytes()), "Use numpy functions"),
    (lambda x: filled(x).newbyteorder(), "numpy functions"),
    (lambda x: np.zeros(3, int).view(type(np.zeros(3))).__setitem__(slice(None), x), "dtype=float"),
    (lambda x: np.meshgrid(filled(x), X, copy=False), "Leave copy out"),
    (lambda x: PLAIN.copy().__setitem__(..., filled(x * 1.0).view() * x), "np.stack"),
    (lambda x: x.__setitem__(0, 1.0), "np.array(x)"),
    (lambda x: np.put(PLAIN, 0, x[0]), "np.array(x)"),
    (lambda x: half(x), "z.real.copy()"),
    (lambda x: x * hole(x), "np.array(x)"),
    (lambda x: np.nansum(hole(x)), "np.array(x)"),
    (lambda x: np.nditer(x), "np.ndindex"),
    (lambda x: np.vectorize(np.sin, signature="()->()")(x), "np.stack"),
    (lambda x: np.r_[x, 1:3], "np.arange"),
    (lambda x: np.ravel(np.outer(x, x), order="K"), "order='C'"),
    (lambda x: np.geomspace(-x[0], x[1], 3), "the same sign"),
    (lambda x: np.pad(x, 1, lambda *_: None), "join the parts"),
    (lambda x: np.pad(x, 5, "reflect", reflect_type="odd"), "two steps"),
    (lambda x: np.histogram(x), "smooth count"),
    (lambda x: np.histogram(X, bins=x, weights=x), "smooth count"),
    (lambda x: np.roots(x), "custom_root"),
    (lambda x: np.quantile(x, 0.4, weights=X, method="inverted_cdf"), "np.interp"),
    (lambda x: np.quantile(x, x[2], method="lower"), "method='lower'"),
    (lambda x: np.unique(np.outer(x, x), axis=0), "np.all"),
    (lambda x: np.intersect1d(x, x, return_indices=True), "np.searchsorted"),
    (
        lambda x: np.ravel_multi_index((np.argsort(x), np.argsort(x)), (3, 3), "clip"),
        "np.clip",
    ),
    (lambda x: np.hypot.reduce(np.outer(x, x), axis=(0, 1)), "one axis at a time"),
    (lambda x: np.linalg.qr(np.outer(x, x), "raw"), "use 'reduced'"),
    (lambda x: np.poly(np.outer(x, x)), "np.linalg.det"),
    (lambda x: np.polyfit(x, x, 1, full=True), "np.linalg.lstsq"),
    (lambda x: np.polyfit(x, x, [0, 2]), "np.linalg.lstsq"),
    (lambda x: x * np.array(["a"]), "Only numbers"),
    (lambda x: x[0] == pytest.approx(1.0), "(actual - expected) ** 2"),
    (lambda x: float(x[0]), "Drop the call"),
    (lambda x: float(x), "index or sum"),
    (lambda x: complex(x[0]), "x + 1j * y"),
    (lambda x: hash(x), "plain numbers"),
    (lambda x: pickle.dumps(x), "process of the test"),
    (lambda x: x[0] * Fraction(1, 2), "float"),
    (lambda x: x[0].as_integer_ratio(), "floats"),
    (lambda x: Decimal(x[0]), "floats"),
    (lambda x: json.dumps(x[0]), "numpy functions"),
    (lambda x: np.ma.masked_invalid(x), "np.where(mask"),
    (lambda x: exp(x[0]), "np.exp"),
    (lambda x: erf(x[0]), "scipy.special.erf"),
    (lambda x: gamma(x[0]), "scipy.special.gamma"),
    (lambda x: nextafter(x[0], 2.0), "np.nextafter"),
    (lambda x: ulp(x[0]), "numpy functions"),
    (lambda x: x.astype("U5"), "numbers"),
    (lambda x: np.asmatrix(x), "np.stack"),
    (lambda x: statistics.stdev([x[0], x[1]]), "np.std"),
    (lambda x: np.sin(x, where=np.array([True, False, True])), "np.where"),
    (lambda x: np.packbits(x), "numpy functions"),
    (lambda x: np.add.at(PLAIN, 0, x[0]), "np.array(x)"),
    (lambda x: np.emath.sqrt(x), "numpy functions"),
    (lambda x: primitive(), "stop_gradient"),
    (lambda x: unruled(x), "rule"),
    (lambda x: primitive(vjp=lambda *_: 1.0)(x, y=x[0]), "by position"),
    (lambda x: primitive(vjp=lambda *_: 1.0)(x * 1j), "z.real"),
]


@functools.cache
def refused(number: int) -> BaseException:
    """What the call raises; its traceback is the same whatever numpy wraps it in."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises((TraceError, DerivativeError)) as caught:
            grad(TRACED[number][0])(X)
    return caught.value


@pytest.mark.parametrize("number", range(len(TRACED)))
def test_the_message_names_the_line_and_the_way_out(number: int) -> None:
    place, _, explanation = str(refused(number)).partition("\n")
    file, line, text = re.fullmatch(r"(.*?):(\d+): (.*)", place).groups()  # type: ignore[union-attr]
    assert Path(file).resolve() == Path(__file__).resolve()
    assert Path(__file__).read_text().splitlines()[int(line) - 1].strip() == text
    assert TRACED[number][1] in explanation


def passed_by(error: BaseException | None) -> Iterator[tuple[str, int]]:
    """Yield file and line of each frame of an error and of those it was made from."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        for frame in traceback.extract_tb(error.__traceback__):
            yield frame.filename, frame.lineno or 0
        error = error.__cause__ or error.__context__


def places() -> Iterator[tuple[str, str, range]]:
    """Yield file, enclosing function and lines of each place that refuses."""
    for path in sorted(CORE.rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        for function in (n for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)):
            for node in ast.walk(function):
                call = node.exc if isinstance(node, ast.Raise) else node
                if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name):
                    continue
                if call.func.id in (RAISED if isinstance(node, ast.Raise) else REFUSING):
                    yield str(path), function.name, range(node.lineno, (node.end_lineno or 0) + 1)


def test_every_place_that_refuses_is_reached() -> None:
    reached = {step for i in range(len(TRACED)) for step in passed_by(refused(i))}
    missed = {
        f"{Path(file).relative_to(CORE).as_posix()}: {function}"
        for file, function, lines in places()
        if not any((file, line) in reached for line in lines)
    }
    assert missed == ELSEWHERE
