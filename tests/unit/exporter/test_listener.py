"""The web configuration is followed whatever befalls."""

import asyncio
import errno
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import ClientSession, web

from exporter import listener as listener_module
from exporter.listener import Address, Listener, bound
from tests.unit.exporter.rigs import until

USERS = "basic_auth_users: {ann: $2y$10$abcdefghijklmnopqrstuuGZoYZ6IO/7UUTfYt3sT4bJ8Cl3q4u5e}\n"


@pytest.fixture
async def listener(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Listener]:
    monkeypatch.setattr(listener_module, "LOOK_EVERY", 0.01)
    (tmp_path / "web.yml").write_text("")
    found = Listener(lambda: bound([Address("127.0.0.1", 0), Address("127.0.0.1", 0)]), tmp_path / "web.yml")
    app = web.Application()
    found.door.guard(app)
    runner = web.AppRunner(app)
    await runner.setup()
    await found.start(runner)
    following = asyncio.create_task(found.follow())
    yield found
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await runner.cleanup()
    found.close()


async def test_a_change_that_cannot_be_taken_now_is_taken_later(
    listener: Listener, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[int] = []

    def scarce(one: socket.socket) -> socket.socket:
        copied.append(one.fileno())
        if len(copied) in (1, 3):
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        return socket.fromfd(one.fileno(), one.family, one.type)

    monkeypatch.setattr(socket.socket, "dup", scarce)
    (tmp_path / "web.yml").write_text(USERS)
    await until(lambda: len(copied) == 5 and listener.reloads.successful)
    assert listener.door.config.basic_auth_users
    async with ClientSession() as http:
        for address in listener.addresses:
            async with http.get(f"http://{address}/") as answer:
                assert answer.status == 401
