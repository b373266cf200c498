"""One drill, from the first look to the last: give back, calm, fault, watch, clear, release."""

from __future__ import annotations

import asyncio
import sqlite3
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

from demo import faults
from demo.alerts import Alerts
from demo.course import Course, End
from demo.drills import Drill
from demo.grace_api import ApiError, GraceApi, Run
from demo.measured import Measured
from demo.outside import Effect, Outside, State
from demo.running import Running

LOOK_EVERY = 0.5
"""Seconds between looks at the remediator."""
WHO = "the drill"
ACTIVE = frozenset({"running", "verifying", "undoing"})
CLEAN_UP_WITHIN = 10.0
"""Seconds that an interrupted drill takes, at most, to put things right."""


class DrillFailed(Exception):
    """The drill could not begin, or did not end as it should; the message says why."""


@dataclass(slots=True)
class Report:
    """What a drill came to. `courses` has the times, `effects` what was seen from outside before and after."""

    drill: Drill
    ok: bool = False
    why: str = ""
    courses: Sequence[Course] = ()
    before: dict[str, State] = field(default_factory=dict)
    after: dict[str, State] = field(default_factory=dict)
    released: dict[str, State] = field(default_factory=dict)
    took: float = 0.0

    def as_json(self) -> dict[str, Any]:
        """For `--json`: times in seconds since the fault."""
        return {
            "drill": self.drill.name,
            "ok": self.ok,
            "why": self.why,
            "took": round(self.took, 1),
            "incidents": [course.as_json() for course in self.courses],
            "effects": {
                what: {"before": value, "after": self.after.get(what), "released": self.released.get(what)}
                for what, value in self.before.items()
            },
        }


