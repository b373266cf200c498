"""Whatever happens, in whatever order: a random world around the real ledger, pipeline, governance and audit.

A clock that moves when told to, measurements, alerts and people that Hypothesis chooses; after every step the promises
hold, and in the end every alert that was accepted has come to its end.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from catalog.policy import Policy, Rates
from remediator.errors import Permanent, Refused, Transient
from remediator.ledger import alerts as alert_rows
from remediator.ledger import approvals, incidents
from remediator.ledger import settings as governance
from remediator.ledger.engine import Tx
from remediator.model import IncidentState, RunState
from remediator.pipeline import hand
from tests.unit.remediator.simulation import Simulation, simulation

METRICS = {
    "infra.cpu_utilization": ("api-1", "api-2"),
    "api.latency_p95": ("api",),
    "executor.queue_depth": ("workers",),
    "learning.sources_verified": ("ingestion",),
}
ABOUT = [(metric, resource) for metric, resources in METRICS.items() for resource in resources]
PER_HOUR, ALL_HOUR = 2, 4
POLICY = Policy(
    rates=Rates(per_target_hour=PER_HOUR, all_hour=ALL_HOUR), cooldown=0.0, attempt_cooldown=0.0, repeat_heals=100
)
"""Little stands in a run's way but the budgets."""
RESTING = frozenset({IncidentState.CLOSED, IncidentState.ESCALATED, IncidentState.CONTAINED, IncidentState.BLIND})
"""Ends, and states in which people have been told and it is theirs."""


