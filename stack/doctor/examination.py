"""Every check, all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from dataclasses import replace

from remediator.errors import GraceError
from stack.doctor.delivery import delivered
from stack.doctor.mesh import peers
from stack.doctor.route import alerting, route
from stack.doctor.rules import rules
from stack.doctor.services import clocks, remediator, retention, scraped, token
from stack.doctor.setup import Check, Finding, Setup
from stack.doctor.targets import drivers, targets

TEST_ALERT = "test alert"
CHECKS: Mapping[str, Check] = {
    "remediator": remediator,
    "token": token,
    "clocks": clocks,
    "scraped": scraped,
    "rules": rules,
    "alerting": alerting,
    "peers": peers,
    "route": route,
    TEST_ALERT: delivered,
    "retention": retention,
    "drivers": drivers,
    "targets": targets,
}


async def examine(setup: Setup, *, without: Collection[str] = ()) -> list[Finding]:
    """Every finding of every check, and one that passed for each check without any. Never raises for a broken setup.

    `without` names checks that are left out.
    """
    chosen = {name: check for name, check in CHECKS.items() if name not in without}
    answers = await asyncio.gather(*(_run(name, check, setup) for name, check in chosen.items()))
    # A service that is away stops many checks; it is said once.
    told: dict[tuple[str, str], Finding] = {}
    for finding in (finding for answer in answers for finding in answer):
        told.setdefault((finding.problem, finding.mend) if finding.problem else (finding.check, finding.note), finding)
    return list(told.values())


async def _run(name: str, check: Check, setup: Setup) -> list[Finding]:
    try:
        found = [finding async for finding in check(setup)]
    except GraceError as error:
        return [Finding(name, str(error), "start it, or correct its url in grace.yml; then ask again")]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # Something answers, but not as the service should.
        return [Finding(name, f"an answer is not understood ({type(error).__name__})", "check the urls in grace.yml")]
    return [replace(one, check=name) for one in found] or [Finding(name)]
