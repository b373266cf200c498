"""What `grace up` shows: parts as they become ready, then the live status. Plain lines where there is no terminal."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from typing import Protocol

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from stack import render
from stack.child import Event, Phase
from stack.status import Status

_SIGNS = {
    Phase.WAITING: "[dim]·[/dim]",
    Phase.STARTING: "[yellow]…[/yellow]",
    Phase.READY: "[green]✔[/green]",
    Phase.RESTARTING: "[red]↻[/red]",
    Phase.STOPPING: "[yellow]…[/yellow]",
    Phase.STOPPED: "[dim]■[/dim]",
}
EVENTS_SHOWN = 5


class Display(Protocol):
    """Where a run tells people how it goes."""

    def line(self, text: str) -> None:
        """One line that stays."""
        ...

    def event(self, event: Event) -> None:
        """A child entered a phase."""
        ...

    def running(self, urls: Mapping[str, str]) -> None:
        """Everything is ready: from now on statuses come."""
        ...

    def status(self, status: Status) -> None:
        """How everything stands now."""
        ...

    def close(self) -> None:
        """Give the terminal back."""
        ...


def display_for(console: Console) -> Display:
    """A live display for a terminal, plain lines for anything else."""
    return LiveDisplay(console) if console.is_terminal else PlainDisplay(console)


class PlainDisplay:
    """A line when something changes."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._before: Status | None = None

    def line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False, soft_wrap=True)

    def event(self, event: Event) -> None:
        if event.phase in (Phase.READY, Phase.RESTARTING):
            self.line(f"{event.child}: {event.phase} {event.text}".rstrip())

    def running(self, urls: Mapping[str, str]) -> None:
        for part, url in urls.items():
            self.line(f"{part}: {url}")

    def status(self, status: Status) -> None:
        stamp = time.strftime("%H:%M:%S")
        for change in render.changes(self._before, status):
            self.line(f"{stamp} {change}")
        self._before = status

    def close(self) -> None:
        """Nothing to give back."""


class LiveDisplay:
    """A table of the parts that fills while they start, then the status, refreshed in place."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._phases: dict[str, Event] = {}
        self._news: deque[str] = deque(maxlen=EVENTS_SHOWN)
        self._urls: Mapping[str, str] | None = None
        self._status: Status | None = None
        self._live = Live(console=console, auto_refresh=False)

    def line(self, text: str) -> None:
        self._console.print(text, markup=False, highlight=False)

    def event(self, event: Event) -> None:
        self._phases[event.child] = event
        if self._urls is not None and event.phase in (Phase.RESTARTING, Phase.READY):
            self._news.append(f"{time.strftime('%H:%M:%S')} {event.child}: {event.phase} {event.text}")
        self._show()

    def running(self, urls: Mapping[str, str]) -> None:
        self._urls = urls
        for part, url in urls.items():
            self.line(f"{part:<13} {url}")
        self._show()

    def status(self, status: Status) -> None:
        self._status = status
        self._show()

    def close(self) -> None:
        self._live.stop()

    def _show(self) -> None:
        if not self._live.is_started:
            self._live.start()
        self._live.update(self._picture(), refresh=True)

    def _picture(self) -> RenderableType:
        stopping = any(event.phase in (Phase.STOPPING, Phase.STOPPED) for event in self._phases.values())
        if self._urls is None or stopping:
            return _parts(list(self._phases.values()))
        if self._status is None:
            return "reading the first measurements…"
        news = [f"[yellow]{escape(line)}[/yellow]" for line in self._news]
        below = [*news, "[dim]Ctrl-C stops everything[/dim]"]
        width, height = self._console.size
        return Group(render.table(self._status, width, height - len(below)), *below)


def _parts(events: Sequence[Event]) -> Table:
    found = Table.grid(padding=(0, 1))
    for event in events:
        found.add_row(_SIGNS[event.phase], escape(event.child), f"[dim]{event.phase} {escape(event.text)}[/dim]")
    return found
