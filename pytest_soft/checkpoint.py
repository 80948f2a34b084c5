"""The file that a fit leaves behind when it is cut short: plain data, no pickle, no code."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from softtape import SoftError
from softtape.store import replace_file

__all__ = ["read", "write"]

_FORMAT = "pytest-soft checkpoint 1"
_TREE = "tree"
_ARRAY = "array"


def write(path: Path, data: Mapping[str, Any]) -> None:
    """Put ``data`` in the place of the file, all of it or nothing.

    Parameters
    ----------
    path
        The file, in numpy's npz format: its arrays, and a text in JSON with all else.
    data
        Dicts with texts as keys, lists, tuples (which come back as lists), numbers, texts, None,
        and numpy's numbers and arrays, which come back bit for bit.
    """
    arrays: list[Any] = []
    tree = json.dumps({"format": _FORMAT, "data": _without_arrays(data, arrays)})
    parts: dict[str, Any] = {f"{_ARRAY}{number}": array for number, array in enumerate(arrays)}
    parts[_TREE] = np.frombuffer(tree.encode(), np.uint8)
    content = io.BytesIO()
    np.savez(content, **parts)
    replace_file(path, content.getvalue())


def read(path: Path) -> dict[str, Any] | None:
    """Return what was written, or None where there is no such file.

    Raises
    ------
    SoftError
        It cannot be read, or is something else.
    """
    try:
        content = io.BytesIO(path.read_bytes())  # numpy leaves a file open that it cannot read
        with np.load(content, allow_pickle=False) as parts:
            tree = json.loads(bytes(parts[_TREE]).decode())
            if tree["format"] != _FORMAT:
                raise ValueError(f"its format is {tree['format']!r}, not {_FORMAT!r}")
            data: dict[str, Any] = _with_arrays(tree["data"], parts)
            return data
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise SoftError(
            f"{path}: this checkpoint cannot be read ({error}). Fit without --soft-resume to "
            "begin anew."
        ) from error


def _without_arrays(data: Any, arrays: list[Any]) -> Any:
    """Return ``data`` with a reference in place of each array, which goes to ``arrays``."""
    if isinstance(data, (np.ndarray, np.generic)):
        arrays.append(data)
        return {_ARRAY: len(arrays) - 1}
    if isinstance(data, Mapping):
        return {key: _without_arrays(value, arrays) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_without_arrays(value, arrays) for value in data]
    return data


def _with_arrays(data: Any, parts: Mapping[str, Any]) -> Any:
    if isinstance(data, dict):
        if data.keys() == {_ARRAY}:
            array = parts[f"{_ARRAY}{data[_ARRAY]}"]
            array.flags.writeable = False
            return array[()]
        return {key: _with_arrays(value, parts) for key, value in data.items()}
    if isinstance(data, list):
        return [_with_arrays(value, parts) for value in data]
    return data