class World(RuleBasedStateMachine):
    """One remediator and everything that can happen to it."""

    def __init__(self) -> None:
        super().__init__()
        structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(50))
        self.loop = asyncio.new_event_loop()
        self.opened: AbstractAsyncContextManager[Simulation] = simulation(policy=POLICY)
        self.sim = self.do(self.opened.__aenter__())
        self.seen = 0
        self.firing: dict[tuple[str, str], float] = {}

    def do(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        return self.loop.run_until_complete(coroutine)

    def teardown(self) -> None:
        try:
            self.everything_comes_to_its_end()
        finally:
            self.do(self.opened.__aexit__(None, None, None))
            self.loop.close()
            structlog.reset_defaults()

    # What can happen.

    @rule(about=st.sampled_from(ABOUT), bands=st.sampled_from(["ccc", "ggg", "www", "cgc", "g", "c"]))
    def is_measured(self, about: tuple[str, str], bands: str) -> None:
        self.sim.measure(*about, bands)

    @rule(about=st.sampled_from(ABOUT), severity=st.sampled_from(["critical", "critical", "warning"]))
    def fires(self, about: tuple[str, str], severity: str) -> None:
        self.firing.setdefault(about, self.sim.clock.now())
        self.do(self.sim.alert(*about, severity, started=self.firing[about]))

    @rule(about=st.sampled_from(ABOUT), severity=st.sampled_from(["critical", "warning"]))
    def resolves(self, about: tuple[str, str], severity: str) -> None:
        """Also one that never fired, and one whose firing comes later."""
        self.do(self.sim.alert(*about, severity, "resolved", started=self.firing.pop(about, self.sim.clock.now())))

    @rule(about=st.sampled_from(ABOUT[:4]))
    def comes_and_is_healed(self, about: tuple[str, str]) -> None:
        """A fault as they mostly are: confirmed, and good again once something was done about it."""
        self.sim.measure(*about, "ccc")
        self.fires(about, "critical")
        self.firing.pop(about)
        self.time_passes(190.0, "g")
        self.resolves(about, "critical")

    @rule(seconds=st.sampled_from([1.0, 30.0, 130.0, 700.0, 2000.0, 3700.0]), band=st.sampled_from("gcx"))
    def time_passes(self, seconds: float, band: str) -> None:
        """Everything that fires is measured meanwhile, at its interval; x: the exporter is dead."""
        until = self.sim.clock.now() + seconds
        while self.sim.clock.now() < until:
            self.sim.clock.time += min(30.0, until - self.sim.clock.now())
            if band != "x":
                for about in ABOUT:
                    self.sim.measure(*about, band if about in self.firing else "g")
            self.do(self.sim.scheduler.settle())

    @rule(name=st.sampled_from(["ann", "bob", "cyd"]), vote=st.sampled_from(["approve", "approve", "reject"]))
    def somebody_votes(self, name: str, vote: str) -> None:
        async def cast() -> None:
            ledger = self.sim.parts.ledger
            for asked in await ledger.read(lambda c: approvals.listing(c, limit=9, states=("pending",))):

                def store(tx: Tx, asked: Any = asked) -> None:
                    settled = approvals.vote(tx, asked.id, name=name, vote=vote, reason="looked at it")
                    if settled.incident_id:
                        incidents.wake(tx, settled.incident_id)

                try:
                    await ledger.write(store)
                except Refused:
                    continue
            await self.sim.scheduler.settle()

        self.do(cast())

    @rule(
        name=st.sampled_from(["frozen", "supervised", "ceiling", "strictness"]),
        tight=st.booleans(),
    )
    def governance_changes(self, name: str, tight: bool) -> None:
        value = {"ceiling": "tier_1" if tight else "tier_3", "strictness": 3 if tight else 0}.get(name, tight)
        self.do(self.sim.parts.ledger.write(lambda tx: governance.put(tx, {name: value}, by="ann", reason="why")))
        self.do(self.sim.scheduler.settle())

    @rule(where=st.sampled_from(["edge", "api", "workers", "ingestion"]), value=st.integers(0, 9))
    def somebody_changes_a_target(self, where: str, value: int) -> None:
        self.sim.driver.value[where] = value

    @rule(
        where=st.sampled_from(["edge", "api", "workers", "ingestion"]),
        error=st.sampled_from([Transient("busy"), Permanent("no such thing"), Refused("at its maximum")]),
    )
    def a_target_misbehaves(self, where: str, error: Exception) -> None:
        self.sim.driver.fail[where] = [error]

    @rule(away=st.booleans())
    def prometheus_goes_or_comes(self, away: bool) -> None:
        self.sim.prometheus.away = away

    @rule(playbook=st.sampled_from(["scale-workers", "shift-load"]), where=st.sampled_from(["workers", "api"]))
    def somebody_starts_a_run(self, playbook: str, where: str) -> None:
        async def start() -> None:
            try:
                await hand.start(self.sim.parts, playbook, where, by="ann", reason="by hand")
            except (Refused, Transient):
                pass
            await self.sim.scheduler.settle()

        self.do(start())

    @rule()
    def somebody_undoes_what_stands(self) -> None:
        async def undo() -> None:
            for run in await self.sim.executions():
                if run.kept:
                    try:
                        await hand.ask_undo(self.sim.parts, run.id, by="ann", reason="enough")
                    except Refused:
                        continue
            await self.sim.scheduler.settle()

        self.do(undo())

    # What holds whatever happened.

    @invariant()
    def no_two_runs_are_active_on_one_target(self) -> None:
        found = self.do(self.sim.plans())
        busy = [run.target for run in found if run.state.active]
        assert len(busy) == len(set(busy)), busy

    @invariant()
    def nothing_is_done_without_a_verdict_that_has_reasons(self) -> None:
        """From the audit log alone: a step is intended only in a run that a decision allowed, all with reasons."""
        entries = self.do(self.sim.parts.ledger.read(_entries))
        allowed = set()
        for entry in entries:
            if entry["kind"] == "decision":
                body = entry["body"]
                assert body["reasons"], entry
                assert set(body["reasons"]) <= set(body["detail"]), entry
                if body["verdict"] == "allow":
                    allowed.add(entry["run_id"])
            elif entry["kind"] == "step_intended" and entry["body"]["phase"] != "undo":
                assert entry["run_id"] in allowed, entry
        effects = len([entry for entry in entries if entry["kind"] == "step_intended"])
        assert effects >= len(self.sim.driver.effects), "no effect without an intent before it"

    @invariant()
    def budgets_are_never_exceeded_by_itself(self) -> None:
        """Within any hour, runs that nobody approved stay below the limits."""
        began = sorted(
            (run.started_at, run.target)
            for run in self.do(self.sim.executions())
            if run.started_at is not None and "approved" not in run.reasons and "safety_ratchet" not in run.reasons
        )
        for place, (start, target) in enumerate(began):
            hour = [each for each in began[: place + 1] if each[0] > start - 3600]
            assert len(hour) <= ALL_HOUR, began
            assert sum(1 for each in hour if each[1] == target) <= PER_HOUR, began

    @invariant()
    def every_alert_was_taken_up(self) -> None:
        waiting = self.do(self.sim.parts.ledger.read(lambda connection: alert_rows.waiting(connection, 9)))
        assert waiting == []

    @invariant()
    def no_open_incident_is_forgotten(self) -> None:
        """Each has a time at which it is looked at again, or is a person's."""
        for incident in self.do(self.sim.incidents()):
            asleep = incident.wake_at is None
            assert not asleep or incident.state in (*RESTING, IncidentState.SUSPENDED), incident

    def everything_comes_to_its_end(self) -> None:
        """The faults are mended, the alerts end, measurements are good: within two hours nothing is left going on."""
        sim = self.sim
        sim.driver.fail.clear()
        sim.prometheus.away = False
        self.do(sim.parts.ledger.write(lambda tx: governance.put(tx, {"frozen": False}, by="ann", reason="the end")))
        for about in ABOUT:
            for severity in ("critical", "warning"):
                self.do(sim.alert(*about, severity, "resolved", started=self.firing.get(about)))
        self.firing.clear()
        self.time_passes(7200.0, "g")
        for incident in self.do(sim.incidents()):
            # Contained is kept until a person releases it; everything else has seen the good measurements.
            assert incident.state in (IncidentState.CLOSED, IncidentState.CONTAINED, IncidentState.ESCALATED), incident
            if incident.state is IncidentState.ESCALATED:
                assert incident.firing, incident
        going_on = [run for run in self.do(sim.plans()) if not run.state.final]
        assert [run for run in going_on if run.state is not RunState.HELD] == []
        self.no_two_runs_are_active_on_one_target()
        self.nothing_is_done_without_a_verdict_that_has_reasons()


def _entries(connection: Any) -> list[dict[str, Any]]:
    from remediator.api.views import entries

    found: list[dict[str, Any]] = entries(connection, limit=100_000)
    return found


World.TestCase.settings = settings(
    max_examples=8, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
TestWorld = World.TestCase


class LongWorld(World):
    """The same for longer."""


@pytest.mark.prove
@pytest.mark.timeout(3600)
class TestLongWorld(LongWorld.TestCase):  # type: ignore[name-defined,misc]
    settings = settings(
        max_examples=300, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
    )
