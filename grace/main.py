"""`grace`: a lazy table of subcommands, so that `grace rules build` never pays for importing the remediator."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

import click

COMMANDS: Mapping[str, str] = {
    "up": "stack.cli:up",
    "status": "stack.cli:status",
    "tools": "stack.cli:tools",
    "doctor": "stack.cli:doctor",
    "exporter": "exporter.cli:exporter",
    "remediator": "remediator.cli.server:remediator",
    "catalog": "catalog.cli:catalog",
    "rules": "rules.cli:rules",
    "grafana": "grafana.cli:grafana",
    "fire": "remediator.cli.fire:fire",
    "incidents": "remediator.cli.incidents:incidents",
    "runs": "remediator.cli.runs:runs",
    "run": "remediator.cli.runs:run",
    "undo": "remediator.cli.runs:undo",
    "approvals": "remediator.cli.approvals:approvals",
    "governance": "remediator.cli.governance:governance",
    "hold": "remediator.cli.governance:hold",
    "audit": "remediator.cli.audit:audit",
    "ledger": "remediator.cli.ledger:ledger",
    "tokens": "remediator.cli.tokens:tokens",
    "drill": "demo.cli:drill",
}


class LazyCommands(click.Group):
    """A group whose commands are imported when they are called (or when their help is asked for)."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        place = COMMANDS.get(cmd_name)
        if place is None:
            return None
        module, attribute = place.split(":")
        command = getattr(importlib.import_module(module), attribute)
        assert isinstance(command, click.Command), place
        return command


@click.group(cls=LazyCommands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="grace", prog_name="grace")
def main() -> None:
    """The self-healing loop for teams on Prometheus and Alertmanager."""
