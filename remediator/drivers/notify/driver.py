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
from remediator.errors import Refused, Transient

_LONGEST = 4000
_log = structlog.get_logger("grace.notify")


class Channel(Frozen):
    """A further file beside `notifications.log`."""

    name: str = Field(min_length=1)
    file: Path


class NotifyConfig(Frozen):
    channels: tuple[Channel, ...] = ()


class NotifyDriver:
    kind: ClassVar[str] = "notify"
    verbs: ClassVar[frozenset[Verb]] = frozenset({Verb.NOTIFY})
    Config: ClassVar[type[BaseModel]] = NotifyConfig

    def __init__(self, world: World) -> None:
        self._world = world

    async def observe(self, target: Target, verb: Verb, context: StepContext) -> State:
        books = self._books(target)
        found = await asyncio.to_thread(lambda: [name for name, book in books.items() if book.holds(context.key)])
        return {"told": found}

    def desire(
        self, target: Target, verb: Verb, args: Mapping[str, Any], observed: State, context: StepContext
    ) -> State:
        message = (
            context.message
            or str(args.get("message", ""))
            or f"{context.playbook_id}: {context.resource or target.name} wants a look"
        )
        return {"told": list(self._books(target)), "message": _plain(message)}

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
        books = self._books(target)
        fresh = False
        for name in desired["told"]:
            if name not in books:
                raise Refused(f"there is no channel {name!r} any more", reason="unknown_channel")
            try:
                fresh |= await asyncio.to_thread(books[name].append, context.key, line)
            except PermissionError as error:
                raise Refused(f"may not write channel {name}: {error.strerror}", reason="permission") from error
            except OSError as error:
                raise Transient(f"channel {name} cannot be written: {error.strerror}") from error
        if fresh:
            _log.info("notification", key=context.key, **line)

    def reached(self, verb: Verb, desired: State, observed: State) -> bool:
        return set(desired["told"]) <= set(observed["told"])

    def give_back(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[Verb, State] | None:
        return None

    def release_steps(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[State, ...]:
        return ()

    async def close(self) -> None:
        return None

    def _books(self, target: Target) -> dict[str, Book]:
        config = NotifyConfig.model_validate(target.config)
        files = {"log": self._world.data_dir / "notifications.log"}
        return {name: Book(path) for name, path in (files | {each.name: each.file for each in config.channels}).items()}


def _plain(message: str) -> str:
    """One line of bounded text: no control character of a stranger's label reaches a terminal."""
    return "".join(char if char.isprintable() else " " for char in message)[:_LONGEST].strip()
