"""Calls that block, each in a thread of its own: one that hangs holds nothing else, nor keeps Grace from ending."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from exporter.collectors.base import CollectError

T = TypeVar("T")

COMPUTING = threading.Lock()
"""Held by the one thread that computes at length (never while it waits for anything): scrapes then compete with one
thread at most, however many collections end at once."""


class Blocking(Generic[T]):
    """A blocking function, awaited. While a call that was given up still hangs, no second one is begun."""

    def __init__(self, call: Callable[[], T], name: str) -> None:
        self._call = call
        self._name = name
        self._since: float | None = None

    async def __call__(self) -> T:
        """What the function returns or raises. CollectError while an earlier call still hangs."""
        if self._since is not None:
            raise CollectError(f"still waiting for an answer since {time.monotonic() - self._since:.0f} s")
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[T] = loop.create_future()
        self._since = time.monotonic()

        def run() -> None:
            value: T | None = None
            error: Exception | None = None
            try:
                value = self._call()
            except Exception as raised:  # Whatever it is, it is raised again where the call is awaited.
                error = raised
            except BaseException as raised:
                error = CollectError(f"{type(raised).__name__} ended the collection")
            self._since = None
            with contextlib.suppress(RuntimeError):  # The loop was closed meanwhile: nobody waits any more.
                loop.call_soon_threadsafe(_settle, answer, value, error)

        threading.Thread(target=run, name=f"grace-{self._name}", daemon=True).start()
        return await answer


def _settle(answer: asyncio.Future[Any], value: object, error: Exception | None) -> None:
    if answer.done():
        return
    if error is not None:
        answer.set_exception(error)
    else:
        answer.set_result(value)
