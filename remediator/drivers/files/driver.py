"""`reclaim`: delete expired files, exactly those that were listed and journaled first."""

from __future__ import annotations

import asyncio
import heapq
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, Field, field_validator

from catalog.inventory import Target
from catalog.model import Frozen, Seconds, Verb
from remediator.drivers.base import State, StepContext, World
from remediator.drivers.files.folder import Expired, delete, expired
from remediator.drivers.permission import Permission
from remediator.errors import Permanent, Refused

# Folders in which nothing is ever an expired file.
_NEVER = {Path("/"), *(Path(f"/{name}") for name in ("bin", "boot", "dev", "etc", "lib", "proc", "sbin", "sys", "usr"))}


class Folder(Frozen):
    path: Path
    pattern: str = Field(default="*", min_length=1)
    """Which names, as a shell pattern; it is matched against the name alone, never the path."""
    older_than: Seconds
    """Since the last change of its content."""
    recursive: bool = False

    @field_validator("path")
    @classmethod
    def _is_allowed(cls, path: Path) -> Path:
        if not path.is_absolute() or ".." in path.parts:
            raise ValueError("must be absolute, without ..")
        if path in _NEVER:
            raise ValueError("must not be a system folder")
        return path

    @field_validator("pattern")
    @classmethod
    def _is_a_name(cls, pattern: str) -> str:
        if "/" in pattern:
            raise ValueError("matches names, not paths: leave out the /")
        return pattern


class FilesConfig(Frozen):
    folders: tuple[Folder, ...] = Field(min_length=1)
    at_once: int = Field(default=500, ge=1, le=10_000)
    """Files that one run deletes at most, the oldest first."""


class FilesDriver:
    kind: ClassVar[str] = "files"
    verbs: ClassVar[frozenset[Verb]] = frozenset({Verb.RECLAIM})
    Config: ClassVar[type[BaseModel]] = FilesConfig

    def __init__(self, world: World) -> None:
        self._clock = world.clock

    async def observe(self, target: Target, verb: Verb, context: StepContext) -> State:
        config = FilesConfig.model_validate(target.config)
        return await asyncio.to_thread(_look, config, self._clock.now())

    async def may(self, target: Target, verb: Verb, context: StepContext) -> Permission:
        folders = FilesConfig.model_validate(target.config).folders
        closed = [str(each.path) for each in folders if not os.access(each.path, os.R_OK | os.W_OK | os.X_OK)]
        if closed:
            return Permission(False, f"may not delete in {', '.join(closed)}: read, write and search are needed")
        return Permission(True)

    def desire(
        self, target: Target, verb: Verb, args: Mapping[str, Any], observed: State, context: StepContext
    ) -> State:
        if args:
            raise Refused("reclaim takes no arguments: what may go stands in the inventory", reason="bad_args")
        if not observed["files"]:
            raise Refused(f"{target.name} holds nothing that has expired", reason="nothing_to_do")
        return {"delete": observed["files"], "bytes": sum(file["bytes"] for file in observed["files"])}

    async def do(self, target: Target, verb: Verb, desired: State, context: StepContext) -> None:
        config = FilesConfig.model_validate(target.config)
        await asyncio.to_thread(_delete, config, desired, self._clock.now())

    def reached(self, verb: Verb, desired: State, observed: State) -> bool:
        """None of the listed files is still there as an expired one; one that was written to since then stays."""
        left = {(file["folder"], file["name"], file["inode"]) for file in observed["files"]}
        return all((file["folder"], file["name"], file["inode"]) not in left for file in desired["delete"])

    def give_back(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[Verb, State] | None:
        return None

    def release_steps(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[State, ...]:
        return ()

    async def close(self) -> None:
        return None


def _look(config: FilesConfig, now: float) -> State:
    count = total = 0
    # A heap whose first is the youngest: however many there are, only the oldest `at_once` are kept.
    oldest: list[tuple[float, str, str, Expired]] = []
    for path, file in _all(config, now):
        count, total = count + 1, total + file.size
        entry = (-file.modified, path, file.name, file)
        if len(oldest) < config.at_once:
            heapq.heappush(oldest, entry)
        else:
            heapq.heappushpop(oldest, entry)
    # Inodes as text: some file systems number them beyond what JSON numbers hold.
    files = [
        {"folder": path, "name": name, "inode": str(file.inode), "bytes": file.size}
        for _, path, name, file in sorted(oldest, key=lambda entry: (-entry[0], entry[1], entry[2]))
    ]
    return {"expired": count, "bytes": total, "files": files}


def _all(config: FilesConfig, now: float) -> Iterator[tuple[str, Expired]]:
    for folder in config.folders:
        for file in expired(folder.path, folder.pattern, now - folder.older_than, folder.recursive):
            yield str(folder.path), file


def _delete(config: FilesConfig, desired: State, now: float) -> None:
    folders = {str(folder.path): folder for folder in config.folders}
    for file in desired["delete"]:
        folder = folders.get(file["folder"])
        if folder is None:
            raise Permanent(f"{file['folder']} is no folder of the inventory any more")
        delete(folder.path, file["name"], int(file["inode"]), now - folder.older_than)
