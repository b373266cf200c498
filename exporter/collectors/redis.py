"""Collector `redis`: how many elements wait in lists, streams and sorted sets, and since when. Needs `grace[redis]`.

A key that is not there is an empty queue, as Redis has it: depth 0, no oldest element.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from catalog.config import FilePath
from catalog.document import Where
from catalog.fault import did_you_mean, shown
from catalog.model import Catalog, Frozen
from exporter.blocking import Blocking
from exporter.collectors.base import CollectError, CollectorConfig, Probe, Setting, installed, unknown_metrics
from exporter.collectors.json_path import JsonPath
from exporter.families import Measured, Reading, gauge, labels_of, raw_series


def _url(written: SecretStr) -> SecretStr:
    if urlsplit(written.get_secret_value()).scheme not in ("redis", "rediss", "unix"):
        raise ValueError("write it like redis://HOST:6379/0, rediss://HOST/0 or unix:///PATH?db=0")
    return written


def _path(text: str) -> str:
    JsonPath.parse(text)
    return text


class QueueConfig(Frozen):
    """One key. A list's oldest element is its last one, as LPUSH and BRPOP have it, unless `oldest_first`."""

    metric_ids: tuple[str, ...] = Field(min_length=1)
    key: str = Field(min_length=1)
    resource: str = Field(min_length=1)
    depth: str = "grace_executor_queue_depth"
    """The series that takes the number of elements."""
    oldest: str | None = None
    """The series that takes when the oldest one was put there: a stream's id and a sorted set's score tell it, for a
    list `oldest_at` says where in the (JSON) element it stands, in epoch seconds."""
    oldest_at: Annotated[str, AfterValidator(_path)] | None = None
    oldest_first: bool = False


class RedisConfig(CollectorConfig):
    collector: Literal["redis"]
    url: Annotated[SecretStr, AfterValidator(_url)]
    """`redis://HOST:6379/0`, `rediss://…` with TLS, `unix:///PATH?db=0`."""
    password_file: FilePath | None = None
    """Holds the password, instead of the URL; read again for every connection."""
    queues: tuple[QueueConfig, ...] = Field(min_length=1)

    def faults(self, catalog: Catalog) -> Iterator[tuple[Where, str]]:
        if not installed("redis"):
            yield ("collector",), "the Redis client is not installed: pip install 'grace[redis]'"
        yield from unknown_metrics(self.metric_ids, catalog, ("metric_ids",))
        for index, queue in enumerate(self.queues):
            yield from queue_faults(queue.metric_ids, (queue.depth, queue.oldest), catalog, ("queues", index))


def queue_faults(
    metric_ids: Sequence[str], series: Sequence[str | None], catalog: Catalog, where: Where
) -> Iterator[tuple[Where, str]]:
    """What does not fit the catalog, of a queue that fills these series."""
    yield from unknown_metrics(metric_ids, catalog, (*where, "metric_ids"))
    metrics = [catalog.metrics[each] for each in metric_ids if each in catalog.metrics]
    known = sorted(frozenset[str]().union(*map(raw_series, metrics)))
    for name in filter(None, series):
        if metrics and name not in known:
            hint = did_you_mean(name, known) or f"; they are derived from {', '.join(known)}"
            yield where, f"no metric of this queue is derived from {shown(name)}{hint}"


class RedisCollector:
    """One probe for each key, each with a connection that is kept."""

    def __init__(self, config: RedisConfig, setting: Setting) -> None:
        self._readers: list[QueueReader] = []
        probes = []
        for queue in config.queues:
            on = setting.wanted(queue.metric_ids)
            if on:
                pace = setting.pace(on, config)
                self._readers.append(reader := QueueReader(config, queue, on, pace.deadline))
                probes.append(Probe(f"key {queue.key}", pace, Blocking(reader, config.name)))
        self.probes: Sequence[Probe] = tuple(probes)

    async def close(self) -> None:
        for each in self._readers:
            each.close()


