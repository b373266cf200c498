"""What governance answers: a verdict, every reason for it, and how many people could still let the plan through."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Verdict(StrEnum):
    """ALLOW < HOLD < DENY: of several findings the most restrictive wins, so `max(verdicts)` is the verdict."""

    ALLOW = "allow"
    HOLD = "hold"
    DENY = "deny"

    @property
    def rank(self) -> int:
        """0 allow, 1 hold, 2 deny."""
        return _RANKS[self]

    # A StrEnum compares as text; "deny" < "hold" would be wrong here, and silently so.
    def __lt__(self, other: str) -> bool:
        return self.rank < Verdict(other).rank

    def __le__(self, other: str) -> bool:
        return self.rank <= Verdict(other).rank

    def __gt__(self, other: str) -> bool:
        return self.rank > Verdict(other).rank

    def __ge__(self, other: str) -> bool:
        return self.rank >= Verdict(other).rank


_RANKS = {Verdict.ALLOW: 0, Verdict.HOLD: 1, Verdict.DENY: 2}


class Reason(StrEnum):
    """Why. The words are stable: they stand in the audit log, in metrics, on the page."""

    FROZEN = "frozen"
    SUPERVISED = "supervised"
    TARGET_ON_HOLD = "target_on_hold"
    SHADOW = "shadow"
    MAINTENANCE = "maintenance"
    UNKNOWN_TARGET = "unknown_target"
    MISSING_CAPABILITY = "missing_capability"
    PRECONDITION_FAILED = "precondition_failed"
    EVIDENCE_ABSENT = "evidence_absent"
    TIER_NEEDS_APPROVAL = "tier_needs_approval"
    TIER_ABOVE_CEILING = "tier_above_ceiling"
    HIGH_RISK_DENIED = "high_risk_denied"
    CONFIDENCE_BELOW_FLOOR = "confidence_below_floor"
    COOLDOWN = "cooldown"
    ATTEMPT_COOLDOWN = "attempt_cooldown"
    RATE_TARGET = "rate_target"
    RATE_ALL = "rate_all"
    TARGET_BUSY = "target_busy"
    BLAST_RADIUS = "blast_radius"
    STORM = "storm"
    STRIKES = "strikes"
    REPEAT_HEALS = "repeat_heals"
    # Reasons that restrict nothing: why a plan is allowed, and what a reader should know of it.
    EVIDENCE_TRUSTED = "evidence_trusted"
    EVIDENCE_WAIVED = "evidence_waived"
    SAFETY_RATCHET = "safety_ratchet"
    WITHIN_CEILING = "within_ceiling"
    UNDO = "undo"
    APPROVED = "approved"


@dataclass(frozen=True, slots=True)
class Decision:
    """One verdict with all its reasons. Equal facts give an equal decision."""

    verdict: Verdict
    reasons: tuple[Reason, ...]
    """In the order of the checks; never empty. An approved plan keeps the reasons it was held for, after `approved`."""
    approvals_needed: int = 0
    """Distinct people whose approval lifts the holds that approval can lift; 0 where nothing of that kind holds it."""
    detail: Mapping[str, str] = field(default_factory=dict)
    """A sentence for people per reason, with the numbers that mattered. Keys are reasons."""
    retry_at: float | None = None
    """When to decide again (epoch seconds), where every hold that people cannot lift passes by itself; else None."""
    approvable: bool = False
    """Held, and approvals alone would let it run: the only case in which an approval should be asked for."""
    would_be: Verdict | None = None
    """In shadow: the verdict that it would have been. None outside shadow."""
