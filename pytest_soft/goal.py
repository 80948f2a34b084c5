"""What a fit is asked for."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from softtape import optimize
from softtape.optimize import WITHOUT_GRADIENT, Optimizer, choose

__all__ = ["Goal"]


class Goal(NamedTuple):
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
    batch_size
        How many tests a step looks at, or None for all of them.
    epochs
        How often each test is looked at, in batches.
    schedule
        How the learning rate falls meanwhile.
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
    batch_size: int | None = None
    epochs: int = 20
    schedule: str = "cosine"
    registered: Mapping[str, Optimizer[Any]] = MappingProxyType({})

    @property
    def values_only(self) -> bool:
        """Whether the optimizer asks for values of 𝓛 alone, so that no test need be traced."""
        if self.optimizer in self.registered:
            return not getattr(self.registered[self.optimizer], "needs_gradient", True)
        return self.optimizer in WITHOUT_GRADIENT

    def choose(self, *, n_params: int, has_residuals: bool) -> tuple[Optimizer[Any], str]:
        """Return the optimizer for a component, and why it is this one.

        Raises
        ------
        SoftError
            It does not suit the losses.
        """
        if self.batch_size is None:
            return choose(
                self.optimizer,
                n_params=n_params,
                has_residuals=has_residuals,
                registered=self.registered,
            )
        method = "adam" if self.optimizer == "auto" else self.optimizer
        made = optimize.Minibatch(
            method, self.batch_size, self.epochs, self.schedule, seed=self.seed
        )
        auto = self.optimizer == "auto"
        return made, "auto: in batches" if auto else "asked for by name"
