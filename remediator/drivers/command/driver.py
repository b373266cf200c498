"""`run`: a job that leaves a report."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, Field, StringConstraints, field_validator

from catalog.inventory import Target
from catalog.model import Frozen, Seconds, Verb
from remediator.drivers.base import State, StepContext, World
from remediator.drivers.command.job import Job, Limits
from remediator.drivers.command.report import Report
from remediator.drivers.permission import Permission
from remediator.drivers.redactor import Redactor
from remediator.errors import Permanent, Refused, Transient

_PLACEHOLDER = "{report}"
_POLL = 0.1
_INHERITED = ("PATH", "LANG", "LC_ALL", "TZ")


class CommandConfig(Frozen):
    argv: tuple[str, ...] = Field(min_length=1)
    """Program and arguments, as they are; an element that is exactly `{report}` becomes the report's absolute path."""
    timeout: Seconds = 60.0
    env: Mapping[str, str] = Field(default_factory=dict)
    """Added to PATH, LANG, LC_ALL and TZ, the only ones inherited."""
    cwd: Path | None = None
    """Absolute; the reports' folder where absent."""
    suffix: Annotated[str, StringConstraints(pattern=r"^\.[A-Za-z0-9]{1,10}$")] = ".md"
    """Ending of the report's name."""
    output_limit: int = Field(default=1024 * 1024, ge=0, le=64 * 1024 * 1024)
    """Bytes of output that are kept."""
    user: str | None = None
    """Run as this user (needs root)."""
    limits: Limits = Limits()

    @field_validator("argv")
    @classmethod
    def _program_is_fixed(cls, argv: tuple[str, ...]) -> tuple[str, ...]:
        if not argv[0] or argv[0] == _PLACEHOLDER:
            raise ValueError("the program must be named")
        if any("\0" in part for part in argv):
            raise ValueError("an argument holds a zero byte")
        if any(_PLACEHOLDER in part and part != _PLACEHOLDER for part in argv):
            raise ValueError("{report} must be an argument of its own")
        return argv

    @field_validator("cwd")
    @classmethod
    def _is_absolute(cls, cwd: Path | None) -> Path | None:
        if cwd is not None and not cwd.is_absolute():
            raise ValueError("must be absolute")
        return cwd


def job_of(
    config: CommandConfig, argv: Sequence[str], cwd: Path, timeout: float, redactor: Callable[[], Redactor]
) -> Job:
    """The job that a target's configuration means; in `cwd` where it names no folder of its own."""
    return Job(
        argv=argv,
        env={key: os.environ[key] for key in _INHERITED if key in os.environ} | dict(config.env),
        cwd=config.cwd or cwd,
        timeout=timeout,
        output_limit=config.output_limit,
        user=config.user,
        limits=config.limits,
        redactor=redactor,
    )


class CommandDriver:
    kind: ClassVar[str] = "command"
    verbs: ClassVar[frozenset[Verb]] = frozenset({Verb.RUN})
    Config: ClassVar[type[BaseModel]] = CommandConfig

    def __init__(self, world: World) -> None:
        self._clock = world.clock
        self._redactor = world.redactor

    async def observe(self, target: Target, verb: Verb, context: StepContext) -> State:
        return _report(target, context).as_state()

    async def may(self, target: Target, verb: Verb, context: StepContext) -> Permission:
        config = CommandConfig.model_validate(target.config)
        if shutil.which(config.argv[0]) is None:
            return Permission(False, f"there is no {config.argv[0]} that Grace may execute")
        if config.user is not None and os.geteuid() != 0:
            return Permission(False, f"Grace must be root to run {config.argv[0]} as {config.user}")
        return Permission(True)

    def desire(
        self, target: Target, verb: Verb, args: Mapping[str, Any], observed: State, context: StepContext
    ) -> State:
        if args:
            raise Refused("run takes no arguments: what is run stands in the inventory", reason="bad_args")
        return {"report": str(_report(target, context).path)}

    async def do(self, target: Target, verb: Verb, desired: State, context: StepContext) -> None:
        report = Report(Path(desired["report"]))
        if report != _report(target, context):
            raise Permanent(f"the report {desired['report']} is not this step's")
        if report.whole():
            return  # an earlier attempt did it
        config = CommandConfig.model_validate(target.config)
        timeout = min(config.timeout, target.step_timeout)
        marker = await self._claim(report, timeout)
        try:
            await self._run(config, report, marker, timeout)
        finally:
            os.close(marker)

    async def _claim(self, report: Report, timeout: float) -> int:
        """The marker's descriptor, once no job of an attempt that was cut off runs any more."""
        deadline = self._clock.now() + timeout
        try:
            while (marker := report.claim()) is None:
                if self._clock.now() >= deadline:
                    raise Transient(f"the job of an earlier attempt still runs: {report.marker} is locked")
                await self._clock.sleep(_POLL)
        except PermissionError as error:
            raise Refused(f"may not write {report.path.parent}: {error.strerror}", reason="permission") from error
        except OSError as error:
            raise Transient(f"{report.path.parent} cannot be written: {error.strerror}") from error
        return marker

    async def _run(self, config: CommandConfig, report: Report, marker: int, timeout: float) -> None:
        argv = [str(report.path) if part == _PLACEHOLDER else part for part in config.argv]
        job = job_of(config, argv, report.path.parent, timeout, self._redactor)
        try:
            code = await job.run(report.log, marker)
        except TimeoutError as error:
            report.fail(self._redactor().output)
            raise Permanent(
                f"{job.argv[0]} did not end within {timeout:g} s and was killed; see {report.log}"
            ) from error
        except (asyncio.CancelledError, Permanent, Refused):
            report.fail(self._redactor().output)
            raise
        if code != 0:
            report.fail(self._redactor().output)
            raise Permanent(f"{job.argv[0]} {_how(code)}; see {report.log}")
        if report.size() == 0:
            report.fail(self._redactor().output)
            raise Permanent(f"{job.argv[0]} ended well but left no report at {report.path}; see {report.log}")
        await asyncio.to_thread(self._hide_secrets, report)
        report.succeed()

    def _hide_secrets(self, report: Report) -> None:
        """In what the job wrote, as in what it printed."""
        try:
            report.rewrite(self._redactor().output)
        except ValueError as error:
            report.fail(self._redactor().output)
            raise Permanent(f"{report.path}: {error}; write less, and the rest elsewhere") from error
        except OSError as error:
            raise Transient(f"{report.path} cannot be read or written: {error.strerror}") from error

    def reached(self, verb: Verb, desired: State, observed: State) -> bool:
        return bool(observed["report"] == desired["report"] and observed["bytes"] > 0)

    def give_back(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[Verb, State] | None:
        return None

    def release_steps(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[State, ...]:
        return ()

    async def close(self) -> None:
        return None


def _report(target: Target, context: StepContext) -> Report:
    suffix = CommandConfig.model_validate(target.config).suffix
    return Report.of(context.reports, context.run_id, context.step, suffix)


def _how(code: int) -> str:
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with exit code {code}"
