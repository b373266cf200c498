"""`docs/how-to/add-a-collector.md`, followed to the letter: what it adds measures, and harms nobody when it fails."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
PAGE = REPOSITORY / "docs" / "how-to" / "add-a-collector.md"
BLOCK = re.compile(r"^(?P<before>[^\n]*)\n\n```(?P<kind>\w+)\n(?P<text>.*?)^```$", re.M | re.S)
COPIED = ("catalog", "exporter", "stack", "remediator", "rules", "demo", "grafana", "grace", "tests", "pyproject.toml")


def follow(root: Path) -> list[str]:
    """Do what the page says below `root`; the commands it ends with."""
    file = root
    for block in BLOCK.finditer(PAGE.read_text()):
        before, text = block["before"].strip(), block["text"]
        if block["kind"] == "sh":
            return text.splitlines()
        if named := re.fullmatch(r"`([\w/.]+)`:", before):
            file = root / named[1]
            assert not file.exists(), f"{file} is there already"
            file.write_text(text)
            continue
        told = re.fullmatch(r"(?:In `(?P<file>[\w/.]+)`, |and )below `(?P<line>[^`]+)`:", before)
        assert told, f"what is to be done with the block after {before!r}?"
        file = root / told["file"] if told["file"] else file
        written = file.read_text()
        assert written.count(f"{told['line']}\n") == 1, f"{file} has no line {told['line']!r}"
        file.write_text(written.replace(f"{told['line']}\n", f"{told['line']}\n{text}"))
    raise AssertionError("the page ends without trying it")


def test_the_page_adds_a_collector(tmp_path: Path) -> None:
    root = tmp_path / "grace"
    root.mkdir()
    for name in COPIED:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / name)
    (root / ".venv").symlink_to(REPOSITORY / ".venv")
    tools = os.environ.get("GRACE_TOOLS", str(REPOSITORY / ".grace" / "tools"))
    environment = {**os.environ, "GRACE_TOOLS": tools, "PYTHONPATH": str(root)}
    environment.pop("PYTEST_CURRENT_TEST", None)
    said = ""
    for command in follow(root):
        done = subprocess.run(
            command, shell=True, cwd=root, env=environment, capture_output=True, text=True, check=False
        )
        said += done.stdout
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    printed = re.search(r"`(grace_executor_queue_depth[^`]*)`", PAGE.read_text())
    assert printed
    assert f"\n{printed[1]}\n" in said
    assert "1 collector, no fault" in said
    passed = re.search(r"(\d+) passed", said)
    assert passed, said
    assert int(passed[1]) == 6
