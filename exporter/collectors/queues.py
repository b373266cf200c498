"""What `redis` and `celery` have in common: queues, of which it is told how many elements wait, and since when."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Protocol, TypeVar

from pydantic import Field

from catalog.document import Where
from catalog.model import Catalog, Frozen
from exporter.blocking import Blocking
from exporter.collectors.base import NamedConfig, Probe, Setting, underived, unknown_metrics
from exporter.families import Measured, Reading, gauge, labels_of


class QueueConfig(Frozen):
    """One queue."""

    metric_ids: tuple[str, ...] = Field(min_length=1)
    """The metrics that are measured on it."""
    resource: str = Field(min_length=1)
    """What it is called in the catalog's series."""
    depth: str = "grace_executor_queue_depth"
    """The series that takes how many elements wait."""
    oldest: str | None = None
    """The series that takes since when the oldest waits."""


Q = TypeVar("Q", bound=QueueConfig)


class Queue(Protocol):
    """A queue that can be asked, by one connection that is kept."""

    name: str

    def waiting(self) -> tuple[int, float | None]:
        """How many elements wait, and when the oldest was put there (epoch seconds; None where none is, or where that
        is not asked for). Blocks. Raises CollectError; its text holds no secret."""

    def close(self) -> None:
        """Close the connection."""


def queues_faults(queues: Sequence[QueueConfig], catalog: Catalog) -> Iterator[tuple[Where, str]]:
    """What does not fit the catalog."""
    for index, queue in enumerate(queues):
        yield from unknown_metrics(queue.metric_ids, catalog, ("queues", index, "metric_ids"))
        series = filter(None, (queue.depth, queue.oldest))
        for _, fault in underived("queue", queue.metric_ids, series, catalog):
            yield ("queues", index), fault


def time_of(told: object) -> float | None:
    """Epoch seconds that somebody put into a queue with an element; None for what is no time."""
    if isinstance(told, bool) or not isinstance(told, int | float):
        return None
    try:
        found = float(told)
    except OverflowError:
        return None
    return found if math.isfinite(found) else None


class QueueCollector:
    """One probe for each queue; `connect` makes what asks it, given how many seconds a conversation may take."""

    def __init__(
        self, config: NamedConfig, queues: Sequence[Q], setting: Setting, connect: Callable[[Q, float], Queue]
    ) -> None:
        self._queues: list[Queue] = []
        probes = []
        for each in queues:
            on = setting.wanted(each.metric_ids)
            if on:
                pace = setting.pace(on, config)
                self._queues.append(queue := connect(each, pace.deadline))
                probes.append(Probe(queue.name, pace, Blocking(partial(_read, queue, each, on), config.name)))
        self.probes: Sequence[Probe] = tuple(probes)

    async def close(self) -> None:
        """Close the connections."""
        for each in self._queues:
            each.close()


def _read(queue: Queue, config: QueueConfig, metric_ids: Sequence[str]) -> Reading:
    depth, oldest = queue.waiting()
    labels = labels_of({"resource": config.resource})
    found = [gauge(config.depth, labels, float(depth))]
    if config.oldest is not None:
        found.append(gauge(config.oldest, labels, oldest))
    measured = frozenset(Measured(each, config.resource) for each in metric_ids)
    return Reading(tuple(each for each in found if each is not None), measured)
