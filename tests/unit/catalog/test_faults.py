# ruff: noqa: E501 - tables read best with one row a line
"""One bad file for every rule: each fault is told once, with its place, and what would be right."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from catalog.document import MAX_BYTES, parse_document
from catalog.fault import Fault, shown
from catalog.load import CatalogError, load_catalog

Faults = Callable[..., list[str]]

EDITS = [
    # what stands there, what is written instead, the one fault
    ("    unit: count\n", "", 'team.yaml:3:5 metrics[0]: "unit" is missing'),
    ("unit: count", "unit: counts", 'team.yaml:6:5 metrics[0].unit: unknown "counts" (did you mean "count"?)'),
    ("unit_label", "unitlabel", 'team.yaml:7:5 metrics[0].unitlabel: unknown "unitlabel" (did you mean "unit_label"?)'),
    ("category: executor", "category: queue", "write one of api, executor, learning, autonomy, infra"),
    ("orders.backlog", "Orders Backlog", "write it like orders.backlog"),
    ("orders.backlog", "o" * 101, "longer than 100 characters"),
    ("title: Orders waiting", 'title: ""', "team.yaml:4:5 metrics[0].title: it must not be empty"),
    ("title: Orders waiting", "title: [a]", "metrics[0].title: a word or text is expected, not a list"),
    ("title: Orders waiting", 'title: T\n    enabled: "yes"', 'metrics[0].enabled: true or false is expected, not "yes"'),
    ("30s", "30 sec", 'team.yaml:8:5 metrics[0].interval: "30 sec" does not have the right form; write it like 30s'),
    ("30s", "-5", "metrics[0].interval: -5 is too small; at least 0"),
    ("30s", "0s", "metrics[0].interval: it must be greater than or equal to 1"),
    ("30s", "[30]", "metrics[0].interval: a word or text or a number is expected, not a list"),
    ("window: 5m", "window: 10s", "team.yaml:9:5 metrics[0].window: the window must be at least one interval long"),
    ("source: events", "source: evnts", 'metrics[0].source: unknown "evnts" (did you mean "events"?)'),
    ("source: events", "source: {collector: evnts}", 'metrics[0].source.collector: unknown "evnts"'),
    ("kind: gauge", "kind: guage", 'team.yaml:12:14 metrics[0].derive.kind: unknown "guage" (did you mean "gauge"?)'),
    ("kind: gauge, ", "", 'metrics[0].derive.kind: "kind" is missing; write one of age,'),
    ("series: orders_backlog", "series: orders-backlog", "metrics[0].derive.series: "),
    ("{kind: gauge, series: orders_backlog}", "{kind: quantile, histogram: x, quantile: 95}", "less than 1"),
    ("{kind: gauge, series: orders_backlog}", "{kind: event_ratio, numerator: a, denominator: b, at_least: 0}", "at least 1"),
    ("aggregate: max", "aggregate: sum", 'metrics[0].aggregate: unknown "sum"'),
    ("empty: zero", "empty: null", "metrics[0].empty: unknown null"),
    ("< 10", "< 12", "team.yaml:15:5 metrics[0].bands: good and warning overlap between 10 and 12"),
    ('{good: "< 10", ', "{", 'metrics[0].bands: "good" is missing'),
    ('"< 10"', "10", "metrics[0].bands.good: a word or text is expected, not 10"),
    ('"< 10"', ".nan", "metrics[0].bands.good: .nan is not a finite number"),
    ('"< 10"', "1e400", "metrics[0].bands.good: 1e400 is not a finite number"),
    ("warning: [scale-workers]", "warning: [scale-wrkers]", 'team.yaml:16:15 metrics[0].warning[0]: unknown playbook "scale-wrkers" (did you mean "scale-workers"?)'),
    ("warning: [scale-workers]", "warning: scale-workers", "metrics[0].warning: a list or a mapping (key: value) is expected"),
    ("warning: [scale-workers]", 'warning: ["escalate:me"]', "write it like scale-workers or tell:reviewers or escalate"),
    ("warning: [scale-workers]", "warning: {high: [scale-workers]}", "metrics[0].warning: the bands have one side only"),
    ("warning: [scale-workers]", "warning: {hgh: [scale-workers]}", 'metrics[0].warning.hgh: unknown "hgh" (did you mean "high"?)'),
    ("metrics:", "metrcs:", 'team.yaml:2:1 metrcs: unknown "metrcs" (did you mean "metrics"?)'),
    ("    title", "\ttitle", "team.yaml:4:1: a tab cannot indent YAML; use spaces"),
    ("unit: count", "unit: count\n    unit: ms", 'team.yaml:7:5 metrics[0].unit: "unit" stands here a second time (first on line 6)'),
    ("interval: 30s", "interval: &i 30s", "team.yaml:8:15 metrics[0].interval: anchors and aliases"),
    ("interval: 30s", "interval: !!str 30s", "metrics[0].interval: tags such as tag:yaml.org,2002:str"),
    ("derive: {", "derive: {<<: {a: 1}, ", "merge keys (<<) are not used"),
    ("derive: {", "derive: {[a]: 1, ", "team.yaml:12:14 metrics[0].derive: a key must be a word"),
    ("title: Orders waiting", 'title: "a\\0b"', "metrics[0].title: NUL and surrogate characters are not allowed"),
    ("title: Orders waiting", "title: a\x07b", "team.yaml:4:13: the character U+0007 is not allowed"),
    ("title: Orders waiting", "title: 123456789012345678901234567890", "is not a finite number that can be kept exactly"),
    ("critical: [scale-workers, escalate]", "critical: [scale-workers", "not YAML"),
]  # fmt: skip


@pytest.mark.parametrize(("there", "instead", "said"), EDITS, ids=[edit[1][:40] or "missing" for edit in EDITS])
def test_one_wrong_thing_is_one_fault(there: str, instead: str, said: str, metric_text: str, faults: Faults) -> None:
    assert there in metric_text
    (found,) = faults(metric_text.replace(there, instead, 1))
    assert said in found


PLAYBOOK = """\
playbooks:
  - id: drain-queue
    title: Drain the queue
    tier: tier_2
    risk: low
    steps: [{verb: scale, on: target, args: {by: 1}}]
    verified_by: metric
    if_ineffective: keep
