"""Each fault that people build into dashboards is found, and a sound dashboard is left in peace: a real Prometheus."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Dashboard = dict[str, Any]


def check(*arguments: str | Path) -> tuple[int, dict[str, Any]]:
    done = subprocess.run(
        [sys.executable, "-m", "grace", "grafana", "check", "--json", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def target(dashboard: Dashboard, panel: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = dashboard["panels"][panel]["targets"][0]
    return found


def empty_result(dashboard: Dashboard) -> None:
    target(dashboard)["expr"] = 'shop_queue_depth{shop="east"}'


def metric_hidden_by_a_default(dashboard: Dashboard) -> None:
    target(dashboard)["expr"] = "sum(shop_queue_dept) or vector(0)"
    target(dashboard)["legendFormat"] = "queue"


def legend_label(dashboard: Dashboard) -> None:
    target(dashboard)["legendFormat"] = "{{store}}"


def legend_label_aggregated_away(dashboard: Dashboard) -> None:
    target(dashboard, 1)["expr"] = "sum(rate(shop_orders_total[$__rate_interval]))"


def same_legend(dashboard: Dashboard) -> None:
    target(dashboard)["legendFormat"] = "queue"


def unknown_unit(dashboard: Dashboard) -> None:
    dashboard["panels"][0]["fieldConfig"]["defaults"]["unit"] = "seconds"


def unknown_unit_in_an_override(dashboard: Dashboard) -> None:
    override = {"matcher": {"id": "byName", "options": "north"}, "properties": [{"id": "unit", "value": "pieces"}]}
    dashboard["panels"][0]["fieldConfig"]["overrides"] = [override]


def overlap(dashboard: Dashboard) -> None:
    dashboard["panels"][1]["gridPos"]["x"] = 11


def outside(dashboard: Dashboard) -> None:
    dashboard["panels"][1]["gridPos"]["w"] = 13


def rate_on_gauge(dashboard: Dashboard) -> None:
    target(dashboard)["expr"] = "rate(shop_queue_depth[$__rate_interval])"


def increase_on_gauge_in_a_subquery(dashboard: Dashboard) -> None:
    target(dashboard)["expr"] = "max_over_time(increase(shop_queue_depth[1m])[5m:1s])"


def delta_on_counter(dashboard: Dashboard) -> None:
    target(dashboard)["expr"] = "delta(shop_orders_total[1m])"


def fixed_source(dashboard: Dashboard) -> None:
    target(dashboard)["datasource"] = {"type": "prometheus", "uid": "P1809F7CD0C75ACF3"}


def default_source(dashboard: Dashboard) -> None:
    dashboard["panels"][0]["datasource"] = None


def no_title(dashboard: Dashboard) -> None:
    dashboard["panels"][0]["title"] = " "


def no_description(dashboard: Dashboard) -> None:
    del dashboard["panels"][0]["description"]


def undefined_variable(dashboard: Dashboard) -> None:
    target(dashboard)["expr"] = 'shop_queue_depth{shop=~"$shop",town="$town"}'


def undefined_variable_in_a_title(dashboard: Dashboard) -> None:
    dashboard["panels"][0]["title"] = "Queue of ${town:text}"


def variable_without_values(dashboard: Dashboard) -> None:
    dashboard["templating"]["list"][1]["query"]["query"] = "label_values(shop_queue_depth, town)"


def same_panel_id(dashboard: Dashboard) -> None:
    dashboard["panels"][1]["id"] = 1


def no_uid(dashboard: Dashboard) -> None:
    del dashboard["uid"]


def no_promql(dashboard: Dashboard) -> None:
    target(dashboard)["expr"] = "sum by (shop (shop_queue_depth)"


def refused(dashboard: Dashboard) -> None:
    target(dashboard)["expr"] = "shop_queue_depth * shop_orders_total / on () shop_queue_depth"


FAULTS: list[tuple[Callable[[Dashboard], None], str]] = [
    (empty_result, "query-empty"),
    (metric_hidden_by_a_default, "metric-unknown"),
    (legend_label, "legend-label"),
    (legend_label_aggregated_away, "legend-label"),
    (same_legend, "legend-ambiguous"),
    (unknown_unit, "unit-unknown"),
    (unknown_unit_in_an_override, "unit-unknown"),
    (overlap, "panels-overlap"),
    (outside, "panel-outside"),
    (rate_on_gauge, "rate-on-gauge"),
    (increase_on_gauge_in_a_subquery, "rate-on-gauge"),
    (delta_on_counter, "delta-on-counter"),
    (fixed_source, "datasource-fixed"),
    (default_source, "datasource-fixed"),
    (no_title, "title-missing"),
    (no_description, "description-missing"),
    (undefined_variable, "variable-undefined"),
    (undefined_variable_in_a_title, "variable-undefined"),
    (variable_without_values, "variable-empty"),
    (same_panel_id, "id-duplicate"),
    (no_uid, "uid-missing"),
    (no_promql, "query-invalid"),
    (refused, "query-failed"),
]


def test_a_sound_dashboard_passes(watched: Any, dashboard: Dashboard, tmp_path: Path) -> None:
    file = tmp_path / "shop.json"
    file.write_text(json.dumps(dashboard))
    code, report = check("--prometheus", watched.url, file)
    assert (code, report["findings"]) == (0, [])
    assert (report["queries"], report["asked"]) == (4, 4)


@pytest.mark.parametrize(("break_it", "rule"), FAULTS, ids=[fault.__name__ for fault, _ in FAULTS])
def test_a_fault_is_caught_and_nothing_else(
    break_it: Callable[[Dashboard], None], rule: str, watched: Any, dashboard: Dashboard, tmp_path: Path
) -> None:
    break_it(dashboard)
    file = tmp_path / "shop.json"
    file.write_text(json.dumps(dashboard))
    code, report = check("--prometheus", watched.url, file)
    assert code == 1
    assert {finding["rule"] for finding in report["findings"]} == {rule}, report["findings"]
    assert all(finding["file"] == str(file) for finding in report["findings"])


def test_two_dashboards_with_one_uid(watched: Any, dashboard: Dashboard, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / f"{name}.json").write_text(json.dumps(dashboard))
    code, report = check("--prometheus", watched.url, tmp_path)
    assert code == 1
    assert [(finding["rule"], Path(finding["file"]).name) for finding in report["findings"]] == [
        ("uid-duplicate", "two.json")
    ]


def test_a_repeated_panel_is_asked_value_by_value(watched: Any, dashboard: Dashboard, tmp_path: Path) -> None:
    dashboard["panels"][0]["repeat"] = "shop"
    target(dashboard)["expr"] = 'shop_queue_depth{shop="$shop"}'
    file = tmp_path / "shop.json"
    file.write_text(json.dumps(dashboard))
    assert check("--prometheus", watched.url, file)[1]["findings"] == []


def test_an_annotation_may_find_nothing_but_not_an_unknown_metric(
    watched: Any, dashboard: Dashboard, tmp_path: Path
) -> None:
    source = {"type": "prometheus", "uid": "$source"}
    dashboard["annotations"] = {
        "list": [
            {"name": "Alarms", "datasource": source, "enable": True, "expr": "shop_alarms > 0"},
            {"name": "Deploys", "datasource": source, "enable": True, "expr": "shop_deploys > 0"},
        ]
    }
    file = tmp_path / "shop.json"
    file.write_text(json.dumps(dashboard))
    _, report = check("--prometheus", watched.url, file)
    assert [(each["rule"], each["message"]) for each in report["findings"]] == [
        ("metric-unknown", "annotation Deploys: this Prometheus has never seen shop_deploys")
    ]


def test_a_prometheus_that_is_not_there_cannot_be_used(free_port: Callable[[], int], tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "grace", "grafana", "check", "--prometheus", f"http://127.0.0.1:{free_port()}"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "does not answer" in done.stderr
    assert done.stdout == ""
