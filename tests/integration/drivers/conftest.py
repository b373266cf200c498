"""Rigs outside the contract suite."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.contract.drivers.rigs.base import Rig, short_folder


@pytest.fixture
async def begin(haproxy_binary: Path) -> AsyncIterator[Callable[[type[Rig]], Any]]:
    """Starts a rig that is closed in the end."""
    made: list[Rig] = []
    async with aiohttp.ClientSession() as http:
        with short_folder() as folder:

            def one(kind: type[Rig]) -> Any:
                place = folder / str(len(made))
                place.mkdir()
                rig = kind(place, http, {"haproxy": haproxy_binary})
                made.append(rig)
                rig.start()
                rig.started_at = time.time()
                return rig

            try:
                yield one
            finally:
                for rig in made:
                    rig.close()
