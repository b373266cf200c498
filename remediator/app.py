"""The one place that constructs parts, and starts and stops them."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import structlog
from aiohttp import web

from catalog.config import GraceConfig, PeerCredentials
from catalog.fault import CatalogError
from catalog.load import load_catalog, load_config, load_inventory, load_policy
from remediator.alertmanager import Alertmanager
from remediator.api.handlers import ROUTES, faults
from remediator.api.services import SERVICES, Services
from remediator.api.status import Status
from remediator.api.stream import Stream
from remediator.audit.checkpoint import BadKey, Checkpointer, public_path, read_keys, read_notes
from remediator.audit.store import LedgerFile, Unreadable
from remediator.audit.verify import verify
from remediator.auth.requests import authentication, needs, open_to_all
from remediator.auth.tokens import NameTaken, Role, first_tokens
from remediator.clock import Clock, SystemClock
from remediator.credentials import Credentials
from remediator.database_url import ledger_place
from remediator.drivers import DRIVERS, check_inventory, open_driver
from remediator.drivers.base import State, World
from remediator.drivers.keyring import secrets_of
from remediator.drivers.opened import OpenedDrivers
from remediator.governance.ratchet import reload as reload_policy
from remediator.ledger import leases, pages, retention, runs, settings
from remediator.ledger.engine import Ledger, LedgerUnavailable, Tx
from remediator.ledger.intake import Intake
from remediator.ledger.tokens import LedgerTokens
from remediator.metrics import Metrics
from remediator.model import new_id
from remediator.page.routes import add_page
from remediator.pipeline import act
from remediator.pipeline.curve import curve
from remediator.pipeline.decide import current_settings, settings_json
from remediator.pipeline.parts import Parts
from remediator.pipeline.reconcile import reconcile_forever
from remediator.pipeline.scheduler import Scheduler
from remediator.problem import problem
from remediator.prometheus import Prometheus
from remediator.traces import open_traces

log = structlog.get_logger(__name__)

AUDIT_CHECK_EVERY = 3600.0
RETAIN_EVERY, RETAIN_PAUSE = 3600.0, 0.5
SHARED_LEASE = 3.0
"""Seconds after which another replica may take over what this one works on, unless it says that it lives."""


class Unusable(Exception):
    """The configuration cannot be used; one line a fault, each saying what would be right."""


@dataclass(slots=True)
class Remediator:
    """A running remediator: its parts and its web application."""

    parts: Parts
    web: web.Application
    scheduler: Scheduler
    reload: Callable[[], Awaitable[None]]


def load(config: GraceConfig) -> tuple[Any, Any, Any]:
    """Catalog, inventory and policy that a configuration names. Raises CatalogError or Unusable with every fault."""
    catalog = load_catalog(config.catalog).scaled(config.time_scale)
    inventory = load_inventory(config.inventory)
    policy = load_policy(config.governance)
    wrong = check_inventory(inventory, catalog)
    if wrong:
        raise Unusable("\n".join(f"{config.inventory}: {each}" for each in wrong))
    return catalog, inventory, policy


def _ledger_place(config: GraceConfig) -> Path | str:
    try:
        return ledger_place(config)
    except ValueError as error:
        raise Unusable(str(error)) from None


@asynccontextmanager
async def running(
    config: GraceConfig, *, config_file: Path | None = None, clock: Clock | None = None
) -> AsyncIterator[Remediator]:
    """Everything constructed and started; stopped in reverse at the end, steps that are being done finished first.

    Raises CatalogError or Unusable for what is written wrong; LedgerRefused, OSError or BadKey for unusable files.
    """
    clock = clock or SystemClock()
    catalog, inventory, policy = load(config)
    config.data_dir.mkdir(parents=True, exist_ok=True)
    ledger = await Ledger.open(_ledger_place(config), clock)
    try:
        checkpointer = Checkpointer(
            config.audit_key,
            config.audit.checkpoints_file or config.data_dir / "checkpoints.log",
        )
        async with aiohttp.ClientSession() as session:
            stream = Stream()
            traces = open_traces(ledger)
            parts = Parts(
                ledger=ledger,
                clock=ledger.clock,
                config=config,
                catalog=catalog,
                inventory=inventory,
                policy=policy,
                prometheus=Prometheus(
                    session, config.prometheus.url, config.prometheus.timeout, _credentials(config.prometheus)
                ),
                alertmanager=Alertmanager(
                    session, config.alertmanager.url, credentials=_credentials(config.alertmanager)
                ),
                drivers={},
                checkpointer=checkpointer,
                owner=f"{socket.gethostname()}:{os.getpid()}:{new_id('own')}",
                publish=_both(stream.publish, traces.changed) if traces else stream.publish,
            )
            world = _world(parts, session)
            drivers = OpenedDrivers(DRIVERS, lambda kind: open_driver(kind, world))
            parts.drivers = drivers
            tokens = LedgerTokens(ledger)
            await _first_tokens(config, ledger, tokens)
            if ledger.shared:
                parts.lease = SHARED_LEASE
            else:
                await ledger.write(leases.give_up)
            intake = Intake(ledger)
            scheduler = Scheduler(parts, lambda: intake.crowded)
            parts.wake = scheduler.wake
            metrics = Metrics(parts)
            parts.count = metrics.count
            await _check_audit(parts, metrics)
            started = await ledger.write(lambda tx: _record_start(tx, parts))
            log.info("started", audit_entry=started, targets=len(inventory.targets), evidence=policy.evidence)
            if policy.evidence == "trust_alert":
                log.warning("trust_alert", meaning="alerts are believed without asking Prometheus: for test rigs only")
            await act.checkpoint(parts)
            tasks = [
                asyncio.create_task(scheduler.run(), name="scheduler"),
                asyncio.create_task(reconcile_forever(parts), name="reconciler"),
                asyncio.create_task(_checkpoint_forever(parts), name="checkpoints"),
                asyncio.create_task(_check_audit_forever(parts, metrics), name="audit-check"),
                asyncio.create_task(_retain_forever(parts), name="retention"),
            ]
            if traces:
                tasks.append(asyncio.create_task(traces.run(), name="traces"))
            services = Services(parts, intake, tokens, stream, Status(parts), metrics.count)

            async def reload() -> None:
                await _reload(parts, config_file)

            application = _web(services, metrics, reload)
            try:
                yield Remediator(parts, application, scheduler, reload)
            finally:
                stream.close()
                for task in reversed(tasks):
                    task.cancel()
                await asyncio.gather(*tasks, metrics.close(), return_exceptions=True)
                if traces:
                    await traces.close()
                await act.checkpoint(parts)
                await drivers.close()
    finally:
        await ledger.close()


def _both(first: Callable[[str, str], None], second: Callable[[str, str], None]) -> Callable[[str, str], None]:
    def publish(kind: str, name: str) -> None:
        first(kind, name)
        second(kind, name)

    return publish


async def _first_tokens(config: GraceConfig, ledger: Ledger, tokens: LedgerTokens) -> None:
    """Two tokens at the first start. Further replicas have theirs from the first: none of them revokes another's."""
    if ledger.shared and await tokens.list():
        return
    try:
        await first_tokens(config.data_dir, tokens)
    except NameTaken:
        log.info("tokens_taken", meaning="another replica started first: its token files are the ones that count")


