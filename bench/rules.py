"""How fast a catalog becomes rules: the shipped one, and ones of many metrics, without their promtool tests."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator

from bench.figure import Figure
from catalog.load import load_catalog
from catalog.model import Catalog
from rules.build import build

SIZES = (250, 500, 1000)
COLD = "from catalog.load import load_catalog; from rules.build import build; build(load_catalog(), tests=False)"


def figures() -> Iterator[Figure]:
    """Seconds for the shipped catalog in a new process, and for catalogs of up to 1,000 metrics, each metric alike."""
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", COLD], check=True)
    yield Figure("the shipped catalog, cold, Python's start included", _seconds(begun), "≤ 1 s")
    shipped = load_catalog()
    for size in SIZES:
        catalog = many(shipped, size)
        begun = time.perf_counter()
        build(catalog, tests=False)
        took = time.perf_counter() - begun
        wanted = "≤ 5 s, linear" if size == SIZES[-1] else ""
        yield Figure(f"{size} metrics", f"{took:.2f} s, {took / size * 1000:.1f} ms each", wanted)
    begun = time.perf_counter()
    build(shipped)
    yield Figure("the shipped catalog with its promtool tests", _seconds(begun))


def many(shipped: Catalog, size: int) -> Catalog:
    """A catalog of `size` metrics: the shipped ones over and over, under other names."""
    metrics = {}
    for number in range(size):
        metric = shipped.enabled[number % len(shipped.enabled)]
        name = f"{metric.id}_{number}"
        metrics[name] = metric.model_copy(update={"id": name})
    return shipped.model_copy(update={"metrics": metrics})


def _seconds(begun: float) -> str:
    return f"{time.perf_counter() - begun:.2f} s"
