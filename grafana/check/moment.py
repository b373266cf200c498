"""Grafana's words for time: `now-6h`, `15s`, and the steps that it takes."""

from __future__ import annotations

import re
from datetime import datetime

_UNITS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "M": 30 * 86400, "y": 365 * 86400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|[smhdwMy])")
_RELATIVE = re.compile(r"now\s*(?:([+-])\s*(\d+)([smhdwMy]))?\s*(?:/[smhdwMyfQ]+)?", re.ASCII)
_STEPS = (0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200)
POINTS = 1000
"""How many points Grafana asks for where a panel does not say, about."""
SCRAPE = 15.0
"""The shortest step, in seconds: the data source's scrape interval where it is not changed."""


def seconds(text: str) -> float | None:
    """The length of a duration such as 15s, 500ms or 1h30m; None for anything else."""
    parts = _DURATION.findall(text.strip().lstrip(">"))
    if not parts or "".join(number + unit for number, unit in parts) != text.strip().lstrip(">"):
        return None
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def moment(text: str, now: float) -> float:
    """The Unix time that Grafana's words mean; roundings (`now/d`) are left out. Raises ValueError."""
    relative = _RELATIVE.fullmatch(text.strip())
    if relative:
        sign, number, unit = relative.groups()
        return now if sign is None else now + float(f"{sign}{number}") * _UNITS[unit]
    if text.strip().isdigit():
        return int(text) / 1000
    return datetime.fromisoformat(text.strip()).timestamp()


def step(length: float, points: int, least: float) -> float:
    """Seconds between two points of a graph that is `length` seconds long: one of Grafana's round steps."""
    wanted = max(length / (points or POINTS), least)
    if wanted <= least:
        return least
    return next((each for each in _STEPS if each >= wanted), wanted)


def written(length: float) -> str:
    """A duration as PromQL takes it."""
    milliseconds = round(length * 1000)
    return f"{milliseconds // 1000}s" if milliseconds % 1000 == 0 else f"{milliseconds}ms"
