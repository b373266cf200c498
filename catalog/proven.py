"""On which platforms each playbook has been tried: drivers' names, as an inventory uses them.

A test runs every pair on the real thing (`tests/contract/drivers/test_matrix.py`), and fails where this table says more
or less than it runs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_SCALE = ("celery", "compose", "docker", "gunicorn", "http", "kubernetes", "process", "systemd")

PROVEN: Mapping[str, Sequence[str]] = {
    "scale-api-shard": _SCALE,
    "restart-workers": _SCALE,
    "spawn-extra-workers": _SCALE,
    "scale-workers": _SCALE,
    "spawn-emergency-shard": ("compose", "docker", "kubernetes", "process", "systemd"),
    "throttle-learning": ("celery", "compose", "docker", "http", "sql", "systemd"),
    "stop-ingestion-cycle": ("celery", "compose", "docker", "http", "kubernetes", "sql"),
    "run-trust-analysis": ("command", "http"),
    "shift-load": ("haproxy",),
    "scale-nodes": _SCALE,
    "cleanup-disk": ("files",),
}
