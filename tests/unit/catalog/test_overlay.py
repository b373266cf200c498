"""A team's files, laid over the shipped catalog."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import pytest

from catalog.load import CatalogError, load_catalog
from catalog.model import Catalog

Laid = Callable[..., Catalog]


def test_one_line_turns_a_metric_on(laid: Laid) -> None:
    catalog = laid("metrics: [{id: infra.pod_ready_ratio, enabled: true}]")
    assert len(catalog.enabled) == 18
    assert list(catalog.metrics) == list(load_catalog().metrics)


def test_an_entry_changes_only_the_fields_it_names(laid: Laid) -> None:
    catalog = laid('metrics: [{id: api.latency_p95, bands: {good: "< 100", warning: "100..200", critical: "> 200"}}]')
    shipped, changed = load_catalog().metrics["api.latency_p95"], catalog.metrics["api.latency_p95"]
    assert changed.bands.high is not None
    assert changed.bands.high.warning == Decimal(100)
    assert changed.model_copy(update={"bands": shipped.bands}) == shipped


def test_later_files_win(laid: Laid) -> None:
    catalog = laid("playbooks: [{id: shift-load, risk: medium, title: A}]", "playbooks: [{id: shift-load, risk: high}]")
    assert (catalog.playbooks["shift-load"].risk.value, catalog.playbooks["shift-load"].title) == ("high", "A")


def test_a_fault_of_a_merged_entry_stands_where_its_field_was_written(write: Callable[..., Path]) -> None:
    files = [write("metrics: [{id: api.latency_p95, window: 5s}]", "one.yaml"), write("metrics: []", "two.yaml")]
    with pytest.raises(CatalogError) as raised:
        load_catalog(files)
    assert [(fault.file, fault.path) for fault in raised.value.faults] == [("one.yaml", "metrics[0].window")]


def test_an_entry_can_be_removed(laid: Laid) -> None:
    assert "api.request_rate" not in laid("remove: {metrics: [api.request_rate]}").metrics


def test_what_a_later_file_mends_is_no_fault(laid: Laid, metric_text: str) -> None:
    broken_reference = metric_text.replace("[scale-workers]", "[drain-queue]")
    mended = laid(broken_reference, "metrics: [{id: orders.backlog, warning: []}]")
    assert mended.metrics["orders.backlog"].warning.high == ()


def test_a_file_may_define_what_an_earlier_one_names(laid: Laid, metric_text: str) -> None:
    catalog = laid(
        metric_text.replace("[scale-workers]", "[drain-queue]"),
        "playbooks: [{id: drain-queue, title: T, tier: tier_2, risk: low, steps: [{verb: restart}],"
        " verified_by: metric, if_ineffective: nothing}]",
    )
    assert catalog.playbooks["drain-queue"].title == "T"


def test_bindings_of_all_files_add_up(laid: Laid) -> None:
    one = "bindings: [{matchers: 'alertname=A, env=~\"prod|stage\"', target: t, playbooks: [restart-workers]}]"
    catalog = laid(one, one.replace("=A", "=B"))
    assert [binding.matchers[0] for binding in catalog.bindings] == ['alertname="A"', 'alertname="B"']
    assert catalog.bindings[0].matches({"alertname": "A", "env": "prod"})
    assert not catalog.bindings[0].matches({"alertname": "A", "env": "dev"})


def test_the_digest_is_of_the_meaning(laid: Laid, metric_text: str) -> None:
    first = laid(metric_text)
    assert first.digest == laid(metric_text.replace("30s", "0.5m").replace('"< 10"', '"< 10.0"')).digest
    assert first.digest == laid(metric_text.replace("source: events", "source: {collector: events}")).digest
    assert first.digest != laid(metric_text.replace("10", "11")).digest
    assert first.digest != load_catalog().digest


def test_a_catalog_without_the_shipped_entries(write: Callable[..., Path], metric_text: str) -> None:
    text = metric_text.replace("scale-workers", "escalate")
    assert list(load_catalog([write(text)], shipped=None).metrics) == ["orders.backlog"]


def test_words_that_older_yaml_takes_for_booleans(laid: Laid, metric_text: str) -> None:
    catalog = laid(metric_text.replace("Orders waiting", "no").replace("unit_label: orders", "unit_label: on"))
    assert (catalog.metrics["orders.backlog"].title, catalog.metrics["orders.backlog"].unit_label) == ("no", "on")
