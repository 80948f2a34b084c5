"""Read and write ``*.soft.json``: the fitted values of the Params that one source file declares.

The values of ``sine.py`` live beside it in ``sine.soft.json``: read on import, written by
``pytest --soft-fit``, reviewed as a diff. The layout is fixed: equal values give equal bytes::

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
- ``start`` is what `describe_start` made of the declared initial value at the time of the fit.
- Keys that this version does not know are kept.
"""

import difflib
import hashlib
import io
import json
import math
import os
import secrets
import stat
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import EllipsisType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from softtape.errors import StoreError

__all__ = ["Entry", "describe_start", "load", "path_for", "preview", "update"]

_Array = NDArray[np.floating[Any]]
_Json = dict[str, Any]

_FORMAT = "pytest-soft"
_VERSION = 1
_NUMBERS_PER_LINE = 10
_MAX_RANK = 64  # numpy's own limit
_MAX_INT_DIGITS = 310  # a longer integer fits no float, and costs quadratic time to parse
_DIGEST_BITS = {"float64": 30, "float32": 12}  # of 53 and 24: far above last-bit differences
_WAY_OUT = "restore it from version control, or delete it to fit again from the declared starts"


@dataclass(frozen=True, slots=True)
class Entry:
    """What the store holds of one Param.

    Attributes
    ----------
    value
        The fitted value: a float, or a float64 or float32 array of any shape.
    start
        The declared initial value at the time of the fit, as `describe_start` gives it.
    """

    value: float | _Array
    start: float | str | None


class _Literal(float):
    """A float that remembers how the file spells it, so that an unmoved value keeps its bytes."""

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> "_Literal":
        """Parse `text` and keep it."""
        number = super().__new__(cls, text)
        number.text = text
        return number


# --- public functions -------------------------------------------------------------------------


def path_for(source_file: str | os.PathLike[str]) -> Path:
    """Return the path of the store that belongs to a source file.

    Parameters
    ----------
    source_file
        The file that declares the Params, such as ``/x/sine.py``.

    Returns
    -------
    Path
        The file beside it, such as ``/x/sine.soft.json``. It need not exist.
    """
    return Path(source_file).with_suffix(".soft.json")


def describe_start(value: ArrayLike | EllipsisType) -> float | str | None:
    """Describe a declared initial value, so that a later change of it can be noticed.

    Parameters
    ----------
    value
        The declared value: a number, an array, or ``...`` for a Param without one.

    Returns
    -------
    float, str or None
        The number itself for a scalar or a 0-d array; a short digest of shape and values for
        an array; None for ``...``. The digest is taken over rounded values (30 bits of a float64,
        12 of a float32; noise far below the largest element counts as zero), because a start
        may be computed, and another CPU may compute another last bit.
    """
    if isinstance(value, EllipsisType):
        return None
    array = np.asarray(value)
    if array.ndim == 0:
        return float(array)
    bits = _DIGEST_BITS.get(array.dtype.name, _DIGEST_BITS["float64"])
    rounded = _round_bits(array.astype(np.float64), bits)
    digest = hashlib.sha256(repr(array.shape).encode())
    digest.update(rounded.astype("<f8").tobytes())
    return f"sha256:{digest.hexdigest()[:12]}"


def load(path: str | os.PathLike[str]) -> dict[str, Entry]:
    """Read the stored values.

    Parameters
    ----------
    path
        The store, as `path_for` names it.

    Returns
    -------
    dict
        Entries by Param name; empty when the file does not exist.

    Raises
    ------
    StoreError
        The file cannot be read, is not a store, or holds something other than finite numbers.
        The message names the file, the place in it and the way out.
    """
    path = Path(path)
    text = _read(path)
    return {} if text is None else _entries(path, _parse(path, text, float))


