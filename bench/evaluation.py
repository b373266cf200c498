"""What the rules cost a real Prometheus: every metric of 1,000 resources, beside the same alerts written naively.

All intervals are half of the real ones, so that windows are full after two and a half minutes. An evaluation then
reads as many samples as at full scale, for scrapes are twice as frequent too: its seconds are compared with the real
interval. (At a tenth the groups get in each other's way, and their seconds are those of waiting.)
"""

from __future__ import annotations

import asyncio
import os
import re
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
from aiohttp import web

from bench.figure import Figure
from catalog.load import load_catalog
from catalog.model import (
    Age,
    Aggregate,
    Catalog,
    EventRatio,
    Events,
    Gauge,
    GaugeRatio,
    MetricCatalogEntry,
    Quantile,
    Rate,
    TimeScale,
)
from rules.bands import base
from rules.compile import compile_rules
from rules.groups import clock
from rules.output import write
from rules.prometheus import arguments, config
from rules.promql import duration, number, selector, split
from rules.rigs import example
from rules.yamltext import Value, dump
from stack.ports import any_free
from stack.tools import find_all

RESOURCES = 1000
SCALE = TimeScale(factor=0.5)
SECONDS = 230.0
"""How long Prometheus runs: an interval and a half of the slowest groups. The first third does not count."""
TOOLS = Path(__file__).parent.parent / ".grace" / "tools"
_LAST = re.compile(r'^prometheus_rule_group_last_duration_seconds\{rule_group="[^;]*;([^"]+)"\} (\S+)$', re.MULTILINE)


def figures() -> Iterator[Figure]:
    """Mean seconds of one evaluation for every group, their share of its interval, and those of the naive group."""
    catalog = load_catalog()
    took = asyncio.run(_measured(catalog))
    yield Figure("samples scraped at a time", f"{len(_exposition(catalog, time.time()).splitlines()):,}")
    ours = naive = 0.0
    for metric in catalog.enabled:
        mine, theirs = (took[f"{kind}.{metric.id}"] / metric.interval for kind in ("grace", "naive"))
        ours, naive = ours + mine, naive + theirs
        seconds = f"{took[f'grace.{metric.id}']:.3f} s of {metric.interval:g} s, {mine:.2%}"
        yield Figure(f"{metric.id}, beside {theirs:.2%} naively", seconds, "≤ 10 %")
    yield Figure("all groups together, waiting for each other included", f"{ours:.2%}")
    yield Figure("the same alerts written naively", f"{naive:.2%}")


async def _measured(catalog: Catalog) -> dict[str, float]:
    """Mean seconds of an evaluation by group, as Prometheus tells them itself."""
    binary = find_all(["prometheus"], Path(os.environ.get("GRACE_TOOLS") or TOOLS))["prometheus"].path
    told: defaultdict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory(prefix="grace-bench-") as name:
        async with _running(catalog, binary, Path(name)) as url, aiohttp.ClientSession() as http:
            begun = time.monotonic()
            while time.monotonic() - begun < SECONDS:
                await asyncio.sleep(1)
                async with http.get(f"{url}/metrics") as response:
                    text = await response.text()
                if time.monotonic() - begun > SECONDS / 3:
                    for group, seconds in _LAST.findall(text):
                        told[group].append(float(seconds))
    return {group: statistics.fmean(each) for group, each in told.items()}


