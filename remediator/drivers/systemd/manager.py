"""systemd's manager over D-Bus. Its failures become Grace's errors here; every call is bounded in time."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from remediator.drivers.members import ALIVE, RUNNING, STARTING, STOPPED
from remediator.errors import GraceError, Permanent, Refused, Transient

if TYPE_CHECKING:
    from dbus_fast import Variant
    from dbus_fast.aio import MessageBus

FAILED = "failed"
_SERVICE = "org.freedesktop.systemd1"
_MANAGER = ("/org/freedesktop/systemd1", f"{_SERVICE}.Manager")
_UNLIMITED = 2**64 - 1
_STATES = {"active": RUNNING, "reloading": RUNNING, "activating": STARTING, "inactive": STOPPED, "failed": FAILED}
_DENIED = ("AccessDenied", "InteractiveAuthorizationRequired", "AuthFailed")
_PASSING = ("NoReply", "Timeout", "TimedOut", "Disconnected", "ServiceUnknown", "NameHasNoOwner", "NoServer")


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit as systemd has it now."""

    name: str
    state: str
    """running, starting, stopping, stopped or failed."""
    busy: bool
    """Something that was asked for is not done yet."""
    result: str
    """Why it failed, in systemd's words; "success" where it did not."""
    pid: int
    started: float
    """When its main process began, in epoch seconds; 0 where it never did."""
    quota: float | None
    """Percent of one processor; None is without limit."""

    @property
    def alive(self) -> bool:
        return self.state in ALIVE


class Manager:
    """One conversation: `async with Manager(…) as manager`. `timeout` is in seconds, for each call."""

    def __init__(self, bus: Path, timeout: float) -> None:
        self._path = bus
        self._timeout = timeout
        self._bus: MessageBus | None = None

    async def __aenter__(self) -> Self:
        # The package is an extra: whoever has no target on systemd need not have it.
        from dbus_fast.aio import MessageBus
        from dbus_fast.errors import AuthError, DBusError

        bus = MessageBus(bus_address=f"unix:path={self._path}")
        try:
            async with asyncio.timeout(self._timeout):
                self._bus = await bus.connect()
        except TimeoutError as error:
            raise Transient(f"the bus at {self._path} did not answer within {self._timeout:g} s") from error
        except PermissionError as error:
            raise Refused(f"may not open the bus at {self._path}", reason="permission") from error
        except (OSError, EOFError) as error:
            raise Transient(f"the bus at {self._path} cannot be reached: {type(error).__name__}") from error
        except AuthError as error:
            raise Permanent(f"the bus at {self._path} does not let Grace in, or is none") from error
        except (DBusError, ValueError, KeyError, IndexError, TypeError) as error:
            raise Permanent(f"{self._path} answers as no bus would: {type(error).__name__}") from error
        finally:
            if self._bus is None:
                bus.disconnect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bus is not None:
            self._bus.disconnect()
            self._bus = None

    async def loaded(self, pattern: str) -> list[str]:
        """Names of the units in memory that match, such as `worker@*.service`."""
        (rows,) = await self._call(*_MANAGER, "ListUnitsByPatterns", "asas", [], [pattern])
        return sorted(_text(row[0]) for row in rows if row[2] == "loaded")

    async def unit(self, name: str) -> Unit:
        """How it stands. Raises Permanent where there is no such unit."""
        (path,) = await self._call(*_MANAGER, "LoadUnit", "s", name)
        general = await self._properties(_text(path), "Unit")
        if general.get("LoadState") != "loaded":
            raise Permanent(f"there is no unit {name} ({general.get('LoadState')})")
        service = await self._properties(_text(path), "Service")
        try:
            quota, began = int(service["CPUQuotaPerSecUSec"]), int(service["ExecMainStartTimestamp"])
            return Unit(
                name=name,
                state=_STATES.get(general["ActiveState"], "stopping"),
                busy=general["Job"][0] != 0,
                result=str(service["Result"]),
                pid=int(service["MainPID"]),
                started=began / 1e6,
                quota=None if quota == _UNLIMITED else quota / 1e4,
            )
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise Permanent(f"systemd describes {name} in an unknown way ({type(error).__name__})") from error

    async def start(self, name: str) -> None:
        """Ask for it; it is on its way when this returns."""
        await self._call(*_MANAGER, "StartUnit", "ss", name, "replace")

    async def stop(self, name: str) -> None:
        await self._call(*_MANAGER, "StopUnit", "ss", name, "replace")

    async def restart(self, name: str) -> None:
        await self._call(*_MANAGER, "RestartUnit", "ss", name, "replace")

    async def set_quota(self, name: str, percent: float | None) -> None:
        """Limit the unit to so many percent of one processor until the next boot; None takes the limit away."""
        from dbus_fast import Variant

        value = _UNLIMITED if percent is None else round(percent * 1e4)
        properties = [["CPUQuotaPerSecUSec", Variant("t", value)]]
        await self._call(*_MANAGER, "SetUnitProperties", "sba(sv)", name, True, properties)

    async def _properties(self, path: str, interface: str) -> dict[str, Any]:
        (found,) = await self._call(path, "org.freedesktop.DBus.Properties", "GetAll", "s", f"{_SERVICE}.{interface}")
        values: dict[str, Variant] = found
        return {name: variant.value for name, variant in values.items()}

    async def _call(self, path: str, interface: str, member: str, signature: str, *body: Any) -> Sequence[Any]:
        from dbus_fast import Message, MessageType
        from dbus_fast.errors import DBusError

        assert self._bus is not None, "used outside `async with`"
        message = Message(
            destination=_SERVICE, path=path, interface=interface, member=member, signature=signature, body=list(body)
        )
        try:
            async with asyncio.timeout(self._timeout):
                answer = await self._bus.call(message)
        except TimeoutError as error:
            raise Transient(f"systemd did not answer {member} within {self._timeout:g} s") from error
        except (OSError, EOFError) as error:
            raise Transient(f"the bus at {self._path} broke off {member}") from error
        except (DBusError, ValueError, KeyError, IndexError, TypeError) as error:
            raise Permanent(f"{self._path} answers {member} as no bus would: {type(error).__name__}") from error
        if answer is None or answer.message_type is MessageType.ERROR:
            raise _translated(member, answer)
        found: Sequence[Any] = answer.body
        return found


def _translated(member: str, answer: Any) -> GraceError:
    name = str(answer.error_name) if answer is not None else "NoReply"
    words = answer.body[0] if answer is not None and answer.body else ""
    said = f"systemd refused {member}: {' '.join(str(words).split()) or name}"
    if name.endswith(_DENIED):
        return Refused(f"{said} See the permissions in the driver's README.", reason="permission")
    return Transient(said) if name.endswith(_PASSING) else Permanent(said)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise Permanent("systemd answered something that is no text")
    return value
