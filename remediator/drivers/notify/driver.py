"""`notify`: tell people what happens, once per step."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import structlog
from pydantic import BaseModel, Field

from catalog.inventory import Target
from catalog.model import Frozen, Verb
from remediator.drivers.base import State, StepContext, World
from remediator.drivers.notify.book import Book
from remediator.drivers.notify.courier import Courier
from remediator.errors import GraceError, Refused, Transient

_LONGEST = 4000
_SEND_WITHIN = 20.0
_TARGETS = 8
"""Targets whose settings are remembered."""
_FILES = 64
"""Files of channels whose keys are remembered."""
_log = structlog.get_logger("grace.notify")


class Channel(Frozen):
    """A further way to people beside `notifications.log`: a file, addresses, or both."""

    name: str = Field(min_length=1)
    file: Path | None = None
    """JSON lines are appended to it."""
    url_file: Path | None = None
    """Holds Apprise URLs, one a line."""


class NotifyConfig(Frozen):
    channels: tuple[Channel, ...] = ()


class NotifyDriver:
    kind: ClassVar[str] = "notify"
    verbs: ClassVar[frozenset[Verb]] = frozenset({Verb.NOTIFY})
    Config: ClassVar[type[BaseModel]] = NotifyConfig

    def __init__(self, world: World) -> None:
        self._world = world
        self._log = Book(world.data_dir / "notifications.log")
        self._sent = Book(world.data_dir / "notifications.sent")
        self._books: dict[Path, Book] = {}
        self._read_already: list[tuple[Mapping[str, Any], Mapping[str, Channel]]] = []

    async def observe(self, target: Target, verb: Verb, context: StepContext) -> State:
        channels = self._channels(target)
        return {"told": await asyncio.to_thread(self._told, channels, context.key)}

    def _told(self, channels: Mapping[str, Channel], key: str) -> list[str]:
        """The names of those that were told already."""
        own = ["log"] if _holds(self._log, key) else []
        return own + [name for name, channel in channels.items() if self._was_told(channel, key)]

    def _was_told(self, channel: Channel, key: str) -> bool:
        return (channel.file is None or _holds(self._book(channel.file), key)) and (
            channel.url_file is None or _holds(self._sent, _sent_key(channel.name, key))
        )

    def desire(
        self, target: Target, verb: Verb, args: Mapping[str, Any], observed: State, context: StepContext
    ) -> State:
        message = (
            context.message
            or str(args.get("message", ""))
            or f"{context.playbook_id}: {context.resource or target.name} wants a look"
        )
        # Before it is shortened: half a secret is not known any more.
        return {"told": ["log", *self._channels(target)], "message": _plain(self._world.redactor().text(message))}

    async def do(self, target: Target, verb: Verb, desired: State, context: StepContext) -> None:
        now = datetime.fromtimestamp(self._world.clock.now(), UTC)
        line = {
            "time": now.isoformat(timespec="milliseconds"),
            "message": desired["message"],
            "incident_id": context.incident_id,
            "run_id": context.run_id,
            "playbook_id": context.playbook_id,
            "resource": context.resource,
        }
        channels = self._channels(target)
        if unknown := [name for name in desired["told"] if name != "log" and name not in channels]:
            raise Refused(f"there is no channel {unknown[0]!r} any more", reason="unknown_channel")
        if await self._append("log", self._log, context.key, line):
            _log.info("notification", key=context.key, **line)
        failures: list[GraceError] = []
        for name in desired["told"]:
            if name in channels:
                try:
                    await self._tell(channels[name], context.key, line)
                except GraceError as error:
                    failures.append(error)  # the others are told all the same
        if failures:
            raise next((error for error in failures if isinstance(error, Transient)), failures[0])

    async def _tell(self, channel: Channel, key: str, line: Mapping[str, Any]) -> None:
        if channel.file is not None:
            await self._append(channel.name, self._book(channel.file), key, line)
        if channel.url_file is None or await asyncio.to_thread(self._sent.holds, _sent_key(channel.name, key)):
            return
        courier = Courier(channel.name, channel.url_file)
        failure: GraceError | None = None
        for number in range(await asyncio.to_thread(len, courier)):
            known = _sent_key(f"{channel.name}#{number}", key)
            if await asyncio.to_thread(self._sent.holds, known):
                continue
            try:
                async with asyncio.timeout(_SEND_WITHIN):
                    await asyncio.to_thread(courier.send, number, str(line["message"]))
            except TimeoutError:
                failure = Transient(f"address {number + 1} of channel {channel.name} takes over {_SEND_WITHIN:g} s")
            except GraceError as error:
                failure = error
            else:
                # After it was sent: who dies in between tells twice rather than never.
                await self._append(channel.name, self._sent, known, {"time": line["time"]})
        if failure is not None:
            raise failure
        await self._append(channel.name, self._sent, _sent_key(channel.name, key), {"time": line["time"]})

    async def _append(self, name: str, book: Book, key: str, line: Mapping[str, Any]) -> bool:
        try:
            return await asyncio.to_thread(book.append, key, line)
        except PermissionError as error:
            raise Refused(f"may not write channel {name}: {error.strerror}", reason="permission") from error
        except OSError as error:
            raise Transient(f"channel {name} cannot be written: {error.strerror}") from error

    def reached(self, verb: Verb, desired: State, observed: State) -> bool:
        return set(desired["told"]) <= set(observed["told"])

    def give_back(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[Verb, State] | None:
        return None

    def release_steps(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[State, ...]:
        return ()

    async def close(self) -> None:
        return None

    def _channels(self, target: Target) -> Mapping[str, Channel]:
        """By their names. What people are told through is made anew each time, and mostly says the same."""
        for config, channels in self._read_already:
            if config == target.config:
                return channels
        channels = {each.name: each for each in NotifyConfig.model_validate(target.config).channels}
        self._read_already = [(target.config, channels), *self._read_already[: _TARGETS - 1]]
        return channels

    def _book(self, file: Path) -> Book:
        """The one of this file: it knows what it has read."""
        if file not in self._books and len(self._books) >= _FILES:
            self._books.clear()
        return self._books.setdefault(file, Book(file))


def _holds(book: Book, key: str) -> bool:
    """Whether it is written there. A file that cannot be read keeps nobody else from being told: `do` says why."""
    try:
        return book.holds(key)
    except OSError:
        return False


def _sent_key(name: str, key: str) -> str:
    return f"{name} {key}"


def _plain(message: str) -> str:
    """One line of bounded text: no control character of a stranger's label reaches a terminal."""
    return "".join(char if char.isprintable() else " " for char in message)[:_LONGEST].strip()
