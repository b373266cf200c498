"""The process pool's configuration: a circus arbiter with the pool `workers`, the idle pool `standby`, and `nodes`.

A node is one more shard of the API: none runs until somebody adds one.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping, Sequence

from demo.layout import Layout

AT_START = {"workers": 2, "standby": 0}
NODE_ENDS_WITHIN = 6
"""Seconds that a node may take to end; its requests have three of them."""


def pool_config(place: Layout, node: Sequence[str], environment: Mapping[str, str]) -> str:
    """circus.ini: three watchers whose process counts can be set through the endpoint; survivors keep their pids.

    `node` is the command of a spare shard, `environment` what it needs besides ours.
    """
    worker = [sys.executable, "-P", "-m", "demo.worker", "--db", str(place.tasks), "--faults", str(place.faults)]
    watchers = [_watcher(name, worker, count, ends_within=3) for name, count in AT_START.items()]
    nodes = _watcher("nodes", node, 0, ends_within=NODE_ENDS_WITHIN)
    settings = "\n".join(f"{name} = {value}" for name, value in environment.items())
    return f"""; Written by `grace up`; changes are overwritten.
[circus]
endpoint = {place.pool_endpoint}
pubsub_endpoint = {place.pool_events}
check_delay = 1
umask = 077
{"".join(watchers)}{nodes}
[env:nodes]
{settings}
"""


def _watcher(name: str, argv: Sequence[str], count: int, *, ends_within: int) -> str:
    return f"""
[watcher:{name}]
cmd = {shlex.join(argv)}
numprocesses = {count}
singleton = False
copy_env = True
stop_signal = TERM
graceful_timeout = {ends_within}
warmup_delay = 0
"""
