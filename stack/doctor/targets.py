"""Can what Grace acts on be reached, and are the packages here that its drivers need?"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path

from catalog.inventory import Target
from catalog.model import Verb
from remediator.drivers import DRIVERS, capability_gaps, check_inventory, open_driver
from remediator.drivers.base import Driver, StepContext, World
from remediator.drivers.keyring import secrets_of
from remediator.drivers.notify.courier import Courier
from remediator.drivers.permission import Permission, permission
from remediator.drivers.table import EXTRAS
from remediator.errors import GraceError, Refused
from stack.doctor.setup import TIMEOUT, Finding, Setup, wrong


async def drivers(setup: Setup) -> AsyncIterator[Finding]:
    """The inventory makes sense, and every driver it names has the packages that it needs."""
    lacking = {
        name: extra
        for name in dict.fromkeys(target.driver for target in setup.inventory.targets.values())
        if (extra := EXTRAS.get(name)) is not None and find_spec(extra.module) is None
    }
    for name, extra in lacking.items():
        wanted = " ".join(f"'{each}'" for each in extra.requirements)
        yield wrong(
            f"the driver {name} needs a Python package that is not installed",
            f"{sys.executable} -m pip install {wanted}",
        )
    for fault in check_inventory(setup.inventory, setup.catalog):
        place, _, said = fault.partition(": ")
        if not any(f"{place}.".startswith(f"targets.{each.name}.") for each in _run_by(setup, lacking)):
            yield wrong(said, f"correct {place} in {setup.config.inventory}")
    for channel in setup.config.notify:
        if channel.url_file is not None:
            for finding in _reaching(channel.name, channel.url_file):
                yield finding
    for gap in capability_gaps(setup.inventory, setup.catalog):
        yield Finding("", gap.removeprefix("targets."), "give it a driver that can, or leave it", is_warning=True)


def _reaching(name: str, addresses: Path) -> Iterator[Finding]:
    """What keeps a channel from reaching people. Nobody is told anything."""
    if find_spec("apprise") is None:
        yield wrong(
            f"the channel {name} needs a Python package that is not installed",
            f"{sys.executable} -m pip install 'apprise>=1.9'",
        )
    try:
        len(Courier(name, addresses))
        is_open = addresses.stat().st_mode & 0o077
    except Refused as refused:
        yield wrong(str(refused), f"let the user that Grace runs as read {addresses}, and nobody else")
        return
    except (GraceError, OSError) as error:
        yield wrong(str(error), f"write the addresses of {name} into {addresses}, one a line")
        return
    if is_open:
        problem = f"{addresses} holds secrets and others than its owner may read it"
        yield Finding("", problem, f"chmod 600 {addresses}", is_warning=True)


def _run_by(setup: Setup, names: Collection[str]) -> list[Target]:
    return [target for target in setup.inventory.targets.values() if target.driver in names]


async def targets(setup: Setup) -> AsyncIterator[Finding]:
    """Every target answers its driver, and says what Grace may do to it."""
    world = World(
        clock=setup.clock,
        http=setup.http,
        data_dir=setup.config.data_dir,
        secrets=lambda: secrets_of(setup.config, setup.inventory),
    )
    for target in setup.inventory.targets.values():
        if target.driver not in DRIVERS:
            continue  # the check of the drivers says so
        driver = open_driver(target.driver, world)
        try:
            found = await _permissions(driver, target, setup.clock.now())
        finally:
            await driver.close()
        if isinstance(found, str):
            yield wrong(
                f"target {target.name}: {found}", f"start it, or correct targets.{target.name} in inventory.yml"
            )
            continue
        for verb, each in found.items():
            if each.allowed is False:
                mend = f"give Grace what the README of the driver {target.driver} lists under permissions"
                yield Finding("", f"target {target.name}: Grace may not {verb} it: {each.why}", mend, is_warning=True)
        yield Finding("", note=_told(target, found))


async def _permissions(driver: Driver, target: Target, now: float) -> dict[Verb, Permission] | str:
    """What may be done with each verb that is set up; why none could be asked, where that is so."""
    context = StepContext(run_id="doctor", step=0, key="doctor:0", started_at=now)
    found: dict[Verb, Permission] = {}
    said = ""
    for verb in sorted(driver.verbs):
        try:
            async with asyncio.timeout(TIMEOUT):
                each = await permission(driver, target, verb, context)
        except GraceError as error:
            said = said or str(error)
        except TimeoutError:
            said = said or f"it did not answer within {TIMEOUT:g} s"
        else:
            if each is not None:
                found[verb] = each
    return found if found or not said else said


def _told(target: Target, found: Mapping[Verb, Permission]) -> str:
    parts = []
    for allowed, words in ((True, "may"), (False, "may not"), (None, "shows when tried:")):
        if verbs := [verb for verb, each in found.items() if each.allowed is allowed]:
            parts.append(f"{words} {', '.join(verbs)}")
    return f"{target.name} ({target.driver}): {'; '.join(parts) or 'nothing is set up'}"
