"""People are reached through Apprise: real servers, real messages, and not a word about the address."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from catalog.inventory import Target
from catalog.model import Verb
from remediator.clock import SystemClock
from remediator.drivers import open_driver
from remediator.drivers.base import Driver, StepContext, World
from remediator.errors import GraceError, Permanent, Refused, Transient

SECRET = "SuperSecretPath0123456789"


class Receiver:
    """Takes what is posted, and answers as it was told to."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, Any]]] = []
        self.status = 200
        self.port = 0

    async def take(self, request: web.Request) -> web.Response:
        self.got.append((request.path, await request.json()))
        return web.Response(status=self.status, text=f"no, {request.path}")


@asynccontextmanager
async def listening(receiver: Receiver) -> AsyncIterator[Receiver]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", receiver.take)
    runner = web.AppRunner(application, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    receiver.port = runner.addresses[0][1]
    try:
        yield receiver
    finally:
        await runner.cleanup()


@contextmanager
def logged() -> Iterator[list[str]]:
    """Everything that any library logs, at any level."""
    said: list[str] = []

    class Everything(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    root, handler = logging.getLogger(), Everything()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    try:
        yield said
    finally:
        root.removeHandler(handler)
        root.setLevel(level)


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with listening(Receiver()) as one:
        yield one


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[Driver]:
    async with aiohttp.ClientSession() as http:
        yield open_driver("notify", World(SystemClock(), http, tmp_path, secrets=lambda: {"hunter2-hunter2"}))


def target(tmp_path: Path, *addresses: str, **more: Any) -> Target:
    urls = tmp_path / "urls"
    urls.write_text("# who is called\n\n" + "\n".join(addresses) + "\n")
    channel = {"name": "chat", "url_file": str(urls), **more}
    return Target(name="governance", driver="notify", config={"channels": [channel]})


def context(message: str = "api is slow", key: str = "inc_1:escalated") -> StepContext:
    return StepContext(run_id="", step=0, key=key, started_at=0.0, resource="api", message=message)


async def tell(driver: Driver, target: Target, message: str = "api is slow", key: str = "inc_1:escalated") -> bool:
    given = context(message, key)
    desired = driver.desire(target, Verb.NOTIFY, {}, await driver.observe(target, Verb.NOTIFY, given), given)
    await driver.do(target, Verb.NOTIFY, desired, given)
    return driver.reached(Verb.NOTIFY, desired, await driver.observe(target, Verb.NOTIFY, given))


async def failure(driver: Driver, target: Target, tmp_path: Path) -> GraceError:
    """What it raises; the file and the log are told all the same, and the address is nowhere."""
    with logged() as said, pytest.raises(GraceError) as caught:
        await tell(driver, target)
    everything = [str(caught.value), *said, (tmp_path / "notifications.log").read_text()]
    assert SECRET not in "".join(everything)
    assert "api is slow" in (tmp_path / "notifications.log").read_text()
    assert not driver.reached(
        Verb.NOTIFY, {"told": ["log", "chat"]}, await driver.observe(target, Verb.NOTIFY, context())
    )
    return caught.value


async def test_people_are_told_once(driver: Driver, receiver: Receiver, tmp_path: Path) -> None:
    one = target(tmp_path, f"json://127.0.0.1:{receiver.port}/{SECRET}")
    with logged() as said:
        assert await tell(driver, one)
        assert await tell(driver, one)
        assert await tell(driver, one, key="inc_2:escalated")
    assert [(path, body["title"], body["message"]) for path, body in receiver.got] == [
        (f"/{SECRET}", "Grace", "api is slow")
    ] * 2
    kept = [(tmp_path / f"notifications.{ending}").read_text() for ending in ("log", "sent")]
    assert SECRET not in "".join([*kept, *said])


@pytest.mark.parametrize(
    ("status", "kind"),
    [(500, Transient), (503, Transient), (429, Transient), (404, Permanent), (400, Permanent), (403, Refused),
     (401, Refused)],
)  # fmt: skip
async def test_what_the_service_answers(
    driver: Driver, receiver: Receiver, tmp_path: Path, status: int, kind: type[GraceError]
) -> None:
    receiver.status = status
    error = await failure(driver, target(tmp_path, f"json://u:{SECRET}@127.0.0.1:{receiver.port}/{SECRET}"), tmp_path)
    assert type(error) is kind
    assert str(status) in str(error)


async def test_nobody_listens(driver: Driver, tmp_path: Path) -> None:
    assert isinstance(await failure(driver, target(tmp_path, f"json://127.0.0.1:1/{SECRET}"), tmp_path), Transient)


async def test_one_that_never_answers(driver: Driver, tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        address = f"json://127.0.0.1:{port}/{SECRET}?rto=0.3"
        assert isinstance(await failure(driver, target(tmp_path, address), tmp_path), Transient)


@pytest.mark.parametrize("address", [f"nonsense://{SECRET}", SECRET, f"slack://{SECRET}"])
async def test_an_address_that_is_none(driver: Driver, tmp_path: Path, address: str) -> None:
    error = await failure(driver, target(tmp_path, address), tmp_path)
    assert isinstance(error, Permanent)
    assert "address 1 of channel chat" in str(error)


@pytest.mark.parametrize("content", [None, "", "# nobody\n", "\udcff"])
async def test_a_file_without_addresses(driver: Driver, tmp_path: Path, content: str | None) -> None:
    one = target(tmp_path)
    if content is None:
        (tmp_path / "urls").unlink()
    else:
        (tmp_path / "urls").write_bytes(content.encode("utf-8", "surrogateescape"))
    assert isinstance(await failure(driver, one, tmp_path), Permanent)


async def test_who_was_told_is_not_told_again_when_another_failed(
    driver: Driver, receiver: Receiver, tmp_path: Path
) -> None:
    async with listening(Receiver()) as other:
        other.status = 503
        one = target(
            tmp_path,
            f"json://127.0.0.1:{other.port}/a",
            f"json://127.0.0.1:{receiver.port}/b",
            file=str(tmp_path / "f"),
        )
        await failure(driver, one, tmp_path)
        other.status = 200
        assert await tell(driver, one)
        assert (len(other.got), len(receiver.got)) == (2, 1)
    assert len((tmp_path / "f").read_text().splitlines()) == 1


async def test_an_address_that_expires_in_the_middle(driver: Driver, receiver: Receiver, tmp_path: Path) -> None:
    """Refused; the next one in the file is taken up by the same driver."""
    receiver.status = 401
    one = target(tmp_path, f"json://127.0.0.1:{receiver.port}/{SECRET}")
    assert isinstance(await failure(driver, one, tmp_path), Refused)
    receiver.status = 200
    target(tmp_path, f"json://127.0.0.1:{receiver.port}/fresh")
    assert await tell(driver, one)
    assert [path for path, _ in receiver.got] == [f"/{SECRET}", "/fresh"]


@pytest.mark.parametrize(
    ("word", "sent"),
    [
        ("@everyone <!channel> <@U123>", "@\u200beveryone ‹!channel› ‹@\u200bU123›"),
        ("[click](http://evil/?x)", "(click)(http:\u200b//evil/?x)"),
        ("www.evil.example", "www\u200b.evil.example"),
        ("{{ 7*7 }} {value} ${HOME} %s", "{{ 7*7 }} {value} ${HOME} %s"),
        ("<script>alert(1)</script>", "‹script›alert(1)‹/script›"),
        ("two\nlines\r\nSubject: x", "two lines  Subject: x"),
        ("the password is hunter2-hunter2", "the password is •••••"),
        ("\\n \\u0041", "\\n \\u0041"),
    ],
)
async def test_a_stranger_s_words_are_plain_text(
    driver: Driver, receiver: Receiver, tmp_path: Path, word: str, sent: str
) -> None:
    await tell(driver, target(tmp_path, f"json://127.0.0.1:{receiver.port}/"), word)
    ((_, body),) = receiver.got
    assert body["message"] == sent
    assert len(json.dumps(body)) < 1000


async def test_a_message_is_bounded(driver: Driver, receiver: Receiver, tmp_path: Path) -> None:
    await tell(driver, target(tmp_path, f"json://127.0.0.1:{receiver.port}/"), "x" * 1_000_000)
    ((_, body),) = receiver.got
    assert len(body["message"]) == 2000


async def test_by_mail(driver: Driver, tmp_path: Path) -> None:
    """A mail server: the message is one part of plain text or escaped, and no header of a stranger's."""
    lines: list[str] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 here\r\n")
        body = False
        while line := (await reader.readline()).decode():
            lines.append(line.rstrip("\r\n"))
            if body:
                if line == ".\r\n":
                    body = False
                    writer.write(b"250 taken\r\n")
                continue
            body = line.upper().startswith("DATA")
            answer = b"354 go on" if body else b"221 bye" if line.upper().startswith("QUIT") else b"250 fine"
            writer.write(answer + b"\r\n")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        address = f"mailto://127.0.0.1:{port}/?to=oncall@example.org&from=grace@example.org&mode=insecure"
        assert await tell(driver, target(tmp_path, address), "slow\r\nBcc: evil@example.org <b>x</b>")
    text = "\n".join(lines)
    assert [line for line in lines if line.lower().startswith("rcpt to")] == ["rcpt TO:<oncall@example.org>"]
    assert not any(line.lower().startswith("bcc:") for line in lines)
    assert "<b>" not in text


async def test_a_channel_that_cannot_be_read_keeps_nobody_else_from_being_told(
    driver: Driver, receiver: Receiver, tmp_path: Path
) -> None:
    (tmp_path / "broken").mkdir()
    channels = [
        {"name": "broken", "file": str(tmp_path / "broken")},
        target(tmp_path, f"json://127.0.0.1:{receiver.port}/{SECRET}").config["channels"][0],
    ]
    both = Target(name="governance", driver="notify", config={"channels": channels})
    for _ in range(2):
        with pytest.raises(Transient, match="channel broken cannot be written"):
            await tell(driver, both)
    assert len(receiver.got) == 1, "told once, and not again while the other one is tried"
