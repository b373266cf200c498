from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from catalog.event import MetricEvent
from catalog.model import Catalog
from exporter.collectors.base import CollectError, Setting
from exporter.collectors.events import FORGOTTEN_AFTER, EventsCollector, EventsConfig, NotTaken
from exporter.families import Kind, Measured, Reading

TOKEN = "a-token-of-the-shop"
ALL = ("orders.backlog", "orders.load", "orders.latency", "orders.failures", "orders.failure_ratio")


class Shop:
    """A collector with its token, and what a shop tells it."""

    def __init__(self, folder: Path, catalog: Catalog, clock: Any, most: int = 1000) -> None:
        self.clock = clock
        self.file = folder / "token"
        self.file.write_text(f"{TOKEN}\n")
        written = {"name": "orders", "collector": "events", "metric_ids": ALL, "token_file": self.file}
        config = EventsConfig.model_validate(written)
        assert not list(config.faults(catalog))
        self.collector = EventsCollector(config, Setting(catalog, 15.0, most), clock)

    def tell(
        self, metric: str, value: float, unit: str, *, ago: float = 0.0, resource: str = "shop", **more: Any
    ) -> None:
        at = datetime.fromtimestamp(self.clock() - ago, UTC)
        fields = {"metric_id": f"orders.{metric}", "value": value, "unit": unit, "resource": resource}
        self.collector.take(MetricEvent.model_validate({**fields, "observed_at": at, "source": "test", **more}))

    async def read(self) -> Reading:
        return await self.collector.probes[0].collect()


@pytest.fixture
def told(tmp_path: Path, shop: Catalog, clock: Any) -> Shop:
    return Shop(tmp_path, shop, clock)


async def test_every_kind_of_series_is_filled_in_base_units(told: Shop, values: Any) -> None:
    told.tell("backlog", 7, "count")
    told.tell("load", 35, "percent")
    told.tell("failures", 2, "per_window")
    told.tell("failures", 1, "count")
    told.tell("failure_ratio", 5, "count", series="orders_tried_total")
    found = values(await told.read())
    assert found["orders_backlog{resource=shop}"] == 7
    assert found["orders_load_ratio{resource=shop}"] == 0.35
    assert found["orders_total{resource=shop,state=failed}"] == 3
    assert found["orders_tried_total{resource=shop}"] == 5


async def test_a_histogram_has_the_bands_edges_as_bounds(told: Shop, values: Any) -> None:
    for value, unit in ((350, "ms"), (0.36, "seconds"), (9000, "ms")):
        told.tell("latency", value, unit)
    reading = await told.read()
    (family,) = reading.families
    assert (family.name, family.kind) == ("orders_duration_seconds", Kind.HISTOGRAM)
    found = values(reading)
    buckets = {key.split("le=")[1].split(",")[0]: value for key, value in found.items() if "_bucket" in key}
    assert (buckets["0.35"], buckets["0.5"], buckets["5.0"], buckets["+Inf"]) == (1, 2, 2, 3)
    assert list(buckets.values()) == sorted(buckets.values())
    assert found["orders_duration_seconds_count{resource=shop}"] == 3
    assert found["orders_duration_seconds_sum{resource=shop}"] == pytest.approx(9.71)


async def test_a_series_that_two_metrics_share_is_told_once(told: Shop, values: Any) -> None:
    told.tell("failures", 2, "count")
    told.tell("failure_ratio", 1, "count", series='orders_total{state="failed"}')
    reading = await told.read()
    assert values(reading) == {"orders_total{resource=shop,state=failed}": 3}
    assert {each.metric_id for each in reading.measured} == {"orders.failures", "orders.failure_ratio"}


async def test_a_gauge_keeps_the_newest_value_and_its_time(told: Shop, values: Any) -> None:
    told.tell("backlog", 7, "count", ago=10)
    told.tell("backlog", 3, "count", ago=20)
    reading = await told.read()
    assert values(reading) == {"orders_backlog{resource=shop}": 7}
    assert reading.times == {Measured("orders.backlog", "shop"): told.clock() - 10}


async def test_a_gauge_that_is_not_told_again_is_withdrawn(told: Shop, values: Any) -> None:
    told.tell("backlog", 7, "count")
    told.clock.now += 59.9
    assert values(await told.read())
    told.clock.now += 0.2
    reading = await told.read()
    assert (reading.families, reading.measured) == ((), frozenset())


