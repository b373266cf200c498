"""The alerts about Grace itself: they go to people, whatever Grace is doing, and are never remediated."""

from __future__ import annotations

from dataclasses import dataclass

from catalog.model import Severity, TimeScale
from rules.promql import duration
from rules.yamltext import Value

EXPORTER_JOB = "grace-exporter"
REMEDIATOR_JOB = "grace-remediator"


@dataclass(frozen=True)
class MetaAlert:
    """One alert about Grace. SPAN in `expr` stands for `span`; it and `hold` are seconds at full scale."""

    name: str
    severity: Severity
    expr: str
    summary: str
    description: str
    span: float = 300.0
    hold: float = 0.0


def _down(job: str) -> str:
    return f'up{{job="{job}"}} == 0 or absent(up{{job="{job}"}})'


ALERTS: tuple[MetaAlert, ...] = (
    MetaAlert(
        "GraceExporterDown",
        Severity.CRITICAL,
        _down(EXPORTER_JOB),
        "Grace's exporter is not being scraped",
        "Nothing is measured, so nothing is noticed. Look at the exporter's log and at its target in Prometheus.",
        hold=60,
    ),
    MetaAlert(
        "GraceRemediatorDown",
        Severity.CRITICAL,
        _down(REMEDIATOR_JOB),
        "Grace's remediator is down",
        "Alerts are not being worked on. Alertmanager keeps sending; what is missed is reconciled when it is back.",
        hold=60,
    ),
    MetaAlert(
        "GraceLedgerNotWritable",
        Severity.CRITICAL,
        "grace_remediator_ledger_writable == 0",
        "Grace cannot write its ledger",
        "No action is taken that cannot be recorded first. Look at the disk and the database.",
        hold=30,
    ),
    MetaAlert(
        "GraceAuditBroken",
        Severity.CRITICAL,
        "grace_remediator_audit_ok == 0",
        "Grace's audit record does not verify",
        "An entry was changed, removed or added behind its back. Run `grace audit verify`; keep the ledger as it is.",
    ),
    MetaAlert(
        "GraceEscalation",
        Severity.CRITICAL,
        "grace_remediator_escalations == 1",
        "Grace wants a person for {{ $labels.metric_id }} of {{ $labels.resource }}",
        "What could be done was done, or may not be. `grace incidents` tells what was tried and why it stopped.",
    ),
    MetaAlert(
        "GraceApprovalsAgeing",
        Severity.WARNING,
        "min_over_time(grace_remediator_approvals_pending[SPAN]) > 0",
        "A plan has been waiting for approval",
        "At least one approval has been pending all the time. `grace approvals` lists them; they expire unanswered.",
        span=600,
    ),
    MetaAlert(
        "GraceRulesFailing",
        Severity.CRITICAL,
        'increase(prometheus_rule_evaluation_failures_total{rule_group=~".*;grace[.].*"}[SPAN]) > 0',
        "Prometheus fails to evaluate {{ $labels.rule_group }}",
        "Bands and alerts of this group are missing. Prometheus' log and its rules page name the error.",
    ),
    MetaAlert(
        "GraceRulesLate",
        Severity.WARNING,
        'increase(prometheus_rule_group_iterations_missed_total{rule_group=~".*;grace[.].*"}[SPAN]) > 2',
        "Prometheus skips evaluations of {{ $labels.rule_group }}",
        "A group takes longer than its interval, so measurements are lost. Prometheus needs more room.",
    ),
)


def span(alert: MetaAlert, scale: TimeScale) -> float:
    """Seconds of the range that the alert looks back over, at this scale."""
    return max(alert.span * _factor(scale), 4 * scale.scrape_interval())


def hold(alert: MetaAlert, scale: TimeScale) -> float:
    """Seconds for which the alert must hold before it fires, at this scale; 0 for at once."""
    return max(alert.hold * _factor(scale), 2 * scale.scrape_interval()) if alert.hold else 0.0


def _factor(scale: TimeScale) -> float:
    return 0.1 if scale.drill else scale.factor


def meta_group(scale: TimeScale, docs: str) -> dict[str, Value]:
    """The group `grace.meta`, and `GraceHandling`: no call for anybody, but what silences people's alerts meanwhile."""
    rules: list[Value] = []
    for alert in ALERTS:
        rule: dict[str, Value] = {"alert": alert.name, "expr": alert.expr.replace("SPAN", duration(span(alert, scale)))}
        if alert.hold:
            rule["for"] = duration(hold(alert, scale))
        rule["labels"] = {"severity": alert.severity.value, "category": "grace", "audience": "people"}
        rule["annotations"] = {
            "summary": alert.summary,
            "description": alert.description,
            "runbook_url": f"{docs}/reference/metrics.md#{alert.name.lower()}",
        }
        rules.append(rule)
    rules.append(
        {
            "alert": "GraceHandling",
            "expr": "grace_remediator_handling == 1",
            "labels": {"severity": "none", "category": "grace"},
            "annotations": {
                "summary": "Grace is handling {{ $labels.metric_id }} of {{ $labels.resource }}",
                "description": "Nobody is called for what Grace is handling. It calls a person when it cannot.",
                "runbook_url": f"{docs}/reference/metrics.md#gracehandling",
            },
        }
    )
    return {"name": "grace.meta", "interval": duration(scale.scrape_interval()), "rules": rules}
