"""`docs/how-to/add-a-driver.md`, followed to the letter: what it adds passes the contract suite."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[3]
PAGE = REPOSITORY / "docs" / "how-to" / "add-a-driver.md"
BLOCK = re.compile(r"^(?P<before>[^\n]*):?\n\n(?P<fence>`{3,4})(?P<kind>\w+)\n(?P<text>.*?)^(?P=fence)$", re.M | re.S)
COPIED = ("catalog", "remediator", "stack", "rules", "exporter", "demo", "grafana", "grace", "tests", "pyproject.toml")


@dataclass(frozen=True)
class Block:
    """A block of the page and the line that says what to do with it."""

    before: str
    kind: str
    text: str


def blocks() -> Iterator[Block]:
    for found in BLOCK.finditer(PAGE.read_text()):
        yield Block(found["before"].strip(), found["kind"], found["text"])


def follow(root: Path) -> list[str]:
    """Do what the page says below `root`; the commands it ends with."""
    file = root
    for block in blocks():
        if block.kind == "sh":
            return block.text.splitlines()
        if named := re.fullmatch(r"`([\w/.]+)`:", block.before):
            file = root / named[1]
            assert not file.exists(), f"{file} is there already"
            file.parent.mkdir(exist_ok=True)
            file.write_text(block.text)
            continue
        told = re.fullmatch(r"(?:In `(?P<file>[\w/.]+)`, |and )below `(?P<line>[^`]+)`:", block.before)
        assert told, f"what is to be done with the block after {block.before!r}?"
        file = root / told["file"] if told["file"] else file
        text = file.read_text()
        assert text.count(f"{told['line']}\n") == 1, f"{file} has no line {told['line']!r}"
        file.write_text(text.replace(f"{told['line']}\n", f"{told['line']}\n{block.text}"))
    raise AssertionError("the page ends without trying it")


def test_the_page_adds_a_driver_that_keeps_every_promise(tmp_path: Path) -> None:
    root = tmp_path / "grace"
    root.mkdir()
    for name in COPIED:
        source = REPOSITORY / name
        if source.is_dir():
            shutil.copytree(source, root / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, root / name)
    (root / ".venv").symlink_to(REPOSITORY / ".venv")
    environment = {**os.environ, "GRACE_TOOLS": os.environ.get("GRACE_TOOLS", str(REPOSITORY / ".grace" / "tools"))}
    environment.pop("PYTEST_CURRENT_TEST", None)
    said = ""
    for command in follow(root):
        done = subprocess.run(command, shell=True, cwd=root, env=environment, capture_output=True, text=True)
        said += done.stdout
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    passed = re.search(r"(\d+) passed", said)
    assert passed, said
    assert int(passed[1]) >= 14
    assert "skipped" not in said
