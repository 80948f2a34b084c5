"""Which tests are held out: from the seed and the test's own id alone.

So a test that is added or removed moves no other one to the other side, and every worker of
pytest-xdist, every later fit and every check agree.
"""

from __future__ import annotations

__all__ = ["fold_of", "is_held_out"]


def is_held_out(nodeid: str, seed: int, fraction: float) -> bool:
    """Whether a test belongs to the ``fraction`` of them, between 0 and 1, that is held out."""
    return fraction > 0 and _draw(f"holdout {seed} {nodeid}") < fraction


def fold_of(nodeid: str, seed: int, folds: int) -> int:
    """Return which of so many folds holds a test, from 0."""
    return int(_draw(f"fold {seed} {nodeid}") * folds)


def _draw(text: str) -> float:
    """Return a number in [0, 1) that looks random, the same for the same text on any machine."""
    import hashlib  # noqa: PLC0415 -- only a run that splits pays for it

    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:6]) / 2.0**48
