"""`grace doctor`: what is missing or misconfigured in any setup, asked of its own APIs, and how to mend it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import aiohttp
import promql_parser
import yaml

from catalog.config import GraceConfig
from catalog.inventory import Inventory, Target
from catalog.model import Catalog, MetricCatalogEntry, parse_duration
from remediator.clock import Clock
from remediator.credentials import Credentials
from remediator.drivers import DRIVERS
from remediator.drivers.base import Driver, StepContext, World
from remediator.errors import GraceError, Refused
from remediator.peer import Peer
from rules.compile import rule_groups
from rules.meta import EXPORTER_JOB, REMEDIATOR_JOB
from stack.routes import receivers

TIMEOUT = 5.0
CLOCK_SECONDS = 5.0
"""Clocks further apart than this are a finding."""
LEAST_RETENTION = 86400.0
"""Seconds of measurements that postmortems and the 24-hour figures look back on."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not right, and what to do about it. Without a problem: the check passed."""

    check: str
    problem: str = ""
    mend: str = ""

    @property
    def is_wrong(self) -> bool:
        return bool(self.problem)

    def as_json(self) -> dict[str, str]:
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Setup:
    """What is examined: the configuration, what it names, and clients for the three services."""

    config: GraceConfig
    catalog: Catalog
    inventory: Inventory
    clock: Clock
    http: aiohttp.ClientSession

    @property
    def prometheus(self) -> Peer:
        return Peer("Prometheus", self.http, self.config.prometheus.url, TIMEOUT, Credentials())

    @property
    def alertmanager(self) -> Peer:
        return Peer("Alertmanager", self.http, self.config.alertmanager.url, TIMEOUT, Credentials())

    @property
    def remediator(self) -> Peer:
        token = self.config.data_dir / "tokens" / "admin"
        return Peer("the remediator", self.http, self.config.remediator_url, TIMEOUT, Credentials(token))

    async def query(self, promql: str) -> list[dict[str, Any]]:
        """The samples of an instant vector. Raises GraceError."""
        answer = await self.prometheus.ask("POST", "/api/v1/query", form={"query": promql})
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found


Check = Callable[[Setup], AsyncIterator[Finding]]


async def examine(setup: Setup) -> list[Finding]:
    """Every finding of every check, and one that passed for each check without any. Never raises for a broken setup."""
    answers = await asyncio.gather(*(_run(name, check, setup) for name, check in CHECKS.items()))
    return [finding for answer in answers for finding in answer]


async def _run(name: str, check: Check, setup: Setup) -> list[Finding]:
    try:
        found = [finding async for finding in check(setup)]
    except GraceError as error:
        return [Finding(name, str(error), f"start it, or correct its url in grace.yml; `{name}` could not be checked")]
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        # Something answers, but not as the service should.
        return [Finding(name, f"an answer is not understood ({type(error).__name__})", "check the urls in grace.yml")]
    return [Finding(name, one.problem, one.mend) for one in found] or [Finding(name)]


def _wrong(problem: str, mend: str) -> Finding:
    return Finding("", problem, mend)


async def _remediator(setup: Setup) -> AsyncIterator[Finding]:
    status = await setup.remediator.ask("GET", "/api/v1/status")
    if not status["ready"]:
        yield _wrong("the remediator cannot accept alerts durably", "look at its log, and at the disk of the ledger")
    for name in ("prometheus", "alertmanager"):
        if not status[name]["reachable"]:
            yield _wrong(
                f"the remediator does not reach {name} at {status[name]['url']}", f"correct {name}.url in grace.yml"
            )


async def _token(setup: Setup) -> AsyncIterator[Finding]:
    path = setup.config.data_dir / "tokens" / "admin"
    if not path.exists():
        yield _wrong(f"there is no token at {path}", "correct data_dir in grace.yml, or start the remediator once")
        return
    try:
        await setup.remediator.ask("GET", "/api/v1/incidents?limit=1")
    except GraceError as error:
        if "401" not in str(error) and "403" not in str(error):
            raise
        yield _wrong(f"the remediator refuses the token in {path}", "data_dir is not the one that the remediator uses")


async def _clocks(setup: Setup) -> AsyncIterator[Finding]:
    answer = await setup.prometheus.ask("POST", "/api/v1/query", form={"query": "time()"})
    readings = {"Prometheus": float(answer["data"]["result"][1])}
    readings["the remediator"] = float((await setup.remediator.ask("GET", "/api/v1/status"))["now"])
    here = setup.clock.now()
    for name, reading in readings.items():
        if abs(reading - here) > CLOCK_SECONDS:
            yield _wrong(f"the clock of {name} is {reading - here:+.0f} s from this one", "synchronise both with NTP")


async def _scraped(setup: Setup) -> AsyncIterator[Finding]:
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
            yield _wrong(f"{job} cannot be scraped: {failing[0]}", f"start it, or correct the target of job {job}")
        else:
            yield _wrong(f"nothing of {job} is scraped", f"add a scrape job {job} for it to prometheus.yml")


