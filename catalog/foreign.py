"""A team's existing Prometheus alerts, as catalog entries and bindings, with a list of what was not understood.

Two alerts that compare one expression with a number, one for warning and one for critical, are a metric with bands:
it becomes an entry, and a recording rule that gives the expression's value a `resource`. Any other alert whose
expression can be read becomes a binding, verified by that very expression.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Literal

import promql_parser
import yaml

from catalog.document import Document
from catalog.expression import parsed
from catalog.fault import CatalogError, shown
from catalog.model import parse_duration
from catalog.notation import parse_bands, plain_decimal

Side = Literal["high", "low"]
_SIDES: Mapping[str, Side] = {">": "high", ">=": "high", "<": "low", "<=": "low"}
_MIRRORED = {">": "<", ">=": "<=", "<": ">", "<=": ">="}
_SEVERITIES = {"critical": "critical", "page": "critical", "warning": "warning", "ticket": "warning", "warn": "warning"}
_HEADER = (
    "# yaml-language-server: $schema={schema}\n# Imported from {source}. Look it over: which target, which playbooks?\n"
)


@dataclass(frozen=True, slots=True)
class Wishes:
    """What the rules do not say: whom the alerts are about, what may be done, which label names the resource."""

    target: str = "governance"
    playbooks: tuple[str, ...] = ("run-postmortem",)
    resource_label: str = "instance"
    category: str = "infra"


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of a rule file. `interval` and `hold` (its `for`) are in seconds."""

    name: str
    expr: str
    severity: str
    interval: float
    hold: float
    summary: str


@dataclass(frozen=True, slots=True)
class Comparison:
    """An expression that is compared with a number; `guarded` where further conditions stand beside it."""

    value: str
    plain: str
    sign: str
    edge: Decimal

    @property
    def side(self) -> Side:
        return _SIDES[self.sign]

    @property
    def guarded(self) -> bool:
        return self.value != self.plain


@dataclass
class Imported:
    """What became of a rule file."""

    metrics: list[dict[str, Any]] = field(default_factory=list)
    bindings: list[dict[str, Any]] = field(default_factory=list)
    records: list[dict[str, Any]] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """What was not understood, or stays as it is, a line each."""

    def catalog_text(self, source: str, schema: str) -> str:
        """The catalog file."""
        content = {"metrics": self.metrics, "bindings": self.bindings}
        return _HEADER.format(schema=schema, source=source) + _dumped({k: v for k, v in content.items() if v} or {})

    def rules_text(self, source: str) -> str:
        """The rule file with the recording rules that the metrics need."""
        # As often as Grace's own rules look: they take a value that is older than two scrapes for gone.
        groups = [{"name": "grace.imported", "interval": "15s", "rules": self.records}]
        head = f"# Imported from {source}: gives each value a `resource`. Load it in Prometheus.\n"
        return head + _dumped({"groups": groups})


def _dumped(content: Any) -> str:
    return str(yaml.safe_dump(content, sort_keys=False, allow_unicode=True, width=110))


def imported(document: Document, wishes: Wishes) -> Imported:
    """What a rule file means in Grace's terms. Raises CatalogError where it is not a rule file at all."""
    answer = Imported()
    alerts = _alerts(document, answer.left)
    pairs, single = _paired(alerts)
    for low_severity, high_severity, warning, critical in pairs:
        try:
            said = high_severity.summary or low_severity.summary
            _add_metric(answer, replace(high_severity, summary=said), warning, critical, wishes)
        except ValueError as error:
            answer.left.append(f"{high_severity.name}: no metric, for {error}; bound instead")
            single += [low_severity, high_severity]
    taken: set[str] = set()
    names = [alert.name for alert in single]
    for alert in single:
        matchers = [f'alertname="{_escaped(alert.name)}"']
        if names.count(alert.name) > 1:
            matchers.append(f'severity="{_escaped(alert.severity)}"')
        if ", ".join(matchers) in taken:
            answer.left.append(f"{alert.name}: a second alert with the same name and severity; only the first is bound")
            continue
        taken.add(", ".join(matchers))
        binding = {"matchers": matchers, "target": wishes.target, "playbooks": list(wishes.playbooks)}
        answer.bindings.append({**binding, "verify": alert.expr})
    return answer


def _alerts(document: Document, left: list[str]) -> list[Alert]:
    groups = document.value.get("groups") if isinstance(document.value, dict) else None
    if not isinstance(groups, list):
        raise CatalogError([document.fault((), "not a rule file: it has no list of `groups`")])
    found = []
    for number, group in enumerate(groups):
        rules = group.get("rules") if isinstance(group, dict) else None
        if not isinstance(rules, list):
            left.append(str(document.fault(("groups", number), "not a group: it has no list of `rules`")))
            continue
        for index, rule in enumerate(rules):
            alert = _alert(document, ("groups", number, "rules", index), rule, group, left)
            found += [alert] if alert else []
    return found


def _alert(document: Document, where: tuple[str | int, ...], rule: Any, group: Any, left: list[str]) -> Alert | None:
    if isinstance(rule, dict) and isinstance(rule.get("record"), str):
        left.append(f"{shown(rule['record'])[1:-1]}: a recording rule; it stays where it is")
        return None
    name, expr = (rule.get("alert"), str(rule.get("expr", ""))) if isinstance(rule, dict) else (None, "")
    if not isinstance(name, str) or not name:
        left.append(str(document.fault(where, "neither an alert nor a recording rule")))
        return None
    try:
        parsed(expr)
        interval = parse_duration(group.get("interval", "1m"))
        hold = parse_duration(rule.get("for", 0))
    except ValueError as error:
        left.append(str(document.fault(where, f"the alert {shown(name)} cannot be read: {error}")))
        return None
    labels, annotations = (_strings(rule.get(key)) for key in ("labels", "annotations"))
    said = annotations.get("summary") or annotations.get("description") or ""
    summary = "" if "{{" in said else " ".join(said.split())
    return Alert(name, expr.strip(), labels.get("severity", ""), interval, hold, summary)


