"""One child process in a process group of its own: bounded in time and output, and wholly gone afterwards."""

from __future__ import annotations

import asyncio
import os
import resource
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from catalog.model import Frozen
from remediator.drivers.redactor import LOOKAHEAD, Redactor
from remediator.errors import Permanent, Refused

# Seconds that the group has to end by itself, and the output to be read to its end.
_GRACE = 2.0


class Limits(Frozen):
    """What the job may use, per process; None is without limit."""

    cpu_seconds: int | None = Field(default=None, ge=1)
    memory_bytes: int | None = Field(default=None, ge=1024 * 1024)
    """Address space."""
    file_bytes: int | None = Field(default=None, ge=1)
    """Largest file it may write."""
    open_files: int | None = Field(default=None, ge=8)

    def apply(self, pid: int) -> None:
        for kind, value in (
            (resource.RLIMIT_CPU, self.cpu_seconds),
            (resource.RLIMIT_AS, self.memory_bytes),
            (resource.RLIMIT_FSIZE, self.file_bytes),
            (resource.RLIMIT_NOFILE, self.open_files),
        ):
            if value is not None:
                resource.prlimit(pid, kind, (value, value))


@dataclass(frozen=True, slots=True)
class Job:
    argv: Sequence[str]
    env: Mapping[str, str]
    """The whole environment: nothing is inherited."""
    cwd: Path
    timeout: float
    """Seconds."""
    output_limit: int
    """Bytes of standard output and error, together, that are kept."""
    user: str | None
    limits: Limits
    redactor: Callable[[], Redactor]
    """Hides the secrets known at this moment: asked before the job and after it, for one may be replaced meanwhile."""

    async def run(self, log: Path, keep_open: int) -> int:
        """The exit code (negative: killed by that signal). `keep_open` is a descriptor that the job inherits.

        On timeout and cancellation the whole group is killed. What it printed is in the log when it has ended, without
        the secrets in it. Raises Refused or Permanent where it cannot be started.
        """
        # A pipe of our own: asyncio's would make the end of the process wait for whoever inherited its output.
        read_end, write_end = os.pipe()
        try:
            process = await self._start(write_end, keep_open)
        except BaseException:
            os.close(read_end)
            raise
        finally:
            os.close(write_end)
        said = bytearray()
        before = self.redactor()
        output = asyncio.create_task(
            _listen(read_end, said, self.output_limit + LOOKAHEAD), name=f"output of {self.argv[0]}"
        )
        try:
            with suppress(ProcessLookupError):
                self.limits.apply(process.pid)
            async with asyncio.timeout(self.timeout):
                return await process.wait()
        finally:
            await _kill_group(process)
            await _finished(output)
            await asyncio.to_thread(self._keep, log, bytes(said), before)

    def _keep(self, log: Path, said: bytes, before: Redactor) -> None:
        shown = before.together(self.redactor()).kept(said, self.output_limit)
        descriptor = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(shown)

    async def _start(self, output: int, keep_open: int) -> asyncio.subprocess.Process:
        try:
            return await asyncio.create_subprocess_exec(
                *self.argv,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=dict(self.env),
                cwd=self.cwd,
                start_new_session=True,
                pass_fds=(keep_open,),
                user=self.user,
                extra_groups=[] if self.user is not None else None,
            )
        except PermissionError as error:
            raise Refused(f"may not run {self.argv[0]}: {error.strerror}", reason="permission") from error
        except (OSError, ValueError, KeyError) as error:
            raise Permanent(f"{self.argv[0]} cannot be run: {error}") from error


async def _listen(read_end: int, said: bytearray, limit: int) -> None:
    """Take the output; beyond the limit it is read and dropped, so that the job never blocks."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(read_end, "rb", buffering=0)
    )
    try:
        while part := await reader.read(65536):
            said += part[: limit - len(said)]
    finally:
        transport.close()


async def _finished(output: asyncio.Task[None]) -> None:
    """Take what is left of the output; a process that fled the group may hold the pipe open for ever."""
    done, _ = await asyncio.wait({output}, timeout=_GRACE)
    if not done:
        output.cancel()
        await asyncio.wait({output})


async def _kill_group(process: asyncio.subprocess.Process) -> None:
    """End everything the job started: politely, then at once. The group lives as long as one of its processes does."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            break
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                await process.wait()
                await _group_gone(process.pid)
                break


async def _group_gone(group: int) -> None:
    while True:
        try:
            os.killpg(group, 0)
        except (ProcessLookupError, PermissionError):
            return
        await asyncio.sleep(0.02)
