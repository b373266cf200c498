"""What `grace up` writes: people's edits are kept, and nothing is ever half there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml

from catalog.load import load_config, load_inventory, load_policy
from catalog.model import TimeScale
from stack import configure, files
from stack.configure import Plan
from stack.ports import Ports
from stack.problem import Unusable

DRILL = TimeScale(drill=True)


def plan(data: Path, ports: Ports | None = None, scale: TimeScale = DRILL, with_demo: bool = True) -> Plan:
    return Plan(data, ports or Ports(), (9785, 9786, 9787), scale, with_demo)


def test_our_own_file_is_written_again_and_an_edited_one_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "grace.yml"
    assert files.write_ours(path, "a: 1\n")
    assert files.write_ours(path, "a: 2\n")
    assert yaml.safe_load(path.read_text()) == {"a": 2}
    path.write_text(path.read_text().replace("a: 2", "a: 3"))
    assert not files.write_ours(path, "a: 4\n")
    assert yaml.safe_load(path.read_text()) == {"a": 3}


def test_a_persons_own_file_is_never_ours(tmp_path: Path) -> None:
    (tmp_path / "grace.yml").write_bytes(b"data_dir: \xff\n")
    assert not files.write_ours(tmp_path / "grace.yml", "a: 1\n")


def test_an_interrupted_write_leaves_what_was_there_and_no_debris(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "up.json"
    files.write_atomically(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        files.write_atomically(path, "new")
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir()] == ["up.json"]


@pytest.mark.parametrize("with_demo", [True, False])
def test_everything_written_can_be_loaded_and_says_where_the_parts_are(tmp_path: Path, with_demo: bool) -> None:
    written = configure.write(plan(tmp_path, Ports(remediator=1234), with_demo=with_demo))
    config = load_config(tmp_path / "grace.yml")
    assert config == written.config
    assert config.data_dir.resolve() == tmp_path.resolve()
    assert config.remediator_url == "http://127.0.0.1:1234"
    assert bool(load_inventory(config.inventory).targets) == with_demo
    assert "127.0.0.1:1234" in (tmp_path / "prometheus.yml").read_text()
    assert "http://127.0.0.1:1234/api/v1/alerts" in (tmp_path / "alertmanager.yml").read_text()
    assert {path.name for path in (tmp_path / "rules").glob("*.yml")} >= {"infra.cpu_utilization.yml", "grace.yml"}
    assert written.kept == ()


def test_cooldowns_and_expiries_shrink_in_the_drill_profile_only(tmp_path: Path) -> None:
    configure.write(plan(tmp_path))
    policy = load_policy(tmp_path / "governance.yml")
    assert (policy.cooldown, policy.attempt_cooldown, policy.approval_expiry) == (60, 12, 180)
    assert (policy.blast.within, policy.storm.leave_after, policy.release_after) == (180, 60, 360)
    configure.write(plan(tmp_path, scale=TimeScale()))
    assert load_config(tmp_path / "grace.yml").governance is None
    assert load_policy(tmp_path / "governance.yml").cooldown == 600


def test_an_edit_that_adds_is_obeyed_and_one_that_contradicts_the_run_is_refused(tmp_path: Path) -> None:
    configure.write(plan(tmp_path))
    path = tmp_path / "grace.yml"
    (tmp_path / "mine.yaml").write_text("metrics:\n  - id: infra.disk_usage\n    enabled: false\n")
    path.write_text(path.read_text() + "catalog: [mine.yaml]\n")
    written = configure.write(plan(tmp_path))
    assert written.kept == ("grace.yml",)
    assert len(written.catalog.enabled) == 16
    with pytest.raises(Unusable, match=r"was edited and says remediator_url: .*9782, but this run needs .*:1"):
        configure.write(plan(tmp_path, Ports(remediator=1)))
