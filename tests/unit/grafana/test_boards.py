"""The shipped dashboards: what people will see."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from catalog.load import load_catalog
from catalog.model import Catalog, Category
from grafana.boards.category import category
from grafana.boards.series import spans
from grafana.build import build
from grafana.check import shape
from grafana.check.document import parse
from grafana.check.live import Knowledge, queries, read

ROOT = Path(__file__).parents[3]
Boards = dict[str, dict[str, Any]]
RECORDED = re.compile(r"resource:grace_[a-z_]+:[a-z_0-9]+")


def panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    yield from (panel for panel in board["panels"] if panel["type"] != "row")


def expressions(board: Mapping[str, Any]) -> Iterator[str]:
    yield from (target["expr"] for panel in panels(board) for target in panel["targets"])


def test_there_is_one_for_every_purpose_and_category(boards: Boards) -> None:
    assert set(boards) == {
        "grace-overview",
        *(f"grace-{each.value}" for each in Category),
        "grace-remediation",
        "grace-itself",
    }
    assert len({board["title"] for board in boards.values()}) == len(boards)


def test_what_is_committed_is_what_the_catalog_says(files: Mapping[str, str]) -> None:
    committed = {name: (ROOT / "grafana" / name).read_text() for name in files}
    assert committed == dict(files), "run `make generate`"


def test_the_same_catalog_gives_the_same_bytes(shipped: Catalog, files: Mapping[str, str]) -> None:
    assert build(shipped) == files


def test_nothing_is_wrong_with_them_on_their_face(boards: Boards) -> None:
    read_boards = [parse(board, uid) for uid, board in boards.items()]
    assert [*shape.among(read_boards)] == []
    for board in read_boards:
        found = [
            *shape.findings(board),
            *(each for query in queries(board) for each in read(board, query, Knowledge())),
        ]
        assert found == []


def test_recorded_series_are_never_read_bare(boards: Boards) -> None:
    """A bare selector shows a value of five minutes ago as if it were now, and loses a metric taken every 5 minutes."""
    for board in boards.values():
        for expr in expressions(board):
            for found in RECORDED.finditer(expr):
                assert re.search(r"(last|max)_over_time\($", expr[: found.start()]), expr
                after = expr[found.end() :]
                assert re.match(r"\{[^}]*\}\[(\$\{span_\w+\}ms|\$__interval)\]", after), expr


def test_what_replicas_share_is_never_added_up(boards: Boards) -> None:
    """Two remediators on one ledger expose the same incidents; only what each counts by itself is a sum."""
    own = r"(?:alerts_(?:accepted|deduplicated)|payloads_quarantined)_total"
    shared = re.compile(rf"(?:sum|count|avg)(?: by \([^)]*\))? ?\((?:\w+\()*grace_remediator_(?!{own})")
    for board in boards.values():
        assert [expr for expr in expressions(board) if shared.search(expr)] == []


def test_every_metric_that_is_on_has_its_value_window_and_edges(boards: Boards, shipped: Catalog) -> None:
    for metric in shipped.enabled:
        board = boards[f"grace-{metric.category.value}"]
        (graph,) = (
            panel for panel in panels(board) if panel["type"] == "timeseries" and panel["title"] == metric.title
        )
        asked = "\n".join(target["expr"] for target in graph["targets"])
        for series in ("resource:grace_value:sample", "window_avg", "window_p95", "grace_threshold"):
            assert series in asked, (metric.id, series)
        assert ("window_max" in asked) == (metric.bands.high is not None)
        assert ("window_min" in asked) == (metric.bands.low is not None)


@pytest.mark.parametrize(
    ("uid", "title", "unit"),
    [
        ("grace-api", "API latency (p95)", "s"),
        ("grace-api", "API error rate", "percentunit"),
        ("grace-api", "API request rate", "suffix: req/s per worker"),
        ("grace-executor", "Queue depth", "short"),
        ("grace-executor", "Task latency", "s"),
        ("grace-infra", "CPU utilization", "percentunit"),
        ("grace-learning", "Learning sessions started", "suffix: per 5 min"),
    ],
)
def test_values_are_written_in_the_unit_that_prometheus_records(
    uid: str, title: str, unit: str, boards: Boards
) -> None:
    (graph,) = (panel for panel in panels(boards[uid]) if panel["title"] == title)
    assert graph["fieldConfig"]["defaults"]["unit"] == unit


def test_links_lead_to_dashboards_that_exist(boards: Boards) -> None:
    (timeline,) = (panel for panel in panels(boards["grace-overview"]) if panel["title"] == "Bands")
    (link,) = timeline["fieldConfig"]["defaults"]["links"]
    target = link["url"].split("?")[0].removeprefix("/d/")
    for each in Category:
        assert target.replace("${__field.labels.category}", each.value) in boards
    assert all("by (metric_id, category, resource)" in target["expr"] for target in timeline["targets"])
    assert all(board["links"][0]["tags"] == ["grace"] and "grace" in board["tags"] for board in boards.values())


def test_runs_are_marked_in_every_dashboard(boards: Boards) -> None:
    for board in boards.values():
        marks = {each["name"]: each for each in board["annotations"]["list"]}
        assert "grace_remediator_run_active" in marks["Runs"]["expr"]
        assert marks["Runs"]["titleFormat"] == "{{playbook}} on {{target}}"
    infra = boards["grace-infra"]["annotations"]["list"][1]["expr"]
    assert 'metric_id=~"infra[.]' in infra


def test_a_category_without_a_metric_has_no_dashboard(tmp_path: Path, shipped: Catalog) -> None:
    overlay = tmp_path / "off.yaml"
    off = "".join(f"  - id: {each.id}\n    enabled: false\n" for each in shipped.enabled if each.category == "learning")
    overlay.write_text(f"metrics:\n{off}")
    catalog = load_catalog([overlay])
    assert category(catalog, Category.LEARNING) is None
    assert "dashboards/grace-learning.json" not in build(catalog)
    assert "learning" not in build(catalog)["dashboards/grace-overview.json"]


def test_a_teams_interval_gets_a_span_of_its_own(tmp_path: Path) -> None:
    overlay = tmp_path / "slow.yaml"
    overlay.write_text("metrics:\n  - id: infra.disk_usage\n    interval: 90s\n    window: 15m\n")
    (span,) = (each for each in spans(load_catalog([overlay]).enabled) if each.interval == 90)
    assert (span.variable, span.default) == ("span_90s", "135000")
    assert "${span_90s}ms" in build(load_catalog([overlay]))["dashboards/grace-infra.json"]


def test_a_histogram_is_shown_whole_with_its_own_matchers(tmp_path: Path) -> None:
    overlay = tmp_path / "matched.yaml"
    series = 'shop_seconds{town="x"}'
    overlay.write_text(
        f"metrics:\n  - id: api.latency_p95\n    derive: {{kind: quantile, histogram: '{series}', quantile: 0.95}}\n"
    )
    text = build(load_catalog([overlay]))["dashboards/grace-api.json"]
    assert (
        'sum by (le) (increase(shop_seconds_bucket{town=\\"x\\",resource=~\\"$resource\\"}[$__rate_interval]))' in text
    )
