"""A circus arbiter over its endpoint: JSON in, JSON out, one socket per question.

The arbiter does one changing command at a time and refuses others meanwhile ("arbiter is already running …"): those
are asked again until time is up.
"""

from __future__ import annotations

import asyncio
import json
import os
import uuid
from collections.abc import Mapping
from typing import Any

import zmq
import zmq.asyncio

from remediator.clock import Clock
from remediator.errors import Permanent, Refused, Transient

_BUSY = "already running"
_BUSY_PAUSE = 0.1


class Arbiter:
    """Talks to one arbiter. Every call is bounded by `timeout` seconds in all."""

    def __init__(self, context: zmq.asyncio.Context, endpoint: str, clock: Clock, timeout: float) -> None:
        self._context = context
        self._endpoint = endpoint
        self._clock = clock
        self._timeout = timeout

    async def pids(self, watcher: str) -> list[int]:
        """Pids of the watcher's living processes."""
        answer = await self._ask("list", name=watcher)
        pids = answer.get("pids")
        if not isinstance(pids, list) or not all(isinstance(pid, int) for pid in pids):
            raise Permanent(f"circus at {self._endpoint} answered no list of processes for {watcher!r}")
        return pids

    async def status(self, watcher: str) -> str:
        """active, stopped, starting or stopping."""
        return str((await self._ask("status", name=watcher)).get("status"))

    async def goal(self, watcher: str) -> int:
        """How many processes the watcher strives for."""
        options = (await self._ask("options", name=watcher)).get("options")
        count = options.get("numprocesses") if isinstance(options, dict) else None
        if not isinstance(count, int):
            raise Permanent(f"circus at {self._endpoint} answered no numprocesses for {watcher!r}")
        return count

    async def set_count(self, watcher: str, count: int) -> None:
        """Strive for this many; the oldest go first, the others keep their pids."""
        await self._ask("set", name=watcher, options={"numprocesses": count})

    async def start(self, watcher: str) -> None:
        await self._ask("start", name=watcher, match="simple")

    async def kill(self, watcher: str, pid: int, kill_after: float) -> None:
        """End one process with the watcher's stop signal, and by SIGKILL after so many seconds."""
        await self._ask("kill", name=watcher, pid=pid, graceful_timeout=kill_after)

    def _check_socket(self) -> None:
        """zmq waits in silence for a socket that is not there or may not be opened; so look first."""
        if not self._endpoint.startswith("ipc://"):
            return
        path = self._endpoint.removeprefix("ipc://")
        if not os.path.exists(path):
            raise Transient(f"circus is not running: there is no {path}")
        if not os.access(path, os.R_OK | os.W_OK, effective_ids=True):
            raise Refused(f"may not open circus' socket {path}: run Grace as the same user", reason="permission")

    async def _ask(self, command: str, **properties: Any) -> Mapping[str, Any]:
        self._check_socket()
        try:
            async with asyncio.timeout(self._timeout):
                while True:
                    answer = await self._exchange(command, properties)
                    if answer.get("status") != "error":
                        return answer
                    if _BUSY not in str(answer.get("reason")):
                        break
                    await self._clock.sleep(_BUSY_PAUSE)
        except TimeoutError as error:
            raise Transient(f"circus at {self._endpoint} did not answer {command!r} in {self._timeout:g} s") from error
        except zmq.ZMQError as error:
            raise Permanent(f"circus' endpoint {self._endpoint} cannot be used: {error}") from error
        raise Permanent(f"circus at {self._endpoint} refused {command!r}: {answer.get('reason')}")

    async def _exchange(self, command: str, properties: Mapping[str, Any]) -> Mapping[str, Any]:
        question = uuid.uuid4().hex
        socket = self._context.socket(zmq.DEALER)
        try:
            socket.setsockopt(zmq.LINGER, 0)
            socket.connect(self._endpoint)
            await socket.send(json.dumps({"id": question, "command": command, "properties": properties}).encode())
            while True:
                answer = _parsed(await socket.recv(), self._endpoint)
                if answer.get("id") == question:
                    return answer
        finally:
            socket.close()


def _parsed(frame: bytes, endpoint: str) -> Mapping[str, Any]:
    try:
        answer = json.loads(frame)
    except ValueError as error:
        raise Permanent(f"circus at {endpoint} answered something that is no JSON") from error
    if not isinstance(answer, dict):
        raise Permanent(f"circus at {endpoint} answered something that is no object")
    # Circus answers `id: null` to what it could not read at all.
    return answer
