"""What the inventory says of a group of Celery workers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any
from urllib.parse import urlsplit

from pydantic import Field, StringConstraints, field_validator, model_validator

from catalog.model import Frozen

# Transports over which a command reaches every worker and its answer comes back. Over others (SQL, SQS, …) Celery's
# remote control does nothing, and says nothing.
_REMOTE_CONTROL = frozenset(
    {"redis", "rediss", "redis+socket", "sentinel", "amqp", "amqps", "pyamqp", "filesystem"},
)

NodeName = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+@[A-Za-z0-9_.-]+$", max_length=200)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]+$", max_length=200)]


class Throttle(Frozen):
    """Tasks whose rate limit is lowered, and how far. Celery counts per worker node."""

    tasks: tuple[Name, ...] = Field(min_length=1)
    min: float = Field(default=1, gt=0)
    """Tasks a minute and node; never below this. Zero would mean no limit."""
    unlimited_is: float | None = Field(default=None, gt=0)
    """Tasks a minute and node that a task without a limit is taken for; without it such a task is not throttled."""


class Pause(Frozen):
    """Queues that are no longer consumed from."""

    queues: tuple[Name, ...] = Field(min_length=1)


def _is_read_as_meant(broker: str) -> bool:
    """False where a part of the password would stand in another's place, for then it is told with that."""
    scheme, _, rest = broker.partition("://")
    try:
        parts = urlsplit(f"http://{rest}")  # as Celery's own transport library reads it
        plain = parts.port is None or parts.port > 0
    except ValueError:
        return False
    is_path = scheme in ("redis+socket", "filesystem")
    return plain and (is_path or "@" not in parts.path + parts.query + parts.fragment)


class CeleryConfig(Frozen):
    broker: str
    """The workers' broker URL; leave the password out where there is a `password_file`."""
    password_file: Path | None = None
    broker_options: Mapping[str, Any] = Field(default_factory=dict)
    """Celery's `broker_transport_options`, as the workers have them."""
    nodes: tuple[NodeName, ...] = Field(min_length=1)
    """The workers' node names, as `celery worker -n` gives them."""
    surge: int = Field(default=1, ge=1, le=100)
    """Processes that a restart may have beyond the usual ones at any moment, per node."""
    throttle: Throttle | None = None
    pause: Pause | None = None

    @field_validator("broker")
    @classmethod
    def _carries_commands(cls, broker: str) -> str:
        scheme, separator, _ = broker.partition("://")
        # The text itself may hold a password, so it is not repeated.
        if not separator:
            raise ValueError("not a broker URL; write redis://HOST/0, redis+socket:///PATH or amqp://USER@HOST/VHOST")
        if scheme not in _REMOTE_CONTROL:
            known = ", ".join(sorted(_REMOTE_CONTROL))
            raise ValueError(f"Celery's remote control does nothing over this kind of broker; it works over {known}")
        if not all(_is_read_as_meant(each) for each in broker.split(";")):
            raise ValueError("not a broker URL; in a password write @ : / ? # [ ] with %-escapes, or use password_file")
        return broker

    @model_validator(mode="after")
    def _nodes_are_different(self) -> CeleryConfig:
        if len(set(self.nodes)) != len(self.nodes):
            raise ValueError("a node is named twice")
        return self
