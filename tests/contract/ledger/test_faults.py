"""Full disks, servers that go away and come back, processes that are killed: nothing that was answered is lost."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from remediator.audit.verify import verify
from remediator.clock import SystemClock
from remediator.ledger import alerts
from remediator.ledger.engine import Ledger, LedgerUnavailable
from tests.contract.ledger.cluster import Cluster, cluster
from tests.contract.ledger.test_contract import note, row, rows

STORES = """
import asyncio, sys
from pathlib import Path
from remediator.clock import SystemClock
from remediator.ledger import alerts
from remediator.ledger.engine import Ledger
from tests.contract.ledger.test_contract import row

async def main(place):
    ledger = await Ledger.open(place if "://" in place else Path(place), SystemClock())
    async def one(worker):
        number = 0
        while True:
            number += 1
            key = f"{worker}/{number}"
            await ledger.write(lambda tx: alerts.accept(tx, [row(key)]), beside=True)
            await ledger.write(lambda tx: tx.record("stored", {"key": key}))
            sys.stdout.write(key + "\\n")
            sys.stdout.flush()
    await asyncio.gather(*(one(worker) for worker in range(8)))

asyncio.run(main(sys.argv[1]))
"""


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of 1 MiB, in memory."""
    folder = Path(tempfile.mkdtemp(prefix="gl-disk-"))
    if subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], check=False, capture_output=True
    ).returncode:
        folder.rmdir()
        # No user but root may mount, and a full disk is not the same on one that is not full.
        pytest.skip("mounting a small file system needs rights that this process lacks")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
    folder.rmdir()


async def test_a_full_disk_refuses_and_recovers(small_disk: Path) -> None:
    ledger = await Ledger.open(small_disk / "ledger.db", SystemClock())
    stored, refusal = 0, None
    while refusal is None:
        try:
            stored += await ledger.write(lambda tx, name=f"{stored}": alerts.accept(tx, [row(name, source="x" * 2000)]))  # type: ignore[misc]
        except LedgerUnavailable as error:
            refusal = error
        assert stored < 1000
    assert "full" in str(refusal)
    assert not ledger.writable
    assert (await ledger.read(alerts.counts))["waiting"] == stored, "reading goes on"
    # As large as the whole disk: room for a few bytes may be left, whatever the pages that the indexes took.
    with pytest.raises(LedgerUnavailable, match="full"):
        await ledger.write(lambda tx: alerts.accept(tx, [row("large", source="x" * 1024 * 1024)]))
    _grow(small_disk)
    assert await ledger.write(note("room")) == 1
    assert ledger.writable
    assert (await ledger.read(alerts.counts))["waiting"] == stored, "nothing stored is lost, nothing refused is there"
    await ledger.close()


