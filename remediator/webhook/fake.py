"""The notification that a metric's own alert would cause, made without a fault: for tests and for trying things out."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote_plus

from catalog.config import GraceConfig
from catalog.model import Category, Edges, MetricCatalogEntry, Severity
from remediator.promql import duration
from remediator.webhook.notification import ZERO_TIME, Notification, NotifiedAlert
from remediator.webhook.timestamp import format_timestamp

GROUP_BY = ("metric_id", "resource", "severity")
ROUTE = '{}/{grace="true"}'

_USUAL: Mapping[Category, str] = {
    Category.API: "api",
    Category.EXECUTOR: "workers",
    Category.LEARNING: "ingestion",
    Category.AUTONOMY: "grace",
    Category.INFRA: "api-1",
}


def usual_resource(metric: MetricCatalogEntry) -> str:
    """What the demo calls the first resource of a metric."""
    return "demo-volume" if metric.resource_is == "volume" else _USUAL[metric.category]


def notification(
    metric: MetricCatalogEntry,
    severity: Severity,
    resource: str,
    config: GraceConfig,
    *,
    starts_at: float,
    ends_at: float | None = None,
) -> Notification:
    """What Alertmanager, configured by `grace rules build`, posts of this metric's alert, resolved where it has an end.

    Times are epoch seconds, to the millisecond. `metric` is as the catalog has it; `config` scales its interval.
    """
    alert = NotifiedAlert(
        status="firing" if ends_at is None else "resolved",
        labels={
            "alertname": metric.alertname,
            "severity": severity.value,
            "metric_id": metric.id,
            "category": metric.category.value,
            "resource": resource,
            "grace": "true",
        },
        annotations=_annotations(metric, severity, resource),
        starts_at=format_timestamp(starts_at),
        ends_at=ZERO_TIME if ends_at is None else format_timestamp(ends_at),
        generator_url=_generator_url(metric, severity, config),
    )
    return Notification(
        receiver=config.alertmanager.receiver,
        alerts=(alert,),
        group_by=GROUP_BY,
        route=ROUTE,
        external_url=config.alertmanager.url,
    )


def _annotations(metric: MetricCatalogEntry, severity: Severity, resource: str) -> dict[str, str]:
    sides = (("above", metric.bands.high), ("below", metric.bands.low))
    edges = " or ".join(_edge(metric, edges, side, severity) for side, edges in sides if edges is not None)
    return {
        "summary": f"{metric.title} of {resource} is {severity.value} ({edges})",
        "description": metric.description or metric.title,
        "runbook_url": f"docs/reference/metrics.md#{metric.id.replace('.', '')}",
    }


def _edge(metric: MetricCatalogEntry, edges: Edges, side: str, severity: Severity) -> str:
    critical = severity is Severity.CRITICAL
    at = "" if critical or not edges.warning_owns_edge else "at or "
    edge = edges.critical if critical else edges.warning
    return f"{at}{side} {edge.normalize():f} {metric.unit_label}"


def _generator_url(metric: MetricCatalogEntry, severity: Severity, config: GraceConfig) -> str:
    """The page on which Prometheus shows the expression of the alert's rule."""
    half = duration(config.time_scale.interval(metric.interval) / 2)
    rank = 2 if severity is Severity.CRITICAL else 1
    expression = f'last_over_time(resource:grace_alert:severity{{metric_id="{metric.id}"}}[{half}]) == {rank}'
    return f"{config.prometheus.url.rstrip('/')}/graph?g0.expr={quote_plus(expression)}&g0.tab=1"
