"""The store: what it reads, what it writes byte for byte, and what it refuses."""

import errno
import json
import os
import random
import signal
import stat
import struct
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from softtape import store
from softtape.errors import StoreError
from softtape.store import Entry, describe_start, load, path_for, preview, update

SOURCES = str(Path(store.__file__).parents[1])
WAY_OUT = "restore it from version control, or delete it to fit again from the declared starts"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "sine.soft.json"


def bits(value: Any) -> tuple[Any, ...]:
    """All that a round trip must keep."""
    if isinstance(value, np.ndarray):
        return value.dtype, value.shape, value.tobytes()
    return type(value), struct.pack("<d", value)


def document(**params: Any) -> str:
    return json.dumps({"format": "pytest-soft", "version": 1, "params": params})


def leftovers(folder: Path) -> list[str]:
    return [p.name for p in folder.iterdir() if p.name.endswith(".tmp")]


# --- layout -----------------------------------------------------------------------------------

LAYOUT = """\
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
    "Net.b": {
      "dtype": "float32",
      "start": null,
      "value": [0.1, -0.0, 16777216.0]
    },
    "empty": {
      "shape": [0, 3],
      "start": null,
      "value": []
    },
    "long": {
      "start": null,
      "value": [
        0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0,
        10.0, 11.0
      ]
    },
    "omega": {"start": 1.0, "value": 1.4999999999999998},
    "zero_d": {"dtype": "float32", "shape": [], "start": 2.5, "value": 0.1},
    "ω": {"start": null, "value": 5e-324}
  }
}
"""
LAYOUT_ENTRIES = {
    "omega": Entry(1.4999999999999998, 1.0),
    "Net.W": Entry(np.array([[0.1, 0.2], [0.3, 0.4]]), "sha256:0123456789ab"),
    "Net.b": Entry(np.array([0.1, -0.0, 2**24], dtype=np.float32), None),
    "empty": Entry(np.zeros((0, 3)), None),
    "long": Entry(np.arange(12.0), None),
    "zero_d": Entry(np.array(0.1, dtype=np.float32), 2.5),
    "ω": Entry(5e-324, None),
}


def test_layout_is_exactly_this(path: Path) -> None:
    assert update(path, LAYOUT_ENTRIES) is True
    assert path.read_bytes() == LAYOUT.encode()


def test_order_of_params_does_not_matter(path: Path) -> None:
    update(path, dict(reversed(LAYOUT_ENTRIES.items())))
    assert path.read_bytes() == LAYOUT.encode()


def test_one_by_one_gives_the_same_bytes_as_all_at_once(path: Path) -> None:
    for name, entry in reversed(LAYOUT_ENTRIES.items()):
        assert update(path, {name: entry})
    assert path.read_bytes() == LAYOUT.encode()


def test_rank_three_has_one_innermost_row_per_line(path: Path) -> None:
    update(path, {"T": Entry(np.arange(4.0).reshape(2, 1, 2), None)})
    assert "[\n        [\n          [0.0, 1.0]\n        ],\n        [" in path.read_text()


def test_nested_empties_that_lists_can_tell_need_no_shape(path: Path) -> None:
    update(path, {"a": Entry(np.zeros((2, 0)), None), "b": Entry(np.zeros((2, 0, 3)), None)})
    params = json.loads(path.read_text())["params"]
    assert params["a"] == {"start": None, "value": [[], []]}
    assert params["b"] == {"start": None, "value": [[], []], "shape": [2, 0, 3]}


def test_path_for() -> None:
    assert path_for("/x/sine.py") == Path("/x/sine.soft.json")
    assert path_for(Path("/x/pkg/__init__.py")) == Path("/x/pkg/__init__.soft.json")


# --- round trips ------------------------------------------------------------------------------

floats = st.floats(allow_nan=False, allow_infinity=False)
shapes = hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=4)
arrays = st.one_of(
    hnp.arrays(np.float64, shapes, elements=floats),
    hnp.arrays(
        np.float32, shapes, elements=st.floats(width=32, allow_nan=False, allow_infinity=False)
    ),
)
entries = st.builds(Entry, floats | arrays, st.none() | floats | st.just("sha256:0123456789ab"))


