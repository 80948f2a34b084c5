"""Read and write ``*.soft.json``: the fitted values of the Params that one source file declares.

The values of ``sine.py`` live beside it in ``sine.soft.json``: read on import, written by
``pytest --soft-fit``, reviewed as a diff. The layout is fixed: equal values give equal bytes, and
keys that this version does not know are kept. `softtape._store_format` describes it.
"""

from __future__ import annotations

import hashlib
import io
import math
import os
import stat
import sys
import time
import warnings
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import EllipsisType, MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from softtape._store_format import (
    LINES,
    Array,
    Json,
    Literal,
    broken,
    empty_document,
    parse,
    raw_value,
    read_entry,
    render,
)
from softtape.errors import ParamWarning, StoreError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

if sys.platform != "win32":
    import fcntl

__all__ = [
    "CASE_WIDTH",
    "Entry",
    "Record",
    "describe_start",
    "diff_of",
    "load",
    "load_record",
    "path_for",
    "preview",
    "remove",
    "replace_file",
    "rounded_to_bits",
    "update",
]

CASE_WIDTH = 4
"""Characters of the digest of a case: 24 bits, to find one among thousands, not to prove it."""

_PATIENCE = 5.0  # seconds to wait for another process that writes
_DIGEST_BITS = {"float64": 30, "float32": 12}  # of 53 and 24: far above last-bit differences


class Entry(NamedTuple):
    """What the store holds of one Param.

    Attributes
    ----------
    value
        The fitted value: a float, or a float64 or float32 array of any shape.
    start
        The declared initial value at the time of the fit, as `describe_start` gives it.
    """

    value: float | Array
    start: float | str | None


class Record(NamedTuple):
    """What the values were fitted to, so that a later change of it can be noticed.

    Attributes
    ----------
    tests
        The tests that reach a Param of the file, a line each: plain data by name.
    declared
        How Params are declared beyond their start, in words, by name.
    gone
        Tests and Params to drop from the record. All that is not mentioned stays.
    """

    tests: Mapping[str, Mapping[str, Any]] = MappingProxyType({})
    declared: Mapping[str, str] = MappingProxyType({})
    gone: Collection[str] = ()


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
    rounded = rounded_to_bits(array.astype(np.float64), bits)
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
    return {} if text is None else _entries(path, parse(path, text, float))


def load_record(path: str | os.PathLike[str]) -> Record:
    """Read what the stored values were fitted to; no tests where that is not known.

    Each Param that is stored has its declaration, which is empty where there is but a start.

    Raises
    ------
    StoreError
        As for `load`.
    """
    path = Path(path)
    text = _read(path)
    document = empty_document() if text is None else parse(path, text, float)
    parts = []
    for key in LINES:
        part = document.get(key, {})
        kind = dict if key == "tests" else str
        if not (isinstance(part, dict) and all(isinstance(v, kind) for v in part.values())):
            raise broken(path, f'"{key}" holds what this version does not understand')
        parts.append(part)
    return Record(parts[0], {**dict.fromkeys(document["params"], ""), **parts[1]})


def update(
    path: str | os.PathLike[str], entries: Mapping[str, Entry], record: Record | None = None
) -> bool:
    """Merge fitted values into the store, atomically.

    Entries that are not mentioned, and values that did not move, keep their bytes. When nothing
    moved, the file is not touched. A crash at any point leaves the old file or the new one, never
    a mixture. A symbolic link is written through. Of two processes that update one store at the
    same time, the later one sees what the earlier one wrote, and keeps the entries it does not
    mention (on Windows, and where folders cannot be locked, it may miss them).

    Parameters
    ----------
    path
        The store, as `path_for` names it; created when it does not exist.
    entries
        The fitted values by Param name.
    record
        What they were fitted to; None to leave the record as it is.

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
    with _alone_in(path.resolve().parent):
        old, new = _merge(path, entries, record)
        while (_read(path) or "") != old:  # somebody wrote who did not wait for the lock any longer
            old, new = _merge(path, entries, record)
        if old == new:
            return False
        replace_file(path, new.encode("utf-8"))
    return True


def remove(path: str | os.PathLike[str], names: Collection[str]) -> bool:
    """Drop entries, atomically; a store that has none left is removed.

    Parameters
    ----------
    path
        The store, as `path_for` names it; it need not exist.
    names
        The Params whose values are kept elsewhere from now on.

    Returns
    -------
    bool
        Whether there were such entries.

    Raises
    ------
    StoreError
        The file is broken or read-only, or writing fails. It is untouched.
    """
    path = Path(path)
    with _alone_in(path.resolve().parent):
        old = _read(path)
        if old is None:
            return False
        document = parse(path, old, Literal)
        _entries(path, document)
        known = [name for name in names if document["params"].pop(name, None) is not None]
        if known and document["params"]:
            replace_file(path, render(document).encode("utf-8"))
        elif known:
            path.unlink()
    return bool(known)


def preview(
    path: str | os.PathLike[str], entries: Mapping[str, Entry], record: Record | None = None
) -> str:
    """Return what `update` would change, as a unified diff; nothing is written.

    Parameters
    ----------
    path, entries, record
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
    old, new = _merge(path, entries, record)
    if old == new:
        return ""
    return diff_of(old, new, str(path) if old else "/dev/null", str(path))


