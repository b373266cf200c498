"""Maintenance windows at the edges that clocks have."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import pytest
from pydantic import ValidationError

from catalog.policy import MaintenanceWindow, Policy
from remediator.model import IncidentState
from remediator.pipeline.maintenance import covering
from tests.unit.remediator.simulation import START, simulation

BERLIN = ZoneInfo("Europe/Berlin")


def window(
    rrule: str, hours: float = 2, zone: str = "Europe/Berlin", targets: tuple[str, ...] = ()
) -> MaintenanceWindow:
    return MaintenanceWindow(name="w", rrule=rrule, duration=hours * 3600, timezone=zone, targets=targets)


def at(text: str, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=BERLIN, fold=fold).timestamp()


NIGHTLY = "FREQ=DAILY;BYHOUR=2;BYMINUTE=0;BYSECOND=0"


@pytest.mark.parametrize(
    ("moment", "open_"),
    [
        ("2026-11-22T01:59:59", False),
        ("2026-11-22T02:00:00", True),
        ("2026-11-22T03:59:59", True),
        ("2026-11-22T04:00:00", False),
        ("2026-07-22T02:00:00", True),
        ("2026-07-22T04:00:00", False),
    ],
)
def test_a_nightly_window_begins_at_its_wall_clock_time_in_summer_and_winter(moment: str, open_: bool) -> None:
    assert (covering([window(NIGHTLY)], "api", at(moment)) is not None) is open_


def test_the_night_that_has_no_two_o_clock_still_has_its_window() -> None:
    """On 29 March 2026 Berlin's clocks go from 02:00 to 03:00."""
    nightly = [window(NIGHTLY)]
    assert covering(nightly, "api", at("2026-03-29T01:59:59")) is None
    assert covering(nightly, "api", at("2026-03-29T03:00:00")) is not None
    assert covering(nightly, "api", at("2026-03-29T04:59:59")) is not None
    assert covering(nightly, "api", at("2026-03-29T05:00:00")) is None


def test_the_night_that_has_two_o_clock_twice_has_one_window_of_its_duration() -> None:
    """On 25 October 2026 Berlin's clocks go from 03:00 back to 02:00."""
    nightly = [window(NIGHTLY)]
    assert covering(nightly, "api", at("2026-10-25T02:00:00", fold=0)) is not None
    assert covering(nightly, "api", at("2026-10-25T02:59:59", fold=1)) is not None
    assert covering(nightly, "api", at("2026-10-25T03:00:01")) is None


def test_a_window_over_midnight_and_one_for_some_targets_only() -> None:
    late = [window("FREQ=WEEKLY;BYDAY=SA;BYHOUR=23;BYMINUTE=30;BYSECOND=0", targets=("api",))]
    assert covering(late, "api", at("2026-11-22T00:30:00")) is not None, "Sunday, begun on Saturday"
    assert covering(late, "workers", at("2026-11-22T00:30:00")) is None
    assert covering(late, "api", at("2026-11-23T00:30:00")) is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"rrule": "EVERY DAY"},
        {"rrule": "FREQ=SECONDLY"},
        {"rrule": "DTSTART:20200101T000000\nRRULE:FREQ=DAILY"},
        {"rrule": NIGHTLY, "timezone": "Mars/Olympus"},
        {"rrule": NIGHTLY, "timezone": "../../etc/passwd"},
    ],
)
def test_what_cannot_be_read_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        MaintenanceWindow.model_validate({"name": "w", "duration": "1h", **wrong})


async def test_nothing_starts_in_a_window_and_it_runs_after_it() -> None:
    now = datetime.fromtimestamp(START, ZoneInfo("UTC"))
    begins = f"FREQ=DAILY;BYHOUR={now.hour};BYMINUTE=0;BYSECOND=0"
    policy = Policy(maintenance=(window(begins, hours=1, zone="UTC", targets=("edge",)),))
    async with simulation(policy=policy) as sim:
        sim.measure("infra.cpu_utilization", "api-1", "ccc")
        await sim.alert("infra.cpu_utilization", "api-1")
        incident = await sim.incident()
        assert incident.state is IncidentState.COOLING
        assert "maintenance" in incident.reasons
        assert sim.driver.effects == []
        sim.clock.time += 3600
        await sim.go_on("infra.cpu_utilization", "api-1", "ccc")
        assert sim.driver.effects == [("edge", "shift", 1)]


async def test_a_precondition_that_is_false_or_cannot_be_asked_denies() -> None:
    for value, ran in ((1.0, True), (0.0, False), (None, False)):
        async with simulation() as sim:
            shift = sim.parts.catalog.playbooks["shift-load"].model_copy(update={"precondition": "no_deploy"})
            sim.parts.catalog = sim.parts.catalog.model_copy(
                update={"playbooks": {**sim.parts.catalog.playbooks, "shift-load": shift}}
            )
            sim.prometheus.answers["no_deploy"] = value
            sim.measure("infra.cpu_utilization", "api-1", "ccc")
            await sim.alert("infra.cpu_utilization", "api-1")
            assert bool(sim.driver.effects) is ran, value


async def test_a_playbook_in_shadow_is_decided_and_recorded_and_touches_nothing() -> None:
    async with simulation() as sim:
        shift = sim.parts.catalog.playbooks["shift-load"].model_copy(update={"shadow": True})
        sim.parts.catalog = sim.parts.catalog.model_copy(
            update={"playbooks": {**sim.parts.catalog.playbooks, "shift-load": shift}}
        )
        sim.measure("infra.cpu_utilization", "api-1", "ccc")
        await sim.alert("infra.cpu_utilization", "api-1")
        assert sim.driver.effects == []
        (plan,) = await sim.plans()
        assert plan.state.value == "shadow"
        assert "shadow" in plan.reasons