def update(path: str | os.PathLike[str], entries: Mapping[str, Entry]) -> bool:
    """Merge fitted values into the store, atomically.

    Entries that are not mentioned, and values that did not move, keep their bytes. When nothing
    moved, the file is not touched. A crash at any point leaves the old file or the new one, never
    a mixture. A symbolic link is written through. Of two processes that update one store at the
    same time, each leaves a whole file, but the later one wins.

    Parameters
    ----------
    path
        The store, as `path_for` names it; created when it does not exist.
    entries
        The fitted values by Param name.

    Returns
    -------
    bool
        Whether the file was written.

    Raises
    ------
    StoreError
        The old file is broken or read-only, a value cannot be stored, or writing fails. The old
        file is untouched.
    """
    path = Path(path)
    old, new = _merge(path, entries)
    if old == new:
        return False
    try:
        _replace(path, new.encode("utf-8"))
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({_reason(error)})") from error
    return True


def preview(path: str | os.PathLike[str], entries: Mapping[str, Entry]) -> str:
    """Return what `update` would change, as a unified diff; nothing is written.

    Parameters
    ----------
    path, entries
        As for `update`.

    Returns
    -------
    str
        The diff, empty when nothing would change.

    Raises
    ------
    StoreError
        The old file is broken, or a value cannot be stored.
    """
    path = Path(path)
    old, new = _merge(path, entries)
    if old == new:
        return ""
    origin = str(path) if old else "/dev/null"
    diff = difflib.unified_diff(_lines(old), _lines(new), origin, str(path))
    return "".join(
        line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n" for line in diff
    )


# --- reading ----------------------------------------------------------------------------------


def _read(path: Path) -> str | None:
    """Return the text of the file, None when there is no file."""
    try:
        return path.read_bytes().decode("utf-8")
    except FileNotFoundError:
        return None
    except IsADirectoryError as error:
        raise StoreError(f"{path}: is a folder, not a file; move it out of the way") from error
    except UnicodeDecodeError as error:
        raise _broken(path, f"is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be read ({_reason(error)}); "
            "make it readable for this user, or delete it to fit again from the declared starts"
        ) from error


def _parse(path: Path, text: str, parse_float: Callable[[str], float]) -> _Json:
    """Return the document in `text`, with its head checked; `_entries` checks the rest."""
    try:
        document = json.loads(
            text,
            parse_float=parse_float,
            parse_int=_parse_int,
            parse_constant=_refuse_constant,
            object_pairs_hook=_unique,
        )
    except json.JSONDecodeError as error:
        raise _broken(path, _explain(text, error)) from error
    except RecursionError as error:
        raise _broken(path, "is nested too deeply") from error
    except ValueError as error:
        raise _broken(path, str(error)) from error
    _check_head(path, document)
    checked: _Json = document
    return checked


def _parse_int(text: str) -> int:
    if len(text) > _MAX_INT_DIGITS:
        raise ValueError(f"holds an integer of {len(text)} digits, too large for a float")
    return int(text)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"holds {name}, which is no finite number")


def _unique(pairs: list[tuple[str, Any]]) -> _Json:
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
        raise _broken(path, f"holds {_kind(document)} where an object is expected")
    if document.get("format") != _FORMAT:
        raise _broken(path, f'is not a store: its "format" is not "{_FORMAT}"')
    version = document.get("version")
    if type(version) is not int or version < 1:
        raise _broken(path, 'has no valid "version"')
    if version > _VERSION:
        raise StoreError(
            f"{path}: written by a newer pytest-soft: upgrade "
            f"(the file has version {version}, this one reads up to {_VERSION})"
        )
    if not isinstance(document.get("params"), dict):
        raise _broken(path, 'has no object "params"')


def _entries(path: Path, document: _Json) -> dict[str, Entry]:
    entries = {}
    for name, raw in document["params"].items():
        try:
            entries[name] = _entry(raw)
        except ValueError as error:
            raise _broken(path, f'Param "{name}": {error}') from error
    return entries


def _entry(raw: object) -> Entry:
    if not isinstance(raw, dict):
        raise ValueError(f"{_kind(raw)} where an object is expected")
    if "value" not in raw:
        raise ValueError('lacks "value"')
    return Entry(_read_value(raw), _read_start(raw.get("start")))


def _read_start(start: object) -> float | str | None:
    if start is None or isinstance(start, str):
        return start
    return _read_number(start, "start")


def _read_value(raw: _Json) -> float | _Array:
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


