"""Times as Go writes them in JSON: RFC 3339 with up to nine digits of a second, any offset, and the zero time."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

_FORM = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.(\d{1,18}))?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))", re.ASCII
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Timestamp:
    """One instant, as it was written, and in a form that is the same for equal instants."""

    text: str
    """As it was written."""
    utc: str
    """The same instant in UTC, nanoseconds without trailing zeros: what Go writes (RFC3339Nano)."""
    seconds: float
    """Since the epoch; to the microsecond for today's dates, as a float carries no more."""

    @property
    def is_zero(self) -> bool:
        """Go's zero time, 0001-01-01T00:00:00Z: "not set"."""
        return self.utc == "0001-01-01T00:00:00Z"

    @property
    def coarse(self) -> Timestamp:
        """The millisecond it lies in: Alertmanager's webhook tells nanoseconds, its API cuts them off."""
        whole, dot, fraction = self.utc.removesuffix("Z").partition(".")
        return parse_timestamp(f"{whole}.{fraction[:3]}Z") if dot else self


def parse_timestamp(text: str) -> Timestamp:
    """The instant an RFC 3339 text names. Raises ValueError when it is none, or lies outside the years 1 to 9999."""
    found = _FORM.fullmatch(text)
    if found is None:
        raise ValueError("not an RFC 3339 time")
    year, month, day, hour, minute, second, fraction, sign, offset_hours, offset_minutes = found.groups()
    try:
        moment = datetime(int(year), int(month), int(day), int(hour), int(minute), int(second), tzinfo=UTC)
        if sign is not None:
            offset = timedelta(hours=int(offset_hours), minutes=int(offset_minutes))
            moment = moment - offset if sign == "+" else moment + offset
    except (ValueError, OverflowError) as error:
        raise ValueError(f"not a time: {error}") from error
    nanoseconds = (fraction or "")[:9].rstrip("0")
    whole = moment.replace(tzinfo=None).isoformat(timespec="seconds")
    since = moment - _EPOCH
    return Timestamp(
        text=text,
        utc=f"{whole}.{nanoseconds}Z" if nanoseconds else f"{whole}Z",
        seconds=since.days * 86400 + since.seconds + int(nanoseconds.ljust(9, "0")) / 1e9,
    )


def format_timestamp(seconds: float) -> str:
    """An instant as Prometheus writes `startsAt`: UTC, milliseconds, no trailing zeros."""
    moment = _EPOCH + timedelta(milliseconds=round(seconds * 1000))
    whole = moment.replace(tzinfo=None, microsecond=0).isoformat(timespec="seconds")
    milliseconds = f"{moment.microsecond // 1000:03d}".rstrip("0")
    return f"{whole}.{milliseconds}Z" if milliseconds else f"{whole}Z"
