"""What a parsed PromQL expression is made of, and which labels its result can have: facts for the linter."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import promql_parser as ast

from catalog.expression import children

_COMPARISONS = frozenset({"==", "!=", ">", "<", ">=", "<="})
_SETS = frozenset({"and", "or", "unless"})
_BARE = frozenset({"vector", "scalar", "time", "pi"})


def walk(expr: Any) -> Iterator[Any]:
    """The expression and everything in it, outermost first."""
    yield expr
    for child in children(expr):
        yield from walk(child)


def calls(expr: Any) -> Iterator[Any]:
    return (each for each in walk(expr) if isinstance(each, ast.Call))


def binaries(expr: Any) -> Iterator[Any]:
    return (each for each in walk(expr) if isinstance(each, ast.BinaryExpr))


def aggregations(expr: Any) -> Iterator[Any]:
    return (each for each in walk(expr) if isinstance(each, ast.AggregateExpr))


def selectors(expr: Any) -> Iterator[Any]:
    return (each for each in walk(expr) if isinstance(each, ast.VectorSelector))


def bare(expr: Any) -> Any:
    """The expression without the parentheses around it."""
    while isinstance(expr, ast.ParenExpr):
        expr = expr.expr
    return expr


def is_scalar(expr: Any) -> bool:
    """Whether it is a number rather than series."""
    expr = bare(expr)
    if isinstance(expr, ast.NumberLiteral):
        return True
    if isinstance(expr, ast.Call):
        return expr.func.name in {"scalar", "time", "pi"}
    if isinstance(expr, ast.UnaryExpr):
        return is_scalar(expr.expr)
    return isinstance(expr, ast.BinaryExpr) and is_scalar(expr.lhs) and is_scalar(expr.rhs)


def returns_bool(expr: Any) -> bool:
    """Whether a comparison gives 0 and 1 instead of leaving series out."""
    return expr.modifier is not None and bool(expr.modifier.return_bool)


def arithmetic(expr: Any) -> bool:
    return str(expr.op) not in _COMPARISONS | _SETS


def matched(expr: Any) -> bool:
    """Whether on(…) or ignoring(…) says which labels count."""
    return expr.modifier is not None and expr.modifier.matching is not None


def on(expr: Any) -> list[str]:
    """The labels of on(…)."""
    if not matched(expr) or expr.modifier.matching.type != ast.LabelModifierType.Include:
        return []
    return list(expr.modifier.matching.labels)


def conditional(expr: Any) -> bool:
    """Whether it can give nothing while its series are there."""
    expr = bare(expr)
    if isinstance(expr, ast.BinaryExpr):
        operator = str(expr.op)
        if operator in _COMPARISONS:
            return not returns_bool(expr)
        sides = [conditional(expr.lhs), conditional(expr.rhs)]
        return all(sides) if operator == "or" else operator == "unless" or any(sides)
    if isinstance(expr, ast.Call):
        return expr.func.name.startswith("absent") or any(conditional(each) for each in expr.args)
    return any(conditional(each) for each in children(expr))


def outermost_by(expr: Any) -> list[str] | None:
    """The labels of `by` where an aggregation is the outermost thing; None where it is not."""
    expr = bare(expr)
    if not isinstance(expr, ast.AggregateExpr) or is_without(expr):
        return None
    return list(expr.modifier.labels) if expr.modifier is not None else []


def is_without(expr: Any) -> bool:
    expr = bare(expr)
    by = isinstance(expr, ast.AggregateExpr) and expr.modifier is not None
    return by and expr.modifier.type == ast.AggModifierType.Without


def labels(expr: Any) -> frozenset[str] | None:
    """All labels that a result can have; None where that depends on the series."""
    expr = bare(expr)
    if is_scalar(expr):
        return frozenset()
    if isinstance(expr, ast.AggregateExpr):
        if str(expr.op) in {"topk", "bottomk", "limitk", "limit_ratio"}:
            return labels(expr.expr)
        named = frozenset(expr.modifier.labels) if expr.modifier is not None else frozenset()
        if is_without(expr):
            inner = labels(expr.expr)
            return None if inner is None else inner - named
        return named | {str(bare(expr.param).val)} if str(expr.op) == "count_values" else named
    if isinstance(expr, ast.Call):
        return _labels_of_call(expr)
    if isinstance(expr, ast.BinaryExpr):
        return _labels_of_binary(expr)
    within = children(expr)
    return labels(within[0]) if within else None


def _labels_of_call(expr: Any) -> frozenset[str] | None:
    name = expr.func.name
    if name in _BARE:
        return frozenset()
    if name.startswith("absent"):
        equal = [
            matcher.name
            for selector in selectors(expr)
            for matcher in selector.matchers.matchers
            if matcher.op == ast.MatchOp.Equal
        ]
        return frozenset(equal)
    series = [each for each in expr.args if not isinstance(bare(each), ast.NumberLiteral | ast.StringLiteral)]
    inner = labels(series[0]) if series else frozenset()
    if name in {"label_replace", "label_join"} and inner is not None:
        return inner | {str(expr.args[1].val)}
    return inner - {"le"} if name == "histogram_quantile" and inner is not None else inner


def _labels_of_binary(expr: Any) -> frozenset[str] | None:
    left, right = labels(expr.lhs), labels(expr.rhs)
    if str(expr.op) == "or":
        return None if left is None or right is None else left | right
    if str(expr.op) in {"and", "unless"} or is_scalar(expr.rhs):
        return left
    if is_scalar(expr.lhs):
        return right
    if matched(expr) and expr.modifier.card != ast.VectorMatchCardinality.OneToOne:
        return None
    if on(expr):
        return frozenset(on(expr))
    return left


def bounds(expr: Any) -> tuple[float, float]:
    """Between which numbers two comparisons in a row let values through: `x > 5 < 3` gives (5, 3)."""
    low, high = -math.inf, math.inf
    while isinstance(expr, ast.BinaryExpr) and str(expr.op) in _COMPARISONS and not returns_bool(expr):
        number = bare(expr.rhs)
        if isinstance(number, ast.NumberLiteral):
            if str(expr.op) in {">", ">="}:
                low = max(low, number.val)
            if str(expr.op) in {"<", "<="}:
                high = min(high, number.val)
        expr = bare(expr.lhs)
    return low, high


def may_be_nan(expr: Any) -> bool:
    """Whether a division or a quantile reaches the result with no comparison on its way."""
    expr = bare(expr)
    if isinstance(expr, ast.BinaryExpr):
        if str(expr.op) in _COMPARISONS:
            return False
        if str(expr.op) == "/" and not isinstance(bare(expr.rhs), ast.NumberLiteral):
            return True
    if isinstance(expr, ast.Call) and expr.func.name == "histogram_quantile":
        return True
    return any(may_be_nan(each) for each in children(expr))


def seconds(expr: Any) -> float | None:
    """The range of a range selector; None for anything else, a subquery among it."""
    return float(expr.range.total_seconds()) if isinstance(expr, ast.MatrixSelector) else None
