"""What the inventory says of things that Ansible manages: which file reads a value, which one sets it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints, field_validator

from catalog.model import Frozen, Verb

# A file below the folder: nothing in it leads out of it, or begins like an option.
File = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_-]*(/[A-Za-z0-9_][A-Za-z0-9_-]*)*\.ya?ml$")]
Variable = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=100)]


class Play(Frozen):
    """One value: a playbook that tells it, and one that brings it about."""

    read: File
    """Tells the value by `set_stats: {data: {grace_value: …}}`."""
    check: bool = True
    """Read in Ansible's check mode, in which modules change nothing."""
    apply: File
    variable: Variable = "grace_wanted"
    """The extra variable that holds the wanted value; a number stays a number."""


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

    @field_validator("folder", "hosts")
    @classmethod
    def _is_absolute(cls, path: Path) -> Path:
        if not path.is_absolute():
            raise ValueError("must be absolute")
        return path

    def play(self, verb: Verb) -> Play | None:
        if verb is Verb.SCALE:
            return self.scale
        return self.throttle if verb is Verb.THROTTLE else self.pause
