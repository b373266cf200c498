"""Dashboards of other people are read as they come."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grafana.check import shape
from grafana.check.document import NotADashboard, parse, read
from grafana.check.live import Knowledge, queries
from grafana.check.live import read as read_query

KEYS = (
    "annotations current datasource defaults expr fieldConfig gridPos h id legendFormat list name overrides panels "
    "properties query repeat rows targets templating title type uid unit value w x y"
)
NESTED = st.recursive(
    st.none() | st.booleans() | st.integers(-3, 30) | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(sorted(KEYS.split())), inner, max_size=5)
    ),
    max_leaves=30,
)


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([], "JSON object"),
        ({"title": "x"}, "neither panels nor rows"),
        ({"elements": {}, "layout": {}}, "schema v2"),
        ({"apiVersion": "dashboard.grafana.app/v2", "spec": {"elements": {}}}, "schema v2"),
    ],
)
def test_what_is_no_dashboard_is_refused(value: Any, says: str) -> None:
    with pytest.raises(NotADashboard, match=says):
        parse(value, "x.json")


def test_no_json(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(NotADashboard, match="no JSON"):
        read(tmp_path / "x.json")


def test_as_the_api_answers_it_and_with_a_byte_order_mark(tmp_path: Path) -> None:
    value = {"meta": {}, "dashboard": {"uid": "a", "panels": []}}
    (tmp_path / "x.json").write_text(json.dumps(value), encoding="utf-8-sig")
    assert read(tmp_path / "x.json").uid == "a"


def test_folded_rows_and_rows_of_old() -> None:
    folded = {"type": "row", "title": "r", "panels": [{"title": "inside", "type": "graph"}]}
    dashboard = parse({"panels": [{"title": "a", "type": "graph"}, folded]}, "x")
    assert [(panel.title, panel.level) for panel in dashboard.panels] == [("a", 0), ("r", 0), ("inside", 1)]
    old = parse({"rows": [{"panels": [{"title": "b", "type": "graph", "yaxes": [{"format": "s"}]}]}]}, "x")
    assert [(panel.title, panel.units) for panel in old.panels] == [("b", ("s",))]


def test_panels_overlap_only_on_the_same_grid() -> None:
    place = {"x": 0, "y": 1, "w": 12, "h": 8}
    inside = {"title": "b", "description": "b", "type": "graph", "gridPos": place, "datasource": "$d"}
    folded = {"type": "row", "title": "r", "collapsed": True, "gridPos": {**place, "y": 0, "h": 1}, "panels": [inside]}
    after = {**inside, "title": "c"}
    value = {"uid": "u", "title": "t", "description": "d", "panels": [folded, after]}
    value["templating"] = {"list": [{"name": "d", "type": "datasource"}]}
    assert list(shape.findings(parse(value, "x"))) == []
    over = parse({**value, "panels": [folded, after, {**after, "title": "d"}]}, "x")
    assert [str(each) for each in shape.findings(over)] == ["x “d”: it lies over “c” [panels-overlap]"]


def test_a_dashboard_exported_for_sharing_has_inputs() -> None:
    panel = {"title": "a", "description": "a", "type": "graph", "datasource": "${DS_MINE}"}
    panel["targets"] = [{"refId": "A", "expr": 'up{job="${VAR_JOB}"}'}]
    inputs = [
        {"name": "DS_MINE", "type": "datasource", "pluginId": "prometheus"},
        {"name": "VAR_JOB", "type": "constant", "value": "shop"},
    ]
    value = {"uid": "u", "title": "t", "description": "d", "panels": [panel], "__inputs": inputs}
    assert list(shape.findings(parse(value, "x"))) == []
    assert len(list(queries(parse(value, "x")))) == 1
    del value["__inputs"]
    assert {str(each.rule) for each in shape.findings(parse(value, "x"))} == {"variable-undefined"}


def test_queries_of_other_data_sources_are_left_alone() -> None:
    def panel(source: Any, expr: str = "x y z", **more: Any) -> dict[str, Any]:
        return {"type": "graph", "targets": [{"refId": "A", "expr": expr, "datasource": source, **more}]}

    panels = [panel({"type": "loki", "uid": "$l"}), panel("$l"), panel({"uid": "$p"}, hide=True), panel({"uid": "$p"})]
    variables = [
        {"name": "l", "type": "datasource", "query": "loki"},
        {"name": "p", "type": "datasource", "query": "prometheus"},
    ]
    dashboard = parse({"panels": panels, "templating": {"list": variables}}, "x")
    assert len(list(queries(dashboard))) == 1


@given(NESTED)
def test_whatever_the_file_holds_it_is_read_or_refused(value: Any) -> None:
    try:
        dashboard = parse({"panels": [], **value} if isinstance(value, dict) else {"panels": value}, "x")
    except NotADashboard:
        return
    list(shape.findings(dashboard))
    for query in queries(dashboard):
        list(read_query(dashboard, query, Knowledge()))
