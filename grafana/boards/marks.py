"""What is marked in every graph: when Grace was at work, and when a person was wanted."""

from __future__ import annotations

from collections.abc import Iterable

from catalog.model import MetricCatalogEntry
from grafana.boards.frame import Annotation
from grafana.boards.ledger import INCIDENT, most
from grafana.boards.panels import BLUE, PURPLE
from grafana.boards.series import ids


def runs(metrics: Iterable[MetricCatalogEntry] = ()) -> Annotation:
    """Runs while they have their target, for these metrics or all: from the first step to the verified outcome."""
    chosen = _matchers(metrics)
    return Annotation(
        name="Runs",
        expr=f"{most(f'grace_remediator_run_active{chosen}', 'playbook, target, state')} > 0",
        title="{{playbook}} on {{target}}",
        text="A run of {{playbook}} on {{target}} is {{state}}",
        color=BLUE,
        tags=("playbook", "target", "state"),
    )


def handled(metrics: Iterable[MetricCatalogEntry] = ()) -> Annotation:
    """From the moment an incident is opened until it is closed or handed to a person, for these metrics or all."""
    return Annotation(
        name="Handled by Grace",
        expr=_over("grace_remediator_handling", metrics),
        title="Grace is at it",
        text="Grace is handling {{metric_id}} of {{resource}}",
        color=PURPLE,
        tags=("metric_id", "resource"),
    )


def wanted(metrics: Iterable[MetricCatalogEntry] = ()) -> Annotation:
    """While a person is wanted for these metrics, or for any."""
    return Annotation(
        name="A person is wanted",
        expr=_over("grace_remediator_escalations", metrics),
        title="A person is wanted",
        text="Escalated: {{metric_id}} of {{resource}}",
        color="orange",
        tags=("metric_id", "resource"),
    )


def _over(series: str, metrics: Iterable[MetricCatalogEntry]) -> str:
    return f"{most(series + _matchers(metrics), INCIDENT)} > 0"


def _matchers(metrics: Iterable[MetricCatalogEntry]) -> str:
    chosen = ids(metrics)
    return f'{{metric_id=~"{chosen}",resource=~"$resource"}}' if chosen else ""
