"""`python -m bench.exporter_client PORT CLIENTS SCRAPES ENCODING`: scrapes, and prints how long each took as JSON.

Cheap, so that it measures the server and not itself: a process of its own, raw sockets, each read into a buffer that
stays. Connections are kept where the server keeps them, as Prometheus keeps them.
"""

from __future__ import annotations

import gc
import json
import re
import socket
import subprocess
import sys
import threading
import time
from dataclasses import dataclass

ACCEPT = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
PAUSE = 0.005
"""Seconds between two scrapes of one client."""
MOST = 32 * 1024 * 1024
"""Bytes of one answer."""
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: *(\d+)")
_CHUNKED = re.compile(rb"(?i)\r\ntransfer-encoding: *chunked")
_ENCODED = re.compile(rb"(?i)\r\ncontent-encoding: *gzip")


@dataclass(frozen=True, slots=True)
class Scraped:
    """Milliseconds of every scrape; how the last answer was encoded, and its bytes with its head."""

    took: list[float]
    encoding: str
    size: int


def scraped(port: int, clients: int, scrapes: int, encoding: str) -> Scraped:
    """What so many scrapes took by so many clients at a time, in a process of their own."""
    command = [sys.executable, "-m", "bench.exporter_client", *map(str, (port, clients, scrapes, encoding))]
    return Scraped(**json.loads(subprocess.run(command, check=True, capture_output=True).stdout))


class Client:
    """Scrapes one address, again and again, over one connection."""

    def __init__(self, port: int, encoding: str) -> None:
        self._port = port
        head = (f"Host: 127.0.0.1:{port}", f"Accept: {ACCEPT}", f"Accept-Encoding: {encoding}")
        self._asked = "\r\n".join(("GET /metrics HTTP/1.1", *head, "", "")).encode()
        self._buffer = bytearray(MOST)
        self._view = memoryview(self._buffer)
        self._wire: socket.socket | None = None
        self.took: list[float] = []
        self.head, self.size = b"", 0

    def run(self, scrapes: int) -> None:
        """So many, with a pause after each."""
        for _ in range(scrapes):
            begun = time.perf_counter()
            self._scrape()
            self.took.append((time.perf_counter() - begun) * 1000)
            time.sleep(PAUSE)

    def _scrape(self) -> None:
        if self._wire is None:
            self._wire = socket.create_connection(("127.0.0.1", self._port))
            self._wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._wire.sendall(self._asked)
        size, end = 0, -1
        while end < 0:
            size += self._receive(size)
            end = self._buffer.find(b"\r\n\r\n", 0, size)
        self.head = bytes(self._view[: end + 2])
        if not self.head.startswith((b"HTTP/1.1 200", b"HTTP/1.0 200")):
            raise SystemExit(f"answered {self.head!r}")
        length, chunked = _LENGTH.search(self.head), _CHUNKED.search(self.head)
        kept = self.head.startswith(b"HTTP/1.1")
        if length is not None:
            while size < end + 4 + int(length[1]):
                size += self._receive(size)
        elif chunked:
            while not self._buffer.endswith(b"0\r\n\r\n", 0, size):
                size += self._receive(size)
        else:
            kept = False
            while more := self._wire.recv_into(self._view[size:]):
                size += more
        self.size = size
        if not kept:
            self._wire.close()
            self._wire = None

    def _receive(self, size: int) -> int:
        assert self._wire is not None
        more = self._wire.recv_into(self._view[size:])
        if not more:
            raise SystemExit("the answer ended early")
        return more


def main(port: int, clients: int, scrapes: int, encoding: str) -> None:
    """Scrapes, and prints what it took."""
    gc.disable()
    every = [Client(port, encoding) for _ in range(clients)]
    threads = [threading.Thread(target=each.run, args=(scrapes // clients,)) for each in every]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    last = every[0]
    found = "gzip" if _ENCODED.search(last.head) else "identity"
    print(json.dumps({"took": [took for each in every for took in each.took], "encoding": found, "size": last.size}))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