class Rehearsal:
    """Runs drills against one running stack. `say` gets each line of progress, with the seconds since the fault."""

    def __init__(
        self, stack: Running, api: GraceApi, measured: Measured, alerts: Alerts, say: Callable[[float, str], None]
    ) -> None:
        self._stack = stack
        self._api = api
        self._measured = measured
        self._alerts = alerts
        self._outside = Outside(stack.place)
        self._say_at = say
        self._began = time.time()
        self._jammed: list[str] = []

    async def run(self, drill: Drill, patience: float | None = None) -> Report:
        """The report of one drill, which waits at most `patience` seconds for its end. The fault is gone afterwards."""
        self._began = time.time()
        report = Report(drill)
        try:
            await self._rehearse(drill, report, patience or self.patience(drill))
        except (DrillFailed, ApiError, OSError, sqlite3.Error) as error:
            report.why = str(error)
        report.took = time.time() - self._began
        return report

    def patience(self, drill: Drill) -> float:
        """Seconds to wait for the end: detection and verification, each for two candidates, and some."""
        metrics = [self._stack.catalog.metrics[metric] for metric, _ in drill.metrics]
        longest = max(8 * metric.interval + metric.window for metric in metrics)
        return 60.0 + 2.5 * longest * (2 if len(metrics) > 1 else 1)

    async def _rehearse(self, drill: Drill, report: Report, patience: float) -> None:
        await self._give_back(drill)
        await self._calm(drill, patience)
        report.before = self._effects(drill)
        for what, value in report.before.items():
            self._say(f"{what}: {_shown(value)}")
        self._began = time.time()
        try:
            try:
                await self._inject(drill)
                report.courses = [Course(*metric, since=self._began, say=self._say_at) for metric in drill.metrics]
                await self._watch(drill, report.courses, patience)
                report.after = self._effects(drill)
            finally:
                faults.clear(self._stack.place.faults, *drill.faults)
                await self._clean_up(self._unjam())
                self._say("fault removed")
            for what, value in report.after.items():
                self._say(f"{what}: {_shown(report.before[what])} → {_shown(value)}")
            if drill.releases and all(course.end is End.CONTAINED for course in report.courses):
                await self._release(report)
                await self._until(lambda: self._as_before(drill, report), patience, "what was contained is given back")
                await self._goes_on(patience)
        except asyncio.CancelledError:
            if drill.releases:
                await self._clean_up(self._release(report))
            raise
        self._judge(drill, report)
        report.ok = True

    async def _clean_up(self, work: Coroutine[Any, Any, None]) -> None:
        """Do this even though the drill may be on its way out; what cannot be done is said."""
        try:
            async with asyncio.timeout(CLEAN_UP_WITHIN):
                await work
        except (ApiError, TimeoutError) as error:
            self._say(f"could not clean up all: {error or 'the remediator does not answer'}")

    async def _give_back(self, drill: Drill) -> None:
        """Undo what earlier runs still keep changed on the targets of this drill, the newest first."""
        kept = [run for run in await self._api.runs() if run.kept and run.target in drill.targets]
        for run in sorted(kept, key=lambda run: run.created_at or 0.0, reverse=True):
            self._say(f"giving back what {run.playbook_id} on {run.target} changed ({run.id})")
            try:
                await self._api.give_back(run.id, "undo", f"{WHO} {drill.name} begins from a clean state")
            except ApiError as error:
                self._say(f"  refused: {error}")
        await self._until(lambda: self._nothing_kept({run.id for run in kept}), 30.0, "earlier changes are given back")

    async def _nothing_kept(self, ids: set[str]) -> bool:
        return not ids or not any(run.kept for run in await self._api.runs() if run.id in ids)

    async def _calm(self, drill: Drill, patience: float) -> None:
        for metric_id, resource in drill.metrics:
            await self._until(
                lambda metric_id=metric_id, resource=resource: self._is_calm(metric_id, resource),  # type: ignore[misc]
                patience,
                f"{metric_id} of {resource} is calm and has no open incident",
            )

    async def _is_calm(self, metric_id: str, resource: str) -> bool:
        wanted = (metric_id, resource)
        if any((each.metric_id, each.resource) == wanted and not each.closed for each in await self._api.incidents()):
            return False
        return await self._measured.calm(self._stack.catalog.metrics[metric_id], resource)

    async def _inject(self, drill: Drill) -> None:
        for name in drill.faults:
            where = {"worker": self._outside.oldest_worker()} if name == "stuck-worker" else {}
            faults.inject(self._stack.place.faults, name, self._began, **where)
        for playbook, target in drill.jam:
            run = await self._api.run_by_hand(playbook, target)
            self._jammed.append(run.id)
        self._say(f"fault injected: {drill.title}")

    async def _unjam(self) -> None:
        jammed, self._jammed = set(self._jammed), []
        if not jammed:
            return
        for approval in await self._api.pending_approvals():
            if approval.run_id in jammed:
                await self._api.decide(approval.id, "reject", f"asked for by {WHO} only")

    async def _watch(self, drill: Drill, courses: Sequence[Course], patience: float) -> None:
        """Follow the incidents until each has come to one of the drill's ends, or to another one for good."""
        asked: set[str] = set()
        while time.time() - self._began < patience:
            incidents, runs = await self._look()
            self._one_at_a_time(runs)
            for course in courses:
                course.see(incidents, runs, time.time())
            if drill.approves:
                await self._approve(courses, asked)
            if drill.alert is not None:
                await self._hear(drill.alert, courses)
            if all(course.end in drill.ends for course in courses):
                return
            if End.ESCALATED not in drill.ends and any(self._given_up(course) for course in courses):
                return
            await asyncio.sleep(LOOK_EVERY)

    async def _hear(self, alertname: str, courses: Sequence[Course]) -> None:
        firing = await self._alerts.firing(alertname)
        for course in courses:
            if course.runs:
                raise DrillFailed(f"{course.runs[0].playbook_id} was planned for what nobody can measure")
            course.told(firing)

    def _given_up(self, course: Course) -> bool:
        """Whether it is left to people for good: what worsens is planned for anew, so a while must pass."""
        if course.end is not End.ESCALATED or course.incident is None:
            return False
        interval = self._stack.catalog.metrics[course.metric_id].interval
        return time.time() - course.incident.changed_at > 6 * interval

    async def _look(self) -> tuple[Sequence[Any], Sequence[Run]]:
        try:
            return await self._api.incidents(), await self._api.runs()
        except ApiError as error:
            if error.status:
                raise
            # It is being restarted, perhaps: what it accepted it will still know.
            return (), ()

    def _one_at_a_time(self, runs: Sequence[Run]) -> None:
        busy = [run.target for run in runs if run.state in ACTIVE]
        twice = {target for target in busy if busy.count(target) > 1}
        if twice:
            raise DrillFailed(f"two runs at once on {', '.join(sorted(twice))}")

    async def _approve(self, courses: Sequence[Course], asked: set[str]) -> None:
        """Approve, as one person would, what is held for these incidents."""
        held = {run.id for course in courses for run in course.runs if run.state == "held"}
        if not held - asked:
            return
        for approval in await self._api.pending_approvals():
            if approval.run_id in held - asked:
                asked.add(approval.run_id)
                then = await self._api.decide(approval.id, "approve", f"{WHO} stands in for a reviewer")
                self._say(f"approved with the admin token ({then.given} of {then.needed})")

    def _judge(self, drill: Drill, report: Report) -> None:
        wrong = [course.why() for course in report.courses if course.end not in drill.ends]
        if wrong:
            raise DrillFailed("; ".join(wrong))
        for what in (effect.what for effect in (*drill.effects, *drill.artefacts)):
            if report.before[what] == report.after[what]:
                raise DrillFailed(f"{what} did not change: {_shown(report.before[what])}")

    async def _release(self, report: Report) -> None:
        """Give back, as a person would, what contained the fault; whatever still stands of it."""
        mine = {run.id for course in report.courses for run in course.runs}
        for run in [run for run in await self._api.runs() if run.id in mine and run.kept]:
            await self._api.give_back(run.id, "release", f"{WHO} removed the fault")
            self._say(f"released with the admin token: {run.playbook_id} ({run.id})")

    async def _goes_on(self, patience: float) -> None:
        sessions = self._outside.sessions()
        await self._until(lambda: self._more_sessions(sessions), patience, "ingestion goes on")
        self._say(f"ingestion goes on: {self._outside.sessions() - sessions} new session")

    async def _as_before(self, drill: Drill, report: Report) -> bool:
        report.released = self._effects(drill)
        return all(report.released[effect.what] == report.before[effect.what] for effect in drill.effects)

    async def _more_sessions(self, than: int) -> bool:
        return self._outside.sessions() > than

    async def _until(self, holds: Callable[[], Any], within: float, what: str) -> None:
        deadline = time.time() + within
        told = False
        while not await holds():
            if time.time() > deadline:
                raise DrillFailed(f"not within {within:.0f} s: {what}")
            if not told:
                self._say(f"waiting until {what}")
                told = True
            await asyncio.sleep(LOOK_EVERY)

    def _effects(self, drill: Drill) -> dict[str, State]:
        effects: tuple[Effect, ...] = (*drill.effects, *drill.artefacts, *drill.watched)
        return {effect.what: effect.read(self._outside) for effect in effects}

    def _say(self, text: str) -> None:
        self._say_at(self._began, text)


def _shown(value: State) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value)) or "none"
    return f"{value:g}" if isinstance(value, float) else str(value)
