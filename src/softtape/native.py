"""What traced values and tapes are made of: compiled where there was a C compiler, or in Python.

``_recorder.c`` has once more what :mod:`softtape.operators`, :class:`softtape.traced.Recording` and
:class:`softtape.tape.Recorded` have in Python. Without it softtape does just the same, and records
programs of numbers several times slower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["Growing", "Value", "recorder"]

_REVISION = 9  # of the source: a checkout may have a compiled file of an older one beside it

recorder: Any
try:
    import softtape._recorder as recorder  # type: ignore[import-not-found,no-redef]
except (ImportError, SystemError):  # there is none, or it is cut short or of something else
    recorder = None
if getattr(recorder, "REVISION", None) != _REVISION or not recorder.claim():
    recorder = None  # where softtape was imported anew, the one before may be in use


class Value:
    """A value under tracing: its tape, its number there, and what it is."""

    __slots__ = ("_index", "_tape", "_value")


class Growing:
    """What operations write to: all that a tape holds, made when it is."""

    __slots__ = (
        "_arrays",
        "_before",
        "_given",
        "_reads",
        "_start",
        "constants",
        "count",
        "depth",
        "growing",
        "guards",
        "holes",
        "inputs",
        "locations",
        "others",
        "rows",
        "start",
        "texts",
        "views",
    )

    def __new__(cls, *_: Any, **__: Any) -> Any:
        """Start without nodes."""
        made: Any = super().__new__(cls)
        made.rows = made.growing = []  # `+=` appends the integers of a tuple
        made.constants, made.views, made.guards = [], [], []
        made.others, made.inputs, made.start = {}, {}, {}
        made._given, made._reads, made._arrays = {}, {}, {}
        made.locations = made._start = made._before = None
        made.count = made.depth = 0
        made.holes = made.texts = False
        return made


if recorder is not None and not TYPE_CHECKING:
    Value, Growing = recorder.Value, recorder.Growing
