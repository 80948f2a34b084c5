"""Every place of softtape that refuses: what it says names the line and the way out.

A place is one ``raise``, or one call of a function that raises, in softtape's own source. The table
has a call for each; a place that no call reaches fails the last test.
"""

from __future__ import annotations

import ast
import contextlib
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
import scipy.linalg
import scipy.optimize
import scipy.special
import scipy.stats
from numpy import asarray as asarray_of_before
from scipy.special import logsumexp as logsumexp_of_before

import softtape
from softtape import Param, TraceError, check_grads, grad, hessian, hvp, jvp
from softtape.errors import DerivativeError
from softtape.tape import Tape

CORE = Path(softtape.__file__).parent
REFUSING = {
    *("refuse", "refuse_derivative", "refuse_array", "refuse_constant", "refuse_float"),
    *("refuse_function", "refuse_hole", "_refuse", "_refuse_around", "_refuse_leaf"),
}
RAISED = {"TraceError", "NotImplementedError", "DerivativeError"}
ABSTRACT = {"acting.py: raise NotImplementedError"}
"""What no program reaches, since every subclass has its own."""
X = np.array([1.5, 2.5, 0.5])
PLAIN = np.ones(3)


def filled(x: Any) -> Any:
    made = np.zeros(3)
    made[:] = x
    return made


def hole(x: Any) -> Any:
    made = np.zeros(3)
    plain = made.view(np.ndarray)  # nobody watches it
    made[:] = x
    return plain


def copied(x: Any) -> Any:
    plain = PLAIN.copy()
    plain[...] = filled(x)
    return x * 2.0 if plain[0] > 1 else x


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


def ruled(rule: Callable[..., Any], f: Callable[..., Any] = np.sum) -> Callable[..., Any]:
    made = softtape.custom_vjp(f)
    made.defvjp(rule)
    return made


def around(x: Any) -> Any:
    return ruled(lambda g, y, v: g * x, lambda v: np.sum(v * x))(x * 2.0)


def assigned(x: Any) -> None:
    plain = PLAIN.copy()
    plain[0] = x[0]


def seen_as_integers(x: Any) -> None:
    made = np.zeros(3)
    seen = made.view(np.int64)
    made[0] = x[0] + seen[0]


def changed(x: Any) -> Any:
    y = x * 1.0
    y[0] = 2.0
    return y


def kept(x: Any) -> Any:
    values: list[Any] = []
    grad(lambda y: values.append(y) or np.sum(y))(x)  # type: ignore[func-returns-value]
    return values[0] * 2.0


def unlike(x: Any) -> Any:
    solver = softtape.custom_root(lambda y, a: [y[0] - a])(lambda y, a: [a, a])
    return solver(None, x[0])[1]


RATE = Param(2.0, name="rate")


def reads(x: Any) -> Any:
    with Tape():
        return x * ruled(lambda g, y, v: g, lambda v: v * RATE)(RATE * 1.0)


