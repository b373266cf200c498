"""One engine with its images for all of these proofs."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.prove.compose import lab


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is committed, as a clone would have it."""
    folder = tmp_path_factory.mktemp("checkout") / "grace"
    folder.mkdir()
    with subprocess.Popen(["git", "archive", "HEAD"], cwd=lab.ROOT, stdout=subprocess.PIPE) as archive:
        subprocess.run(["tar", "-x", "-C", folder], stdin=archive.stdout, check=True)
    return folder


@pytest.fixture(scope="session")
def engine(checkout: Path) -> Iterator[lab.Engine]:
    # An engine needs root and control groups, which no package brings.
    if reason := lab.why_not():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="gd-compose-"))
    folder.chmod(0o755)
    try:
        with lab.engine(folder, isolated=False) as builder:
            lab.make_images(builder, checkout)
        with lab.engine(folder, isolated=True) as there:
            yield there
    finally:
        lab.remove(folder)
