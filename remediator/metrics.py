"""The remediator's own metrics. Counters count since the process started; the rest is read from the ledger."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client import CollectorRegistry, Counter, Gauge, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.gc_collector import GCCollector
from prometheus_client.process_collector import ProcessCollector
from prometheus_client.registry import Collector
from sqlalchemy.engine import Connection

from remediator import figures
from remediator.ledger import alerts, approvals, incidents, runs
from remediator.model import IncidentState
from remediator.pipeline.parts import Parts

HANDLED = frozenset(
    {
        IncidentState.OPEN,
        IncidentState.PLANNING,
        IncidentState.ACTING,
        IncidentState.VERIFYING,
        IncidentState.COOLING,
    }
)
"""States in which people need not be called: Grace is at it."""
WANTED = frozenset({IncidentState.ESCALATED, IncidentState.BLIND})


class Metrics:
    """Rendered by `text()`; counted by `count()`."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        GCCollector(registry=self._registry)
        self._counters = {
            "accepted": Counter("grace_remediator_alerts_accepted", "Alerts stored durably.", registry=self._registry),
            "deduplicated": Counter(
                "grace_remediator_alerts_deduplicated", "Alerts that had been stored before.", registry=self._registry
            ),
            "quarantined": Counter(
                "grace_remediator_payloads_quarantined",
                "Payloads that were not Alertmanager's.",
                registry=self._registry,
            ),
            "leases_lost": Counter(
                "grace_remediator_leases_lost",
                "Claims that ended while this process worked on them: somebody else went on.",
                registry=self._registry,
            ),
        }
        self._rows = _Rows()
        self._decisions = figures.Decisions(parts.ledger.head[0])
        self._times = figures.Times(parts)
        self._registry.register(self._rows)
        self._writable = Gauge(
            "grace_remediator_ledger_writable",
            "1 while the last write to the ledger succeeded.",
            registry=self._registry,
        )
        self._entries = Gauge("grace_remediator_audit_entries", "Entries in the audit log.", registry=self._registry)
        self._anchored = Gauge(
            "grace_remediator_audit_anchored_entries",
            "Entries covered by the newest checkpoint.",
            registry=self._registry,
        )
        self.audit_ok = Gauge(
            "grace_remediator_audit_ok",
            "1 while the audit log verified whole at the last check (at start and every hour).",
            registry=self._registry,
        )
        self.audit_ok.set(1)
        self._check_seconds = Gauge(
            "grace_remediator_audit_check_seconds",
            "How long the last check of the whole audit log took.",
            registry=self._registry,
        )
        self._checked_at = Gauge(
            "grace_remediator_audit_checked_timestamp_seconds", "When that check ended.", registry=self._registry
        )

    def audit_checked(self, whole: bool, seconds: float, now: float) -> None:
        """What the last check of the audit log found."""
        self.audit_ok.set(1 if whole else 0)
        self._check_seconds.set(seconds)
        self._checked_at.set(now)

    def count(self, name: str, by: int) -> None:
        self._counters[name].inc(by)

    async def close(self) -> None:
        """Wait for what is being counted."""
        await self._times.close()

    async def text(self) -> bytes:
        """The exposition in Prometheus' text format."""
        parts = self._parts
        states, more, decisions = await parts.ledger.read(
            lambda connection: (
                _families(connection),
                figures.families(connection, parts),
                self._decisions.read(connection),
            )
        )
        self._rows.families = [*states, *await self._times.families(), *more, self._decisions.add(decisions)]
        self._writable.set(1 if parts.ledger.writable else 0)
        self._entries.set(parts.ledger.head[0])
        self._anchored.set(parts.checkpointer.last().size)
        return generate_latest(self._registry)


class _Rows(Collector):
    def __init__(self) -> None:
        self.families: list[Metric] = []

    def collect(self) -> Iterable[Metric]:
        return self.families


def _families(connection: Connection) -> list[Metric]:
    handling = GaugeMetricFamily(
        "grace_remediator_handling", "1 while Grace is handling it.", labels=["metric_id", "resource"]
    )
    wanted = GaugeMetricFamily(
        "grace_remediator_escalations", "1 while a person is wanted.", labels=["metric_id", "resource"]
    )
    states = GaugeMetricFamily("grace_remediator_incidents", "Open incidents.", labels=["state"])
    for incident in incidents.all_open(connection):
        if incident.state in HANDLED:
            handling.add_metric([incident.metric_id, incident.resource], 1)
        if incident.state in WANTED:
            wanted.add_metric([incident.metric_id, incident.resource], 1)
    for state, count in incidents.counts(connection).items():
        states.add_metric([state], count)
    by_outcome = GaugeMetricFamily("grace_remediator_runs", "Executions in the ledger.", labels=["playbook", "state"])
    for (playbook, state), count in runs.executions(connection).items():
        by_outcome.add_metric([playbook, state], count)
    pending = GaugeMetricFamily(
        "grace_remediator_approvals_pending",
        "Approvals that wait for people.",
        value=approvals.pending_count(connection),
    )
    oldest = GaugeMetricFamily(
        "grace_remediator_oldest_approval_timestamp_seconds", "When the oldest pending approval was asked."
    )
    asked = approvals.oldest_pending(connection)
    if asked is not None:
        oldest.add_metric([], asked)
    waiting = alerts.counts(connection)
    queue = GaugeMetricFamily(
        "grace_remediator_alerts_waiting", "Alerts stored and not yet applied.", value=waiting["waiting"]
    )
    first = GaugeMetricFamily(
        "grace_remediator_oldest_alert_timestamp_seconds", "When the alert that waits longest was received."
    )
    received = alerts.oldest_waiting(connection)
    if received is not None:
        first.add_metric([], received)
    return [handling, wanted, states, by_outcome, pending, oldest, queue, first]
