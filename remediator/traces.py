"""One OpenTelemetry trace for every incident that ended: accepted, confirmed, planned, decided, done, verified.

Told from what the ledger holds, once the incident is closed: a trace is whole although the process was restarted in
between, and while nobody asked for traces nothing of this is imported. Ids, names of the catalog and of the inventory
and words of Grace are in it; never a value, a reason that somebody wrote, or a label of an alert.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
import structlog
from sqlalchemy.engine import Connection

from remediator.ledger import incidents
from remediator.ledger.engine import Ledger, LedgerUnavailable
from remediator.ledger.schema import alerts, audit
from remediator.model import Incident, IncidentState

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

log = structlog.get_logger(__name__)

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
"""Environment variables, as every OpenTelemetry program reads them; with none of them there are no traces."""
WAITING = 1000
"""Incidents whose traces wait to be told; more are left out, and the log says so."""

Value = str | int | float | bool | Sequence[str]


@dataclass(frozen=True, slots=True)
class Part:
    """One part of an incident's life. Times are epoch seconds."""

    name: str
    began: float
    ended: float
    about: Mapping[str, Value] = field(default_factory=dict)
    failed: bool = False


class Traces:
    """Tells of incidents that `changed` was called for, when they are closed. Run `run()` until it is cancelled."""

    def __init__(self, ledger: Ledger, exporter: SpanExporter) -> None:
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
        from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

        class Ids(RandomIdGenerator):
            """An incident's own trace id: told twice, it is the same trace."""

            trace = 0

            def generate_trace_id(self) -> int:
                return self.trace

        self._ledger = ledger
        self._ids = Ids()
        service = Resource.create({"service.name": "grace-remediator", "service.version": version("grace")})
        self._provider = TracerProvider(resource=service, id_generator=self._ids, shutdown_on_exit=False)
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("remediator")
        self._changed: asyncio.Queue[str] = asyncio.Queue(WAITING)
        self._told: deque[str] = deque(maxlen=WAITING)

    def changed(self, kind: str, name: str) -> None:
        """Something of this kind and id changed; incidents are looked at."""
        if kind != "incident":
            return
        try:
            self._changed.put_nowait(name)
        except asyncio.QueueFull:
            log.warning("trace_left_out", incident_id=name)

    async def run(self) -> None:
        while True:
            await self._tell(await self._changed.get())

    async def close(self) -> None:
        """Tell what waits, and let the exporter send it."""
        while not self._changed.empty():
            await self._tell(self._changed.get_nowait())
        await asyncio.to_thread(self._provider.shutdown)

    async def _tell(self, incident_id: str) -> None:
        try:
            found = await self._ledger.read(lambda connection: _life(connection, incident_id))
        except LedgerUnavailable as error:
            log.warning("trace_left_out", incident_id=incident_id, why=str(error))
            return
        if found is not None and incident_id not in self._told:
            self._told.append(incident_id)
            self._send(incident_id, *found)

    def _send(self, incident_id: str, whole: Part, parts: Sequence[Part]) -> None:
        from opentelemetry.trace import Status, StatusCode, set_span_in_context

        self._ids.trace = trace_id(incident_id)
        root = self._tracer.start_span(whole.name, attributes=dict(whole.about), start_time=_nanoseconds(whole.began))
        inside = set_span_in_context(root)
        for part in parts:
            span = self._tracer.start_span(
                part.name, inside, attributes=dict(part.about), start_time=_nanoseconds(part.began)
            )
            if part.failed:
                span.set_status(Status(StatusCode.ERROR))
            span.end(_nanoseconds(part.ended))
        if whole.failed:
            root.set_status(Status(StatusCode.ERROR))
        root.end(_nanoseconds(whole.ended))


def open_traces(ledger: Ledger, environment: Mapping[str, str] = os.environ) -> Traces | None:
    """Traces to where the environment says; None where it says nothing, or where the packages for it are missing."""
    if not any(environment.get(name) for name in ENDPOINTS):
        return None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        return Traces(ledger, OTLPSpanExporter())
    except ImportError as error:
        log.warning("traces_off", missing=error.name, mend="install grace[otel]")
        return None


