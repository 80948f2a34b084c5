"""The values of the Params that a run was checked with; workers send them to the controller."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_soft.run import RUN

__all__ = ["Current"]

_SENT = "soft_params"


class Current:
    """Registered where reports are wanted, or a comparison."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        """Look at the Params where the tests ran, before the reports are written."""
        params = _current(session.config)
        config = session.config
        if hasattr(config, "workeroutput"):
            config.workeroutput[_SENT] = params
        elif params:
            config.stash[RUN].params = params

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: Any) -> None:  # noqa: ARG002 -- xdist's signature
        """Take them from a worker (a hook of pytest-xdist); all workers have the same."""
        sent = getattr(node, "workeroutput", {}).get(_SENT)
        if sent:
            node.config.stash[RUN].params = sent


def _current(config: pytest.Config) -> list[dict[str, Any]]:
    """Return file, name, shape and value of each Param; of arrays no value, it takes much room."""
    if "softtape.param" not in sys.modules:
        return []
    from pytest_soft.keep import relative
    from pytest_soft.values import of_project
    from softtape.errors import SoftError
    from softtape.param import peek

    found = {}
    for param in of_project(config):
        try:
            name, value = param.name, peek(param)
        except SoftError:  # without a name, or a blank never filled in
            continue
        file = relative(Path(param.file or "<interactive>"))
        found[file, name] = {
            "file": file,
            "name": name,
            "shape": list(param.shape),
            "value": None if param.shape else float(value),
        }
    return [found[key] for key in sorted(found)]
