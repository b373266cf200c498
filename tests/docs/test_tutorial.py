"""The README and the tutorial, typed as they stand, on the real thing."""

from __future__ import annotations

import pytest

from tests.docs.conftest import ROOT
from tests.docs.console import Shell

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(900)]


def test_the_tutorial(shell: Shell) -> None:
    assert shell.follow(ROOT / "docs" / "tutorial.md") >= 11


def test_what_the_readme_shows(shell: Shell) -> None:
    shell.run('make up ARGS="--drill"', ["all green in 1 s"])
    assert shell.follow(ROOT / "README.md") == 3
