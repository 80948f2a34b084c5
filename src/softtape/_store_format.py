"""The format of ``*.soft.json``: from JSON text to checked values, and back to the same bytes.

Equal values give equal bytes::

    {
      "format": "pytest-soft",
      "version": 1,
      "params": {
        "Net.W": {
          "start": "sha256:0123456789ab",
          "value": [
            [0.1, 0.2],
            [0.3, 0.4]
          ]
        },
        "omega": {"start": 1.0, "value": 1.4999999999999998}
      }
    }

- UTF-8, two spaces per level, ``\\n`` line ends, one at the end of the file, no timestamps.
- Names and the keys of an entry are sorted by code point. At the top, ``format`` and ``version``
  come first and ``params`` last, other keys sorted between them.
- A scalar is one line. An array has one innermost row per line; a row of more than ten numbers
  continues on the next line, ten numbers each, so that a line holds the same places in every diff.
- A number is the shortest text that gives its bits back: ``repr`` of a float; for float32 the
  shortest text among float32. NaN and infinity are refused.
- ``"dtype": "float32"`` says that an array is not float64. ``"shape"`` stands only where the nested
  lists cannot tell it: ``[]`` for a 0-d array, ``[0, 3]`` for an empty one.
- ``start`` is what `softtape.store.describe_start` made of the declared initial value at the time
  of the fit.
- ``tests`` and ``declared``, if there, say what the values were fitted to, one name per line: see
  `softtape.store.Record`.
- Keys that this version does not know are kept.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from softtape.errors import StoreError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "LINES",
    "Array",
    "Json",
    "Literal",
    "broken",
    "empty_document",
    "parse",
    "raw_value",
    "read_entry",
    "render",
]

Array: TypeAlias = "NDArray[np.floating[Any]]"
Json: TypeAlias = dict[str, Any]

LINES = ("tests", "declared")
"""Objects at the top that have a line for each member."""

_FORMAT = "pytest-soft"
_VERSION = 1
_NUMBERS_PER_LINE = 10
_MAX_RANK = 64  # numpy's own limit
_MAX_INT_DIGITS = 310  # a longer integer fits no float, and costs quadratic time to parse
_WAY_OUT = "restore it from version control, or delete it to fit again from the declared starts"


class Literal(float):
    """A float that remembers how the file spells it, so that an unmoved value keeps its bytes."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> Literal:
        """Parse `text` and keep it."""
        number = super().__new__(cls, text)
        number.text = text
        return number


# --- reading ----------------------------------------------------------------------------------


def empty_document() -> Json:
    """Return the document of a store without Params."""
    return {"format": _FORMAT, "version": _VERSION, "params": {}}


def parse(path: Path, text: str, parse_float: Callable[[str], float]) -> Json:
    """Return the document in `text`, with its head checked; `read_entry` checks the rest."""
    try:
        document = json.loads(
            text,
            parse_float=parse_float,
            parse_int=_parse_int,
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique,
        )
    except json.JSONDecodeError as error:
        raise broken(path, _explain(text, error)) from error
    except RecursionError as error:
        raise broken(path, "is nested too deeply") from error
    except ValueError as error:
        raise broken(path, str(error)) from error
    _check_head(path, document)
    checked: Json = document
    return checked


def _parse_int(text: str) -> int:
    if len(text) > _MAX_INT_DIGITS:
        raise ValueError(f"holds an integer of {len(text)} digits, too large for a float")
    return int(text)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"holds {name}, which is no finite number")


def _unique(pairs: list[tuple[str, Any]]) -> Json:
    members = dict(pairs)
    if len(members) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f'holds the key "{twice}" twice')
    return members


def _explain(text: str, error: json.JSONDecodeError) -> str:
    # A merge conflict is the likeliest damage of all; the JSON error would only hint at it.
    for number, line in enumerate(text.split("\n"), start=1):
        if line.startswith("<<<<<<< "):
            return f"has an unresolved merge conflict at line {number}"
    return f"is not valid JSON at line {error.lineno}, column {error.colno} ({error.msg})"


