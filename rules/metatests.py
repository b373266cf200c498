"""Promtool unit tests for the alerts about Grace itself: well, broken for a while, well again."""

from __future__ import annotations

from dataclasses import dataclass

from catalog.model import TimeScale
from rules.meta import ALERTS, EXPORTER_JOB, REMEDIATOR_JOB, hold, span
from rules.promql import duration
from rules.yamltext import Value

_FAULTY = '{metric_id="infra.cpu_utilization",resource="api-1"}'
_GROUP = '{rule_group="/etc/rules/infra.yml;grace.infra.cpu_utilization"}'


@dataclass(frozen=True)
class Breakage:
    """One series that breaks: its value while it is well and while it is not; `None` is gone, `+` counts up."""

    alert: str
    series: str
    well: str
    broken: str | None
    extra: str = ""
    """Labels that the alert has from the series, as promtool writes them."""


BREAKAGES: tuple[Breakage, ...] = (
    Breakage("GraceExporterDown", f'up{{job="{EXPORTER_JOB}"}}', "1", "0", f'job="{EXPORTER_JOB}"'),
    Breakage("GraceExporterDown", f'up{{job="{EXPORTER_JOB}"}}', "1", None, f'job="{EXPORTER_JOB}"'),
    Breakage("GraceRemediatorDown", f'up{{job="{REMEDIATOR_JOB}"}}', "1", "0", f'job="{REMEDIATOR_JOB}"'),
    Breakage("GraceRemediatorDown", f'up{{job="{REMEDIATOR_JOB}"}}', "1", None, f'job="{REMEDIATOR_JOB}"'),
    Breakage("GraceLedgerNotWritable", "grace_remediator_ledger_writable", "1", "0"),
    Breakage("GraceAuditBroken", "grace_remediator_audit_ok", "1", "0"),
    Breakage("GraceEscalation", f"grace_remediator_escalations{_FAULTY}", "0", "1", _FAULTY[1:-1]),
    Breakage("GraceApprovalsAgeing", "grace_remediator_approvals_pending", "0", "2"),
    Breakage("GraceRulesFailing", f"prometheus_rule_evaluation_failures_total{_GROUP}", "0", "+", _GROUP[1:-1]),
    Breakage("GraceRulesLate", f"prometheus_rule_group_iterations_missed_total{_GROUP}", "0", "+", _GROUP[1:-1]),
    Breakage("GraceHandling", f"grace_remediator_handling{_FAULTY}", "0", "1", _FAULTY[1:-1]),
)


def meta_test(scale: TimeScale) -> Value:
    """The promtool document for `grace.yml`: each breakage by itself, everything else being well."""
    return {
        "rule_files": ["../grace.yml"],
        "evaluation_interval": duration(scale.scrape_interval()),
        "tests": [_test(breakage, scale) for breakage in BREAKAGES],
    }


def _test(breakage: Breakage, scale: TimeScale) -> Value:
    step = scale.scrape_interval()
    due, clear = _delays(breakage, scale)
    before, during = 10, round(due / step) + 6
    after = round(clear / step) + 6
    others = {each.series: each.well for each in BREAKAGES if each.series != breakage.series}
    series: list[Value] = [
        {"series": name, "values": f"{well}x{before + during + after}"} for name, well in others.items()
    ]
    series.append({"series": breakage.series, "values": _values(breakage, before, during, after)})
    broken_at, mended_at = before * step, (before + during) * step
    checks = [(broken_at - step, False), (broken_at + due + 3 * step, True), (mended_at + clear + 3 * step, False)]
    if due > 2 * step:
        checks.append((broken_at + due - 2 * step, False))
    return {
        "name": f"{breakage.alert}: {breakage.series} {'gone' if breakage.broken is None else breakage.broken}",
        "interval": duration(step),
        "input_series": series,
        "promql_expr_test": [_check(breakage, when, fires) for when, fires in sorted(checks)],
    }


def _delays(breakage: Breakage, scale: TimeScale) -> tuple[float, float]:
    """Seconds from the breakage until it fires for sure, and from the mending until it is over."""
    alert = next((each for each in ALERTS if each.name == breakage.alert), None)
    if alert is None:
        return 0.0, 0.0
    within = span(alert, scale) if "SPAN" in alert.expr else 0.0
    counts_up = breakage.broken == "+"
    return hold(alert, scale) + (0.0 if counts_up else within), within if counts_up else 0.0


def _values(breakage: Breakage, before: int, during: int, after: int) -> str:
    well = f"{breakage.well}x{before - 1}"
    if breakage.broken is None:
        return f"{well} stale _x{during - 1} {breakage.well}x{after}"
    if breakage.broken == "+":
        return f"{well} 1+1x{during - 1} {during}x{after}"
    return f"{well} {breakage.broken}x{during - 1} {breakage.well}x{after}"


def _check(breakage: Breakage, when: float, fires: bool) -> Value:
    severity, audience = next(
        ((alert.severity.value, 'audience="people", ') for alert in ALERTS if alert.name == breakage.alert),
        ("none", ""),
    )
    extra = f", {breakage.extra}" if breakage.extra else ""
    labels = (
        f'ALERTS{{alertname="{breakage.alert}", alertstate="firing", {audience}category="grace", '
        f'severity="{severity}"{extra}}}'
    )
    return {
        "expr": 'ALERTS{alertstate="firing"}',
        "eval_time": duration(when),
        "exp_samples": [{"labels": labels, "value": 1}] if fires else [],
    }
