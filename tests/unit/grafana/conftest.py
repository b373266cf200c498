"""Dashboards as values."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from catalog.load import load_catalog
from catalog.model import Catalog
from grafana.build import build
from grafana.check.document import Dashboard, parse


@pytest.fixture(scope="session")
def shipped() -> Catalog:
    return load_catalog()


@pytest.fixture(scope="session")
def files(shipped: Catalog) -> Mapping[str, str]:
    """What `grace grafana build` writes for the shipped catalog."""
    return build(shipped)


@pytest.fixture(scope="session")
def boards(files: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """The shipped dashboards' JSON by uid."""
    found = [json.loads(text) for name, text in files.items() if name.endswith(".json")]
    return {board["uid"]: board for board in found}


@pytest.fixture
def dashboard_of() -> Callable[..., Dashboard]:
    """A dashboard that was read from a value, by its panels and other fields."""

    def make(*panels: Mapping[str, Any], **fields: Any) -> Dashboard:
        return parse({"uid": "x", "title": "X", "description": "x", "panels": list(panels), **fields}, "x.json")

    return make
