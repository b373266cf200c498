"""Collector `celery`: tasks that wait in a broker's queues, and since when. Needs `grace[celery]`.

How many wait, every broker tells that Celery speaks to. Since when, only Redis shows, and only of tasks whose sender
stamped them (`exporter.middleware.celery`).
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any, Literal

from pydantic import Field, SecretStr

from catalog.document import Where
from catalog.fault import shown
from catalog.model import Catalog
from exporter.collectors.base import CollectError, NamedConfig, Setting, installed
from exporter.collectors.queues import QueueCollector, QueueConfig, queues_faults, time_of
from exporter.middleware.stamp import HEADER


class TaskQueueConfig(QueueConfig):
    """One of Celery's queues."""

    queue: str = "celery"
    """Its name at the broker."""
    oldest: str | None = None
    """The series that takes when the oldest task was sent, where the broker is Redis."""


class CeleryConfig(NamedConfig):
    collector: Literal["celery"]
    """Tasks that wait at Celery's broker."""
    broker: SecretStr
    """As Celery takes it: `redis://…`, `amqp://USER:${PASSWORD}@HOST//`."""
    queues: tuple[TaskQueueConfig, ...] = Field(min_length=1)
    """The queues."""

    def faults(self, catalog: Catalog) -> Iterator[tuple[Where, str]]:
        if not installed("kombu"):
            yield ("collector",), "Celery is not installed: pip install 'grace[celery]'"
        yield from queues_faults(self.queues, catalog)


class CeleryCollector(QueueCollector):
    """One probe for each queue."""

    def __init__(self, config: CeleryConfig, setting: Setting) -> None:
        super().__init__(config, config.queues, setting, partial(TaskQueue, config))


class TaskQueue:
    """One queue, asked within `timeout` seconds."""

    def __init__(self, config: CeleryConfig, queue: TaskQueueConfig, timeout: float) -> None:
        self.name = f"queue {queue.queue}"
        self._broker = config.broker.get_secret_value()
        self._queue = queue
        self._timeout = timeout
        self._connection: Any = None

    def waiting(self) -> tuple[int, float | None]:
        try:
            if self._connection is None:
                self._connection = self._connected()
            channel = self._connection.default_channel
            return self._depth(channel), self._oldest(channel)
        except CollectError:
            raise
        except Exception as error:
            # Every broker's library has errors of its own. Their words may hold the broker's URL: the kind says enough.
            self.close()
            raise CollectError(f"the broker cannot be asked ({type(error).__name__})") from error

    def close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            # Not release(): over AMQP it waits for the broker to agree, which one that is silent never does.
            connection.collect()

    def _connected(self) -> Any:
        kombu: Any = importlib.import_module("kombu")
        named = next((each for kinds, each in _PATIENCE.items() if self._broker.startswith(kinds)), ())
        options = dict.fromkeys(named, self._timeout)
        return kombu.Connection(self._broker, connect_timeout=self._timeout, transport_options=options)

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


_PATIENCE: Mapping[tuple[str, ...], tuple[str, ...]] = {
    ("redis", "rediss"): ("socket_timeout", "socket_connect_timeout"),
    ("amqp", "amqps", "pyamqp"): ("read_timeout", "write_timeout"),
}
"""What bounds a conversation (in seconds), by how the broker's URL begins. Without it one that falls silent is waited
for even when it is back."""


def _is_redis(channel: Any) -> bool:
    return hasattr(channel, "_q_for_pri") and hasattr(channel, "client")


def _sent_at(message: bytes) -> float:
    try:
        at = time_of(json.loads(message)["headers"][HEADER])
    except (ValueError, RecursionError, LookupError, TypeError) as error:
        raise CollectError(
            f"a task does not say when it was sent ({shown(HEADER)}): call stamp_tasks() where tasks are sent"
        ) from error
    if at is None:
        raise CollectError(f"the header {shown(HEADER)} of a task is no time")
    return at