@settings(max_examples=100, deadline=None, derandomize=True)
@given(stored=st.dictionaries(st.text(max_size=8), entries, min_size=1, max_size=4))
def test_round_trip(tmp_path_factory: pytest.TempPathFactory, stored: dict[str, Entry]) -> None:
    path = tmp_path_factory.mktemp("store") / "x.soft.json"
    assert update(path, stored) is True
    loaded = load(path)
    assert list(loaded) == sorted(stored)
    for name, entry in stored.items():
        assert bits(loaded[name].value) == bits(entry.value)
        assert repr(loaded[name].start) == repr(entry.start)
    before = path.read_bytes()
    assert update(path, loaded) is False
    assert path.read_bytes() == before


@pytest.mark.parametrize("value", [-0.0, 5e-324, 1.7976931348623157e308, 0.1 + 0.2, 1e16, -1e-7])
def test_hard_scalars_round_trip(path: Path, value: float) -> None:
    update(path, {"a": Entry(value, value)})
    assert bits(load(path)["a"].value) == bits(value)
    assert f'"value": {value!r}}}' in path.read_text()


def test_float32_is_written_short_and_comes_back(path: Path) -> None:
    every = np.random.default_rng(0).integers(0, 2**32, 20_000, dtype=np.uint32).view(np.float32)
    numbers = every[np.isfinite(every)]
    update(path, {"a": Entry(numbers, None)})
    assert bits(load(path)["a"].value) == bits(numbers)
    texts = path.read_text().partition('"value": [')[2].partition("]")[0].split(",")
    digits = [len(Decimal(text.strip()).normalize().as_tuple().digits) for text in texts]
    assert len(digits) == len(numbers)
    assert max(digits) == 9  # what the widest float32 needs; float64 would take 17


def test_numpy_scalars_and_foreign_byte_orders_are_plain_numbers(path: Path) -> None:
    big_endian = np.array([1.0, 2.0], dtype=">f8")
    update(path, {"a": Entry(np.float64(1.5), np.float64(2.5)), "b": Entry(big_endian, None)})
    assert '"a": {"start": 2.5, "value": 1.5}' in path.read_text()
    assert bits(load(path)["b"].value) == bits(np.array([1.0, 2.0]))
    assert update(path, {"b": Entry(big_endian, None)}) is False


def test_views_are_written_in_index_order(path: Path) -> None:
    update(path, {"a": Entry(np.arange(6.0).reshape(2, 3).T[::2], None)})
    assert load(path)["a"].value.tolist() == [[0.0, 3.0], [2.0, 5.0]]  # type: ignore[union-attr]


def test_a_missing_file_is_an_empty_store(path: Path) -> None:
    assert load(path) == {}
    assert update(path, {}) is False
    assert not path.exists()


# --- start ------------------------------------------------------------------------------------


def test_start_of_scalars_is_the_number() -> None:
    assert describe_start(...) is None
    assert describe_start(1) == 1.0
    assert type(describe_start(np.float32(0.5))) is float
    assert describe_start(np.array(2.5)) == 2.5


def test_start_of_arrays_is_a_digest_of_shape_and_values() -> None:
    flat = describe_start(np.arange(6.0))
    assert flat == "sha256:35a755796d6e"  # the same on every machine, and in every version
    assert flat == describe_start([0, 1, 2, 3, 4, 5])
    assert flat != describe_start(np.arange(6.0).reshape(2, 3))
    assert flat != describe_start(np.arange(6.0) * 1.00001)
    assert describe_start(np.zeros((0, 3))) != describe_start(np.zeros((3, 0)))
    assert describe_start([0.0, 1.0]) == describe_start([-0.0, 1.0])
    assert describe_start([0.0]) == describe_start([-0.0])


@pytest.mark.parametrize(("dtype", "seen"), [(np.float64, 1e-7), (np.float32, 1e-2)])
def test_start_ignores_last_bits_only(dtype: type[np.floating[Any]], seen: float) -> None:
    start = np.random.default_rng(1).normal(size=100).astype(dtype)
    start[0] = 1.0  # just below and just above a power of two
    neighbour = np.nextafter(start, dtype(-9))
    assert describe_start(start) == describe_start(neighbour)
    start[7] *= dtype(1 + seen)
    assert describe_start(start) != describe_start(neighbour)


