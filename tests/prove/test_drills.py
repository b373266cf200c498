"""Every drill ends as it should, and one that is interrupted leaves nothing behind: not a fault, not a change."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from demo import faults
from demo.drills import DRILLS
from demo.layout import layout
from stack.tools import Tool
from tests.prove.playbooks.stage import Stage, stage

pytestmark = [pytest.mark.prove, pytest.mark.timeout(1800)]

FOUR_TIMES = ("detect", "decide", "act", "heal")


@pytest.fixture(scope="module")
def demo(tools: Mapping[str, Tool]) -> Iterator[Stage]:
    """A demo on which the same playbook may soon run again: drills are begun and broken off in a row."""
    with stage({"cooldown": "2s"}) as made:
        made.rest()
        yield made


@pytest.fixture
def drilled(tools: Mapping[str, Tool]) -> Iterator[Stage]:
    """A demo in the drill profile, as `grace up --drill` makes it."""
    with stage({}) as made:
        made.rest()
        yield made


@contextmanager
def begun(demo: Stage, name: str, until: str) -> Iterator[subprocess.Popen[str]]:
    """A drill that has said `until`, as a child; killed in the end, should it still run."""
    argv = [sys.executable, "-u", "-m", "grace", "drill", name, "--data", str(demo.loop.data)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as drill:
        try:
            assert drill.stdout is not None
            said = ""
            while until not in said:
                line = drill.stdout.readline()
                assert line, f"{name} ended without {until!r}:\n{said}"
                said += line
            yield drill
        finally:
            drill.kill()


def in_the_workload(demo: Stage) -> set[str]:
    """The faults that its processes suffer from."""
    return set(faults.read(layout(demo.loop.data).faults))


def waiting(demo: Stage) -> set[str]:
    """Approvals that wait for a person."""
    return {each["id"] for each in demo.loop.items("/api/v1/approvals?state=pending&limit=100")}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
@pytest.mark.parametrize("name", ["cpu", "storm"])
def test_an_interrupted_drill_takes_its_faults_out(demo: Stage, name: str, number: signal.Signals) -> None:
    with begun(demo, name, "fault injected") as drill:
        assert in_the_workload(demo) == set(DRILLS[name].faults)
        drill.send_signal(number)
        assert drill.wait(15) == 1
    assert in_the_workload(demo) == set()
    demo.rest()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_an_interrupted_drill_gives_back_what_contained_its_fault(demo: Stage, number: signal.Signals) -> None:
    before = demo.outside.setting("rate_limit")
    with begun(demo, "ingestion-flood", "acted: throttle-learning") as drill:
        assert demo.outside.setting("rate_limit") == before / 2
        drill.send_signal(number)
        assert drill.wait(20) == 1
    assert in_the_workload(demo) == set()
    demo.until("the limit is as before", lambda: demo.outside.setting("rate_limit") == before, 15.0)
    demo.rest()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_an_interrupted_jam_takes_back_what_it_asked_for(demo: Stage, number: signal.Signals) -> None:
    before = waiting(demo)
    with begun(demo, "approvals-jam", "fault injected") as drill:
        assert len(waiting(demo) - before) == len(DRILLS["approvals-jam"].jam)
        drill.send_signal(number)
        assert drill.wait(20) == 1
    assert waiting(demo) <= before
    demo.rest()


def test_what_a_killed_drill_left_behind_is_put_right_by_the_next(demo: Stage) -> None:
    before = demo.outside.setting("rate_limit")
    with begun(demo, "ingestion-flood", "acted: throttle-learning") as drill:
        drill.kill()
        assert drill.wait(5) == -signal.SIGKILL
    assert in_the_workload(demo) == {"ingestion-flood"}, "nobody could take it out"
    with begun(demo, "ingestion-flood", "giving back what throttle-learning on ingestion changed") as drill:
        assert in_the_workload(demo) == set()
        demo.until("the limit is as before", lambda: demo.outside.setting("rate_limit") == before, 30.0)
        drill.send_signal(signal.SIGINT)
        assert drill.wait(20) == 1
    demo.rest()


def test_every_drill_ends_as_it_should(drilled: Stage) -> None:
    began = time.monotonic()
    done = drilled.loop.grace("drill", "all", "--json", within=1500.0)
    reports = {report["drill"]: report for report in json.loads(done.stdout)}
    for name, report in reports.items():
        for incident in report["incidents"]:
            times = ", ".join(f"{each} {incident[each]}" for each in FOUR_TIMES)
            print(f"{name:19} {incident['metric_id']:28} {incident['end']!s:10} {times}")
    print(f"all of them in {time.monotonic() - began:.0f} s")
    assert done.returncode == 0, {name: report["why"] for name, report in reports.items() if not report["ok"]}
    assert set(reports) == set(DRILLS)
