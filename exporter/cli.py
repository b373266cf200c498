"""`grace exporter`."""

from __future__ import annotations

import asyncio
import sys
from functools import partial
from pathlib import Path

import click

from catalog.fault import CatalogError
from catalog.load import config_path
from exporter import log
from exporter.app import Exporter, serve
from exporter.config import Loaded, load
from exporter.listener import Address, Listener, ListenError, bound, inherited


@click.command()
@click.option("--config", "config", type=click.Path(path_type=Path), help="grace.yml; else $GRACE_CONFIG, ./grace.yml.")
@click.option(
    "--web.listen-address",
    "listen_addresses",
    multiple=True,
    default=["127.0.0.1:9781"],
    show_default=True,
    help="HOST:PORT, [V6]:PORT or :PORT; may be given several times.",
)
@click.option("--web.systemd-socket", "systemd_socket", is_flag=True, help="Listen on what systemd opened instead.")
@click.option(
    "--web.telemetry-path", "telemetry_path", default="/metrics", show_default=True, help="Where the metrics are."
)
@click.option(
    "--web.config.file",
    "web_config",
    type=click.Path(path_type=Path),
    help="TLS, client certificates and users, as Prometheus' exporters take them; read again when it changes.",
)
@click.option("--once", is_flag=True, help="Collect a single time, print it, and end.")
@click.option("--check-config", is_flag=True, help="Only say whether the configuration is right.")
@click.option(
    "--log.level",
    "log_level",
    type=click.Choice(["debug", "info", "warning", "error"]),
    default="info",
    show_default=True,
    help="What is logged, on standard error.",
)
def exporter(
    config: Path | None,
    listen_addresses: tuple[str, ...],
    systemd_socket: bool,
    telemetry_path: str,
    web_config: Path | None,
    once: bool,
    check_config: bool,
    log_level: str,
) -> None:
    """Measure what the catalog names, and expose it to Prometheus."""
    log.configure(log_level)
    read = partial(load, config_path(config))
    try:
        addresses = [Address.parse(each) for each in listen_addresses]
        if not telemetry_path.startswith("/"):
            raise ValueError("the telemetry path begins with /")
        listener = Listener(inherited if systemd_socket else partial(bound, addresses), web_config)
        if check_config:
            count = len(read().exporter.collectors)
            click.echo(f"{count} collector{'s' if count != 1 else ''}, no fault")
        elif once:
            click.echo(asyncio.run(_once(read)), nl=False)
        else:
            asyncio.run(serve(read, listener, telemetry_path))
    except (CatalogError, ListenError, ValueError) as error:
        click.echo(f"grace exporter: {error}", err=True)
        sys.exit(2)


async def _once(read: partial[Loaded]) -> str:
    return await Exporter(read).collect_once()
