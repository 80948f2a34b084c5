"""What pytest or a Param told of a failure, for where it is told again."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from softtape.errors import ParamWarning
from softtape.optimize import WITHOUT_GRADIENT

__all__ = ["gist", "param_warnings", "with_way_out"]


def with_way_out(failure: str) -> str:
    """Return a failure, and, where the tape refused, that a fit need not follow the program."""
    if not any(name in failure for name in ("TraceError", "DerivativeError")):
        return failure
    return (
        f"{failure}\nA program that cannot be differentiated can be fitted by its losses alone: "
        f"--soft-optimizer={' or '.join(sorted(WITHOUT_GRADIENT))}"
    )


def gist(text: str) -> str:
    """Return the error at the end of pytest's account, without the arguments before it."""
    lines = text.splitlines()
    said = [line for line in lines if line.startswith("E ")]
    return "\n".join([*said, *lines[-1:]]) if said else text


@contextmanager
def param_warnings(notes: list[str]) -> Iterator[None]:
    """Note what Params warn of. The check warns of the rest again, and pytest reports that."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", ParamWarning)
        try:
            yield
        finally:
            notes += [str(w.message) for w in caught if issubclass(w.category, ParamWarning)]
