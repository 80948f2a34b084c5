"""One fit for all workers of pytest-xdist: the first one fits, the others take its values.

If each of them fitted, a time limit would leave each with other values, and so would a store
written by a fast worker before a slow one has read it; the check must run on what was stored.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

__all__ = [
    "FIRST",
    "close",
    "leave_word",
    "open_folder",
    "opened",
    "publish",
    "receive",
    "shared_folder",
    "word",
]

FIRST = "gw0"
_FOLDER = "soft_folder"
_FILE = "values.json"
_WORD = "summary.json"
_EVERY = 0.01  # seconds between two looks


def open_folder(config: pytest.Config, node: Any) -> None:
    """Give a worker that runs on this machine a folder in common with the others.

    Parameters
    ----------
    config
        That of the controller, which removes the folder at its end.
    node
        The worker, before it starts.
    """
    if not node.gateway.spec.popen:
        return  # elsewhere: it has to fit on its own
    folder = opened(config)
    if folder is None:
        folder = config.stash[_KEY] = Path(tempfile.mkdtemp(prefix="pytest-soft-"))
        config.add_cleanup(lambda: shutil.rmtree(folder, ignore_errors=True))
    node.workerinput[_FOLDER] = str(folder)


def shared_folder(config: pytest.Config) -> Path | None:
    """Return the folder that this worker has in common with others, or None."""
    folder = getattr(config, "workerinput", {}).get(_FOLDER)
    return None if folder is None else Path(folder)


def opened(config: pytest.Config) -> Path | None:
    """In the controller: return the folder that the workers have in common, or None."""
    return config.stash.get(_KEY, None)


def close(config: pytest.Config) -> None:
    """In the controller: let nobody wait any longer for a first worker that is gone."""
    folder = opened(config)
    if folder is not None:
        publish(folder, {})


def publish(folder: Path, values: Mapping[str, Any]) -> None:
    """Hand the fitted values, by key, to whoever waits; what was handed over first counts."""
    if (folder / _FILE).exists():
        return
    plain = {key: [np.asarray(v).tolist(), np.asarray(v).dtype.name] for key, v in values.items()}
    _write(folder / _FILE, plain)


def _write(file: Path, plain: Mapping[str, Any]) -> None:
    """Write all or nothing: others may look at any time, and a worker may be killed."""
    temporary = file.with_name(f"{file.name}.{os.getpid()}")
    temporary.write_text(json.dumps(plain), encoding="utf-8")
    temporary.replace(file)


def leave_word(folder: Path, summary: Mapping[str, Any]) -> None:
    """Keep what the fit has to say for a controller that no longer listens (Ctrl-C)."""
    _write(folder / _WORD, summary)


def word(config: pytest.Config) -> dict[str, Any] | None:
    """In the controller, once the workers have ended: return what the fit had to say."""
    folder = opened(config)
    try:
        said = None if folder is None else (folder / _WORD).read_text(encoding="utf-8")
    except FileNotFoundError:  # it never came to an end
        return None
    return None if said is None else dict(json.loads(said))


def receive(folder: Path) -> dict[str, Any]:
    """Wait for the fitted values and return them by key; empty where the fit gave none."""
    while folder.exists() and not (folder / _FILE).exists():
        time.sleep(_EVERY)
    try:
        plain = json.loads((folder / _FILE).read_text(encoding="utf-8"))
    except FileNotFoundError:  # the controller has ended
        return {}
    return {key: np.array(value, dtype) for key, (value, dtype) in plain.items()}


_KEY = pytest.StashKey[Path]()
