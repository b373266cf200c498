"""Prometheus and Python put every value into the same band, edges, zeros, NaN and infinities included."""

from __future__ import annotations

import math
import random
import subprocess
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import aiohttp

from catalog.model import Catalog, MetricCatalogEntry
from rules.bands import band, base
from rules.promql import rounded
from rules.rigs import close

COUNT = 10_000
AT = 1_700_000_000


def values(metric: MetricCatalogEntry, chance: random.Random) -> Iterator[float]:
    """Special values, every edge with its neighbours, and random ones of every size, most of them near the edges."""
    yield from (0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, -5e-324, 1e15, -1e15)
    edges = [
        float(base(edge, metric.unit))
        for side in (metric.bands.high, metric.bands.low)
        if side
        for edge in (side.warning, side.critical)
    ]
    for edge in edges:
        yield from (edge, math.nextafter(edge, math.inf), math.nextafter(edge, -math.inf))
        yield from (edge + 1e-6, edge - 1e-6, edge + 4e-7, edge - 4e-7)
    low, high = min(edges), max(edges)
    while True:
        yield chance.uniform(low - (high - low), high + (high - low))
        yield round(chance.uniform(0, 2 * high), chance.randrange(7))
        yield chance.choice((1, -1)) * 10 ** chance.uniform(-9, 9)


def expected(metric: MetricCatalogEntry, value: float) -> int | None:
    recorded = close(value)
    if recorded is None:
        return None
    found = metric.bands.of(float(Decimal(repr(recorded)) / metric.unit.factor))
    return None if found is None else found.rank


async def test_ten_thousand_values_of_every_metric(
    prometheus_binary: Path,
    promtool: Path,
    free_port: Callable[[], int],
    tmp_path: Path,
    shipped: Catalog,
    running: Callable[..., Any],
) -> None:
    chance = random.Random(20260101)
    given = {
        metric.id: [value for value, _ in zip(values(metric, chance), range(COUNT), strict=False)]
        for metric in shipped.metrics.values()
    }
    lines = ["# TYPE v gauge"]
    for metric_id, each in given.items():
        lines += [f'v{{metric_id="{metric_id}",n="{n}"}} {value!r} {AT}' for n, value in enumerate(each)]
    (tmp_path / "values").write_text(
        "\n".join([*lines, "# EOF\n"]).replace(" inf ", " +Inf ").replace(" -inf ", " -Inf ")
    )
    made = subprocess.run(  # noqa: ASYNC221 - before anything else runs in this loop
        [promtool, "tsdb", "create-blocks-from", "openmetrics", tmp_path / "values", tmp_path / "data"],
        capture_output=True,
        text=True,
    )
    assert made.returncode == 0, made.stderr
    (tmp_path / "prometheus.yml").write_text("global: {}\n")
    url = f"http://127.0.0.1:{free_port()}"
    command = (
        prometheus_binary,
        f"--config.file={tmp_path}/prometheus.yml",
        f"--storage.tsdb.path={tmp_path}/data",
        "--storage.tsdb.retention.time=100y",
        f"--web.listen-address={url.removeprefix('http://')}",
    )
    async with aiohttp.ClientSession() as http, running(http, f"{url}/-/ready", *command):
        for metric in shipped.metrics.values():
            expression = band(f'({rounded(f"""v{{metric_id="{metric.id}"}}""")})', metric.bands, metric.unit)
            async with http.post(f"{url}/api/v1/query", data={"query": expression, "time": str(AT)}) as response:
                answer = await response.json()
            assert answer["status"] == "success", answer
            got = {int(each["metric"]["n"]): int(each["value"][1]) for each in answer["data"]["result"]}
            assert len(got) > COUNT - 10
            for n, value in enumerate(given[metric.id]):
                assert got.get(n) == expected(metric, value), (metric.id, value)
