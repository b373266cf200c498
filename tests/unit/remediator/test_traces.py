"""One trace for every incident that ended, in memory and at a receiver that speaks OTLP over HTTP."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from remediator.errors import Permanent
from remediator.traces import Traces, open_traces, trace_id
from tests.unit.remediator.simulation import Simulation, simulation

CPU = "infra.cpu_utilization"
RESOURCE = "api-1"
WHOLE = ["accept", "confirm", "plan", "decide", "step", "verify", "incident"]


async def told(sim: Simulation, exporter: SpanExporter, bands: str) -> str:
    """The id of an incident that went this way, after its trace was told."""
    traces = Traces(sim.parts.ledger, exporter)
    sim.parts.publish = traces.changed
    sim.measure(CPU, RESOURCE, "gggccc")
    await sim.alert(CPU, RESOURCE)
    await sim.go_on(CPU, RESOURCE, bands)
    await traces.close()
    return (await sim.incidents())[0].id


def kept(exporter: InMemorySpanExporter) -> list[ReadableSpan]:
    return list(exporter.get_finished_spans())


async def test_a_healed_incident_is_one_trace() -> None:
    exporter = InMemorySpanExporter()
    async with simulation() as sim:
        incident = await told(sim, exporter, "cggg")
        (run,) = await sim.executions()
    spans = kept(exporter)
    assert [span.name for span in spans] == WHOLE
    assert {span.context.trace_id for span in spans if span.context} == {trace_id(incident)}
    *parts, whole = spans
    assert whole.parent is None
    assert all(span.parent == whole.context for span in parts)
    for span in parts:
        assert whole.start_time <= span.start_time <= span.end_time <= whole.end_time
    by_name = {span.name: dict(span.attributes or {}) for span in spans}
    assert by_name["incident"]["grace.outcome"] == "healed"
    assert by_name["decide"]["grace.verdict"] == "allow"
    assert by_name["step"]["grace.run.id"] == run.id
    assert by_name["step"]["grace.step.verb"] == "shift"
    assert by_name["verify"]["grace.run.state"] == "healed"


async def test_nothing_that_strangers_wrote_is_told() -> None:
    exporter = InMemorySpanExporter()
    async with simulation() as sim:
        await told(sim, exporter, "cggg")
    told_of = {str(value) for span in kept(exporter) for value in (span.attributes or {}).values()}
    assert RESOURCE not in told_of
    assert not any("InfraCpu" in each for each in told_of)


async def test_a_step_that_failed_is_an_error() -> None:
    exporter = InMemorySpanExporter()
    async with simulation() as sim:
        sim.driver.fail["edge"] = [Permanent("no such server: token=hunter2")] * 9
        began = sim.clock.now()
        incident = await told(sim, InMemorySpanExporter(), "ggg")
        await sim.alert(CPU, RESOURCE, status="resolved", started=began)
        await sim.go_on(CPU, RESOURCE, "ggg")
        traces = Traces(sim.parts.ledger, exporter)
        traces.changed("incident", incident)
        await traces.close()
    steps = [span for span in kept(exporter) if span.name == "step"]
    assert steps[0].status.status_code is StatusCode.ERROR
    assert "hunter2" not in "".join(span.to_json() for span in kept(exporter))


async def test_an_open_incident_is_not_told_and_a_closed_one_once() -> None:
    nothing, exporter = InMemorySpanExporter(), InMemorySpanExporter()
    async with simulation() as sim:
        traces = Traces(sim.parts.ledger, nothing)
        sim.measure(CPU, RESOURCE, "gggccc")
        await sim.alert(CPU, RESOURCE)
        incident = await sim.incident()
        traces.changed("incident", incident.id)
        traces.changed("run", "no incident")
        await traces.close()
        assert kept(nothing) == []
        await sim.go_on(CPU, RESOURCE, "cggg")
        again = Traces(sim.parts.ledger, exporter)
        again.changed("incident", incident.id)
        again.changed("incident", incident.id)
        await again.close()
    assert len(kept(exporter)) == len(WHOLE)


async def test_a_receiver_over_http_is_sent_the_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    received: list[ExportTraceServiceRequest] = []

    async def take(request: web.Request) -> web.Response:
        assert request.content_type == "application/x-protobuf"
        received.append(ExportTraceServiceRequest.FromString(await request.read()))
        return web.Response(body=b"", content_type="application/x-protobuf")

    application = web.Application()
    application.router.add_post("/v1/traces", take)
    runner = web.AppRunner(application)
    await runner.setup()
    try:
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port = runner.addresses[0][1]
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{port}")
        async with simulation() as sim:
            opened = open_traces(sim.parts.ledger)
            assert opened is not None
            await opened.close()
            incident = await told(sim, OTLPSpanExporter(), "cggg")
    finally:
        await runner.cleanup()
    (request,) = received
    (resource,) = request.resource_spans
    service = {each.key: each.value.string_value for each in resource.resource.attributes}["service.name"]
    assert service == "grace-remediator"
    spans = [span for scope in resource.scope_spans for span in scope.spans]
    assert [span.name for span in spans] == WHOLE
    assert {span.trace_id for span in spans} == {trace_id(incident).to_bytes(16)}


async def test_there_are_none_unless_they_are_asked_for() -> None:
    async with simulation() as sim:
        assert open_traces(sim.parts.ledger, {}) is None


def test_nothing_is_imported_while_they_are_off() -> None:
    code = "import sys, remediator.app; print([name for name in sys.modules if name.startswith('opentelemetry')])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=Path(__file__).parents[3], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
