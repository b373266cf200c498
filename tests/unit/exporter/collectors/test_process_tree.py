import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from exporter.collectors.base import CollectError
from exporter.collectors.process_tree import (
    ProcessTimes,
    TreeTimes,
    cpu_seconds_between,
    read_pid,
    read_process,
    read_tree,
    tree_memory_bytes,
)

MASTER = 10


def tree(at: float, *processes: ProcessTimes, root: int = MASTER) -> TreeTimes:
    return TreeTimes(root, at, {process.pid: process for process in processes})


def process(pid: int, own: float, reaped: float = 0.0, *, parent: int = MASTER, started: float = 1.0) -> ProcessTimes:
    return ProcessTimes(pid, 1 if pid == MASTER else parent, started, own, reaped)


def test_the_living_count_by_their_difference() -> None:
    before = tree(100, process(MASTER, 5), process(11, 50))
    now = tree(110, process(MASTER, 5.5), process(11, 52))
    assert cpu_seconds_between(before, now) == pytest.approx(2.5)


def test_a_replaced_worker_makes_no_spike_and_loses_nothing() -> None:
    before = tree(100, process(MASTER, 5), process(11, 50))
    # Worker 11 used 1 s more, ended and was reaped; worker 12 took its place and used 0.5 s.
    now = tree(110, process(MASTER, 5, 51), process(12, 0.5, started=105))
    assert cpu_seconds_between(before, now) == pytest.approx(1.5)


def test_an_id_used_again_is_another_process() -> None:
    before = tree(100, process(MASTER, 5), process(11, 50))
    now = tree(110, process(MASTER, 5, 50), process(11, 0.25, started=107))
    assert cpu_seconds_between(before, now) == pytest.approx(0.25)


def test_a_grandchild_reaped_with_its_parent_counts_once() -> None:
    before = tree(100, process(MASTER, 0), process(11, 3), process(12, 7, parent=11))
    now = tree(110, process(MASTER, 0, 3.5 + 7.25))
    assert cpu_seconds_between(before, now) == pytest.approx(0.75)


def test_a_worker_that_nobody_of_the_tree_reaped_is_never_negative() -> None:
    before = tree(100, process(MASTER, 5), process(11, 50))
    now = tree(110, process(MASTER, 6))
    assert cpu_seconds_between(before, now) == pytest.approx(1.0)


def test_a_new_master_counts_from_its_birth_and_an_older_one_not_at_all() -> None:
    before = tree(100, process(MASTER, 500))
    born = tree(110, process(20, 0.5, 0.25, started=104), root=20)
    assert cpu_seconds_between(before, born) == pytest.approx(0.75)
    adopted = tree(110, process(20, 400, started=50), root=20)
    assert cpu_seconds_between(before, adopted) is None


def test_an_older_process_that_joins_counts_from_then_on() -> None:
    before = tree(100, process(MASTER, 5))
    joined = tree(110, process(MASTER, 5), process(11, 300, 20, started=50))
    assert cpu_seconds_between(before, joined) == 0
    later = tree(120, process(MASTER, 5), process(11, 301, 20, started=50))
    assert cpu_seconds_between(joined, later) == pytest.approx(1.0)


