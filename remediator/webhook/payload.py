"""Alertmanager's webhook payload (version 4), parsed strictly for what Grace reads and blind to everything else.

An alert is a hint: its labels are lookup keys and nothing else. `generatorURL`, `externalURL` and the group's common
labels are not even kept.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from remediator.webhook.fingerprint import fingerprint
from remediator.webhook.timestamp import Timestamp, parse_timestamp

Status = Literal["firing", "resolved"]

MAX_VALUE = 4096
"""Characters of a label value, annotation, receiver or group key that are kept; the rest is cut and marked."""
MAX_NAME = 256
"""Characters of a label or annotation name; a longer one is refused, for a cut name would be another name."""
_KEPT = MAX_VALUE - 32

# Escapes that JSON allows and storage does not: NUL (PostgreSQL's text) and half of a surrogate pair (UTF-8).
_UNSTORABLE_ESCAPE = re.compile(r"\\u(?:0000|[dD][89a-fA-F])")
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")
_FINGERPRINT = re.compile(r"[0-9A-Za-z_.:-]{1,64}", re.ASCII)
_CHARSET = re.compile(r";\s*charset\s*=\s*\"?([^\s\";]+)", re.IGNORECASE)


class PayloadError(Exception):
    """The body is not a payload.

    `status` is HTTP's: 400 not JSON, 415 declared in another charset than UTF-8, 422 JSON but not Alertmanager's.
    `title` is the same for the same kind of fault, `detail` says what is wrong where; neither repeats long input.
    """

    def __init__(self, status: int, title: str, detail: str) -> None:
        super().__init__(f"{title}: {detail}")
        self.status = status
        self.title = title
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert as Alertmanager sent it, by its own status (a firing group may carry resolved alerts)."""

    fingerprint: str
    status: Status
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts: Timestamp
    ends: Timestamp | None
    """None while it fires, or where it was not told."""

    @property
    def starts_at(self) -> float:
        """Epoch seconds at which it began to fire, to the millisecond."""
        return self.starts.coarse.seconds

    @property
    def starts_at_text(self) -> str:
        """`startsAt` as it was written, nanoseconds and offset included."""
        return self.starts.text

    @property
    def ends_at(self) -> float | None:
        """Epoch seconds at which it resolved; None while it fires."""
        return None if self.ends is None else self.ends.seconds

    @property
    def key(self) -> str:
        """The same for every re-send, repeat and duplicate of this alert in this state, and for nothing else."""
        return f"{self.fingerprint}/{self.starts.coarse.utc}/{self.status}"

    @property
    def metric_id(self) -> str | None:
        """The catalog metric it claims to be about; unchecked."""
        return self.labels.get("metric_id") or None

    @property
    def resource(self) -> str | None:
        """The resource it claims to be about; unchecked, only ever a lookup key."""
        return self.labels.get("resource") or None

    @property
    def severity(self) -> str | None:
        """Its severity label; `warning` or `critical` for an alert of the catalog, any word for a foreign one."""
        return self.labels.get("severity") or None


@dataclass(frozen=True, slots=True)
class Payload:
    """One notification: its alerts, one by one, and which group and receiver they came through."""

    status: Status
    receiver: str
    group_key: str
    truncated_alerts: int
    """Alerts that Alertmanager left out (`max_alerts`); 0 as Grace's generated configuration asks."""
    alerts: tuple[Alert, ...]


def parse(body: bytes, content_type: str | None = None) -> Payload:
    """The payload in a request's body. Raises PayloadError, and nothing else, for everything that is none.

    The body decides, not the media type it is declared as (what matters is the token); a declared charset other than
    UTF-8 is refused. NUL and lone surrogates are replaced by U+FFFD; values longer than MAX_VALUE characters are cut.
    A key that stands twice in one object is refused: two readers could take it for two different things.
    """
    document = _decode(body, content_type)
    if not isinstance(document, dict):
        _refuse("$", "an object is expected")
    version = document.get("version")
    if version != "4":
        _refuse("$.version", 'the webhook payload version "4" is expected')
    alerts = document.get("alerts")
    if not isinstance(alerts, list):
        _refuse("$.alerts", "a list is expected")
    truncated = document.get("truncatedAlerts", 0)
    if isinstance(truncated, bool) or not isinstance(truncated, int) or not 0 <= truncated < 2**63:
        _refuse("$.truncatedAlerts", "a whole number from 0 is expected")
    return Payload(
        status=_status(document, "$"),
        receiver=_text(document, "receiver", "$"),
        group_key=_text(document, "groupKey", "$"),
        truncated_alerts=truncated,
        alerts=tuple(_alert(alert, f"$.alerts[{index}]") for index, alert in enumerate(alerts)),
    )


