"""`report`: write the postmortem of an incident."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel

from catalog.inventory import Target
from catalog.model import Frozen, Verb
from remediator.drivers.base import State, StepContext, World
from remediator.drivers.postmortem.picture import svg
from remediator.drivers.postmortem.story import curve_of, markdown
from remediator.errors import GraceError, Permanent, Refused, Transient

_ID = re.compile(r"[A-Za-z0-9_-]{1,80}\Z")


class PostmortemConfig(Frozen):
    """Nothing to configure: the report goes to the reports' folder."""


class PostmortemDriver:
    kind: ClassVar[str] = "postmortem"
    verbs: ClassVar[frozenset[Verb]] = frozenset({Verb.REPORT})
    Config: ClassVar[type[BaseModel]] = PostmortemConfig

    def __init__(self, world: World) -> None:
        self._world = world

    async def observe(self, target: Target, verb: Verb, context: StepContext) -> State:
        path = _path(context)
        return {"report": str(path) if path.is_file() and path.stat().st_size else None}

    def desire(
        self, target: Target, verb: Verb, args: Mapping[str, Any], observed: State, context: StepContext
    ) -> State:
        return {"report": str(_path(context))}

    async def do(self, target: Target, verb: Verb, desired: State, context: StepContext) -> None:
        path = _path(context)
        if desired["report"] != str(path):
            raise Permanent(f"the report {desired['report']} is not this step's")
        if self._world.story is None:
            raise Permanent("this Grace keeps no story of its incidents")
        story = await self._world.story(context.incident_id)
        picture, note = await self._picture(context.incident_id, story)
        report = markdown(
            story, self._world.clock.now(), picture=path.with_suffix(".svg").name if picture else None, note=note
        )
        try:
            if picture:
                await asyncio.to_thread(_write, path.with_suffix(".svg"), picture)
            # Last: it is what tells that the report is there.
            await asyncio.to_thread(_write, path, report)
        except PermissionError as error:
            raise Refused(f"may not write {path}: {error.strerror}", reason="permission") from error
        except OSError as error:
            raise Transient(f"{path} cannot be written: {error.strerror}") from error

    async def _picture(self, incident_id: str, story: State) -> tuple[str, str]:
        """The picture, or why there is none: a report without it is better than no report."""
        if self._world.curve is None:
            return "", "Prometheus was not asked."
        try:
            seen = await self._world.curve(incident_id)
        except GraceError as error:
            return "", f"Prometheus could not be asked: {error}"
        found = curve_of(seen, story)
        return (svg(found), "") if found is not None else ("", "Prometheus has no measurement of that time.")

    def reached(self, verb: Verb, desired: State, observed: State) -> bool:
        return bool(observed["report"] == desired["report"])

    def give_back(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[Verb, State] | None:
        return None

    def release_steps(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[State, ...]:
        return ()

    async def close(self) -> None:
        return None


def _path(context: StepContext) -> Path:
    if not context.incident_id:
        raise Refused(
            "a postmortem is about one incident, and a run by hand has none; "
            "`grace incidents show ID` tells the story of any",
            reason="no_incident",
        )
    for name in (context.incident_id, context.run_id):
        if not _ID.match(name):
            raise Permanent(f"{name[:80]!r} is no id")
    return context.reports.resolve() / f"postmortem-{context.incident_id}-{context.run_id}.md"


def _write(path: Path, content: str) -> None:
    """All of it or nothing, also after a power cut."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(path.name + ".draft")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o640)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content.encode("utf-8", "replace"))
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
