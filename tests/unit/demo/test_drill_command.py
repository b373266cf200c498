"""`grace drill`: exit codes, and one clear line where nothing runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from catalog.load import load_catalog
from catalog.model import TimeScale
from demo.cli import drill
from demo.drills import DRILLS
from demo.faults import SIZES
from demo.workload import Ports, prepare


def invoke(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(drill, arguments)
    return result.exit_code, result.stdout, result.stderr


def test_the_list_names_every_drill() -> None:
    code, out, _ = invoke("list")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines()] == list(DRILLS)
    assert [row["name"] for row in json.loads(invoke("list", "--json")[1])] == list(DRILLS)


def test_every_drill_watches_metrics_that_are_on_and_injects_faults_that_exist() -> None:
    enabled = {metric.id for metric in load_catalog().enabled}
    for each in DRILLS.values():
        assert {metric for metric, _ in each.metrics} <= enabled
        assert set(each.faults) <= set(SIZES)
        assert each.faults or each.jam
    # Wrong exercises are no drill of their own: the proof of tighten-guardrails injects them.
    assert {fault for each in DRILLS.values() for fault in each.faults} == set(SIZES) - {"bad-exercises"}


def test_an_unknown_drill_is_wrong_use() -> None:
    code, _, error = invoke("meteor")
    assert code == 2
    assert "there is no drill 'meteor'" in error


def one_line(error: str) -> str:
    assert len(error.strip().splitlines()) == 1, error
    return error


def test_where_nothing_runs_one_line_says_so(tmp_path: Path) -> None:
    code, _, error = invoke("cpu", "--data", str(tmp_path))
    assert code == 2
    assert "grace up --drill" in one_line(error)


@pytest.mark.parametrize("record", ["", "[]", "{}", '{"urls": 3}'])
def test_a_broken_record_is_one_line(tmp_path: Path, record: str) -> None:
    (tmp_path / "up.json").write_text(record)
    code, _, error = invoke("cpu", "--data", str(tmp_path))
    assert code == 2
    assert "is not what `grace up` writes" in one_line(error)


def recorded(data: Path) -> None:
    nobody = "http://127.0.0.1:9"
    urls = {"prometheus": nobody, "alertmanager": nobody, "remediator": nobody}
    (data / "up.json").write_text(json.dumps({"urls": urls}))
    (data / "grace.yml").write_text("time_scale: {drill: true}\n")


def test_a_stack_without_the_workload_is_one_line(tmp_path: Path) -> None:
    recorded(tmp_path)
    code, _, error = invoke("cpu", "--data", str(tmp_path))
    assert code == 2
    assert "without the demo workload" in one_line(error)


def test_a_dead_stacks_record_is_one_line_and_no_fault_is_left(tmp_path: Path) -> None:
    prepare(tmp_path, Ports(), TimeScale(drill=True))
    recorded(tmp_path)
    (tmp_path / "tokens").mkdir()
    (tmp_path / "tokens" / "admin").write_text("secret-of-the-admin")
    code, out, error = invoke("cpu", "--data", str(tmp_path))
    assert code == 2
    assert "does not answer" in one_line(error)
    assert "secret-of-the-admin" not in out + error
    assert json.loads((tmp_path / "demo" / "faults.json").read_text()) == {}