async def test_a_counter_stays_where_silence_means_nothing_happened(told: Shop, values: Any) -> None:
    told.tell("failures", 2, "count")
    told.tell("failure_ratio", 5, "count", series="orders_tried_total")
    told.clock.now += 61
    reading = await told.read()
    assert values(reading) == {"orders_total{resource=shop,state=failed}": 2}
    assert Measured("orders.failures", "shop") in reading.measured
    assert not reading.times
    told.tell("failure_ratio", 1, "count", series="orders_tried_total")
    assert values(await told.read())["orders_tried_total{resource=shop}"] == 6
    told.clock.now += FORGOTTEN_AFTER + 1
    assert not values(await told.read())


@pytest.mark.parametrize(
    ("event", "reason"),
    [
        (("backlogg", 1, "count"), 'metric_id: "orders.backlogg" is not told by events here (did you mean'),
        (("retried", 1, "count"), "is not told by events here"),
        (("backlog", 1, "seconds"), "unit: orders_backlog is told in count, not in seconds"),
        (("failure_ratio", 1, "count"), "series: name one that orders.failure_ratio is derived from"),
        (("failures", 1, "ratio"), "is told in count or per_window, not in ratio"),
        (("failures", -1, "count"), "a counter only grows"),
    ],
)
async def test_what_does_not_fit_is_refused_with_its_reason(told: Shop, event: Any, reason: str) -> None:
    with pytest.raises(NotTaken) as refused:
        told.tell(*event)
    assert reason in str(refused.value)
    assert not (await told.read()).families


@pytest.mark.parametrize(("ago", "taken"), [(-29, True), (-31, False), (59, True), (61, False)])
async def test_too_old_and_too_new_are_refused(told: Shop, ago: float, taken: bool) -> None:
    if taken:
        told.tell("backlog", 1, "count", ago=ago)
    else:
        with pytest.raises(NotTaken, match="observed_at"):
            told.tell("backlog", 1, "count", ago=ago)
    assert bool((await told.read()).families) is taken


async def test_sums_stay_finite(told: Shop, values: Any) -> None:
    told.tell("failures", 1e308, "count")
    with pytest.raises(NotTaken, match="too large"):
        told.tell("failures", 1e308, "count")
    assert values(await told.read()) == {"orders_total{resource=shop,state=failed}": 1e308}


async def test_resources_are_capped_and_those_that_are_gone_make_room(
    tmp_path: Path, shop: Catalog, clock: Any
) -> None:
    told = Shop(tmp_path, shop, clock, most=3)
    for number in range(3):
        told.tell("backlog", number, "count", resource=f"shop {number}")
    with pytest.raises(NotTaken, match="3 resources"):
        told.tell("backlog", 1, "count", resource="one more")
    reading = await told.read()
    assert (len(reading.families[0].samples), reading.dropped) == (3, 1)
    told.clock.now += 61
    assert (await told.read()).dropped == 0
    told.tell("backlog", 1, "count", resource="one more")
    assert len((await told.read()).families[0].samples) == 1


async def test_the_token_is_known_once_read_and_forgotten_when_it_goes(told: Shop) -> None:
    assert not told.collector.admits(TOKEN)
    await told.read()
    assert told.collector.admits(TOKEN)
    assert not told.collector.admits(TOKEN + "x")
    assert not told.collector.admits("\udce4")
    told.file.write_text("another-token-of-it")
    await told.read()
    assert (told.collector.admits(TOKEN), told.collector.admits("another-token-of-it")) == (False, True)
    told.file.unlink()
    with pytest.raises(CollectError, match="No such file"):
        await told.read()
    assert not told.collector.admits("another-token-of-it")


@pytest.mark.parametrize("content", [b"", b"short", b"two words of text", b"\xff" * 32, b"x" * 5000])
async def test_what_is_no_token_is_not_one(told: Shop, content: bytes) -> None:
    told.file.write_bytes(content)
    with pytest.raises(CollectError, match="holds no token"):
        await told.read()
    assert not told.collector.admits(content.decode(errors="replace"))


@pytest.mark.parametrize(
    ("metric", "fault"),
    [
        ("orders.retried", "which of the series that match would be meant"),
        ("executor.queue_depth", "the source of executor.queue_depth is sql, not events"),
        ("orders.backlo", "unknown metric"),
    ],
)
def test_only_metrics_that_events_can_fill_are_configured(
    tmp_path: Path, shop: Catalog, metric: str, fault: str
) -> None:
    written = {"name": "orders", "collector": "events", "metric_ids": [metric], "token_file": tmp_path / "token"}
    assert fault in str(list(EventsConfig.model_validate(written).faults(shop)))
