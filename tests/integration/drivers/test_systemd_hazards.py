"""Where the systemd driver could do harm, tried on a real systemd."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from pydantic import ValidationError

from catalog.model import Verb
from remediator.drivers.systemd import SystemdConfig
from remediator.errors import Permanent, Refused, Transient
from tests.contract.drivers.rigs.base import until
from tests.contract.drivers.rigs.systemd import SystemdRestartRig, SystemdRig, SystemdStartRig, SystemdThrottleRig


class Fragile(SystemdRestartRig):
    """Its second instance does not come back once the file is there."""

    def start(self) -> None:
        self.trap = f"/tmp/{self.folder.parent.name}-trap"
        self.unit_file = (
            f'[Service]\nExecStart=/bin/sh -c "test %i = 2 -a -e {self.trap} && exit 3; exec sleep infinity"\n'
            "Type=exec\n"
        )
        super().start()

    def spring(self) -> None:
        self.machine.inside("touch", self.trap)


class Crashing(SystemdStartRig):
    unit_file = "[Service]\nType=notify\nExecStart=/bin/false\n"


async def plan(rig: Any, verb: Verb | None = None, args: Any = None) -> Any:
    driver = rig.driver()
    before = await driver.observe(rig.target(), verb or rig.verb, rig.context())
    return before, driver.desire(
        rig.target(), verb or rig.verb, rig.args if args is None else args, before, rig.context()
    )


async def test_a_restart_is_one_at_a_time(begin: Any) -> None:
    rig = begin(SystemdRestartRig)
    _, desired = await plan(rig)
    counts: list[int] = []

    async def watch() -> None:
        while True:
            counts.append(len(rig.pids()))
            await asyncio.sleep(0.002)

    watcher = asyncio.create_task(watch())
    await rig.driver().do(rig.target(), rig.verb, desired, rig.context())
    watcher.cancel()
    assert min(counts) >= 1
    assert rig.effect() == (True, True)


async def test_one_that_does_not_come_back_ends_the_restart(begin: Any) -> None:
    class Three(Fragile):
        count = 3

    rig = begin(Three)
    _, desired = await plan(rig)
    rig.spring()
    with pytest.raises(Permanent, match=r"@2\.service is failed.*the others were left alone"):
        await rig.driver().do(rig.target(), rig.verb, desired, rig.context())
    assert rig.before[2] in rig.pids(), "the third was not touched"


async def test_a_unit_that_fails_says_so_at_once(begin: Any) -> None:
    rig = begin(Crashing)
    with pytest.raises(Permanent, match=r"failed \("):
        await rig.driver().do(rig.target(), Verb.START, {"members": {rig.unit: "running"}}, rig.context())


async def test_the_survivors_keep_their_processes(begin: Any) -> None:
    rig = begin(SystemdRig)
    before, desired = await plan(rig)
    await rig.driver().do(rig.target(), rig.verb, desired, rig.context())
    assert set(rig.before) < set(rig.pids())
    # Another one that a person started meanwhile stays when ours are given back.
    rig.machine.systemctl("start", rig.unit.replace("@", "@6"))
    observed = await rig.driver().observe(rig.target(), rig.verb, rig.context())
    verb, back = rig.driver().give_back(rig.verb, before, desired, observed)
    await rig.driver().do(rig.target(), verb, back, rig.context())
    assert sorted(rig.pids()) == sorted([*rig.before, *rig.machine.pids(rig.unit.replace("@", "@6"))])


async def test_a_gap_is_filled_and_other_names_are_not_ours(begin: Any) -> None:
    class Three(SystemdRig):
        count = 3

    rig = begin(Three)
    rig.machine.systemctl("stop", rig.unit.replace("@", "@2"))
    rig.machine.systemctl("start", rig.unit.replace("@", "@canary"), rig.unit.replace("@", "@07"))
    before, desired = await plan(rig, args={"by": 2})
    assert sorted(before["members"]) == [rig.unit.replace("@", "@1"), rig.unit.replace("@", "@3")]
    assert sorted(desired["members"]) == [rig.unit.replace("@", "@2"), rig.unit.replace("@", "@4")]
    canary = rig.machine.pids(rig.unit.replace("@", "@canary"))
    await rig.driver().do(rig.target(), *(await plan_to_stop(rig)), rig.context())
    until(lambda: not rig.pids(), 5)
    assert rig.machine.pids(rig.unit.replace("@", "@canary")) == canary


async def plan_to_stop(rig: Any) -> tuple[Verb, Any]:
    return Verb.STOP, (await plan(rig, Verb.STOP, {}))[1]


async def test_a_unit_of_somebody_else_is_refused(begin: Any) -> None:
    rig = begin(SystemdRig)
    for name in ("dbus.service", rig.unit.replace("@", "@x"), rig.unit.replace("@", "@*")):
        with pytest.raises(Refused) as caught:
            await rig.driver().do(rig.target(), Verb.STOP, {"members": {name: "stopped"}}, rig.context())
        assert caught.value.reason == "not_ours"


async def test_a_quota_that_a_person_set_since_stays(begin: Any) -> None:
    rig = begin(SystemdThrottleRig)
    before, desired = await plan(rig)
    await rig.driver().do(rig.target(), rig.verb, desired, rig.context())
    first, second = rig.instances()
    rig.machine.systemctl("set-property", "--runtime", first, "CPUQuota=33%")
    observed = await rig.driver().observe(rig.target(), rig.verb, rig.context())
    verb, back = rig.driver().give_back(rig.verb, before, desired, observed)
    assert back == {"limits": {second: None}}
    await rig.driver().do(rig.target(), verb, back, rig.context())
    assert rig.effect() == (33.0, None)


async def test_what_is_not_there(begin: Any) -> None:
    rig = begin(SystemdRig)
    with pytest.raises(Permanent, match="no unit"):
        await rig.driver().observe(rig.target(unit="nothing-of-the-kind.service"), Verb.START, rig.context())
    with pytest.raises(Permanent, match="no unit"):
        await rig.driver().observe(rig.target(unit="nothing-of-the-kind@.service"), Verb.SCALE, rig.context())
    with pytest.raises(Transient, match="cannot be reached"):
        await rig.driver().observe(rig.target(bus="/nowhere/bus"), Verb.SCALE, rig.context())


async def test_a_single_service_cannot_be_scaled(begin: Any) -> None:
    rig = begin(SystemdStartRig)
    with pytest.raises(Refused) as caught:
        await plan(rig, Verb.SCALE, {"by": 1})
    assert caught.value.reason == "missing_capability"


async def test_a_bus_that_goes_away_in_the_middle(begin: Any) -> None:
    rig = begin(SystemdRig)
    # It lets Grace in, and then says no more.
    silent = rig.server(b"OK 1234deadbeef\r\n")
    with pytest.raises((Transient, Permanent)):
        await rig.driver().observe(rig.target(bus=str(silent)), rig.verb, rig.context())


@pytest.mark.parametrize(
    "unit",
    ["--help.service", "*.service", "a b.service", "../x.service", "x.socket", "w@1.service", "w@*.service",
     "w%i.service", "", ".service", "x\n.service", "-.service", "ä.service", "x.service/y.service"],
)  # fmt: skip
def test_a_unit_is_a_name_and_nothing_else(unit: str) -> None:
    with pytest.raises(ValidationError):
        SystemdConfig(unit=unit)
