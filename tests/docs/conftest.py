"""A shell in an empty folder, with the programs that the documentation uses."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from stack.tools import Tool
from tests.docs.console import Shell

ROOT = Path(__file__).parents[2]
KUBECTL = Path(__file__).parent / "kubectl.py"


@pytest.fixture
def shell(tools: Mapping[str, Tool], free_port: Callable[[], int]) -> Iterator[Shell]:
    with tempfile.TemporaryDirectory(prefix="grace-") as name:
        folder = Path(name) / "grace"
        folder.mkdir()
        places = dict.fromkeys(str(tool.path.parent) for tool in tools.values())
        names = folder.parent / "bin"
        names.mkdir()
        for tool, found in tools.items():  # by the names their authors gave them
            (names / tool).symlink_to(found.path)
        kubectl = names / "kubectl"
        kubectl.write_text(f'#!/bin/sh\nexec "{sys.executable}" "{KUBECTL}" "$@"\n')
        kubectl.chmod(0o755)
        shell = Shell(folder, free_port, os.pathsep.join([str(names), *places, os.environ["PATH"]]))
        try:
            yield shell
        finally:
            shell.close()