class QueueReader:
    """Reads one key; blocks for `timeout` seconds at most in each conversation."""

    def __init__(self, config: RedisConfig, queue: QueueConfig, metric_ids: Sequence[str], timeout: float) -> None:
        self._config = config
        self._queue = queue
        self._metric_ids = metric_ids
        self._timeout = timeout
        self._client: Any = None

    def __call__(self) -> Reading:
        """Depth and age. Raises CollectError; its text holds no secret."""
        from redis.exceptions import AuthenticationError, RedisError

        try:
            if self._client is None:
                self._client = self._connected()
            depth, oldest = waiting(self._client, self._queue)
        except RedisError as error:
            if isinstance(error, AuthenticationError):
                self.close()
            raise CollectError(f"Redis: {_first_line(error)}") from error
        labels = labels_of({"resource": self._queue.resource})
        found = [gauge(self._queue.depth, labels, float(depth))]
        if self._queue.oldest is not None:
            found.append(gauge(self._queue.oldest, labels, oldest))
        measured = frozenset(Measured(each, dict(labels)["resource"]) for each in self._metric_ids)
        return Reading(tuple(each for each in found if each is not None), measured)

    def close(self) -> None:
        """Close the connection."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self) -> Any:
        import redis

        given: dict[str, Any] = {"socket_timeout": self._timeout, "socket_connect_timeout": self._timeout}
        if self._config.password_file is not None:
            try:
                given["password"] = self._config.password_file.read_text().strip()
            except (OSError, UnicodeDecodeError) as error:
                said = f"the password file {self._config.password_file} cannot be read ({type(error).__name__})"
                raise CollectError(said) from error
        return redis.Redis.from_url(self._config.url.get_secret_value(), max_connections=1, **given)


def waiting(client: Any, queue: QueueConfig) -> tuple[int, float | None]:
    """How many elements wait, and when the oldest was put there (epoch seconds; None where that is not asked for)."""
    kind = client.type(queue.key).decode()
    if kind == "none":
        return 0, None
    if kind not in _KINDS:
        raise CollectError(f"{shown(queue.key)} is a {kind}: a list, a stream or a sorted set is expected")
    asked = client.pipeline(transaction=True)
    count, first = _KINDS[kind]
    getattr(asked, count)(queue.key)
    if queue.oldest is not None:
        first(asked, queue)
    depth, *rest = asked.execute()
    return int(depth), _TIMES[kind](rest[0], queue) if rest and rest[0] else None


_KINDS: Mapping[str, tuple[str, Callable[[Any, QueueConfig], Any]]] = {
    "list": ("llen", lambda asked, queue: asked.lindex(queue.key, 0 if queue.oldest_first else -1)),
    "stream": ("xlen", lambda asked, queue: asked.xrange(queue.key, count=1)),
    "zset": ("zcard", lambda asked, queue: asked.zrange(queue.key, 0, 0, withscores=True)),
}
"""By kind of key: what counts its elements, and what asks for the oldest."""


def _time_in(element: bytes, queue: QueueConfig) -> float:
    if queue.oldest_at is None:
        raise CollectError(f"{shown(queue.key)} is a list: oldest_at must say where in an element its time stands")
    try:
        found = JsonPath.parse(queue.oldest_at).find(json.loads(element))
    except (ValueError, RecursionError) as error:
        raise CollectError(f"an element of {shown(queue.key)} is no JSON") from error
    if len(found) != 1 or isinstance(found[0], bool) or not isinstance(found[0], int | float):
        raise CollectError(f"an element of {shown(queue.key)} has no time at {queue.oldest_at}")
    return float(found[0])


_TIMES: Mapping[str, Callable[[Any, QueueConfig], float]] = {
    "list": _time_in,
    "stream": lambda entries, _: int(entries[0][0].split(b"-")[0]) / 1000,
    "zset": lambda members, _: float(members[0][1]),
}


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
