"""One file for each way of measuring, one row in `COLLECTORS`. A collector reads; it never changes what it measures.

What several have in common has a file too: `rows` (`sql`, `http`), `queues` (`redis`, `celery`), `json_endpoint`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from exporter.collectors.base import Collector, Setting
from exporter.collectors.celery import CeleryCollector
from exporter.collectors.events import EventsCollector
from exporter.collectors.host import PsutilCollector
from exporter.collectors.http import HttpCollector
from exporter.collectors.kubernetes import KubernetesCollector
from exporter.collectors.multiprocess import MultiprocessCollector
from exporter.collectors.redis import RedisCollector
from exporter.collectors.remediator import RemediatorCollector
from exporter.collectors.sql import SqlCollector

COLLECTORS: Mapping[str, Callable[[Any, Setting], Collector]] = {
    "psutil": PsutilCollector,
    "sql": SqlCollector,
    "multiprocess": MultiprocessCollector,
    "events": EventsCollector,
    "http": HttpCollector,
    "kubernetes": KubernetesCollector,
    "redis": RedisCollector,
    "celery": CeleryCollector,
    "remediator": RemediatorCollector,
}
"""How each kind of collector is made from its configuration."""
