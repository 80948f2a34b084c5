"""What tells a computation from another one, on every machine and for years.

A fingerprint must not change where only the last bits do: numbers are rounded to 30 bits
(12 of a float32). It names operations by their names, so that it outlives this process, which the
signatures of `softtape.transforms.template` do not.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping, Sequence
from itertools import compress
from typing import Any

import numpy as np

from softtape.columns import FLOAT, IS_INPUT, OTHER, Recording
from softtape.graph import Graph
from softtape.ops import BY_CODE
from softtape.store import rounded_to_bits

__all__ = ["case_digests", "structure"]

_ORDINARY = {float, int, np.float64, np.int64}
_BITS = {"f4": 12, "c8": 12}  # as describe_start of the store has it; else 30
_LEAVES = {IS_INPUT: "input", OTHER: "other"}


def structure(graph: Graph, names: Mapping[str, str]) -> str:
    """Return a digest of what is computed: operations, wiring, guards, and which Params it reads.

    Parameters
    ----------
    graph
        A pruned graph.
    names
        What to call its inputs, by key: keys hold the paths of this machine.
    """
    nodes = Recording.of(graph.nodes)
    codes, left, right = nodes.columns
    codes = np.where((codes < IS_INPUT) & (codes != OTHER), FLOAT, codes)
    used, places = np.unique(codes, return_inverse=True)
    called = [_LEAVES.get(code, "number") if code < 0 else BY_CODE[code].name for code in used]
    order = np.argsort(np.array(called, object), kind="stable")
    rank = np.empty(len(order), np.int32)
    rank[order] = np.arange(len(order))
    digest = hashlib.blake2b(digest_size=6)
    for column in (rank[places.ravel()], left, right):
        digest.update(column.astype("<i4").tobytes())
    others = [
        (number, args, _steady(attrs)) for number, (args, attrs) in sorted(nodes.others.items())
    ]
    guards = [(number, _steady(expected)) for number, expected in graph.guards]
    inputs = [names[key] for key in nodes.keys]
    kinds = [(type(c).__name__, np.shape(c)) for c in nodes.unusual()]
    parts = (sorted(called), inputs, kinds, others, guards, list(graph.outputs))
    digest.update(repr(parts).encode())
    return digest.hexdigest()


def case_digests(constants: Sequence[Sequence[Any]], weights: Sequence[float]) -> list[str]:
    """Return a digest of the numbers of each case, which all have the same structure.

    Parameters
    ----------
    constants
        Those of each case, in the order of the recording.
    weights
        The weight of each case.
    """
    if not constants:
        return []
    # one structure: where the first has an ordinary number, all have
    plain = [type(value) in _ORDINARY for value in constants[0]]
    odd = [place for place, ordinary in enumerate(plain) if not ordinary]
    numbers = [[*(compress(case, plain) if odd else case)] for case in constants]
    table = np.column_stack([np.array(numbers, np.float64), weights])
    rows = rounded_to_bits(table, 30, noise=False).astype("<f8")
    found = []
    for row, case in zip(rows, constants, strict=True):
        digest = hashlib.blake2b(row.tobytes(), digest_size=3)
        for place in odd:
            digest.update(repr(_steady(case[place])).encode())
        found.append(base64.b64encode(digest.digest(), b"-_").decode())
    return found


def _steady(value: Any) -> Any:
    """Return what has a ``repr`` that is the same everywhere."""
    if isinstance(value, Mapping):
        return sorted((key, _steady(part)) for key, part in value.items())
    if isinstance(value, (tuple, list)):
        return [_steady(part) for part in value]
    if isinstance(value, (np.ndarray, np.generic, float, complex)):
        return _array(np.asarray(value))
    if value is None or isinstance(value, (bool, int, str, bytes, slice, type(...))):
        return repr(value)
    name = getattr(value, "__qualname__", None)
    return f"{type(value).__module__}.{type(value).__qualname__} {name or ''}"


def _array(array: np.ndarray[Any, Any]) -> tuple[str, tuple[int, ...], str]:
    kind = array.dtype.str[1:]
    if array.dtype.kind == "c":
        array = np.stack([array.real, array.imag])
    if array.dtype.kind == "f":
        array = rounded_to_bits(array.astype(np.float64), _BITS.get(kind, 30)).astype("<f8")
    elif array.dtype.kind not in "biu":
        return kind, array.shape, repr(array.tolist())
    else:
        array = array.astype("<i8")
    return kind, array.shape, hashlib.blake2b(array.tobytes(), digest_size=8).hexdigest()
