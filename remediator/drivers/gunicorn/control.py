"""gunicorn's control socket: length-prefixed JSON, one connection per command.

The master stops its control server for the moment of every fork, so a command that spawns workers may lose its answer
although it was obeyed, or wait for it in vain: the worker just forked keeps the connection open. Hence the short
timeout; callers look again instead of repeating a command.
"""

from __future__ import annotations

import asyncio
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from remediator.errors import Permanent, Refused, Transient

_LARGEST = 1024 * 1024


class Control:
    """Talks to one master. Every call is bounded by `timeout` seconds."""

    def __init__(self, socket: Path, timeout: float = 1.5) -> None:
        self._socket = socket
        self._timeout = timeout

    async def stats(self) -> tuple[int, int]:
        """The master's pid and the number of workers it strives for."""
        data = await self._ask("show stats")
        return _number(data, "pid"), _number(data, "workers_target")

    async def add(self, count: int) -> None:
        """Ask for this many workers more (at least 1)."""
        await self._ask("worker add", count)

    async def remove(self, count: int) -> None:
        """Ask for this many workers fewer; the oldest go first, the last one stays."""
        await self._ask("worker remove", count)

    async def _ask(self, command: str, *args: int) -> Mapping[str, Any]:
        try:
            async with asyncio.timeout(self._timeout):
                reader, writer = await asyncio.open_unix_connection(str(self._socket))
                try:
                    body = json.dumps({"id": 1, "command": command, "args": list(args)}).encode()
                    writer.write(struct.pack(">I", len(body)) + body)
                    await writer.drain()
                    (length,) = struct.unpack(">I", await reader.readexactly(4))
                    if length > _LARGEST:
                        raise Permanent(
                            f"gunicorn's control socket {self._socket} answers {length} bytes: not gunicorn?"
                        )
                    answer = json.loads(await reader.readexactly(length))
                finally:
                    writer.close()
        except TimeoutError as error:
            raise Transient(
                f"gunicorn's control socket {self._socket} did not answer in {self._timeout:g} s"
            ) from error
        except asyncio.IncompleteReadError as error:
            raise Transient(f"gunicorn's control socket {self._socket} closed before it answered") from error
        except PermissionError as error:
            raise Refused(
                f"may not open gunicorn's control socket {self._socket}: run Grace as gunicorn's user"
                " or set `control_socket_mode`",
                reason="permission",
            ) from error
        except OSError as error:
            raise Transient(f"gunicorn's control socket {self._socket}: {error.strerror or error}") from error
        except ValueError as error:
            raise Permanent(f"gunicorn's control socket {self._socket} answered something that is no JSON") from error
        if not isinstance(answer, dict) or answer.get("status") != "ok" or not isinstance(answer.get("data"), dict):
            said = str(answer.get("error", "") if isinstance(answer, dict) else "")
            raise Permanent(
                f"gunicorn's control socket {self._socket} refused {command!r}: {said or 'no reason given'}"
            )
        data: Mapping[str, Any] = answer["data"]
        return data


def _number(data: Mapping[str, Any], key: str) -> int:
    value = data.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise Permanent(f"gunicorn's control socket answered no number for {key}")
    return value