def test_start_ignores_noise_around_zero() -> None:
    noisy = [1.0, 6.123233995736766e-17]  # cos(pi / 2) is no exact zero
    assert describe_start(noisy) == describe_start([1.0, 0.0])


def test_start_of_extreme_arrays_warns_of_nothing() -> None:
    assert describe_start([5e-324, 1.7976931348623157e308, -0.0]) is not None


# --- merging ----------------------------------------------------------------------------------


def test_repeated_update_touches_nothing(path: Path) -> None:
    update(path, LAYOUT_ENTRIES)
    os.utime(path, ns=(1, 1))
    before = path.stat()
    assert update(path, LAYOUT_ENTRIES) is False
    assert update(path, {"omega": LAYOUT_ENTRIES["omega"]}) is False
    after = path.stat()
    assert (after.st_mtime_ns, after.st_ino) == (before.st_mtime_ns, before.st_ino)


def changed_lines(old: str, new: str) -> list[str]:
    pairs = zip(old.splitlines(), new.splitlines(), strict=True)
    return [b for a, b in pairs if a != b]


def test_one_moved_scalar_is_a_one_line_diff(path: Path) -> None:
    update(path, LAYOUT_ENTRIES)
    assert update(path, {"omega": Entry(1.5, 1.0)}) is True
    assert changed_lines(LAYOUT, path.read_text()) == ['    "omega": {"start": 1.0, "value": 1.5},']


def test_one_moved_element_is_a_one_line_diff(path: Path) -> None:
    update(path, LAYOUT_ENTRIES)
    moved = Entry(np.array([[0.1, 0.2], [0.3, 9.0]]), "sha256:0123456789ab")
    assert update(path, {"Net.W": moved}) is True
    assert changed_lines(LAYOUT, path.read_text()) == ["        [0.3, 9.0]"]


def test_a_sign_of_zero_is_a_move(path: Path) -> None:
    update(path, {"a": Entry(0.0, 0.0), "b": Entry(np.zeros(2), None)})
    assert update(path, {"a": Entry(-0.0, 0.0)}) is True
    assert update(path, {"b": Entry(np.array([0.0, -0.0]), None)}) is True
    assert update(path, {"a": Entry(-0.0, -0.0)}) is True


def test_a_new_start_alone_is_written(path: Path) -> None:
    path.write_text(document(a={"value": 1, "start": 1.0}))
    assert update(path, {"a": Entry(1.0, 2.0)}) is True
    assert '"a": {"start": 2.0, "value": 1}' in path.read_text()  # the value keeps its spelling


def test_what_is_not_mentioned_keeps_its_spelling(path: Path) -> None:
    by_hand = '{"format": "pytest-soft", "version": 1, "params": {"b": {"value": [1.50, 2, 3e0]},'
    path.write_text(by_hand + ' "a": {"value": 0.10000, "start": 1e-1}}}')
    assert update(path, {"c": Entry(1.0, None), "a": Entry(0.1, 0.1)}) is True
    text = path.read_text()
    assert '"a": {"start": 1e-1, "value": 0.10000}' in text
    assert '"value": [1.50, 2, 3e0]' in text
    assert list(load(path)) == ["a", "b", "c"]


def test_a_file_laid_out_by_hand_stays_when_nothing_moved(path: Path) -> None:
    path.write_bytes(document(a={"value": 1, "start": 1}).encode() + b"\r\n")
    before = path.read_bytes()
    assert update(path, {"a": Entry(1.0, 1.0)}) is False
    assert preview(path, {"a": Entry(1.0, 1.0)}) == ""
    assert path.read_bytes() == before


def test_unknown_keys_are_kept(path: Path) -> None:
    path.write_text(
        '{"version": 1, "zeta": {"b": [1e2, true], "a": "\\ud800é"}, "format": "pytest-soft",'
        ' "alpha": null, "params": {"w": {"value": 1.0, "stderr": 0.10, "about": "x"}}}'
    )
    assert update(path, {"w": Entry(2.0, None)}) is True
    assert path.read_text(encoding="utf-8") == (
        '{\n  "format": "pytest-soft",\n  "version": 1,\n  "alpha": null,\n'
        '  "zeta": {"b": [1e2, true], "a": "\\ud800é"},\n  "params": {\n'
        '    "w": {"about": "x", "stderr": 0.10, "value": 2.0}\n  }\n}\n'
    )


