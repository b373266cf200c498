"""`POST /api/v1/events`: one `MetricEvent` or a list of them, each taken or refused by itself."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Protocol

import structlog
from aiohttp import web
from pydantic import ValidationError

from catalog.event import MetricEvent
from catalog.structure import validation_faults
from exporter.collectors.events import NotTaken
from exporter.families import Family, Sample, family, labels_of

log = structlog.get_logger(__name__)

MAX_BODY = 16 * 1024 * 1024
"""Bytes of one body."""
MAX_EVENTS = 10_000
"""Events in one body."""
MAX_BODIES = 4
"""Bodies read at a time; further senders wait."""
PATIENCE = 30.0
"""Seconds in which a body must have come."""
QUIET = 60.0
"""Seconds between two log lines about refused events."""
LONGEST_REASON = 300

_UNREADABLE = "the body is not JSON: one event, or a list of them"
# NaN and Infinity, which many languages write although JSON has none, are read: then only their own event is refused.
_DECODER = json.JSONDecoder()


class Taker(Protocol):
    """What keeps events: `admits` knows its token, `take` raises NotTaken."""

    def admits(self, token: str) -> bool: ...

    def take(self, event: MetricEvent) -> None: ...


class Problem(Exception):
    """The whole request is refused."""

    def __init__(self, status: HTTPStatus, detail: str) -> None:
        super().__init__(detail)
        self.status = status

    def answer(self) -> web.Response:
        """As `application/problem+json`. The connection ends, for the body may not have been read."""
        document = {"type": "about:blank", "title": self.status.phrase, "status": self.status, "detail": str(self)}
        headers = {"WWW-Authenticate": "Bearer"} if self.status is HTTPStatus.UNAUTHORIZED else {}
        answer = web.json_response(
            document, status=self.status, content_type="application/problem+json", headers=headers
        )
        answer.force_close()
        return answer


@dataclass(slots=True)
class Counts:
    """What became of events since the exporter began."""

    accepted: int = 0
    refused: int = 0
    bodies_refused: int = 0

    def families(self) -> list[Family]:
        """Two counters of the exporter's own."""
        outcomes = {"accepted": self.accepted, "refused": self.refused}
        return [
            family(
                "grace_exporter_events_total",
                [Sample(labels_of({"outcome": outcome}), float(count)) for outcome, count in outcomes.items()],
                help_text="Events that were told, by what became of them.",
            ),
            family(
                "grace_exporter_event_requests_refused_total",
                [Sample((), float(self.bodies_refused))],
                help_text="Requests with events that were refused as a whole.",
            ),
        ]


@dataclass(slots=True)
class Intake:
    """The handler. `takers` gives those who take events now; which one is meant, the token tells."""

    takers: Callable[[], Sequence[Taker]]
    clock: Callable[[], float] = time.monotonic
    counts: Counts = field(default_factory=Counts)
    _reading: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(MAX_BODIES))
    _logged_at: float = float("-inf")

    def add_to(self, app: web.Application) -> None:
        """Answer `POST /api/v1/events`; a sender that asks before it sends a large body is refused before."""
        app.router.add_route("POST", "/api/v1/events", self.post, expect_handler=self.expect)

    async def expect(self, request: web.Request) -> web.StreamResponse | None:
        """What `Expect: 100-continue` is answered: the refusal, or that the body may come."""
        try:
            self._admitted(request)
        except Problem as problem:
            return self._refusal(problem)
        if request.transport is not None:
            request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        return None

    async def post(self, request: web.Request) -> web.Response:
        """202 when all are taken, 207 when some are, 422 when none is; the body says of each what became of it."""
        try:
            taker = self._admitted(request)
            async with self._reading:
                body = await _body(request)
                reasons = await asyncio.to_thread(_taken, body, taker)
        except Problem as problem:
            return self._refusal(problem)
        refused = [reason for reason in reasons if reason is not None]
        self.counts.accepted += len(reasons) - len(refused)
        self.counts.refused += len(refused)
        if refused:
            self._tell(len(refused), len(reasons), refused[0])
        return web.json_response(
            {
                "accepted": len(reasons) - len(refused),
                "refused": len(refused),
                "items": [{"status": 202} if each is None else {"status": 422, "reason": each} for each in reasons],
            },
            status=_status(len(reasons), len(refused)),
        )

    def _admitted(self, request: web.Request) -> Taker:
        takers = self.takers()
        if not takers:
            raise Problem(HTTPStatus.NOT_FOUND, "no collector of kind events is configured")
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        # Every token is compared: how long it takes tells nothing.
        found = [each for each in takers if each.admits(token.strip())]
        if scheme.lower() != "bearer" or not found:
            raise Problem(HTTPStatus.UNAUTHORIZED, "the token is missing or wrong: Authorization: Bearer TOKEN")
        if request.content_type != "application/json":
            raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "Content-Type: application/json is expected")
        if (request.content_length or 0) > MAX_BODY:
            raise _too_large()
        return found[0]

    def _refusal(self, problem: Problem) -> web.Response:
        self.counts.bodies_refused += 1
        self._tell(1, 1, str(problem))
        return problem.answer()

    def _tell(self, refused: int, total: int, reason: str) -> None:
        now = self.clock()
        if now - self._logged_at >= QUIET:
            self._logged_at = now
            log.warning("events refused", refused=refused, total=total, reason=reason)


