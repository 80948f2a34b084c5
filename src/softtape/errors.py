"""The exceptions softtape raises on purpose; each message names the place and the way out."""

__all__ = [
    "DerivativeError",
    "NoResidualsError",
    "ParamError",
    "ParamWarning",
    "SoftError",
    "StoreError",
    "TraceError",
]


class SoftError(Exception):
    """Base of every error that softtape and pytest-soft raise on purpose."""


class ParamError(SoftError):
    """A Param is declared, named or used in a way that cannot work."""


class ParamWarning(UserWarning):
    """The declaration of a Param and its stored value tell different stories."""


class StoreError(SoftError):
    """A ``*.soft.json`` file cannot be read, or does not fit the Params it belongs to."""


class TraceError(SoftError, TypeError):
    """A traced value would leave the tape, which would lose its gradient."""


class NoResidualsError(SoftError):
    """A total loss was asked for its residuals where it is no sum of squares."""


class DerivativeError(SoftError, TypeError):
    """A derivative was asked for that does not exist, or of what cannot be differentiated."""
