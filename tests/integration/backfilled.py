"""A real Prometheus that holds the samples it is given."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp

from remediator.prometheus import Prometheus


@asynccontextmanager
async def backfilled(
    samples: str, *, prometheus: Path, promtool: Path, port: int, folder: Path
) -> AsyncIterator[Prometheus]:
    """The client of one that listens on this port and holds these samples, written as OpenMetrics without its end."""
    (folder / "samples").write_text(f"{samples}\n# EOF\n")
    (folder / "prometheus.yml").write_text("global: {}\n")
    made = subprocess.run(  # noqa: ASYNC221 - before anything else runs in this loop
        [promtool, "tsdb", "create-blocks-from", "openmetrics", folder / "samples", folder / "tsdb"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    process = await asyncio.create_subprocess_exec(
        prometheus,
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with aiohttp.ClientSession() as session:
            client = Prometheus(session, f"http://127.0.0.1:{port}/", timeout=5)
            async with asyncio.timeout(30):
                while not await client.reachable():  # noqa: ASYNC110 - another process: no event to wait for
                    await asyncio.sleep(0.05)
            yield client
    finally:
        process.terminate()
        await process.wait()
