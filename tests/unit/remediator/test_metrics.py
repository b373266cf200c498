"""What the remediator says of itself."""

from __future__ import annotations

import re
from pathlib import Path

from remediator.metrics import Metrics
from tests.unit.remediator.simulation import simulation

ARCHITECTURE = Path(__file__).parents[3] / "docs" / "architecture.md"


async def test_every_series_is_in_the_documentation_and_every_documented_one_is_there() -> None:
    async with simulation() as sim:
        text = (await Metrics(sim.parts).text()).decode()
    told = {name for name in re.findall(r"# TYPE (grace_\w+) ", text) if not name.endswith("_created")}
    documented = set(re.findall(r"`(grace_remediator_\w+)", ARCHITECTURE.read_text()))
    assert told == documented


async def test_a_check_of_the_audit_log_is_told() -> None:
    async with simulation() as sim:
        metrics = Metrics(sim.parts)
        metrics.audit_checked(False, 2.5, 1_700_000_000.0)
        lines = (await metrics.text()).decode().splitlines()
        await metrics.close()
    assert "grace_remediator_audit_ok 0.0" in lines
    assert "grace_remediator_audit_check_seconds 2.5" in lines
    assert "grace_remediator_audit_checked_timestamp_seconds 1.7e+09" in lines