async def _rules(setup: Setup) -> AsyncIterator[Finding]:
    answer = await setup.prometheus.ask("GET", "/api/v1/rules")
    loaded = {group["name"]: group for group in answer["data"]["groups"]}
    wanted = [
        group for groups in rule_groups(setup.catalog, setup.config.time_scale).values() for group in groups
    ]  # as they stand in the rule files
    absent = [str(group["name"]) for group in wanted if group["name"] not in loaded]
    if absent:
        some = ", ".join(absent[:3]) + (f" and {len(absent) - 3} more" if len(absent) > 3 else "")
        yield _wrong(
            f"rules are not loaded: {some}", "`grace rules build --out DIR`, name DIR/*.yml in rule_files, reload"
        )
    differing = [
        str(group["name"])
        for group in wanted
        if group["name"] in loaded and _expressions(group["rules"]) != _expressions(loaded[str(group["name"])]["rules"])
    ]
    if differing:
        yield _wrong(
            f"loaded rules are not what the catalog says: {', '.join(differing[:3])}",
            "`grace rules build` writes them again; then reload Prometheus",
        )
    for group in loaded.values():
        failing = [rule for rule in group["rules"] if rule.get("health") == "err"]
        if str(group["name"]).startswith("grace.") and failing:
            yield _wrong(
                f"rule {failing[0]['name']} of {group['name']} fails: {failing[0].get('lastError', '')}",
                "check the series it reads",
            )


def _expressions(rules: Any) -> list[tuple[str, str]]:
    """What the rules of a group compute, however it is spelled."""
    found = []
    for rule in rules:
        name = rule.get("record") or rule.get("alert") or rule["name"]
        found.append((str(name), _normal(str(rule.get("expr") or rule["query"]))))
    return found


def _normal(expression: str) -> str:
    return re.sub(r"\s+", "", promql_parser.parse(expression).prettify())


async def _alerting(setup: Setup) -> AsyncIterator[Finding]:
    answer = await setup.prometheus.ask("GET", "/api/v1/alertmanagers")
    if not answer["data"]["activeAlertmanagers"]:
        yield _wrong("Prometheus sends its alerts nowhere", "add Alertmanager to `alerting:` in prometheus.yml")
    elif not await setup.alertmanager.ask("GET", "/api/v2/status"):
        yield _wrong("Alertmanager does not answer", "correct alertmanager.url in grace.yml")


async def _route(setup: Setup) -> AsyncIterator[Finding]:
    status = await setup.alertmanager.ask("GET", "/api/v2/status")
    config = yaml.safe_load(status["config"]["original"])
    name = setup.config.alertmanager.receiver
    build = "`grace rules build` writes alertmanager/fragment.yml: add that to alertmanager.yml"
    receiver = next((one for one in config.get("receivers") or () if one.get("name") == name), None)
    if receiver is None or not receiver.get("webhook_configs"):
        yield _wrong(f"Alertmanager has no receiver {name!r} with a webhook", build)
        return
    lost = [metric for metric in setup.catalog.enabled if name not in receivers(config["route"], _labels(metric))]
    if lost:
        yield _wrong(f"alerts of {lost[0].id} are not routed to receiver {name!r}", build)
    hook = receiver["webhook_configs"][0]
    if hook.get("send_resolved") is False:
        yield _wrong(f"receiver {name!r} does not send what is resolved", "set send_resolved: true")
    if hook.get("max_alerts"):
        yield _wrong(f"receiver {name!r} cuts payloads at {hook['max_alerts']} alerts", "set max_alerts: 0")
    if not (hook.get("http_config") or {}).get("authorization"):
        yield _wrong(f"receiver {name!r} sends no token", "set http_config.authorization.credentials_file")


def _labels(metric: MetricCatalogEntry) -> Mapping[str, str]:
    return {
        "alertname": metric.alertname,
        "severity": "critical",
        "metric_id": metric.id,
        "category": metric.category.value,
        "resource": "any",
        "grace": "true",
    }


async def _retention(setup: Setup) -> AsyncIterator[Finding]:
    answer = await setup.prometheus.ask("GET", "/api/v1/status/runtimeinfo")
    kept = str(answer["data"]["storageRetention"])
    found = re.match(r"[0-9a-z]+", kept)
    weeks = re.fullmatch(r"(\d+)([wy])(.*)", found[0]) if found else None
    if found is None or weeks is not None or not found[0][-1:].isalpha() or found[0].endswith("B"):
        return
    if parse_duration(found[0]) < LEAST_RETENTION:
        yield _wrong(f"Prometheus keeps measurements for {kept} only", "set --storage.tsdb.retention.time=15d")


async def _targets(setup: Setup) -> AsyncIterator[Finding]:
    world = World(clock=setup.clock, http=setup.http, data_dir=setup.config.data_dir)
    for target in setup.inventory.targets.values():
        if (kind := DRIVERS.get(target.driver)) is None:
            yield _wrong(f"target {target.name}: no driver is called {target.driver}", "correct inventory.yml")
            continue
        driver = kind(world)
        try:
            problem = await _unreachable(driver, target, setup.clock.now())
        finally:
            await driver.close()
        if problem:
            yield _wrong(
                f"target {target.name}: {problem}", f"start it, or correct targets.{target.name} in inventory.yml"
            )


async def _unreachable(driver: Driver, target: Target, now: float) -> str:
    """Why no verb's observation succeeds; empty when one does, or when there is nothing to observe."""
    said = ""
    context = StepContext(run_id="doctor", step=0, key="doctor:0", started_at=now)
    for verb in sorted(driver.verbs):
        try:
            async with asyncio.timeout(TIMEOUT):
                await driver.observe(target, verb, context)
        except Refused:
            continue  # this verb is not set up for the target
        except GraceError as error:
            said = said or str(error)
        except TimeoutError:
            said = said or f"it did not answer within {TIMEOUT:g} s"
        else:
            return ""
    return said


CHECKS: Mapping[str, Check] = {
    "remediator ready": _remediator,
    "token": _token,
    "clocks": _clocks,
    "scraped": _scraped,
    "rules": _rules,
    "alerting": _alerting,
    "route": _route,
    "retention": _retention,
    "targets": _targets,
}
