"""A simulated world around the real ledger, pipeline, governance and audit: a clock that moves when told to, a
Prometheus whose measurements a test writes, a target whose state a test reads."""

from __future__ import annotations

import inspect
import tempfile
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel
from sqlalchemy.engine import Connection

from catalog.config import GraceConfig
from catalog.inventory import Inventory, Limits, Target
from catalog.load import load_catalog
from catalog.model import Band, Frozen, MetricCatalogEntry, Verb
from catalog.policy import Policy
from remediator.audit.checkpoint import Checkpointer
from remediator.drivers import DRIVERS
from remediator.drivers.base import State, StepContext, World
from remediator.errors import Permanent, Refused, Transient
from remediator.ledger import alerts, approvals, incidents, leases, runs
from remediator.ledger.engine import Ledger
from remediator.model import Approval, Incident, Run
from remediator.pipeline.decide import current_settings, settings_json
from remediator.pipeline.parts import Parts
from remediator.pipeline.scheduler import Scheduler
from remediator.prometheus import Measurement, Sample, Series

START = 1_800_000_000.0
_WORDS = {"g": Band.GOOD, "w": Band.WARNING, "c": Band.CRITICAL}


class ManualClock:
    """Moves when told to."""

    def __init__(self) -> None:
        self.time = START

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.time += seconds


@dataclass
class FakePrometheus:
    """Answers with the measurements that a test wrote; `away` refuses every question."""

    url: str = "http://prometheus.test"
    away: bool = False
    written: dict[tuple[str, str], list[Measurement]] = field(default_factory=dict)
    answers: dict[str, float | None] = field(default_factory=dict)
    """What other queries give; None refuses."""
    series: dict[str, tuple[dict[str, str], float, float]] = field(default_factory=dict)
    """What a range query gives: labels, and from when to when it has a value."""

    async def measurements(self, metric_id: str, resource: str, since: float, until: float) -> tuple[Measurement, ...]:
        if self.away:
            raise Transient("Prometheus is away")
        return tuple(each for each in self.written.get((metric_id, resource), ()) if since <= each.at <= until)

    async def instant(self, query: str, at: float | None = None) -> tuple[Sample, ...]:
        if self.away:
            raise Transient("Prometheus is away")
        if query in self.answers:
            value = self.answers[query]
            if value is None:
                raise Transient("Prometheus is away")
            return (Sample({}, value, START),)
        if "grace_alert:severity" in query:
            for (metric_id, resource), measured in self.written.items():
                if f'"{metric_id}"' in query and f'"{resource}"' in query and measured:
                    newest = [each.band for each in measured[-3:] if each.band]
                    worst = max((band.rank for band in newest), default=0)
                    return (Sample({}, float(worst), measured[-1].at),)
            return ()
        return tuple(
            Sample({"resource": resource}, measured[-1].value, measured[-1].at)
            for (metric_id, resource), measured in self.written.items()
            if f'"{metric_id}"' in query and measured
        )

    async def range(self, query: str, start: float, end: float, step: float) -> tuple[Series, ...]:
        if self.away:
            raise Transient("Prometheus is away")
        line = self.series.get(query)
        if line is None:
            return ()
        labels, first, last = line
        count = int((end - start) / step) + 1
        moments = [start + place * step for place in range(count)]
        return (Series(labels, tuple((at, 1.0) for at in moments if first <= at <= last)),)

    async def reachable(self) -> bool:
        return not self.away


class FakeTarget(Frozen):
    pass