class ProcessWorld(RuleBasedStateMachine):
    """A kernel in small: processes work, fork, end and are reaped by their parent, who gains what they used."""

    @initialize()
    def begin(self) -> None:
        self.now = 100.0
        self.next_pid = MASTER + 1
        self.own = {MASTER: 3.0}
        self.reaped = {MASTER: 40.0}
        self.parent = {MASTER: 1}
        self.started = {MASTER: 1.0}
        self.used = 0.0
        self.counted = 0.0
        self.before = self.read()

    def read(self) -> TreeTimes:
        return TreeTimes(
            MASTER,
            self.now,
            {
                pid: ProcessTimes(pid, self.parent[pid], self.started[pid], self.own[pid], self.reaped[pid])
                for pid in self.own
            },
        )

    @rule(choice=st.integers(0, 99), seconds=st.integers(1, 50))
    def work(self, choice: int, seconds: int) -> None:
        pid = sorted(self.own)[choice % len(self.own)]
        self.own[pid] += seconds
        self.used += seconds
        self.now += seconds

    @rule(choice=st.integers(0, 99), reuse=st.booleans())
    def fork(self, choice: int, reuse: bool) -> None:
        parent = sorted(self.own)[choice % len(self.own)]
        free = [pid for pid in range(MASTER + 1, self.next_pid) if pid not in self.own]
        pid = free[0] if reuse and free else self.next_pid
        self.next_pid = max(self.next_pid, pid + 1)
        self.now += 1
        self.own[pid], self.reaped[pid], self.parent[pid], self.started[pid] = 0.0, 0.0, parent, self.now

    @precondition(lambda self: len(self.own) > 1)
    @rule(choice=st.integers(0, 99))
    def end(self, choice: int) -> None:
        leaves = sorted(pid for pid in self.own if pid != MASTER and pid not in self.parent.values())
        pid = leaves[choice % len(leaves)]
        self.reaped[self.parent[pid]] += self.own.pop(pid) + self.reaped.pop(pid)
        del self.parent[pid], self.started[pid]

    @rule()
    def measure(self) -> None:
        self.now += 1
        now = self.read()
        found = cpu_seconds_between(self.before, now)
        assert found is not None
        assert found >= 0
        self.counted += found
        self.before = now

    @invariant()
    def nothing_is_lost_or_doubled(self) -> None:
        pending = cpu_seconds_between(self.before, self.read())
        assert pending is not None
        assert self.counted + pending == pytest.approx(self.used)


TestProcessWorld = ProcessWorld.TestCase
TestProcessWorld.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_this_process_is_read_as_the_kernel_tells(tmp_path: Path) -> None:
    mine = read_process(os.getpid())
    assert mine is not None
    assert mine.parent == os.getppid()
    assert mine.own == pytest.approx(sum(os.times()[:2]), abs=0.05)
    stat = tmp_path / "7" / "stat"
    stat.parent.mkdir()
    stat.write_text("7 (a ) (b) R 3 " + " ".join(str(number) for number in range(5, 55)))
    found = read_process(7, tmp_path)
    assert found is not None
    assert (found.parent, found.ended) == (3, False)
    assert read_process(8, tmp_path) is None


def test_a_real_tree_counts_what_its_dead_children_left() -> None:
    script = (
        "import subprocess, sys\n"
        "print(flush=True)\n"
        "for line in sys.stdin:\n"
        "    subprocess.run([sys.executable, '-c', 'import time\\nwhile time.process_time() < 0.4: pass'])\n"
        "    print(flush=True)\n"
    )
    with subprocess.Popen([sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as master:
        assert master.stdin is not None
        assert master.stdout is not None
        master.stdout.readline()
        before = read_tree(master.pid)
        master.stdin.write(b"\n")
        master.stdin.flush()
        master.stdout.readline()
        now = read_tree(master.pid, before.processes.values())
        assert tree_memory_bytes(now.processes) > 1024 * 1024
        master.stdin.close()
    used = cpu_seconds_between(before, now)
    assert used is not None
    assert 0.35 <= used <= 1.0


def test_a_member_whose_parent_ended_still_belongs() -> None:
    script = "import subprocess, sys\nprint(subprocess.Popen(['sleep', '60']).pid, flush=True)\nsys.stdin.read()"
    with subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"import subprocess, sys\n"
            f"inner = subprocess.Popen([sys.executable, '-c', {script!r}], stdin=subprocess.PIPE)\n"
            f"sys.stdin.readline()\ninner.kill()\ninner.wait()\nprint('killed', flush=True)\nsys.stdin.readline()",
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as master:
        assert master.stdin is not None
        assert master.stdout is not None
        orphan = int(master.stdout.readline())
        try:
            before = read_tree(master.pid)
            assert orphan in before.processes
            master.stdin.write(b"\n")
            master.stdin.flush()
            master.stdout.readline()
            assert orphan in read_tree(master.pid, before.processes.values()).processes
            assert orphan not in read_tree(master.pid).processes
        finally:
            os.kill(orphan, 9)
            master.stdin.write(b"\n")
            master.stdin.close()


def test_what_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(CollectError, match="does not run"):
        read_tree(2**22 + 1)
    with pytest.raises(CollectError, match="does not exist"):
        read_pid(tmp_path / "none.pid")
    (tmp_path / "bad.pid").write_text("soon")
    with pytest.raises(CollectError, match="holds no process id"):
        read_pid(tmp_path / "bad.pid")