def _check_head(path: Path, document: object) -> None:
    if not isinstance(document, dict):
        raise broken(path, f"holds {_kind(document)} where an object is expected")
    if document.get("format") != _FORMAT:
        raise broken(path, f'is not a store: its "format" is not "{_FORMAT}"')
    version = document.get("version")
    if type(version) is not int or version < 1:
        raise broken(path, 'has no valid "version"')
    if version > _VERSION:
        raise StoreError(
            f"{path}: written by a newer pytest-soft: upgrade "
            f"(the file has version {version}, this one reads up to {_VERSION})"
        )
    if not isinstance(document.get("params"), dict):
        raise broken(path, 'has no object "params"')


def read_entry(raw: object) -> tuple[float | Array, float | str | None]:
    """Return value and start of one member of ``params``; ValueError says what is odd."""
    if not isinstance(raw, dict):
        raise ValueError(f"{_kind(raw)} where an object is expected")
    if "value" not in raw:
        raise ValueError('lacks "value"')
    return _read_value(raw), _read_start(raw.get("start"))


def _read_start(start: object) -> float | str | None:
    if start is None or isinstance(start, str):
        return start
    return _read_number(start, "start")


def _read_value(raw: Json) -> float | Array:
    value = raw["value"]
    if not isinstance(value, list) and "shape" not in raw:
        if "dtype" in raw:
            raise ValueError('a scalar has no "dtype"')
        return _read_number(value, "value")
    return _read_array(value, _read_shape(raw, value), _read_dtype(raw))


def _read_number(number: object, key: str) -> float:
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise ValueError(f"{key} is {_kind(number)}, not a number")
    try:
        plain = float(number)
    except OverflowError:
        plain = math.inf
    if not math.isfinite(plain):
        raise ValueError(f"{key} is too large for a float")
    return plain


def _read_dtype(raw: Json) -> str:
    dtype = raw.get("dtype", "float64")
    if dtype not in ("float32", "float64"):
        raise ValueError(f'"dtype" is {json.dumps(dtype)}, neither "float32" nor "float64"')
    return str(dtype)


def _read_shape(raw: Json, value: object) -> tuple[int, ...]:
    if "shape" not in raw:
        return _shape_of_lists(value)
    shape = raw["shape"]
    if not isinstance(shape, list) or any(type(n) is not int or n < 0 for n in shape):
        raise ValueError('"shape" is not a list of lengths')
    if _visible(tuple(shape)) != _shape_of_lists(value):
        raise ValueError(f'"shape" is {shape}, value has {list(_shape_of_lists(value))}')
    return tuple(shape)


def _shape_of_lists(value: object) -> tuple[int, ...]:
    """Return the shape along the first elements; `_flatten` checks that the others agree."""
    shape: list[int] = []
    while isinstance(value, list):
        shape.append(len(value))
        value = value[0] if value else None
    if len(shape) > _MAX_RANK:
        raise ValueError(f"value has {len(shape)} dimensions, more than {_MAX_RANK}")
    return tuple(shape)


