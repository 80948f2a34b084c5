"""Rewrite a test that asserts into one that measures how far its assertions are from holding.

The source of the test is parsed again; each ``assert`` becomes a call of an
:class:`pytest_soft.asserts.Asserts`, which the rewritten function takes as one more argument.
The function itself stays as it is, for the check.
"""

from __future__ import annotations

import ast
import functools
import linecache
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType, MethodType
from typing import Any

__all__ = ["softened"]

_SOFT = "@soft"  # a name that no program can have

_OPS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
    ast.Is: "is",
    ast.IsNot: "is not",
    ast.In: "in",
    ast.NotIn: "not in",
}
_OPPOSITE = {"==": "!=", "<": ">=", "<=": ">", "is": "is not", "in": "not in"}
_OPPOSITE |= {there: here for here, there in _OPPOSITE.items()}
_MAGNITUDES = frozenset({"abs", "absolute", "fabs"})
_OWN_SCOPE = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda, ast.ClassDef)
_BOUND_HERE = (ast.NamedExpr, ast.Await, ast.Yield, ast.YieldFrom)


def softened(function: Callable[..., Any]) -> Callable[..., Any] | None:
    """Return the test function that measures, or None for one that does not rely on asserts.

    A test relies on them where it asserts and returns nothing.

    Parameters
    ----------
    function
        A plain function, or a bound method.

    Returns
    -------
    callable or None
        Takes the keyword argument ``soft``, an :class:`pytest_soft.asserts.Asserts`, and those
        of ``function``.
    """
    plain = getattr(function, "__func__", function)
    if not isinstance(plain, FunctionType):
        return None
    code = _rewritten(plain.__code__)
    if code is None:
        return None
    cells = dict(zip(plain.__code__.co_freevars, plain.__closure__ or (), strict=True))
    made = FunctionType(
        code,
        plain.__globals__,
        plain.__name__,
        plain.__defaults__,
        tuple(cells[name] for name in code.co_freevars),
    )
    made.__kwdefaults__ = plain.__kwdefaults__
    call = made if plain is function else MethodType(made, function.__self__)  # type: ignore[attr-defined]
    return lambda *, soft, **keywords: call(**keywords, **{_SOFT: soft})


@functools.cache
def _rewritten(code: CodeType) -> CodeType | None:
    lines = linecache.getlines(code.co_filename)
    if not lines:
        return None
    module = ast.parse("".join(lines), code.co_filename)
    function = _definition(module, code)
    if function is None or _returns(function):
        return None
    rewriter = _Rewriter()
    function.body = [rewriter.visit(statement) for statement in function.body]
    if not rewriter.found:
        return None
    function.args.kwonlyargs.append(ast.arg(_SOFT))
    function.args.kw_defaults.append(None)
    ast.fix_missing_locations(module)
    compiled = compile(module, code.co_filename, "exec", dont_inherit=True)
    return next(c for c in _codes(compiled) if _place(c) == _place(code))


def _place(code: CodeType) -> tuple[str, int]:
    return code.co_name, code.co_firstlineno


def _codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _codes(constant)


def _definition(module: ast.Module, code: CodeType) -> ast.FunctionDef | None:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            lines = [node.lineno, *(d.lineno for d in node.decorator_list)]
            if min(lines) == code.co_firstlineno:
                return node
    return None


def _returns(function: ast.FunctionDef) -> bool:
    """Whether it returns a value or is a generator."""
    left: list[ast.AST] = list(function.body)
    while left:
        node = left.pop()
        if isinstance(node, (ast.Yield, ast.YieldFrom)):
            return True
        if isinstance(node, ast.Return) and not _is_none(node.value):
            return True
        if not isinstance(node, _OWN_SCOPE):
            left.extend(ast.iter_child_nodes(node))
    return False


def _is_none(node: ast.expr | None) -> bool:
    return node is None or (isinstance(node, ast.Constant) and node.value is None)


