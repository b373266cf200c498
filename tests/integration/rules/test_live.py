"""The generated rules in a real Prometheus, ten times as fast: what fires, when, and for whom."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from catalog.model import Catalog, TimeScale
from rules.groups import clock

DRILL = TimeScale(drill=True)
CPU = "InfraCpuUtilization"


async def test_one_life_of_each_kind(
    serve: Callable[..., Any], exporter_of: Callable[..., Any], shipped: Catalog
) -> None:
    interval = clock(shipped.metrics["infra.cpu_utilization"], DRILL).interval
    exporter = exporter_of("infra.cpu_utilization", "grace_host_cpu_utilization_ratio", interval)
    exporter.values = {"calm": 0.3, "hot": 0.95, "warm": 0.75, "nan": 0.3, "leaving": 0.3}
    exporter.hung = {"hung": 0.99}
    async with serve(exporter) as stack:
        # Three measurements: no sooner than two intervals after the first, and well within six.
        took = await stack.until(lambda firing: (CPU, "hot", "critical") in firing, within=8 * interval)
        assert took > 2 * interval - 1.5
        await stack.until(
            lambda firing: firing == {(CPU, "hot", "critical"), (CPU, "warm", "warning")}, within=4 * interval
        )
        people = await stack.query('ALERTS{alertname="GraceMetricOutOfBand"}')
        assert {(each["metric"]["resource"], each["metric"]["severity"]) for each in people} == {
            ("hot", "critical"),
            ("warm", "warning"),
        }

        # Two critical measurements fire nothing; nor does what is not a number. One resource leaves for good.
        exporter.values["calm"] = 0.99
        del exporter.values["leaving"]
        await asyncio.sleep(1.5 * interval)
        exporter.values["calm"] = 0.3
        exporter.values["nan"] = float("nan")
        exporter.values["hot"] = 0.3
        stale = ("GraceMetricStale", "leaving", "warning")
        nan = ("GraceMetricStale", "nan", "warning")
        seen: set[tuple[str, str, str]] = set()

        def watched(firing: set[tuple[str, str, str]]) -> bool:
            seen.update(firing)
            return firing == {(CPU, "warm", "warning"), stale, nan}

        await stack.until(watched, within=16 * interval)
        assert not {name for name, resource, _ in seen if resource in ("calm", "nan") and name == CPU}

        exporter.values["leaving"] = exporter.values["nan"] = 0.3
        exporter.values["warm"] = 0.3
        await stack.until(lambda firing: not firing, within=16 * interval)

        # One critical measurement, scraped all the time because its collector hangs, stayed one.
        (counted,) = await stack.query('count_over_time(resource:grace_value:sample{resource="hung"}[5m])')
        assert counted["value"][1] == "1"
        assert await stack.query('grace_host_cpu_utilization_ratio{resource="hung"}')


async def test_a_dead_exporter_is_told_apart_from_a_stale_metric(
    serve: Callable[..., Any], exporter_of: Callable[..., Any], shipped: Catalog
) -> None:
    interval = clock(shipped.metrics["infra.cpu_utilization"], DRILL).interval
    exporter = exporter_of("infra.cpu_utilization", "grace_host_cpu_utilization_ratio", interval)
    exporter.values = {"host": 0.3}
    async with serve(exporter) as stack:
        await stack.answer('resource:grace_value:sample{resource="host"}', 10 * interval)
        # Before its first scrape it was pending; now it is in no state at all.
        await stack.answer('absent(ALERTS{alertname="GraceExporterDown"})', 10 * interval)
        exporter.up = False
        await stack.answer('ALERTS{alertname="GraceExporterDown",alertstate="firing"}', 10 * interval)
        await stack.until(lambda firing: ("GraceMetricStale", "host", "warning") in firing, within=10 * interval)
        failed = await stack.query("sum(prometheus_rule_evaluation_failures_total)")
        assert not failed or failed[0]["value"][1] == "0"
