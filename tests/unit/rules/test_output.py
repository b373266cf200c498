"""Files are written all or none, and nobody else's are touched."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rules import output

HEAD = f"# {output.MARK}; more\n"


def tree(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_what_is_gone_from_the_catalog_is_removed_and_strangers_stay(tmp_path: Path) -> None:
    files = {"api.yml": HEAD + "a: 1\n", "tests/api.yml": HEAD + "b: 1\n"}
    output.write(tmp_path, files)
    (tmp_path / "mine.yml").write_text("groups: []\n")
    assert output.drift(tmp_path, files) == {}
    changed = output.write(tmp_path, {"api.yml": HEAD + "a: 2\n"})
    assert {path.name for path in changed} == {"api.yml"}
    assert tree(tmp_path) == {"api.yml": HEAD + "a: 2\n", "mine.yml": "groups: []\n"}


def test_what_was_changed_by_hand_is_drift(tmp_path: Path) -> None:
    files = {"api.yml": HEAD + "expr: a > 0.7\n", "infra.yml": HEAD}
    output.write(tmp_path, files)
    (tmp_path / "api.yml").write_text(HEAD + "expr: a > 0.8\n")
    (tmp_path / "infra.yml").unlink()
    drift = output.drift(tmp_path, files)
    assert list(drift) == ["api.yml", "infra.yml"]
    assert "-expr: a > 0.8" in drift["api.yml"]
    assert "+expr: a > 0.7" in drift["api.yml"]


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_a_failure_leaves_everything_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails_at: int) -> None:
    output.write(tmp_path, {name: HEAD + name for name in ("a.yml", "b.yml", "c.yml")})
    before = tree(tmp_path)
    real, calls = os.replace, []

    def replace(source: str, target: str) -> None:
        calls.append(target)
        if len(calls) == fails_at:
            raise OSError("disk full")
        real(source, target)

    monkeypatch.setattr(output.os, "replace", replace)
    with pytest.raises(OSError, match="disk full"):
        output.write(tmp_path, dict.fromkeys(("a.yml", "b.yml", "d.yml"), HEAD + "new"))
    assert tree(tmp_path) == before


def test_a_folder_that_cannot_be_made_writes_nothing(tmp_path: Path) -> None:
    (tmp_path / "tests").write_text("a file where a folder should be")
    with pytest.raises(OSError):
        output.write(tmp_path, {"a.yml": HEAD, "tests/b.yml": HEAD})
    assert tree(tmp_path) == {"tests": "a file where a folder should be"}
