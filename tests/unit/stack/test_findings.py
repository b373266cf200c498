"""How `grace doctor` shows what it found: one line each for a pipe, wrapped below itself in a terminal."""

from __future__ import annotations

import sys

import pytest

from stack.cli import _shown
from stack.doctor.setup import Finding

URL = "http://127.0.0.1:9782/api/v1/alerts"
FINDING = Finding("test alert", "it did not come", f"Alertmanager's log says why it cannot post to {URL}: " + "x " * 60)


def test_a_pipe_gets_a_line_for_the_problem_and_one_for_the_mend() -> None:
    first, second = _shown(FINDING)
    assert first == "WRONG  test alert   it did not come"
    assert second == f"{'':20}→ {FINDING.mend}".rstrip()
    assert list(_shown(Finding("rules"))) == ["ok     rules"]


@pytest.mark.parametrize("columns", [80, 120])
def test_a_terminal_gets_lines_that_fit_and_addresses_that_are_whole(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", str(columns))
    first, *rest = _shown(FINDING)
    assert first == "WRONG  test alert   it did not come"
    assert len(rest) > 1
    assert all(len(line) <= columns for line in rest)
    assert all(line.startswith(" " * 22) for line in rest[1:])
    assert any(URL in line for line in rest)


def test_what_a_server_said_does_not_steer_the_terminal() -> None:
    told = "\n".join(_shown(Finding("rules", "rule x fails: \x1b]0;mine\x07", "correct \x1b[2J")))
    assert told.replace("\n", "").isprintable()
    assert "rule x fails: \N{REPLACEMENT CHARACTER}]0;mine" in told
