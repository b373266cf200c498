"""What can be seen in a query by reading it: which series, under which functions, and which labels may come out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import promql_parser as parser

from catalog.expression import parsed
from grafana.check.variables import Value, replaced

RATES = frozenset({"rate", "irate", "increase"})
DELTAS = frozenset({"delta", "idelta", "deriv", "predict_linear"})
_COUNTER_ENDS = ("_total", "_count", "_sum", "_bucket")
_GAUGE_ENDS = ("_ratio", "_info", "_timestamp_seconds", "_created")
_SETS = frozenset({"and", "or", "unless"})
_LEGEND = re.compile(r"\{\{\s*(.+?)\s*\}\}")
_GUESSES = ("1", "1m", "x")


class NoPromQL(ValueError):
    """The text is no PromQL; the message says why."""


@dataclass(frozen=True)
class Use:
    """A series, and the function it is directly in."""

    metric: str
    function: str


def parse(expr: str) -> Any:
    """The tree of an expression. Raises NoPromQL."""
    try:
        return parsed(expr)
    except ValueError as error:
        raise NoPromQL(" ".join(str(error).split())) from error


def parse_unresolved(expr: str, values: Mapping[str, Value], names: frozenset[str]) -> Any:
    """The tree of an expression of whose variables (`names`) only some are known: the others are guessed, as what
    fits a label, a number or a duration. Raises NoPromQL where no guess makes it PromQL."""
    problem: NoPromQL | None = None
    for guess in _GUESSES:
        guesses = {name: Value((guess,), raw=True) for name in names if name not in values}
        try:
            return parse(replaced(expr, {**guesses, **values}))
        except NoPromQL as error:
            problem = problem or error
    assert problem is not None
    raise problem


def uses(tree: Any) -> Iterator[Use]:
    """Every series that is named in the expression, with the function around it (empty where there is none)."""
    found: list[Use] = []
    direct: set[int] = set()

    def visit(node: Any) -> None:
        if isinstance(node, parser.Call):
            for argument in node.args:
                selector = _selector(argument)
                if selector is not None:
                    direct.add(_key(selector))
                    found.append(Use(_metric(selector), node.func.name))
        elif isinstance(node, parser.VectorSelector) and _key(node) not in direct:
            found.append(Use(_metric(node), ""))
        elif isinstance(node, parser.MatrixSelector) and _key(node.vector_selector) not in direct:
            found.append(Use(_metric(node.vector_selector), ""))

    parser.walk(tree, visit)
    return (use for use in dict.fromkeys(found) if use.metric)


def wrong_function(use: Use, kind: str) -> str:
    """What is wrong with the function around a series of this kind (counter, gauge, …; empty where not known)."""
    kind = kind if kind not in ("", "unknown", "untyped") else _by_name(use.metric)
    counted = kind == "counter" or (kind in ("histogram", "summary") and use.metric.endswith(_COUNTER_ENDS))
    if use.function in RATES and kind in ("gauge", "info", "stateset", "gaugehistogram"):
        return f"{use.function}() of {use.metric}, which is a {kind}"
    if use.function in DELTAS and counted:
        return f"{use.function}() of {use.metric}, which is a counter"
    return ""


def legend_labels(legend: str) -> frozenset[str]:
    """The labels that a legend names. `__auto` and an empty one name none."""
    return frozenset(_LEGEND.findall(legend))


def rendered(legend: str, labels: Mapping[str, str]) -> str:
    """The legend of a series with these labels."""
    return _LEGEND.sub(lambda found: labels.get(found[1], ""), legend)


def labels(tree: Any) -> frozenset[str] | None:
    """The labels that the result can have at most; None where that cannot be told without the data."""
    match tree:
        case parser.ParenExpr() | parser.UnaryExpr():
            return labels(tree.expr)
        case parser.NumberLiteral() | parser.StringLiteral():
            return frozenset()
        case parser.AggregateExpr():
            return _aggregated(tree)
        case parser.Call():
            return _called(tree)
        case parser.BinaryExpr():
            return _combined(tree)
        case _:
            return None


def _aggregated(tree: Any) -> frozenset[str] | None:
    operation = str(tree.op).lower()
    if operation in ("topk", "bottomk", "limitk", "limit_ratio"):
        return labels(tree.expr)
    if operation == "count_values":
        return None
    if tree.modifier is None:
        return frozenset()
    if tree.modifier.type == parser.AggModifierType.By:
        return frozenset(tree.modifier.labels)
    inner = labels(tree.expr)
    return None if inner is None else inner - set(tree.modifier.labels)


def _called(tree: Any) -> frozenset[str] | None:
    name = tree.func.name
    if name in ("time", "vector", "scalar", "pi"):
        return frozenset()
    if name in ("label_replace", "label_join"):
        inner = labels(tree.args[0])
        return None if inner is None else inner | {tree.args[1].val}
    vectors = [labels(argument) for argument in tree.args if not _literal(argument)]
    if name == "histogram_quantile" and vectors and vectors[0] is not None:
        return vectors[0] - {"le"}
    return vectors[0] if len(vectors) == 1 else None


def _combined(tree: Any) -> frozenset[str] | None:
    left, right = labels(tree.lhs), labels(tree.rhs)
    operation = str(tree.op).lower()
    if operation == "or":
        return None if left is None or right is None else left | right
    if operation in _SETS or _literal(tree.rhs):
        return left
    if _literal(tree.lhs):
        return right
    modifier = tree.modifier
    if modifier is not None and modifier.group_labels:
        return None
    if modifier is not None and modifier.card == parser.VectorMatchCardinality.OneToMany:
        return right
    return left


def _literal(node: Any) -> bool:
    if isinstance(node, parser.ParenExpr | parser.UnaryExpr):
        return _literal(node.expr)
    if isinstance(node, parser.BinaryExpr):
        return _literal(node.lhs) and _literal(node.rhs)
    if isinstance(node, parser.Call):
        return bool(node.func.name in ("time", "scalar", "pi"))
    return isinstance(node, parser.NumberLiteral | parser.StringLiteral)


def _selector(node: Any) -> Any:
    """The series directly under a function's argument, also through a subquery or parentheses."""
    while isinstance(node, parser.ParenExpr | parser.SubqueryExpr):
        node = node.expr
    if isinstance(node, parser.MatrixSelector):
        return node.vector_selector
    return node if isinstance(node, parser.VectorSelector) else None


def _metric(selector: Any) -> str:
    if selector.name:
        return str(selector.name)
    for matcher in selector.matchers.matchers:
        if matcher.name == "__name__" and matcher.op == parser.MatchOp.Equal:
            return str(matcher.value)
    return ""


def _key(selector: Any) -> int:
    return hash(str(selector))


def _by_name(metric: str) -> str:
    """The kind that a name of Prometheus' conventions says."""
    if ":" in metric:
        return ""
    if metric.endswith(("_total", "_bucket")):
        return "counter"
    return "gauge" if metric.endswith(_GAUGE_ENDS) else ""
