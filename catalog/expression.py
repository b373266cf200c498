"""PromQL that was written by others, parsed: here alone, for a parser that is given too much ends the process."""

from __future__ import annotations

import re
from typing import Any

import promql_parser as ast

LONGEST = 5000
"""Characters of an expression, what stands in its strings and comments aside."""
DEEPEST = 200
"""Operators, calls and parentheses within one another."""
_ASIDE = re.compile(r"""#[^\n]*|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|`[^`]*`""")
_QUOTES = frozenset("\"'`")


def parsed(text: str) -> Any:
    """The expression's tree. Raises ValueError where it is none, or more than can be looked into."""
    # The parser calls itself for each operator and parenthesis: some thousands of them end the process.
    if _length(text) > LONGEST:
        raise ValueError(f"longer than {LONGEST} characters without its strings")
    expr = ast.parse(text)
    level, depth = [expr], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise ValueError(f"nested more than {DEEPEST} deep")
        level = [inner for each in level for inner in (*children(each), *_parameter(each))]
    return expr


def _length(text: str) -> int:
    # A string is left as two characters: it may be what an operator stands beside.
    code = _ASIDE.sub("__", text)
    return len(text if _QUOTES & set(code) else code)


def _parameter(expr: Any) -> list[Any]:
    """What stands before the comma in `topk(5, a)`."""
    return [expr.param] if isinstance(expr, ast.AggregateExpr) and expr.param is not None else []


def children(expr: Any) -> list[Any]:
    """What an expression is directly made of, the parameter of an aggregation aside."""
    if isinstance(expr, ast.BinaryExpr):
        return [expr.lhs, expr.rhs]
    if isinstance(expr, ast.Call):
        return list(expr.args)
    if isinstance(expr, ast.MatrixSelector):
        return [expr.vector_selector]
    if isinstance(expr, ast.AggregateExpr | ast.ParenExpr | ast.UnaryExpr | ast.SubqueryExpr):
        return [expr.expr]
    return []
