# ruff: noqa: E501 - tables read best with one row a line
"""The shipped catalog says exactly what is documented: every number, band, unit, order and tier."""

from __future__ import annotations

from decimal import Decimal

import pytest

from catalog.explain import band_texts
from catalog.load import load_catalog
from catalog.model import Aggregate, Band, Empty, Relation, Release, Severity, Tier, Verb

CATALOG = load_catalog()

#  id, unit, interval, good, warning, critical, on warning, on critical
METRICS = [
    ("api.latency_p95", "ms", 60, "< 350", "350..500", "> 500", "scale-api-shard", "scale-api-shard, shift-load"),
    ("api.error_rate", "ratio", 60, "< 0.01", "0.01..0.03", "> 0.03", "restart-workers", "restart-workers, shift-load"),
    ("api.request_rate", "per_second", 60, "< 200", "200..400", "> 400", "scale-api-shard", "scale-api-shard, scale-nodes"),
    ("api.saturation", "percent", 60, "< 70", "70..85", "> 85", "spawn-extra-workers", "spawn-extra-workers, shift-load"),
    ("executor.queue_depth", "count", 30, "< 25", "25..75", "> 75", "scale-workers", "scale-workers, spawn-emergency-shard"),
    ("executor.task_latency", "seconds", 30, "< 60", "60..180", "> 180", "spawn-extra-workers", "spawn-extra-workers, spawn-emergency-shard"),
    ("executor.worker_utilization", "percent", 30, "< 70", "70..90", "> 90", "spawn-extra-workers", "scale-workers"),
    ("learning.sessions_started", "per_window", 300, "< 3", "3..6", "> 6", "throttle-learning", "throttle-learning, stop-ingestion-cycle"),
    ("learning.sources_verified", "percent", 300, "> 85", "70..85", "< 70", "run-trust-analysis", "run-trust-analysis, stop-ingestion-cycle"),
    ("learning.sandbox_pass_rate", "percent", 300, "> 80", "60..80", "< 60", "tighten-guardrails", "stop-ingestion-cycle"),
    ("learning.governance_blocks", "per_window", 300, "< 2", "2..5", "> 5", "run-trust-analysis", "throttle-learning, stop-ingestion-cycle"),
    ("autonomy.plan_success_rate", "percent", 300, "> 90", "75..90", "< 75", "tighten-guardrails", "downgrade-autonomy-tier"),
    ("autonomy.approvals_pending", "count", 60, "< 3", "3..7", "> 7", "tell:reviewers", "tell:reviewers, escalate"),
    ("autonomy.rollback_rate", "percent", 300, "< 5", "5..10", "> 10", "run-postmortem", "run-postmortem, lock-planner-supervised"),
    ("autonomy.autonomy_ratio", "percent", 600, "70..85", "60..70, 85..90", "< 60, > 90", "run-postmortem", "tighten-guardrails"),
    ("infra.cpu_utilization", "percent", 30, "< 70", "70..85", "> 85", "shift-load", "shift-load, scale-nodes"),
    ("infra.memory_utilization", "percent", 30, "< 75", "75..90", "> 90", "restart-workers", "restart-workers, shift-load"),
    ("infra.disk_usage", "percent", 300, "< 70", "70..85", "> 85", "cleanup-disk", "cleanup-disk"),
    ("infra.pod_ready_ratio", "percent", 30, "> 95", "90..95", "< 90", "restart-workers", "scale-nodes"),
]  # fmt: skip

#  id, verb, on, args, if ineffective, verified by, risk, tier, release
PLAYBOOKS = [
    ("scale-api-shard", "scale", "target", {"by": 1}, "keep", "metric", "low", 2, "stepwise"),
    ("restart-workers", "restart", "target", {}, "nothing", "metric", "low", 2, "never"),
    ("spawn-extra-workers", "scale", "target", {"by": 2}, "keep", "metric", "low", 2, "stepwise"),
    ("scale-workers", "scale", "target", {"factor": 1.5}, "keep", "metric", "low", 2, "stepwise"),
    ("spawn-emergency-shard", "start", "standby", {}, "keep", "metric", "medium", 3, "stepwise"),
    ("throttle-learning", "throttle", "target", {"factor": 0.5}, "keep", "containment", "low", 2, "person"),
    ("stop-ingestion-cycle", "pause", "target", {}, "keep", "containment", "medium", 3, "person"),
    ("run-trust-analysis", "run", "analysis", {}, "nothing", "effect", "low", 2, "never"),
    ("tighten-guardrails", "govern", "governance", {"change": "strictness", "by": 1}, "keep", "containment", "medium", 3, "person"),
    ("downgrade-autonomy-tier", "govern", "governance", {"change": "ceiling", "by": -1}, "keep", "containment", "high", 4, "person"),
    ("run-postmortem", "report", "governance", {}, "nothing", "effect", "low", 1, "never"),
    ("lock-planner-supervised", "govern", "governance", {"change": "supervised", "to": 1}, "keep", "containment", "high", 4, "person"),
    ("shift-load", "shift", "edge", {"factor": 0.2}, "undo", "metric", "low", 2, "stepwise"),
    ("scale-nodes", "scale", "nodes", {"by": 1}, "keep", "metric", "medium", 3, "stepwise"),
    ("cleanup-disk", "reclaim", "reclaim", {}, "nothing", "metric", "low", 2, "never"),
]  # fmt: skip


