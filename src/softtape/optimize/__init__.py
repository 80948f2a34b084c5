"""Minimisers of the total loss: explicit state, one driver loop, stopping apart from stepping."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from softtape.optimize.base import Bounds, Objective, Optimizer, State, Status
from softtape.optimize.choose import OPTIMIZERS, WITHOUT_GRADIENT, choose
from softtape.optimize.loop import Progress, Result, minimize
from softtape.optimize.snapshot import Snapshot

if TYPE_CHECKING:
    from softtape.optimize.adam import Adam, AdamState
    from softtape.optimize.gradient_descent import GradientDescent, GradientDescentState
    from softtape.optimize.lbfgs import LBFGS, LBFGSState
    from softtape.optimize.levenberg_marquardt import LevenbergMarquardt, LevenbergMarquardtState
    from softtape.optimize.minibatch import Minibatch, MinibatchState
    from softtape.optimize.momentum import Momentum, MomentumState
    from softtape.optimize.newton_cg import NewtonCG, NewtonCGState
    from softtape.optimize.whole import WholeRun, evaluated

__all__ = [
    "LBFGS",
    "OPTIMIZERS",
    "WITHOUT_GRADIENT",
    "Adam",
    "AdamState",
    "Bounds",
    "GradientDescent",
    "GradientDescentState",
    "LBFGSState",
    "LevenbergMarquardt",
    "LevenbergMarquardtState",
    "Minibatch",
    "MinibatchState",
    "Momentum",
    "MomentumState",
    "NewtonCG",
    "NewtonCGState",
    "Objective",
    "Optimizer",
    "Progress",
    "Result",
    "Snapshot",
    "State",
    "Status",
    "WholeRun",
    "choose",
    "evaluated",
    "minimize",
]

_HOME = {
    "Adam": "adam",
    "GradientDescent": "gradient_descent",
    "LBFGS": "lbfgs",
    "LevenbergMarquardt": "levenberg_marquardt",
    "Minibatch": "minibatch",
    "Momentum": "momentum",
    "NewtonCG": "newton_cg",
    "WholeRun": "whole",
    "evaluated": "whole",
}


def __getattr__(name: str) -> Any:
    """Import an optimizer on first use: a fit needs one of them, and waits for its import."""
    home = _HOME.get(name.removesuffix("State"))
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
