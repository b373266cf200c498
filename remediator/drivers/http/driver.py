"""`scale`, `throttle`, `pause`, `resume`, `restart` and `run` by requests that the inventory describes."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel

from catalog.inventory import Target
from catalog.model import Verb
from remediator.drivers.base import State, StepContext, World
from remediator.drivers.command.report import Report
from remediator.drivers.http.service import Service, Unsure
from remediator.drivers.http.settings import HttpConfig, Number, Pause, Restart, Run, Throttle
from remediator.drivers.limiting import lowered
from remediator.drivers.redactor import Redactor
from remediator.drivers.scaling import grown, stages
from remediator.errors import GraceError, Permanent, Refused, Transient


class HttpDriver:
    kind: ClassVar[str] = "http"
    verbs: ClassVar[frozenset[Verb]] = frozenset(
        {Verb.SCALE, Verb.THROTTLE, Verb.PAUSE, Verb.RESUME, Verb.RESTART, Verb.RUN}
    )
    Config: ClassVar[type[BaseModel]] = HttpConfig

    def __init__(self, world: World) -> None:
        self._world = world

    async def observe(self, target: Target, verb: Verb, context: StepContext) -> State:
        setting = _setting(target, verb)
        if isinstance(setting, Run):
            return _report(setting, context).as_state()
        read = await self._service(target, verb, context).read(setting.read)
        if isinstance(setting, Restart):
            return {"born": _moment(target.name, read)}
        if isinstance(setting, Pause):
            return {"value": _word(target.name, setting, read)}
        return {"value": _number(target.name, read)}

    def desire(
        self, target: Target, verb: Verb, args: Mapping[str, Any], observed: State, context: StepContext
    ) -> State:
        setting = _setting(target, verb)
        if isinstance(setting, Throttle):
            return {"value": lowered(target.name, observed["value"], args, setting.min)}
        if isinstance(setting, Number):
            if not isinstance(observed["value"], int):
                raise Permanent(f"{target.name} reads {observed['value']}, which is no count")
            return {"value": grown(target.name, observed["value"], target.limits, args)}
        if args:
            raise Refused(f"{verb} takes no arguments", reason="bad_args")
        if isinstance(setting, Run):
            return {"report": str(_report(setting, context).path)}
        if isinstance(setting, Pause):
            return {"value": _switched(target.name, setting, verb, observed["value"])}
        return {"younger_than": context.started_at}

    async def do(self, target: Target, verb: Verb, desired: State, context: StepContext) -> None:
        setting, service = _setting(target, verb), self._service(target, verb, context)
        if isinstance(setting, Run):
            await _run(setting, service, desired, context, self._world.redactor())
            return
        if self.reached(verb, desired, await self.observe(target, verb, context)):
            return
        try:
            if isinstance(setting, Number):
                await service.write(setting.write, desired["value"])
            elif isinstance(setting, Pause):
                await service.write(setting.resume if _same(desired["value"], setting.running) else setting.pause)
            else:
                await service.write(setting.write)
        except Unsure:
            # The one honest answer is the state itself.
            if not self.reached(verb, desired, await self.observe(target, verb, context)):
                raise

    def reached(self, verb: Verb, desired: State, observed: State) -> bool:
        if verb is Verb.RUN:
            return bool(observed["report"] == desired["report"] and observed["bytes"] > 0)
        if verb is Verb.RESTART:
            return bool(observed["born"] > desired["younger_than"])
        return _same(observed["value"], desired["value"])

    def give_back(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[Verb, State] | None:
        if verb in (Verb.RUN, Verb.RESTART):
            return None
        was, asked, now = before["value"], desired["value"], observed["value"]
        if verb is Verb.SCALE:
            # What others added since then stays.
            return (verb, {"value": max(was, now - (asked - was))}) if now > was else None
        # Whoever set something else since then meant it.
        if not _same(now, asked) or _same(was, asked):
            return None
        opposite = {Verb.PAUSE: Verb.RESUME, Verb.RESUME: Verb.PAUSE}
        return opposite.get(verb, verb), {"value": was}

    def release_steps(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[State, ...]:
        back = self.give_back(verb, before, desired, observed)
        if back is None:
            return ()
        goal, now = back[1]["value"], observed["value"]
        if verb is Verb.SCALE:
            return tuple({"value": count} for count in range(now - 1, goal - 1, -1))
        return tuple({"value": value} for value in stages(now, goal)) if verb is Verb.THROTTLE else (back[1],)

    async def close(self) -> None:
        return None

    def _service(self, target: Target, verb: Verb, context: StepContext) -> Service:
        config = HttpConfig.model_validate(target.config)
        # All but a job read, write and read back.
        timeout = min(config.timeout, target.step_timeout / (1 if verb is Verb.RUN else 3))
        return Service(self._world.http, config, timeout, context.key)


async def _run(setting: Run, service: Service, desired: State, context: StepContext, redactor: Redactor) -> None:
    report = Report(Path(desired["report"]))
    if report != _report(setting, context):
        raise Permanent(f"the report {desired['report']} is not this step's")
    if report.whole():
        return  # an earlier attempt did it
    was_sent = report.marker.exists()
    if was_sent and not setting.write.is_idempotent:
        raise Permanent(f"the job was sent before, with unknown outcome: look, then remove {report.marker}")
    try:
        marker = report.claim()
    except PermissionError as error:
        raise Refused(f"may not write to {report.path.parent}: {error.strerror}", reason="permission") from error
    except OSError as error:
        raise Permanent(f"the report cannot be written to {report.path.parent}: {error.strerror}") from error
    if marker is None:
        raise Transient("another attempt of this job is still being answered")
    try:
        await _ask_for(report, setting, service, redactor)
    except Unsure:
        raise  # what was sent is remembered
    except GraceError:
        report.fail(redactor.output)
        raise
    finally:
        os.close(marker)


async def _ask_for(report: Report, setting: Run, service: Service, redactor: Redactor) -> None:
    answer = await service.write(setting.write)
    if not answer.strip():
        raise Permanent("the job was accepted but its answer is empty: that is no report")
    try:
        descriptor = os.open(report.path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(redactor.output(answer))
        report.succeed()
    except OSError as error:
        raise Permanent(f"the report cannot be written to {report.path}: {error.strerror}") from error


def _setting(target: Target, verb: Verb) -> Number | Pause | Restart | Run:
    config = HttpConfig.model_validate(target.config)
    described: Mapping[Verb, Number | Pause | Restart | Run | None] = {
        Verb.SCALE: config.scale,
        Verb.THROTTLE: config.throttle,
        Verb.PAUSE: config.pause,
        Verb.RESUME: config.pause,
        Verb.RESTART: config.restart,
        Verb.RUN: config.run,
    }
    setting = described[verb]
    if setting is None:
        raise Refused(f"{target.name} has no request to {verb}: describe it", reason="missing_capability")
    return setting


def _report(setting: Run, context: StepContext) -> Report:
    return Report.of(context.reports, context.run_id, context.step, setting.suffix)


def _switched(name: str, setting: Pause, verb: Verb, now: Any) -> Any:
    goal = setting.running if verb is Verb.RESUME else setting.paused
    if _same(goal, now):
        raise Refused(f"{name} is {'running' if verb is Verb.RESUME else 'paused'} already", reason="at_limit")
    return goal


def _number(name: str, read: Any) -> float:
    if isinstance(read, bool) or not isinstance(read, int | float) or not math.isfinite(read) or abs(read) > 1e15:
        raise Permanent(f"{name} answered {str(read)!r}, which is no number")
    return read


def _word(name: str, setting: Pause, read: Any) -> Any:
    for word in (setting.paused, setting.running):
        if _same(word, read):
            return word
    raise Permanent(f"{name} reads {str(read)!r}, neither {setting.paused!r} nor {setting.running!r}")


def _moment(name: str, read: Any) -> float:
    """Epoch seconds, from a number or from a time with its zone."""
    if isinstance(read, str):
        try:
            moment = datetime.fromisoformat(read)
        except ValueError as error:
            raise Permanent(f"{name} answered {read!r}, which is no time") from error
        if moment.tzinfo is None:
            raise Permanent(f"{name} answered {read!r}, a time without its zone")
        return moment.timestamp()
    return float(_number(name, read))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, bool) or isinstance(other, bool) or isinstance(one, str) or isinstance(other, str):
        return type(one) is type(other) and bool(one == other)
    return isinstance(one, int | float) and isinstance(other, int | float) and math.isclose(one, other, rel_tol=1e-6)
