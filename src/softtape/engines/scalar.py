"""A graph of scalars as arrays: what the compiled interpreter walks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from softtape.columns import NONE, OTHER, Recording
from softtape.graph import Graph
from softtape.ops import BY_CODE

__all__ = ["CODES", "ScalarLayout", "scalar_layout", "suits"]

_KNOWN = [
    "negative", "positive", "absolute", "fabs", "square", "sqrt", "reciprocal", "exp", "exp2",
    "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan", "arcsin", "arccos", "arctan",
    "sinh", "cosh", "tanh", "arcsinh", "arctanh", "sign", "floor", "ceil", "trunc", "rint",
    "stop_gradient", "logical_not", "add", "subtract", "multiply", "divide", "power",
    "float_power", "maximum", "minimum", "hypot", "arctan2", "less", "less_equal", "greater",
    "greater_equal", "equal", "not_equal", "logical_and", "logical_or",
]  # fmt: skip

CODES = {name: code for code, name in enumerate(_KNOWN, start=1)}
"""Code of each operation the interpreter knows; leaves (inputs, constants) have code 0."""


class ScalarLayout(NamedTuple):
    """A graph of scalars, one row per node.

    Attributes
    ----------
    codes
        Code of each operation, shape (n,); 0 for inputs and constants.
    left, right
        Value numbers of the operands, shape (n,); the same where there is one.
    values
        The constants at their places, shape (n,).
    inputs
        Value number of each input, by key.
    outputs
        Value numbers of the outputs.
    guarded, expected
        Value numbers of the guards, and what each must be.
    """

    codes: NDArray[np.int16]
    left: NDArray[np.int32]
    right: NDArray[np.int32]
    values: NDArray[np.float64]
    inputs: Mapping[str, int]
    outputs: NDArray[np.int64]
    guarded: NDArray[np.int64]
    expected: NDArray[np.float64]


# by code of a recording, leaves first
_TABLE = np.array([0] * -OTHER + [CODES.get(p.name, -1) for p in BY_CODE], np.int16)
_SUITED = frozenset((np.flatnonzero(_TABLE >= 0) + OTHER).tolist())


def suits(graph: Graph) -> bool:
    """Whether every node is a number, and every operation one the interpreter knows."""
    nodes = Recording.of(graph.nodes)
    return (
        not any(map(np.shape, graph.start.values()))
        and not nodes.others
        and _SUITED.issuperset(nodes.used)
        and all(isinstance(c, _NUMBER) for c in nodes.unusual())
    )


_NUMBER = (bool, np.floating, np.integer, np.bool_)


def scalar_layout(graph: Graph) -> ScalarLayout:
    """Lay out a graph that `suits`."""
    nodes = Recording.of(graph.nodes)
    codes, left, right = nodes.columns
    values = np.zeros(len(nodes))
    values[nodes.constant_numbers] = np.fromiter(nodes.constants, float, len(nodes.constants))
    return ScalarLayout(
        codes=_TABLE.take(codes.astype(np.intp) - OTHER),
        left=(first := np.maximum(left, 0)),
        right=np.where(right == NONE, first, right),
        values=values,
        inputs=graph.inputs,
        outputs=np.array(graph.outputs, np.int64),
        guarded=np.array([g for g, _ in graph.guards], np.int64),
        expected=np.array([float(e) for _, e in graph.guards]),
    )
