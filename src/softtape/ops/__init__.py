"""Rules: what numpy's functions compute and how they are differentiated, one file per family."""

from softtape.ops import (
    assignment,
    complex,
    decompositions,
    elementwise,
    fft,
    indexing,
    linalg,
    norms,
    products,
    reductions,
    shaping,
)
from softtape.ops.registry import BY_CODE, FUNCTIONS, PRIMITIVES, Kind, Primitive

__all__ = [
    "BY_CODE",
    "FUNCTIONS",
    "PRIMITIVES",
    "Kind",
    "Primitive",
    "assignment",
    "complex",
    "decompositions",
    "elementwise",
    "fft",
    "indexing",
    "linalg",
    "norms",
    "products",
    "reductions",
    "shaping",
]
