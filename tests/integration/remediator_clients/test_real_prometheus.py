"""The client against a real Prometheus that holds known samples."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from catalog.model import Band
from remediator.errors import Permanent
from remediator.prometheus import Measurement, Prometheus, quoted, selector
from tests.integration.backfilled import backfilled

START = float(int(time.time()) // 3600 * 3600 - 7200)
RESOURCES = ["api-1", 'quote"} or vector(1) #', "back\\slash", "line\nbreak", "ünï 😀", "`tick` ' {a}"]
VALUES = [(0.5, 0), (0.8, 1), (0.9, 2), (0.7, 1), (0.2, 0)]


def openmetrics() -> str:
    lines = []
    for name, which in (("resource:grace_value:sample", 0), ("resource:grace_band:sample", 1)):
        lines.append(f"# TYPE {name} gauge")
        for resource in RESOURCES:
            label = resource.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
            lines += [
                f'{name}{{metric_id="infra.cpu_utilization",resource="{label}"}} {pair[which]} {START + 30 * index}'
                for index, pair in enumerate(VALUES)
            ]
    return "\n".join(lines)


@pytest.fixture
async def prometheus(
    prometheus_binary: Path, promtool: Path, free_port: Callable[[], int], tmp_path: Path
) -> AsyncIterator[Prometheus]:
    async with backfilled(
        openmetrics(), prometheus=prometheus_binary, promtool=promtool, port=free_port(), folder=tmp_path
    ) as client:
        yield client


async def test_measurements_on_the_edges_and_of_hostile_resources(prometheus: Prometheus) -> None:
    every = tuple(
        Measurement(START + 30 * index, value, (Band.GOOD, Band.WARNING, Band.CRITICAL)[band])
        for index, (value, band) in enumerate(VALUES)
    )
    for resource in RESOURCES:
        read = prometheus.measurements
        assert await read("infra.cpu_utilization", resource, START, START + 120) == every
        assert await read("infra.cpu_utilization", resource, START - 500, START + 900) == every
        assert await read("infra.cpu_utilization", resource, START + 30, START + 60) == every[1:3]
        assert await read("infra.cpu_utilization", resource, START + 30.001, START + 59.999) == ()
        assert await read("infra.cpu_utilization", resource, START + 60, START + 60) == every[2:3]
    assert await prometheus.measurements("infra.cpu_utilization", "nobody", START, START + 120) == ()


async def test_instant_range_and_errors(prometheus: Prometheus) -> None:
    query = selector("resource:grace_value:sample", resource="api-1")
    (sample,) = await prometheus.instant(query, at=START + 61)
    assert (sample.value, sample.at) == (0.9, START + 61)
    (series,) = await prometheus.range(query, START, START + 60, 30)
    assert series.points == ((START, 0.5), (START + 30, 0.8), (START + 60, 0.9))
    with pytest.raises(Permanent, match="parse error"):
        await prometheus.instant("up{")
    with pytest.raises(Permanent, match="422"):
        await prometheus.instant(f"{selector('resource:grace_value:sample')} + on () vector(1)", at=START)


async def test_literals_mean_to_prometheus_what_they_mean_to_us(prometheus: Prometheus) -> None:
    """A string literal as a query gives the string back."""

    @settings(max_examples=200, deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.text(), max_size=200))
    def collect(values: list[str]) -> None:
        texts.extend(values)

    texts = [*RESOURCES, "\x00\x01\x7f\x80\u2028\uffff", ""]
    await asyncio.to_thread(collect)
    for text in dict.fromkeys(texts[:1500]):
        document = await prometheus._peer.ask("POST", "/api/v1/query", form={"query": quoted(text)})
        assert document["data"]["result"][1] == text, json.dumps(text)
