"""Minimisers of the total loss: explicit state, one driver loop, stopping apart from stepping."""

from softtape.optimize.adam import Adam, AdamState
from softtape.optimize.base import Bounds, Objective, Optimizer, State, Status
from softtape.optimize.choose import OPTIMIZERS, choose
from softtape.optimize.gradient_descent import GradientDescent, GradientDescentState
from softtape.optimize.lbfgs import LBFGS, LBFGSState
from softtape.optimize.levenberg_marquardt import LevenbergMarquardt, LevenbergMarquardtState
from softtape.optimize.loop import Progress, Result, minimize

__all__ = [
    "LBFGS",
    "OPTIMIZERS",
    "Adam",
    "AdamState",
    "Bounds",
    "GradientDescent",
    "GradientDescentState",
    "LBFGSState",
    "LevenbergMarquardt",
    "LevenbergMarquardtState",
    "Objective",
    "Optimizer",
    "Progress",
    "Result",
    "State",
    "Status",
    "choose",
    "minimize",
]
