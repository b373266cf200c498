"""Two lines for whoever sends Celery tasks, so that it is known how long the oldest one waits:

from exporter.middleware.celery import stamp_tasks

stamp_tasks()
"""

from __future__ import annotations

import time
from typing import Any

from celery.signals import before_task_publish

from exporter.middleware.stamp import HEADER


def stamp_tasks() -> None:
    """From now on every task that this process sends tells when (a header of its message)."""
    before_task_publish.connect(_stamp, weak=False, dispatch_uid=HEADER)


def _stamp(headers: dict[str, Any] | None = None, **_: object) -> None:
    if headers is not None:
        headers[HEADER] = time.time()
