"""One measured number, with what it is measured against."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Figure:
    """What was measured, the number with its unit, and what is wanted of it (empty where nothing is)."""

    what: str
    value: str
    wanted: str = ""
