"""Collector `celery`: tasks that wait in a broker's queues, and since when. Needs `grace[celery]`.

How many wait, every broker tells that Celery speaks to. Since when, only Redis shows, and only of tasks whose sender
stamped them (`exporter.middleware.celery`).
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from pydantic import Field, SecretStr

from catalog.document import Where
from catalog.fault import shown
from catalog.model import Catalog, Frozen
from exporter.blocking import Blocking
from exporter.collectors.base import CollectError, CollectorConfig, Probe, Setting, installed, unknown_metrics
from exporter.collectors.redis import queue_faults
from exporter.families import Measured, Reading, gauge, labels_of
from exporter.middleware.stamp import HEADER


class CeleryQueueConfig(Frozen):
    metric_ids: tuple[str, ...] = Field(min_length=1)
    queue: str = "celery"
    resource: str = Field(min_length=1)
    depth: str = "grace_executor_queue_depth"
    """The series that takes the number of tasks."""
    oldest: str | None = None
    """The series that takes when the oldest task was sent, where the broker is Redis."""


class CeleryConfig(CollectorConfig):
    collector: Literal["celery"]
    broker: SecretStr
    """As Celery takes it: `redis://…`, `amqp://USER:${PASSWORD}@HOST//`."""
    queues: tuple[CeleryQueueConfig, ...] = Field(min_length=1)

    def faults(self, catalog: Catalog) -> Iterator[tuple[Where, str]]:
        if not installed("kombu"):
            yield ("collector",), "Celery is not installed: pip install 'grace[celery]'"
        yield from unknown_metrics(self.metric_ids, catalog, ("metric_ids",))
        for index, queue in enumerate(self.queues):
            yield from queue_faults(queue.metric_ids, (queue.depth, queue.oldest), catalog, ("queues", index))


class CeleryCollector:
    """One probe for each queue, each with a connection that is kept."""

    def __init__(self, config: CeleryConfig, setting: Setting) -> None:
        self._readers: list[TaskReader] = []
        probes = []
        for queue in config.queues:
            on = setting.wanted(queue.metric_ids)
            if on:
                pace = setting.pace(on, config)
                self._readers.append(reader := TaskReader(config, queue, on, pace.deadline))
                probes.append(Probe(f"queue {queue.queue}", pace, Blocking(reader, config.name)))
        self.probes: Sequence[Probe] = tuple(probes)

    async def close(self) -> None:
        for each in self._readers:
            each.close()


class TaskReader:
    """Reads one queue; blocks for `timeout` seconds at most in each conversation."""

    def __init__(
        self, config: CeleryConfig, queue: CeleryQueueConfig, metric_ids: Sequence[str], timeout: float
    ) -> None:
        self._broker = config.broker.get_secret_value()
        self._queue = queue
        self._metric_ids = metric_ids
        self._timeout = timeout
        self._connection: Any = None

    def __call__(self) -> Reading:
        """Depth and age. Raises CollectError; its text holds no secret."""
        try:
            if self._connection is None:
                self._connection = self._connected()
            channel = self._connection.default_channel
            depth, oldest = self._depth(channel), self._oldest(channel)
        except CollectError:
            raise
        except Exception as error:
            # Every broker's library has errors of its own. Their words may hold the broker's URL: the kind says enough.
            self.close()
            raise CollectError(f"the broker cannot be asked ({type(error).__name__})") from error
        labels = labels_of({"resource": self._queue.resource})
        found = [gauge(self._queue.depth, labels, float(depth))]
        if self._queue.oldest is not None:
            found.append(gauge(self._queue.oldest, labels, oldest))
        measured = frozenset(Measured(each, dict(labels)["resource"]) for each in self._metric_ids)
        return Reading(tuple(each for each in found if each is not None), measured)

    def close(self) -> None:
        """Close the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.release()

    def _connected(self) -> Any:
        kombu: Any = importlib.import_module("kombu")
        options = {"socket_timeout": self._timeout, "socket_connect_timeout": self._timeout}
        redis = self._broker.startswith(("redis", "rediss"))
        return kombu.Connection(self._broker, connect_timeout=self._timeout, transport_options=options if redis else {})

    def _depth(self, channel: Any) -> int:
        from kombu.exceptions import ChannelError

        try:
            return int(channel.queue_declare(queue=self._queue.queue, passive=True).message_count)
        except ChannelError:
            # In Redis a queue without tasks is not there; elsewhere it is one that nobody made.
            if _is_redis(channel):
                return 0
            raise

    def _oldest(self, channel: Any) -> float | None:
        if self._queue.oldest is None:
            return None
        if not _is_redis(channel):
            raise CollectError("only Redis shows when a task was sent: leave oldest out")
        keys = [channel._q_for_pri(self._queue.queue, priority) for priority in channel.priority_steps]
        times = [_sent_at(message) for key in keys if (message := channel.client.lindex(key, -1)) is not None]
        return min(times, default=None)


def _is_redis(channel: Any) -> bool:
    return hasattr(channel, "_q_for_pri") and hasattr(channel, "client")


def _sent_at(message: bytes) -> float:
    try:
        at = json.loads(message)["headers"][HEADER]
    except (ValueError, RecursionError, LookupError, TypeError) as error:
        raise CollectError(
            f"a task does not say when it was sent ({shown(HEADER)}): call stamp_tasks() where tasks are sent"
        ) from error
    if isinstance(at, bool) or not isinstance(at, int | float):
        raise CollectError(f"the header {shown(HEADER)} of a task is no time")
    return float(at)
