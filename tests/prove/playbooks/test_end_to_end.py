"""Every playbook that changes the workload, from a real fault to its effect, and until it is given back.

The faults are in the workload's own processes; Prometheus measures them, its rules fire, Alertmanager posts. Effects
are read from the platforms themselves: /proc, circus, the rows of SQLite, files. Those that HAProxy shows are in
test_balance.py, those of the governance playbooks in test_governance.py.
"""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from tests.prove.playbooks.stage import Stage

pytestmark = [pytest.mark.prove, pytest.mark.timeout(900)]


def test_cleanup_disk_deletes_what_has_expired_and_nothing_else(demo: Stage) -> None:
    kept = [path for path in _volume(demo).rglob("*") if path.is_file() and path.parent.name != "expired"]
    demo.inject("disk-fill")
    demo.until("the volume fills", lambda: demo.outside.volume_bytes() > 40 * 1024 * 1024)
    demo.until("no expired file is left", lambda: demo.outside.expired_files() == 0)
    assert kept
    assert all(path.exists() for path in kept)
    run = demo.run_of("cleanup-disk", "healed")
    refused = demo.grace("undo", run["id"])
    assert refused.returncode == 1
    assert "cannot be given back" in refused.stderr


def test_restart_workers_replaces_every_worker_of_both_shards(demo: Stage) -> None:
    before = set(demo.outside.shard_workers())
    demo.inject("errors")
    demo.until("other processes serve", lambda: before.isdisjoint(demo.outside.shard_workers()))
    assert len(demo.outside.shard_workers()) == len(before)
    run = demo.run_of("restart-workers", "healed")
    assert demo.grace("undo", run["id"]).returncode == 1


def test_scale_api_shard_adds_a_gunicorn_worker_and_gives_it_back(demo: Stage) -> None:
    before = len(demo.outside.shard_workers())
    demo.inject("slow-api")
    demo.until("one worker more", lambda: len(demo.outside.shard_workers()) == before + 1)
    demo.run_of("scale-api-shard", "healed")
    demo.clear()
    demo.ways(lambda: len(demo.outside.shard_workers()), before)


def test_scale_workers_adds_half_as_many_and_gives_them_back(demo: Stage) -> None:
    before = demo.pids("workers")
    demo.inject("queue-flood")
    demo.until("three workers", lambda: len(demo.pids("workers")) == 3)
    assert before < demo.pids("workers"), "who was there goes on"
    demo.run_of("scale-workers", "healed")
    demo.until("the queue is short", lambda: demo.outside.waiting() < 25)
    demo.clear()
    assert demo.ways(lambda: len(demo.pids("workers")), 2)[0] == 3


def test_spawn_extra_workers_adds_two_and_gives_them_back_one_by_one(demo: Stage) -> None:
    demo.inject("stuck-worker", worker=demo.outside.oldest_worker())
    demo.until("four workers", lambda: len(demo.pids("workers")) == 4)
    demo.run_of("spawn-extra-workers", "healed")
    demo.clear()
    assert demo.ways(lambda: len(demo.pids("workers")), 2) == [4, 3, 2]


def test_spawn_emergency_shard_starts_the_standby_pool_where_workers_did_not_help(demo: Stage) -> None:
    """`keep`: the workers that did not help stay for as long as the queue is long; then all of it is given back.

    Seventeen tasks a second are more than four workers do, and less than six.
    """
    demo.inject("queue-flood", per_second="15")
    demo.run_of("scale-workers", "ineffective")
    more = len(demo.pids("workers"))
    assert more > 2
    demo.approve("spawn-emergency-shard")
    demo.until("the standby pool works", lambda: len(demo.pids("standby")) == 2)
    assert len(demo.pids("workers")) >= more, "kept"
    run = demo.run_of("spawn-emergency-shard", "healed", "ineffective")
    assert len(demo.pids("standby")) == 2, "kept, whether it helped or not"
    demo.give_back("undo", run)
    demo.until("the standby pool is gone", lambda: not demo.pids("standby"))


def test_throttle_learning_halves_the_limit_until_a_person_releases_it(demo: Stage) -> None:
    before = demo.outside.setting("rate_limit")
    demo.inject("ingestion-flood")
    demo.until("half the limit", lambda: demo.outside.setting("rate_limit") == before / 2)
    run = demo.run_of("throttle-learning", "contained")
    demo.clear()
    demo.give_back("release", run)
    demo.until("the whole limit", lambda: demo.outside.setting("rate_limit") == before)


def test_stop_ingestion_cycle_follows_run_trust_analysis_until_a_person_releases_it(demo: Stage) -> None:
    """run-trust-analysis reports and changes nothing; then a person approves that ingestion is paused."""
    before = set(_reports(demo))
    demo.inject("bad-sources")
    demo.until("a report is there", lambda: set(_reports(demo)) - before)
    (report,) = set(_reports(demo)) - before
    demo.run_of("run-trust-analysis", "effective")
    assert "forum" in report.read_text(), "it names where the documents came from"
    assert demo.grace("undo", demo.run_of("run-trust-analysis")["id"]).returncode == 1
    demo.approve("stop-ingestion-cycle")
    demo.until("ingestion is paused", lambda: demo.outside.setting("paused") == 1)
    sessions = demo.outside.sessions()
    time.sleep(8)  # nothing is to happen: two sessions would have begun
    assert demo.outside.sessions() == sessions
    run = demo.run_of("stop-ingestion-cycle", "contained")
    demo.clear()
    demo.give_back("release", run)
    demo.until("ingestion goes on", lambda: demo.outside.sessions() > sessions)
    assert demo.outside.setting("paused") == 0


def _volume(demo: Stage) -> Path:
    return demo.loop.data / "demo" / "volume"


def _reports(demo: Stage) -> list[Path]:
    return list((demo.loop.data / "reports").glob("*.md"))
