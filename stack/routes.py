"""Where an Alertmanager configuration sends an alert: its routing tree, walked as Alertmanager walks it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from catalog.matcher import parse_matchers


def receivers(route: Mapping[str, Any], labels: Mapping[str, str]) -> tuple[str, ...]:
    """Names of the receivers that an alert with these labels reaches, in order, each once.

    `route` is the configuration's root route. Raises ValueError for a matcher that cannot be read.
    """
    return tuple(dict.fromkeys(_reached(route, labels, str(route.get("receiver", "")))))


def _reached(route: Mapping[str, Any], labels: Mapping[str, str], receiver: str) -> Iterator[str]:
    deeper = False
    for child in route.get("routes") or ():
        if not _matches(child, labels):
            continue
        deeper = True
        yield from _reached(child, labels, str(child.get("receiver") or receiver))
        if not child.get("continue"):
            break
    if not deeper:
        yield receiver


def _matches(route: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """All conditions of a route, those of the old notations too."""
    conditions = [matcher for text in route.get("matchers") or () for matcher in parse_matchers(text)]
    for key, operator in (("match", "="), ("match_re", "=~")):
        for name, value in (route.get(key) or {}).items():
            quoted = str(value).replace("\\", "\\\\").replace('"', '\\"')
            conditions += parse_matchers(f'{name}{operator}"{quoted}"')
    return all(condition.matches(labels) for condition in conditions)
