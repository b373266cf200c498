"""The process pool's configuration: a circus arbiter with the pool `workers` and the idle pool `standby`."""

from __future__ import annotations

import shlex
import sys

from demo.layout import Layout

AT_START = {"workers": 2, "standby": 0}


def pool_config(place: Layout) -> str:
    """circus.ini: two watchers whose process counts can be set through the endpoint; survivors keep their pids."""
    command = shlex.join(
        [sys.executable, "-P", "-m", "demo.worker", "--db", str(place.tasks), "--faults", str(place.faults)]
    )
    watchers = "\n".join(
        f"""
[watcher:{name}]
cmd = {command}
numprocesses = {count}
singleton = False
copy_env = True
stop_signal = TERM
graceful_timeout = 3
warmup_delay = 0
"""
        for name, count in AT_START.items()
    )
    return f"""; Written by `grace up`; changes are overwritten.
[circus]
endpoint = {place.pool_endpoint}
pubsub_endpoint = {place.pool_events}
check_delay = 1
umask = 077
{watchers}"""
