"""Do the services run, know each other, keep time, and keep enough?"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

from catalog.model import parse_duration
from remediator.errors import GraceError
from rules.meta import EXPORTER_JOB, REMEDIATOR_JOB
from stack.doctor.setup import Finding, Setup, wrong

CLOCK_SECONDS = 5.0
"""Clocks further apart than this are a finding."""
LEAST_RETENTION = 86400.0
"""Seconds of measurements that postmortems and the 24-hour figures look back on."""


async def remediator(setup: Setup) -> AsyncIterator[Finding]:
    """It runs, takes alerts, and reaches its peers."""
    status = await setup.remediator.ask("GET", "/api/v1/status")
    if not status["ready"]:
        yield wrong("the remediator cannot accept alerts durably", "look at its log, and at the disk of the ledger")
    for name in ("prometheus", "alertmanager"):
        if not status[name]["reachable"]:
            yield wrong(
                f"the remediator does not reach {name} at {status[name]['url']}", f"correct {name}.url in grace.yml"
            )


async def token(setup: Setup) -> AsyncIterator[Finding]:
    """The command line may ask it."""
    path = setup.config.data_dir / "tokens" / "admin"
    if not path.exists():
        yield wrong(f"there is no token at {path}", "correct data_dir in grace.yml, or start the remediator once")
        return
    try:
        await setup.remediator.ask("GET", "/api/v1/incidents?limit=1")
    except GraceError as error:
        if "401" not in str(error) and "403" not in str(error):
            raise
        yield wrong(
            f"the remediator refuses the token in {path}",
            "set data_dir to the one that the remediator uses, or restart it where the token was lost",
        )


async def clocks(setup: Setup) -> AsyncIterator[Finding]:
    """They agree, or ages and windows mean nothing."""
    for name, ask in (("Prometheus", _time_of_prometheus), ("the remediator", _time_of_remediator)):
        asked = setup.clock.now()
        reading = await ask(setup)
        answered = setup.clock.now()
        # It was read at some moment between the two, however long the answer took.
        apart = reading - min(max(reading, asked), answered)
        if abs(apart) > CLOCK_SECONDS:
            yield wrong(f"the clock of {name} is {apart:+.0f} s from this one", "synchronise both with NTP")


async def _time_of_prometheus(setup: Setup) -> float:
    answer = await setup.prometheus.ask("POST", "/api/v1/query", form={"query": "time()"})
    return float(answer["data"]["result"][1])


async def _time_of_remediator(setup: Setup) -> float:
    return float((await setup.remediator.ask("GET", "/api/v1/status"))["now"])


async def scraped(setup: Setup) -> AsyncIterator[Finding]:
    """Prometheus scrapes the exporter and the remediator."""
    for job, series in ((EXPORTER_JOB, "grace_metric_info"), (REMEDIATOR_JOB, "grace_remediator_ledger_writable")):
        if await setup.query(f"{series} and on (job, instance) (up == 1)"):
            continue
        targets = await setup.prometheus.ask("GET", "/api/v1/targets?state=active")
        failing = [
            str(target["lastError"])
            for target in targets["data"]["activeTargets"]
            if target["labels"].get("job") == job and target["health"] == "down"
        ]
        if failing:
            yield wrong(f"{job} cannot be scraped: {failing[0]}", f"start it, or correct the target of job {job}")
        else:
            yield wrong(f"nothing of {job} is scraped", f"add a scrape job {job} for it to prometheus.yml")


async def retention(setup: Setup) -> AsyncIterator[Finding]:
    """Prometheus remembers as long as Grace looks back."""
    answer = await setup.prometheus.ask("GET", "/api/v1/status/runtimeinfo")
    kept = str(answer["data"]["storageRetention"])
    found = re.match(r"[0-9a-z]+", kept)
    weeks = re.fullmatch(r"(\d+)([wy])(.*)", found[0]) if found else None
    if found is None or weeks is not None or not found[0][-1:].isalpha() or found[0].endswith("B"):
        return
    if parse_duration(found[0]) < LEAST_RETENTION:
        yield wrong(f"Prometheus keeps measurements for {kept} only", "set --storage.tsdb.retention.time=15d")
