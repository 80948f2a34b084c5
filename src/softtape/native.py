"""What traced values and tapes are made of: compiled where there was a C compiler, or in Python.

``_recorder.c`` has once more what :mod:`softtape.operators`, :class:`softtape.traced.Recording` and
:class:`softtape.tape.Recorded` have in Python. Without it softtape does just the same, and records
programs of numbers several times slower.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

__all__ = ["Growing", "Value", "new_rows", "recorder", "rows_tuple"]

_REVISION = 5  # of the source: a checkout may have a compiled file of an older one beside it

recorder: Any
try:
    import softtape._recorder as recorder  # type: ignore[import-not-found,no-redef]
except ImportError:
    recorder = None
if getattr(recorder, "REVISION", None) != _REVISION or not recorder.claim():
    recorder = None  # where softtape was imported anew, the one before may be in use


class Value:
    """A value under tracing: its tape, its number there, and what it is."""

    __slots__ = ("_index", "_tape", "_value")


class Growing:
    """What operations write to."""

    __slots__ = ("constants", "count", "growing", "locations", "others", "views")


new_rows: Any = list
"""Makes what a tape writes its rows to: ``+=`` appends the integers of a tuple."""

rows_tuple: Any = tuple
"""Makes a tuple of these integers."""

if recorder is not None and not TYPE_CHECKING:
    Value, Growing, new_rows = recorder.Value, recorder.Growing, recorder.Rows
    rows_tuple = recorder.Rows.totuple
