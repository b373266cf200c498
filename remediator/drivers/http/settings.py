"""What the inventory says of a control endpoint: how each verb's value is read and written."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    Field,
    StrictBool,
    StrictFloat,
    StrictInt,
    StrictStr,
    StringConstraints,
    model_validator,
)
from yarl import URL

from catalog.model import Frozen, Seconds
from remediator.drivers.http.pointer import checked_pointer
from remediator.drivers.http.template import PLACE, checked_body, checked_path, holds_value

Word = StrictBool | StrictInt | StrictFloat | StrictStr
IDEMPOTENT = frozenset({"GET", "PUT", "DELETE"})


def _base(text: str) -> str:
    try:
        url = URL(text)
    except ValueError as error:
        # The text itself may hold a secret, so it is not repeated.
        raise ValueError("not a URL; write http://HOST:PORT or https://HOST/PATH") from error
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError("not a URL; write http://HOST:PORT or https://HOST/PATH")
    if url.user or url.password or url.query_string or url.fragment:
        raise ValueError("neither credentials nor a query belong in it; use `token_file`")
    if not text.isascii() or not text.isprintable() or " " in text or "\\" in text:
        raise ValueError("other characters than a URL's must be percent-encoded")
    return text.rstrip("/")


def _plain(path: str) -> str:
    if PLACE in path:
        raise ValueError(f"what is read takes no {PLACE}")
    return checked_path(path)


class Read(Frozen):
    """A GET, and where in the JSON that it answers the value stands."""

    path: Annotated[str, AfterValidator(_plain)]
    pointer: Annotated[str, AfterValidator(checked_pointer)] = ""


class Write(Frozen):
    """A request that sets the value."""

    method: Literal["PUT", "POST", "PATCH", "DELETE"] = "PUT"
    path: Annotated[str, AfterValidator(checked_path)]
    body: Annotated[Any, AfterValidator(checked_body)] = None
    """A JSON document; none is sent where absent."""
    expect: tuple[Annotated[int, Field(ge=200, le=299)], ...] = Field(default=(200, 201, 202, 204), min_length=1)
    """Statuses that mean it was accepted."""

    @property
    def is_idempotent(self) -> bool:
        return self.method in IDEMPOTENT

    @property
    def takes_value(self) -> bool:
        return holds_value(self.path, self.body)


class Number(Frozen):
    """A number that is read and set."""

    read: Read
    write: Write

    @model_validator(mode="after")
    def _goes_somewhere(self) -> Self:
        if not self.write.takes_value:
            raise ValueError(f"write: the number goes nowhere; put {PLACE} into the path or the body")
        return self


class Throttle(Number):
    """A number that limits something; less is slower."""

    min: float = Field(default=1, ge=0)
    """Never below this."""


class Pause(Frozen):
    """A switch: one request for each way."""

    read: Read
    pause: Write
    resume: Write
    paused: Word = True
    """What is read while it is paused."""
    running: Word = False

    @model_validator(mode="after")
    def _is_a_switch(self) -> Self:
        if self.pause.takes_value or self.resume.takes_value:
            raise ValueError(f"a switch takes no {PLACE}: write out what is sent")
        if self.paused == self.running:
            raise ValueError("paused and running read the same")
        return self


class Restart(Frozen):
    """A request that restarts the service, and where it says since when it runs."""

    read: Read
    """Epoch seconds, or a time such as 2026-01-31T12:00:00Z."""
    write: Write

    @model_validator(mode="after")
    def _takes_nothing(self) -> Self:
        if self.write.takes_value:
            raise ValueError(f"a restart takes no {PLACE}")
        return self


class Run(Frozen):
    """A job that the service does while the request lasts; its answer is the report."""

    write: Write
    suffix: Annotated[str, StringConstraints(pattern=r"^\.[A-Za-z0-9]{1,10}$")] = ".json"
    """Ending of the report's name."""

    @model_validator(mode="after")
    def _takes_nothing(self) -> Self:
        if self.write.takes_value:
            raise ValueError(f"a job takes no {PLACE}")
        return self


class HttpConfig(Frozen):
    url: Annotated[str, AfterValidator(_base)]
    """Where all paths begin, without credentials."""
    token_file: Path | None = None
    """Holds a bearer token; read again for every request."""
    username: str = ""
    password_file: Path | None = None
    """With `username`, for basic authentication; read again for every request."""
    ca_file: Path | None = None
    """Certificates to trust instead of the system's."""
    timeout: Annotated[Seconds, Field(gt=0, le=600)] = 5.0
    """Seconds that one request may take, also bounded by the target's `step_timeout`."""
    scale: Number | None = None
    throttle: Throttle | None = None
    pause: Pause | None = None
    restart: Restart | None = None
    run: Run | None = None

    @model_validator(mode="after")
    def _can_do_something(self) -> Self:
        if not any((self.scale, self.throttle, self.pause, self.restart, self.run)):
            raise ValueError("describe at least one of scale, throttle, pause, restart, run")
        if self.token_file is not None and self.password_file is not None:
            raise ValueError("token_file and password_file exclude each other")
        return self
