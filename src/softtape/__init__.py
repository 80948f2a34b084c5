"""The core of pytest-soft: programs with blanks, recorded on a tape and differentiated.

Programs need :class:`Param` and nothing else from here; it acts as its value, also in production.
The derivatives of functions (:func:`grad` and its kin) are for use with and without pytest. What
records is imported when it is first asked for: production and checks run on plain values.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from softtape.errors import (
    DerivativeError,
    ParamError,
    ParamWarning,
    SoftError,
    StoreError,
    TraceError,
)
from softtape.param import Param
from softtape.tied import tied

if TYPE_CHECKING:
    from softtape.checking import check_grads
    from softtape.custom import custom_jvp, custom_vjp, primitive
    from softtape.functional import grad, hessian, hvp, jacobian, jvp, value_and_grad, vjp
    from softtape.implicit import custom_fixed_point, custom_root
    from softtape.rematerialize import checkpoint
    from softtape.tape import stop_gradient

__all__ = [
    "DerivativeError",
    "Param",
    "ParamError",
    "ParamWarning",
    "SoftError",
    "StoreError",
    "TraceError",
    "check_grads",
    "checkpoint",
    "custom_fixed_point",
    "custom_jvp",
    "custom_root",
    "custom_vjp",
    "grad",
    "hessian",
    "hvp",
    "jacobian",
    "jvp",
    "primitive",
    "stop_gradient",
    "tied",
    "value_and_grad",
    "vjp",
]

_WHERE = {
    **dict.fromkeys(("grad", "hessian", "hvp", "jacobian"), "functional"),
    **dict.fromkeys(("jvp", "value_and_grad", "vjp"), "functional"),
    **dict.fromkeys(("custom_jvp", "custom_vjp", "primitive"), "custom"),
    **dict.fromkeys(("custom_fixed_point", "custom_root"), "implicit"),
    "check_grads": "checking",
    "checkpoint": "rematerialize",
    "stop_gradient": "tape",
}


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def __getattr__(name: str) -> Any:
    """Import what records where it is first asked for: production needs Param alone."""
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f"softtape.{_WHERE[name]}"), name)
    return value