def test_change_of_shape_and_dtype_leaves_no_stale_key(path: Path) -> None:
    update(path, {"a": Entry(np.zeros((0, 3), dtype=np.float32), None)})
    assert update(path, {"a": Entry(1.0, None)}) is True
    assert '"a": {"start": null, "value": 1.0}' in path.read_text()
    assert update(path, {"a": Entry(np.array(1.0), None)}) is True
    assert bits(load(path)["a"].value) == bits(np.array(1.0))


# --- preview ----------------------------------------------------------------------------------


def test_preview_shows_what_update_writes(path: Path) -> None:
    update(path, LAYOUT_ENTRIES)
    diff = preview(path, {"omega": Entry(1.5, 1.0)})
    assert path.read_text() == LAYOUT
    lines = diff.splitlines()
    assert lines[:2] == [f"--- {path}", f"+++ {path}"]
    assert [line for line in lines[2:] if line[0] in "+-"] == [
        '-    "omega": {"start": 1.0, "value": 1.4999999999999998},',
        '+    "omega": {"start": 1.0, "value": 1.5},',
    ]
    assert preview(path, LAYOUT_ENTRIES) == ""


def test_preview_of_a_new_file(path: Path) -> None:
    lines = preview(path, {"a": Entry(1.0, None)}).splitlines()
    assert lines[:3] == ["--- /dev/null", f"+++ {path}", "@@ -0,0 +1,7 @@"]
    assert all(line.startswith("+") for line in lines[3:])
    assert not path.exists()


def test_preview_tells_a_missing_line_end(path: Path) -> None:
    update(path, {"a": Entry(1.0, None)})
    path.write_text(path.read_text().rstrip("\n"))
    diff = preview(path, {"a": Entry(2.0, None)})
    assert "-}\n\\ No newline at end of file\n+}\n" in diff


# --- what is refused on reading ---------------------------------------------------------------

