"""One probe's fault is nobody else's: every kind of collector, with every kind of fault, over real sources."""

import asyncio
import itertools
import threading
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import structlog

from catalog.model import Catalog
from exporter.blocking import Blocking
from exporter.collectors import COLLECTORS
from exporter.collectors.base import CollectError, Pace, Probe, Setting
from exporter.config import ExporterConfig
from exporter.exposition import Format
from exporter.families import Reading, Sample, family, labels_of
from exporter.schedule import Schedule
from exporter.snapshot import Snapshot
from tests.unit.exporter import rigs
from tests.unit.exporter.rigs import until

TIMING = {"interval": "50ms", "timeout": "300ms"}

RIGS: dict[str, type[Any]] = {
    "psutil": rigs.PsutilRig,
    "sql": rigs.SqlRig,
    "multiprocess": rigs.MultiprocessRig,
    "events": rigs.EventsRig,
    "http": rigs.HttpRig,
    "kubernetes": rigs.KubernetesRig,
    "redis": rigs.RedisRig,
    "celery": rigs.CeleryRig,
    "remediator": rigs.RemediatorRig,
}
FAULTS = ("hang", "raises", "slow", "wrong", "gone")


def test_every_kind_of_collector_has_a_rig() -> None:
    assert RIGS.keys() == COLLECTORS.keys()


class Steady:
    """A collector that never fails, and counts how often it was asked."""

    def __init__(self) -> None:
        self.count = 0
        self.probes: Sequence[Probe] = (Probe("steady", Pace(0.02, 1.0, 3.0), self.collect),)

    async def collect(self) -> Reading:
        self.count += 1
        return Reading((family("grace_executor_workers", [Sample(labels_of({"resource": "steady"}), self.count)]),))

    async def close(self) -> None: ...


@pytest.fixture
async def schedule() -> AsyncIterator[Schedule]:
    found = Schedule(Snapshot(time.time, 1000), time.time)
    yield found
    await found.stop()


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("kind", RIGS)
async def test_a_fault_is_reported_harms_nobody_and_passes(
    schedule: Schedule, shop: Catalog, tmp_path: Path, kind: str, fault: str
) -> None:
    rig = RIGS[kind](tmp_path)
    try:
        await rig.start()
        steady = Steady()
        written = {"collectors": [{"name": "afflicted", **TIMING, **rig.config}]}
        (config,) = ExporterConfig.model_validate(written).collectors
        assert not list(config.faults(shop))
        afflicted = COLLECTORS[kind](config, Setting(shop, 1.0))
        rig.made(afflicted)
        (probe,) = afflicted.probes
        key = ("afflicted", probe.name)
        await schedule.run({"afflicted": afflicted, "steady": steady})
        state = schedule.snapshot.states[key]
        await until(lambda: state.success is True)
        assert f"\n{rig.series}" in schedule.snapshot.body(Format.TEXT).content.decode()

        await getattr(rig, fault)()
        if fault != "slow":
            await until(lambda: state.success is False)
            assert state.reason
            assert state.duration < 1.0
        before, begun = steady.count, time.monotonic()
        await until(lambda: steady.count >= before + 10)
        assert time.monotonic() - begun < 2.0
        begun = time.monotonic()
        schedule.snapshot.body(Format.TEXT)
        assert time.monotonic() - begun < 0.1
        if fault == "slow":
            assert state.success is True

        await rig.back()
        since = time.time()
        await until(lambda: state.success is True and (state.last_success or 0) > since)
        assert f"\n{rig.series}" in schedule.snapshot.body(Format.TEXT).content.decode()
    finally:
        await rig.stop()


