"""A process that somebody else starts, watches and stops."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Process:
    """One long-running program: how it starts, how one sees that it is ready, how it is asked to stop.

    It is ready once every gate that is set holds: `ready_url` answers 2xx, `ready_socket` takes connections,
    `ready_file` exists. It is started after every process named in `after` is ready, and stopped before them.
    """

    name: str
    argv: tuple[str, ...]
    cwd: Path
    env: Mapping[str, str] = field(default_factory=dict)
    """Laid over the starter's own environment."""
    ready_url: str | None = None
    ready_socket: Path | None = None
    """A unix stream socket."""
    ready_file: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    stop_timeout: float = 4.0
    """Seconds from `stop_signal` until its process group may be killed."""
    after: tuple[str, ...] = ()
