import re
from decimal import Decimal
from pathlib import Path

from catalog.model import Catalog
from exporter.app import Exporter
from exporter.collectors.base import Setting
from exporter.config import ExporterConfig, Loaded
from exporter.exposition import Format
from exporter.families import HELP, accumulates, raw_series, vocabulary_families
from exporter.listener import Listener


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


def tables() -> str:
    """What `docs/architecture.md` says of the exporter's series."""
    page = Path("docs/architecture.md").read_text()
    return page[page.index("### Series of the exporter") : page.index("### Series that the rules record")]


def exposed(catalog: Catalog) -> set[str]:
    """Every series that an exporter with no collectors exposes, by its type line."""
    exporter = Exporter(lambda: Loaded(ExporterConfig(), Setting(catalog, 15.0)))
    listener = Listener(list, None)
    text = exporter.pages("/metrics", listener.reloads.families).own.tail(Format.TEXT).decode()
    return set(re.findall(r"^# TYPE (\S+)", text, re.M))


def test_every_series_is_in_the_page_that_parts_agree_on(catalog: Catalog) -> None:
    written = set(re.findall(r"`([a-z][a-z0-9]*_[a-z0-9_]+)", tables()))
    assert {"grace_exporter_build_info", "process_open_fds"} <= exposed(catalog)
    assert (HELP.keys() | exposed(catalog)) - written == set()
    # And nothing is promised there that nobody gives.
    assert written - HELP.keys() - exposed(catalog) == set()
