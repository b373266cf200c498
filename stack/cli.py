"""The commands of the running stack: `grace up`, `status`, `tools`, `doctor`."""

from __future__ import annotations

import json
from pathlib import Path

import click

from stack.tools import REQUIREMENTS, ToolsMissing, find_all, tools_folder

UNUSABLE = 2
"""Exit code where an input, port, disk, lock or program cannot be used."""

data_option = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".grace"),
    show_default=True,
    help="Folder of everything that Grace keeps.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.command()
@data_option
@json_option
def tools(data: Path, as_json: bool) -> None:
    """Find Prometheus, Alertmanager and HAProxy, or unpack them, and print where each is."""
    try:
        found = find_all(REQUIREMENTS, tools_folder(data), lambda line: click.echo(line, err=True))
    except ToolsMissing as missing:
        click.echo(missing, err=True)
        raise SystemExit(UNUSABLE) from missing
    if as_json:
        rows = [{"name": tool.name, "path": str(tool.path), "version": tool.version} for tool in found.values()]
        click.echo(json.dumps({"tools": rows}, indent=2))
        return
    for tool in found.values():
        click.echo(f"{tool.name:<13} {tool.version:<22} {tool.path}")
