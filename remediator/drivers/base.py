"""What a driver is: how a verb is done, observed and undone on one kind of target.

A step is *desired state*: `desire` computes it once from what was observed, the pipeline journals it, `do` brings it
about, `observe` and `reached` say whether it holds. Doing it twice is therefore harmless, and after a crash a step is
resolved by looking, not by guessing.

States are JSON-able mappings (they are journaled, audited and shown to people): numbers, words, lists; no secrets.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

import aiohttp
from pydantic import BaseModel

from catalog.inventory import Target
from catalog.model import Verb
from remediator.clock import Clock
from remediator.drivers.redactor import Redactor

State = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StepContext:
    """What a driver may know about the run it works for. Nothing in it comes from an alert unchecked."""

    run_id: str
    step: int
    key: str
    """Idempotency key of this step, the same at every attempt: `<run_id>:<step>`."""
    started_at: float
    """When the run's plan was made (epoch seconds): "restarted" means every process is younger than this."""
    resource: str = ""
    """The incident's resource, only ever compared with names of the inventory."""
    heat: Mapping[str, float] = field(default_factory=dict)
    """For `shift`: how hot each resource is by metric, as Prometheus says now."""
    reports: Path = Path("reports")
    """Folder for artefacts of `run` and `report`."""
    incident_id: str = ""
    playbook_id: str = ""
    message: str = ""
    """For `notify`: what to tell people, already plain text."""


@dataclass(frozen=True, slots=True)
class World:
    """What a driver is given: nothing else of the process may be reached for."""

    clock: Clock
    http: aiohttp.ClientSession
    data_dir: Path
    govern: Callable[[str, State, str], Awaitable[State]] | None = None
    """Change governance (`governance` driver only): (change, desired, run_id) → settings now. Durable on return."""
    governance: Callable[[], Awaitable[State]] | None = None
    """Governance settings now."""
    story: Callable[[str], Awaitable[State]] | None = None
    """Everything known of an incident (`postmortem` driver only): incident, runs, steps, audit entries, snapshots."""
    curve: Callable[[str], Awaitable[State]] | None = None
    """How an incident's metric went (`postmortem` driver only): `title`, `unit`, `points` ([epoch seconds, value in
    that unit], oldest first), `thresholds` (`band`, `value`, `above`); empty where nobody knows. Raises as a driver."""
    secrets: Callable[[], Collection[str]] = tuple
    """Every secret that Grace was given, as it is now; never to be shown."""

    def redactor(self) -> Redactor:
        """Hides the secrets in whatever others said, before any of it is kept."""
        return Redactor(self.secrets())


class Driver(Protocol):
    """One kind of target. Methods raise only `Transient`, `Permanent` or `Refused` (`remediator.errors`)."""

    kind: ClassVar[str]
    verbs: ClassVar[frozenset[Verb]]
    Config: ClassVar[type[BaseModel]]
    """Validates `Target.config` when the inventory is loaded."""

    def __init__(self, world: World) -> None:
        """Makes no connection: a driver that is never used costs nothing and cannot fail."""
        ...

    async def observe(self, target: Target, verb: Verb, context: StepContext) -> State:
        """How the target stands now, read from the target itself."""
        ...

    def desire(
        self, target: Target, verb: Verb, args: Mapping[str, Any], observed: State, context: StepContext
    ) -> State:
        """The state this verb asks for, from what was observed. Pure. Raises Refused at a limit (at the maximum)."""
        ...

    async def do(self, target: Target, verb: Verb, desired: State, context: StepContext) -> State | None:
        """Bring the desired state about; returns once it was asked for and accepted. Doing it twice is harmless.

        A driver that has read the target afterwards anyway gives what `observe` would; then nobody asks once more.
        """
        ...

    def reached(self, verb: Verb, desired: State, observed: State) -> bool:
        """Does the observation satisfy the desired state? Pure."""
        ...

    def give_back(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[Verb, State] | None:
        """The verb and desired state that undo this change and nobody else's; None where nothing is to undo. Pure."""
        ...

    def release_steps(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[State, ...]:
        """Desired states that give the change back step by step, the last one being `give_back`'s. Pure."""
        ...

    async def close(self) -> None:
        """Free connections."""
        ...