def diff_of(old: str, new: str, origin: str, name: str) -> str:
    """Return the unified diff between two texts, of files with these names."""
    import difflib  # a fit needs it, the programs that read their values do not

    diff = difflib.unified_diff(_lines(old), _lines(new), origin, name)
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
        raise broken(path, f"is not UTF-8 text (byte {error.start})") from error
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be read ({_reason(error)}); "
            "make it readable for this user, or delete it to fit again from the declared starts"
        ) from error


def _entries(path: Path, document: Json) -> dict[str, Entry]:
    entries = {}
    for name, raw in document["params"].items():
        try:
            entries[name] = Entry(*read_entry(raw))
        except ValueError as error:
            raise broken(path, f'Param "{name}": {error}') from error
    return entries


# --- merging ----------------------------------------------------------------------------------


def _merge(path: Path, entries: Mapping[str, Entry], record: Record | None) -> tuple[str, str]:
    """Return the text on disk, "" if there is none, and the text that should be there.

    When nothing moved, both are the same, however the file is laid out.
    """
    old = _read(path)
    document = empty_document() if old is None else parse(path, old, Literal)
    stored = _entries(path, document)
    moved = False
    for name, entry in entries.items():
        try:
            new = _checked(entry)
        except ValueError as error:
            raise StoreError(f'{path}: Param "{name}" cannot be stored: {error}') from error
        raw = document["params"].setdefault(name, {})
        moved |= _merge_entry(raw, stored.get(name), new)
    if record is not None:
        moved |= _merge_record(document, record)
    return old or "", render(document) if moved else old or ""


def _merge_record(document: Json, record: Record) -> bool:
    """Write into the document what the record has; say whether anything changed."""
    before = {key: document.get(key) for key in LINES}
    for key, part in zip(LINES, (record.tests, record.declared), strict=True):
        kept = {k: v for k, v in (before[key] or {}).items() if k not in record.gone}
        whole = {**kept, **part}
        document.pop(key, None)
        if whole:
            document[key] = whole
    return any(document.get(key) != before[key] for key in LINES)


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
    array: Array = np.asarray(entry.value, dtype=dtype.newbyteorder("="))
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


def _merge_entry(raw: Json, old: Entry | None, new: Entry) -> bool:
    """Write into `raw` what differs between `old` and `new`; say whether anything does."""
    moved = False
    if old is None or not _same_value(old.value, new.value):
        for key in ("dtype", "shape"):
            raw.pop(key, None)
        raw.update(raw_value(new.value))
        moved = True
    if old is None or repr(old.start) != repr(new.start):
        raw["start"] = new.start
        moved = True
    return moved


def _same_value(a: float | Array, b: float | Array) -> bool:
    """Compare bit for bit, since 0.0 == -0.0."""
    if isinstance(a, float) or isinstance(b, float):
        return isinstance(a, float) and isinstance(b, float) and repr(a) == repr(b)
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def _lines(text: str) -> list[str]:
    return io.StringIO(text, newline=None).readlines()


# --- describing a start -----------------------------------------------------------------------


def rounded_to_bits(
    array: NDArray[np.float64], bits: int, *, noise: bool = True
) -> NDArray[np.float64]:
    """Round each element to `bits` significant bits, and `noise` beside large ones to zero."""
    largest = np.max(np.abs(array), initial=0.0) if noise else 0.0
    with np.errstate(all="ignore"):
        mantissa, exponent = np.frexp(array)
        rounded = np.ldexp(np.rint(np.ldexp(mantissa, bits)), exponent - bits)
        lost = np.abs(array) < math.ldexp(float(largest), -bits - 10)
    # Adding 0.0 turns -0.0, which compares equal, into 0.0.
    return np.where(lost, 0.0, rounded) + 0.0


# --- writing ----------------------------------------------------------------------------------


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Keep other processes from changing the stores of a folder; what cannot be locked is not.

    The system frees the lock of a process that is killed. One that is merely halted is not waited
    for any longer than `_PATIENCE`, with a warning: the file is replaced as a whole in any case.
    """
    if sys.platform == "win32":  # locks no folders
        yield
        return
    descriptor = None
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        _lock(descriptor, folder)  # some file systems have no locks
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _lock(descriptor: int, folder: Path) -> None:
    if sys.platform != "win32":
        until = time.monotonic() + _PATIENCE
        while time.monotonic() < until:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.005)
            else:
                return
        warnings.warn(
            f"the lock of the stores in {folder} has been held by another process for "
            f"{_PATIENCE:g} s: they are written without it. End that process, which may be "
            "halted, and look whether values of its fit are missing or older",
            ParamWarning,
            stacklevel=2,
        )


def replace_file(path: Path, content: bytes) -> None:
    """Put `content` in the place of the file that `path` leads to, all of it or nothing.

    Raises
    ------
    StoreError
        It is read-only, or writing fails. The old file is untouched.
    """
    try:
        _replace(path, content)
    except OSError as error:
        raise StoreError(f"{path}: cannot be written ({_reason(error)})") from error


def _replace(path: Path, content: bytes) -> None:
    target = path.resolve()  # so that a symbolic link stays one
    old = target.stat() if target.exists() else None
    _refuse_read_only(path, target, old)
    temporary = target.with_name(f".{target.name}.{os.getpid()}-{os.urandom(4).hex()}.tmp")
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


def _reason(error: OSError) -> str:
    return error.strerror or type(error).__name__
