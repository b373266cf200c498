"""A Docker engine over its API. Its failures become Grace's errors here; every call is bounded in time."""

from __future__ import annotations

import asyncio
import errno
from collections.abc import Awaitable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar

import aiohttp

from remediator.errors import GraceError, Permanent, Refused, Transient

if TYPE_CHECKING:
    from aiodocker import Docker

T = TypeVar("T")
Info = Mapping[str, Any]

_DENIED = (401, 403)
_PASSING = (429, 502, 503, 504)


class Engine:
    """One conversation with an engine: `async with Engine(…) as engine`. `timeout` is in seconds, for each call."""

    def __init__(self, url: str, timeout: float) -> None:
        self._url = url
        self._timeout = timeout
        self._docker: Docker | None = None

    async def __aenter__(self) -> Self:
        # The package is an extra: whoever has no target on Docker need not have it.
        from aiodocker import Docker

        # "auto" would ask for the version first; every engine since 19.03 speaks this one.
        self._docker = Docker(self._url, timeout=aiohttp.ClientTimeout(total=self._timeout), api_version="v1.40")
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._docker is not None:
            await self._docker.close()
            self._docker = None

    async def labelled(self, labels: Mapping[str, str]) -> list[Info]:
        """Everything known of each container, in any state, that carries all these labels."""
        wanted = {"label": [f"{name}={value}" for name, value in labels.items()]}
        listed = await self._ask("list", self._client.containers.list(all=True, filters=wanted))
        found = await asyncio.gather(*(self.inspect(one.id) for one in listed))
        # One that went away between the two questions is gone.
        return [info for info in found if info is not None]

    async def inspect(self, name: str) -> Info | None:
        """Everything known of one container; None where there is none of this name."""
        try:
            info = await self._ask("inspect", self._client.containers.container(name).show())
        except _Absent:
            return None
        if not isinstance(info, dict):
            raise Permanent(f"the engine at {self._url} answered something that is no container")
        return info

    async def create(self, name: str, config: Mapping[str, Any]) -> str:
        """Make a container, not started yet; its id. Raises Taken where the name is another's."""
        made = await self._ask("create", self._client.containers.create(dict(config), name=name))
        return str(made.id)

    async def connect(self, network: str, container: str, endpoint: Mapping[str, Any]) -> None:
        """Join a container to one more network."""
        joined = {"Container": container, "EndpointConfig": dict(endpoint)}
        await self._ask("connect", (await self._ask("network", self._client.networks.get(network))).connect(joined))

    async def start(self, container: str) -> None:
        await self._ask("start", self._client.containers.container(container).start())

    async def stop(self, container: str, kill_after: int) -> None:
        """Ask it to end, and kill it after so many seconds."""
        patience = aiohttp.ClientTimeout(total=self._timeout + kill_after)
        await self._ask("stop", self._client.containers.container(container).stop(t=kill_after, timeout=patience))

    async def restart(self, container: str, kill_after: int) -> None:
        patience = aiohttp.ClientTimeout(total=self._timeout + kill_after)
        await self._ask("restart", self._client.containers.container(container).restart(t=kill_after, timeout=patience))

    async def pause(self, container: str) -> None:
        await self._ask("pause", self._client.containers.container(container).pause())

    async def unpause(self, container: str) -> None:
        await self._ask("unpause", self._client.containers.container(container).unpause())

    async def remove(self, container: str) -> None:
        """Remove it and its anonymous volumes; all is well where it is gone already."""
        try:
            await self._ask("remove", self._client.containers.container(container).delete(v=True))
        except (_Absent, Taken):
            return  # one that removes itself when it ends is gone or going

    async def update(self, container: str, resources: Mapping[str, int]) -> None:
        """Change the limits of a container while it runs."""
        # The library has no method for it; this is what its own methods are made of.
        await self._ask(
            "update", self._client._query_json(f"containers/{container}/update", "POST", data=dict(resources))
        )

    @property
    def _client(self) -> Docker:
        assert self._docker is not None, "used outside `async with`"
        return self._docker

    async def _ask(self, what: str, question: Awaitable[T]) -> T:
        from aiodocker.exceptions import DockerError

        try:
            return await question
        except DockerError as error:
            if isinstance(error.__context__, aiohttp.ClientConnectionError):
                raise self._unreachable(what, error.__context__) from error
            raise _translated(what, error.status, error.message) from error
        except TimeoutError as error:
            raise Transient(f"the engine at {self._url} did not answer {what!r} in time") from error
        except (aiohttp.ClientPayloadError, OSError) as error:
            raise Transient(f"the engine at {self._url} broke off {what!r}: {type(error).__name__}") from error
        except (aiohttp.ClientError, ValueError, TypeError, KeyError, AttributeError) as error:
            # The library builds on answers that are what the engine promises.
            said = f"{self._url} answered {what!r} as no Docker engine would: {type(error).__name__}"
            raise Permanent(said) from error

    def _unreachable(self, what: str, error: aiohttp.ClientConnectionError) -> GraceError:
        denied = isinstance(error, aiohttp.ClientConnectorError) and error.os_error.errno in (errno.EACCES, errno.EPERM)
        if denied:
            return Refused(f"may not open {self._url}: run Grace in the socket's group", reason="permission")
        return Transient(f"the engine at {self._url} cannot be reached for {what!r}: {type(error).__name__}")


def _translated(what: str, status: int, message: object) -> GraceError:
    said = f"the engine refused {what!r} ({status}): {' '.join(str(message).split())}"
    if status in _DENIED:
        return Refused(said, reason="permission")
    if status == 404:
        return _Absent(said)
    if status == 409:
        return Taken(said)
    return Transient(said) if status in _PASSING else Permanent(said)


class _Absent(Permanent):
    """There is no such container, image or network."""


class Taken(Permanent):
    """The name is in use, or the container is in a state that does not allow it."""
