"""gunicorn's settings for one API shard, from its environment: `gunicorn -c python:demo.shard demo.api:application()`.

aiohttp and prometheus-client are imported here so that a new worker is forked with them already there.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import aiohttp.web  # noqa: F401
from prometheus_client import multiprocess

from demo.agent import CapacityAgent
from demo.layout import SPARES

_run = Path(os.environ["GRACE_DEMO_RUN"])
_name = os.environ["GRACE_DEMO_SHARD"]
_agents: list[CapacityAgent] = []

bind = f"unix:{_run / _name}.sock"
pidfile = str(_run / f"{_name}.pid")
control_socket = str(_run / f"{_name}.ctl")
worker_class = "demo.gate.OneAtATimeWorker"
workers = 1
umask = 0o077
timeout = 30
graceful_timeout = 3
proc_name = f"grace-demo-{_name}"


def on_starting(server: Any) -> None:
    """Forget what the workers of an earlier master counted."""
    folder = Path(os.environ["PROMETHEUS_MULTIPROC_DIR"])
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)


def when_ready(server: Any) -> None:
    """Tell the balancer how many workers there are, from now on."""
    port = int(os.environ["GRACE_DEMO_AGENT_PORT"])
    agent = CapacityAgent(port, lambda: len(server.WORKERS), joins=_name in SPARES)
    agent.start()
    _agents.append(agent)


def post_fork(server: Any, worker: Any) -> None:
    """The agent is the master's alone."""
    for agent in _agents:
        agent.close()


def child_exit(server: Any, worker: Any) -> None:
    """What only live workers count (how many there are, requests in progress) ends with the worker."""
    multiprocess.mark_process_dead(worker.pid)  # type: ignore[no-untyped-call]
