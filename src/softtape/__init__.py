"""The core of pytest-soft: programs with blanks, recorded on a tape and differentiated.

Programs need :class:`Param` and nothing else from here; it acts as its value, also in production.
"""

from softtape.errors import ParamError, ParamWarning, SoftError, StoreError, TraceError
from softtape.param import Param
from softtape.tape import stop_gradient

__all__ = [
    "Param",
    "ParamError",
    "ParamWarning",
    "SoftError",
    "StoreError",
    "TraceError",
    "stop_gradient",
]
