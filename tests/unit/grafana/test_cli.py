"""The commands: exit codes, what is written, what is left alone."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from grafana.cli import grafana


def run(*arguments: str | Path) -> tuple[int, str, str]:
    result = CliRunner().invoke(grafana, list(map(str, arguments)))
    return result.exit_code, result.stdout, result.stderr


def test_build_writes_everything_and_then_nothing(tmp_path: Path, files: Mapping[str, str]) -> None:
    assert run("build", "--out", tmp_path)[0] == 0
    assert {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*.*")} == set(files)
    assert "0 changed" in run("build", "--out", tmp_path)[1]
    assert run("build", "--out", tmp_path, "--check")[0] == 0


def test_drift_is_shown_and_not_mended_by_looking(tmp_path: Path) -> None:
    run("build", "--out", tmp_path)
    file = tmp_path / "dashboards" / "grace-api.json"
    edited = file.read_text().replace("API latency", "Our latency")
    file.write_text(edited)
    code, out, err = run("build", "--out", tmp_path, "--check")
    assert code == 1
    assert "Our latency" in out
    assert "1 files" in err
    assert file.read_text() == edited


def test_ours_of_an_earlier_catalog_go_and_strangers_stay(tmp_path: Path) -> None:
    run("build", "--out", tmp_path)
    folder = tmp_path / "dashboards"
    earlier, stranger = folder / "grace-old.json", folder / "team.json"
    earlier.write_text((folder / "grace-api.json").read_text())
    stranger.write_text('{"panels": []}')
    assert run("build", "--out", tmp_path, "--check")[0] == 1
    run("build", "--out", tmp_path)
    assert (earlier.exists(), stranger.exists()) == (False, True)


def test_check_of_our_own_passes() -> None:
    code, out, _ = run("check")
    assert (code, out.splitlines()[-1].startswith("8 dashboards")) == (0, True)


def test_findings_are_exit_code_1_and_a_rule_can_be_left_out(tmp_path: Path) -> None:
    file = tmp_path / "x.json"
    file.write_text(json.dumps({"title": "x", "description": "x", "panels": []}))
    code, out, _ = run("check", file)
    assert (code, "[uid-missing]" in out) == (1, True)
    code, out, _ = run("check", "--json", file)
    assert (code, json.loads(out)["findings"][0]["rule"]) == (1, "uid-missing")
    assert run("check", "--ignore", "uid-missing", file)[0] == 0


@pytest.mark.parametrize("text", ["{", "[]", "{}"])
def test_what_is_no_dashboard_is_exit_code_2(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text(text)
    code, _, err = run("check", tmp_path / "x.json")
    assert code == 2
    assert "x.json" in err


def test_wrong_usage_is_exit_code_2(tmp_path: Path) -> None:
    assert run("check", tmp_path)[0] == 2
    assert run("check", "--since", "soon")[0] == 2
    assert run("check", "--since", "0s")[0] == 2
    assert run("build", "--catalog", tmp_path / "none.yaml")[0] == 2


def test_checking_needs_no_foundation_sdk() -> None:
    program = (
        "import sys; sys.modules['grafana_foundation_sdk'] = None\n"
        "from click.testing import CliRunner\n"
        "from grafana.cli import grafana\n"
        "assert CliRunner().invoke(grafana, ['check']).exit_code == 0\n"
        "built = CliRunner().invoke(grafana, ['build', '--check'])\n"
        "assert built.exit_code == 2 and 'grace[grafana]' in built.stderr, built.output\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