def _read_dtype(raw: _Json) -> str:
    dtype = raw.get("dtype", "float64")
    if dtype not in ("float32", "float64"):
        raise ValueError(f'"dtype" is {json.dumps(dtype)}, neither "float32" nor "float64"')
    return str(dtype)


def _read_shape(raw: _Json, value: object) -> tuple[int, ...]:
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


def _read_array(value: object, shape: tuple[int, ...], dtype: str) -> _Array:
    try:
        flat = np.array(_flatten(value, _visible(shape)), dtype=np.float64)
        with np.errstate(over="ignore"):
            array: _Array = flat.astype(dtype).reshape(shape)
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
    for kind in set(map(type, value)) - {float, int, _Literal}:
        odd = next(item for item in value if type(item) is kind)
        raise ValueError(f"value holds {_kind(odd)} where a number is expected")
    return value


# --- merging ----------------------------------------------------------------------------------


def _merge(path: Path, entries: Mapping[str, Entry]) -> tuple[str, str]:
    """Return the text on disk, "" if there is none, and the text that should be there.

    When nothing moved, both are the same, however the file is laid out.
    """
    old = _read(path)
    document: _Json = {"format": _FORMAT, "version": _VERSION, "params": {}}
    if old is not None:
        document = _parse(path, old, _Literal)
    stored = _entries(path, document)
    moved = False
    for name, entry in entries.items():
        try:
            new = _checked(entry)
        except ValueError as error:
            raise StoreError(f'{path}: Param "{name}" cannot be stored: {error}') from error
        raw = document["params"].setdefault(name, {})
        moved |= _merge_entry(raw, stored.get(name), new)
    return old or "", _render(document) if moved else old or ""


def _checked(entry: Entry) -> Entry:
    """Return the entry with plain floats and native arrays, or say why it cannot be stored."""
    start = entry.start
    if start is not None and not isinstance(start, str):
        start = _finite(_plain_number(start, "start"), "start")
    if not isinstance(entry.value, np.ndarray):
        return Entry(_finite(_plain_number(entry.value, "value"), "value"), start)
    dtype = entry.value.dtype
    if dtype.name not in ("float32", "float64"):
        raise ValueError(f"value has dtype {dtype}; convert it to float64 or float32")
    array: _Array = np.asarray(entry.value, dtype=dtype.newbyteorder("="))
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        place = tuple(map(int, bad[0]))
        raise ValueError(f"value is {float(array[place])} at index {list(place)}")
    return Entry(array, start)


def _plain_number(number: object, key: str) -> float:
    if isinstance(number, bool) or not isinstance(number, int | float | np.floating | np.integer):
        raise ValueError(f"{key} is a {type(number).__name__}, neither a number nor an array")
    try:
        return float(number)
    except OverflowError as error:
        raise ValueError(f"{key} is too large for a float") from error


def _finite(number: float, key: str) -> float:
    if not math.isfinite(number):
        raise ValueError(f"{key} is {number}")
    return number


def _merge_entry(raw: _Json, old: Entry | None, new: Entry) -> bool:
    """Write into `raw` what differs between `old` and `new`; say whether anything does."""
    moved = False
    if old is None or not _same_value(old.value, new.value):
        for key in ("dtype", "shape"):
            raw.pop(key, None)
        raw.update(_raw_value(new.value))
        moved = True
    if old is None or repr(old.start) != repr(new.start):
        raw["start"] = new.start
        moved = True
    return moved


