"""The course of one incident as a drill watches it: when it was detected, decided, acted upon, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from demo.alerts import FiringAlert
from demo.grace_api import Incident, Run

_ACTED = frozenset(
    {"verifying", "undoing", "healed", "effective", "contained", "ineffective", "unverified", "rolled_back"}
)
_SLACK = 1.0
"""Seconds by which an incident may seem older than the fault: the remediator's clock is this machine's, rounded."""


class End(StrEnum):
    """What an incident comes to."""

    HEALED = "healed"
    CONTAINED = "contained"
    ESCALATED = "escalated"
    HELD = "held"
    """It waits for a person or for a cooldown: nothing runs."""
    CLOSED = "closed without a heal"


def end_of(incident: Incident) -> End | None:
    """What this incident has come to; None while Grace is still at it."""
    if incident.closed:
        return End.HEALED if incident.outcome == "healed" else End.CLOSED
    return {
        "contained": End.CONTAINED,
        "escalated": End.ESCALATED,
        "waiting_approval": End.HELD,
        "cooling": End.HELD,
    }.get(incident.state)


@dataclass(slots=True)
class Course:
    """What became of one metric on one resource since `since` (epoch seconds). Marks are seconds since then."""

    metric_id: str
    resource: str
    since: float
    say: Callable[[float, str], None]
    incident: Incident | None = None
    runs: Sequence[Run] = ()
    marks: dict[str, float] = field(default_factory=dict)
    end: End | None = None
    _said: set[str] = field(default_factory=set)

    def see(self, incidents: Sequence[Incident], runs: Sequence[Run], now: float) -> None:
        """Take in what the remediator says now."""
        mine = sorted(
            (
                incident
                for incident in incidents
                if (incident.metric_id, incident.resource) == (self.metric_id, self.resource)
                and incident.opened_at >= self.since - _SLACK
            ),
            key=lambda incident: incident.opened_at,
        )
        if not mine:
            return
        # The first that came to something: one that went away by itself comes back while the fault lasts.
        self.incident = next((incident for incident in mine if end_of(incident) is not End.CLOSED), mine[-1])
        self.runs = sorted(
            (run for run in runs if run.incident_id == self.incident.id), key=lambda run: run.created_at or 0.0
        )
        self._detected(self.incident)
        for run in self.runs:
            self._decided(run, now)
            self._acted(run, now)
        self.end = end_of(self.incident)
        if self.end in (End.HEALED, End.CONTAINED):
            self._mark("heal", self.incident.closed_at or now)
            self._once(f"end:{self.end}", f"{self.end.value}")
        elif self.end is not None:
            self._once(f"end:{self.end}", f"{self.end.value}: {self.incident.reason}".rstrip(": "))

    def told(self, alerts: Sequence[FiringAlert]) -> None:
        """Take in what people are told by Alertmanager itself."""
        for alert in alerts:
            mine = (alert.metric_id, alert.resource) == (self.metric_id, self.resource)
            if mine and alert.since >= self.since - _SLACK and "people" in alert.receivers:
                self._mark("detect", alert.since)
                self.end = End.ESCALATED
                self._once("told", f"people are told that {self.metric_id} of {self.resource} is not measured any more")

    def as_json(self) -> dict[str, Any]:
        """For a report: times in seconds since the fault, None for what did not happen."""
        return {
            "metric_id": self.metric_id,
            "resource": self.resource,
            "incident": self.incident.id if self.incident else None,
            "end": self.end.value if self.end else None,
            **{name: self.marks.get(name) for name in ("detect", "decide", "act", "heal")},
            "runs": [
                {
                    "id": run.id,
                    "playbook": run.playbook_id,
                    "state": run.state,
                    "verdict": run.verdict,
                    "reasons": list(run.reasons),
                    "confidence": run.confidence,
                }
                for run in self.runs
            ],
        }

    def why(self) -> str:
        """In words, where it stands: for a drill that did not end as it should."""
        if self.incident is None:
            return f"no incident was opened for {self.metric_id} of {self.resource}"
        reasons = ", ".join(self.incident.reasons)
        told = "; ".join(part for part in (self.incident.reason, reasons) if part)
        state = self.incident.outcome or self.incident.state
        return f"{self.metric_id} of {self.resource}: {state}{f' ({told})' if told else ''}"

    def _detected(self, incident: Incident) -> None:
        self._mark("detect", incident.opened_at)
        self._once("detect", f"detected: {self.metric_id} of {self.resource} is {incident.band} ({incident.id})")

    def _decided(self, run: Run, now: float) -> None:
        self._mark("decide", run.created_at or now)
        reasons = f" ({', '.join(run.reasons)})" if run.reasons else ""
        self._once(
            f"decide:{run.id}",
            f"decided: {run.playbook_id} on {run.target}, confidence {run.confidence:.2g}, {run.verdict}{reasons}",
        )

    def _acted(self, run: Run, now: float) -> None:
        if run.acted_at is not None or run.state in _ACTED:
            self._mark("act", run.acted_at or now)
            self._once(f"act:{run.id}", f"acted: {run.playbook_id} on {run.target} is done")
        if run.state not in ("planned", "held", "running", "verifying"):
            self._once(f"run:{run.id}:{run.state}", f"{run.playbook_id}: {run.state.replace('_', ' ')}")

    def _mark(self, name: str, at: float) -> None:
        self.marks.setdefault(name, round(max(0.0, at - self.since), 2))

    def _once(self, key: str, text: str) -> None:
        if key not in self._said:
            self._said.add(key)
            self.say(self.since, text)
