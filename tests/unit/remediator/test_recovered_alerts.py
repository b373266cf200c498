"""Alerts that Alertmanager holds and no webhook delivered are taken in, once the webhook has had its chance."""

from __future__ import annotations

from dataclasses import dataclass

from remediator.alertmanager import AlertmanagerStatus, HeldAlert
from remediator.pipeline.notice import TEST_ALERT
from remediator.pipeline.reconcile import reconcile
from remediator.webhook.timestamp import format_timestamp, parse_timestamp
from tests.unit.remediator.simulation import Simulation, simulation

METRIC = "infra.cpu_utilization"


@dataclass
class FakeAlertmanager:
    """Has been up for a day, and holds what it is told to."""

    held: tuple[HeldAlert, ...] = ()

    async def alerts(self, receiver: str) -> tuple[HeldAlert, ...]:
        return self.held

    async def status(self) -> AlertmanagerStatus:
        return AlertmanagerStatus(up_since=0.0, version="0", cluster="disabled")


def holds(sim: Simulation, alertname: str | None = None) -> None:
    """From now on an alert fires of which Alertmanager has told nobody yet."""
    labels = {
        "alertname": alertname or sim.metric(METRIC).alertname,
        "metric_id": METRIC,
        "resource": "api-1",
        "severity": "critical",
        "grace": "true",
    }
    began = parse_timestamp(format_timestamp(sim.clock.now()))
    alert = HeldAlert("f00d", labels, {}, began, began, "active", (), (), ("grace",))
    sim.parts.alertmanager = FakeAlertmanager((alert,))  # type: ignore[assignment]


async def test_an_alert_that_has_just_begun_is_left_to_the_webhook_and_taken_in_a_round_later() -> None:
    async with simulation() as sim:
        sim.measure(METRIC, "api-1", "ccc")
        holds(sim)
        await reconcile(sim.parts)
        await sim.scheduler.settle()
        assert await sim.incidents() == []
        sim.clock.time += sim.parts.config.alertmanager.reconcile_every
        await reconcile(sim.parts)
        await sim.scheduler.settle()
        assert (await sim.incident()).metric_id == METRIC
        (opened,) = [body for kind, body in await sim.audit() if kind == "alert_received"]
        assert (opened["source"], opened["meaning"]) == ("reconciler", "opens an incident")


async def test_what_ends_before_its_first_notification_leaves_nothing_open() -> None:
    """Alertmanager tells neither of its beginning nor of its end: nobody would ever close what was opened."""
    async with simulation() as sim:
        holds(sim)
        await reconcile(sim.parts)
        sim.parts.alertmanager = FakeAlertmanager()  # type: ignore[assignment]
        sim.clock.time += 2 * sim.parts.config.alertmanager.reconcile_every
        await reconcile(sim.parts)
        await sim.scheduler.settle()
        assert await sim.incidents() == []


async def test_a_test_alert_comes_by_the_webhook_or_not_at_all() -> None:
    """Taken in here, it could not be told any more whether the webhook leads here too."""
    async with simulation() as sim:
        holds(sim, TEST_ALERT)
        sim.clock.time += 2 * sim.parts.config.alertmanager.reconcile_every
        await reconcile(sim.parts)
        await sim.scheduler.settle()
        assert "alert_received" not in {kind for kind, _ in await sim.audit()}
