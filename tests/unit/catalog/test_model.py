from __future__ import annotations

import pytest
from pydantic import ValidationError

from catalog.load import load_catalog
from catalog.model import Catalog, Tier, TimeScale, Unit, parse_duration
from catalog.verbs import wrong_args


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("5m", 300), ("1h30m", 5400), ("1d", 86400), ("250ms", 0.25), (15, 15), ("0.5s", 0.5), ("0s", 0)],
)
def test_durations(text: str | int, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "5", "5 minutes", "-5s", "m", "5m30", "1e3s", -1, float("nan"), True, None, "٣s"]
)
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="duration"):
        parse_duration(text)  # type: ignore[arg-type]


def test_units_convert_within_their_base() -> None:
    assert Unit.MILLISECONDS.base is Unit.SECONDS
    assert Unit.PERCENT.base is Unit.RATIO
    assert Unit.COUNT.base is Unit.COUNT


@pytest.mark.parametrize("text", ["tier_0", "tier_5", "2", 2, None, "TIER_2"])
def test_what_is_no_tier(text: object) -> None:
    with pytest.raises(ValueError, match="tier_1"):
        Tier.parse(text)


def test_the_catalog_survives_its_own_json() -> None:
    catalog = load_catalog()
    assert Catalog.model_validate(catalog.model_dump(mode="json")) == catalog


def test_the_catalog_cannot_be_changed() -> None:
    catalog = load_catalog()
    with pytest.raises(ValidationError):
        catalog.metrics["api.error_rate"].enabled = False  # type: ignore[misc]


def test_the_drill_shrinks_intervals_and_keeps_the_samples_of_a_window() -> None:
    full, drill = load_catalog(), load_catalog().scaled(TimeScale(drill=True))
    intervals = {key: metric.interval for key, metric in drill.metrics.items()}
    assert intervals["infra.cpu_utilization"] == 3.0
    assert intervals["api.latency_p95"] == 6.0
    assert intervals["learning.sources_verified"] == 6.0
    for key, metric in drill.metrics.items():
        assert metric.window / metric.interval == full.metrics[key].window / full.metrics[key].interval


@pytest.mark.parametrize(
    ("verb", "args"),
    [
        ("scale", {}),
        ("scale", {"by": 1, "factor": 2}),
        ("scale", {"by": 1.5}),
        ("scale", {"by": True}),
        ("scale", {"factor": 0}),
        ("scale", {"factor": "2"}),
        ("shift", {"factor": 1}),
        ("throttle", {"factor": -0.5}),
        ("restart", {"by": 1}),
        ("govern", {}),
        ("govern", {"change": "strictness", "to": 1}),
        ("govern", {"change": "strictnes", "by": 1}),
        ("govern", {"change": "supervised", "to": True}),
    ],
)
def test_wrong_arguments_of_a_verb(verb: str, args: dict[str, object]) -> None:
    assert wrong_args(verb, args)


def test_a_near_miss_is_named() -> None:
    assert 'did you mean "factor"' in (wrong_args("shift", {"factr": 0.2}) or "")
