"""What fixtures of other plugins give while tests are run for a fit, where nothing is reported."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

__all__ = ["stand_ins"]


@contextmanager
def stand_ins(config: pytest.Config) -> Iterator[None]:
    """Let them take the place of those fixtures meanwhile."""
    name = config.pluginmanager.register(_StandIns())
    try:
        yield
    finally:
        config.pluginmanager.unregister(name=name)


class _StandIns:
    """Gives what stands in for a fixture."""

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef[Any]) -> Generator[None, Any, Any]:
        """Let ``benchmark`` call its function once, and ``subtests`` report nothing."""
        made = yield
        if fixturedef.argname == "benchmark" and hasattr(made, "disabled"):
            made.disabled = True
        elif fixturedef.argname == "subtests" and fixturedef.cached_result is not None:
            made = _Subtests()
            fixturedef.cached_result = (made, *fixturedef.cached_result[1:])
        return made


class _Subtests:
    """Subtests that fail like the rest of their test: a fit must not count them as failures."""

    @contextmanager
    def test(self, msg: str | None = None, **keywords: Any) -> Iterator[None]:  # noqa: ARG002 -- pytest's signature
        yield
