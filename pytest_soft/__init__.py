"""Software 2.0 as test files: soft unit tests return a loss, pytest fills in the blanks.

A test file needs :func:`soft_test`. ``Param`` and the losses are offered here too, so that one
file can hold a whole program; production code takes them from ``softtape``, which never imports
pytest.
"""

import importlib
from typing import TYPE_CHECKING, Any

from pytest_soft.collect import soft_test

if TYPE_CHECKING:
    from softtape import Param, stop_gradient, tied
    from softtape.losses import (
        absolute_error,
        binary_cross_entropy,
        cauchy,
        cross_entropy,
        gaussian_nll,
        hinge,
        huber,
        kl_divergence,
        log_cosh,
        poisson_nll,
        quantile,
        soft_l1,
        squared_error,
    )

__all__ = [
    "Param",
    "absolute_error",
    "binary_cross_entropy",
    "cauchy",
    "cross_entropy",
    "gaussian_nll",
    "hinge",
    "huber",
    "kl_divergence",
    "log_cosh",
    "poisson_nll",
    "quantile",
    "soft_l1",
    "soft_test",
    "squared_error",
    "stop_gradient",
    "tied",
]

_HOME = {"Param": "softtape", "stop_gradient": "softtape", "tied": "softtape"}


def __getattr__(name: str) -> Any:
    """Import on first use: a pytest run without soft tests must not pay for numpy."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME.get(name, "softtape.losses")), name)
    globals()[name] = value
    return value