def _status(total: int, refused: int) -> int:
    if not refused:
        return HTTPStatus.ACCEPTED
    return HTTPStatus.UNPROCESSABLE_ENTITY if refused == total else HTTPStatus.MULTI_STATUS


def _too_large() -> Problem:
    return Problem(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"at most {MAX_BODY // 2**20} MiB and {MAX_EVENTS} events at a time"
    )


async def _body(request: web.Request) -> bytes:
    body = bytearray()
    try:
        async with asyncio.timeout(PATIENCE):
            async for chunk in request.content.iter_any():
                body += chunk
                if len(body) > MAX_BODY:
                    raise _too_large()
    except TimeoutError as error:
        raise Problem(HTTPStatus.REQUEST_TIMEOUT, f"the body did not come within {PATIENCE:g} s") from error
    except web.RequestPayloadError as error:
        raise Problem(HTTPStatus.BAD_REQUEST, "the body is damaged") from error
    return bytes(body)


def _taken(body: bytes, taker: Taker) -> list[str | None]:
    """For each event why it was refused, or None. Raises Problem when the body is no list of events."""
    return [_reason(value, taker) for value in values_of(body)]


def _reason(value: Any, taker: Taker) -> str | None:
    try:
        taker.take(event_of(value))
    except NotTaken as refused:
        return str(refused)[:LONGEST_REASON]
    return None


def values_of(body: bytes) -> list[Any]:
    """The JSON values of a list, or the one value. Raises Problem.

    A list is decoded one by one, so that other threads come in between, and no more than may be are ever held.
    """
    try:
        return list(_values(body.decode()))
    except (ValueError, RecursionError) as error:
        raise Problem(HTTPStatus.BAD_REQUEST, _UNREADABLE) from error


def _values(text: str) -> Iterator[Any]:
    position = _after_space(text, 0)
    if text[position : position + 1] != "[":
        value, position = _DECODER.raw_decode(text, position)
        yield value
    else:
        position = _after_space(text, position + 1)
        count = 0
        while text[position : position + 1] != "]":
            if count:
                if text[position : position + 1] != ",":
                    raise ValueError(position)
                position = _after_space(text, position + 1)
            if count == MAX_EVENTS:
                raise _too_large()
            value, position = _DECODER.raw_decode(text, position)
            yield value
            count += 1
            position = _after_space(text, position)
        position += 1
    if _after_space(text, position) != len(text):
        raise ValueError(position)


def _after_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def event_of(value: Any) -> MetricEvent:
    """The event that a JSON value says. Raises NotTaken with what is wrong, and where."""
    if not isinstance(value, dict):
        raise NotTaken("an event is an object with metric_id, value, unit, resource, observed_at and source")
    try:
        event = MetricEvent.model_validate(value)
    except ValidationError as error:
        where, said = next(validation_faults(error))
        raise NotTaken(": ".join([".".join(map(str, where)), said]) if where else said) from error
    # What JSON has types for is not read out of words.
    if isinstance(value["value"], bool) or not isinstance(value["value"], int | float):
        raise NotTaken("value: a number is expected")
    if not isinstance(value["observed_at"], str) or value["observed_at"].isdecimal():
        raise NotTaken("observed_at: write it like 2026-01-31T12:00:00Z")
    return event
