"""Finding the remediator, whose token is used, and what each failure says and exits with."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

EMPTY = {"items": [], "next_cursor": None}


def test_the_place_is_found_without_any_option(shell: Any) -> None:
    shell.fake.answers["GET /api/v1/incidents"] = (200, EMPTY)
    result = shell.grace("incidents")
    assert (result.exit_code, result.stdout) == (0, "no incidents\n")
    assert shell.fake.asked[0].token == "grace_admin"


def test_options_and_files_win_in_their_order(shell: Any, tmp_path: Path) -> None:
    shell.fake.answers["GET /api/v1/incidents"] = (200, EMPTY)
    elsewhere = tmp_path / "elsewhere"
    (elsewhere / "tokens").mkdir(parents=True)
    (elsewhere / "tokens" / "admin").write_text("grace_elsewhere")
    other = tmp_path / "other.yml"
    other.write_text("remediator_url: http://127.0.0.1:9\n")
    assert shell.grace("incidents", "--config", "other.yml").exit_code == 2
    assert shell.grace("incidents", GRACE_CONFIG=str(other)).exit_code == 2
    assert shell.grace("incidents", "--data", ".grace", GRACE_CONFIG=str(other)).exit_code == 0
    assert (
        shell.grace("incidents", "--config", "other.yml", "--url", shell.fake.url + "/", "--data", ".grace").exit_code
        == 0
    )
    assert shell.grace("incidents", "--data", "elsewhere", "--url", shell.fake.url).exit_code == 0
    assert shell.grace("incidents", "--token-file", ".grace/tokens/ada").exit_code == 0
    assert shell.grace("incidents", "--as", "ada").exit_code == 0
    used = [asked.token for asked in shell.fake.asked]
    assert used == ["grace_admin", "grace_admin", "grace_elsewhere", "grace_ada", "grace_ada"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--as", "ada", "--token-file", "x"], "give one"),
        (["--as", "../admin"], "name of a token"),
        (["--as", "nobody"], "no token at"),
        (["--token-file", "."], "no token at"),
        (["--url", "file:///etc/passwd"], "not the URL of a remediator"),
        (["--url", "localhost:9782"], "not the URL of a remediator"),
        (["--url", "http://[localhost"], "not the URL of a remediator"),
        (["--url", "http://localhost:x"], "not the URL of a remediator"),
        (["--url", "http://127.0.0.1:9"], "does not answer at http://127.0.0.1:9"),
        (["--config", "missing.yml"], "missing.yml"),
        (["--limit", "0"], "--limit"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_wrong_usage_is_exit_2_and_says_what_to_do(shell: Any, arguments: list[str], said: str) -> None:
    result = shell.grace("incidents", *arguments)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_a_token_file_of_rubbish_is_not_sent(shell: Any) -> None:
    for rubbish in (b"", b"two\nlines", b"\xff\xfe", "tök".encode()):
        (shell.folder / "rubbish").write_bytes(rubbish)
        assert shell.grace("incidents", "--token-file", "rubbish").exit_code == 2
    assert shell.fake.asked == []


@pytest.mark.parametrize(
    ("status", "document", "code", "said"),
    [
        (401, {"title": "Unauthorized", "detail": "this token is not known"}, 2, "this token is not known"),
        (403, {"title": "Not allowed", "detail": "this needs the role admin"}, 2, "needs the role"),
        (404, {"title": "Refused", "detail": "there is no incident x"}, 2, "there is no incident"),
        (409, {"title": "Refused", "detail": "settled already"}, 1, "settled already"),
        (400, {"title": "Bad request"}, 2, "Bad request"),
        (500, b"<html>", 2, "answered 500"),
        (503, {"detail": "the ledger is away\x1b[2J"}, 2, "the ledger is away"),
        (302, b"", 2, "answered 302"),
        (200, b"<html>", 2, "is not a remediator"),
        (200, {}, 2, "has no 'id'"),
    ],
)
def test_answers_that_are_failures(shell: Any, status: int, document: Any, code: int, said: str) -> None:
    shell.fake.answers["POST /api/v1/incidents/x/close"] = (status, document)
    result = shell.grace("incidents", "close", "x", "--reason", "r")
    assert result.exit_code == code
    assert said in result.stderr
    assert result.stderr.count("\n") == 1
    assert "\x1b" not in result.output
    assert "grace_admin" not in result.output


def test_long_lists_are_read_page_by_page(shell: Any) -> None:
    def page(asked: Any) -> Any:
        start = int(asked.query.get("cursor", 0))
        count = min(int(asked.query["limit"]), 450 - start)
        items = [{"name": f"n{start + i}", "role": "viewer"} for i in range(count)]
        return {"items": items, "next_cursor": str(start + count) if start + count < 450 else None}

    shell.fake.answers["GET /api/v1/tokens"] = (200, page)
    result = shell.grace("tokens")
    assert result.exit_code == 0
    assert len(result.stdout.splitlines()) == 451
    assert [asked.query.get("cursor") for asked in shell.fake.asked] == [None, "200", "400"]


def test_ids_cannot_leave_their_path(shell: Any) -> None:
    shell.grace("runs", "show", "../governance?x=1#")
    assert shell.fake.asked[0].path == "/api/v1/runs/..%2Fgovernance%3Fx%3D1%23"


def test_proxies_of_the_environment_are_not_used(shell: Any) -> None:
    shell.fake.answers["GET /api/v1/incidents"] = (200, EMPTY)
    # A process of its own: urllib reads the environment when it is imported.
    result = subprocess.run(
        [sys.executable, "-m", "grace", "incidents", "--data", str(shell.folder / ".grace")],
        cwd=Path(__file__).parents[3],
        env={**os.environ, "http_proxy": "http://127.0.0.1:9", "no_proxy": ""},
        capture_output=True,
        text=True,
    )
    assert (result.returncode, result.stdout) == (0, "no incidents\n"), result.stderr


@pytest.mark.parametrize(
    "command",
    [
        ["incidents"],
        ["incidents", "show"],
        ["incidents", "ack"],
        ["incidents", "close"],
        ["runs"],
        ["runs", "show"],
        ["runs", "cancel"],
        ["runs", "release"],
        ["run"],
        ["undo"],
        ["approvals"],
        ["approvals", "approve"],
        ["approvals", "reject"],
        ["approvals", "show"],
        ["governance"],
        ["governance", "set-ceiling"],
        ["hold"],
        ["tokens"],
        ["tokens", "add"],
        ["tokens", "revoke"],
        ["ledger"],
        ["ledger", "check"],
        ["ledger", "backup"],
        ["fire"],
    ],
)
def test_every_command_explains_itself(shell: Any, command: list[str]) -> None:
    result = shell.grace(*command, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith("Usage: ")


def test_a_typing_error_is_named(shell: Any) -> None:
    result = shell.grace("incidents", "shwo")
    assert result.exit_code == 2
    assert "No such command 'shwo'" in result.stderr
