"""On which platforms each playbook has been tried: drivers' names, as an inventory uses them.

A test runs every pair on the real thing (`tests/contract/drivers/test_matrix.py`), and fails where this table says more
or less than it runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_RESTART = ("celery", "compose", "docker", "gunicorn", "http", "kubernetes", "process", "systemd")
_SCALE = ("ansible", *_RESTART)

PROVEN: Mapping[str, Sequence[str]] = {
    "scale-api-shard": _SCALE,
    "restart-workers": _RESTART,
    "spawn-extra-workers": _SCALE,
    "scale-workers": _SCALE,
    "spawn-emergency-shard": ("compose", "docker", "kubernetes", "process", "systemd"),
    "throttle-learning": ("ansible", "celery", "compose", "docker", "http", "sql", "systemd"),
    "stop-ingestion-cycle": ("ansible", "celery", "compose", "docker", "http", "kubernetes", "sql"),
    "run-trust-analysis": ("command", "http"),
    "shift-load": ("haproxy",),
    "scale-nodes": _SCALE,
    "cleanup-disk": ("files",),
}
