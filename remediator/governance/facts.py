"""What governance is told. Whoever gathers these facts reads clocks and ledgers; here they are only values."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from catalog.model import Risk, Tier, VerifiedBy
from catalog.policy import Policy


class Evidence(StrEnum):
    """What Prometheus says about the alert now."""

    CONFIRMED = "confirmed"
    """The metric is in the alert's band or worse."""
    ABSENT = "absent"
    """It answered, and does not show the band."""
    UNREACHABLE = "unreachable"
    """It did not answer, or not with fresh data."""
    TRUSTED = "trusted"
    """Not asked, the alert's word is taken (`evidence: trust_alert`, for test rigs). Under any other policy: absent."""


class Precondition(StrEnum):
    """The plan's precondition. What cannot be found out counts as false."""

    NONE = "none"
    TRUE = "true"
    FALSE = "false"
    UNKNOWN = "unknown"


class Purpose(StrEnum):
    """Why the plan is made. Everything but `heal` has no alert behind it, so there is no band to confirm."""

    HEAL = "heal"
    RELEASE = "release"
    """Gives back what healing changed, once the metric stayed good."""
    BY_HAND = "by_hand"
    """A person started it by name (`grace run`)."""
    UNDO = "undo"
    """A person takes a run back (`grace undo`); allowed under a freeze too."""


@dataclass(frozen=True, slots=True)
class PlanFacts:
    """What of a plan matters to governance."""

    playbook_id: str
    target: str
    group: str
    """The target's blast group."""
    tier: Tier
    risk: Risk = Risk.LOW
    verified_by: VerifiedBy = VerifiedBy.METRIC
    mutating: bool = True
    """False where every verb only observes, reports or tells. Such a tier_1 plan is a report: little holds it."""
    safety: bool = False
    """A playbook that only reduces what runs alone (the safety ratchet)."""
    shadow: bool = False
    """The playbook or the target is in shadow: decided and recorded, never touched."""
    purpose: Purpose = Purpose.HEAL


@dataclass(frozen=True, slots=True)
class Facts:
    """How the world stands. Times are epoch seconds of one clock; counts are not negative."""

    now: float
    evidence: Evidence
    confidence: float
    """0-1, from `confidence.confidence`."""
    target_known: bool = True
    capable: bool = True
    """Every step's target exists and its driver can do the verb."""
    precondition: Precondition = Precondition.NONE
    maintenance: bool = False
    """A maintenance window or a silence covers the target now."""
    hold_until: float | None = None
    """A person holds this target until then (`grace hold`)."""
    target_busy: bool = False
    """A run is active on this target."""
    last_run_of_playbook_on_target_at: float | None = None
    """End of the last run of this playbook on this target."""
    attempts_in_incident: int = 0
    """Runs of this incident so far that were meant to move the metric (runs verified by effect do not count)."""
    last_attempt_at: float | None = None
    """End of the last of them."""
    runs_last_hour_target: int = 0
    runs_last_hour_all: int = 0
    group_targets: int = 1
    """Targets in the blast group, this one included."""
    group_targets_changed_recently: int = 0
    """*Other* targets of the group changed within `policy.blast.within`."""
    group_active_runs: int = 0
    """Runs active on *other* targets of the group."""
    incident_groups_now: int = 0
    """Distinct groups with a confirmed incident."""
    storm_active: bool = False
    """From `storm.fold`."""
    ineffective_in_incident: int = 0
    repeat_heals: int = 0
    """Heals of the same metric and resource within `policy.repeat_heals_within`."""
    approvals_given: int = 0
    """Distinct people who approved exactly this plan."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What people and ratchets set at run time. It lives in the ledger and wins over the policy file.

    Raises ValueError for a strictness outside 0-3.
    """

    ceiling: Tier = Tier.TIER_2
    strictness: int = 0
    supervised: bool = False
    """Locked: every change waits for a person; reports still run."""
    frozen: bool = False
    shadow: bool = False

    def __post_init__(self) -> None:
        if self.strictness not in range(4):
            raise ValueError(f"strictness is 0, 1, 2 or 3, not {self.strictness}")

    @classmethod
    def of(cls, policy: Policy) -> Settings:
        """The settings that a policy file starts with."""
        return cls(policy.ceiling, policy.strictness, policy.supervised, policy.frozen, policy.shadow)