def _web(services: Services, metrics: Metrics, reload: Callable[[], Awaitable[None]]) -> web.Application:
    parts = services.parts
    application = web.Application(
        client_max_size=parts.config.max_body_bytes,
        middlewares=[faults, authentication(services.tokens, parts.clock, hosts=_hosts(parts.config))],
    )
    application[SERVICES] = services
    for method, path, handler in ROUTES:
        application.router.add_route(method, path, handler)

    @open_to_all
    async def healthy(_: web.Request) -> web.Response:
        return web.Response(text="Grace's remediator is healthy.\n")

    @open_to_all
    async def ready(_: web.Request) -> web.Response:
        """It can accept alerts durably now."""
        await parts.ledger.write(lambda tx: None, beside=True)
        return web.Response(text="Grace's remediator is ready.\n")

    @open_to_all
    async def exposition(_: web.Request) -> web.Response:
        return web.Response(body=await metrics.text(), headers={"Content-Type": "text/plain; version=0.0.4"})

    @needs(Role.ADMIN)
    async def again(_: web.Request) -> web.Response:
        try:
            await reload()
        except (CatalogError, Unusable) as error:
            return problem(422, "Not reloaded", f"the old configuration stays: {error}")
        return web.Response(text="Reloaded.\n")

    application.router.add_get("/-/healthy", healthy)
    application.router.add_get("/-/ready", ready)
    application.router.add_get("/metrics", exposition)
    application.router.add_post("/-/reload", again)
    add_page(application, services, lambda: _audit_faults(parts))
    return application


def _credentials(peer: PeerCredentials) -> Credentials:
    return Credentials(peer.bearer_token_file, peer.username, peer.password_file)


def _hosts(config: GraceConfig) -> tuple[str, ...]:
    """Names this server goes by: those that are configured, and that by which its own clients find it."""
    try:
        own = urlsplit(config.remediator_url).hostname
    except ValueError:
        raise Unusable("remediator_url is not a URL; write http://HOST:PORT") from None
    return (*config.hosts, *([own] if own else []))


