"""What a small catalog compiles to, byte for byte. `GRACE_GOLDEN=write` writes the files anew, to be read in review."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from catalog.model import Catalog, TimeScale
from rules.build import build
from rules.cli import GENERATED
from rules.compile import compile_rules

GOLDEN = Path(__file__).parent / "golden"


def test_the_small_catalog_compiles_to_what_was_reviewed(small: Catalog) -> None:
    generated = build(small)
    kept = {name: text for name, text in generated.items() if not name.startswith(("tests/", "operator/"))}
    for name, text in kept.items():
        file = GOLDEN / name
        if os.environ.get("GRACE_GOLDEN") == "write":
            file.parent.mkdir(exist_ok=True)
            file.write_text(text)
        assert file.read_text() == text, name
    there = {path.relative_to(GOLDEN).as_posix() for path in GOLDEN.rglob("*.yml")}
    assert there == set(kept)


def test_what_is_committed_is_what_the_catalog_says(shipped: Catalog) -> None:
    for name, text in build(shipped).items():
        assert (GENERATED / name).read_text() == text, f"{name}: run `make generate`"


def test_the_same_bytes_whatever_the_hash_seed_and_the_place(tmp_path: Path) -> None:
    script = (
        "import hashlib; from catalog.load import load_catalog; from rules.build import build;"
        "print(hashlib.sha256(repr(sorted(build(load_catalog()).items())).encode()).hexdigest())"
    )
    root = str(GENERATED.parent.parent)
    digests = {
        subprocess.run(
            [sys.executable, "-c", script],
            cwd=tmp_path,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": root, "TZ": zone, "LC_ALL": "C"},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed, zone in (("0", "UTC"), ("4242", "Asia/Tokyo"))
    }
    assert len(digests) == 1


def test_rule_files_alone_lie_at_the_top(shipped: Catalog) -> None:
    for name, text in build(shipped).items():
        assert text.startswith("# DO NOT EDIT. Generated from the catalog"), name
        assert ("/" in name) == ("groups" not in yaml.safe_load(text)), name


@pytest.mark.parametrize("scale", [TimeScale(), TimeScale(drill=True), TimeScale(factor=0.1)])
def test_bands_exclude_each_other_by_construction(shipped: Catalog, scale: TimeScale) -> None:
    """Warning and critical share a name and compare one series; labels carry no values; intervals are the metric's."""
    for text in compile_rules(shipped, scale).values():
        for group in yaml.safe_load(text)["groups"]:
            alerts = [rule for rule in group["rules"] if "alert" in rule]
            assert not [rule for rule in alerts if "$value" in str(rule["labels"])]
            own = [rule for rule in alerts if rule["labels"].get("grace") == "true" and "Stale" not in rule["alert"]]
            if group["name"] == "grace.meta":
                assert not own
                continue
            metric = shipped.metrics[group["name"].removeprefix("grace.")]
            assert [rule["alert"] for rule in own] == [metric.alertname] * 2
            critical, warning = own
            assert critical["expr"] == warning["expr"].replace("== 1", "== 2")
            assert critical["labels"] == {
                "severity": "critical",
                "metric_id": metric.id,
                "category": metric.category.value,
                "grace": "true",
            }


def test_a_scale_below_the_scrape_interval_is_refused(shipped: Catalog) -> None:
    with pytest.raises(ValueError, match=r"executor\.queue_depth|infra|api\.latency_p95"):
        compile_rules(shipped, TimeScale(factor=0.01))
