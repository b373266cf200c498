"""What can go wrong while acting, as three kinds that the pipeline treats differently.

    GraceError
    ├── Transient    try again (after `retry_after` seconds); the world may have changed a little
    ├── Permanent    trying again will not help; the step fails with this reason
    └── Refused      nothing was done, on purpose: at a limit, forbidden, or the request made no sense

Drivers translate their library's errors once, `from` the cause. Messages are shown to people and audited:
they say what to do next and never contain a secret.
"""

from __future__ import annotations


class GraceError(Exception):
    """Base of all. `str(error)` is fit for people."""


class Transient(GraceError):
    """Worth another try."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Permanent(GraceError):
    """Will not get better by itself."""


class Refused(GraceError):
    """Nothing was changed, on purpose."""

    def __init__(self, message: str, *, reason: str = "refused") -> None:
        super().__init__(message)
        self.reason = reason
