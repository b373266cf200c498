"""A running `grace up`, found through what it wrote into its data folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from catalog.load import load_catalog, load_config
from catalog.model import Catalog, TimeScale
from demo.layout import Layout, layout


class NothingRunning(Exception):
    """No stack with the demo workload runs on this data folder; the message says so in one line, and what to do."""


class _Urls(BaseModel):
    model_config = ConfigDict(extra="ignore")
    prometheus: str
    alertmanager: str
    remediator: str


@dataclass(frozen=True, slots=True)
class Running:
    """Where everything of a running stack is. `catalog` has the intervals at which it measures."""

    data: Path
    place: Layout
    prometheus: str
    alertmanager: str
    remediator: str
    token: str
    catalog: Catalog
    scale: TimeScale


def running(data: Path) -> Running:
    """The stack on this data folder, whether it answers or not. Raises NothingRunning where there is none."""
    how = f"start it with `grace up --drill --data {data}`"
    place = layout(data)
    try:
        told = json.loads((data / "up.json").read_text(encoding="utf-8"))
        urls = _Urls.model_validate(told.get("urls", told))
    except FileNotFoundError:
        raise NothingRunning(f"nothing runs on {data}; {how}") from None
    except (OSError, AttributeError, json.JSONDecodeError, ValidationError):
        raise NothingRunning(f"{data / 'up.json'} is not what `grace up` writes; {how}") from None
    if not place.tasks.exists():
        raise NothingRunning(f"the stack on {data} runs without the demo workload, and drills need it; {how}")
    try:
        token = (data / "tokens" / "admin").read_text(encoding="utf-8").strip()
    except OSError as error:
        raise NothingRunning(f"the admin token cannot be read: {error}") from None
    config = load_config(data / "grace.yml")
    catalog = load_catalog(config.catalog).scaled(config.time_scale)
    return Running(data, place, urls.prometheus, urls.alertmanager, urls.remediator, token, catalog, config.time_scale)
