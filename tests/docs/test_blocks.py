"""No block of the documentation is there only to be read: each is run, or held to what it is about, by some test."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from catalog.load import load_config
from grace.main import main
from tests.docs.conftest import ROOT
from tests.docs.console import Shell, blocks, shell_lines

HOW_TO = ROOT / "docs" / "how-to"
COMPOSE_PAGE = HOW_TO / "run-with-compose.md"
PAGES = [ROOT / "README.md", ROOT / "docs" / "tutorial.md", *sorted(HOW_TO.glob("*.md"))]
ELSEWHERE = {
    "add-a-collector.md": "tests/integration/exporter/test_how_to.py",
    "add-a-driver.md": "tests/integration/drivers/test_how_to.py",
    "run-with-compose.md": "tests/prove/compose/test_stack.py",
}
"""Pages with blocks that are no console's, and the test that follows them."""
NOT_COMMANDS = {"make up      # sets", "make test    # sets"}
COMPOSE = Path(sys.executable).parent / "docker-compose"


def indented(page: Path) -> list[str]:
    """First words of the blocks that are set off by indentation alone, which nothing runs."""
    text = re.sub(r"^( *)(`{3,}).*?^ *\2 *$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"(?<=\n\n)    (?! *[-*\d] )(.{19})", text)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_block_is_run(page: Path) -> None:
    if page.name in ELSEWHERE:
        assert page.name in (ROOT / ELSEWHERE[page.name]).read_text(encoding="utf-8")
        return
    assert [block.text for block in blocks(page) if block.kind != "console" and not block.name] == []
    assert [words for words in indented(page) if words not in NOT_COMMANDS] == []
    followed = "".join((ROOT / "tests" / "docs" / name).read_text() for name in FOLLOWING)
    assert page.name in followed or f'"{page.stem}"' in followed


FOLLOWING = ("test_how_to.py", "test_tutorial.py", "test_blocks.py")


@pytest.mark.parametrize("page", [*PAGES, *sorted((ROOT / "docs").glob("*.md"))], ids=lambda page: page.stem)
def test_commands_in_the_text_are_ones_that_there_are(page: Path) -> None:
    text = re.sub(r"^( *)(`{3,}).*?^ *\2 *$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)
    for said in re.findall(r"`grace ([a-z][^`]*)`", text):
        command: click.Command = main
        words = shlex.split(said.replace("\n", " "))
        while isinstance(command, click.Group) and words and not words[0].startswith("-"):
            found = command.get_command(click.Context(command), words.pop(0))
            assert found is not None, said
            command = found
        options = {name for param in command.params for name in (*param.opts, *param.secondary_opts)} | {"--help"}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options, said


def test_how_alerts_are_routed(shell: Shell) -> None:
    assert shell.follow(HOW_TO / "route-alerts.md") == 7


def test_what_the_operator_is_given(shell: Shell) -> None:
    token = shell.folder / "data" / "tokens" / "alertmanager"
    token.parent.mkdir(parents=True)
    token.write_text("grace_")
    assert shell.follow(HOW_TO / "prometheus-operator.md") == 8


def test_a_remote_store_is_configured_as_the_page_says(shell: Shell) -> None:
    shell.follow(HOW_TO / "thanos-or-mimir.md")
    found = load_config(shell.folder / "grace.yml")
    assert (found.prometheus.url, found.prometheus.timeout) == ("https://mimir.example.org/prometheus", 20.0)
    assert str(found.prometheus.bearer_token_file).endswith("secrets/mimir-token")


@pytest.mark.parametrize("line", [line for line in shell_lines(COMPOSE_PAGE) if "docker compose" in line])
def test_compose_takes_the_command(line: str) -> None:
    """Its options, its services, and the command that it runs in one; `make prove` runs it on a real engine."""
    words = shlex.split(line.partition("docker compose ")[2])
    verb = next(place for place, word in enumerate(words) if word in ("up", "down", "exec", "kill"))
    options, rest = words[:verb], words[verb + 1 :]
    asked = subprocess.run(
        [COMPOSE, *options, "--profile", "*", "config", "--services"], cwd=ROOT, capture_output=True, text=True,
        timeout=60, check=True,
    )  # fmt: skip
    assert asked.stderr == ""
    if words[verb] == "exec":
        service, *rest = rest
        assert service in asked.stdout.split()
        if rest[0] == "grace":
            command = [word for word in rest[1:] if not word.startswith("/")]
            told = CliRunner().invoke(main, [*command[:2], "--help"])
            assert told.exit_code == 0, told.output
            assert all(word in told.output for word in command if word.startswith("-"))
        return
    usage = subprocess.run([COMPOSE, words[verb], "--help"], capture_output=True, text=True, check=True).stdout
    flags = [word for word in rest if word.startswith("-")]
    assert [flag for flag in flags if not re.search(rf"(?<![\w-]){flag}\b", usage)] == []
    named = [word for word in rest if not word.startswith("-") and word != "HUP"]
    assert set(named) <= set(asked.stdout.split())


def test_the_settings_that_compose_starts_from_are_there() -> None:
    assert "cp .env.example .env" in shell_lines(COMPOSE_PAGE)
    assert (ROOT / ".env.example").is_file()
