import asyncio
import json
import math
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from catalog.event import MetricEvent
from exporter.collectors.events import NotTaken
from exporter.intake import MAX_BODY, MAX_EVENTS, Intake

TOKEN = "the-right-token"
EVENT = {
    "metric_id": "orders.backlog",
    "value": 17,
    "unit": "count",
    "resource": "shop",
    "observed_at": "2026-01-31T12:00:00Z",
    "source": "test",
}


class Shelf:
    """Takes every event but those of a resource called `refused`."""

    def __init__(self) -> None:
        self.taken: list[MetricEvent] = []

    def admits(self, token: str) -> bool:
        return token == TOKEN

    def take(self, event: MetricEvent) -> None:
        if event.resource == "refused":
            raise NotTaken("resource: not this one")
        self.taken.append(event)


class Desk:
    def __init__(self) -> None:
        self.shelf = Shelf()
        self.takers = [self.shelf]
        self.intake = Intake(lambda: self.takers)
        app = web.Application()
        self.intake.add_to(app)
        self.client = TestClient(TestServer(app))

    async def post(self, body: Any, **headers: str) -> ClientResponse:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        standard = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"}
        return await self.client.post("/api/v1/events", data=data, headers={**standard, **named})


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    found = Desk()
    async with found.client:
        yield found


async def test_one_event_or_a_list_of_them(desk: Desk) -> None:
    for body, count in ((EVENT, 1), ([EVENT, EVENT], 2), ([], 0)):
        answer = await desk.post(body)
        assert answer.status == 202
        assert await answer.json() == {"accepted": count, "refused": 0, "items": [{"status": 202}] * count}
    assert len(desk.shelf.taken) == 3


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"value": "17"}, "value: a number is expected"),
        ({"value": True}, "value: a number is expected"),
        ({"value": 10**400}, "value: it must be a valid number"),
        ({"value": math.nan}, "value: it must be a finite number"),
        ({"value": -math.inf}, "value: it must be a finite number"),
        ({"unit": "parsecs"}, "unit: it must be 'ms'"),
        ({"observed_at": "2026-01-31T12:00:00"}, "observed_at: "),
        ({"observed_at": "1700000000"}, "observed_at: write it like"),
        ({"resource": "\ud800"}, "resource: it must be a valid string"),
        ({"resource": "a\nb"}, "resource: "),
        ({"resource": "x" * 201}, "resource: "),
        ({"extra": 1}, "extra: "),
        ({"resource": "refused"}, "resource: not this one"),
    ],
)
async def test_a_bad_one_is_refused_by_itself(desk: Desk, change: dict[str, Any], reason: str) -> None:
    answer = await desk.post([EVENT, {**EVENT, **change}, EVENT])
    assert answer.status == 207
    said = await answer.json()
    assert (said["accepted"], said["refused"]) == (2, 1)
    assert [item["status"] for item in said["items"]] == [202, 422, 202]
    assert said["items"][1]["reason"].startswith(reason)
    assert len(desk.shelf.taken) == 2
    assert (await desk.post({**EVENT, **change})).status == 422


@pytest.mark.parametrize("value", [None, 1, "x", [EVENT]])
async def test_what_is_no_object_is_no_event(desk: Desk, value: Any) -> None:
    answer = await desk.post([value])
    assert answer.status == 422
    assert "an event is an object with metric_id" in (await answer.json())["items"][0]["reason"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1,]",
        b"[{} {}]",
        b"{}{}",
        b"[NaNa]",
        b"\xff\xfe",
        b"[" * 1_000_000,
        b'{"a":' * 100_000,
        b"[" + b"9" * 5000 + b"]",
    ],
    ids=lambda body: repr(body[:12]),
)
async def test_what_is_not_json_is_refused_whole(desk: Desk, body: bytes) -> None:
    answer = await desk.post(body)
    assert (answer.status, answer.content_type) == (400, "application/problem+json")
    assert (await answer.json())["detail"].startswith("the body is not JSON")
    assert not desk.shelf.taken


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": f"Basic {TOKEN}"}, 401),
        ({"Authorization": ""}, 401),
        ({"Authorization": "Bearer \udce4"}, 401),
        ({"Content_Type": "text/plain"}, 415),
        ({"Content_Type": "application/x-www-form-urlencoded"}, 415),
    ],
)
async def test_who_may_not_or_speaks_otherwise_is_refused(desk: Desk, headers: dict[str, str], status: int) -> None:
    answer = await desk.post(EVENT, **headers)
    assert answer.status == status
    assert ("WWW-Authenticate" in answer.headers) is (status == 401)
    assert desk.intake.counts.bodies_refused == 1


async def test_without_a_collector_there_is_nothing_to_tell(desk: Desk) -> None:
    desk.takers.clear()
    assert (await desk.post(EVENT)).status == 404


async def test_too_many_at_a_time(desk: Desk) -> None:
    assert (await desk.post([EVENT] * (MAX_EVENTS + 1))).status == 413
    assert not desk.shelf.taken
    assert (await desk.post([EVENT] * MAX_EVENTS)).status == 202


async def raw(desk: Desk, head: str, chunks: int, chunk: bytes) -> tuple[bytes, int]:
    """What is answered to a body that is sent until the answer comes, and how many chunks went out before."""
    reader, writer = await asyncio.open_connection(desk.client.host, desk.client.port)
    writer.write(f"POST /api/v1/events HTTP/1.1\r\nHost: here\r\nContent-Type: application/json\r\n{head}\r\n".encode())
    answer = asyncio.ensure_future(reader.readuntil(b"\r\n"))
    sent = 0
    while sent < chunks and not answer.done():
        writer.write(chunk)
        await writer.drain()
        await asyncio.sleep(0)
        sent += 1
    line = await answer
    writer.close()
    return line, sent


async def test_a_hundred_megabytes_are_refused_before_they_are_read(desk: Desk) -> None:
    head = f"Authorization: Bearer {TOKEN}\r\nContent-Length: {100 * 2**20}\r\n"
    line, sent = await raw(desk, head, 100, b" " * 2**20)
    assert b" 413 " in line
    assert sent < 20


async def test_nor_does_a_body_without_a_length_grow_beyond_it(desk: Desk) -> None:
    head = f"Authorization: Bearer {TOKEN}\r\nTransfer-Encoding: chunked\r\n"
    size = 2**20
    line, sent = await raw(desk, head, 100, f"{size:x}\r\n".encode() + b" " * size + b"\r\n")
    assert b" 413 " in line
    assert MAX_BODY // size <= sent < 60


@pytest.mark.parametrize(("token", "status"), [(TOKEN, b" 100 "), ("wrong", b" 401 ")])
async def test_who_asks_before_sending_hears_at_once(desk: Desk, token: str, status: bytes) -> None:
    head = f"Authorization: Bearer {token}\r\nContent-Length: 1000\r\nExpect: 100-continue\r\n"
    line, _ = await raw(desk, head, 0, b"")
    assert status in line


async def test_outcomes_are_counted(desk: Desk) -> None:
    await desk.post([EVENT, EVENT, {}])
    await desk.post(b"{")
    counted, requests = desk.intake.counts.families()
    assert {dict(each.labels)["outcome"]: each.value for each in counted.samples} == {"accepted": 2, "refused": 1}
    assert requests.samples[0].value == 1
