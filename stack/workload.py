"""`python -m stack.workload`: the demo workload alone, in the foreground, for a container of its own.

Grace runs elsewhere and reaches it as it would any team's: through the files and sockets below `<data>/demo`.
"""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import aiohttp
import click

import demo.layout
import demo.workload
from catalog.load import load_config
from stack.child import Child, Event, Phase, StartError
from stack.children import workload
from stack.supervisor import Supervisor
from stack.tools import ToolsMissing, find, tools_folder

UNUSABLE = 2
PORTS = demo.workload.Ports()


@click.command()
@click.option(
    "--config", type=click.Path(path_type=Path, dir_okay=False), required=True, help="grace.yml, for its scale."
)
@click.option("--data", type=click.Path(path_type=Path, file_okay=False), default=Path("/var/lib/grace"))
def main(config: Path, data: Path) -> None:
    """Run the demo workload until SIGTERM or SIGINT."""
    if not config.exists():
        click.echo(
            f"{config} is not there: start the demo with `docker compose --env-file deploy/demo.env up`", err=True
        )
        sys.exit(UNUSABLE)
    scale = load_config(config).time_scale
    try:
        haproxy = find("haproxy", tools_folder(data)).path
        demo.workload.prepare(data, PORTS, scale)
        asyncio.run(_run(workload(data, haproxy, PORTS, scale), data / "demo" / "logs"))
    except (ToolsMissing, StartError) as error:
        click.echo(str(error), err=True)
        sys.exit(UNUSABLE)
    finally:
        demo.layout.tidy(data)


async def _run(children: list[Child], logs: Path) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with aiohttp.ClientSession() as http:
        supervisor = Supervisor(children, logs, http, _say)
        start = asyncio.create_task(supervisor.start(), name="start")
        stopped = asyncio.create_task(stop.wait(), name="stop asked for")
        try:
            await asyncio.wait([start, stopped], return_when=asyncio.FIRST_COMPLETED)
            if start.done():
                start.result()
                click.echo("all green")
                await stopped
        finally:
            start.cancel()
            stopped.cancel()
            await asyncio.gather(start, stopped, return_exceptions=True)
            await supervisor.stop()


def _say(event: Event) -> None:
    if event.phase in (Phase.READY, Phase.RESTARTING, Phase.STOPPED):
        click.echo(f"{event.child}: {event.phase.value}{f', {event.text}' if event.text else ''}")


if __name__ == "__main__":
    main()
