"""The commands of the running stack: `grace up`, `status`, `tools`, `doctor`."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stack.ports import Ports
from stack.problem import Unusable

if TYPE_CHECKING:
    from catalog.config import GraceConfig
    from stack.doctor.setup import Finding
    from stack.status import Status

# What a command works with is imported when it runs: help and completion must not wait a second for it.

NOT_RIGHT = 1
"""Exit code where the thing asked about is not right."""
UNUSABLE = 2
"""Exit code where an input, port, disk, lock or program cannot be used."""
PORT = click.IntRange(0, 65535)

data_option = click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(".grace"),
    show_default=True,
    help="Folder of everything that Grace keeps.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


class CannotUse(click.ClickException):
    """One clear line on standard error, and exit code 2."""

    exit_code = UNUSABLE


@click.command()
@click.option("--no-demo", is_flag=True, help="Without the demo workload: this machine and Grace are measured.")
@data_option
@click.option("--time-scale", type=click.FloatRange(0, 1, min_open=True), default=1.0, help="Shrink every interval.")
@click.option("--drill", is_flag=True, help="The drill profile: every interval a tenth, within 2 s and 6 s.")
@click.option("--exporter-port", type=PORT, default=Ports().exporter, show_default=True, help="0 picks a free one.")
@click.option("--remediator-port", type=PORT, default=Ports().remediator, show_default=True)
@click.option("--prometheus-port", type=PORT, default=Ports().prometheus, show_default=True)
@click.option("--alertmanager-port", type=PORT, default=Ports().alertmanager, show_default=True)
@click.option("--loadbalancer-port", type=PORT, default=Ports().loadbalancer, show_default=True)
def up(no_demo: bool, data: Path, time_scale: float, drill: bool, **ports: int) -> None:
    """Run the whole loop in the foreground: demo, exporter, remediator, Prometheus, Alertmanager. Ctrl-C stops it."""
    from rich.console import Console

    from catalog.model import TimeScale
    from stack.display import display_for
    from stack.up import Request, run

    chosen = Ports(**{name.removesuffix("_port"): port for name, port in ports.items()})
    request = Request(data, chosen, TimeScale(factor=time_scale, drill=drill), with_demo=not no_demo)
    display = display_for(Console())
    try:
        run(request, display)
    except Unusable as error:
        raise CannotUse(str(error)) from error
    except KeyboardInterrupt:
        raise SystemExit(130) from None
    finally:
        display.close()


@click.command()
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Data folder; else .grace.")
@click.option("--config", type=click.Path(path_type=Path), help="grace.yml; else $GRACE_CONFIG, else ./grace.yml.")
@json_option
def status(data: Path | None, config: Path | None, as_json: bool) -> None:
    """Bands of every metric, incidents, runs and governance, at a glance."""
    from remediator.cli.client import find_place

    place = find_place(config, data, None)
    found = asyncio.run(_status(place.config))
    if not found.reached:
        raise CannotUse(
            f"nothing runs here: neither Prometheus ({place.config.prometheus.url}) nor the remediator "
            f"({place.config.remediator_url}) answers; start them with `grace up`"
        )
    if as_json:
        click.echo(json.dumps(found.as_json(), indent=2))
        return
    from rich.console import Console

    from stack import render

    console = Console()
    if console.is_terminal:
        console.print(render.table(found, console.width))
    else:
        click.echo("\n".join(render.lines(found)))


async def _status(config: GraceConfig) -> Status:
    import aiohttp

    from catalog.fault import CatalogError
    from catalog.load import load_catalog
    from stack.status import StatusReader

    try:
        catalog = load_catalog(config.catalog)
    except CatalogError as error:
        raise CannotUse(str(error)) from error
    async with aiohttp.ClientSession() as http:
        return await StatusReader(config, catalog, http).read()


@click.command()
@click.option("--data", type=click.Path(file_okay=False, path_type=Path), help="Data folder; else .grace.")
@click.option("--config", type=click.Path(path_type=Path), help="grace.yml; else $GRACE_CONFIG, else ./grace.yml.")
@click.option("--no-test-alert", is_flag=True, help="Do not send an alert to see whether it arrives.")
@click.option("--verbose", "-v", is_flag=True, help="Also list what is right, and what each target allows.")
@json_option
def doctor(data: Path | None, config: Path | None, no_test_alert: bool, verbose: bool, as_json: bool) -> None:
    """Say what is missing or misconfigured, and how to mend it; nothing where all is right.

    Exits 1 where something is wrong, not for a warning. The test alert goes from Alertmanager to the remediator and is
    resolved: at full scale that takes half a minute.
    """
    from remediator.cli.client import find_place
    from stack.doctor.examination import TEST_ALERT

    without = (TEST_ALERT,) if no_test_alert else ()
    findings = asyncio.run(_examined(find_place(config, data, None).config, without))
    wanted = [finding for finding in findings if verbose or finding.problem]
    if as_json:
        click.echo(json.dumps({"findings": [finding.as_json() for finding in wanted]}, indent=2))
    else:
        for finding in wanted:
            click.echo("\n".join(_shown(finding)))
    if any(finding.is_wrong for finding in findings):
        raise SystemExit(NOT_RIGHT)


def _shown(finding: Finding) -> Iterator[str]:
    """A line for the problem and one for its mend; in a terminal, more where it is narrow."""
    from remediator.words import printable

    mark = "WRONG" if finding.is_wrong else "warn" if finding.problem else "ok"
    yield from _indented(f"{mark:<5}  {finding.check:<11}  ", printable(finding.problem or finding.note))
    if finding.mend:
        yield from _indented(" " * 20 + "→ ", printable(finding.mend))


def _indented(head: str, text: str) -> list[str]:
    if not sys.stdout.isatty():
        return [f"{head}{text}".rstrip()]
    width = max(60, shutil.get_terminal_size().columns)
    wrapper = textwrap.TextWrapper(width, initial_indent=head, subsequent_indent=" " * len(head))
    wrapper.break_long_words = wrapper.break_on_hyphens = False  # paths and addresses can be copied
    return wrapper.wrap(text) or [head.rstrip()]


async def _examined(config: GraceConfig, without: Sequence[str]) -> list[Finding]:
    import aiohttp

    from catalog.fault import CatalogError
    from catalog.load import load_catalog, load_inventory
    from remediator.clock import SystemClock
    from stack.doctor.examination import examine
    from stack.doctor.setup import Setup

    try:
        catalog, inventory = load_catalog(config.catalog), load_inventory(config.inventory)
    except CatalogError as error:
        raise CannotUse(str(error)) from error
    async with aiohttp.ClientSession() as http:
        return await examine(Setup(config, catalog, inventory, SystemClock(), http), without=without)


@click.command()
@data_option
@json_option
def tools(data: Path, as_json: bool) -> None:
    """Find Prometheus, Alertmanager and HAProxy, or unpack them, and print where each is."""
    from stack.tools import REQUIREMENTS, ToolsMissing, find_all, tools_folder

    try:
        found = find_all(REQUIREMENTS, tools_folder(data), lambda line: click.echo(line, err=True))
    except ToolsMissing as missing:
        raise CannotUse(str(missing)) from missing
    if as_json:
        rows: list[dict[str, Any]] = [
            {"name": tool.name, "path": str(tool.path), "version": tool.version} for tool in found.values()
        ]
        click.echo(json.dumps({"tools": rows}, indent=2))
        return
    for tool in found.values():
        click.echo(f"{tool.name:<13} {tool.version:<22} {tool.path}")
