"""`up.json`: what is running, for whoever looks at the data folder from outside."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from stack.configure import Plan
from stack.files import write_atomically

RECORD = "up.json"


def write(plan: Plan, pid: int, children: Mapping[str, int], started_at: float) -> None:
    """Everything at once, or what was there before. Raises OSError."""
    ports = asdict(plan.ports)
    value = {
        "pid": pid,
        "started_at": started_at,
        "data": str(plan.data),
        "config": str(plan.config),
        "time_scale": plan.scale.model_dump(),
        **plan.urls,
        "urls": plan.urls,
        "ports": {part: ports[part] for part in plan.parts},
        "children": dict(children),
    }
    write_atomically(plan.data / RECORD, json.dumps(value, indent=2) + "\n")


def read(data: Path) -> dict[str, Any] | None:
    """The record of a stack that was not stopped, running or killed; None where there is none."""
    try:
        value = json.loads((data / RECORD).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def remove(data: Path) -> None:
    (data / RECORD).unlink(missing_ok=True)
