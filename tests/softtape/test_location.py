"""The line of the user that an error names."""

from __future__ import annotations

import inspect
import linecache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import softtape
from softtape.errors import TraceError
from softtape.location import Location, user_location
from softtape.tape import Tape


def test_it_is_the_calling_line() -> None:
    location = user_location()
    assert location.line == inspect.currentframe().f_lineno - 1  # type: ignore[union-attr]
    assert Path(location.file) == Path(__file__)
    assert location.text == "location = user_location()"


def test_files_inside_the_working_directory_are_relative(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    inside = Location(str(tmp_path / "pkg" / "sine.py"), 3, "x = 1")
    assert str(inside) == f"{Path('pkg', 'sine.py')}:3: x = 1"
    outside = Location(str(tmp_path.parent / "sine.py"), 3, "")
    assert str(outside) == f"{tmp_path.parent / 'sine.py'}:3"


def test_frames_of_softtape_and_numpy_are_passed_by() -> None:
    with Tape() as tape:
        m = np.vstack([tape.input("v", np.ones(3))] * 2)
        with pytest.raises(TraceError) as caught:
            np.packbits(m)
    assert str(caught.value).startswith(f"{location_of('np.packbits(m')}: ")


def location_of(start: str) -> str:
    lines = Path(__file__).read_text().splitlines()
    (number,) = [i for i, text in enumerate(lines, 1) if text.strip().startswith(start)]
    path = Path(__file__)
    shown = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return f"{shown}:{number}"


def run_as(file: str, source: str, names: dict[str, Any]) -> None:
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    try:
        exec(compile(source, file, "exec"), names)
    finally:
        del linecache.cache[file]


def test_a_package_whose_name_begins_like_softtape_is_the_users(tmp_path: Path) -> None:
    neighbour = f"{Path(softtape.__file__).parent}_models/sine.py"
    names: dict[str, Any] = {"user_location": user_location}
    run_as(neighbour, "where = user_location()\n", names)
    assert names["where"] == Location(neighbour, 1, "where = user_location()")


def test_code_without_a_file_has_a_line_but_no_text() -> None:
    names: dict[str, Any] = {"user_location": user_location}
    exec("\nwhere = user_location()", names)
    assert str(names["where"]) == "<string>:2"