async def test_a_collector_that_raises_anything_is_contained_without_its_words(schedule: Schedule) -> None:
    async def collect() -> Reading:
        raise KeyError("password=hunter2")

    broken = Steady()
    broken.probes = (Probe("broken", Pace(0.02, 1.0, 3.0), collect),)
    await schedule.run({"broken": broken})
    state = schedule.snapshot.states["broken", "broken"]
    await until(lambda: state.success is False)
    assert state.reason.startswith("KeyError in the collector (test_schedule.py:")
    assert "hunter2" not in state.reason


async def test_what_is_over_the_cap_is_told_once_and_counted_each_time(
    schedule: Schedule,
) -> None:
    many = 2000
    refused = Steady()

    async def collect() -> Reading:
        refused.count += 1
        if refused.count == 3:
            raise CollectError("too many rows", 5000)
        rows = [Sample(labels_of({"resource": str(number)}), number) for number in range(many)]
        return Reading((family("grace_executor_workers", rows),))

    refused.probes = (Probe("many", Pace(0.02, 1.0, 3.0), collect),)
    with structlog.testing.capture_logs() as said:
        await schedule.run({"refused": refused})
        await until(lambda: refused.count > 4)
    state = schedule.snapshot.states["refused", "many"]
    assert state.dropped >= 3 * 1000 + 5000
    (told,) = (each for each in said if each["event"] == "series dropped")
    assert (told["collector"], told["probe"], told["dropped"], told["max_series"]) == ("refused", "many", 1000, 1000)
    body = schedule.snapshot.body(Format.TEXT).content.decode()
    assert body.count("\ngrace_executor_workers{") == 1000


async def test_one_that_hangs_is_not_started_again_until_it_is_back() -> None:
    release, started = threading.Event(), []

    def hang() -> int:
        started.append(threading.current_thread())
        release.wait(10)
        return 7

    call = Blocking(hang, "test")
    for _ in range(3):
        with pytest.raises((TimeoutError, CollectError)):
            async with asyncio.timeout(0.05):
                await call()
    assert len(started) == 1
    release.set()
    await asyncio.to_thread(started[0].join)
    assert await call() == 7
    assert all(thread.daemon for thread in started)


async def test_a_collector_that_stays_is_not_disturbed_by_a_change_of_others(schedule: Schedule) -> None:
    stays, goes, comes = Steady(), Steady(), Steady()
    await schedule.run({"stays": stays, "goes": goes})
    await until(lambda: stays.count > 1)
    held = schedule.snapshot.states["stays", "steady"].held
    assert held is not None
    await schedule.run({"stays": stays, "comes": comes})
    assert schedule.snapshot.states["stays", "steady"].held is not None
    ended = goes.count
    await until(lambda: comes.count > 2)
    assert goes.count == ended
    assert set(schedule.snapshot.states) == {("stays", "steady"), ("comes", "steady")}


async def test_a_slow_collection_skips_turns_and_never_runs_twice(schedule: Schedule) -> None:
    running, most, times = 0, 0, []

    async def collect() -> Reading:
        nonlocal running, most
        running += 1
        most = max(most, running)
        times.append(asyncio.get_running_loop().time())
        await asyncio.sleep(0.07)
        running -= 1
        return Reading()

    slow = Steady()
    slow.probes = (Probe("slow", Pace(0.05, 1.0, 3.0), collect),)
    await schedule.run({"slow": slow})
    await until(lambda: len(times) >= 4)
    assert most == 1
    assert all(later - sooner >= 0.09 for sooner, later in itertools.pairwise(times))


async def test_two_probes_of_one_name_are_two(schedule: Schedule) -> None:
    def probe(resource: str) -> Probe:
        async def collect() -> Reading:
            return Reading((family("grace_executor_workers", [Sample(labels_of({"resource": resource}), 1)]),))

        return Probe("key work", Pace(0.02, 1.0, 3.0), collect)

    both = Steady()
    both.probes = (probe("early"), probe("late"))
    await schedule.once({"queues": both})
    body = schedule.snapshot.body(Format.TEXT).content
    assert b'{resource="early"} 1' in body
    assert b'{resource="late"} 1' in body