def _strings(value: Any) -> dict[str, str]:
    return {str(key): str(each) for key, each in value.items()} if isinstance(value, dict) else {}


def _paired(alerts: Sequence[Alert]) -> tuple[list[tuple[Alert, Alert, Comparison, Comparison]], list[Alert]]:
    """Alerts that are the warning and the critical of one value, and those that are not."""
    groups: dict[tuple[str, Side], list[tuple[Alert, Comparison]]] = {}
    single = []
    for alert in alerts:
        comparison = comparison_in(alert.expr)
        if comparison is None or alert.severity.lower() not in _SEVERITIES:
            single.append(alert)
        else:
            groups.setdefault((comparison.value, comparison.side), []).append((alert, comparison))
    pairs = []
    for members in groups.values():
        by_severity = {_SEVERITIES[alert.severity.lower()]: (alert, compared) for alert, compared in members}
        if len(members) == 2 and len(by_severity) == 2:
            (low, warning), (high, critical) = by_severity["warning"], by_severity["critical"]
            pairs.append((low, high, warning, critical))
        else:
            single += [alert for alert, _ in members]
    return pairs, sorted(single, key=alerts.index)


def comparison_in(expr: str) -> Comparison | None:
    """The one comparison with a number that decides an alert, and its value with that comparison taken out.

    None where there is none, or where its value could not be read back from what is left.
    """
    found = _comparison(parsed(expr))
    if found is None:
        return None
    try:
        parsed(found.value)
    except ValueError:
        return None
    return found


def _comparison(node: Any) -> Comparison | None:
    if isinstance(node, promql_parser.ParenExpr):
        return _comparison(node.expr)
    if not isinstance(node, promql_parser.BinaryExpr):
        return None
    sign = str(node.op)
    if sign in ("and", "unless"):
        inner = _comparison(node.lhs)
        if inner is None:
            return None
        # The text of the node begins with that of its left side, so that modifiers such as on(...) are kept.
        rest = str(node).removeprefix(str(node.lhs))
        return Comparison(f"({inner.value}){rest}", inner.plain, inner.sign, inner.edge)
    if sign not in _SIDES or getattr(node.modifier, "return_bool", False):
        return None
    if isinstance(node.rhs, promql_parser.NumberLiteral):
        return _compared(node.lhs, sign, node.rhs.val)
    if isinstance(node.lhs, promql_parser.NumberLiteral):
        return _compared(node.rhs, _MIRRORED[sign], node.lhs.val)
    return None


def _compared(side: Any, sign: str, edge: float) -> Comparison | None:
    if edge != edge or abs(edge) == float("inf"):
        return None
    return Comparison(str(side), str(side), sign, plain_decimal(Decimal(repr(edge))))


def _add_metric(answer: Imported, alert: Alert, warning: Comparison, critical: Comparison, wishes: Wishes) -> None:
    name = _unused(_snake(alert.name), [metric["id"].partition(".")[2] for metric in answer.metrics])
    written = _bands(warning, critical)
    parse_bands(written)
    series = f"grace_imported:{name}:value"
    derive = {"kind": "gauge", "series": series}
    fold = "max" if critical.side == "high" else "min"
    answer.records.append({"record": series, "expr": _by_resource(fold, critical.value, wishes)})
    if critical.guarded:
        derive["present"] = f"grace_imported:{name}:present"
        answer.records.append({"record": derive["present"], "expr": _by_resource("group", critical.plain, wishes)})
    # Three critical measurements in a row stand for what `for` asked.
    interval = min(max(alert.interval, alert.hold / 3, 1.0), 28800.0)
    answer.metrics.append(
        {
            "id": f"{wishes.category}.{name}",
            "title": alert.name,
            **({"description": alert.summary} if alert.summary else {}),
            "category": wishes.category,
            "unit": "count",
            "unit_label": "",
            "interval": interval,
            "window": max(300.0, 3 * interval),
            "resource_is": wishes.resource_label,
            "source": "prometheus",
            "derive": derive,
            "aggregate": "avg",
            "empty": "idle" if critical.guarded else "absent",
            "bands": written,
            "warning": list(wishes.playbooks),
            "critical": list(wishes.playbooks),
        }
    )


def _bands(warning: Comparison, critical: Comparison) -> dict[str, str]:
    near, far = warning.edge, critical.edge
    within, beyond = ("<", ">") if critical.side == "high" else (">", "<")
    if (far < near) == (critical.side == "high") and near != far:
        raise ValueError("its warning lies beyond its critical")
    closed = "" if warning.sign.endswith("=") else "="
    low, high = sorted((near, far))
    return {"good": f"{within}{closed} {near:f}", "warning": f"{low:f}..{high:f}", "critical": f"{beyond} {far:f}"}


def _by_resource(fold: str, value: str, wishes: Wishes) -> str:
    return f'{fold} by (resource) (label_replace({value}, "resource", "$1", "{wishes.resource_label}", "(.+)"))'


def _snake(name: str) -> str:
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+|[0-9]+", name)
    text = "_".join(word.lower() for word in words)[:60].strip("_")
    return text if text[:1].isalpha() else f"alert_{text}".strip("_")


def _unused(name: str, taken: Iterable[str]) -> str:
    used = set(taken)
    return next(each for each in (name, *(f"{name}_{number}" for number in range(2, 10_000))) if each not in used)


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