@asynccontextmanager
async def _running(catalog: Catalog, binary: Path, folder: Path) -> AsyncIterator[str]:
    """Prometheus with both kinds of rules, scraping what every metric reads; its URL."""
    write(folder / "rules", compile_rules(catalog, SCALE))
    groups: list[Value] = [_naive(metric) for metric in catalog.enabled]
    (folder / "rules" / "naive.yml").write_text(dump({"groups": groups}))
    taken: set[int] = set()
    ports = [any_free(taken) for _ in range(4)]
    exporter, remediator, alertmanager, prometheus_at = (f"127.0.0.1:{port}" for port in ports)
    text = config(
        catalog,
        SCALE,
        exporter,
        remediator,
        alertmanager,
        rule_files=[f"{folder}/rules/*.yml"],
        prometheus=prometheus_at,
    )
    (folder / "prometheus.yml").write_text(text)
    app = web.Application()

    async def scraped(_request: web.Request) -> web.Response:
        return web.Response(text=_exposition(catalog, time.time()))

    app.router.add_get("/metrics", scraped)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", ports[0]).start()
    prometheus = await asyncio.create_subprocess_exec(
        binary,
        f"--config.file={folder}/prometheus.yml",
        f"--storage.tsdb.path={folder}/data",
        f"--web.listen-address={prometheus_at}",
        *arguments(SCALE),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        await _ready(f"http://{prometheus_at}")
        yield f"http://{prometheus_at}"
    finally:
        if prometheus.returncode is None:
            prometheus.terminate()
        await prometheus.wait()
        await runner.cleanup()


async def _ready(url: str) -> None:
    async with asyncio.timeout(30), aiohttp.ClientSession() as http:
        while True:
            try:
                async with http.get(f"{url}/-/ready") as response:
                    if response.status == 200:
                        return
            except aiohttp.ClientError:
                pass  # It does not listen yet.
            await asyncio.sleep(0.1)


def _exposition(catalog: Catalog, now: float) -> str:
    """What is scraped: every series that a rule reads, of every resource. A tenth of the resources are in warning."""
    lines: list[str] = []
    written: set[str] = set()
    seconds = now % 1_000_000
    for metric in catalog.enabled:
        good, bad = _values(metric)
        interval = SCALE.interval(metric.interval)
        measured = now - now % interval
        for labelled, kind in _series(metric):
            if labelled in written:
                continue
            written.add(labelled)
            name, labels = labelled.rstrip("}").split("{")
            for at in range(RESOURCES):
                value = bad if at % 10 == 0 else good
                shown = {"value": value, "whole": 1.0, "total": seconds * value, "all": seconds, "then": now - value}[
                    kind
                ]
                lines.append(f'{name}{{{labels}resource="r{at}"}} {shown:.13g}')
        if isinstance(metric.derive, Gauge | GaugeRatio | Age):
            lines += [
                f'grace_sample_timestamp_seconds{{metric_id="{metric.id}",resource="r{at}"}} {measured:.3f}'
                for at in range(RESOURCES)
            ]
    return "\n".join(lines) + "\n"


def _values(metric: MetricCatalogEntry) -> tuple[float, float]:
    edges = metric.bands.high or metric.bands.low
    assert edges is not None
    warning, critical = float(base(edges.warning, metric.unit)), float(base(edges.critical, metric.unit))
    return warning - (critical - warning) / 2, (warning + critical) / 2


def _series(metric: MetricCatalogEntry) -> Iterator[tuple[str, str]]:
    """Name and labels of each series of one resource, without the closing brace, and what it shows."""
    match metric.derive:
        case Gauge() as derive:
            yield _labelled(derive.series), "value"
            if derive.present:
                yield _labelled(derive.present), "whole"
        case GaugeRatio() as derive:
            yield _labelled(derive.numerator), "value"
            yield _labelled(derive.denominator), "whole"
        case Age() as derive:
            yield _labelled(derive.timestamp), "then"
            yield _labelled(derive.present), "whole"
        case Rate() as derive:
            yield _labelled(derive.counter), "total"
            if derive.per:
                yield _labelled(derive.per), "whole"
        case Quantile() as derive:
            for bound in (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.35, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, "+Inf"):
                yield _labelled(f"{derive.histogram}_bucket", f'le="{bound}",'), "all"
            yield _labelled(f"{derive.histogram}_count"), "all"
        case Events() as derive:
            yield _labelled(derive.counter), "all"
        case EventRatio() as derive:
            yield _labelled(derive.numerator), "total"
            yield _labelled(derive.denominator), "all"


def _labelled(series: str, more: str = "") -> str:
    name, matchers = split(series)
    return f"{name}{{{more}" + "".join(f'{key}="{value}",' for key, value in example(matchers).items())


def _naive(metric: MetricCatalogEntry) -> Value:
    """The metric's two alerts as they are written by hand: straight on the raw series, over the window."""
    window = duration(clock(metric, SCALE).window)
    sides = [(">", ">=", metric.bands.high), ("<", "<=", metric.bands.low)]
    rules: list[Value] = []
    for beyond, within, edges in sides:
        if edges is None:
            continue
        value = _by_hand(metric, window)
        warning, critical = (number(base(edge, metric.unit)) for edge in (edges.warning, edges.critical))
        back = "<=" if beyond == ">" else ">="
        alerts = (
            ("critical", f"{value} {beyond} {critical}"),
            ("warning", f"{value} {within} {warning} {back} {critical}"),
        )
        rules += [
            {"alert": f"Naive{metric.alertname}", "expr": expr, "labels": {"severity": severity}}
            for severity, expr in alerts
        ]
    return {
        "name": f"naive.{metric.id}",
        "interval": duration(SCALE.interval(metric.interval)),
        "rules": rules,
    }


def _by_hand(metric: MetricCatalogEntry, window: str) -> str:
    match metric.derive:
        case Gauge() as derive:
            function = "max" if metric.aggregate is Aggregate.MAX else "avg"
            return f"{function}_over_time({selector(derive.series)}[{window}])"
        case GaugeRatio() as derive:
            over, under = selector(derive.numerator), selector(derive.denominator)
            return f"avg_over_time({over}[{window}]) / avg_over_time({under}[{window}])"
        case Age() as derive:
            return f"time() - {selector(derive.timestamp)}"
        case Rate() as derive:
            rate = f"sum by (resource) (rate({selector(derive.counter)}[{window}]))"
            return f"{rate} / sum by (resource) ({selector(derive.per)})" if derive.per else rate
        case Quantile() as derive:
            rate = f"rate({selector(derive.histogram, suffix='_bucket')}[{window}])"
            return f"histogram_quantile({derive.quantile}, sum by (resource, le) ({rate}))"
        case Events() as derive:
            return f"sum by (resource) (increase({selector(derive.counter)}[{window}]))"
        case EventRatio() as derive:
            over, under = (
                f"sum by (resource) (increase({selector(each)}[{window}]))"
                for each in (derive.numerator, derive.denominator)
            )
            return f"{over} / {under}"
