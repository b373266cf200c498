"""The body that Alertmanager posts, to the byte: order of keys, Go's escapes, the newline at the end."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from remediator.webhook.fingerprint import fingerprint
from remediator.webhook.payload import Status

ZERO_TIME = "0001-01-01T00:00:00Z"
"""`endsAt` of an alert that fires."""

# Go escapes these in JSON so that it can stand in HTML; line separators so that it can stand in JavaScript.
_GO_ESCAPES = {character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
_QUOTED = {"\a": r"\a", "\b": r"\b", "\f": r"\f", "\n": r"\n", "\r": r"\r", "\t": r"\t", "\v": r"\v"}


@dataclass(frozen=True, slots=True)
class NotifiedAlert:
    """One alert as a notification shows it. Times are RFC 3339 texts; its fingerprint is that of its labels."""

    status: Status
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: str
    ends_at: str = ZERO_TIME
    generator_url: str = ""


@dataclass(frozen=True, slots=True)
class Notification:
    """A group of alerts on its way to a receiver."""

    receiver: str
    alerts: Sequence[NotifiedAlert]
    group_by: Sequence[str]
    """Names of the labels that every alert of the group shares by construction."""
    route: str = "{}"
    """The matched route's place in the tree: `{}/{grace="true"}`."""
    external_url: str = "http://127.0.0.1:9093"
    truncated: int = 0
    group_labels: Mapping[str, str] = field(init=False)

    def __post_init__(self) -> None:
        """Raises ValueError for a group without alerts, of which Alertmanager never tells."""
        if not self.alerts:
            raise ValueError("a notification has at least one alert")
        first = self.alerts[0].labels
        shared = {name: first[name] for name in self.group_by if name in first}
        object.__setattr__(self, "group_labels", shared)

    def body(self) -> bytes:
        """What is posted."""
        firing = any(alert.status == "firing" for alert in self.alerts)
        return go_json(
            {
                "receiver": self.receiver,
                "status": "firing" if firing else "resolved",
                "alerts": [_alert(alert) for alert in self.alerts],
                "groupLabels": _sorted(self.group_labels),
                "commonLabels": _common([alert.labels for alert in self.alerts]),
                "commonAnnotations": _common([alert.annotations for alert in self.alerts]),
                "externalURL": self.external_url,
                "version": "4",
                "groupKey": f"{self.route}:{label_set(self.group_labels)}",
                "truncatedAlerts": self.truncated,
            }
        )


def go_json(value: object) -> bytes:
    """JSON as Go's encoder writes it, newline included. Text must be encodable as UTF-8."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    for character, escape in _GO_ESCAPES.items():
        text = text.replace(character, escape)  # outside of strings, JSON has none of them
    return f"{text}\n".encode()


def label_set(labels: Mapping[str, str]) -> str:
    """A set of labels as Prometheus prints it: `{a="b", c="d"}`, sorted."""
    return "{" + ", ".join(sorted(f"{name}={go_quoted(value)}" for name, value in labels.items())) + "}"


def go_quoted(text: str) -> str:
    """A text as Go's %q prints it."""
    return '"' + "".join(_go_character(character) for character in text) + '"'


def _go_character(character: str) -> str:
    code = ord(character)
    if character in '"\\':
        return f"\\{character}"
    if character in _QUOTED:
        return _QUOTED[character]
    if character.isprintable():
        return character
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _alert(alert: NotifiedAlert) -> dict[str, object]:
    return {
        "status": alert.status,
        "labels": _sorted(alert.labels),
        "annotations": _sorted(alert.annotations),
        "startsAt": alert.starts_at,
        "endsAt": alert.ends_at,
        "generatorURL": alert.generator_url,
        "fingerprint": fingerprint(alert.labels),
    }


def _common(sets: Sequence[Mapping[str, str]]) -> dict[str, str]:
    return _sorted({name: value for name, value in sets[0].items() if all(each.get(name) == value for each in sets)})


def _sorted(values: Mapping[str, str]) -> dict[str, str]:
    """In the order of their bytes, as Go sorts a map's keys."""
    return dict(sorted(values.items(), key=lambda pair: pair[0].encode()))
