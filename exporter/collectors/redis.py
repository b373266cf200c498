"""Collector `redis`: how many elements wait in lists, streams and sorted sets, and since when. Needs `grace[redis]`.

A key that is not there is an empty queue, as Redis has it: depth 0, no oldest element.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, SecretStr

from catalog.config import FilePath
from catalog.document import Where
from catalog.fault import shown
from catalog.model import Catalog
from exporter.collectors.base import CollectError, NamedConfig, Setting, first_line, installed, secret
from exporter.collectors.json_path import JsonPath, WrittenPath
from exporter.collectors.queues import QueueCollector, QueueConfig, queues_faults, time_of


def _url(written: SecretStr) -> SecretStr:
    like = "write it like redis://HOST:6379/0, rediss://HOST/0 or unix:///PATH?db=0"
    try:
        parts = urlsplit(written.get_secret_value())
        # Where a password holds / or # unescaped, a part of it stands in the port's place.
        is_one = parts.scheme in ("redis", "rediss", "unix") and (parts.port is None or parts.port > 0)
    except ValueError:
        # Its words quote the URL, and with it the password.
        raise ValueError(f"{like}, the password with %-escapes") from None
    if not is_one:
        raise ValueError(like)
    return written


class KeyConfig(QueueConfig):
    """One key. A list's oldest element is its last one, as LPUSH and BRPOP have it, unless `oldest_first`."""

    key: str = Field(min_length=1)
    """Of a list, a stream or a sorted set."""
    oldest: str | None = None
    """The series that takes when the oldest one was put there: a stream's id and a sorted set's score tell it, for a
    list `oldest_at` says where in the (JSON) element it stands, in epoch seconds."""
    oldest_at: WrittenPath | None = None
    """The place in a list's element, like `$.enqueued_at`."""
    oldest_first: bool = False
    """Whether a list's oldest element is its first one."""


class RedisConfig(NamedConfig):
    collector: Literal["redis"]
    """Elements that wait in keys of Redis."""
    url: Annotated[SecretStr, AfterValidator(_url)]
    """`redis://HOST:6379/0`, `rediss://…` with TLS, `unix:///PATH?db=0`."""
    password_file: FilePath | None = None
    """Holds the password, instead of the URL; read again for every connection."""
    queues: tuple[KeyConfig, ...] = Field(min_length=1)
    """The keys."""

    def faults(self, catalog: Catalog) -> Iterator[tuple[Where, str]]:
        if not installed("redis"):
            yield ("collector",), "the Redis client is not installed: pip install 'grace[redis]'"
        yield from queues_faults(self.queues, catalog)


class RedisCollector(QueueCollector):
    """One probe for each key."""

    def __init__(self, config: RedisConfig, setting: Setting) -> None:
        super().__init__(config, config.queues, setting, partial(Key, config))


class Key:
    """One key, asked within `timeout` seconds."""

    def __init__(self, config: RedisConfig, queue: KeyConfig, timeout: float) -> None:
        self.name = f"key {queue.key}"
        self._config = config
        self._queue = queue
        self._timeout = timeout
        self._client: Any = None

    def waiting(self) -> tuple[int, float | None]:
        from redis.exceptions import AuthenticationError, RedisError

        try:
            if self._client is None:
                self._client = self._connected()
            return waiting(self._client, self._queue)
        except RedisError as error:
            if isinstance(error, AuthenticationError):
                self.close()
            raise CollectError(f"Redis: {first_line(error)}") from error

    def close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _connected(self) -> Any:
        import redis

        given: dict[str, Any] = {"socket_timeout": self._timeout, "socket_connect_timeout": self._timeout}
        if self._config.password_file is not None:
            given["password"] = secret(self._config.password_file, "password")
        return redis.Redis.from_url(self._config.url.get_secret_value(), max_connections=1, **given)


def waiting(client: Any, queue: KeyConfig) -> tuple[int, float | None]:
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


_KINDS: Mapping[str, tuple[str, Callable[[Any, KeyConfig], Any]]] = {
    "list": ("llen", lambda asked, queue: asked.lindex(queue.key, 0 if queue.oldest_first else -1)),
    "stream": ("xlen", lambda asked, queue: asked.xrange(queue.key, count=1)),
    "zset": ("zcard", lambda asked, queue: asked.zrange(queue.key, 0, 0, withscores=True)),
}
"""By kind of key: what counts its elements, and what asks for the oldest."""


def _time_in(element: bytes, queue: KeyConfig) -> float:
    if queue.oldest_at is None:
        raise CollectError(f"{shown(queue.key)} is a list: oldest_at must say where in an element its time stands")
    try:
        found = JsonPath.parse(queue.oldest_at).find(json.loads(element))
    except (ValueError, RecursionError) as error:
        raise CollectError(f"an element of {shown(queue.key)} is no JSON") from error
    at = time_of(found[0]) if len(found) == 1 else None
    if at is None:
        raise CollectError(f"an element of {shown(queue.key)} has no time at {queue.oldest_at}")
    return at


_TIMES: Mapping[str, Callable[[Any, KeyConfig], float]] = {
    "list": _time_in,
    "stream": lambda entries, _: int(entries[0][0].split(b"-")[0]) / 1000,
    "zset": lambda members, _: float(members[0][1]),
}
