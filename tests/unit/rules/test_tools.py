"""Where promtool and amtool are looked for, and in which order."""

from __future__ import annotations

from pathlib import Path

import pytest

from rules.tools import ToolMissing, find


def program(folder: Path, mode: int = 0o755) -> Path:
    path = folder / "promtool"
    folder.mkdir(parents=True, exist_ok=True)
    path.write_text("#!/bin/sh\n")
    path.chmod(mode)
    return path


def test_the_one_given_then_grace_tools_then_path_then_what_was_unpacked(tmp_path: Path) -> None:
    given, known = program(tmp_path / "given"), program(tmp_path / "known/usr/bin")
    on_path, unpacked = program(tmp_path / "path"), program(tmp_path / "unpacked/usr/bin")
    environment = {"GRACE_TOOLS": str(tmp_path / "known"), "PATH": str(tmp_path / "path")}
    places = {"environment": environment, "unpacked": tmp_path / "unpacked"}
    assert find("promtool", given, **places) == given
    for expected in (known, on_path, unpacked):
        assert find("promtool", **places) == expected
        expected.chmod(0o644)
    with pytest.raises(ToolMissing, match="grace tools"):
        find("promtool", **places)
    given.chmod(0o644)
    with pytest.raises(ToolMissing, match="not a program"):
        find("promtool", given, **places)
