"""Whether compiled kernels lie in numba's cache, told without numba."""

import hashlib
import pickle
import sys
from pathlib import Path

import pytest

from softtape.engines import cached, fast
from softtape.singles import make_single
from softtape.tape import Tape

SOURCE = Path(cached.__file__).with_name("_rows.py")


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    digest = hashlib.sha1(str(SOURCE.parent.absolute()).encode()).hexdigest()
    made = tmp_path / f"engines_{digest}"
    made.mkdir()
    return made


def write(folder, stamp, *, numba="9.9"):
    """An index as numba writes it."""
    tag = f"py{sys.version_info[0]}{sys.version_info[1]}"
    content = pickle.dumps(numba) + pickle.dumps((stamp, {}))
    (folder / f"_rows.apply-259.{tag}.nbi").write_bytes(content)


def test_an_index_counts_for_its_source_and_its_numba(folder, monkeypatch):
    monkeypatch.setattr(cached, "_version", lambda: "9.9")
    digest, state = hashlib.sha256(SOURCE.read_bytes()).digest(), SOURCE.stat()
    assert not cached._cached("_rows.apply")
    for stamp in (digest, (state.st_mtime, state.st_size)):  # of numba today, and before
        write(folder, stamp)
        assert cached._cached("_rows.apply")
    for stamp in (digest[::-1], (state.st_mtime + 1.0, state.st_size)):
        write(folder, stamp)
        assert not cached._cached("_rows.apply")
    write(folder, digest, numba="9.8")
    assert not cached._cached("_rows.apply")


@pytest.mark.skipif(not fast.available(), reason="the extra «fast» is not installed")
def test_what_was_compiled_here_is_found():
    graph = record()
    for kind in ("value", "gradient"):
        single = make_single(graph, compiled=True)
        assert single.share(kind, {"x": 2.0}, 1.0, guarded=True).losses == [4.0]
        cached.kernels_cached.cache_clear()
        assert cached.kernels_cached(kind, lanes=False)


def record():
    with Tape() as tape:
        return tape.graph([tape.input("x", 1.0) ** 2])