def _same_value(a: float | _Array, b: float | _Array) -> bool:
    """Compare bit for bit, since 0.0 == -0.0."""
    if isinstance(a, float) or isinstance(b, float):
        return isinstance(a, float) and isinstance(b, float) and repr(a) == repr(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def _raw_value(value: float | _Array) -> _Json:
    if isinstance(value, float):
        return {"value": value}
    raw: _Json = {"value": _short(value).tolist()}
    if value.ndim == 0 or _visible(value.shape) != value.shape:
        raw["shape"] = list(value.shape)
    if value.dtype != np.float64:
        raw["dtype"] = value.dtype.name
    return raw


def _short(array: _Array) -> NDArray[np.float64]:
    """Return float64 numbers whose `repr` is the shortest text that gives `array` back."""
    wide = array.astype(np.float64)
    if array.dtype == np.float64:
        return wide
    flat = [float(np.format_float_scientific(number)) for number in array.ravel()]
    short = np.array(flat, dtype=np.float64).reshape(array.shape)
    # Text -> float64 -> float32 rounds twice; where that misses, the longer text is exact.
    with np.errstate(over="ignore"):
        return np.where(short.astype(np.float32) == array, short, wide)


def _round_bits(array: NDArray[np.float64], bits: int) -> NDArray[np.float64]:
    """Round each element to `bits` significant bits, and what is mere noise to zero."""
    largest = np.max(np.abs(array), initial=0.0)
    with np.errstate(all="ignore"):
        mantissa, exponent = np.frexp(array)
        rounded = np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits)
        noise = np.abs(array) < math.ldexp(float(largest), -bits - 10)
    # Adding 0.0 turns -0.0, which compares equal, into 0.0.
    return np.where(noise, 0.0, rounded) + 0.0


# --- layout -----------------------------------------------------------------------------------


def _render(document: _Json) -> str:
    head = {key: _compact(document[key]) for key in ("format", "version")}
    unknown = {k: _compact(v) for k, v in sorted(document.items()) if k not in (*head, "params")}
    params = {name: _render_entry(raw) for name, raw in sorted(document["params"].items())}
    text = _render_object(head | unknown | {"params": _render_object(params, "  ")}, "") + "\n"
    # A lone surrogate, legal in JSON and not in UTF-8, becomes the JSON escape it was read from.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _render_entry(raw: _Json) -> str:
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
    if isinstance(value, _Literal):
        return value.text
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_compact(k)}: {_compact(v)}" for k, v in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_compact, value)) + "]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _lines(text: str) -> list[str]:
    return io.StringIO(text, newline=None).readlines()


# --- writing ----------------------------------------------------------------------------------


def _replace(path: Path, content: bytes) -> None:
    """Put `content` in the place of the file that `path` leads to, all of it or nothing."""
    target = path.resolve()  # so that a symbolic link stays one
    old = target.stat() if target.exists() else None
    _refuse_read_only(path, target, old)
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp")
    try:
        _write_through(temporary, content, old)
        temporary.replace(target)
    except BaseException:
        with suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(target.parent)


def _refuse_read_only(path: Path, target: Path, old: os.stat_result | None) -> None:
    # Replacing asks for no permission on the file itself, and root may write anything: the mode
    # bits tell what the owner wants.
    if old is not None and not _writable(target, old):
        raise StoreError(f"{path}: is read-only; make it writable (chmod u+w) to store the fit")
    folder = target.parent
    if not _writable(folder, folder.stat()):
        raise StoreError(f"{path}: its folder {folder} is read-only; make it writable (chmod u+w)")


def _writable(path: Path, status: os.stat_result) -> bool:
    return bool(status.st_mode & stat.S_IWUSR) and os.access(path, os.W_OK)


def _write_through(temporary: Path, content: bytes, old: os.stat_result | None) -> None:
    """Write a new file down to the disk, with the owner and the permissions of the old one."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    with os.fdopen(os.open(temporary, flags, 0o666), "wb") as file:  # 0o666: the umask applies
        if old is not None:
            if hasattr(os, "chown"):
                with suppress(OSError):  # only root may give a file away
                    os.chown(temporary, old.st_uid, old.st_gid)
            temporary.chmod(stat.S_IMODE(old.st_mode))
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make the new name last through a power cut, where the platform can."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    with suppress(OSError):  # the file is in place by now; some file systems cannot do more
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# --- messages ---------------------------------------------------------------------------------


def _broken(path: Path, what: str) -> StoreError:
    return StoreError(f"{path}: {what}; {_WAY_OUT}")


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__


def _kind(value: object) -> str:
    """Name a JSON value in JSON's own words."""
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    names: dict[type, str] = {dict: "an object", list: "a list", str: "a string"}
    return names.get(type(value), "a number")
