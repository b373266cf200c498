"""`grace ledger` on files that are not what they should be."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from remediator.clock import SystemClock
from remediator.ledger.engine import Ledger


@pytest.fixture
async def ledger(shell: Any) -> Path:
    path: Path = shell.folder / ".grace" / "ledger.db"
    opened = await Ledger.open(path, SystemClock())
    await opened.close()
    return path


def test_a_good_ledger(shell: Any, ledger: Path) -> None:
    assert shell.grace("ledger", "check").exit_code == 0
    assert shell.grace("ledger", "backup", "copy.db").exit_code == 0
    assert shell.grace("ledger", "backup", "copy.db").exit_code == 2


def test_no_ledger_is_exit_2(shell: Any) -> None:
    result = shell.grace("ledger", "check")
    assert result.exit_code == 2
    assert "there is no ledger at" in result.stderr


@pytest.mark.parametrize("content", [b"", b"not a database at all" * 100])
def test_another_file_is_exit_2(shell: Any, content: bytes) -> None:
    (shell.folder / ".grace" / "ledger.db").write_bytes(content)
    assert shell.grace("ledger", "check").exit_code == 2
    assert shell.grace("ledger", "backup", "copy.db").exit_code == 2
    assert not (shell.folder / "copy.db").exists()


def test_another_database_is_pointed_elsewhere(shell: Any) -> None:
    (shell.folder / "grace.yml").write_text("ledger: {url: 'mysql://user:hunter2@host/name'}\n")
    result = shell.grace("ledger", "check")
    assert result.exit_code == 2
    assert "mysql is not supported" in result.stderr
    assert "hunter2" not in result.output


@pytest.mark.parametrize(
    "command",
    [
        ("remediator",),
        ("ledger", "check"),
        ("ledger", "backup", "copy.db"),
        ("ledger", "restore", "x"),
        ("audit", "verify"),
    ],
)
def test_a_password_that_cannot_be_read_is_not_told(shell: Any, command: tuple[str, ...]) -> None:
    (shell.folder / "grace.yml").write_text("ledger: {url: 'postgresql://user:p@hunter2:word@host/name'}\n")
    result = shell.grace(*command, "--config", "grace.yml")
    assert result.exit_code == 2
    assert isinstance(result.exception, SystemExit)
    assert "ledger.url: not a database URL" in result.stderr
    assert "%40" in result.stderr
    assert "hunter2" not in result.output


def test_an_address_that_is_none_is_one_line(shell: Any) -> None:
    (shell.folder / "grace.yml").write_text("remediator_url: 'http://[host:9782'\n")
    result = shell.grace("remediator", "--config", "grace.yml")
    assert result.exit_code == 2
    assert "remediator_url is not a URL; write http://HOST:PORT" in result.stderr


def test_a_damaged_page_is_exit_1_and_is_not_backed_up(shell: Any, ledger: Path) -> None:
    with closing(sqlite3.connect(ledger)) as connection:
        root = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'audit'").fetchone()[0]
        size = connection.execute("PRAGMA page_size").fetchone()[0]
    with ledger.open("r+b") as file:
        file.seek((root - 1) * size)
        file.write(b"\xff" * size)
    result = shell.grace("ledger", "check")
    assert result.exit_code == 1
    assert "damaged:" in result.stderr
    assert json.loads(shell.grace("ledger", "check", "--json").stdout)["ok"] is False
    assert shell.grace("ledger", "backup", "copy.db").exit_code == 1
    assert [path.name for path in shell.folder.iterdir()] == [".grace"]


def test_a_newer_ledger_is_not_taken_for_a_good_one(shell: Any, ledger: Path) -> None:
    with closing(sqlite3.connect(ledger)) as connection, connection:
        connection.execute("UPDATE meta SET value = '999' WHERE name = 'version'")
    result = shell.grace("ledger", "check")
    assert result.exit_code == 1
    assert "999" in result.stderr
