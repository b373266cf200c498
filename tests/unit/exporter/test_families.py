from decimal import Decimal
from pathlib import Path

from catalog.model import Catalog
from exporter.families import HELP, accumulates, raw_series, vocabulary_families


def test_every_raw_series_of_the_shipped_catalog_has_a_help_text(catalog: Catalog) -> None:
    for metric in catalog.metrics.values():
        assert raw_series(metric) <= HELP.keys(), metric.id


def test_matchers_are_no_part_of_a_name(catalog: Catalog) -> None:
    assert raw_series(catalog.metrics["api.error_rate"]) == {"grace_http_requests_total"}


def test_counters_and_histograms_want_every_scrape(catalog: Catalog) -> None:
    hurried = {metric.category for metric in catalog.metrics.values() if accumulates(metric)}
    assert hurried == {"api", "learning"}


def test_thresholds_are_exact_in_base_units_for_metrics_that_are_on(catalog: Catalog) -> None:
    thresholds, info = vocabulary_families(catalog)
    found = {tuple(value for _, value in sample.labels): sample.value for sample in thresholds.samples}
    assert found["warning", "high", "api.latency_p95"] == 0.35
    assert found["critical", "low", "learning.sources_verified"] == float(Decimal("0.7"))
    assert len(info.samples) == len(catalog.enabled) == 17
    assert not [labels for labels in found if labels[2] == "autonomy.autonomy_ratio"]


def test_documented_series_are_the_ones_with_a_help_text() -> None:
    documented = Path("docs/architecture.md").read_text()
    assert [name for name in HELP if name not in documented] == []
