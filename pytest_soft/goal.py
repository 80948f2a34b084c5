"""What a fit is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from softtape.optimize import WITHOUT_GRADIENT, Optimizer

__all__ = ["Goal"]


@dataclass(frozen=True)
class Goal:
    """When a fit ends, and how it gets there.

    Attributes
    ----------
    optimizer
        A name of :data:`softtape.optimize.OPTIMIZERS` or of ``registered``, or ``auto``.
    threshold
        𝓛 to reach, or None to run to convergence.
    max_steps
        Most accepted steps of each component, or None.
    timeout
        Most seconds, or None.
    engine
        ``auto``, ``numpy`` or ``numba``.
    restarts
        How many further starts are tried for each component, against local minima.
    seed
        Of drawing them.
    registered
        The optimizers that the hook ``pytest_soft_optimizers`` added, by name.
    """

    optimizer: str = "auto"
    threshold: float | None = None
    max_steps: int | None = None
    timeout: float | None = None
    engine: str = "auto"
    restarts: int = 0
    seed: int = 0
    registered: Mapping[str, Optimizer[Any]] = field(default_factory=dict)

    @property
    def values_only(self) -> bool:
        """Whether the optimizer asks for values of 𝓛 alone, so that no test need be traced."""
        if self.optimizer in self.registered:
            return not getattr(self.registered[self.optimizer], "needs_gradient", True)
        return self.optimizer in WITHOUT_GRADIENT