# each takes a traced array of three elements
def hasty(x: Any) -> Any:
    """Do what C code may come to that goes on after a refusal: what a type has is not found."""
    with contextlib.suppress(TraceError):
        float(x[0])
    raise AttributeError("no such attribute", name="_index", obj=x)


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
    (lambda x: copied(x), "np.array(x)"),
    (lambda x: filled(x).view(np.ndarray), "np.stack"),
    (lambda x: np.nditer(x), "np.ndindex"),
    (lambda x: np.vectorize(np.sum, signature="(n)->()")(x), "np.stack"),
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
    (lambda x: np.frompyfunc(lambda v: v, 1, 1)(x), "np.vectorize"),
    (lambda x: "%.3f" % x[0], "f-string"),  # noqa: UP031
    (lambda x: np.packbits(x), "numpy functions"),
    (lambda x: np.add.at(PLAIN, 0, x[0]), "np.array(x)"),
    (lambda x: np.emath.sqrt(x), "numpy functions"),
    (lambda x: primitive(), "stop_gradient"),
    (lambda x: unruled(x), "rule"),
    (lambda x: primitive(vjp=lambda *_: 1.0)(x, y=x[0]), "by position"),
    (lambda x: primitive(vjp=lambda *_: 1.0)(x * 1j), "z.real"),
    (lambda x: ruled(lambda *_: 1.0, np.dot)(x, x), "one for each positional argument"),
    (lambda x: ruled(lambda *_: {}, lambda a: np.sum(a["x"]))({"x": x}), "built alike"),
    (lambda x: ruled(lambda *_: "a")(x), "Return floats"),
    (lambda x: ruled(lambda *_: 1.0)(x), "g * np.ones"),
    (lambda x: ruled(lambda *_: 1.0, lambda v: "a")(x), "containers of these"),
    (around, "Pass it as an argument"),
    (reads, "Pass it as an argument"),
    (lambda x: hessian(primitive(vjp=lambda g, *_: g * np.ones(3)))(x), "Make the rule a"),
    (lambda x: check_grads(np.sin, (x,), order=0), "Give an order from 1"),
    (lambda x: jvp(np.sin, x, x), "jvp(f, (x,), (v,))"),
    (lambda x: hvp(np.sum, x, x), "hvp(f, (x,), (v,))"),
    (lambda x: np.random.default_rng(0).normal(x[0]), "rng.normal(size=n)"),
    (lambda x: np.random.default_rng(0).normal(x, 1.0), "rng.normal(size=n)"),
    (lambda x: np.random.default_rng(0).normal(filled(x)), "rng.normal(size=n)"),
    (lambda x: PLAIN.dot(filled(x)), "np.dot(a, x)"),
    (lambda x: PLAIN.searchsorted(filled(x)), "np.searchsorted(a, x)"),
    (lambda x: memoryview(filled(x)).tolist(), "np.array(x)"),
    (lambda x: jvp(np.sin, (x,), ()), "Give one tangent for each primal"),
    (lambda x: jvp(np.sin, (x,), ("a",)), "Give one for each part"),
    (lambda x: jvp(np.sin, (x,), (x[0],)), "Give it that shape"),
    (lambda x: jvp(lambda y: y[0], ([x],), (x,)), "Build it in the same containers"),
    (lambda x: grad(np.sum, (0, 0))(x), "Name each once"),
    (lambda x: grad(np.sum, 0.5)(x), "by position, from 0"),
    (lambda x: grad(np.sum)(a=x), "Give it by position"),
    (lambda x: grad(np.sum)(3), "give a float, such as 3.0"),
    (lambda x: grad(lambda y: "a")(x), "Return it from another function"),
    (lambda x: grad(lambda y: 3.0)(x), "numpy functions of the arguments"),
    (lambda x: grad(lambda y: [y])(x), "Use softtape.jacobian"),
    (lambda x: grad(lambda y: y[0] * 1j)(x), "Return np.abs(z) ** 2 or z.real"),
    (lambda x: grad(lambda y: y)(x), "sum it first"),
    (unlike, "it must return as many"),
    (kept, "Compute it anew"),
    (assigned, "np.where(mask, new, old)"),
    (seen_as_integers, "np.array(x)"),
    (lambda x: (x * 1j).real.fill(1.0), "np.array(x)"),
    (lambda x: asarray_of_before(changed(x)), "needs no conversion"),
    (lambda x: np.add(x, x, casting="unsafe"), "Express it by numpy functions"),
    (lambda x: np.concatenate([x, x], casting="unsafe"), "Express it by simpler calls"),
    (lambda x: logsumexp_of_before(x), "scipy.special.logsumexp(x)"),
    (lambda x: scipy.special.polygamma(x, x), "as a plain integer"),
    (lambda x: scipy.special.jv(x, x), "softtape.stop_gradient(x)"),
    (lambda x: scipy.special.wofz(x), "Express it by numpy functions"),
    (lambda x: scipy.linalg.norm(x), "Call it by its module"),
    (lambda x: scipy.optimize.brentq(lambda t: t - x[0], 0.0, 9.0), "softtape.custom_root"),
    (hasty, "Drop the call"),
    (lambda x: scipy.stats.nct.logpdf(x, 2, x[0]), "functions of numpy and scipy.special"),
    (lambda x: x[0] * hole(x)[1], "np.array(x)"),
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
        for frame, line in traceback.walk_tb(error.__traceback__):
            yield frame.f_code.co_filename, line
        error = error.__cause__ or error.__context__


def places() -> Iterator[tuple[str, range, str]]:
    """Yield file, lines and text of each place that refuses."""
    for path in sorted(CORE.rglob("*.py")):
        source = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)):
            called: ast.AST | None = node
            if isinstance(node, ast.Raise):  # an exception, or its class
                called = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
            elif isinstance(node, ast.Call):
                called = node.func
            known = RAISED if isinstance(node, ast.Raise) else REFUSING
            if called is not node and isinstance(called, ast.Name) and called.id in known:
                assert isinstance(node, (ast.Raise, ast.Call))
                lines = range(node.lineno, (node.end_lineno or 0) + 1)
                text = " ".join((ast.get_source_segment(source, node) or "").split())
                yield str(path), lines, f"{path.relative_to(CORE).as_posix()}: {text}"


def test_every_place_that_refuses_is_reached() -> None:
    reached = {step for i in range(len(TRACED)) for step in passed_by(refused(i))}
    missed = {
        text for file, lines, text in places() if not any((file, line) in reached for line in lines)
    }
    assert missed == ABSTRACT