def _visible(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the part of a shape that nested lists show: nothing follows the first 0."""
    return shape[: shape.index(0) + 1] if 0 in shape else shape


def _read_array(value: object, shape: tuple[int, ...], dtype: str) -> Array:
    try:
        flat = np.array(_flatten(value, _visible(shape)), dtype=np.float64)
        with np.errstate(over="ignore"):
            array: Array = flat.astype(dtype).reshape(shape)
    except OverflowError as error:
        raise ValueError("value holds an integer too large for a float") from error
    if not np.isfinite(array).all():
        raise ValueError(f"value holds a number too large for {dtype}")
    return array


def _flatten(value: object, shape: tuple[int, ...]) -> list[float]:
    """Return the numbers of nested lists in order, or say why they are no array of that shape."""
    if not shape:
        return [_read_number(value, "value")]
    if not isinstance(value, list):
        raise ValueError(f"value holds {_kind(value)} beside lists")
    if len(value) != shape[0]:
        raise ValueError(f"value is ragged: rows of {shape[0]} and of {len(value)} elements")
    if len(shape) > 1:
        return [number for row in value for number in _flatten(row, shape[1:])]
    # One set per row, not one isinstance per number: a store may hold many, and is read on import.
    for kind in set(map(type, value)) - {float, int, Literal}:
        odd = next(item for item in value if type(item) is kind)
        raise ValueError(f"value holds {_kind(odd)} where a number is expected")
    return value


# --- layout -----------------------------------------------------------------------------------


def raw_value(value: float | Array) -> Json:
    if isinstance(value, float):
        return {"value": value}
    raw: Json = {"value": _short(value).tolist()}
    if value.ndim == 0 or _visible(value.shape) != value.shape:
        raw["shape"] = list(value.shape)
    if value.dtype != np.float64:
        raw["dtype"] = value.dtype.name
    return raw


def _short(array: Array) -> NDArray[np.float64]:
    """Return float64 numbers whose `repr` is the shortest text that gives `array` back."""
    wide = array.astype(np.float64)
    if array.dtype == np.float64:
        return wide
    flat = [float(np.format_float_scientific(number)) for number in array.ravel()]
    short = np.array(flat, dtype=np.float64).reshape(array.shape)
    # Text -> float64 -> float32 rounds twice; where that misses, the longer text is exact.
    with np.errstate(over="ignore"):
        return np.where(short.astype(np.float32) == array, short, wide)


def render(document: Json) -> str:
    head = {key: _compact(document[key]) for key in ("format", "version")}
    others = {k: v for k, v in sorted(document.items()) if k not in (*head, "params")}
    unknown = {k: _render_lines(v) if k in LINES else _compact(v) for k, v in others.items()}
    params = {name: _render_entry(raw) for name, raw in sorted(document["params"].items())}
    text = _render_object(head | unknown | {"params": _render_object(params, "  ")}, "") + "\n"
    # A lone surrogate, legal in JSON and not in UTF-8, becomes the JSON escape it was read from.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _render_lines(members: Json) -> str:
    return _render_object({name: _compact(part) for name, part in sorted(members.items())}, "  ")


def _render_entry(raw: Json) -> str:
    members = dict(sorted(raw.items()))
    if not isinstance(raw["value"], list):
        return _compact(members)
    indent = "    "
    texts = {
        key: _render_lists(value, indent + "  ") if key == "value" else _compact(value)
        for key, value in members.items()
    }
    return _render_object(texts, indent)


def _render_object(members: Mapping[str, str], indent: str) -> str:
    """Lay out members, whose values are JSON text already, one below the other."""
    if not members:
        return "{}"
    body = ",\n".join(f"{indent}  {_compact(key)}: {text}" for key, text in members.items())
    return f"{{\n{body}\n{indent}}}"


def _render_lists(value: list[Any], indent: str) -> str:
    inner = indent + "  "
    if any(isinstance(item, list) for item in value):
        parts = [_render_lists(item, inner) for item in value]
    elif len(value) <= _NUMBERS_PER_LINE:
        return _compact(value)
    else:
        cuts = range(0, len(value), _NUMBERS_PER_LINE)
        parts = [", ".join(map(_compact, value[i : i + _NUMBERS_PER_LINE])) for i in cuts]
    body = ",\n".join(inner + part for part in parts)
    return f"[\n{body}\n{indent}]"


def _compact(value: object) -> str:
    """Return JSON on one line, with literals as they were spelt."""
    if isinstance(value, Literal):
        return value.text
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_compact(k)}: {_compact(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_compact, value)) + "]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


# --- messages ---------------------------------------------------------------------------------


def broken(path: Path, what: str) -> StoreError:
    return StoreError(f"{path}: {what}; {_WAY_OUT}")


def _kind(value: object) -> str:
    """Name a JSON value in JSON's own words."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    names: dict[type, str] = {dict: "an object", list: "a list", str: "a string"}
    return names.get(type(value), "a number")