async def _reload(parts: Parts, config_file: Path | None) -> None:
    """Catalog, inventory and policy anew; all or nothing. Runs in flight keep their plans.

    What the policy file tightens applies at once; what it loosens is pending until an admin confirms it.
    Raises CatalogError or Unusable with every fault; then everything stays as it was.
    """
    config = load_config(config_file)
    catalog, inventory, file = load(config)
    change = reload_policy(parts.policy, file)
    body = {"catalog": catalog.digest, "targets": sorted(inventory.targets), "pending": sorted(change.pending)}
    await parts.ledger.write(lambda tx: tx.record("reloaded", body))
    parts.catalog, parts.inventory, parts.policy = catalog, inventory, change.now
    parts.pending_policy, parts.pending = (file, change.pending) if change.pending else (None, frozenset())
    parts.wake()
    log.info("reloaded", catalog=catalog.digest, targets=len(inventory.targets))
    if change.pending:
        log.warning("policy_pending", loosens=sorted(change.pending), confirm="grace governance confirm --reason …")


def _world(parts: Parts, session: aiohttp.ClientSession) -> World:
    async def governance() -> State:
        return await parts.ledger.read(lambda connection: settings_json(current_settings(connection, parts)))

    async def govern(change: str, desired: State, run_id: str) -> State:
        def store(tx: Tx) -> None:
            runs.check_driver(tx, run_id, parts.owner)
            settings.put(tx, dict(desired), by="grace", reason=f"{change}, by run {run_id}", run_id=run_id)

        await parts.ledger.write(store)
        parts.wake()
        return await governance()

    async def story(incident_id: str) -> State:
        from remediator.api.views import incident_whole

        whole = await parts.ledger.read(lambda connection: incident_whole(connection, incident_id)) or {}
        return {
            "incident": {key: value for key, value in whole.items() if key not in ("runs", "snapshots", "timeline")},
            "runs": whole.get("runs", []),
            "snapshots": whole.get("snapshots", []),
            "audit": whole.get("timeline", []),
        }

    return World(
        clock=parts.clock,
        http=session,
        data_dir=parts.config.data_dir,
        govern=govern,
        governance=governance,
        story=story,
        curve=lambda incident_id: curve(parts, incident_id),
        secrets=lambda: secrets_of(parts.config, parts.inventory),
    )


def _record_start(tx: Any, parts: Parts) -> int:
    return int(
        tx.record(
            "started",
            {
                "catalog": parts.catalog.digest,
                "targets": sorted(parts.inventory.targets),
                "evidence": parts.policy.evidence,
                "governance": settings_json(current_settings(tx.connection, parts)),
            },
        )
    )


async def _checkpoint_forever(parts: Parts) -> None:
    """Anchor the head every 60 s, or every 100 entries, whichever comes first."""
    audit = parts.config.audit
    waited = 0.0
    anchored = parts.ledger.head[0]
    while True:
        await parts.clock.sleep(1.0)
        waited += 1.0
        entries = parts.ledger.head[0]
        if entries == anchored or (waited < audit.checkpoint_every and entries - anchored < audit.checkpoint_entries):
            continue
        try:
            await act.checkpoint(parts)
        except OSError as error:
            log.error("checkpoint_failed", error=str(error))
            continue
        waited, anchored = 0.0, entries


async def _check_audit_forever(parts: Parts, metrics: Metrics) -> None:
    while True:
        await parts.clock.sleep(AUDIT_CHECK_EVERY)
        await _check_audit(parts, metrics)


async def _retain_forever(parts: Parts) -> None:
    """Let go of what is older than it is kept, in portions that hold nobody up."""
    while True:
        await parts.clock.sleep(RETAIN_EVERY)
        try:
            while await parts.ledger.write(lambda tx: retention.let_go(tx, parts.config.ledger.retention)):
                await parts.clock.sleep(RETAIN_PAUSE)
        except LedgerUnavailable as error:
            log.warning("retention_waits", why=str(error))


async def _check_audit(parts: Parts, metrics: Metrics) -> None:
    """Verify the whole log, beside the work; a broken one is told by metric and log, and Grace goes on recording."""
    began = time.monotonic()
    try:
        found = await _audit_faults(parts)
    except LedgerUnavailable as error:
        log.warning("audit_not_checked", why=str(error))
        return
    metrics.audit_checked(not found, time.monotonic() - began, parts.clock.now())
    if found:
        log.error("audit_broken", faults=found)


async def _audit_faults(parts: Parts) -> list[str]:
    """What is wrong with the audit log, as it stands in the ledger; nothing where it is whole."""
    key = parts.config.audit_key
    loop, place = asyncio.get_running_loop(), _ledger_place(parts.config)

    def check() -> list[str]:
        notes = list(read_notes(parts.checkpointer.path))
        try:
            keys = read_keys(public_path(key))
            if isinstance(place, Path):
                with LedgerFile(place) as file:
                    report = verify(file.rows(), notes, keys)
            else:
                report = verify(pages.rows(parts.ledger, loop), notes, keys)
        except (Unreadable, BadKey) as error:
            return [str(error)]
        return [str(fault) for fault in report.faults]

    return await asyncio.to_thread(check)
