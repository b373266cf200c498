"""A good day, from which each test takes away one thing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from catalog.model import Tier
from remediator.governance.facts import Evidence, Facts, PlanFacts

NOON = 1_700_000_000.0


class GoodDay:
    """Facts and a plan against which there is nothing to be said."""

    now = NOON

    def facts(self, **changes: Any) -> Facts:
        return replace(Facts(now=NOON, evidence=Evidence.CONFIRMED, confidence=0.8), **changes)

    def plan(self, **changes: Any) -> PlanFacts:
        return replace(PlanFacts("restart-workers", "api-1", "api", Tier.TIER_2), **changes)


@pytest.fixture(scope="session")
def day() -> GoodDay:
    return GoodDay()
