"""Catalogs that cannot be compiled: each one clear fault with its place, exit 2, and nothing written."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from rules.cli import rules
from rules.rigs import NoRig, example

METRIC = """metrics:
  - id: {id}
    title: Shop
    category: api
    unit: {unit}
    unit_label: ms
    interval: 60s
    window: 5m
    resource_is: service
    source: multiprocess
    derive: {derive}
    aggregate: avg
    empty: idle
    bands: {{good: "< 8", warning: "{warning}", critical: "> 20"}}
    warning: [{playbook}]
    critical: []
"""
RIGHT = {
    "id": "api.x_y",
    "unit": "ms",
    "derive": "{kind: gauge, series: shop_seconds}",
    "warning": "8..20",
    "playbook": "scale-api-shard",
}
BINDING = """bindings:
  - matchers: 'alertname="HostDown"'
    target: api
    playbooks: [{playbook}]
    verify: '{verify}'
"""
LAUGHS = "a: &a [x, x]\nb: &b [*a, *a]\nmetrics: [*b, *b]\n"


def metric(**changed: str) -> str:
    return METRIC.format(**{**RIGHT, **changed})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (b"", "ours.yaml:1:1: the file is empty"),
        (LAUGHS.encode(), "anchors and aliases"),
        (b"metrics: []\nmetrics: []\n", 'ours.yaml:2:1 metrics: "metrics" stands here a second time'),
        (b"metrics:\n\t- id: api.x\n", "ours.yaml:2:1: a tab"),
        (b"# " + b"x" * 10_000_000, "larger than"),
        ("# caf\u00e9\nmetrics: []\n".encode("latin-1"), "not UTF-8"),
        (b"include: [ours.yaml]\n", 'unknown "include"'),
        (b"[" * 5000, "ours.yaml"),
        (metric(derive="{kind: gauge, series: 'shop_seconds{a=~\"(\"}'}").encode(), "is not PromQL"),
        (metric(derive="{kind: gauge, series: 'rate(shop[5m])'}").encode(), "does not have the right form"),
        ((metric() + metric(id="api.x-y").split("\n", 1)[1]).encode(), "its alert would be called ApiXY"),
        (metric(unit="mss").encode(), 'unknown "mss" (did you mean "ms"?)'),
        (metric(warning="8..25").encode(), "overlap between 20 and 25"),
        (metric(warning="9..20").encode(), "no band holds the values between 8 and 9"),
        (metric(playbook="scale-api-shards").encode(), 'did you mean "scale-api-shard"?'),
        (BINDING.format(playbook="reboot", verify="up == 0").encode(), 'unknown playbook "reboot"'),
        (BINDING.format(playbook="shift-load", verify="up == (").encode(), "bindings[0].verify: 'up == (' is not"),
    ],
)  # fmt: skip
def test_one_clear_fault_and_nothing_written(text: bytes, says: str, tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_bytes(text)
    out = tmp_path / "out"
    told = CliRunner().invoke(rules, ["build", "--catalog", str(tmp_path / "ours.yaml"), "--out", str(out)])
    assert told.exit_code == 2, told.output
    assert says in told.output
    assert "Traceback" not in told.output
    assert isinstance(told.exception, SystemExit)
    assert not out.exists()


def test_what_is_right_compiles(tmp_path: Path) -> None:
    (tmp_path / "ours.yaml").write_text(metric() + BINDING.format(playbook="shift-load", verify="up == 0"))
    told = CliRunner().invoke(
        rules, ["build", "--catalog", str(tmp_path / "ours.yaml"), "--out", str(tmp_path / "out")]
    )
    assert told.exit_code == 0, told.output


@pytest.mark.parametrize(
    ("pattern", "made_up"),
    [
        ("5..", "500"),
        ("[45]..", "400"),
        ("a|b", "a"),
        ("(?:intact|fine)-.+", "intact-0"),
        ("web-\\\\d+\\\\.local", "web-0.local"),
        ("^(GET|POST)$", "GET"),
        (".*", "0"),
        ("x?y*z", "xyz"),
    ],
)
def test_a_value_is_made_up_that_matches(pattern: str, made_up: str) -> None:
    assert example(f'code=~"{pattern}", job!="x"') == {"code": made_up}


def test_a_pattern_that_nothing_is_made_up_for_is_told(tmp_path: Path) -> None:
    with pytest.raises(NoRig, match="no value of code"):
        example('code=~"[^5].."')
    with_class = metric(derive="{kind: gauge, series: 'shop_seconds{code=~\"[^5]..\"}'}")
    (tmp_path / "ours.yaml").write_text(with_class)
    words = ["build", "--catalog", str(tmp_path / "ours.yaml"), "--out", str(tmp_path / "out")]
    told = CliRunner().invoke(rules, words)
    assert told.exit_code == 2
    assert "api.x_y: no value of code can be made up" in told.output
    assert "--no-tests" in told.output
    assert not (tmp_path / "out").exists()
    assert CliRunner().invoke(rules, [*words, "--no-tests"]).exit_code == 0