async def test_a_process_that_is_killed_while_it_commits_loses_nothing_it_answered(place: Path | str) -> None:
    answered: set[str] = set()
    for _ in range(4):
        child = _python(STORES, str(place))
        assert child.stdout is not None
        first = child.stdout.readline()
        assert first, "it began"
        threshold = time.monotonic() + 0.2
        lines = [first]
        while time.monotonic() < threshold:
            lines.append(child.stdout.readline())
        child.send_signal(signal.SIGKILL)
        lines += child.stdout.read().splitlines(keepends=True)
        child.wait()
        child.stdout.close()
        answered |= {line.strip() for line in lines if line.endswith("\n")}
    ledger = await Ledger.open(place, SystemClock())
    try:
        known = await ledger.read(lambda connection: alerts.known(connection, sorted(answered)))
        assert known == answered
        found = await rows(ledger)
        assert len(found) >= len(answered)
        assert verify(iter(found), [], ()).faults == ()
    finally:
        await ledger.close()


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGQUIT], ids=["shut down", "crashed"])
async def test_a_server_that_goes_away_is_refused_at_once_and_returns_by_itself(how: signal.Signals) -> None:
    with cluster(fsync="on") as server:
        url = server.database()
        ledger = await Ledger.open(url, SystemClock())
        answered: list[str] = []
        slowest = 0.0
        over = asyncio.Event()

        async def client(name: int) -> None:
            nonlocal slowest
            number = 0
            while not over.is_set():
                number += 1
                key = f"{name}/{number}"
                began = time.monotonic()
                try:
                    await ledger.write(lambda tx, key=key: alerts.accept(tx, [row(key)]), beside=True)  # type: ignore[misc]
                    await ledger.write(note(key))
                    answered.append(key)
                except LedgerUnavailable:
                    slowest = max(slowest, time.monotonic() - began)
                    await asyncio.sleep(0.02)

        clients = [asyncio.create_task(client(number)) for number in range(8)]
        await _until(lambda: len(answered) > 50)
        await asyncio.to_thread(server.stop, how)
        await _until(lambda: not ledger.writable)
        began = time.monotonic()
        for refused in (ledger.write(note("x")), ledger.read(alerts.counts)):
            with pytest.raises(LedgerUnavailable):
                await refused
        assert time.monotonic() - began < 0.1
        before = len(answered)
        await asyncio.to_thread(server.start)
        await _until(lambda: len(answered) > before + 50)
        over.set()
        await asyncio.gather(*clients)
        assert slowest < 1.0, "also those that were under way"
        assert ledger.writable
        known = await ledger.read(lambda connection: alerts.known(connection, answered))
        assert known == set(answered)
        assert verify(iter(await rows(ledger)), [], ()).faults == ()
        await ledger.close()


async def test_a_replica_that_is_stopped_in_a_transaction_holds_nobody_up(postgres: Cluster) -> None:
    url = postgres.database()
    ledger = await Ledger.open(url, SystemClock())
    holds = (
        "import sys, time, psycopg\n"
        "from remediator.ledger.postgres import LOCK, STALLED\n"
        "link = psycopg.connect(sys.argv[1])\n"
        "link.execute(f\"SET idle_in_transaction_session_timeout = '{STALLED}s'\"); link.commit()\n"
        "link.execute(f'SELECT pg_advisory_xact_lock({LOCK})'); print('held', flush=True); time.sleep(60)\n"
    )
    child = _python(holds, url)
    try:
        assert child.stdout is not None
        await asyncio.to_thread(child.stdout.readline)
        child.send_signal(signal.SIGSTOP)
        began = time.monotonic()
        await ledger.write(note("mine"))
        assert time.monotonic() - began < 5.0
    finally:
        child.kill()
        child.wait()
        child.stdout.close()  # type: ignore[union-attr]
        await ledger.close()


async def test_two_replicas_write_one_chain(postgres: Cluster) -> None:
    url = postgres.database()
    first, second = await Ledger.open(url, SystemClock()), await Ledger.open(url, SystemClock())
    numbers = await asyncio.gather(*((first, second)[number % 2].write(note(str(number))) for number in range(300)))
    assert sorted(numbers) == list(range(1, 301))
    assert verify(iter(await rows(first)), [], ()).faults == ()
    # A replica that writes nothing learns of the others' entries too: it anchors them.
    await _until(lambda: first.head == second.head == (300, first.head[1]))
    await first.close()
    await second.close()


async def test_the_time_of_a_transaction_is_the_databases(postgres: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    url = postgres.database()
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)
    ledger = await Ledger.open(url, SystemClock())
    told = await ledger.write(lambda tx: tx.now)
    assert abs(told - real()) < 5
    assert abs(ledger.clock.now() - real()) < 5
    await ledger.close()


def _grow(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=8m", folder], check=True)


def _python(program: str, place: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", program, place],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )


async def _until(holds: object, within: float = 20.0) -> None:
    deadline = time.monotonic() + within
    while not holds():  # type: ignore[operator]
        assert time.monotonic() < deadline, "it did not come to hold"
        with suppress(TimeoutError):
            await asyncio.sleep(0.02)
