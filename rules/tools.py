"""promtool and amtool: where they are, and what they say about files."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

UNPACKED = Path(".grace/tools")
"""Where `grace up` and `grace tools` unpack them unless they are told otherwise."""
TIMEOUT = 600.0
"""Seconds after which a checker counts as stuck."""


class ToolMissing(Exception):
    """A checker is not on this machine; the message says how to get it."""


@dataclass(frozen=True)
class Outcome:
    """What a checker said of some files, and whether it was content."""

    what: str
    ok: bool
    output: str


def find(
    name: str, option: Path | None = None, environment: Mapping[str, str] = os.environ, unpacked: Path = UNPACKED
) -> Path:
    """The checker: the one given, else in $GRACE_TOOLS, else on PATH, else unpacked here. Raises ToolMissing."""
    if option is not None:
        if os.access(option, os.X_OK):
            return option
        raise ToolMissing(f"{option} is not a program that can be run")
    known = environment.get("GRACE_TOOLS")
    folders = [*([_programs(Path(known))] if known else []), environment.get("PATH", os.defpath), _programs(unpacked)]
    if found := shutil.which(name, path=os.pathsep.join(folders)):
        return Path(found)
    raise ToolMissing(
        f"{name} was found neither in $GRACE_TOOLS nor on PATH nor in {unpacked}. `grace tools` unpacks it there "
        f"without root; or say where it is with --{name} FILE"
    )


def _programs(folder: Path) -> str:
    return str(folder.absolute() / "usr" / "bin")


def check_rules(promtool: Path, files: Sequence[Path]) -> Outcome:
    """`promtool check rules`, with every lint it knows, each one fatal."""
    return _run("promtool check rules", [promtool, "check", "rules", "--lint=all", "--lint-fatal", *files])


def test_rules(promtool: Path, files: Sequence[Path]) -> Outcome:
    """`promtool test rules`: do the alerts fire where they should, and only there?"""
    return _run("promtool test rules", [promtool, "test", "rules", *files])


def check_config(amtool: Path, file: Path) -> Outcome:
    """`amtool check-config`."""
    return _run(f"amtool check-config {file.name}", [amtool, "check-config", file])


def _run(what: str, command: Sequence[Path | str]) -> Outcome:
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=TIMEOUT, check=False)
    return Outcome(what, done.returncode == 0, (done.stdout + done.stderr).strip())