def _decode(body: bytes, content_type: str | None) -> object:
    charset = _CHARSET.search(content_type or "")
    if charset and charset[1].lower() not in ("utf-8", "utf8", "us-ascii"):
        raise PayloadError(415, "Unsupported charset", "the body is declared in another charset than UTF-8")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise PayloadError(400, "Not JSON", f"the body is not UTF-8 (byte {error.start})") from error
    try:
        document: object = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
        return _storable(document) if _UNSTORABLE_ESCAPE.search(text) else document
    except json.JSONDecodeError as error:
        raise PayloadError(400, "Not JSON", f"{error.msg} (character {error.pos} of {len(text)})") from error
    except RecursionError as error:
        raise PayloadError(400, "Not JSON", "the body is nested too deeply") from error
    except ValueError as error:  # a number of thousands of digits, which Python refuses to convert
        raise PayloadError(400, "Not JSON", "a number in the body is too long") from error


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        twice, _ = Counter(name for name, _ in pairs).most_common(1)[0]
        raise PayloadError(422, "Not an Alertmanager payload", f"the key {_shown(twice)} stands twice in one object")
    return document


def _constant(name: str) -> NoReturn:
    raise PayloadError(400, "Not JSON", f"{name} is not JSON")


def _storable(value: Any) -> Any:
    """The same document with U+FFFD for what no database and no UTF-8 file can hold."""
    if isinstance(value, str):
        return _UNSTORABLE.sub("�", value)
    if isinstance(value, list):
        return [_storable(item) for item in value]
    if isinstance(value, dict):
        return {_UNSTORABLE.sub("�", name): _storable(item) for name, item in value.items()}
    return value


def _refuse(path: str, reason: str) -> NoReturn:
    raise PayloadError(422, "Not an Alertmanager payload", f"{path}: {reason}")


def _shown(text: str) -> str:
    """Strangers' text for a message: short, printable, quoted."""
    return json.dumps(text[:40] + "…" if len(text) > 40 else text)


def _alert(document: object, path: str) -> Alert:
    if not isinstance(document, dict):
        _refuse(path, "an object is expected")
    status = _status(document, path)
    labels = _strings(document, "labels", path)
    if not labels:
        _refuse(f"{path}.labels", "at least one label is expected")
    starts = _time(document, "startsAt", path)
    if starts is None:
        _refuse(f"{path}.startsAt", "an RFC 3339 time is expected")
    ends = _time(document, "endsAt", path)
    return Alert(
        fingerprint=_fingerprint(document, labels, path),
        status=status,
        labels=_bounded(labels),
        annotations=_bounded(_strings(document, "annotations", path)),
        starts=starts,
        ends=None if status == "firing" or ends is None or ends.is_zero else ends,
    )


def _status(document: dict[str, Any], path: str) -> Status:
    status = document.get("status")
    if status == "firing":
        return "firing"
    if status == "resolved":
        return "resolved"
    _refuse(f"{path}.status", '"firing" or "resolved" is expected')


def _text(document: dict[str, Any], name: str, path: str) -> str:
    value = document.get(name, "")
    if not isinstance(value, str):
        _refuse(f"{path}.{name}", "a string is expected")
    return _cut(value)


def _strings(document: dict[str, Any], name: str, path: str) -> dict[str, str]:
    values = document.get(name, {})
    if not isinstance(values, dict):
        _refuse(f"{path}.{name}", "an object of strings is expected")
    for key, value in values.items():
        if not isinstance(value, str):
            _refuse(f"{path}.{name}[{_shown(key)}]", "a string is expected")
        if not 0 < len(key) <= MAX_NAME:
            _refuse(f"{path}.{name}[{_shown(key)}]", f"a name of 1 to {MAX_NAME} characters is expected")
    return values


def _bounded(values: dict[str, str]) -> dict[str, str]:
    return {name: _cut(value) for name, value in values.items()}


def _cut(value: str) -> str:
    if len(value) <= MAX_VALUE:
        return value
    return f"{value[:_KEPT]}… (+{len(value) - _KEPT} characters)"


def _time(document: dict[str, Any], name: str, path: str) -> Timestamp | None:
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, str):
        _refuse(f"{path}.{name}", "an RFC 3339 time is expected")
    try:
        return parse_timestamp(value)
    except ValueError as error:
        _refuse(f"{path}.{name}", str(error))


def _fingerprint(document: dict[str, Any], labels: dict[str, str], path: str) -> str:
    given = document.get("fingerprint", "")
    if not isinstance(given, str) or (given and not _FINGERPRINT.fullmatch(given)):
        _refuse(f"{path}.fingerprint", "up to 64 letters, digits or _.:- are expected")
    return given or fingerprint(labels)
