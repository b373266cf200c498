"""Preconditions: what must be true in the world for a playbook to run, asked of Prometheus or of a command.

A command is a target of the inventory whose driver is `command`: its argument list stands there, no shell takes part,
nothing of an alert gets into it. What cannot be found out is unknown, and governance counts that as false.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from catalog.model import CommandPrecondition
from remediator.drivers.keyring import secrets_of
from remediator.drivers.redactor import Redactor
from remediator.errors import GraceError
from remediator.governance.facts import Precondition
from remediator.pipeline.parts import Parts

DRIVER = "command"
OUTPUT_KEPT = 500
"""Characters of a command's output that stand in the audit log."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a precondition said, and how it was asked: the audit log's words."""

    value: Precondition
    asked: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For the audit log; empty where there was no precondition."""
        return {**self.asked, "answer": self.value.value} if self.asked else {}


NONE = Answer(Precondition.NONE)


async def ask(parts: Parts, precondition: str | CommandPrecondition | None) -> Answer:
    """What a playbook's precondition says now. Never raises: what cannot be asked is unknown."""
    if precondition is None:
        return NONE
    if isinstance(precondition, CommandPrecondition):
        return await _command(parts, precondition.command)
    return await _query(parts, precondition)


async def _query(parts: Parts, query: str) -> Answer:
    """Any value other than 0 is true."""
    asked = {"query": query}
    try:
        found = await parts.prometheus.instant(query)
    except GraceError as error:
        return Answer(Precondition.UNKNOWN, {**asked, "error": str(error)})
    return Answer(Precondition.TRUE if any(sample.value for sample in found) else Precondition.FALSE, asked)


async def _command(parts: Parts, name: str) -> Answer:
    """Exit code 0 is true, any other false; a command that was killed has said nothing."""
    # Imported when a precondition needs it, as drivers are.
    from remediator.drivers.command.question import ask as ask_command

    asked: dict[str, Any] = {"command": name}
    target = parts.inventory.targets.get(name)
    if target is None or target.driver != DRIVER:
        return Answer(Precondition.UNKNOWN, {**asked, "error": "the inventory has no such command"})

    def redactor() -> Redactor:
        return Redactor(secrets_of(parts.config, parts.inventory))

    began = time.monotonic()
    try:
        code, output = await ask_command(target, redactor)
    except GraceError as error:
        return Answer(Precondition.UNKNOWN, {**asked, "error": redactor().text(str(error))})
    asked |= {"exit_code": code, "seconds": round(time.monotonic() - began, 3), "output": _shown(output)}
    if code < 0:
        return Answer(Precondition.UNKNOWN, asked)
    return Answer(Precondition.TRUE if code == 0 else Precondition.FALSE, asked)


def _shown(output: str) -> str:
    """The beginning of what it printed, on one line without control characters."""
    return "".join(char if char.isprintable() else " " for char in output)[:OUTPUT_KEPT].strip()
