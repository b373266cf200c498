# ruff: noqa: E501 - tables read best with one row a line
from __future__ import annotations

from collections.abc import Callable

import pytest

from catalog.diff import changes
from catalog.load import load_catalog
from catalog.model import Catalog

Laid = Callable[..., Catalog]


def latency(*fields: str) -> str:
    return f"metrics: [{{id: api.latency_p95, {', '.join(fields)}}}]"


@pytest.mark.parametrize(
    ("overlay", "said"),
    [
        (latency('bands: {good: "< 300", warning: "300..500", critical: "> 500"}'), ["api.latency_p95: warning above 300 ms, was 350: fires earlier"]),
        (latency('bands: {good: "< 350", warning: "350..600", critical: "> 600"}'), ["api.latency_p95: critical above 600 ms, was 500: fires later"]),
        (latency('bands: {good: "<= 350", warning: "350..500", critical: "> 500"}'), ["api.latency_p95: a value of exactly 350 ms is good now"]),
        (latency("unit: seconds", "unit_label: s"), ["api.latency_p95: the unit is another: < 350 / 350..500 / > 500 s, was < 350 / 350..500 / > 500 ms", "api.latency_p95: unit label: s, was ms"]),
        (latency("interval: 30s"), ["api.latency_p95: measured every 30s, was 1m"]),
        (latency("enabled: false"), ["api.latency_p95: turned off: it is no longer measured, and its alert no longer fires"]),
        (latency("warning: []"), ["api.latency_p95: on warning: nothing; was scale-api-shard"]),
        (latency("critical: [escalate]"), ["api.latency_p95: on critical: escalate; was scale-api-shard, shift-load"]),
        (latency("source: http"), ["api.latency_p95: source: http, was multiprocess"]),
        (latency("derive: {kind: gauge, series: x}"), ["api.latency_p95: its value is the reading x, was the 95 % quantile of the histogram grace_http_request_duration_seconds over one interval"]),
        ('metrics: [{id: learning.sources_verified, bands: {good: "> 80", warning: "70..80", critical: "< 70"}}]', ["learning.sources_verified: warning below 80 %, was 85: fires later"]),
        ("metrics: [{id: autonomy.autonomy_ratio, critical: {high: [escalate], low: [escalate]}}]", ["autonomy.autonomy_ratio: on critical (high side): escalate; was tighten-guardrails", "autonomy.autonomy_ratio: on critical (low side): escalate; was tell:reviewers"]),
        ("remove: {metrics: [api.request_rate]}", ["api.request_rate: gone; it is no longer measured, and its alert no longer fires"]),
        ("playbooks: [{id: shift-load, tier: tier_3}]", ["shift-load: tier_3, was tier_2: it asks more of people"]),
        ("playbooks: [{id: scale-nodes, tier: tier_1}]", ["scale-nodes: tier_1, was tier_3: it may run with fewer people's consent"]),
        ("playbooks: [{id: shift-load, steps: [{verb: restart}]}]", ["shift-load: does restart the target; was shift the load balancer at the target's edge: factor 0.2"]),
        ("playbooks: [{id: tighten-guardrails, safety: false}]", ["tighten-guardrails: is no longer a safety playbook"]),
        ("bindings: [{matchers: a=b, target: t, playbooks: [shift-load]}]", ['alerts with a="b": bound now to shift-load on t; without `verify` every run is held']),
        ("metrics: []", []),
    ],
)  # fmt: skip
def test_in_words(overlay: str, said: list[str], laid: Laid) -> None:
    assert list(changes(load_catalog(), laid(overlay))) == said


def test_a_new_metric(laid: Laid, metric_text: str) -> None:
    assert changes(load_catalog(), laid(metric_text)) == ("orders.backlog: new; < 10 / 10..20 / > 20 orders",)


def test_every_field_that_differs_is_told(laid: Laid, metric_text: str) -> None:
    """A catalog with another digest differs in words too: no field is forgotten."""
    fields = {
        "metrics: [{id: orders.backlog, %s}]": [
            "title: X", "description: X", "category: api", "unit: ratio", "unit_label: X", "enabled: false", "interval: 10s",
            "window: 10m", "resource_is: X", "source: sql", "derive: {kind: gauge, series: x}", "aggregate: avg",
            "empty: idle", 'bands: {good: "<= 10", warning: "10..20", critical: "> 20"}', "warning: []", "critical: []",
        ],
        "playbooks: [{id: shift-load, %s}]": [
            "title: X", "description: X", "tier: tier_4", "risk: high", "steps: [{verb: stop}]", "verified_by: effect",
            "if_ineffective: keep", "release: never", "safety: true", "runbook: X",
        ],
    }  # fmt: skip
    before = laid(metric_text)
    for frame, edits in fields.items():
        for edit in edits:
            after = laid(metric_text, frame % edit)
            assert after.digest != before.digest, edit
            assert changes(before, after), edit
