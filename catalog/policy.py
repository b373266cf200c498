"""The governance policy: the numbers by which a plan is allowed, held or denied. Parsed from `governance.yml`.

Every default is the documented one; a file may change any of them. What people set at run time (ceiling, strictness,
lock, freeze, holds) lives in the ledger and wins over this file.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from dateutil.rrule import rrulestr
from pydantic import Field, model_validator

from catalog.model import Frozen, Seconds, Tier, TierName

APPROVALS = {"tier_1": 1, "tier_2": 1, "tier_3": 1, "tier_4": 2}


Share = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(ge=1, le=1000)]


class Rates(Frozen):
    per_target_hour: int = Field(default=6, ge=0)
    all_hour: int = Field(default=30, ge=0)


class BlastRadius(Frozen):
    group_at_once: int = Field(default=1, ge=1)
    group_share: float = Field(default=0.25, gt=0, le=1)
    within: Seconds = 1800.0


class Storm(Frozen):
    enter_groups: int = Field(default=5, ge=1)
    leave_below: int = Field(default=3, ge=1)
    leave_after: Seconds = 600.0


class MaintenanceWindow(Frozen):
    """A recurring time in which Grace keeps its hands off: nothing new starts on the targets it covers."""

    name: str
    rrule: str
    """When it begins, as an RFC 5545 recurrence rule in local time: `FREQ=DAILY;BYHOUR=2;BYMINUTE=0;BYSECOND=0`."""
    duration: Seconds = Field(gt=0, le=7 * 86400)
    timezone: str = "UTC"
    """A name of the IANA time zone database: a window at 02:00 stays at 02:00 when clocks change."""
    targets: tuple[str, ...] = ()
    """Names of the inventory; all of them where empty."""

    @model_validator(mode="after")
    def _readable(self) -> Self:
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
    strictness: int = Field(default=0, ge=0, le=3)
    supervised: bool = False
    frozen: bool = False
    shadow: bool = False
    evidence: Literal["required", "trust_alert"] = "required"
    confidence_floors: tuple[Share, Share, Share, Share] = (0.6, 0.7, 0.8, 0.9)
    cooldown_factors: tuple[Factor, Factor, Factor, Factor] = (1, 2, 4, 8)
    prior_successes: float = Field(default=8, gt=0)
    prior_failures: float = Field(default=2, gt=0)
    cooldown: Seconds = 600.0
    attempt_cooldown: Seconds = 120.0
    rates: Rates = Rates()
    blast: BlastRadius = BlastRadius()
    storm: Storm = Storm()
    strikes: int = Field(default=3, ge=1)
    repeat_heals: int = Field(default=3, ge=1)
    repeat_heals_within: Seconds = 86400.0
    approvals: dict[str, Annotated[int, Field(ge=1, le=10)]] = Field(
        default_factory=lambda: dict(APPROVALS), json_schema_extra={"propertyNames": {"enum": list(APPROVALS)}}
    )
    """How many distinct people must approve a held plan of each tier."""
    approval_expiry: Seconds = 1800.0
    safety_ratchet: Literal["immediate", "wait"] = "immediate"
    safety_confirm_within: Seconds = 1800.0
    release_after: Seconds = 3600.0
    maintenance: tuple[MaintenanceWindow, ...] = ()

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