def trace_id(incident_id: str) -> int:
    """The same for the same incident, everywhere: 128 bits, never 0."""
    return int.from_bytes(hashlib.sha256(b"grace/incident/" + incident_id.encode()).digest()[:16]) | 1


def _nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


def _life(connection: Connection, incident_id: str) -> tuple[Part, list[Part]] | None:
    """An incident and the parts of its life, oldest first; None while it is open."""
    found = incidents.get(connection, incident_id)
    if found is None or found.state is not IncidentState.CLOSED:
        return None
    rows = connection.execute(
        sa.select(audit.c.at, audit.c.kind, audit.c.run_id, audit.c.entry)
        .where(audit.c.incident_id == incident_id)
        .order_by(audit.c.seq)
    )
    entries = [_Entry(row.at, row.kind, row.run_id or "", json.loads(row.entry)["body"]) for row in rows]
    received = connection.execute(
        sa.select(sa.func.min(alerts.c.received_at)).where(alerts.c.incident_id == incident_id)
    ).scalar()
    parts = list(_parts(found, entries, received))
    about: dict[str, Value] = {
        "grace.incident.id": found.id,
        "grace.category": found.category,
        "grace.band": found.opened_band.value,
        "grace.outcome": found.outcome.value if found.outcome else "",
    }
    if found.target:
        about["grace.target"] = found.target
    began = min([found.opened_at, *(part.began for part in parts)])
    ended = max([found.closed_at or found.changed_at, *(part.ended for part in parts)])
    return Part("incident", began, ended, about), parts


@dataclass(frozen=True, slots=True)
class _Entry:
    at: float
    kind: str
    run_id: str
    body: Mapping[str, Any]


def _parts(found: Incident, entries: Sequence[_Entry], received: float | None) -> Iterator[Part]:
    if received is not None and received <= found.opened_at:
        yield Part("accept", received, found.opened_at, {"grace.incident.id": found.id})
    looked = found.opened_at
    began: dict[tuple[str, str], _Entry] = {}
    for entry in entries:
        about: dict[str, Value] = {"grace.incident.id": found.id}
        if entry.run_id:
            about["grace.run.id"] = entry.run_id
        if entry.kind == "incident_moved" and entry.body["to"] == IncidentState.PLANNING.value:
            yield Part("confirm", looked, entry.at, about)
            looked = entry.at
        elif entry.kind == "decision":
            yield Part("plan", looked, entry.at, about)
            said: dict[str, Value] = {
                "grace.verdict": str(entry.body["verdict"]),
                "grace.reasons": [str(reason) for reason in entry.body["reasons"]],
            }
            yield Part("decide", entry.at, entry.at, {**about, **said})
            looked = entry.at
        elif entry.kind == "run_moved":
            yield from _moved(entry, about, began)
        elif entry.kind == "step_intended":
            began[entry.run_id, _step(entry)] = entry
        elif entry.kind in ("step_done", "step_failed"):
            intended = began.pop((entry.run_id, _step(entry)), entry)
            step: dict[str, Value] = {
                f"grace.step.{name}": intended.body[name]
                for name in ("phase", "step", "verb", "driver", "target", "attempt")
                if name in intended.body
            }
            yield Part("step", intended.at, entry.at, {**about, **step}, failed=entry.kind == "step_failed")


def _moved(entry: _Entry, about: Mapping[str, Value], began: dict[tuple[str, str], _Entry]) -> Iterator[Part]:
    """What a run waited for, when it goes on: people, or measurements."""
    waited = {"held": "approve", "verifying": "verify"}
    name = waited.get(entry.body["from"])
    if name is not None and (since := began.pop((entry.run_id, name), None)) is not None:
        yield Part(name, since.at, entry.at, {**about, "grace.run.state": str(entry.body["to"])})
    following = waited.get(entry.body["to"])
    if following is not None:
        began[entry.run_id, following] = entry


def _step(entry: _Entry) -> str:
    return f"{entry.body['phase']}:{entry.body['step']}"
