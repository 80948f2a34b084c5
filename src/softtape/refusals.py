"""What cannot be traced stops, in words that name the line and the replacement."""

from __future__ import annotations

import ast
import inspect
import math
import re
from collections.abc import Callable
from types import TracebackType
from typing import Any, NoReturn

import numpy as np

from softtape.errors import SoftError, TraceError
from softtape.location import asked_by_scipy, raised_at, user_location

__all__ = [
    "UNFOLLOWED",
    "UNREADABLE",
    "outlived",
    "refuse",
    "refuse_array",
    "refuse_constant",
    "refuse_float",
    "refuse_function",
    "refuse_hole",
    "refuse_unknown_arguments",
    "reraise",
]

__tracebackhide__ = True  # pytest shows the user's line instead


def outlived(*_: object) -> NoReturn:
    """Raise for a value that is used when its tape is closed, or on another tape."""
    raise TraceError(
        f"{user_location()}\na traced value outlived the run it belongs to (kept in a cache, a "
        "global or a fixture of wider scope). Compute it anew in each test."
    )


def refuse_constant(value: Any) -> NoReturn:
    """Raise for an operand that is no number."""
    what = np.asarray(value)
    if what.ndim == 0 and type(what.item()).__module__.startswith("_pytest."):
        raise TraceError(
            f"{user_location()}\npytest.approx answers with yes or no, which has no slope to "
            "follow. Return a distance as the loss, such as (actual - expected) ** 2 or "
            "pytest_soft.squared_error(actual, expected), or return nothing: then what a soft test "
            "itself asserts is its loss."
        )
    instead = {
        "O": "Convert what it holds to float; join traced values with np.stack([...]).",
    }.get(what.dtype.kind, "Only numbers are traced.")
    raise TraceError(
        f"{user_location()}\ncannot compute with a traced value and {value!r} (dtype "
        f"{what.dtype}). {instead}"
    )


def refuse(what: str, instead: str) -> NoReturn:
    """Raise for an operation that would drop a value off the tape."""
    _refused[0] = f"{user_location()}\n{_LOSING.format(what)} {instead}"
    raise TraceError(_refused[0])


_refused = [""]  # what was said last, see reraise
_LOSING = "{} would take a traced value off the tape and lose its gradient."


def refuse_array() -> NoReturn:
    """Raise where a plain array is made of a traced value."""
    _refuse_scipy()
    _refuse_drawing()
    refuse(
        "making a plain array (np.array, np.asarray, np.full or an assignment into one)",
        "Join traced values with np.stack([...]) or np.concatenate([...]); a single one "
        "needs no conversion.",
    )


def _refuse_scipy() -> None:
    """Raise if it is scipy that asks for a plain number or array."""
    if asked_by_scipy():
        refuse(
            "a function of scipy that the tape does not follow, or that was imported by name,",
            "Call it by its module, as scipy.special.polygamma(n, x), if docs/numpy.md lists it; "
            "else express it by numpy functions, or give it a derivative: softtape.custom_root for "
            "a solver, softtape.primitive for the rest.",
        )


def refuse_hole() -> NoReturn:
    """Raise where a plain array is used that was filled from one with traced elements."""
    refuse(_COPYING, UNFOLLOWED)


_COPYING = (
    "copying an array with traced elements into a plain array (plain[...] = x, or a view of x "
    "that numpy makes as a plain array)"
)
UNREADABLE = "traced elements"
"""What numpy names in its error where its C code meets an array that holds such."""


UNFOLLOWED = (
    "The tape follows arrays that the program makes while the test runs, by np.zeros, np.array, "
    "np.copy and their like, called as np.zeros: make it so (x = np.array(x)), or write the "
    "functional form: x = x + y, np.where(mask, new, old), np.stack([...])."
)
"""What to do where an array cannot be changed in place."""

