"""`grace remediator`: run the remediator."""

from __future__ import annotations

import asyncio
import importlib
import logging
import signal
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import click

from catalog.fault import CatalogError
from catalog.load import config_path, load_config
from remediator import memory

SWITCH = 0.0005
"""Seconds after which a thread that computes lets another one go on. The writer of the ledger gives the interpreter up
at every statement, and with Python's own 5 ms it waited for it longer than SQLite took to answer."""


@click.command(epilog="Example: grace remediator --config grace.yml --web.listen-address 127.0.0.1:9782")
@click.option(
    "--config",
    "config_option",
    type=click.Path(path_type=Path),
    help="grace.yml (else GRACE_CONFIG, else ./grace.yml).",
)
@click.option(
    "--web.listen-address", "listen", default="127.0.0.1:9782", show_default=True, help="HOST:PORT to listen on."
)
@click.option(
    "--web.insecure", "insecure", is_flag=True, help="Listen beyond loopback without TLS (behind a proxy that has it)."
)
@click.option("--log.level", "level", type=click.Choice(["debug", "info", "warning", "error"]), default="info")
def remediator(config_option: Path | None, listen: str, insecure: bool, level: str) -> None:
    """Receive alerts, decide, act, verify, record."""
    memory.one_pool()
    memory.no_file_names()
    sys.setswitchinterval(SWITCH)
    import_structlog()
    from remediator.app import Unusable
    from remediator.audit.checkpoint import BadKey, BadNote
    from remediator.ledger.engine import LedgerRefused

    _log_to_stderr(level)
    try:
        host, port = _address(listen, insecure)
        path = config_path(config_option)
        asyncio.run(_serve(path, host, port))
    except (CatalogError, Unusable, LedgerRefused, BadKey, BadNote) as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except OSError as error:
        click.echo(f"grace remediator: {error.strerror or error} ({error.filename or listen})", err=True)
        sys.exit(2)


def import_structlog() -> None:
    """Without what colours consoles: this process writes JSON lines all its life, and rich alone is 3 MB of memory."""
    coloured = "rich" in sys.modules
    if not coloured:
        sys.modules["rich"] = None  # type: ignore[assignment]  # Python's own way to say that it is not there
    try:
        importlib.import_module("structlog")
    finally:
        if not coloured:
            del sys.modules["rich"]


async def _serve(path: Path | None, host: str, port: int) -> None:
    import structlog
    from aiohttp import web

    from remediator.app import Unusable, running
    from remediator.errors import GraceError
    from remediator.pipeline.scheduler import AT_ONCE

    log = structlog.get_logger("remediator")
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    # Threads are begun as they are needed. With fewer, a database that hangs would keep the others' steps waiting.
    loop.set_default_executor(ThreadPoolExecutor(AT_ONCE, thread_name_prefix="work"))
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    async with running(load_config(path), config_file=path) as found:
        reloads: set[asyncio.Task[None]] = set()

        async def again() -> None:
            try:
                await found.reload()
            except (CatalogError, Unusable, GraceError) as error:
                log.error("not_reloaded", error=str(error), meaning="the old configuration stays")

        def hup() -> None:
            task = asyncio.create_task(again(), name="reload")
            reloads.add(task)
            task.add_done_callback(reloads.discard)

        loop.add_signal_handler(signal.SIGHUP, hup)
        # Access logs would repeat what the audit log says better, once per scrape and poll.
        runner = web.AppRunner(found.web, access_log=None, shutdown_timeout=3.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, host, port).start()
            log.info("listening", address=f"{host}:{port}")
            memory.settle()
            await stop.wait()
            log.info("stopping")
        finally:
            await runner.cleanup()


def _address(listen: str, insecure: bool) -> tuple[str, int]:
    host, colon, port = listen.rpartition(":")
    host = host.strip("[]") or ("0.0.0.0" if colon else "")
    if not colon or not port.isdecimal() or not 0 <= int(port) < 65536:
        raise click.UsageError(f"--web.listen-address {listen!r}: HOST:PORT is expected")
    if host not in ("127.0.0.1", "::1", "localhost") and not insecure:
        raise click.UsageError(
            f"{host} is not loopback: tokens would cross the network in the clear. Put TLS in front and give "
            "--web.insecure, or listen on 127.0.0.1"
        )
    return host, int(port)


def _log_to_stderr(level: str) -> None:
    import structlog

    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.StackInfoRenderer(),
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
