"""Preconditions: what must be true in the world for a playbook to run, asked of Prometheus.

What cannot be found out is unknown, and governance counts that as false.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from remediator.errors import GraceError
from remediator.governance.facts import Precondition
from remediator.pipeline.parts import Parts


@dataclass(frozen=True, slots=True)
class Answer:
    """What a precondition said, and how it was asked: the audit log's words."""

    value: Precondition
    asked: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """For the audit log; empty where there was no precondition."""
        return {**self.asked, "answer": self.value.value} if self.asked else {}


NONE = Answer(Precondition.NONE)


async def ask(parts: Parts, query: str | None) -> Answer:
    """What a playbook's precondition says now. Never raises: what cannot be asked is unknown.

    Any value other than 0 is true.
    """
    if query is None:
        return NONE
    asked = {"query": query}
    try:
        found = await parts.prometheus.instant(query)
    except GraceError as error:
        return Answer(Precondition.UNKNOWN, {**asked, "error": str(error)})
    return Answer(Precondition.TRUE if any(sample.value for sample in found) else Precondition.FALSE, asked)
