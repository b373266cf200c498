"""The drills: a real fault each, the metric that must show it, and how it should end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from demo.course import End
from demo.outside import (
    EXPIRED,
    PAUSED,
    POOL_WORKERS,
    RATE_LIMIT,
    REPORTS,
    SHARD_PIDS,
    SHARD_WORKERS,
    WAITING,
    WEIGHT,
    Effect,
)


@dataclass(frozen=True, slots=True)
class Drill:
    """One scenario. `ends` is what counts as success for each of the `metrics` (metric, resource)."""

    name: str
    title: str
    metrics: tuple[tuple[str, str], ...]
    ends: frozenset[End]
    faults: tuple[str, ...] = ()
    effects: tuple[Effect, ...] = ()
    """What healing must have changed, seen from outside."""
    artefacts: tuple[Effect, ...] = ()
    """What it must have left behind, and leaves for good."""
    watched: tuple[Effect, ...] = ()
    """What is shown besides, without being asked for."""
    targets: tuple[str, ...] = ()
    """What healing changes: what earlier runs still keep changed there is given back first."""
    approves: bool = False
    """Whether the drill approves, as a person would, what is held for its incident."""
    releases: bool = False
    """Whether it gives the containment back in the end, as a person would, and waits until that shows outside."""
    alert: str | None = None
    """The alert by which people, not Grace, are told: then no incident is waited for, and none may be run for."""
    jam: tuple[tuple[str, str], ...] = ()
    """Changes that are asked for by hand, so that their approvals pile up: (playbook, target)."""


_HEALED = frozenset({End.HEALED})
_HEALED_HERE_OR_BESIDE = frozenset({End.HEALED, End.CLOSED})
"""A flood fills the pool before the queue: where the pool's own incident gets the workers, the queue's just closes."""
_CONTAINED = frozenset({End.CONTAINED})
_ESCALATED = frozenset({End.ESCALATED})

_AS_GOVERNED = frozenset({End.HEALED, End.CONTAINED, End.CLOSED, End.HELD, End.ESCALATED})
"""What five at once come to is governance's to say: healed by a run of their own or of a neighbour on their target,
contained, held, or handed to people where the catalog has nothing left. Never two runs at once on a target."""

_ROWS = (
    Drill(
        name="cpu",
        title="requests on one shard cost far more CPU",
        metrics=(("infra.cpu_utilization", "api-1"),),
        ends=_HEALED,
        faults=("cpu",),
        effects=(WEIGHT,),
        targets=("api", "edge"),
    ),
    Drill(
        name="slow-api",
        title="a dependency of the API answers slowly",
        metrics=(("api.latency_p95", "api"),),
        ends=_HEALED,
        faults=("slow-api",),
        effects=(SHARD_WORKERS,),
        targets=("api", "edge"),
    ),
    Drill(
        name="errors",
        title="workers of one shard answer half of their requests with 500 until they are restarted",
        metrics=(("api.error_rate", "api"),),
        ends=_HEALED,
        faults=("errors",),
        effects=(SHARD_PIDS,),
        targets=("api", "edge"),
    ),
    Drill(
        name="queue-flood",
        title="far more tasks than the pool can do",
        metrics=(("executor.queue_depth", "workers"),),
        ends=_HEALED_HERE_OR_BESIDE,
        faults=("queue-flood",),
        effects=(POOL_WORKERS,),
        watched=(WAITING,),
        targets=("workers", "standby"),
    ),
    Drill(
        name="stuck-worker",
        title="a worker of the pool hangs on its task",
        metrics=(("executor.worker_utilization", "workers"),),
        ends=_HEALED,
        faults=("stuck-worker",),
        effects=(POOL_WORKERS,),
        watched=(WAITING,),
        targets=("workers", "standby"),
    ),
    Drill(
        name="bad-sources",
        title="most documents are not what their manifest says",
        metrics=(("learning.sources_verified", "ingestion"),),
        ends=_CONTAINED,
        faults=("bad-sources",),
        effects=(PAUSED,),
        artefacts=(REPORTS,),
        targets=("ingestion",),
        approves=True,
        releases=True,
    ),
    Drill(
        name="ingestion-flood",
        title="learning sessions start as fast as the limit lets them",
        metrics=(("learning.sessions_started", "ingestion"),),
        ends=_CONTAINED,
        faults=("ingestion-flood",),
        effects=(RATE_LIMIT,),
        targets=("ingestion",),
        releases=True,
    ),
    Drill(
        name="disk-fill",
        title="expired dumps fill a volume",
        metrics=(("infra.disk_usage", "demo-volume"),),
        ends=_HEALED,
        faults=("disk-fill",),
        effects=(EXPIRED,),
        targets=("demo-volume",),
    ),
    Drill(
        name="approvals-jam",
        title="more changes are asked for than people approve",
        metrics=(("autonomy.approvals_pending", "grace"),),
        ends=_ESCALATED,
        jam=(("stop-ingestion-cycle", "ingestion"), ("spawn-emergency-shard", "workers")) * 4,
    ),
    Drill(
        name="collector-blackout",
        title="nobody can see the processes of one shard any more",
        metrics=(("infra.cpu_utilization", "api-1"),),
        ends=_ESCALATED,
        faults=("collector-blackout",),
        alert="GraceMetricStale",
    ),
    Drill(
        name="storm",
        title="five faults at once: governance takes them one by one on each target, or holds them",
        metrics=(
            ("infra.cpu_utilization", "api-1"),
            ("api.error_rate", "api"),
            ("executor.queue_depth", "workers"),
            ("learning.sources_verified", "ingestion"),
            ("infra.disk_usage", "demo-volume"),
        ),
        ends=_AS_GOVERNED,
        faults=("cpu", "errors", "queue-flood", "bad-sources", "disk-fill"),
        watched=(WEIGHT, SHARD_PIDS, POOL_WORKERS, WAITING, PAUSED, EXPIRED),
        targets=("api", "edge", "workers", "standby", "ingestion", "demo-volume"),
    ),
)

DRILLS: Mapping[str, Drill] = {drill.name: drill for drill in _ROWS}