class FakeDriver:
    """Holds a number per target; remembers every effect. `refuse`, `fail` and `unseen` make it misbehave."""

    kind: ClassVar[str] = "fake"
    verbs: ClassVar[frozenset[Verb]] = frozenset(
        {
            Verb.SCALE,
            Verb.SHIFT,
            Verb.RESTART,
            Verb.PAUSE,
            Verb.RESUME,
            Verb.THROTTLE,
            Verb.RUN,
            Verb.START,
            Verb.RECLAIM,
        }
    )
    Config: ClassVar[type[BaseModel]] = FakeTarget

    def __init__(self) -> None:
        self.value: dict[str, int] = {}
        self.effects: list[tuple[str, str, int]] = []
        self.refuse: set[str] = set()
        self.fail: dict[str, list[Exception]] = {}
        self.unseen: list[Exception] = []
        """What the next observations raise."""
        self.beside: dict[str, float] = {}
        """What is observed and no step touches."""
        self.before_observing: list[Callable[[], Any]] = []
        """What happens in the world before the next observations; awaited where it can be."""

    async def observe(self, target: Target, verb: Verb, context: StepContext) -> State:
        if self.before_observing and inspect.isawaitable(happens := self.before_observing.pop(0)()):
            await happens
        if self.unseen:
            raise self.unseen.pop(0)
        return {"value": self.value.get(target.name, 0), **self.beside}

    def desire(
        self, target: Target, verb: Verb, args: Mapping[str, Any], observed: State, context: StepContext
    ) -> State:
        if target.name in self.refuse:
            raise Refused(f"{target.name} is at its maximum", reason="at_limit")
        return {"value": observed["value"] + 1}

    async def do(self, target: Target, verb: Verb, desired: State, context: StepContext) -> None:
        waiting = self.fail.get(target.name)
        if waiting:
            raise waiting.pop(0)
        self.value[target.name] = desired["value"]
        self.effects.append((target.name, verb.value, desired["value"]))

    def reached(self, verb: Verb, desired: State, observed: State) -> bool:
        return bool(observed["value"] == desired["value"])

    def give_back(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[Verb, State] | None:
        return None if observed["value"] != desired["value"] else (verb, before)

    def release_steps(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[State, ...]:
        back = self.give_back(verb, before, desired, observed)
        return () if back is None else (back[1],)

    async def close(self) -> None:
        return None


@dataclass
class Simulation:
    """The remediator, its world, and short ways to tell it things and to ask it."""

    parts: Parts
    scheduler: Scheduler
    clock: ManualClock
    prometheus: FakePrometheus
    driver: FakeDriver

    def metric(self, metric_id: str) -> MetricCatalogEntry:
        return self.parts.catalog.metrics[metric_id]

    def measure(self, metric_id: str, resource: str, bands: str) -> None:
        """Write measurements, one interval apart, the last one now: g, w and c are good, warning and critical."""
        metric = self.metric(metric_id)
        now = self.clock.now()
        line = self.prometheus.written.setdefault((metric_id, resource), [])
        for place, letter in enumerate(reversed(bands)):
            line.append(Measurement(now - place * metric.interval, self._value(metric, _WORDS[letter]), _WORDS[letter]))
        line.sort(key=lambda each: each.at)

    def _value(self, metric: MetricCatalogEntry, band: Band) -> float:
        edges = metric.bands.high or metric.bands.low
        assert edges is not None
        sign = 1 if metric.bands.high else -1
        shift = {
            Band.GOOD: edges.warning - sign * 10,
            Band.WARNING: edges.warning,
            Band.CRITICAL: edges.critical + sign * 2,
        }
        return float(shift[band] * metric.unit.factor)

    async def go_on(self, metric_id: str, resource: str, bands: str) -> None:
        """Time passes, one interval and one measurement after the other, and the remediator works."""
        metric = self.metric(metric_id)
        for letter in bands:
            self.clock.time += metric.interval
            if letter != "x":
                self.measure(metric_id, resource, letter)
            await self.scheduler.settle()

    async def alert(
        self,
        metric_id: str,
        resource: str,
        severity: str = "critical",
        status: str = "firing",
        started: float | None = None,
    ) -> int:
        """Deliver an alert as the webhook does; how many were new."""
        metric = self.metric(metric_id)
        fingerprint = f"{metric_id}/{resource}/{severity}"
        starts = self.clock.now() if started is None else started
        row = {
            "key": f"{fingerprint}/{starts}/{status}",
            "fingerprint": fingerprint,
            "status": status,
            "starts_at": starts,
            "ends_at": None,
            "labels": {
                "alertname": metric.alertname,
                "metric_id": metric_id,
                "resource": resource,
                "severity": severity,
                "category": metric.category.value,
                "grace": "true",
            },
            "annotations": {},
            "source": "webhook",
        }
        stored = await self.parts.ledger.write(lambda tx: alerts.accept(tx, [row]))
        await self.scheduler.settle()
        return stored

    async def incidents(self) -> list[Incident]:
        """Oldest first."""
        return list(reversed(await self.parts.ledger.read(lambda c: incidents.listing(c, limit=100))))

    async def incident(self) -> Incident:
        """The only incident there is."""
        (only,) = await self.incidents()
        return only

    async def executions(self) -> list[Run]:
        """Runs that began, oldest first."""
        return list(reversed(await self.parts.ledger.read(lambda c: runs.listing(c, limit=100))))

    async def plans(self) -> list[Run]:
        """Every plan, also those that never began, oldest first."""
        return list(reversed(await self.parts.ledger.read(lambda c: runs.listing(c, limit=100, everything=True))))

    async def approval(self, status: str = "pending") -> Approval:
        """The only approval of this status."""
        (only,) = await self.parts.ledger.read(lambda c: approvals.listing(c, limit=100, states=(status,)))
        return only

    async def vote(self, name: str = "ann", vote: str = "approve") -> Approval:
        asked = await self.approval()

        def store(tx: Any) -> Approval:
            settled = approvals.vote(tx, asked.id, name=name, vote=vote, reason="looked at it")
            if settled.incident_id:
                incidents.wake(tx, settled.incident_id)
            return settled

        settled = await self.parts.ledger.write(store)
        await self.scheduler.settle()
        return settled

    async def audit(self) -> list[tuple[str, dict[str, Any]]]:
        """Kind and body of every audit entry, oldest first."""
        from remediator.api.views import entries

        def read(connection: Connection) -> list[tuple[str, dict[str, Any]]]:
            return [(each["kind"], each["body"]) for each in entries(connection, limit=10_000)]

        return await self.parts.ledger.read(read)


TARGETS = {
    "api": Target(name="api", driver="fake", resources=("api-1", "api-2"), edge="edge", limits=Limits(min=1, max=9)),
    "edge": Target(name="edge", driver="fake"),
    "workers": Target(name="workers", driver="fake", standby="standby"),
    "standby": Target(name="standby", driver="fake"),
    "ingestion": Target(name="ingestion", driver="fake", analysis="analysis"),
    "analysis": Target(name="analysis", driver="fake"),
}


@asynccontextmanager
async def simulation(
    *, policy: Policy | None = None, folder: Path | None = None, before: Simulation | None = None
) -> AsyncIterator[Simulation]:
    """A remediator in a simulated world. `before` is one that died: its clock, Prometheus and target go on."""
    with tempfile.TemporaryDirectory() as scratch:
        data = folder or Path(scratch)
        clock = before.clock if before else ManualClock()
        prometheus = before.prometheus if before else FakePrometheus()
        driver = before.driver if before else FakeDriver()
        ledger = await Ledger.open(data / "ledger.db", clock)
        parts = Parts(
            ledger=ledger,
            clock=clock,
            config=GraceConfig(data_dir=data),
            catalog=load_catalog(),
            inventory=Inventory(targets=TARGETS),
            policy=policy or Policy(),
            prometheus=prometheus,  # type: ignore[arg-type]
            alertmanager=None,  # type: ignore[arg-type]
            drivers={},
            checkpointer=Checkpointer(data / "audit.key", data / "checkpoints.log"),
            owner="test",
        )

        async def governance() -> State:
            return await ledger.read(lambda connection: settings_json(current_settings(connection, parts)))

        async def govern(change: str, desired: State, run_id: str) -> State:
            from remediator.ledger import settings

            await ledger.write(lambda tx: settings.put(tx, dict(desired), by="grace", reason=change, run_id=run_id))
            return await governance()

        world = World(clock=clock, http=None, data_dir=data, govern=govern, governance=governance)  # type: ignore[arg-type]
        parts.drivers = {"fake": driver} | {
            name: DRIVERS[name](world) for name in ("governance", "notify", "postmortem")
        }
        scheduler = Scheduler(parts)
        parts.wake = scheduler.wake
        await ledger.write(leases.give_up)
        try:
            yield Simulation(parts, scheduler, clock, prometheus, driver)
        finally:
            await ledger.close()


__all__ = ["START", "FakeDriver", "Permanent", "Simulation", "simulation"]