HEAD = '{"format": "pytest-soft", "version": 1, "params": '
DAMAGED: dict[str, tuple[str | bytes, str]] = {
    "empty": ("", "is not valid JSON at line 1, column 1 (Expecting value)"),
    "truncated": (LAYOUT[:120], "is not valid JSON at line 7, column 7 (Unterminated string"),
    "not JSON": ('{\n  "format": x\n}', "is not valid JSON at line 2, column 13 (Expecting"),
    "conflict": ("{\n<<<<<<< HEAD\n=======\n}", "has an unresolved merge conflict at line 2"),
    "not UTF-8": (b'{"\xff', "is not UTF-8 text (byte 2)"),
    "deep": ("[" * 200_000, "is nested too deeply"),
    "list": ("[]", "holds a list where an object is expected"),
    "null": ("null", "holds null where an object is expected"),
    "format": ('{"format": "x"}', 'is not a store: its "format" is not "pytest-soft"'),
    "no format": ("{}", 'is not a store: its "format" is not "pytest-soft"'),
    "version": (HEAD.replace("1", '"1"') + "{}}", 'has no valid "version"'),
    "bool version": (HEAD.replace("1", "true") + "{}}", 'has no valid "version"'),
    "version 0": (HEAD.replace("1", "0") + "{}}", 'has no valid "version"'),
    "params": (HEAD + "[]}", 'has no object "params"'),
    "NaN": (HEAD + '{"a": {"value": NaN}}}', "holds NaN, which is no finite number"),
    "Infinity": (HEAD + '{"a": {"value": [-Infinity]}}}', "holds -Infinity, which is no"),
    "twice": (HEAD + '{"a": {"value": 1}, "a": {"value": 1}}}', 'holds the key "a" twice'),
    "digits": (HEAD + '{"a": {"value": 1' + "0" * 5000 + "}}}", "holds an integer of 5001 digits"),
}
BAD_ENTRIES = {
    "not an object": ("1.0", "a number where an object is expected"),
    "no value": ('{"start": 1.0}', 'lacks "value"'),
    "null": ('{"value": null}', "value is null, not a number"),
    "bool": ('{"value": true}', "value is true, not a number"),
    "string": ('{"value": "1"}', "value is a string, not a number"),
    "object": ('{"value": {}}', "value is an object, not a number"),
    "huge float": ('{"value": 1e999}', "value is too large for a float"),
    "huge int": ('{"value": 1' + "0" * 309 + "}", "value is too large for a float"),
    "bool in list": ('{"value": [1.0, true]}', "value holds true where a number is expected"),
    "null in list": ('{"value": [[1.0], [null]]}', "value holds null where a number is expected"),
    "list in list": ('{"value": [1.0, [2.0]]}', "value holds a list where a number is expected"),
    "number in lists": ('{"value": [[1.0], 2.0]}', "value holds a number beside lists"),
    "ragged": ('{"value": [[1, 2], [3]]}', "value is ragged: rows of 2 and of 1 elements"),
    "huge float in list": ('{"value": [1e999]}', "value holds a number too large for float64"),
    "huge int in list": (
        '{"value": [1' + "0" * 309 + "]}",
        "value holds an integer too large for a float",
    ),
    "float32": ('{"value": [1e39], "dtype": "float32"}', "a number too large for float32"),
    "dtype": ('{"value": [1], "dtype": "int8"}', '"dtype" is "int8", neither "float32" nor'),
    "dtype list": ('{"value": [1], "dtype": ["float32"]}', '"dtype" is ["float32"], neither'),
    "dtype of a scalar": ('{"value": 1, "dtype": "float32"}', 'a scalar has no "dtype"'),
    "shape": ('{"value": [1], "shape": [-1]}', '"shape" is not a list of lengths'),
    "shape of bools": ('{"value": [1], "shape": [true]}', '"shape" is not a list of lengths'),
    "other shape": ('{"value": [1], "shape": [2]}', '"shape" is [2], value has [1]'),
    "0-d list": ('{"value": [1], "shape": []}', '"shape" is [], value has [1]'),
    "0-d string": ('{"value": "1", "shape": []}', "value is a string, not a number"),
    "giant shape": ('{"value": [], "shape": [0, 99999999999999999999]}', 'Param "a": '),
    "rank": ('{"value": ' + "[" * 70 + "]" * 70 + "}", "value has 70 dimensions, more than 64"),
    "start bool": ('{"value": 1, "start": false}', "start is false, not a number"),
    "start list": ('{"value": 1, "start": [1]}', "start is a list, not a number"),
    "start huge": ('{"value": 1, "start": -1e999}', "start is too large for a float"),
}
CASES: dict[str, tuple[str | bytes, str]] = {
    **DAMAGED,
    **{
        f"entry: {name}": (f'{HEAD}{{"a": {raw}}}}}', message)
        for name, (raw, message) in BAD_ENTRIES.items()
    },
}


@pytest.mark.parametrize("case", CASES)
def test_a_broken_store_is_refused_and_never_overwritten(path: Path, case: str) -> None:
    content, message = CASES[case]
    raw = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(raw)
    for read in (load, lambda p: update(p, {"a": Entry(1.0, None)}), lambda p: preview(p, {})):
        with pytest.raises(StoreError) as caught:
            read(path)
        text = str(caught.value)
        assert text.startswith(f"{path}: ")
        assert message in text
        assert text.endswith(f"; {WAY_OUT}")
        if case.startswith("entry: "):
            assert 'Param "a": ' in text
    assert path.read_bytes() == raw
    assert leftovers(path.parent) == []


def test_a_newer_version_asks_to_upgrade(path: Path) -> None:
    path.write_text('{"format": "pytest-soft", "version": 2, "other": []}')
    with pytest.raises(StoreError) as caught:
        load(path)
    assert str(caught.value) == (
        f"{path}: written by a newer pytest-soft: upgrade "
        "(the file has version 2, this one reads up to 1)"
    )
    with pytest.raises(StoreError, match="upgrade"):
        update(path, {"a": Entry(1.0, None)})


def test_a_folder_is_not_a_store(path: Path) -> None:
    path.mkdir()
    with pytest.raises(StoreError) as caught:
        load(path)
    assert str(caught.value) == f"{path}: is a folder, not a file; move it out of the way"


def test_an_unreadable_store(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: Path) -> bytes:  # root reads everything, so the mode bits would not do
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(StoreError) as caught:
        load(path)
    assert str(caught.value) == (
        f"{path}: cannot be read (Permission denied); make it readable for this user, "
        "or delete it to fit again from the declared starts"
    )


