"""Real units of a real systemd that is PID 1 of its machine."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

import pytest

from catalog.inventory import Target
from catalog.model import Verb
from tests.contract.drivers.rigs.base import Rig
from tests.contract.drivers.rigs.pid1 import Machine, has_quotas, machine, why_not

_numbers = itertools.count(1)


class SystemdRig(Rig):
    kind = "systemd"
    verb = Verb.SCALE
    args: Mapping[str, Any] = {"by": 2}
    step_timeout = 10.0
    count = 1
    is_template = True
    unit_file = "[Service]\nExecStart=/bin/sleep infinity\n"
    expected: Any = 3
    patience: Mapping[str, Any] = {"well_after": 0.2}

    def start(self) -> None:
        self.machine: Machine = machine()
        self.unit = f"worker{next(_numbers)}{'@' if self.is_template else ''}.service"
        self.stack.callback(self.machine.end, self.unit)
        self.machine.define(self.unit, self.unit_file)
        if self.count:
            self.machine.systemctl("start", *self.instances())
        self.before = self.pids()

    def instances(self, count: int | None = None) -> list[str]:
        if not self.is_template:
            return [self.unit]
        numbers = range(1, (self.count if count is None else count) + 1)
        return [self.unit.replace("@", f"@{number}") for number in numbers]

    def pids(self) -> list[int]:
        """Every process of the units, as the kernel has them."""
        return [pid for unit in self.instances(6) for pid in self.machine.pids(unit)]

    def config(self) -> Mapping[str, Any]:
        return {"unit": self.unit, "bus": str(self.machine.bus), "cpu_quota": {"full": 100, "min": 10}, **self.patience}

    def effect(self) -> Any:
        return len(self.pids())

    def hanging(self) -> Target:
        return self.target(bus=str(self.server(None))).model_copy(update={"step_timeout": 1.0})

    def garbled(self) -> Target:
        return self.target(bus=str(self.server(b"OK 1234deadbeef\r\nAGREE_UNIX_FD\r\nl\x02\xff\xff garbage")))


class SystemdRestartRig(SystemdRig):
    verb = Verb.RESTART
    args: Mapping[str, Any] = {}
    count = 2
    expected = (True, True)

    def effect(self) -> Any:
        return tuple(pid not in self.before for pid in self.pids())


class SystemdThrottleRig(SystemdRig):
    verb = Verb.THROTTLE
    args: Mapping[str, Any] = {"factor": 0.5}
    count = 2
    expected = (50.0, 50.0)

    def start(self) -> None:
        if why_not() == "" and not has_quotas():
            # The kernel gives each controller to one hierarchy; who started this container decided which.
            pytest.skip("the kernel's control groups have no controller of processors here")
        super().start()

    def effect(self) -> Any:
        return tuple(self.machine.quota(unit) for unit in self.instances())


class SystemdStopRig(SystemdRig):
    slow = True
    verb = Verb.STOP
    args: Mapping[str, Any] = {}
    count = 2
    expected = 0


class SystemdStartRig(SystemdRig):
    """One service that is no template: the standby."""

    slow = True

    verb = Verb.START
    args: Mapping[str, Any] = {}
    count = 0
    is_template = False
    expected = 1
