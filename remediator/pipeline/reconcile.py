"""Asks Alertmanager what it holds for us: opens what no webhook delivered, suspends what is silenced, and closes only
what is gone for certain.

A webhook can be lost for good (Alertmanager gives up once the alert resolves), so the state of the world is asked for,
not only listened to.
"""

from __future__ import annotations

import asyncio
from typing import Any

import structlog

from catalog.model import Band
from remediator.alertmanager import HeldAlert
from remediator.errors import GraceError
from remediator.governance.facts import Evidence
from remediator.ledger import alerts, incidents
from remediator.ledger.engine import LedgerUnavailable, Tx
from remediator.model import Incident, IncidentState
from remediator.pipeline.look import look
from remediator.pipeline.notice import REOPENED, TEST_ALERT
from remediator.pipeline.parts import Parts
from remediator.pipeline.subject import subject_of

log = structlog.get_logger(__name__)

SETTLED = 300.0
"""Seconds, at full time scale, that Alertmanager must have been up, and the last notice be old, before an absence
counts."""
ABSENT_TWICE = 2
SUSPENDABLE = frozenset(
    {
        IncidentState.OPEN,
        IncidentState.PLANNING,
        IncidentState.WAITING_APPROVAL,
        IncidentState.COOLING,
        IncidentState.ESCALATED,
    }
)


async def reconcile_forever(parts: Parts) -> None:
    """Until cancelled; an Alertmanager that is away is told once and asked again."""
    away = False
    while True:
        await parts.clock.sleep(parts.config.alertmanager.reconcile_every)
        try:
            await reconcile(parts)
            if away:
                log.info("alertmanager_back")
            away = False
        except (GraceError, LedgerUnavailable) as error:
            if not away:
                log.warning("reconcile_failed", error=str(error))
            away = True
        except asyncio.CancelledError:
            raise
        except Exception:  # A bug here must not end reconciliation for good: told, and tried again at the next round.
            log.exception("reconcile_crashed")


async def reconcile(parts: Parts) -> None:
    """One round. Raises Transient or Permanent when Alertmanager cannot be asked."""
    held = await parts.alertmanager.alerts(parts.config.alertmanager.receiver)
    status = await parts.alertmanager.status()
    now = parts.clock.now()
    # One that has just begun is left to the webhook until a round has passed: it may be waiting for its group, and
    # should it end before Alertmanager told of it, its end is never told either, and what was opened would stay open.
    # And doctor's test alert asks whether the webhook leads here, which it must say itself.
    began = now - parts.config.alertmanager.reconcile_every
    told = tuple(alert for alert in held if alert.starts_at <= began and alert.labels.get("alertname") != TEST_ALERT)
    recovered = await _take_in(parts, told)
    await _reopen(parts, tuple(alert for alert in told if alert.key not in recovered))
    settled = parts.config.time_scale.interval(SETTLED)
    for incident in await parts.ledger.read(incidents.all_open):
        mine = [alert for alert in held if alert.fingerprint in incident.firing]
        if mine:
            await _silenced(parts, incident, all(alert.silenced_by for alert in mine))
        elif incident.firing and now - status.up_since > settled and now - incident.last_notice_at > settled:
            await _absent(parts, incident)


def row_of(alert: HeldAlert) -> dict[str, Any]:
    """The ledger's row of an alert that Alertmanager holds, as if it had been delivered."""
    return {
        "key": alert.key,
        "fingerprint": alert.fingerprint,
        "status": "firing",
        "starts_at": alert.starts_at,
        "ends_at": None,
        "labels": dict(alert.labels),
        "annotations": dict(alert.annotations),
        "source": "reconciler",
    }


async def _take_in(parts: Parts, held: tuple[HeldAlert, ...]) -> set[str]:
    """Keys of the alerts that no webhook delivered, once stored. A silenced one is taken in when its silence ends."""
    rows = [row_of(alert) for alert in held if not alert.silenced_by]
    unknown = {row["key"] for row in rows} - await parts.ledger.read(
        lambda connection: alerts.known(connection, [row["key"] for row in rows])
    )
    fresh = [row for row in rows if row["key"] in unknown]
    if fresh:
        await parts.ledger.write(lambda tx: alerts.accept(tx, fresh))
        log.info("alerts_recovered", count=len(fresh))
        parts.wake()
    return unknown


async def _reopen(parts: Parts, held: tuple[HeldAlert, ...]) -> None:
    """An alert that never ended, whose incident did: real only when Prometheus confirms the band now."""
    for alert in held:
        metric = parts.catalog.metrics.get(alert.labels.get("metric_id", ""))
        resource = alert.labels.get("resource", "")
        severity = alert.labels.get("severity", "")
        if metric is None or not resource or alert.silenced_by or severity not in ("warning", "critical"):
            continue
        if await _has_incident(parts, metric.id, resource):
            continue
        seen = await look(parts, metric, resource, Band(severity))
        if seen.evidence is not Evidence.CONFIRMED:
            continue
        again = row_of(alert) | {"key": f"{alert.key}/{parts.clock.now():.0f}", "source": REOPENED}
        await _accept(parts, again)
        parts.wake()


async def _has_incident(parts: Parts, metric_id: str, resource: str) -> bool:
    return await parts.ledger.read(lambda connection: incidents.open_one(connection, metric_id, resource)) is not None


async def _accept(parts: Parts, row: dict[str, Any]) -> None:
    await parts.ledger.write(lambda tx: alerts.accept(tx, [row]))


async def _silenced(parts: Parts, incident: Incident, silenced: bool) -> None:
    def store(tx: Tx) -> None:
        current = incidents.get(tx.connection, incident.id)
        if current is None:
            return
        if silenced and current.state in SUSPENDABLE:
            incidents.move(tx, current, IncidentState.SUSPENDED, reason="silenced in Alertmanager", wake_at=None)
        elif not silenced and current.state is IncidentState.SUSPENDED:
            incidents.move(tx, current, IncidentState.OPEN, reason="the silence ended", wake_at=tx.now)
            tx.on_commit.append(parts.wake)
        if current.absent_polls:
            incidents.set_fields(tx, incident.id, absent_polls=0)

    await parts.ledger.write(store)


async def _absent(parts: Parts, incident: Incident) -> None:
    """Alertmanager no longer holds it, and no resolved notice came: the second time, and with good data, it ended."""
    polls = incident.absent_polls + 1
    metric = subject_of(parts.catalog, incident.metric_id, incident.labels)
    gone = False
    if polls >= ABSENT_TWICE and metric is not None:
        gone = (await look(parts, metric, incident.resource, incident.band)).good

    def store(tx: Tx) -> None:
        changes: dict[str, Any] = {"absent_polls": polls}
        if gone:
            changes |= {"firing": {}, "last_notice_at": tx.now}
            tx.record("alert_absent", {"polls": polls}, incident_id=incident.id)
        incidents.set_fields(tx, incident.id, **changes)
        if gone and incident.state not in (IncidentState.ACTING, IncidentState.VERIFYING):
            incidents.wake(tx, incident.id)
            tx.on_commit.append(parts.wake)

    await parts.ledger.write(store)
