"""The status: which band each metric is in, and what people are shown of it."""

from __future__ import annotations

from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console

from catalog.load import load_catalog
from catalog.model import TimeScale
from remediator.bands import PRESENT, MetricNow, queries, rows
from remediator.prometheus import BAND, VALUE, Sample
from stack import render
from stack.status import Status

CATALOG = load_catalog()
METRICS = CATALOG.enabled


def sample(name: str, metric_id: str, value: float, resource: str = "api") -> Sample:
    return Sample({"__name__": name, "metric_id": metric_id, "resource": resource}, value, 0.0)


def status(*metrics: MetricNow, **fields: Any) -> Status:
    empty = Status(metrics, (), (), {"ceiling": "tier_2", "strictness": 0}, 0, (), 2)
    return replace(empty, **fields)


def row(metric_id: str, *samples: Sample) -> MetricNow:
    return next(found for found in rows(METRICS, samples) if found.metric_id == metric_id)


def test_each_metric_has_a_row_even_when_prometheus_knows_nothing() -> None:
    found = rows(METRICS, ())
    assert len(found) == 17
    assert {one.band for one in found} == {"no data"}


@pytest.mark.parametrize(
    ("metric_id", "value", "band", "shown"),
    [
        ("api.latency_p95", 0.35, 1, ("warning", 350.0, "350 ms")),
        ("infra.cpu_utilization", 0.87, 2, ("critical", 87.0, "87 %")),
        ("executor.task_latency", 1234.0, 2, ("critical", 1234.0, "1 234 s")),
        ("api.error_rate", 0.03, 1, ("warning", 0.03, "0.03")),
    ],
)
def test_values_are_in_peoples_units_exactly(
    metric_id: str, value: float, band: int, shown: tuple[str, float, str]
) -> None:
    found = row(metric_id, sample(VALUE, metric_id, value), sample(BAND, metric_id, band))
    assert (found.band, found.value, render.shown_value(found)) == shown


def test_a_source_that_lives_without_a_value_is_idle() -> None:
    assert row("api.error_rate", sample(PRESENT, "api.error_rate", 1)).band == "idle"


def test_every_interval_is_asked_over_one_and_a_half_of_it() -> None:
    asked = queries(CATALOG.scaled(TimeScale(drill=True)).enabled)
    assert [query[query.rindex("[") :] for query in asked] == ["[4s500ms])", "[9s])"]
    assert all("api\\\\.latency_p95" in query for query in asked[1:])


def test_only_what_changed_is_told_in_plain_lines() -> None:
    good = MetricNow("infra.cpu_utilization", "api-1", 4.0, "%", "good")
    before = status(good)
    assert list(render.changes(before, status(replace(good, value=5.0)))) == []
    incident = {"id": "inc_1", "metric_id": "m", "resource": "evil\x1b[2J", "band": "critical", "state": "acting"}
    after = status(
        replace(good, value=87.0, band="critical"), incidents=(incident,), approvals_pending=1, problems=("away",)
    )
    assert list(render.changes(before, after)) == [
        "infra.cpu_utilization api-1: 87 %, critical (was good)",
        "incident inc_1 m evil\N{REPLACEMENT CHARACTER}[2J critical: acting",
        "governance: ceiling tier_2, strictness 0, 1 waiting for approval",
        "away",
    ]


@pytest.mark.parametrize("width", [80, 160])
def test_the_table_holds_every_metric_and_no_strangers_markup(width: int) -> None:
    incident = {"id": "inc_1", "metric_id": "[red]m", "resource": "r", "band": "critical", "state": "acting"}
    console = Console(width=width, record=True, file=open("/dev/null", "w"))  # noqa: SIM115 - the console owns it
    console.print(render.table(status(*rows(METRICS, ()), incidents=(incident,)), width))
    text = console.export_text()
    console.file.close()
    assert all(metric.id in text for metric in METRICS)
    assert "[red]m" in text
    assert "ceiling tier_2" in text


def drawn(width: int, height: int | None = None, **fields: Any) -> list[str]:
    console = Console(width=width, record=True, file=StringIO())
    console.print(render.table(status(*rows(METRICS, ()), **fields), width, height))
    return console.export_text().splitlines()


INCIDENT = {
    "id": "inc_1m81m4g34cvy0rqzrr2",
    "metric_id": "executor.worker_utilization",
    "resource": "a-pool-of-workers\x1b[2J",
    "band": "critical",
    "state": "waiting_approval",
}
RUN = {"id": "run_1m81m4yyts7hnmzbnz3", "playbook_id": "scale-workers", "target": "workers", "state": "healed"}


def test_identifiers_and_what_became_are_whole_in_a_narrow_terminal() -> None:
    lines = drawn(80, incidents=(INCIDENT,), runs=({**RUN, "outcome": "healed"},))
    (incident,) = [line for line in lines if INCIDENT["id"] in line]
    assert "executor.worker_utilization" in incident
    assert "waiting approval" in incident
    assert "\x1b" not in incident
    (run,) = [line for line in lines if RUN["id"] in line]
    assert run.split()[1:] == ["scale-workers", "on", "workers", "healed"], "said once"


def test_in_a_low_terminal_what_is_good_is_counted_and_the_rest_is_shown() -> None:
    good = [MetricNow(f"api.m{number}", "api", 1.0, "%", "good") for number in range(20)]
    bad = MetricNow("api.bad", "api", 99.0, "%", "critical")
    console = Console(width=80, record=True, file=StringIO())
    console.print(render.table(status(bad, *good, incidents=(INCIDENT,)), 80, 24))
    text = console.export_text()
    assert len(text.splitlines()) <= 24
    assert "api.bad" in text
    assert "20 good" in text
    assert "api.m1" not in text
    assert len(drawn(80, 24)) <= 24, "17 without data are shown, for they fit"


def test_a_run_in_plain_lines_says_its_outcome_once() -> None:
    (line,) = [line for line in render.lines(status(runs=({**RUN, "outcome": "healed"},))) if line.startswith("run")]
    assert line == f"run {RUN['id']} scale-workers on workers: healed"


def test_neither_a_resource_nor_a_problem_steers_the_terminal() -> None:
    odd = MetricNow("infra.cpu_utilization", "api\x1b[2J", 99.0, "%", "critical")
    now = status(odd, problems=("it said \x1b]0;mine\x07",))
    console = Console(width=160, file=StringIO())
    console.print(render.table(now, 160))
    assert isinstance(console.file, StringIO)
    for shown in (*render.lines(now), *render.changes(None, now), *console.file.getvalue().splitlines()):
        assert shown.isprintable(), shown