_MATH_NAMES = {"pow": "power", "fabs": "abs", "fsum": "sum", "dist": "linalg.norm"}
_MATH_TRACED = {"floor", "ceil", "trunc", "prod"}
_SPECIAL = {"erf": "erf", "erfc": "erfc", "gamma": "gamma", "lgamma": "gammaln"}
_CALLS = re.compile(r"(?<![\w.])(math\.)?(\w+)\s*\(")


def refuse_float(ndim: int) -> NoReturn:
    """Raise for ``float(traced)``, also when ``math`` or a plain array asks for it."""
    _refuse_scipy()
    _refuse_drawing()
    text = user_location().text
    refuse_statistics(text)
    calls = [
        name
        for prefix, name in _CALLS.findall(text)
        if not (prefix and hasattr(getattr(math, name, None), "__wrapped__"))  # it is followed
    ]
    names = [n for n in dict.fromkeys(calls) if n in vars(math) and n not in _MATH_TRACED]
    if names and "float" not in calls:  # which of them asked cannot be seen from here
        what = " and ".join(f"math.{name}" for name in names)
        known = [_MATH_NAMES.get(name, name) for name in names]
        for name in known:
            if name in _SPECIAL:
                instead = f"scipy.special.{_SPECIAL[name]}"
                refuse(what, f"Use {instead}, imported at the top of the module.")
            if name != "linalg.norm" and not hasattr(np, name):
                refuse(what, f"numpy has no {name}: write it with numpy functions.")
        instead = " and ".join(f"np.{name}" for name in known)
        refuse(what, f"Use {instead}, which the tape records.")
    if "float" not in calls and _assigns_elements(text):
        refuse("assigning into a plain array", UNFOLLOWED)
    if ndim:
        refuse("float()", "A float must have no axes: index or sum the array first.")
    if any(_formats(node) for node in ast.walk(_parsed(text))):
        refuse("formatting by %", "Write an f-string: f'{x:.3f}'.")
    refuse(
        "float()",
        "Drop the call: a traced value already acts as its number, also in f-strings.",
    )


def _parsed(text: str) -> ast.Module:
    """Return a line as Python reads it; nothing, if it is not a statement of its own."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError):
        return ast.Module([], [])


def _formats(node: ast.AST) -> bool:
    """Whether it is ``"..." % x``."""
    text = node.left if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mod) else None
    return isinstance(text, ast.Constant) and isinstance(text.value, str)


def _refuse_drawing() -> None:
    """Raise if a line draws random numbers from a distribution that is traced."""
    if _draws(user_location().text):
        refuse(*_DRAWING)


def _draws(text: str) -> bool:
    return bool(re.search(r"random\b|rng\b", text) and _DRAWS.search(text))


_DRAWING = (
    "drawing random numbers from a distribution that depends on a traced value",
    "Draw from a fixed one and move them: mean + std * rng.normal(size=n), "
    "low + (high - low) * rng.random(n).",
)
_DRAWS = re.compile(
    r"\.(normal|uniform|lognormal|exponential|gamma|beta|poisson|binomial|laplace|logistic|gauss|"
    r"normalvariate|expovariate|multivariate_normal|integers|choice|standard_t|weibull)\("
)


def _assigns_elements(text: str) -> bool:
    """Whether a line assigns to ``x[...]``."""
    line = next(iter(_parsed(text).body), None)
    if line is None:  # one of several lines of a statement
        return bool(re.match(r"[^=(]*\]\s*([-+*/@%&|^<>]*)=(?!=)", text))
    if not isinstance(line, (ast.Assign, ast.AugAssign)):
        return False
    targets = line.targets if isinstance(line, ast.Assign) else [line.target]
    return any(isinstance(part, ast.Subscript) for t in targets for part in ast.walk(t))


_STATISTICS = {
    **dict.fromkeys(("mean", "fmean"), "np.mean(x)"),
    **dict.fromkeys(("median", "median_low", "median_high"), "np.median(x)"),
    **{"variance": "np.var(x, ddof=1)", "pvariance": "np.var(x)"},
    **{"stdev": "np.std(x, ddof=1)", "pstdev": "np.std(x)"},
    "geometric_mean": "np.exp(np.mean(np.log(x)))",
    "harmonic_mean": "1 / np.mean(1 / x)",
}


def refuse_statistics(text: str) -> None:
    """Raise if a line calls a function of Python's statistics module."""
    for name, instead in _STATISTICS.items():
        if re.search(rf"(?:\bstatistics\.|(?<![\w.])){name}\s*\(", text):
            refuse(f"statistics.{name}", f"Use {instead}.")


