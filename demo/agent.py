"""Tells a HAProxy agent check how many requests at once a shard can take: as many as it has workers.

A spare shard says besides that it is ready: the balancer keeps its server in maintenance until then.
"""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable


class CapacityAgent:
    """Answers every connection on 127.0.0.1:`port` with `maxconn:N` and closes it; HAProxy queues what is beyond N.

    With `joins` it answers `ready maxconn:N`, which takes its server out of maintenance.
    """

    def __init__(self, port: int, capacity: Callable[[], int], *, joins: bool = False) -> None:
        self._capacity = capacity
        self._greeting = "ready " if joins else ""
        self._listener = socket.create_server(("127.0.0.1", port), reuse_port=False)
        self.port: int = self._listener.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, name="capacity-agent", daemon=True)

    def start(self) -> None:
        """Serve in a thread until `close`."""
        self._thread.start()

    def close(self) -> None:
        """Give the port back; in a forked child this leaves the parent's agent alone."""
        self._listener.close()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            # HAProxy may hang up before the answer: nothing is lost, it asks again.
            with connection, contextlib.suppress(OSError):
                connection.sendall(f"{self._greeting}maxconn:{max(1, self._capacity())}\n".encode())
