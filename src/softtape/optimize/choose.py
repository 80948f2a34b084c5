"""The optimizers by name, and which one suits an objective."""

import difflib
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any

from softtape.errors import SoftError
from softtape.optimize.base import Optimizer

__all__ = ["EXTERNAL", "OPTIMIZERS", "WITHOUT_GRADIENT", "choose"]


def _maker(module: str, name: str) -> Callable[[], Optimizer[Any]]:
    """Return what makes an optimizer, imported on first use: a fit needs one of them."""

    def make() -> Optimizer[Any]:
        made: Optimizer[Any] = getattr(import_module(f"softtape.optimize.{module}"), name)()
        return made

    return make


OPTIMIZERS: Mapping[str, Callable[[], Optimizer[Any]]] = MappingProxyType(
    {
        "gradient-descent": _maker("gradient_descent", "GradientDescent"),
        "momentum": _maker("momentum", "Momentum"),
        "adam": _maker("adam", "Adam"),
        "lbfgs": _maker("lbfgs", "LBFGS"),
        "newton-cg": _maker("newton_cg", "NewtonCG"),
        "lm": _maker("levenberg_marquardt", "LevenbergMarquardt"),
        "scipy-least-squares": _maker("external", "ScipyLeastSquares"),
        "scipy-minimize": _maker("external", "ScipyMinimize"),
        "differential-evolution": _maker("external", "DifferentialEvolution"),
        "cma": _maker("external", "CMA"),
    }
)
EXTERNAL = frozenset({"scipy-least-squares", "scipy-minimize", "differential-evolution", "cma"})
"""Those that come with extras."""

WITHOUT_GRADIENT = frozenset({"differential-evolution", "cma"})
"""Those that ask for values of L alone, so that programs without a derivative can be fitted."""

_OF_SQUARES = ("lm", "scipy-least-squares")

# A step of LM factorises an n by n matrix, 0.3 s at this size; L-BFGS then has more to offer.
_LM_LIMIT = 500


def choose(
    name: str,
    *,
    n_params: int,
    has_residuals: bool,
    registered: Mapping[str, Optimizer[Any]] = MappingProxyType({}),
) -> tuple[Optimizer[Any], str]:
    """Return the optimizer called ``name`` and, in a few words, why it is this one.

    Parameters
    ----------
    name
        A key of `OPTIMIZERS` or of ``registered``, or ``"auto"``.
    n_params
        The number of variables n.
    has_residuals
        Whether L is known as a sum of squares.
    registered
        Further optimizers by name.

    Raises
    ------
    SoftError
        If there is no such optimizer, or it takes squares and there are no residuals.
    """
    if name == "auto":
        chosen, reason = _automatic(n_params, has_residuals)
        return OPTIMIZERS[chosen](), reason
    if name in registered:
        return registered[name], "asked for by name"
    if name not in OPTIMIZERS:
        raise SoftError(_unknown(name, registered))
    if name in _OF_SQUARES and not has_residuals:
        msg = (
            f"optimizer {name!r} needs every loss to be a sum of squares, and at least one of "
            "these is not; return squared residuals from each soft test, or choose 'lbfgs' or "
            "'auto'"
        )
        raise SoftError(msg)
    return OPTIMIZERS[name](), "asked for by name"


def _automatic(n_params: int, has_residuals: bool) -> tuple[str, str]:
    """Return the name for ``auto``, and why."""
    if not has_residuals:
        return "lbfgs", "auto: the total loss is not a sum of squares"
    if n_params > _LM_LIMIT:
        return "lbfgs", f"auto: {n_params} Params are many for 'lm' (limit {_LM_LIMIT})"
    return "lm", "auto: the total loss is a sum of squares"


def _unknown(name: str, registered: Iterable[str]) -> str:
    """Return the message for a name that no optimizer has."""
    names = ["auto", *OPTIMIZERS, *registered]
    near = difflib.get_close_matches(name.lower().replace("_", "-"), names, n=1, cutoff=0.5)
    hint = f" Did you mean {near[0]!r}?" if near else ""
    return f"there is no optimizer {name!r}.{hint} Choose one of: {', '.join(names)}."