class _Rewriter(ast.NodeTransformer):
    """Replaces assertions by calls; those whose failure the test itself handles stay."""

    def __init__(self) -> None:
        self.found = 0

    def visit_Try(self, node: ast.Try) -> Any:
        """Leave what the test catches, but not its ``else`` and ``finally``."""
        if not node.handlers:
            return self.generic_visit(node)
        node.orelse = [self.visit(statement) for statement in node.orelse]
        node.finalbody = [self.visit(statement) for statement in node.finalbody]
        return node

    def visit_With(self, node: ast.With) -> Any:
        """Leave what stands inside ``with pytest.raises(...)``."""
        calls = [item.context_expr for item in node.items]
        caught = any(isinstance(c, ast.Call) and "raises" in _last_name(c.func) for c in calls)
        return node if caught else self.generic_visit(node)

    def visit_Assert(self, node: ast.Assert) -> Any:
        """Rewrite an ``assert`` statement."""
        if any(isinstance(part, _BOUND_HERE) for part in ast.walk(node.test)):
            return node  # in a function of its own, it would mean something else
        place = [ast.Constant(node.lineno), ast.Constant(f"assert {ast.unparse(node.test)}")]
        return self._statement(node, "check", [_distance(node.test), *place])

    def visit_Expr(self, node: ast.Expr) -> Any:
        """Rewrite a call such as ``np.testing.assert_allclose(...)``."""
        call = node.value
        if not (isinstance(call, ast.Call) and _last_name(call.func).startswith("assert_")):
            return self.generic_visit(node)
        args = [ast.Constant(node.lineno), ast.Constant(ast.unparse(call)), call.func, *call.args]
        return self._statement(node, "statement", args, call.keywords)

    def _statement(
        self, node: ast.stmt, name: str, args: list[ast.expr], keywords: Any = ()
    ) -> ast.stmt:
        self.found += 1
        return ast.copy_location(ast.Expr(_soft(name, *args, keywords=keywords)), node)


def _soft(name: str, *args: ast.expr, keywords: Any = ()) -> ast.Call:
    method = ast.Attribute(ast.Name(_SOFT, ast.Load()), name, ast.Load())
    return ast.Call(method, list(args), list(keywords))


def _distance(node: ast.expr, *, everywhere: bool = False) -> ast.expr:
    """Return the expression of the distance that stands for the truth of ``node``."""
    if isinstance(node, ast.BoolOp):
        parts = [ast.Lambda(_no_arguments(), _distance(value)) for value in node.values]
        return _soft("both" if isinstance(node.op, ast.And) else "either", *parts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        opposite = _opposite(node.operand)
        return _soft("truth", node) if opposite is None else _distance(opposite)
    if isinstance(node, ast.Compare):
        ops = [ast.Constant(_OPS[type(op)]) for op in node.ops]
        sides = [node.left, *node.comparators]
        fixed = [ast.Constant(_is_literal(side)) for side in sides]
        return _soft(
            "compare",
            ast.Tuple(list(ops), ast.Load()),
            ast.Tuple(list(fixed), ast.Load()),
            *map(_side, sides),
            keywords=[ast.keyword("everywhere", ast.Constant(everywhere))],
        )
    if isinstance(node, ast.Call):
        return _call(node)
    return _soft("truth", node)


def _call(node: ast.Call) -> ast.expr:
    function, args = node.func, node.args
    if isinstance(function, ast.Attribute) and function.attr == "all" and not node.keywords:
        # the function np.all of a comparison, or the method of its result
        inner = args[0] if len(args) == 1 else function.value
        near = isinstance(inner, ast.Call) and _last_name(inner.func) == "isclose"
        if len(args) <= 1 and (near or isinstance(inner, ast.Compare)):
            return _distance(inner, everywhere=True)
    each = args[0] if len(args) == 1 and isinstance(function, ast.Name) else None
    if isinstance(each, (ast.GeneratorExp, ast.ListComp)) and function.id == "all":  # type: ignore[attr-defined]
        return _soft("every", ast.GeneratorExp(_distance(each.elt), each.generators))
    return _soft("call", function, *args, keywords=node.keywords)


def _opposite(node: ast.expr) -> ast.expr | None:
    """Return what is true where ``node`` is not (De Morgan's laws); None if they do not help."""
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        return node.operand
    if isinstance(node, ast.BoolOp):
        parts = [ast.UnaryOp(ast.Not(), value) for value in node.values]
        return ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), list(parts))
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        wanted = _OPPOSITE[_OPS[type(node.ops[0])]]
        op = next(kind for kind, name in _OPS.items() if name == wanted)
        return ast.Compare(node.left, [op()], node.comparators)
    return None


def _side(node: ast.expr) -> ast.expr:
    """Return a side of a comparison; those that tell a tolerance as what holds it."""
    if isinstance(node, ast.Call):
        name = _last_name(node.func)
        if name == "approx":
            return _soft("approx", node.func, *node.args, keywords=node.keywords)
        if name in _MAGNITUDES and len(node.args) == 1 and not node.keywords:
            return _soft("magnitude", node.func, *node.args)
    return node


def _is_literal(node: ast.expr) -> bool:
    while isinstance(node, ast.UnaryOp):
        node = node.operand
    return isinstance(node, ast.Constant)


def _last_name(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")


def _no_arguments() -> ast.arguments:
    return ast.arguments([], [], None, [], [], None, [])
