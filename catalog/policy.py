"""The governance policy: the numbers by which a plan is allowed, held or denied. Parsed from `governance.yml`.

Every default is the documented one; a file may change any of them. What people set at run time (ceiling, strictness,
lock, freeze, holds) lives in the ledger and wins over this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, model_validator

from catalog.model import Frozen, Seconds, Tier, TierName

APPROVALS = {"tier_1": 1, "tier_2": 1, "tier_3": 1, "tier_4": 2}


Share = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(ge=1, le=1000)]


class Rates(Frozen):
    per_target_hour: int = Field(default=6, ge=0)
    """Runs on one target in an hour."""
    all_hour: int = Field(default=30, ge=0)
    """Runs in an hour, over all targets."""


class BlastRadius(Frozen):
    group_at_once: int = Field(default=1, ge=1)
    """Targets of one group that may be changing at the same time."""
    group_share: float = Field(default=0.25, gt=0, le=1)
    """The share of a group's targets that may be changed within `within`."""
    within: Seconds = 1800.0
    """How long a change counts."""


class Storm(Frozen):
    enter_groups: int = Field(default=5, ge=1)
    """Groups with open incidents at which a storm begins: every plan is then held."""
    leave_below: int = Field(default=3, ge=1)
    """Groups with open incidents below which it may end."""
    leave_after: Seconds = 600.0
    """How long there must be fewer."""


class MaintenanceWindow(Frozen):
    """A recurring time in which Grace keeps its hands off: nothing new starts on the targets it covers."""

    name: str
    """What people call it; the reason that they read."""
    rrule: str
    """When it begins, as an RFC 5545 recurrence rule in local time: `FREQ=DAILY;BYHOUR=2;BYMINUTE=0;BYSECOND=0`."""
    duration: Seconds = Field(gt=0, le=7 * 86400)
    """How long it lasts."""
    timezone: str = "UTC"
    """A name of the IANA time zone database: a window at 02:00 stays at 02:00 when clocks change."""
    targets: tuple[str, ...] = ()
    """Names of the inventory; all of them where empty."""

    @model_validator(mode="after")
    def _readable(self) -> Self:
        from dateutil.rrule import rrulestr  # most teams have no window

        written = self.rrule.upper()
        if "DTSTART" in written:
            raise ValueError("leave DTSTART out: the window recurs from long ago")
        if not any(f"FREQ={word}" in written for word in ("YEARLY", "MONTHLY", "WEEKLY", "DAILY")):
            raise ValueError("FREQ must be YEARLY, MONTHLY, WEEKLY or DAILY")
        try:
            rrulestr(self.rrule, dtstart=datetime(2020, 1, 1))  # noqa: DTZ001  # local time of the window's zone
        except (ValueError, TypeError) as error:
            raise ValueError(f"rrule {self.rrule!r} is not an RFC 5545 recurrence rule: {error}") from error
        try:
            ZoneInfo(self.timezone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"there is no time zone {self.timezone!r}; write it like Europe/Berlin") from error
        return self


class Policy(Frozen):
    ceiling: TierName = Tier.TIER_2
    """The highest tier that runs without a person."""
    strictness: int = Field(default=0, ge=0, le=3)
    """0 to 3: which of the floors and factors below apply."""
    supervised: bool = False
    """Hold every plan for a person."""
    frozen: bool = False
    """Start nothing."""
    shadow: bool = False
    """Decide and record everything, touch nothing."""
    evidence: Literal["required", "trust_alert"] = "required"
    """Must Prometheus confirm an alert, or is it believed? `trust_alert` is for test rigs."""
    confidence_floors: tuple[Share, Share, Share, Share] = (0.6, 0.7, 0.8, 0.9)
    """The least confidence with which a plan runs by itself, by strictness."""
    cooldown_factors: tuple[Factor, Factor, Factor, Factor] = (1, 2, 4, 8)
    """What cooldowns are multiplied by, by strictness."""
    prior_successes: float = Field(default=8, gt=0)
    """Successes that a playbook is credited with before it has any."""
    prior_failures: float = Field(default=2, gt=0)
    """Failures that a playbook is charged with before it has any."""
    cooldown: Seconds = 600.0
    """How long after a run the same playbook rests on a target."""
    attempt_cooldown: Seconds = 120.0
    """How long after a run that did not help the next may begin."""
    rates: Rates = Rates()
    """How many runs there may be."""
    blast: BlastRadius = BlastRadius()
    """How much may be changing at once."""
    storm: Storm = Storm()
    """When so much goes wrong that people should look first."""
    strikes: int = Field(default=3, ge=1)
    """Ineffective runs in one incident after which a person is called."""
    repeat_heals: int = Field(default=3, ge=1)
    """Heals of the same metric and resource after which a person is called."""
    repeat_heals_within: Seconds = 86400.0
    """How long a heal counts for that."""
    approvals: dict[str, Annotated[int, Field(ge=1, le=10)]] = Field(
        default_factory=lambda: dict(APPROVALS), json_schema_extra={"propertyNames": {"enum": list(APPROVALS)}}
    )
    """How many distinct people must approve a held plan of each tier."""
    approval_expiry: Seconds = 1800.0
    """How long an approval waits before the plan expires."""
    safety_ratchet: Literal["immediate", "wait"] = "immediate"
    """Does a playbook that tightens governance run at once, or wait for a person?"""
    safety_confirm_within: Seconds = 1800.0
    """How long a person has to confirm such a tightening."""
    release_after: Seconds = 3600.0
    """How long a metric must have been good before what healed it is given back."""
    maintenance: tuple[MaintenanceWindow, ...] = ()
    """Times in which nothing new starts."""

    @model_validator(mode="before")
    @classmethod
    def _complete_approvals(cls, written: Any) -> Any:
        """Tiers that the file does not name keep their default."""
        if isinstance(written, Mapping) and isinstance(written.get("approvals"), Mapping):
            return {**written, "approvals": {**APPROVALS, **written["approvals"]}}
        return written

    @model_validator(mode="after")
    def _levels_tighten(self) -> Self:
        for name, levels in (
            ("confidence_floors", self.confidence_floors),
            ("cooldown_factors", self.cooldown_factors),
        ):
            if list(levels) != sorted(levels):
                raise ValueError(f"{name}: a higher strictness must not be laxer than the one below it")
        if self.storm.leave_below > self.storm.enter_groups:
            raise ValueError("storm.leave_below must not be above storm.enter_groups")
        return self
