"""Graph in, graph out: derivatives, residuals, simplification."""

from softtape.transforms.jvp import jacobian
from softtape.transforms.residuals import residuals
from softtape.transforms.simplify import simplify
from softtape.transforms.vjp import value_and_gradient

__all__ = ["jacobian", "residuals", "simplify", "value_and_gradient"]