def test_the_order_is_the_documented_one_and_17_of_19_are_on() -> None:
    assert list(CATALOG.metrics) == [row[0] for row in METRICS]
    assert list(CATALOG.playbooks) == [row[0] for row in PLAYBOOKS]
    off = {metric.id for metric in CATALOG.metrics.values()} - {metric.id for metric in CATALOG.enabled}
    assert off == {"autonomy.autonomy_ratio", "infra.pod_ready_ratio"}


@pytest.mark.parametrize("row", METRICS, ids=lambda row: row[0])
def test_metric(row: tuple[str, str, int, str, str, str, str, str]) -> None:
    key, unit, interval, good, warning, critical, on_warning, on_critical = row
    metric = CATALOG.metrics[key]
    assert (metric.unit.value, metric.interval) == (unit, interval)
    assert metric.window == (600 if key == "autonomy.autonomy_ratio" else 300)
    assert band_texts(metric.bands) == (good, warning, critical)
    assert ", ".join(map(str, metric.warning.high)) == on_warning
    assert ", ".join(map(str, metric.critical.high)) == on_critical
    assert metric.category.value == key.partition(".")[0]


def test_only_the_two_sided_metric_answers_differently_on_each_side() -> None:
    differing = [
        m.id for m in CATALOG.metrics.values() if m.critical.high != m.critical.low or m.warning.high != m.warning.low
    ]
    assert differing == ["autonomy.autonomy_ratio"]
    ratio = CATALOG.metrics["autonomy.autonomy_ratio"]
    assert [str(each) for each in ratio.responses(Band.CRITICAL, "low")] == ["tell:reviewers"]
    assert [str(each) for each in ratio.responses(Band.WARNING, "low")] == ["run-postmortem"]


def test_what_nothing_means_and_how_windows_are_made() -> None:
    nothing = {Empty.IDLE: [], Empty.ZERO: [], Empty.ABSENT: []}
    windows = {Aggregate.AVG: [], Aggregate.MAX: [], Aggregate.SAME: []}
    for metric in CATALOG.metrics.values():
        nothing[metric.empty].append(metric.id)
        windows[metric.aggregate].append(metric.id)
    assert nothing[Empty.ABSENT] == [
        "executor.worker_utilization",
        *[m for m in CATALOG.metrics if m.startswith("infra.")],
    ]
    assert nothing[Empty.ZERO] == [
        "api.request_rate",
        "api.saturation",
        "executor.queue_depth",
        "executor.task_latency",
        "learning.sessions_started",
        "learning.governance_blocks",
        "autonomy.approvals_pending",
    ]
    assert windows[Aggregate.MAX] == [
        "api.saturation",
        "executor.queue_depth",
        "executor.task_latency",
        "autonomy.approvals_pending",
        "infra.disk_usage",
    ]
    assert windows[Aggregate.AVG] == [
        "api.request_rate",
        "executor.worker_utilization",
        "infra.cpu_utilization",
        "infra.memory_utilization",
        "infra.pod_ready_ratio",
    ]


def test_ratios_of_events_are_idle_below_the_documented_counts() -> None:
    least = {m.id: m.derive.at_least for m in CATALOG.metrics.values() if m.derive.kind == "event_ratio"}
    assert least == {"api.error_rate": 20, "learning.sources_verified": 5, "learning.sandbox_pass_rate": 5}


@pytest.mark.parametrize("row", PLAYBOOKS, ids=lambda row: row[0])
def test_playbook(row: tuple[str, str, str, dict[str, object], str, str, str, int, str]) -> None:
    key, verb, on, args, ineffective, verified, risk, tier, release = row
    playbook = CATALOG.playbooks[key]
    (step,) = playbook.steps
    assert (step.verb, step.on, dict(step.args)) == (Verb(verb), Relation(on), args)
    assert (playbook.if_ineffective.value, playbook.verified_by.value) == (ineffective, verified)
    assert (playbook.risk.value, playbook.tier, playbook.release) == (risk, Tier(tier), Release(release))


def test_the_three_safety_playbooks() -> None:
    safety = [playbook.id for playbook in CATALOG.playbooks.values() if playbook.safety]
    assert safety == ["tighten-guardrails", "downgrade-autonomy-tier", "lock-planner-supervised"]


@pytest.mark.parametrize("edge", [69.999, 70, 85, 85.001, 60, 59.999, 90, 90.001])
def test_the_two_sided_edges(edge: float) -> None:
    bands = CATALOG.metrics["autonomy.autonomy_ratio"].bands
    expected = Band.GOOD if 70 <= edge <= 85 else Band.WARNING if 60 <= edge <= 90 else Band.CRITICAL
    assert bands.of(edge) is expected


def test_edges_belong_to_warning_on_one_sided_metrics() -> None:
    for metric in CATALOG.metrics.values():
        edges = metric.bands.high or metric.bands.low
        if metric.id != "autonomy.autonomy_ratio":
            assert edges is not None
            assert metric.bands.of(float(edges.warning)) is Band.WARNING
            assert metric.bands.of(float(edges.critical)) is Band.WARNING


def test_base_units_are_exact() -> None:
    latency = CATALOG.metrics["api.latency_p95"]
    assert latency.bands.high is not None
    assert latency.bands.high.warning * latency.unit.factor == Decimal("0.350")


def test_alert_names() -> None:
    assert CATALOG.metrics["infra.cpu_utilization"].alertname == "InfraCpuUtilization"
    assert CATALOG.metrics["api.latency_p95"].alertname == "ApiLatencyP95"
    assert {each.value for each in Severity} == {"warning", "critical"}
