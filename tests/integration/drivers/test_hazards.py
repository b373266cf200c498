"""Where drivers could do harm: each hazard, tried on the real thing."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sqlite3
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import psutil
import pytest

from catalog.model import Verb
from remediator.errors import Permanent, Refused, Transient
from tests.contract.drivers.rigs.base import Rig, short_folder, until
from tests.contract.drivers.rigs.gunicorn import GunicornRestartRig, GunicornRig, GunicornSignalsRig
from tests.contract.drivers.rigs.haproxy import HAProxyRig, runtime
from tests.contract.drivers.rigs.local import CommandRig, FilesRig, NotifyRig
from tests.contract.drivers.rigs.process import ProcessRestartRig, ProcessRig
from tests.contract.drivers.rigs.sql import SqliteRig


@pytest.fixture
async def begin(haproxy_binary: Path) -> AsyncIterator[Callable[[type[Rig]], Any]]:
    """Starts a rig that is closed in the end."""
    made: list[Rig] = []
    with short_folder() as folder:
        async with aiohttp.ClientSession() as http:

            def one(kind: type[Rig]) -> Any:
                rig = kind(folder, http, {"haproxy": haproxy_binary})
                made.append(rig)
                rig.start()
                rig.started_at = time.time()
                return rig

            yield one
            for rig in made:
                rig.close()


async def act(rig: Rig, **context: Any) -> None:
    driver = rig.driver()
    given = rig.context(**context)
    before = await driver.observe(rig.target(), rig.verb, given)
    await driver.do(rig.target(), rig.verb, driver.desire(rig.target(), rig.verb, rig.args, before, given), given)
    await driver.close()


class TestHAProxy:
    async def test_the_others_go_down_after_the_plan(self, begin: Any) -> None:
        rig = begin(HAProxyRig)
        driver = rig.driver()
        runtime(rig.socket, "set server api/api-2 state maint")
        with pytest.raises(Refused) as caught:
            await driver.do(rig.target(), rig.verb, {"weights": {"api-1": 20}}, rig.context())
        assert caught.value.reason == "last_one"
        assert rig.effect() == {"api-1": 100, "api-2": 100}
        # Giving weight back is never refused.
        runtime(rig.socket, "set weight api/api-1 20")
        await driver.do(rig.target(), rig.verb, {"weights": {"api-1": 100}}, rig.context())
        assert rig.effect()["api-1"] == 100

    async def test_states_are_told_apart(self, begin: Any) -> None:
        rig = begin(HAProxyRig)
        for state, status in (("drain", "DRAIN"), ("maint", "MAINT"), ("ready", "UP")):
            runtime(rig.socket, f"set server api/api-2 state {state}")
            observed = await rig.driver().observe(rig.target(), rig.verb, rig.context())
            assert observed["status"] == {"api-1": "UP", "api-2": status}

    async def test_a_backend_that_is_not_there(self, begin: Any) -> None:
        rig = begin(HAProxyRig)
        with pytest.raises(Permanent, match="backend"):
            await rig.driver().observe(rig.target(backend="nope"), rig.verb, rig.context())

    async def test_a_haproxy_that_is_not_there(self, begin: Any) -> None:
        rig = begin(HAProxyRig)
        with pytest.raises(Transient, match="cannot be reached"):
            await rig.driver().observe(rig.target(socket="/nowhere/h.sock"), rig.verb, rig.context())


class TestGunicorn:
    async def test_a_pid_that_was_used_again_is_never_signalled(self, begin: Any) -> None:
        rig = begin(GunicornSignalsRig)
        # A stale file that names a process that is gunicorn too, but younger than the file.
        os.utime(rig.pidfile, (time.time() - 3600, time.time() - 3600))
        with pytest.raises(Permanent, match="used again"):
            await rig.driver().observe(rig.target(), rig.verb, rig.context())
        # One that names something else altogether.
        rig.pidfile.write_text(str(os.getpid()))
        with pytest.raises(Permanent, match="not gunicorn"):
            await rig.driver().observe(rig.target(), rig.verb, rig.context())

    async def test_a_gunicorn_of_another_name(self, begin: Any) -> None:
        rig = begin(GunicornRig)
        with pytest.raises(Permanent, match="not called"):
            await rig.driver().observe(rig._member(proc_name="api-2"), rig.verb, rig.context())

    async def test_a_control_socket_of_another_master(self, begin: Any) -> None:
        rig = begin(GunicornRig)
        pidfile = rig.pidfile
        with short_folder() as elsewhere:
            other = GunicornRig(elsewhere, rig.http, {})
            other.start()
            try:
                mixed = rig._member(control=str(other.socket))
                with pytest.raises(Permanent, match="not api-1's"):
                    await rig.driver().do(mixed, Verb.SCALE, {"workers": {"api-1": 3}}, rig.context())
                assert len(other.pids()) == 1
            finally:
                other.close()
        assert pidfile.exists()

    @pytest.mark.parametrize("kind", [GunicornRig, GunicornSignalsRig])
    async def test_a_rolling_restart_never_has_fewer_workers(self, begin: Any, kind: type[GunicornRig]) -> None:
        class Restart(GunicornRestartRig):
            by_control = kind.by_control

        rig = begin(Restart)
        driver = rig.driver()
        counts: list[int] = []

        async def watch() -> None:
            while True:
                counts.append(len(rig.pids()))
                await asyncio.sleep(0.005)

        watcher = asyncio.create_task(watch())
        desired = {"workers": {"api-1": 2}, "younger_than": rig.started_at}
        await driver.do(rig.target(), Verb.RESTART, desired, rig.context())
        watcher.cancel()
        assert min(counts) >= 2
        assert max(counts) == 3
        assert rig.effect() == [True, True]

    async def test_a_stuck_worker_is_killed_in_the_end(self, begin: Any) -> None:
        rig = begin(GunicornRestartRig)
        stuck = rig.before[0]
        os.kill(stuck, signal.SIGSTOP)
        target = rig.target(kill_after=0.5)
        desired = {"workers": {"api-1": 2}, "younger_than": rig.started_at}
        await rig.driver().do(target, Verb.RESTART, desired, rig.context())
        assert rig.effect() == [True, True]
        assert not psutil.pid_exists(stuck)

    async def test_a_restart_that_was_cut_off_goes_on_where_it_stopped(self, begin: Any) -> None:
        rig = begin(GunicornRestartRig)
        desired = {"workers": {"api-1": 2}, "younger_than": rig.started_at}
        await rig.driver().do(rig.target(), Verb.SCALE, {"workers": {"api-1": 3}}, rig.context())
        until(lambda: len(rig.pids()) == 3, 5)
        await rig.driver().do(rig.target(), Verb.RESTART, desired, rig.context())
        assert rig.effect() == [True, True]

    async def test_a_master_that_is_down(self, begin: Any) -> None:
        rig = begin(GunicornRig)
        with pytest.raises(Transient, match="not running"):
            await rig.driver().observe(rig._member(pidfile=str(rig.folder / "no.pid")), rig.verb, rig.context())


class TestProcess:
    async def test_survivors_keep_their_pids(self, begin: Any) -> None:
        rig = begin(ProcessRig)
        await act(rig)
        until(lambda: len(rig.pids()) == 3, 5)
        assert set(rig.before) < set(rig.pids())

    async def test_a_restart_is_one_at_a_time(self, begin: Any) -> None:
        rig = begin(ProcessRestartRig)
        counts: list[int] = []

        async def watch() -> None:
            while True:
                counts.append(len(rig.pids()))
                await asyncio.sleep(0.01)

        watcher = asyncio.create_task(watch())
        await act(rig)
        watcher.cancel()
        assert min(counts) >= 1
        assert rig.effect() == [True, True]

    async def test_a_watcher_that_is_not_there(self, begin: Any) -> None:
        rig = begin(ProcessRig)
        driver = rig.driver()
        with pytest.raises(Permanent, match="nope"):
            await driver.observe(rig.target(watcher="nope"), rig.verb, rig.context())
        await driver.close()


class TestSql:
    @pytest.mark.parametrize(("where", "rows"), [("WHERE name = 'absent'", 0), ("", 2)], ids=["no row", "two rows"])
    async def test_anything_but_one_row_is_rolled_back(self, begin: Any, where: str, rows: int) -> None:
        rig = begin(SqliteRig)
        settings = {
            "throttle": {
                "read": "SELECT value FROM control WHERE name = 'rate_limit'",
                "write": f"UPDATE control SET value = :value {where}",
            }
        }
        with pytest.raises(Permanent, match=f"{rows} rows"):
            await rig.driver().do(rig.target(settings=settings), rig.verb, {"value": 30}, rig.context())
        assert rig.effect() == {"rate_limit": 60, "paused": 0}

    async def test_a_trigger_that_sets_it_back_is_noticed(self, begin: Any) -> None:
        rig = begin(SqliteRig)
        link = sqlite3.connect(rig.file)
        link.execute(
            "CREATE TRIGGER stubborn AFTER UPDATE ON control WHEN new.value < 60 AND new.name = 'rate_limit'"
            " BEGIN UPDATE control SET value = 60 WHERE name = 'rate_limit'; END"
        )
        link.close()
        with pytest.raises(Permanent, match="reads 60"):
            await act(rig)

    async def test_a_number_kept_as_text(self, begin: Any) -> None:
        rig = begin(SqliteRig)
        link = sqlite3.connect(rig.file)
        link.execute("UPDATE control SET value = '60' WHERE name = 'rate_limit'")
        link.commit()
        link.close()
        await act(rig)
        assert rig.effect()["rate_limit"] == 30

    async def test_no_database_is_made(self, begin: Any) -> None:
        rig = begin(SqliteRig)
        absent = rig.folder / "absent.db"
        with pytest.raises(Transient, match="no database"):
            await rig.driver().observe(rig.target(url=f"sqlite:///{absent}"), rig.verb, rig.context())
        assert not absent.exists()

    async def test_a_password_is_in_no_message(self, begin: Any) -> None:
        rig = begin(SqliteRig)
        secret = rig.target(url="postgresql://grace:hunter2@127.0.0.1:1/nothing")
        with pytest.raises((Transient, Permanent)) as caught:
            await rig.driver().observe(secret, rig.verb, rig.context())
        assert "hunter2" not in str(caught.value)


FORKS = """
import os, subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open("child", "w").write(str(child.pid))
time.sleep(60)
"""


def alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class TestCommand:
    def job(self, rig: Any, code: str, **config: Any) -> Any:
        return rig.target(argv=[sys.executable, "-c", code, "{report}"], **config)

    async def run(self, rig: Any, target: Any) -> None:
        desired = {"report": str(rig.folder / "reports" / "run_1-0.md")}
        await rig.driver().do(target, rig.verb, desired, rig.context())

    async def test_grandchildren_die_with_a_job_that_takes_too_long(self, begin: Any) -> None:
        rig = begin(CommandRig)
        with pytest.raises(Permanent, match="killed"):
            await self.run(rig, self.job(rig, FORKS, timeout=1))
        assert not alive(int((rig.work / "child").read_text()))

    async def test_grandchildren_die_with_a_job_that_is_cancelled(self, begin: Any) -> None:
        rig = begin(CommandRig)
        task = asyncio.create_task(self.run(rig, self.job(rig, FORKS)))
        child = rig.work / "child"
        await asyncio.to_thread(until, lambda: child.exists() and child.read_text() != "", 10)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not alive(int((rig.work / "child").read_text()))
        assert not list((rig.folder / "reports").glob("*.running"))

    async def test_a_job_of_an_attempt_that_was_cut_off_is_waited_for(self, begin: Any) -> None:
        """Grace died, its job lives on: no second one runs beside it."""
        rig = begin(CommandRig)
        slow = "import sys, time; open('log', 'a').write('in '); time.sleep(1); open('log', 'a').write('out ');"
        slow += "open(sys.argv[1], 'w').write('done')"
        script = (
            "import fcntl, os, subprocess, sys\n"
            "marker, report, code = sys.argv[1:]\n"
            "os.makedirs(os.path.dirname(marker))\n"
            "fd = os.open(marker, os.O_RDWR | os.O_CREAT)\n"
            "fcntl.flock(fd, fcntl.LOCK_EX)\n"
            "subprocess.Popen([sys.executable, '-c', code, report], pass_fds=[fd], start_new_session=True)\n"
        )
        report = rig.folder / "reports" / "run_1-0.md"
        dying = await asyncio.create_subprocess_exec(
            sys.executable, "-c", script, f"{report}.running", str(report), slow, cwd=rig.work
        )
        await dying.wait()
        await self.run(rig, self.job(rig, slow))
        assert (rig.work / "log").read_text() == "in out in out "
        assert report.read_text() == "done"

    async def test_nothing_is_inherited_but_what_is_named(self, begin: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        rig = begin(CommandRig)
        monkeypatch.setenv("GRACE_SECRET", "hunter2")
        code = "import json, os, sys; json.dump(dict(os.environ), open(sys.argv[1], 'w'))"
        await self.run(rig, self.job(rig, code, env={"MODE": "fast"}))
        seen = json.loads((rig.folder / "reports" / "run_1-0.md").read_text())
        assert set(seen) <= {"PATH", "LANG", "LC_ALL", "TZ", "MODE", "LC_CTYPE"}
        assert seen["MODE"] == "fast"

    async def test_output_is_bounded_and_never_blocks_the_job(self, begin: Any) -> None:
        rig = begin(CommandRig)
        code = "import sys; print('x' * 3_000_000); open(sys.argv[1], 'w').write('fine')"
        await self.run(rig, self.job(rig, code, output_limit=1000))
        log = (rig.folder / "reports" / "run_1-0.md.log").read_bytes()
        assert len(log) < 1100
        assert log.endswith(b"there was more]\n")

    async def test_a_report_of_a_job_that_failed_does_not_count(self, begin: Any) -> None:
        rig = begin(CommandRig)
        target = self.job(rig, "import sys; open(sys.argv[1], 'w').write('half'); sys.exit(3)")
        with pytest.raises(Permanent, match="exit code 3"):
            await self.run(rig, target)
        assert (await rig.driver().observe(target, rig.verb, rig.context()))["report"] is None
        assert (rig.folder / "reports" / "run_1-0.md.failed").read_text() == "half"

    async def test_limits_hold(self, begin: Any) -> None:
        rig = begin(CommandRig)
        code = "import sys; x = bytearray(500_000_000); open(sys.argv[1], 'w').write('big')"
        with pytest.raises(Permanent, match="exit code 1"):
            await self.run(rig, self.job(rig, code, limits={"memory_bytes": 200_000_000}))

    async def test_a_process_that_flees_the_group_does_not_hold_the_step(self, begin: Any) -> None:
        rig = begin(CommandRig)
        code = (
            "import subprocess, sys\n"
            "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(30)'], start_new_session=True)\n"
            "open('child', 'w').write(str(child.pid)); open(sys.argv[1], 'w').write('fine')"
        )
        begun = time.monotonic()
        await self.run(rig, self.job(rig, code))
        assert time.monotonic() - begun < 6
        os.kill(int((rig.work / "child").read_text()), signal.SIGKILL)

    @pytest.mark.parametrize("run_id", ["../../etc/x", "a/b", "", "run\n1", "x" * 100, "--help", "run;rm"])
    async def test_a_path_is_never_built_from_what_is_no_id(self, begin: Any, run_id: str) -> None:
        rig = begin(CommandRig)
        if run_id == "--help":  # letters and dashes: a harmless name
            report = await rig.driver().observe(rig.target(), rig.verb, rig.context(run_id=run_id))
            assert report["report"] is None
            return
        with pytest.raises(Permanent, match="not a run's id"):
            await rig.driver().observe(rig.target(), rig.verb, rig.context(run_id=run_id))


class TestFiles:
    async def plan(self, rig: Any) -> Any:
        driver = rig.driver()
        before = await driver.observe(rig.target(), rig.verb, rig.context())
        return driver.desire(rig.target(), rig.verb, {}, before, rig.context())

    async def carry_out(self, rig: Any, desired: Any) -> None:
        await rig.driver().do(rig.target(), rig.verb, desired, rig.context())

    async def test_a_file_replaced_or_written_to_since_the_plan_stays(self, begin: Any) -> None:
        rig = begin(FilesRig)
        desired = await self.plan(rig)
        (rig.expired / "a.tmp").write_text("alive again")
        (rig.expired / "b.tmp").rename(rig.expired / "gone")
        (rig.expired / "b.tmp").write_text("another one")
        await self.carry_out(rig, desired)
        assert {"a.tmp", "b.tmp"} < set(rig.effect())

    async def test_a_link_put_in_place_of_a_file_leads_nowhere(self, begin: Any) -> None:
        rig = begin(FilesRig)
        precious = rig.folder / "precious"
        precious.write_text("x")
        os.utime(precious, (1, 1))
        desired = await self.plan(rig)
        (rig.expired / "a.tmp").unlink()
        (rig.expired / "a.tmp").symlink_to(precious)
        await self.carry_out(rig, desired)
        assert precious.exists()

    async def test_a_folder_swapped_for_a_link_leads_nowhere(self, begin: Any) -> None:
        rig = begin(FilesRig)
        for name in ("inner", "precious"):
            (rig.folder / name).mkdir()
        inner = rig.expired / "inner"
        inner.mkdir()
        for place in (inner, rig.folder / "precious"):
            (place / "old.tmp").write_text("x")
            os.utime(place / "old.tmp", (1, 1))
        target = rig.target(folders=[{"path": str(rig.expired), "older_than": "5m", "recursive": True}])
        driver = rig.driver()
        before = await driver.observe(target, rig.verb, rig.context())
        desired = driver.desire(target, rig.verb, {}, before, rig.context())
        assert "inner/old.tmp" in [file["name"] for file in desired["delete"]]
        inner.rename(rig.folder / "moved")
        inner.symlink_to(rig.folder / "precious")
        await driver.do(target, rig.verb, desired, rig.context())
        assert (rig.folder / "precious" / "old.tmp").exists()
        # And a link is no way in for looking either.
        after = await driver.observe(target, rig.verb, rig.context())
        assert not [file for file in after["files"] if file["name"].startswith("inner/")]

    @pytest.mark.parametrize("name", ["../precious", "/etc/passwd", "inner/../../precious"])
    async def test_a_name_that_leaves_the_folder_is_refused(self, begin: Any, name: str) -> None:
        rig = begin(FilesRig)
        (rig.folder / "precious").write_text("x")
        inode = str((rig.folder / "precious").stat().st_ino)
        desired = {"delete": [{"folder": str(rig.expired), "name": name, "inode": inode, "bytes": 1}], "bytes": 1}
        with pytest.raises(Permanent, match="not a name below"):
            await self.carry_out(rig, desired)
        assert (rig.folder / "precious").exists()

    async def test_a_folder_that_is_not_in_the_inventory(self, begin: Any) -> None:
        rig = begin(FilesRig)
        with pytest.raises(Permanent, match="no folder of the inventory"):
            await self.carry_out(
                rig, {"delete": [{"folder": "/etc", "name": "x", "inode": "1", "bytes": 1}], "bytes": 1}
            )

    async def test_the_oldest_first_and_no_more_than_allowed(self, begin: Any) -> None:
        rig = begin(FilesRig)
        for number in range(20):
            (rig.expired / f"{number}.tmp").write_text("x")
            os.utime(rig.expired / f"{number}.tmp", (1000 - number, 1000 - number))
        observed = await rig.driver().observe(rig.target(at_once=3), rig.verb, rig.context())
        assert [file["name"] for file in observed["files"]] == ["19.tmp", "18.tmp", "17.tmp"]
        assert observed["expired"] == 22

    async def test_odd_names_and_odd_things(self, begin: Any) -> None:
        rig = begin(FilesRig)
        os.mkfifo(rig.expired / "pipe.tmp")
        os.utime(rig.expired / "pipe.tmp", (1, 1))
        odd = rig.expired / os.fsdecode(b"\xff.tmp")
        odd.write_text("x")
        os.utime(odd, (1, 1))
        (rig.expired / "--help $(x) '.tmp").write_text("x")
        os.utime(rig.expired / "--help $(x) '.tmp", (1, 1))
        desired = await self.plan(rig)
        assert [file["name"] for file in desired["delete"]] == ["--help $(x) '.tmp", "a.tmp", "b.tmp"]

    async def test_a_hard_linked_file_frees_nothing(self, begin: Any) -> None:
        rig = begin(FilesRig)
        os.link(rig.expired / "a.tmp", rig.folder / "other")
        assert (await self.plan(rig))["bytes"] == 100


async def test_a_torn_line_does_not_swallow_the_next(begin: Any) -> None:
    rig = begin(NotifyRig)
    (rig.folder / "notifications.log").write_bytes(b'{"key": "run_1:0", "mess')
    await act(rig, message="the disk is full\nforged: line\x1b[2J")
    lines = (rig.folder / "notifications.log").read_text().splitlines()
    assert len(lines) == 2
    assert json.loads(lines[1])["message"] == "the disk is full forged: line [2J"
