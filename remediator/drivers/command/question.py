"""A command that is only asked: its exit code is the answer, and nothing of it stays."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from catalog.inventory import Target
from remediator.drivers.command.driver import CommandConfig, job_of
from remediator.drivers.redactor import Redactor
from remediator.errors import Permanent

LONGEST = 4096
"""Bytes of output that are looked at."""


async def ask(target: Target, redactor: Callable[[], Redactor]) -> tuple[int, str]:
    """Exit code (negative: ended by that signal) and the beginning of what a `command` target printed, without secrets.

    Bounded like a job of the driver: the target's time, output and limits, no shell, its whole process group gone
    afterwards. Raises Permanent when it did not end in time, Refused or Permanent when it cannot be started.
    """
    config = CommandConfig.model_validate(target.config)
    config = config.model_copy(update={"output_limit": min(config.output_limit, LONGEST)})
    timeout = min(config.timeout, target.step_timeout)
    scratch = Path(await asyncio.to_thread(tempfile.mkdtemp, prefix="grace-question-"))
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        log = scratch / "output"
        code = await job_of(config, config.argv, scratch, timeout, redactor).run(log, nothing)
        return code, (await asyncio.to_thread(log.read_bytes)).decode("utf-8", "replace")
    except TimeoutError as error:
        raise Permanent(f"{config.argv[0]} did not end within {timeout:g} s and was killed") from error
    finally:
        os.close(nothing)
        await asyncio.to_thread(shutil.rmtree, scratch, ignore_errors=True)
