"""Where an Alertmanager configuration sends an alert: its routing tree, walked as Alertmanager walks it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from catalog.matcher import parse_matchers
from catalog.model import parse_duration


@dataclass(frozen=True, slots=True)
class Route:
    """One place of the tree at which an alert is taken. Spans in seconds, inherited from above where none is set."""

    receiver: str
    group_wait: float = 30.0
    group_interval: float = 300.0


def receivers(route: Mapping[str, Any], labels: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the receivers that an alert with these labels reaches, in order, each once.

    `route` is the configuration's root route. Raises ValueError for a matcher that cannot be read.
    """
    return tuple(dict.fromkeys(taken.receiver for taken in walk(route, labels)))


def walk(route: Mapping[str, Any], labels: Mapping[str, str]) -> Iterator[Route]:
    """Where an alert with these labels is taken, in order. Raises ValueError as `receivers` does."""
    yield from _reached(route, labels, _own(route, Route("")))


def _reached(route: Mapping[str, Any], labels: Mapping[str, str], here: Route) -> Iterator[Route]:
    deeper = False
    for child in route.get("routes") or ():
        if not _matches(child, labels):
            continue
        deeper = True
        yield from _reached(child, labels, _own(child, here))
        if not child.get("continue"):
            break
    if not deeper:
        yield here


def _own(route: Mapping[str, Any], above: Route) -> Route:
    return Route(
        str(route.get("receiver") or above.receiver),
        parse_duration(route["group_wait"]) if route.get("group_wait") else above.group_wait,
        parse_duration(route["group_interval"]) if route.get("group_interval") else above.group_interval,
    )


def _matches(route: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """All conditions of a route, those of the old notations too."""
    conditions = [matcher for text in route.get("matchers") or () for matcher in parse_matchers(text)]
    for key, operator in (("match", "="), ("match_re", "=~")):
        for name, value in (route.get(key) or {}).items():
            quoted = str(value).replace("\\", "\\\\").replace('"', '\\"')
            conditions += parse_matchers(f'{name}{operator}"{quoted}"')
    return all(condition.matches(labels) for condition in conditions)
