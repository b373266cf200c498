"""The README and the tutorial, typed as they stand, on the real thing."""

from __future__ import annotations

import pytest

from tests.docs.conftest import ROOT
from tests.docs.console import Shell

# Slow, and held to every line that is shown: a drill on a busy machine may raise a warning before it is critical.
pytestmark = [pytest.mark.prove, pytest.mark.timeout(900)]


def test_the_tutorial(shell: Shell) -> None:
    assert shell.follow(ROOT / "docs" / "tutorial.md") >= 11


def test_what_the_readme_shows(shell: Shell) -> None:
    shell.run('make up ARGS="--drill"', ["all green in 1 s"])
    assert shell.follow(ROOT / "README.md") == 3
