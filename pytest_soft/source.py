"""Write fitted values into the source that declares them: ``Param(...)`` becomes ``Param(1.5)``.

LibCST, an extra, parses the file and writes it again with all comments and white space; only
literals change. Knows nothing of pytest.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import libcst
import numpy as np
from libcst import matchers
from libcst.metadata import MetadataWrapper, PositionProvider

from softtape.errors import SoftError

__all__ = ["Declared", "SourceError", "rewritten", "rounded"]

_MOST = 16  # elements of an array that still reads well in a source file
_MAKERS = ("array", "asarray")


class SourceError(SoftError):
    """A value cannot be written into the source; the message says why."""


class Declared(NamedTuple):
    """A Param to write.

    Attributes
    ----------
    name
        Its name, for messages.
    line
        The line of its declaration, from 1.
    start
        Its declared value; None for ``...``.
    value
        What to write, a number or an array, as :func:`rounded` gives it.
    """

    name: str
    line: int
    start: Any
    value: Any


def rounded(value: Any, start: Any, error: float | None = None) -> Any:
    """Return a value with the digits that mean something, so that refits elsewhere write the same.

    Parameters
    ----------
    value
        The fitted number or array.
    start
        The declared one, or None. What is closer to it than one unit of the last digit
        counts as not moved: that element of it is returned.
    error
        The standard error of a number: two more digits than its first are kept. None for
        nine digits of each number.

    Returns
    -------
    float or ndarray
        Of the shape of ``value``.
    """
    parts = np.asarray(value, float)
    digits = np.array([_decimals(float(part), error) for part in parts.flat])
    made = np.array([round(float(p), int(n)) for p, n in zip(parts.flat, digits, strict=True)])
    if start is not None:
        before = np.ravel(np.asarray(start, float))
        made = np.where(np.abs(parts.ravel() - before) <= 10.0**-digits, before, made)
    return made.reshape(parts.shape) if parts.ndim else float(made[0])


def _decimals(value: float, error: float | None) -> int:
    if error:
        return 2 - math.floor(math.log10(error))
    return 8 - math.floor(math.log10(abs(value))) if value else 8


def rewritten(source: bytes, params: Sequence[Declared]) -> tuple[bytes, dict[str, str]]:
    """Return the source with these values in place, and why some could not be written.

    Parameters
    ----------
    source
        The file as it is now.
    params
        What to write.

    Returns
    -------
    tuple[bytes, dict[str, str]]
        The new source, and by name the reason for each Param that is left out.

    Raises
    ------
    SourceError
        The source cannot be parsed.
    """
    try:
        wrapper = MetadataWrapper(libcst.parse_module(source))
    except libcst.ParserSyntaxError as error:
        raise SourceError(f"it cannot be parsed: {error}") from error
    module = wrapper.module
    places = wrapper.resolve(PositionProvider)
    names = _names(module)
    calls: dict[int, list[libcst.Call]] = {}
    for node, place in places.items():
        if isinstance(node, libcst.Call) and _last_name(node.func) in names:
            calls.setdefault(place.start.line, []).append(node)
    reasons: dict[str, str] = {}
    edits: dict[libcst.CSTNode, libcst.Call] = {}
    lines = [param.line for param in params]
    for param in params:
        try:
            if lines.count(param.line) > 1 or len(calls.get(param.line, ())) != 1:
                raise SourceError(f"line {param.line} does not declare one Param by itself")
            (call,) = calls[param.line]
            edits[call] = _filled_call(call, param)
        except SourceError as error:
            reasons[param.name] = str(error)
    return module.visit(_Replace(edits)).bytes, reasons


class _Replace(libcst.CSTTransformer):
    def __init__(self, edits: Mapping[libcst.CSTNode, libcst.Call]) -> None:
        super().__init__()
        self._edits = edits

    def leave_Call(  # noqa: N802 -- LibCST's name
        self, original_node: libcst.Call, updated_node: libcst.Call
    ) -> libcst.Call:
        return self._edits.get(original_node, updated_node)


def _names(module: libcst.Module) -> frozenset[str]:
    """Return what the source calls Param: its name, and those it is imported as."""
    names = {"Param"}
    for statement in matchers.findall(module, matchers.ImportFrom()):
        found = getattr(statement, "names", ())
        for alias in found if isinstance(found, Sequence) else ():
            if alias.evaluated_name == "Param" and alias.evaluated_alias:
                names.add(alias.evaluated_alias)
    return frozenset(names)


def _last_name(node: libcst.BaseExpression) -> str:
    return getattr(getattr(node, "attr", node), "value", "")


def _filled_call(call: libcst.Call, param: Declared) -> libcst.Call:
    if np.size(param.value) > _MOST:
        raise SourceError(f"an array of {np.size(param.value)} elements is too large to read")
    if not call.args or call.args[0].keyword is not None or call.args[0].star:
        raise SourceError("its value is not the first argument")
    first, *others = call.args
    filled = _filled(first.value, param)
    if _is_ellipsis(first.value) and np.ndim(param.value):  # the list says the shape
        others = [arg for arg in others if arg.keyword is None or arg.keyword.value != "shape"]
        if not others:
            first = first.with_changes(comma=libcst.MaybeSentinel.DEFAULT)
    return call.with_changes(args=[first.with_changes(value=filled), *others])


def _filled(node: libcst.BaseExpression, param: Declared) -> libcst.BaseExpression:
    value = np.asarray(param.value)
    if _is_ellipsis(node):
        return libcst.parse_expression(repr(value.tolist()))
    if isinstance(node, libcst.Call) and _last_name(node.func) in _MAKERS and node.args:
        inner = _filled(node.args[0].value, param)
        return node.with_changes(args=[node.args[0].with_changes(value=inner), *node.args[1:]])
    written = _literal(node)
    if written is None:
        raise SourceError("its declared value is an expression, not a number or a list of numbers")
    if param.start is None or not np.array_equal(np.asarray(written), np.asarray(param.start)):
        raise SourceError("the file changed since it was imported")
    made: libcst.BaseExpression = _merged(node, value.tolist(), written)
    return made


def _merged(node: Any, value: Any, written: Any) -> Any:
    """Return the literal with the elements replaced that differ, all else as it was."""
    if not isinstance(value, list):
        return node if value == written else libcst.parse_expression(repr(value))
    return node.with_changes(
        elements=[
            element.with_changes(value=_merged(element.value, part, before))
            for element, part, before in zip(node.elements, value, written, strict=True)
        ]
    )


def _literal(node: libcst.BaseExpression) -> Any:
    """Return the number or the nested list that a literal stands for; None for anything else."""
    if isinstance(node, (libcst.Integer, libcst.Float)):
        return node.evaluated_value
    if isinstance(node, libcst.UnaryOperation) and isinstance(node.operator, libcst.Minus):
        inner = _literal(node.expression)
        return -inner if isinstance(inner, (int, float)) else None
    if isinstance(node, (libcst.List, libcst.Tuple)):
        parts = [_literal(element.value) for element in node.elements]
        return None if not parts or None in parts else parts
    return None


def _is_ellipsis(node: libcst.BaseExpression) -> bool:
    return isinstance(node, libcst.Ellipsis)