"""


@pytest.mark.parametrize(
    ("there", "instead", "said"),
    [
        ("tier_2", "2", "playbooks[0].tier: unknown 2; write one of tier_1, tier_2, tier_3, tier_4"),
        ("risk: low", "risk: lo", 'playbooks[0].risk: unknown "lo" (did you mean "low"?)'),
        ("[{verb: scale, on: target, args: {by: 1}}]", "[]", "playbooks[0].steps: at least 1 expected"),
        ("verb: scale", "verb: scal", 'playbooks[0].steps[0].verb: unknown "scal" (did you mean "scale"?)'),
        ("on: target", "on: edgy", 'playbooks[0].steps[0].on: unknown "edgy" (did you mean "edge"?)'),
        ("{by: 1}", "{bye: 1}", 'steps[0].args: scale takes by or factor or to, not "bye" (did you mean "by"?)'),
        ("{by: 1}", "{by: [1]}", "steps[0].args.by"),
        ("by: metric", "by: hope", "playbooks[0].verified_by: unknown"),
        ("keep", "kep", 'playbooks[0].if_ineffective: unknown "kep" (did you mean "keep"?)'),
    ],
)
def test_one_wrong_thing_in_a_playbook(there: str, instead: str, said: str, faults: Faults) -> None:
    (found,) = faults(PLAYBOOK.replace(there, instead, 1))
    assert said in found


@pytest.mark.parametrize(
    ("binding", "said"),
    [
        ('{matchers: "alertname=~\\"(a+)+\\"", target: t, playbooks: [shift-load]}', "bindings[0].matchers: "),
        ("{matchers: [], target: t, playbooks: [shift-load]}", "bindings[0].matchers: at least 1 expected"),
        ("{matchers: 'a!=\"x\"', target: t, playbooks: [shift-load]}", "it would match every alert"),
        ("{matchers: 'a=', target: t, playbooks: [shift-load]}", "character 3: a value is expected"),
        (
            "{matchers: 'a=b', target: t, playbooks: [shift-lod]}",
            'bindings[0].playbooks[0]: unknown playbook "shift-lod"',
        ),
        ("{matchers: 'a=b', playbooks: [shift-load]}", 'bindings[0]: "target" is missing'),
        ("{matchers: 'a=b', target: t, playbooks: []}", "bindings[0].playbooks: at least 1 expected"),
    ],
)
def test_one_wrong_thing_in_a_binding(binding: str, said: str, faults: Faults) -> None:
    (found,) = faults(f"bindings:\n  - {binding}\n")
    assert said in found


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "the file is empty; write {} if that is meant"),
        ("# only a remark\n", "the file is empty"),
        ("- a\n", "team.yaml:1:1: a mapping (key: value) is expected, not a list"),
        ("hello\n", 'a mapping (key: value) is expected, not "hello"'),
        ("metrics:\n", "metrics: a list is expected, not nothing"),
        ("metrics: []\n---\nmetrics: []\n", "team.yaml:2:1: a second document begins here"),
        ("metrics: " + "[" * 5000, "nested more than 30 levels deep"),
        ("{a: " * 200, "nested more than 30 levels deep"),
        ("remove: {metrics: [api.latency]}\n", 'there is no "api.latency" to remove (did you mean "api.latency_p95"?)'),
        ("remove: {metric: [api.latency]}\n", 'remove.metric: unknown "metric" (did you mean "metrics"?)'),
        ("metrics: {a: 1}\n", "metrics: a list is expected, not a mapping"),
        ("metrics: [1]\n", "metrics[0]: a mapping (key: value) is expected, not 1"),
        ("metrics: [{title: T}]\n", 'metrics[0]: "id" is missing'),
        (b"metrics: [\xff]\n", "team.yaml:1:11: not UTF-8 (byte 0xff)"),
        ("metrics: []".encode("utf-16"), "not UTF-8"),
        (b"#" * (MAX_BYTES + 1), "larger than 2 MiB; split it into several files"),
    ],
)
def test_a_file_that_is_no_catalog(content: str | bytes, said: str, faults: Faults) -> None:
    (found,) = faults(content)
    assert said in found


def test_a_small_file_cannot_unfold_into_a_large_one(faults: Faults) -> None:
    lines = ['a0: &a0 ["lol", "lol"]', *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}, *a{n - 1}]" for n in range(1, 20))]
    assert all("anchors and aliases" in fault for fault in faults("\n".join(lines)))


def test_two_entries_of_one_file_with_one_id(metric_text: str, faults: Faults) -> None:
    (found,) = faults(metric_text + metric_text.split("metrics:\n")[1])
    assert found == 'team.yaml:18:5 metrics[1].id: "orders.backlog" stands in this file twice (see metrics[0])'


def test_two_metrics_whose_alerts_would_have_one_name(metric_text: str, faults: Faults) -> None:
    other = metric_text.split("metrics:\n")[1].replace("orders.backlog", "orders-backlog")
    (found,) = faults(metric_text + other)
    assert "metrics[1].id: its alert would be called OrdersBacklog, as that of orders.backlog" in found


def test_every_fault_of_every_file_is_told_at_once(metric_text: str, write: Callable[..., Path]) -> None:
    wrong = (
        metric_text.replace("unit: count", "unit: counts").replace("30s", "x").replace("scale-workers", "scale-wrkers")
    )
    files = [write(wrong, "one.yaml"), write("metrics: [\n", "two.yaml"), write("playboks: []\n", "three.yaml")]
    with pytest.raises(CatalogError) as raised:
        load_catalog(files)
    told = [(fault.file, fault.path) for fault in raised.value.faults]
    assert told == [
        ("one.yaml", "metrics[0].unit"),
        ("one.yaml", "metrics[0].interval"),
        ("two.yaml", ""),
        ("three.yaml", "playboks"),
    ]
    assert str(raised.value).count("\n") == 3


def test_references_are_checked_also_in_an_entry_that_is_wrong_elsewhere(metric_text: str, faults: Faults) -> None:
    wrong = metric_text.replace("unit: count", "unit: counts").replace("[scale-workers]", "[scale-wrkers]")
    assert [line.split(": ")[0].split()[-1] for line in faults(wrong)] == ["metrics[0].unit", "metrics[0].warning[0]"]


def test_a_playbook_that_is_still_named_cannot_be_removed(faults: Faults) -> None:
    found = faults("remove: {playbooks: [cleanup-disk]}\n")
    assert len(found) == 2
    assert all("team.yaml removes it, so this must no longer name it" in fault for fault in found)


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(CatalogError) as raised:
        load_catalog([tmp_path / "none.yaml", tmp_path])
    assert [fault.message for fault in raised.value.faults] == [
        "cannot be read: No such file or directory",
        "cannot be read: Is a directory",
    ]


def test_what_a_message_quotes_is_short_and_on_one_line() -> None:
    assert len(shown("a\n" * 100)) == 58
    assert "\n" not in shown("a\nb")


def test_places_are_those_of_an_editor_also_behind_wide_characters() -> None:
    document = parse_document('a: "ä🎉", \n'.encode().replace(b", \n", b"\n") + b"bb: {cc: 1}\n", "x")
    assert document.place(("bb", "cc")) == (2, 6)
    assert document.fault(("bb", "dd"), "m") == Fault("x", 2, 1, "bb.dd", "m")
