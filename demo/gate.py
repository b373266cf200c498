"""A gunicorn worker for aiohttp that takes one connection at a time, as gunicorn's own sync worker does.

A worker that is busy leaves new connections to its siblings, so more workers are more capacity, one for one.
"""

from __future__ import annotations

import asyncio
import os
import socket
from typing import Any

from aiohttp import web
from aiohttp.worker import GunicornWebWorker


class _Watched(asyncio.Protocol):
    """Hands everything to aiohttp's handler of one connection, and tells when the connection is over."""

    def __init__(self, handler: Any, over: asyncio.Event) -> None:
        self._handler = handler
        self._over = over

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._handler.connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self._handler.data_received(data)

    def eof_received(self) -> bool | None:
        self._handler.eof_received()
        return None

    def pause_writing(self) -> None:
        self._handler.pause_writing()

    def resume_writing(self) -> None:
        self._handler.resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        self._handler.connection_lost(exc)
        self._over.set()


async def accept_one_at_a_time(listener: socket.socket, server: web.Server) -> None:
    """Serve connections of a listening socket one after the other, until cancelled."""
    loop = asyncio.get_running_loop()
    listener.setblocking(False)
    while True:
        connection, _ = await loop.sock_accept(listener)
        over = asyncio.Event()
        await loop.connect_accepted_socket(lambda over=over: _Watched(server(), over), connection)  # type: ignore[misc]
        await over.wait()


class OneAtATimeWorker(GunicornWebWorker):
    """aiohttp's gunicorn worker with its accepting replaced; starting, signals and stopping are aiohttp's."""

    async def _run(self) -> None:
        runner = web.AppRunner(self.wsgi, access_log=None, shutdown_timeout=self.cfg.graceful_timeout * 0.95)
        await runner.setup()
        assert runner.server is not None
        accepting = [
            asyncio.create_task(accept_one_at_a_time(listener.sock, runner.server), name="accept")
            for listener in self.sockets
        ]
        self.booted = True
        while self.alive and self.ppid == os.getppid() and not any(task.done() for task in accepting):
            self.notify()
            await asyncio.sleep(0.2)
        for task in accepting:
            task.cancel()
        await asyncio.gather(*accepting, return_exceptions=True)
        await runner.cleanup()
