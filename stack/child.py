"""What the supervisor is told to run, and what it tells about it."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Child:
    """One program to keep running. It is ready when every gate it names is open (at once where it names none)."""

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    """Laid over this process's own environment."""
    cwd: Path | None = None
    ready_url: str | None = None
    """Answers with a status below 400."""
    ready_socket: Path | None = None
    """A unix socket that takes connections."""
    ready_file: Path | None = None
    """Exists, and was written by this start."""
    after: tuple[str, ...] = ()
    """Names of the children that must be ready before this one starts, and are stopped after it."""
    stop_signal: int = signal.SIGTERM
    stop_timeout: float = 4.0
    """Seconds from the stop signal to SIGKILL for the whole tree."""
    ready_timeout: float = 30.0
    """Seconds from its start within which it must become ready."""


class Phase(StrEnum):
    WAITING = "waiting"
    STARTING = "starting"
    READY = "ready"
    RESTARTING = "restarting"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Event:
    """A child entered a phase. `text` says why, where there is something to say."""

    child: str
    phase: Phase
    text: str = ""


class StartError(Exception):
    """A child did not become ready at the first start; the message is one line that says why and where its log is."""
