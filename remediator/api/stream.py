"""What changed, as server-sent events: `event: incident|run|approval|governance`, `data: {"id": …}`."""

from __future__ import annotations

import asyncio
import json
from contextlib import suppress

from aiohttp import web

BACKLOG = 100
"""Events kept for one slow listener; the oldest are dropped, since each only says "look again"."""
HEARTBEAT = 15.0


class Stream:
    """Tells every listener. `publish` never waits."""

    def __init__(self) -> None:
        self._listeners: set[asyncio.Queue[str]] = set()
        self._closed = asyncio.Event()

    def publish(self, kind: str, name: str) -> None:
        """Something of this kind changed."""
        text = f"event: {kind}\ndata: {json.dumps({'id': name})}\n\n"
        for queue in self._listeners:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(text)

    def close(self) -> None:
        """End every listener's response."""
        self._closed.set()

    async def respond(self, request: web.Request) -> web.StreamResponse:
        """Events until the client goes away or the server stops."""
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )
        await response.prepare(request)
        queue: asyncio.Queue[str] = asyncio.Queue(BACKLOG)
        self._listeners.add(queue)
        closing = asyncio.create_task(self._closed.wait(), name="stream:closing")
        try:
            with suppress(ConnectionResetError):
                await response.write(b": listening\n\n")
                while not self._closed.is_set():
                    waiting = asyncio.create_task(queue.get(), name="stream:next")
                    done, _ = await asyncio.wait(
                        {waiting, closing}, timeout=HEARTBEAT, return_when=asyncio.FIRST_COMPLETED
                    )
                    if waiting in done:
                        await response.write(waiting.result().encode())
                        continue
                    waiting.cancel()
                    await response.write(b": still here\n\n")
        finally:
            self._listeners.discard(queue)
            closing.cancel()
        return response