def test_a_loop_of_links_cannot_be_read(path: Path) -> None:
    path.symlink_to(path)
    with pytest.raises(StoreError, match="cannot be read"):
        load(path)


# --- what is refused on writing ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        (Entry(float("nan"), None), "value is nan"),
        (Entry(float("-inf"), None), "value is -inf"),
        (Entry(np.array([[1.0, 2.0], [np.inf, 4.0]]), None), "value is inf at index [1, 0]"),
        (Entry(np.array(np.nan), None), "value is nan at index []"),
        (Entry(1.0, float("nan")), "start is nan"),
        (Entry(10**400, None), "value is too large for a float"),
        (Entry(True, None), "value is a bool, neither a number nor an array"),
        (Entry([1.0], None), "value is a list, neither a number nor an array"),  # type: ignore[arg-type]
        (
            Entry(np.array([1, 2], dtype=np.int64), None),
            "value has dtype int64; convert it to float64 or float32",
        ),
    ],
)
def test_what_cannot_be_stored_is_refused_whole(path: Path, entry: Entry, message: str) -> None:
    update(path, LAYOUT_ENTRIES)
    for write in (update, preview):
        with pytest.raises(StoreError) as caught:
            write(path, {"omega": Entry(7.0, None), "Net.W": entry})
        assert str(caught.value) == f'{path}: Param "Net.W" cannot be stored: {message}'
    assert path.read_text() == LAYOUT


def test_a_read_only_file_is_left_alone(path: Path) -> None:
    update(path, LAYOUT_ENTRIES)
    path.chmod(0o444)
    with pytest.raises(StoreError) as caught:
        update(path, {"omega": Entry(7.0, None)})
    assert str(caught.value) == (
        f"{path}: is read-only; make it writable (chmod u+w) to store the fit"
    )
    assert path.read_text() == LAYOUT
    assert stat.S_IMODE(path.stat().st_mode) == 0o444
    assert update(path, LAYOUT_ENTRIES) is False  # nothing to write, nothing to refuse


@pytest.mark.parametrize("exists", [True, False])
def test_a_read_only_folder_is_left_alone(path: Path, exists: bool) -> None:
    if exists:
        update(path, LAYOUT_ENTRIES)
    path.parent.chmod(0o555)
    try:
        with pytest.raises(StoreError) as caught:
            update(path, {"omega": Entry(7.0, None)})
    finally:
        path.parent.chmod(0o755)
    assert str(caught.value) == (
        f"{path}: its folder {path.parent} is read-only; make it writable (chmod u+w)"
    )
    assert [p.name for p in path.parent.iterdir()] == [path.name] * exists


def test_a_missing_folder_is_named(tmp_path: Path) -> None:
    path = tmp_path / "gone" / "x.soft.json"
    with pytest.raises(StoreError) as caught:
        update(path, {"a": Entry(1.0, None)})
    assert str(caught.value) == f"{path}: cannot be written (No such file or directory)"


# --- writing ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666, 0o755])
def test_permissions_are_kept(path: Path, mode: int) -> None:
    update(path, LAYOUT_ENTRIES)
    path.chmod(mode)
    assert update(path, {"omega": Entry(7.0, None)}) is True
    assert stat.S_IMODE(path.stat().st_mode) == mode


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root")
def test_the_owner_is_kept(path: Path) -> None:
    update(path, LAYOUT_ENTRIES)
    os.chown(path, 1234, 5678)
    assert update(path, {"omega": Entry(7.0, None)}) is True
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 5678)


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_a_new_file_obeys_the_umask(path: Path, umask: int) -> None:
    old = os.umask(umask)
    try:
        update(path, LAYOUT_ENTRIES)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o666 & ~umask


@pytest.mark.parametrize("exists", [True, False])
def test_a_symlink_stays_a_symlink(tmp_path: Path, exists: bool) -> None:
    (tmp_path / "real").mkdir()
    target = tmp_path / "real" / "values.json"
    link = tmp_path / "sine.soft.json"
    link.symlink_to(Path("real") / "values.json")
    if exists:
        update(target, {"a": Entry(1.0, None)})
    assert load(link) == load(target)
    assert update(link, {"a": Entry(2.0, None)}) is True
    assert link.is_symlink()
    assert not target.is_symlink()
    assert load(link) == load(target) == {"a": Entry(2.0, None)}
    assert leftovers(tmp_path) == leftovers(target.parent) == []


