"""The workload as a whole: its files, its processes, and how Grace measures and reaches them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from catalog.model import TimeScale
from demo import archive
from demo.archive import write_volume
from demo.balancer import balancer_config
from demo.ingestion import first_rate_limit
from demo.layout import SHARDS, SPARES, Layout, layout, make_short
from demo.learning import COUNTS, LearningTable
from demo.pool import pool_config
from demo.processes import Process
from demo.sources import write_sources
from demo.tasks import DEPTH, LIVE, TaskTable

LEARNING_INTERVAL = 300.0
"""Seconds between measurements of learning.*, at full scale."""
SHARD_CORES = 0.2
"""What one shard may use of the machine: its CPU utilization is a share of this.

So little that the fault which fills it leaves the machine, and whatever else runs on it, room."""
SHARD_MEMORY = 512 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Ports:
    """TCP ports on 127.0.0.1 that the workload listens on: the balancer's, and one capacity agent's per shard.

    The spare shard's is the last.
    """

    balancer: int = 9780
    agents: tuple[int, int, int] = (9785, 9786, 9787)

    @property
    def all(self) -> tuple[int, ...]:
        return (self.balancer, *self.agents)


def prepare(data: Path, ports: Ports, scale: TimeScale) -> None:
    """Write the configurations, tables, documents and records below `<data>/demo`; what was learned stays.

    Faults that an interrupted drill left behind are taken out. Raises OSError when the folder cannot be written.
    """
    place = make_short(data)
    place.faults.unlink(missing_ok=True)
    for swept in place.run.glob("*.swept"):
        swept.unlink()
    place.balancer_config.write_text(balancer_config(place, ports.balancer, _agents(ports)), encoding="utf-8")
    (spare,) = SPARES
    node = _shard(place, spare, _agents(ports)[spare])
    place.pool_config.write_text(pool_config(place, node.argv, node.env), encoding="utf-8")
    write_sources(place.sources)
    write_volume(place.volume)
    tasks = TaskTable(place.tasks)
    tasks.create()
    tasks.close()
    learning = LearningTable(place.learning)
    learning.create(first_rate_limit(scale.interval(LEARNING_INTERVAL)))
    learning.close()


def processes(data: Path, haproxy: Path, ports: Ports, scale: TimeScale) -> list[Process]:
    """The processes of the workload, for a data folder that `prepare` was called for. `haproxy` is the program."""
    place = layout(data)
    url = f"http://127.0.0.1:{ports.balancer}"
    shards = [_shard(place, shard, port) for shard, port in _agents(ports).items() if shard not in SPARES]
    table = ("--db", str(place.tasks), "--faults", str(place.faults))
    learning = ("--db", str(place.learning), "--sources", str(place.sources), "--faults", str(place.faults))
    interval = str(scale.interval(LEARNING_INTERVAL))
    return [
        *shards,
        Process(
            name="balancer",
            argv=(str(haproxy), "-db", "-f", str(place.balancer_config)),
            cwd=place.root,
            ready_url=f"{url}/healthz",
            ready_socket=place.balancer_socket,
            after=SHARDS,
        ),
        Process(
            name="pool",
            argv=(*_PYTHON, "-m", "circus.circusd", "--log-level", "warning", str(place.pool_config)),
            cwd=place.root,
            env=_ENVIRONMENT,
            ready_socket=place.pool_socket,
        ),
        _python(place, "producer", *table, after=("pool",)),
        _python(place, "ingestion", *learning, "--interval", interval),
        _python(
            place, "archive", "--volume", str(place.volume), "--run", str(place.run), "--faults", str(place.faults)
        ),
        _python(place, "load", "--url", url, "--log", str(place.load_log), after=("balancer",)),
    ]


def inventory(data: Path) -> dict[str, Any]:
    """What `inventory.yml` says of the workload: its targets, and how a driver reaches each."""
    place = layout(data)
    endpoint = place.pool_endpoint
    members = [
        {"name": shard, "pidfile": str(place.shard_pidfile(shard)), "control": str(place.shard_control(shard))}
        for shard in SHARDS
    ]
    analysis = [*_PYTHON, "-m", "demo.trust_analysis", "--db", str(place.learning), "--report", "{report}"]
    return {
        "targets": {
            "api": {
                "driver": "gunicorn",
                "resources": list(SHARDS),
                "limits": {"min": 2, "max": 6},
                "edge": "edge",
                "nodes": "nodes",
                "config": {"members": members},
            },
            "edge": {
                "driver": "haproxy",
                "config": {
                    "socket": str(place.balancer_socket),
                    "backend": "api",
                    "servers": {shard: shard for shard in SHARDS},
                    "hot_by": "infra.cpu_utilization",
                },
            },
            "workers": {
                "driver": "process",
                "limits": {"min": 1, "max": 8},
                "standby": "standby",
                "config": {"endpoint": endpoint, "watcher": "workers"},
            },
            "standby": {
                "driver": "process",
                "limits": {"min": 0, "max": 2},
                "config": {"endpoint": endpoint, "watcher": "standby"},
            },
            "nodes": {
                "driver": "process",
                "limits": {"min": 0, "max": len(SPARES)},
                "config": {"endpoint": endpoint, "watcher": "nodes"},
            },
            "ingestion": {
                "driver": "sql",
                "analysis": "trust-analysis",
                "config": {
                    "url": f"sqlite:///{place.learning}",
                    "settings": {"throttle": {**_setting("rate_limit"), "min": 1}, "pause": _setting("paused")},
                },
            },
            "trust-analysis": {"driver": "command", "config": {"argv": analysis, "timeout": 60}},
            "demo-volume": {
                "driver": "files",
                "resources": ["demo-volume"],
                "reclaim": "demo-volume",
                "config": {"folders": [{"path": str(place.volume / "expired"), "pattern": "*", "older_than": 0}]},
            },
        }
    }


def exporter_collectors(data: Path, remediator_url: str = "http://127.0.0.1:9782") -> dict[str, Any]:
    """What `exporter.yml` says: how each of the metrics is read off the workload, and the autonomy ones off Grace.

    What a node serves is not measured: one that is not there would look like a service that is down.
    """
    place = layout(data)
    return {
        "collectors": [
            {
                "name": "shards",
                "collector": "multiprocess",
                "metric_ids": ["api.latency_p95", "api.error_rate", "api.request_rate", "api.saturation"],
                "resource": "api",
                "directories": [{"path": str(place.multiproc(shard)), "labels": {"shard": shard}} for shard in SHARDS],
            },
            {
                "name": "hosts",
                "collector": "psutil",
                "metric_ids": ["infra.cpu_utilization", "infra.memory_utilization", "infra.disk_usage"],
                "hosts": [
                    {
                        "resource": shard,
                        "pidfile": str(place.shard_pidfile(shard)),
                        "cores": SHARD_CORES,
                        "memory_bytes": SHARD_MEMORY,
                    }
                    for shard in SHARDS
                ],
                "volumes": [{"resource": "demo-volume", "path": str(place.volume), "quota_bytes": archive.QUOTA}],
            },
            {
                "name": "queue",
                "collector": "sql",
                "url": f"sqlite:///{place.tasks}",
                "timeout": "5s",
                "queries": [
                    _query(
                        ["executor.queue_depth", "executor.task_latency"],
                        "workers",
                        DEPTH,
                        grace_executor_queue_depth="depth",
                        grace_executor_oldest_task_timestamp_seconds="oldest",
                    ),
                    _query(
                        ["executor.worker_utilization"],
                        "workers",
                        LIVE,
                        grace_executor_workers="workers",
                        grace_executor_workers_busy="busy",
                    ),
                ],
            },
            {
                "name": "learning",
                "collector": "sql",
                "url": f"sqlite:///{place.learning}",
                "timeout": "5s",
                "queries": [
                    _query(
                        [
                            "learning.sessions_started",
                            "learning.sources_verified",
                            "learning.sandbox_pass_rate",
                            "learning.governance_blocks",
                        ],
                        "ingestion",
                        COUNTS,
                        grace_learning_sessions_started_total="sessions",
                        grace_learning_governance_blocks_total="blocks",
                        grace_learning_sources_checked_total="checked",
                        grace_learning_sources_verified_total="verified",
                        grace_learning_sandbox_runs_total="runs",
                        grace_learning_sandbox_passes_total="passes",
                    )
                ],
            },
            {
                "name": "remediator",
                "collector": "remediator",
                "url": f"{remediator_url}/api/v1/status",
                "resource": "grace",
                "metric_ids": [
                    "autonomy.plan_success_rate",
                    "autonomy.approvals_pending",
                    "autonomy.rollback_rate",
                ],
            },
        ]
    }


# -P: a folder called `demo` where a program runs is data, not to be imported.
_PYTHON = (sys.executable, "-P")
_ENVIRONMENT: Mapping[str, str] = {"PYTHONUNBUFFERED": "1"}


def _shard(place: Layout, shard: str, agent_port: int) -> Process:
    return Process(
        name=shard,
        argv=(*_PYTHON, "-m", "gunicorn", "-c", "python:demo.shard", "demo.api:application()"),
        cwd=place.root,
        env={
            **_ENVIRONMENT,
            "GRACE_DEMO_SHARD": shard,
            "GRACE_DEMO_RUN": str(place.run),
            "GRACE_DEMO_FAULTS": str(place.faults),
            "GRACE_DEMO_AGENT_PORT": str(agent_port),
            "PROMETHEUS_MULTIPROC_DIR": str(place.multiproc(shard)),
        },
        ready_socket=place.shard_socket(shard),
        ready_file=place.shard_pidfile(shard),
    )


def _python(place: Layout, module: str, *arguments: str, after: tuple[str, ...] = ()) -> Process:
    return Process(
        name=module,
        argv=(*_PYTHON, "-m", f"demo.{module}", *arguments),
        cwd=place.root,
        env=_ENVIRONMENT,
        after=after,
    )


def _agents(ports: Ports) -> dict[str, int]:
    """The port of each shard's capacity agent, spare shards included."""
    return dict(zip((*SHARDS, *SPARES), ports.agents, strict=True))


def _setting(name: str) -> dict[str, str]:
    return {
        "read": f"SELECT value FROM control WHERE name = '{name}'",  # noqa: S608 (a name of ours)
        "write": f"UPDATE control SET value = :value WHERE name = '{name}'",  # noqa: S608
    }


def _query(metric_ids: list[str], resource: str, sql: str, **values: str) -> dict[str, Any]:
    return {"metric_ids": metric_ids, "resource": resource, "sql": " ".join(sql.split()), "values": values}
