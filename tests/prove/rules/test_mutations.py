"""The generated promtool tests, put to the test: damaged rules must fail them."""

from __future__ import annotations

import random
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from catalog.load import load_catalog
from catalog.model import MetricCatalogEntry, TimeScale
from rules.groups import clock, group
from rules.promtests import metric_tests
from rules.yamltext import dump
from tests.prove.rules.mutations import EQUIVALENT, Equivalent, Mutation, mutations

SEEDS = (20, 21, 22, 23)
EACH = 60
"""How many damaged rules each seed draws that mean something else."""
PROCESSES = 2
CAUGHT = 0.95
"""The share that is caught at least. What is not is printed, with the reason."""
BESIDE = ("_avg", "_min", "_max", "_p95")
"""Ends of the names of records that no alert rests on."""

EXPLAINED = (
    ("grace_value:sample", "guard '> -Inf < +Inf'", "no life has a counter that stands at no number or at infinity"),
    (
        "grace_source:present",
        "guard '> -Inf < +Inf'",
        "what says that the source lives is a count, and always a number",
    ),
    (
        "grace_value:sample",
        "unless on (resource) last_over_time(",
        "no life has a counter that just one scrape ever saw",
    ),
)
"""Where survivors are, by the record and the line that was damaged, and why no life sees them."""


@dataclass(frozen=True)
class Mutant:
    """One rule of one metric, damaged."""

    metric: MetricCatalogEntry
    record: str
    mutation: Mutation
    rules: str

    def survives(self, promtool: Path, folder: Path, tests: Sequence[str]) -> bool:
        """Whether the metric's tests pass all the same."""
        (folder / "tests").mkdir(parents=True)
        (folder / f"{self.metric.id}.yml").write_text(self.rules)
        return all(self._passes(promtool, folder / "tests" / "test.yml", test) for test in tests)

    def _passes(self, promtool: Path, file: Path, test: str) -> bool:
        file.write_text(test)
        command = ["nice", "-n", "15", promtool, "test", "rules", file]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0

    def explained(self) -> str:
        for record, line, why in EXPLAINED:
            if record in self.record and line in self.mutation.what:
                return why
        return "no life of this kind of metric shows it"

    def __str__(self) -> str:
        return f"{self.metric.id} {self.record}: {self.mutation.what[:160]}"


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


def drawn(metrics: tuple[MetricCatalogEntry, ...]) -> tuple[list[Mutant], list[Mutant]]:
    """Those that mean something else, so many for each seed, and those drawn beside them that provably do not."""
    different: list[Mutant] = []
    same: list[Mutant] = []
    for number, seed in enumerate(SEEDS, 1):
        endless = mutants(metrics, random.Random(seed))
        while len(different) < number * EACH:
            mutant = next(endless)
            (same if mutant.mutation.proof else different).append(mutant)
    return different, same


def single_tests(metric: MetricCatalogEntry) -> list[str]:
    """Each generated test in a document of its own, the one that takes longest last."""
    documents = metric_tests(metric, TimeScale()).values()
    tests = [dump({**document, "tests": [test]}) for document in documents for test in document["tests"]]
    return [tests[0], *tests[2:], tests[1]]


@pytest.mark.prove
@pytest.mark.timeout(1800)
def test_the_generated_tests_catch_what_is_damaged(promtool: Path, tmp_path: Path) -> None:
    metrics = tuple(load_catalog().enabled)
    tests = {metric.id: single_tests(metric) for metric in metrics}
    different, same = drawn(metrics)
    with ThreadPoolExecutor(PROCESSES) as workers:
        running = [
            workers.submit(mutant.survives, promtool, tmp_path / str(number), tests[mutant.metric.id])
            for number, mutant in enumerate(different)
        ]
        survivors = [mutant for mutant, outcome in zip(different, running, strict=True) if outcome.result()]
    caught = len(different) - len(survivors)
    print(f"\n{caught} of {len(different)} damaged rules were caught ({caught / len(different):.1%}); these were not:")
    for mutant in survivors:
        print(f"- {mutant}\n    {mutant.explained()}")
    print(f"Drawn beside them and not counted, for they mean the same ({len(same)}):")
    for mutant in same:
        print(f"- {mutant}\n    {mutant.mutation.proof}")
    assert caught / len(different) >= CAUGHT


def test_damage_is_damage() -> None:
    for metric in load_catalog().enabled:
        spans = clock(metric, TimeScale())
        for rule in group(metric, TimeScale(), "docs")["rules"]:
            for each in mutations(rule.get("record") or rule["alert"], rule["expr"], spans.interval, spans.samples):
                assert each.expr != rule["expr"]


@pytest.mark.parametrize("equivalent", EQUIVALENT, ids=lambda each: each.record)
def test_a_proof_is_narrow(equivalent: Equivalent) -> None:
    """It is used, and by few: a proof that covers much would make survivors disappear."""
    covered = total = 0
    for metric in load_catalog().enabled:
        spans = clock(metric, TimeScale())
        for rule in group(metric, TimeScale(), "docs")["rules"]:
            for each in mutations(rule.get("record") or rule["alert"], rule["expr"], spans.interval, spans.samples):
                total += 1
                covered += each.proof == equivalent.proof
    assert 0 < covered < 0.04 * total
