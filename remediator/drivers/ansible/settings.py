"""What the inventory says of things that Ansible manages: which file reads a value, which one sets it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, JsonValue, StringConstraints, field_validator, model_validator

from catalog.model import Frozen, Verb

# A file below the folder: nothing in it leads out of it, or begins like an option.
File = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*(/[A-Za-z0-9_][A-Za-z0-9_-]*)*\.ya?ml$")]
Variable = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)]


class Work(Frozen):
    """A playbook that changes something."""

    apply: File
    variables: Mapping[Variable, JsonValue] = Field(default_factory=dict)
    """Further extra variables for the playbooks, as JSON: a number stays a number, a list a list."""


class Play(Work):
    """One value: a playbook that tells it, and one that brings it about."""

    read: File
    """Tells the value by `set_stats: {data: {grace_value: …}}`."""
    check: bool = True
    """Read in Ansible's check mode, in which modules change nothing."""
    variable: Variable = "grace_wanted"
    """The extra variable that holds the wanted value; a number stays a number."""

    @model_validator(mode="after")
    def _is_not_hidden(self) -> Self:
        if self.variable in self.variables:
            raise ValueError(f"variables: {self.variable} is the one that holds the wanted value")
        return self


class Restart(Play):
    """What is restarted: `read` tells since when it runs (of several, the oldest), in epoch seconds."""


class Run(Work):
    """A job. What it tells by `set_stats: {data: {grace_report: …}}` is the report: a text, or JSON."""

    suffix: Annotated[str, StringConstraints(pattern=r"^\.[A-Za-z0-9]{1,10}$")] = ".md"
    """Ending of the report's name."""


class Throttle(Play):
    min: float = Field(default=1, ge=0)
    """Never below this."""


class Pause(Play):
    """A switch."""

    paused: int | str = 1
    running: int | str = 0


class AnsibleConfig(Frozen):
    folder: Path
    """Where the playbooks are; absolute."""
    hosts: Path
    """Ansible's inventory: a file or a folder; absolute."""
    env: Mapping[str, str] = Field(default_factory=dict)
    """Added to PATH, HOME, USER, LANG, LC_ALL and TZ, the only ones inherited."""
    scale: Play | None = None
    throttle: Throttle | None = None
    pause: Pause | None = None
    restart: Restart | None = None
    run: Run | None = None

    @field_validator("folder", "hosts")
    @classmethod
    def _is_absolute(cls, path: Path) -> Path:
        if not path.is_absolute():
            raise ValueError("must be absolute")
        return path

    def play(self, verb: Verb) -> Play | None:
        if verb is Verb.SCALE:
            return self.scale
        if verb is Verb.RESTART:
            return self.restart
        return self.throttle if verb is Verb.THROTTLE else self.pause
