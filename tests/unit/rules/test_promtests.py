"""What promtool tests are made of, and that names are filled in where they belong."""

from __future__ import annotations

import pytest
import yaml

from catalog.model import Catalog, TimeScale
from rules.groups import clock
from rules.lives import LIVES
from rules.places import PLACES, places
from rules.promtests import metric_tests, metric_texts
from rules.rigs import levels


@pytest.mark.parametrize("scale", [TimeScale(), TimeScale(drill=True)], ids=["full", "drill"])
def test_what_is_worked_out_once_is_the_same_for_each(shipped: Catalog, small: Catalog, scale: TimeScale) -> None:
    for metric in (*shipped.enabled, *small.enabled):
        written = {name: yaml.load(text, yaml.CSafeLoader) for name, text in metric_texts(metric, scale).items()}
        assert written == metric_tests(metric, scale), metric.id


def test_each_name_is_the_metrics_own(shipped: Catalog) -> None:
    cpu, memory = (shipped.metrics[f"infra.{name}_utilization"] for name in ("cpu", "memory"))
    memory = memory.model_copy(update={"bands": cpu.bands})
    for name, text in metric_texts(memory, TimeScale()).items():
        assert name.startswith("infra.memory_utilization")
        assert "cpu" not in text.lower()
        assert "grace:" not in text
        assert "grace_host_memory_utilization_ratio" in text


def test_every_life_is_lived_by_some_metric(small: Catalog) -> None:
    lived = {
        check["series"].split('resource="')[1].split('"')[0].split("/")[-1]
        for metric in small.enabled
        for check in metric_tests(metric, TimeScale())[f"{metric.id}.yml"]["tests"][0]["input_series"]  # type: ignore[index,call-overload,union-attr]
        if 'resource="' in check["series"]
    }
    assert lived == {*LIVES, "places"}


def test_which_measurement_counts_at_which_evaluation(shipped: Catalog) -> None:
    """Worked out by hand: what is read is the one half an interval ago, where reading now would skip it."""
    metric = shipped.metrics["infra.cpu_utilization"]
    spans = clock(metric, TimeScale())
    values = levels(metric)["high"]
    played = places(metric, spans, values["g"], values["c"])
    assert played is not None
    good, bad = values["g"], values["c"]
    assert played.samples[:12] == [good, bad, good, None, None, bad, bad, None, None, None, None, bad]
    assert played.samples[17:] == [None, None, None, None, None, None, None, bad, None]
    assert len(PLACES) == len(played.samples) == 26
    assert places(shipped.metrics["api.latency_p95"], spans, good, bad) is None
