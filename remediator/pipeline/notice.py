"""Notice: stored alerts become incidents, or change the ones they belong to.

An alert is a hint. Its labels are lookup keys and nothing else: a metric of the catalog, a resource, a severity.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import structlog

from catalog.inventory import CATEGORY_TARGETS, Inventory
from catalog.model import Band, Catalog, Category, MetricCatalogEntry
from remediator.ledger import alerts, incidents
from remediator.ledger.alerts import Notice
from remediator.ledger.engine import LedgerUnavailable, Tx
from remediator.model import IncidentState
from remediator.pipeline import people
from remediator.pipeline.parts import GOVERNANCE, Parts
from remediator.pipeline.subject import BOUND, binding_of, bound_id, bound_resource

log = structlog.get_logger(__name__)

BATCH = 50
SLICE = 0.003
"""Seconds after which a batch leaves the rest to the next one: whoever else wants to write has a turn."""
STEP_BACK = 0.03
"""Seconds left to whoever accepts alerts, after each batch, while many arrive."""
REOPENED = "reopened"
"""Source of an alert that Alertmanager holds and Prometheus confirms, whatever was delivered before."""
TEST_ALERT = "GraceDoctor"
"""The alert by which `grace doctor` sees whether alerts arrive."""
NEVER_REMEDIATED = frozenset({"GraceMetricStale", "GraceHandling", TEST_ALERT})
"""Alerts that people are told of, that only inhibit, or that are a test; no playbook answers them."""


async def drain(parts: Parts, crowded: Callable[[], bool] = lambda: False) -> int:
    """Apply every stored alert that has not been; how many there were. Steps back while `crowded`."""
    total = 0
    while True:
        try:
            count, more = await parts.ledger.write(lambda tx: _apply_batch(tx, parts))
        except LedgerUnavailable:
            raise
        except Exception:  # One alert that cannot be applied must not hold up all others for ever.
            log.exception("alerts_not_applied")
            count, more = await _one_by_one(parts), True
        total += count
        if not count or not more:
            return total
        if crowded():
            await parts.clock.sleep(STEP_BACK)


async def _one_by_one(parts: Parts) -> int:
    """The next batch, each alert by itself; one that cannot be applied is set aside: recorded, and people are told."""
    waiting = await parts.ledger.read(lambda connection: alerts.waiting(connection, BATCH))
    for notice in waiting:
        try:
            await parts.ledger.write(partial(_apply_one, parts=parts, notice=notice))
        except LedgerUnavailable:
            raise
        except Exception as error:  # Whatever it is about this one alert: the others behind it are not to wait for it.
            log.exception("alert_set_aside", key=notice.key)
            await parts.ledger.write(partial(_set_aside, notice=notice))
            await people.tell(
                parts,
                f"alert:{notice.id}:set_aside",
                f"an alert (fingerprint {notice.fingerprint}, {notice.status}) could not be understood "
                f"({type(error).__name__}) and was set aside: nothing is done about it",
            )
    return len(waiting)


def _apply_one(tx: Tx, parts: Parts, notice: Notice) -> None:
    alerts.handled(tx, notice.id, _apply(tx, parts, notice))


def _set_aside(tx: Tx, notice: Notice) -> None:
    alerts.handled(tx, notice.id, None)
    tx.record("alert_set_aside", {"fingerprint": notice.fingerprint, "status": notice.status})


def target_of(catalog: Catalog, inventory: Inventory, metric: MetricCatalogEntry, resource: str) -> str | None:
    """The name of the one target that a metric on a resource means; None when the inventory names none or several."""
    if metric.category is Category.INFRA:
        found = inventory.for_resource(resource)
        return found[0].name if len(found) == 1 else None
    if metric.category is Category.AUTONOMY:
        return GOVERNANCE.name
    name = CATEGORY_TARGETS[metric.category]
    return name if name in inventory.targets else None


@dataclass(frozen=True, slots=True)
class About:
    """What an alert is about, once its labels were looked up."""

    metric_id: str
    resource: str
    category: str
    band: Band
    target: str | None


def _about(parts: Parts, notice: Notice) -> About | None:
    """A metric of the catalog, or a bound alert; None for what no playbook answers."""
    labels = notice.labels
    band = _band(labels.get("severity"))
    metric = parts.catalog.metrics.get(labels.get("metric_id", ""))
    resource = labels.get("resource", "")
    if metric is not None:
        if not resource or band is None or labels.get("alertname") in NEVER_REMEDIATED:
            return None
        target = target_of(parts.catalog, parts.inventory, metric, resource)
        return About(metric.id, resource, metric.category.value, band, target)
    binding = binding_of(parts.catalog, labels)
    if binding is None:
        return None
    return About(
        bound_id(labels),
        bound_resource(labels, notice.fingerprint),
        BOUND,
        # Teams have words of their own for severity; what is not called critical is treated as a warning.
        band or Band.WARNING,
        binding.target,
    )


def _apply_batch(tx: Tx, parts: Parts) -> tuple[int, bool]:
    """How many alerts were applied, and whether more wait."""
    began = time.perf_counter()
    applied = 0
    waiting = alerts.unhandled(tx, BATCH)
    for notice in waiting:
        alerts.handled(tx, notice.id, _apply(tx, parts, notice))
        applied += 1
        if time.perf_counter() - began > SLICE:
            break
    return applied, applied < len(waiting) or applied == BATCH


def _apply(tx: Tx, parts: Parts, notice: Notice) -> str | None:
    labels = notice.labels
    about = _about(parts, notice)
    if about is None:
        _record(tx, notice, None, "no playbook answers this alert")
        return None
    band = about.band
    confirmed = notice.source == REOPENED
    ended = ("resolved", notice.starts_at)
    if notice.status == "firing" and not confirmed and alerts.latest_status(tx, notice.fingerprint) == ended:
        # Delivered out of order: its own resolved came first. The reconciler asks Alertmanager whether it is real.
        _record(tx, notice, None, "older than its own resolved")
        return None
    incident = incidents.open_one(tx.connection, about.metric_id, about.resource)
    if notice.status == "resolved":
        if incident is not None:
            firing = {key: value for key, value in incident.firing.items() if key != notice.fingerprint}
            changes: dict[str, Any] = {"firing": firing, "last_notice_at": tx.now}
            if firing:
                changes["band"] = _worst(firing).value
            incidents.set_fields(tx, incident.id, **changes)
            _wake(tx, incident.id, incident.state)
        _record(tx, notice, incident.id if incident else None, "resolved")
        return incident.id if incident else None
    if incident is None:
        incident_id = incidents.open_new(
            tx,
            metric_id=about.metric_id,
            resource=about.resource,
            category=about.category,
            band=band,
            target=about.target,
            firing={notice.fingerprint: band.value},
            labels=labels,
        )
        _record(tx, notice, incident_id, "opens an incident")
        tx.record(
            "incident_opened",
            {
                "metric_id": about.metric_id,
                "resource": about.resource,
                "band": band.value,
                "catalog": parts.catalog.digest,
            },
            incident_id=incident_id,
        )
        tx.on_commit.append(lambda: parts.publish("incident", incident_id))
        return incident_id
    firing = {**incident.firing, notice.fingerprint: band.value}
    worst = _worst(firing)
    incidents.set_fields(tx, incident.id, firing=firing, band=worst.value, last_notice_at=tx.now, absent_polls=0)
    _record(tx, notice, incident.id, "belongs to an open incident")
    if not incident.firing or worst.rank > incident.band.rank:
        _wake(tx, incident.id, incident.state)
    return incident.id


def _wake(tx: Tx, incident_id: str, state: IncidentState) -> None:
    # While a run acts or is verified its own times count: measurements decide, not the alert's end.
    if state not in (IncidentState.ACTING, IncidentState.VERIFYING):
        incidents.wake(tx, incident_id)


def _band(severity: str | None) -> Band | None:
    return {"warning": Band.WARNING, "critical": Band.CRITICAL}.get(severity or "")


def _worst(firing: dict[str, str]) -> Band:
    return max((Band(value) for value in firing.values()), key=lambda band: band.rank)


def _record(tx: Tx, notice: Notice, incident_id: str | None, meaning: str) -> None:
    labels = notice.labels
    tx.record(
        "alert_received",
        {
            "alertname": labels.get("alertname", ""),
            "metric_id": labels.get("metric_id", ""),
            "resource": labels.get("resource", ""),
            "severity": labels.get("severity", ""),
            "status": notice.status,
            "fingerprint": notice.fingerprint,
            "starts_at": notice.starts_at,
            "source": notice.source,
            "meaning": meaning,
        },
        incident_id=incident_id,
    )
