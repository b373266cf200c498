"""A broker that speaks as much AMQP 0-9-1 as it takes to connect, and then says nothing more."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

_Method = tuple[int, int]


def _frame(channel: int, method: _Method, arguments: bytes) -> bytes:
    payload = struct.pack(">HH", *method) + arguments
    return struct.pack(">BHI", 1, channel, len(payload)) + payload + b"\xce"


def _text(text: bytes) -> bytes:
    return struct.pack(">I", len(text)) + text


_START = _frame(0, (10, 10), b"\0\x09" + _text(b"") + _text(b"PLAIN") + _text(b"en_US"))
_ANSWERS: Mapping[_Method, bytes] = {
    (10, 11): _frame(0, (10, 30), struct.pack(">HIH", 0, 131072, 0)),
    (10, 40): _frame(0, (10, 41), b"\0"),
    (20, 10): _frame(1, (20, 11), _text(b"")),
}
"""To Start-Ok a Tune, to Open an Open-Ok, to a channel's Open its Open-Ok."""


_DECLARE = (50, 10)


@contextmanager
def silent_broker(heard: threading.Event | None = None) -> Iterator[int]:
    """Its port; `heard` is set when a queue is asked for, which is not answered."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=_serve, args=(listener, heard or threading.Event()), daemon=True).start()
        try:
            yield listener.getsockname()[1]
        finally:
            # Who waits in accept() is woken by this, not by closing.
            listener.shutdown(socket.SHUT_RDWR)


def _serve(listener: socket.socket, heard: threading.Event) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        threading.Thread(target=_talk, args=(connection, heard), daemon=True).start()


def _talk(connection: socket.socket, heard: threading.Event) -> None:
    with connection, connection.makefile("rb") as said:
        said.read(8)
        connection.sendall(_START)
        while head := said.read(7):
            payload = said.read(struct.unpack(">BHI", head)[2] + 1)
            method = struct.unpack(">HH", payload[:4])
            if method in _ANSWERS:
                connection.sendall(_ANSWERS[method])
            elif method == _DECLARE:
                heard.set()
