"""A packaged program runs from wherever it lies."""

from __future__ import annotations

import subprocess
from pathlib import Path

from stack.relocate import COMPILED_IN, relocate, start_script
from stack.tools import parse_version


def test_a_compiled_in_path_leads_to_the_folder_beside_the_program(tmp_path: Path) -> None:
    root = tmp_path / "packages" / "a package"
    (root / "usr" / "bin").mkdir(parents=True)
    share = root / COMPILED_IN.decode().lstrip("/")
    share.mkdir(parents=True)
    (share / "default.tmpl").write_text("the template")
    program = root / "usr" / "bin" / "reader"
    program.write_bytes(b"#!/bin/sh\ncat " + COMPILED_IN + b'/default.tmpl; echo " $1"\n')
    program.chmod(0o755)
    length = program.stat().st_size

    folder = relocate(program, root)
    assert folder == share
    assert program.stat().st_size == length
    assert relocate(program, root) == share  # again, as after an interrupted unpacking

    bin_folder = tmp_path / "usr" / "bin"
    bin_folder.mkdir(parents=True)
    script = bin_folder / "reader"
    script.write_text(start_script(program, [], folder, bin_folder))
    script.chmod(0o755)
    moved = tmp_path.rename(tmp_path.with_name("moved away")) / "usr" / "bin" / "reader"
    assert subprocess.run([moved, "an argument"], capture_output=True, text=True, check=True).stdout == (
        "the template an argument\n"
    )


def test_a_program_without_such_a_path_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / COMPILED_IN.decode().lstrip("/")).mkdir(parents=True)
    program = tmp_path / "plain"
    program.write_text("nothing")
    assert relocate(program, tmp_path) is None
    assert program.read_text() == "nothing"


def test_versions_are_compared_by_their_numbers() -> None:
    assert parse_version("2.42.0+ds") == (2, 42, 0)
    assert parse_version("2.6.12-1+deb12u4") == (2, 6, 12)
    assert parse_version("10.0") > parse_version("9.9.9")
    assert parse_version("none") == ()