_NOT_NUMBERS = {
    "Decimal": "Drop the call: a fit computes in floats.",
    "Fraction": "Drop the call: a fit computes in floats.",
}


_UNKNOWING = (TypeError, AttributeError, NotImplementedError, BufferError)
"""What code raises that does not know traced values."""


def reraise(error: BaseException, traceback: TracebackType | None) -> None:
    """Raise what an error within a run is really about, if that is known."""
    hiding = isinstance(error, (ValueError, SystemError, *_UNKNOWING))
    if isinstance(error, SoftError) or not hiding:
        return
    if isinstance(error.__cause__, TraceError):
        # numpy hides it where a[0] = traced calls float(), and so does C where a callback does
        raise error.__cause__ from None
    name = error.name if isinstance(error, AttributeError) and _refused[0] else None
    if name and hasattr(type(error.obj), name):  # type: ignore[attr-defined]
        # C code, such as scipy's solvers, that was refused a float and called the program once more
        # before it looked: with an error pending, Python does not find what a type has
        raise TraceError(_refused[0]) from None
    if (said := _explained(error, traceback)) is not None:
        raise said from error


def _explained(error: BaseException, traceback: TracebackType | None) -> TraceError | None:
    """Return what to say where other code raised because it does not know traced values.

    Python's ``Decimal(x)``, ``json.dumps(x)`` and their like cannot be asked beforehand.
    """
    if not isinstance(error, _UNKNOWING) or traceback is None:
        return None
    place = raised_at(traceback)
    for name, instead in _NOT_NUMBERS.items():
        if re.search(rf"\b{name}\s*\(", place.text):
            return TraceError(
                f"{place}\n{name}() would take a traced value off the tape and lose its gradient "
                f"({error}). {instead}"
            )
    if UNREADABLE in str(error):
        what, instead = _DRAWING if _draws(place.text) else (_COPYING, UNFOLLOWED)
        return TraceError(f"{place}\n{_LOSING.format(what)} {instead}")
    method = re.search(r"\.(dot|searchsorted)\(", place.text)
    # where numpy's C code takes traced elements for tuples
    if method and re.search(r"multiply sequence by|'tuple'", str(error)):
        what = f"the method {method[1]} of a plain array, given one with traced elements,"
        return TraceError(f"{place}\n{_LOSING.format(what)} Write np.{method[1]}(a, x).")
    if not re.search(r"\b(Traced|Mutated|Mosaic)\b", str(error)):
        return None
    if re.search(r"\bma\.|\bmask|\bmatrix\b", place.text):
        return TraceError(
            f"{place}\n{error}: np.ma and np.matrix are not followed, and would lose the gradient. "
            "Write np.where(mask, 0.0, x), np.mean(x, where=~mask) or np.nanmean(x)."
        )
    return TraceError(
        f"{place}\n{error}: what was called does not know traced values, and would lose their "
        "gradient. Use numpy functions and operators, or softtape.stop_gradient(x) on purpose."
    )


def refuse_unknown_arguments(
    known: Callable[..., Any], name: str, args: Any, keywords: Any, error: TypeError
) -> None:
    """Raise if a call fails because the rule does not know some argument of numpy's."""
    try:
        inspect.signature(known).bind(*args, **keywords)
    except TypeError as unknown:
        raise TraceError(
            f"{user_location()}\n{name} under tracing: {unknown}. Express it by simpler calls."
        ) from error


def refuse_function(name: str) -> NoReturn:
    """Raise for a numpy function without a rule."""
    raise TraceError(
        f"{user_location()}\n{name} has no rule on the tape, so its gradient would be lost. "
        "Express it by numpy functions that have one."
    )
