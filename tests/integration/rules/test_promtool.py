"""promtool and amtool about everything that is generated, at full scale and in drills, of both lines of Prometheus."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from catalog.load import load_catalog
from catalog.model import TimeScale
from rules.build import build
from rules.cli import rules
from rules.output import write

SMALL = Path(__file__).parents[2] / "unit" / "rules" / "golden" / "catalog.yaml"


def checked(folder: Path, binaries: Mapping[str, Path], scale: TimeScale | None = None) -> Result:
    options = [word for name, path in binaries.items() for word in (f"--{name}", str(path))]
    options += ["--scrape-interval", str((scale or TimeScale()).scrape_interval())]
    return CliRunner().invoke(rules, ["check", str(folder), *options])


@pytest.mark.parametrize("scale", [TimeScale(), TimeScale(drill=True)], ids=["full", "drill"])
@pytest.mark.parametrize("which", ["shipped", "every kind of derivation"])
def test_everything_generated_passes(
    both_lines: Mapping[str, Path], scale: TimeScale, which: str, tmp_path: Path
) -> None:
    catalog = load_catalog() if which == "shipped" else load_catalog([SMALL], shipped=None)
    write(tmp_path, build(catalog, scale))
    told = checked(tmp_path, both_lines, scale)
    assert told.exit_code == 0, told.output


def test_a_threshold_changed_by_hand_is_caught(promtool: Path, amtool: Path, tmp_path: Path) -> None:
    write(tmp_path, build(load_catalog([SMALL], shipped=None)))
    rule_file = tmp_path / "learning.refunds.yml"
    rule_file.write_text(rule_file.read_text().replace("> bool 10)", "> bool 11)", 1))
    told = checked(tmp_path, {"promtool": promtool, "amtool": amtool})
    assert told.exit_code == 1
    assert "promtool test rules" in told.output