@pytest.mark.parametrize("point", ["replace", "fsync", "chmod"])
@pytest.mark.parametrize(
    ("failure", "seen"),
    [(OSError(errno.ENOSPC, "No space left on device"), StoreError), (KeyboardInterrupt(), None)],
)
def test_a_failure_leaves_the_old_file_and_no_other(
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    point: str,
    failure: BaseException,
    seen: type[BaseException] | None,
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise failure

    update(path, LAYOUT_ENTRIES)
    with monkeypatch.context() as patch:
        patch.setattr(os, point, fail)
        with pytest.raises(seen or type(failure)) as caught:
            update(path, {"omega": Entry(7.0, None)})
    if seen is StoreError:
        assert str(caught.value) == f"{path}: cannot be written (No space left on device)"
    assert path.read_text() == LAYOUT
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_file_then_name_then_folder_reach_the_disk(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[str] = []

    def fsync(descriptor: int) -> None:
        folder = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        calls.append("folder" if folder else f"file of {os.fstat(descriptor).st_size}")

    rename = os.replace

    def replace(source: Path, target: Path) -> None:
        assert Path(source).parent == Path(target).parent
        calls.append("replace")
        rename(source, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "replace", replace)
    update(path, LAYOUT_ENTRIES)
    assert calls == [f"file of {len(LAYOUT.encode())}", "replace", "folder"]


def test_a_folder_that_cannot_be_synced_is_no_failure(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", fsync)
    assert update(path, LAYOUT_ENTRIES) is True
    assert path.read_text() == LAYOUT


# --- kill -9 ----------------------------------------------------------------------------------

KILL_AT = """
import os, signal, sys
from softtape.store import Entry, update

path, name, nth, when = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]
real, calls = getattr(os, name), [0]

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def patched(*args, **kwargs):
    calls[0] += 1
    if calls[0] == nth and when == "before":
        die()
    result = real(*args, **kwargs)
    if calls[0] == nth and when == "after":
        die()
    return result

setattr(os, name, patched)
update(path, {"a": Entry(2.0, None)})
"""

KILL_SOMETIME = """
import sys
import numpy as np
from softtape.store import Entry, update

generation = 0
while True:
    generation += 1
    update(sys.argv[1], {"a": Entry(np.full((200, 10), float(generation)), None),
                         "b": Entry(float(generation), None)})
    if generation == 3:
        print("ready", flush=True)
"""

needs_kill = pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no SIGKILL here")


def command(script: str, *arguments: object) -> list[str]:
    return [sys.executable, "-c", script, *map(str, arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": SOURCES}


@needs_kill
@pytest.mark.parametrize(
    ("function", "nth", "when", "value"),
    [
        ("fsync", 1, "before", 1.0),
        ("fsync", 1, "after", 1.0),
        ("replace", 1, "before", 1.0),
        ("replace", 1, "after", 2.0),
        ("fsync", 2, "before", 2.0),
        ("fsync", 2, "after", 2.0),
    ],
)
def test_killed_at_a_point(path: Path, function: str, nth: int, when: str, value: float) -> None:
    update(path, {"a": Entry(1.0, None), "kept": Entry(3.0, None)})
    done = subprocess.run(
        command(KILL_AT, path, function, nth, when), env=environment(), check=False
    )
    assert done.returncode == -signal.SIGKILL
    assert load(path) == {"a": Entry(value, None), "kept": Entry(3.0, None)}
    assert update(path, {"a": Entry(4.0, None)}) is True  # what the dead left does not disturb


@needs_kill
def test_killed_at_any_time(path: Path) -> None:
    delays = random.Random(20240607)
    reached = []
    for _ in range(6):
        path.unlink(missing_ok=True)
        with subprocess.Popen(
            command(KILL_SOMETIME, path), env=environment(), stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            time.sleep(delays.uniform(0.0, 0.08))
            process.kill()
        stored = load(path)
        generation = stored["b"].value
        assert np.array_equal(stored["a"].value, np.full((200, 10), generation))
        reached.append(generation)
    assert min(reached) >= 3  # it had begun to replace what was there
