"""The generated promtool tests, put to the test: damaged rules must fail them."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from catalog.load import load_catalog
from catalog.model import MetricCatalogEntry, TimeScale
from rules.groups import clock, group
from rules.promtests import metric_test
from rules.yamltext import dump
from tests.prove.rules.mutations import Mutation, mutations

COUNT, SEED = 220, 20
PROCESSES = 2
CAUGHT = 0.95
"""The share that is caught at least. What is not is printed, with the reason."""
BESIDE = ("_avg", "_min", "_max", "_p95")
"""Ends of the names of records that no alert rests on."""

EXPLAINED = (
    ("GraceMetricStale", "grace_source:evaluated", "promtool never stops evaluating; a live test restarts Prometheus"),
    ("grace_measurement:", "", "how many lost evaluations the memory of the last reading outlives, at lives' jitter"),
    ("grace_source:returned", "", "the memory of a source outlives every life but the one of its own"),
    ("", "timestamp(", "a series that ends unmarked while its target is scraped, which no scrape can bring about"),
    ("", "offset", "which scrapes of a counter's gap are read: scrapes between two evaluations"),
)
"""Where survivors are, by the record and the line that was damaged, and why no life sees them."""


@dataclass(frozen=True)
class Mutant:
    """One rule of one metric, damaged."""

    metric: MetricCatalogEntry
    record: str
    mutation: Mutation
    rules: str

    def survives(self, promtool: Path, folder: Path, test: str) -> bool:
        """Whether the metric's tests pass all the same."""
        (folder / "tests").mkdir(parents=True)
        (folder / f"{self.metric.id}.yml").write_text(self.rules)
        (folder / "tests" / "test.yml").write_text(test)
        command = [promtool, "test", "rules", folder / "tests" / "test.yml"]
        return subprocess.run(["nice", "-n", "15", *command], capture_output=True).returncode == 0

    def explained(self) -> str:
        for record, line, why in EXPLAINED:
            if record in self.record and line in self.mutation.what:
                return why
        return "no life of this kind of metric shows it"

    def __str__(self) -> str:
        return f"{self.metric.id} {self.record}: {self.mutation.what[:160]}\n    {self.explained()}"


def mutants(metrics: tuple[MetricCatalogEntry, ...], chance: random.Random) -> Iterator[Mutant]:
    """Mutants without end: every metric, every rule that an alert rests on and every kind of damage alike."""
    while True:
        metric = chance.choice(metrics)
        spans = clock(metric, TimeScale())
        value = group(metric, TimeScale(), "docs")
        rule = chance.choice([each for each in value["rules"] if not each.get("record", "").endswith(BESIDE)])
        record = rule.get("record") or rule["alert"]
        every = list(mutations(record, rule["expr"], spans.interval, spans.samples))
        if not every:
            continue
        kind = chance.choice(sorted({each.kind for each in every}))
        mutation = chance.choice([each for each in every if each.kind == kind])
        rule["expr"] = mutation.expr
        yield Mutant(metric, record, mutation, dump({"groups": [value]}))


@pytest.mark.prove
@pytest.mark.timeout(1800)
@pytest.mark.xfail(reason="80 to 88 % are caught: lives that show the rest are missing", strict=True)
def test_the_generated_tests_catch_what_is_damaged(promtool: Path, tmp_path: Path) -> None:
    metrics = tuple(load_catalog().enabled)
    tests = {metric.id: dump(metric_test(metric, TimeScale())) for metric in metrics}
    endless = mutants(metrics, random.Random(SEED))
    found = [next(endless) for _ in range(COUNT)]
    with ThreadPoolExecutor(PROCESSES) as workers:
        running = [
            workers.submit(mutant.survives, promtool, tmp_path / str(number), tests[mutant.metric.id])
            for number, mutant in enumerate(found)
        ]
        survivors = [mutant for mutant, outcome in zip(found, running, strict=True) if outcome.result()]
    caught = COUNT - len(survivors)
    print(f"\n{caught} of {COUNT} damaged rules were caught ({caught / COUNT:.1%}); these were not:")
    for mutant in survivors:
        print(f"- {mutant}")
    assert caught / COUNT >= CAUGHT


def test_damage_is_damage() -> None:
    for metric in load_catalog().enabled:
        spans = clock(metric, TimeScale())
        for rule in group(metric, TimeScale(), "docs")["rules"]:
            for each in mutations(rule.get("record") or rule["alert"], rule["expr"], spans.interval, spans.samples):
                assert each.expr != rule["expr"]
