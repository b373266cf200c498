"""HAProxy's runtime API: one command a connection, answers as text; success is mostly an empty answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from remediator.errors import Permanent, Refused, Transient

_ANSWER_LIMIT = 4 * 1024 * 1024
_RUNNING = 2
_MAINTENANCE = 0x01 | 0x02 | 0x04 | 0x20 | 0x40
_DRAINING = 0x08 | 0x10


@dataclass(frozen=True, slots=True)
class Server:
    """One server of a backend as HAProxy has it now."""

    name: str
    weight: int
    """What was asked for (0-256), not what slow start makes of it."""
    status: str
    """UP, DOWN, DRAIN or MAINT."""

    @property
    def serves(self) -> bool:
        return self.status == "UP" and self.weight > 0


class Runtime:
    """Talks to one socket. Every call is bounded by `timeout` seconds."""

    def __init__(self, socket: Path, timeout: float) -> None:
        self._socket = socket
        self._timeout = timeout

    async def servers(self, backend: str) -> Mapping[str, Server]:
        """Every server of the backend by name. Raises Permanent where there is no such backend."""
        answer = await self._ask(f"show servers state {backend}")
        lines = answer.splitlines()
        columns = next((line[1:].split() for line in lines if line.startswith("# ")), None)
        if columns is None:
            raise Permanent(f"HAProxy at {self._socket} on backend {backend!r}: {_brief(answer)}")
        try:
            rows = [
                dict(zip(columns, line.split(), strict=False))
                for line in lines
                if line.strip() and not line.startswith("#") and not line.strip().isdigit()
            ]
            return {row["srv_name"]: _server(row) for row in rows}
        except (KeyError, ValueError) as error:
            raise Permanent(
                f"HAProxy at {self._socket} answered something that is no server state: {_brief(answer)}"
            ) from error

    async def level(self) -> str:
        """What this socket allows: `user`, `operator` or `admin`."""
        return (await self._ask("show cli level")).strip()

    async def set_weight(self, backend: str, server: str, weight: int) -> None:
        """Ask for this weight (0-256). Raises what HAProxy says against it."""
        answer = (await self._ask(f"set weight {backend}/{server} {weight}")).strip()
        if not answer:
            return
        if "permission denied" in answer.lower():
            raise Refused(
                f"HAProxy's socket {self._socket} does not allow it: give it `level admin`", reason="permission"
            )
        raise Permanent(f"HAProxy refused weight {weight} for {backend}/{server}: {_brief(answer)}")

    async def _ask(self, command: str) -> str:
        try:
            async with asyncio.timeout(self._timeout):
                reader, writer = await asyncio.open_unix_connection(str(self._socket))
                try:
                    writer.write(f"{command}\n".encode())
                    await writer.drain()
                    return (await _read_all(reader)).decode("utf-8", "replace")
                finally:
                    writer.close()
        except TimeoutError as error:
            raise Transient(f"HAProxy at {self._socket} did not answer within {self._timeout:g} s") from error
        except PermissionError as error:
            raise Refused(
                f"may not open HAProxy's socket {self._socket}: run Grace in its group or set `mode` on the socket",
                reason="permission",
            ) from error
        except OSError as error:
            raise Transient(f"HAProxy at {self._socket} cannot be reached: {error.strerror or error}") from error


async def _read_all(reader: asyncio.StreamReader) -> bytes:
    parts: list[bytes] = []
    size = 0
    while part := await reader.read(65536):
        parts.append(part)
        size += len(part)
        if size > _ANSWER_LIMIT:
            raise Permanent(f"HAProxy's answer is larger than {_ANSWER_LIMIT} bytes")
    return b"".join(parts)


def _server(row: Mapping[str, str]) -> Server:
    admin = int(row["srv_admin_state"])
    if admin & _MAINTENANCE:
        status = "MAINT"
    elif admin & _DRAINING:
        status = "DRAIN"
    else:
        status = "UP" if int(row["srv_op_state"]) == _RUNNING else "DOWN"
    return Server(row["srv_name"], int(row["srv_uweight"]), status)


def _brief(answer: str) -> str:
    line = " ".join(answer.split())
    return line or "no answer"
