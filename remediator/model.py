"""The nouns of the remediator, frozen, and the two state machines as tables.

`INCIDENT_MOVES` and `RUN_MOVES` are the only moves there are; the ledger refuses any other.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from catalog.model import Band, Tier, Verb

State = Mapping[str, Any]

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


def new_id(prefix: str, now: float | None = None) -> str:
    """An id that sorts by time and cannot be guessed: prefix, 9 characters of milliseconds, 10 random (base32)."""
    millis = int((time.time() if now is None else now) * 1000)
    stamp = "".join(_ALPHABET[(millis >> (5 * place)) & 31] for place in reversed(range(9)))
    return f"{prefix}_{stamp}{''.join(secrets.choice(_ALPHABET) for _ in range(10))}"


class IncidentState(StrEnum):
    OPEN = "open"
    PLANNING = "planning"
    WAITING_APPROVAL = "waiting_approval"
    ACTING = "acting"
    VERIFYING = "verifying"
    COOLING = "cooling"
    CONTAINED = "contained"
    BLIND = "blind"
    SUSPENDED = "suspended"
    ESCALATED = "escalated"
    CLOSED = "closed"


class Outcome(StrEnum):
    """How an incident ended."""

    HEALED = "healed"
    SELF_RESOLVED = "self_resolved"
    ACKNOWLEDGED = "acknowledged"


class RunState(StrEnum):
    PLANNED = "planned"
    HELD = "held"
    RUNNING = "running"
    VERIFYING = "verifying"
    UNDOING = "undoing"
    HEALED = "healed"
    EFFECTIVE = "effective"
    CONTAINED = "contained"
    INEFFECTIVE = "ineffective"
    FAILED = "failed"
    ROLLED_BACK = "rolled_back"
    UNDO_FAILED = "undo_failed"
    UNVERIFIED = "unverified"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REFUSED = "refused"
    SHADOW = "shadow"

    @property
    def active(self) -> bool:
        """Does a run in this state keep its target to itself?"""
        return self in (RunState.RUNNING, RunState.VERIFYING, RunState.UNDOING)

    @property
    def final(self) -> bool:
        return self not in (RunState.PLANNED, RunState.HELD) and not self.active


_I = IncidentState
INCIDENT_MOVES: Mapping[IncidentState, frozenset[IncidentState]] = {
    _I.OPEN: frozenset({_I.PLANNING, _I.BLIND, _I.SUSPENDED, _I.ESCALATED, _I.CLOSED}),
    _I.PLANNING: frozenset(
        {_I.OPEN, _I.WAITING_APPROVAL, _I.ACTING, _I.COOLING, _I.BLIND, _I.SUSPENDED, _I.ESCALATED, _I.CLOSED}
    ),
    _I.WAITING_APPROVAL: frozenset(
        {_I.PLANNING, _I.ACTING, _I.COOLING, _I.OPEN, _I.BLIND, _I.SUSPENDED, _I.ESCALATED, _I.CLOSED}
    ),
    _I.ACTING: frozenset({_I.VERIFYING, _I.PLANNING, _I.CONTAINED, _I.COOLING, _I.ESCALATED, _I.CLOSED}),
    _I.VERIFYING: frozenset({_I.PLANNING, _I.ACTING, _I.COOLING, _I.ESCALATED, _I.CLOSED}),
    _I.COOLING: frozenset({_I.OPEN, _I.WAITING_APPROVAL, _I.ACTING, _I.BLIND, _I.SUSPENDED, _I.ESCALATED, _I.CLOSED}),
    _I.CONTAINED: frozenset({_I.OPEN, _I.ESCALATED, _I.CLOSED}),
    _I.BLIND: frozenset({_I.OPEN, _I.ESCALATED, _I.CLOSED}),
    _I.SUSPENDED: frozenset({_I.OPEN, _I.BLIND, _I.ESCALATED, _I.CLOSED}),
    _I.ESCALATED: frozenset({_I.OPEN, _I.CONTAINED, _I.CLOSED}),
    _I.CLOSED: frozenset(),
}

_R = RunState
RUN_MOVES: Mapping[RunState, frozenset[RunState]] = {
    _R.PLANNED: frozenset({_R.RUNNING, _R.HELD, _R.CANCELLED, _R.REFUSED, _R.SHADOW}),
    _R.HELD: frozenset({_R.RUNNING, _R.CANCELLED, _R.EXPIRED, _R.REFUSED}),
    # Refused: before its first step the world was another one than the plan was made for.
    _R.RUNNING: frozenset(
        {
            *(_R.VERIFYING, _R.EFFECTIVE, _R.CONTAINED, _R.FAILED, _R.UNDOING),
            *(_R.CANCELLED, _R.UNVERIFIED, _R.ROLLED_BACK, _R.REFUSED),
        }
    ),
    _R.VERIFYING: frozenset({_R.HEALED, _R.INEFFECTIVE, _R.UNVERIFIED, _R.UNDOING, _R.CANCELLED}),
    _R.UNDOING: frozenset({_R.ROLLED_BACK, _R.UNDO_FAILED, _R.INEFFECTIVE, _R.FAILED, _R.CANCELLED}),
    # What a run changed can be given back later, by a person or by a release.
    _R.HEALED: frozenset({_R.UNDOING}),
    _R.EFFECTIVE: frozenset({_R.UNDOING}),
    _R.CONTAINED: frozenset({_R.UNDOING}),
    _R.INEFFECTIVE: frozenset({_R.UNDOING}),
    _R.UNVERIFIED: frozenset({_R.UNDOING}),
    _R.FAILED: frozenset({_R.UNDOING}),
    _R.CANCELLED: frozenset({_R.UNDOING}),
    _R.UNDO_FAILED: frozenset({_R.UNDOING}),
    _R.ROLLED_BACK: frozenset(),
    _R.EXPIRED: frozenset(),
    _R.REFUSED: frozenset(),
    _R.SHADOW: frozenset(),
}


@dataclass(frozen=True, slots=True)
class Incident:
    """One metric, or one bound alert, on one resource, until resolved."""

    id: str
    metric_id: str
    resource: str
    category: str
    band: Band
    opened_band: Band
    state: IncidentState
    target: str | None
    opened_at: float
    closed_at: float | None
    outcome: Outcome | None
    wake_at: float | None
    fence: int
    firing: Mapping[str, str]
    """Alerts that are firing now, fingerprint → severity; empty once all are resolved."""
    reason: str
    """Why it is in this state, for people."""
    verdict: str | None
    reasons: tuple[str, ...]
    """Verdict and reasons of the latest decision."""
    labels: Mapping[str, str] = field(default_factory=dict)
    changed_at: float = 0.0
    last_notice_at: float = 0.0
    absent_polls: int = 0
    decided: str = ""
    """Digest of the latest recorded decision: the same one is not recorded twice in a row."""


@dataclass(frozen=True, slots=True)
class PlannedStep:
    """One rendered step: what will be asked of which driver, computed once from what was observed."""

    verb: Verb
    target: str
    driver: str
    before: State
    desired: State

    def as_json(self) -> dict[str, Any]:
        return {
            "verb": self.verb.value,
            "target": self.target,
            "driver": self.driver,
            "before": dict(self.before),
            "desired": dict(self.desired),
        }

    @classmethod
    def from_json(cls, body: Mapping[str, Any]) -> PlannedStep:
        return cls(Verb(body["verb"]), body["target"], body["driver"], body["before"], body["desired"])


@dataclass(frozen=True, slots=True)
class Plan:
    """A candidate with its rendered steps. The digest names exactly this."""

    playbook_id: str
    tier: Tier
    risk: str
    target: str
    group: str
    steps: tuple[PlannedStep, ...]
    digest: str


@dataclass(frozen=True, slots=True)
class Run:
    """One execution of a plan."""

    id: str
    incident_id: str | None
    playbook_id: str
    target: str
    group: str
    tier: Tier
    state: RunState
    outcome: str | None
    verdict: str
    reasons: tuple[str, ...]
    confidence: float
    evidence: str
    """What Prometheus said when it was decided: confirmed, absent, unreachable or trusted."""
    digest: str
    plan: tuple[PlannedStep, ...]
    by: str
    created_at: float
    started_at: float | None
    acted_at: float | None
    """When the last step had been done: verification looks at measurements after this."""
    verify_until: float | None
    ended_at: float | None
    reason: str
    kept: bool
    """Does what it changed still stand (to be released or undone later)?"""
    release_at: float | None
    released_steps: int
    fence: int = 0
    """Of the claim under which a run that no incident drives is worked on."""


@dataclass(frozen=True, slots=True)
class Step:
    """What was intended and what came of it, as journaled."""

    run_id: str
    phase: str
    """do, undo or release."""
    index: int
    verb: Verb
    target: str
    driver: str
    before: State
    desired: State
    after: State | None
    state: str
    """intended, done or failed."""
    attempts: int
    intended_at: float
    ended_at: float | None
    error: str | None


@dataclass(frozen=True, slots=True)
class Approval:
    id: str
    run_id: str
    incident_id: str | None
    plan_digest: str
    tier: Tier
    status: str
    """pending, approved, rejected, expired or void."""
    needed: int
    given: int
    created_at: float
    expires_at: float
    reason: str
    policy: str = ""
    """Version of the policy and the settings under which it was asked."""
