"""How fast a catalog becomes rules and their promtool tests: the shipped one, and ones of many metrics."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal

from bench.figure import Figure
from catalog.load import load_catalog
from catalog.model import Bands, Catalog, Edges
from rules.build import build

SIZES = (250, 500, 1000)
COLD = "from catalog.load import load_catalog; from rules.build import build; build(load_catalog(), tests={})"


def figures() -> Iterator[Figure]:
    """Seconds for the shipped catalog in a new process, and for catalogs of up to 1,000 metrics, each metric alike."""
    for tests in (True, False):
        begun = time.perf_counter()
        subprocess.run([sys.executable, "-c", COLD.format(tests)], check=True)
        what = "the shipped catalog, cold, Python's start included" + ("" if tests else ", without tests")
        yield Figure(what, f"{time.perf_counter() - begun:.2f} s", "≤ 1 s")
    shipped = load_catalog()
    for size in SIZES:
        wanted = "≤ 5 s, linear" if size == SIZES[-1] else ""
        yield _built(f"{size} metrics with their tests, edges as shipped", many(shipped, size), wanted)
    for size in SIZES:
        yield _built(f"{size} metrics with their tests, each with edges of its own", many(shipped, size, own=True))
    yield _built(f"{SIZES[-1]} metrics without tests", many(shipped, SIZES[-1], own=True), tests=False)


def many(shipped: Catalog, size: int, *, own: bool = False) -> Catalog:
    """A catalog of `size` metrics: the shipped ones over and over, under other names.

    With `own`, no two of one kind have the same edges, so that nothing worked out for one serves another.
    """
    metrics = {}
    for number in range(size):
        metric = shipped.enabled[number % len(shipped.enabled)]
        name = f"{metric.id}_{number}"
        factor = 1 - Decimal(number) / 10_000 if own else Decimal(1)
        bands = Bands(high=_moved(metric.bands.high, factor), low=_moved(metric.bands.low, factor))
        metrics[name] = metric.model_copy(update={"id": name, "bands": bands})
    return shipped.model_copy(update={"metrics": metrics})


def _moved(edges: Edges | None, factor: Decimal) -> Edges | None:
    if edges is None:
        return None
    return edges.model_copy(update={"warning": edges.warning * factor, "critical": edges.critical * factor})


def _built(what: str, catalog: Catalog, wanted: str = "", *, tests: bool = True) -> Figure:
    begun = time.perf_counter()
    build(catalog, tests=tests)
    took = time.perf_counter() - begun
    return Figure(what, f"{took:.2f} s, {took / len(catalog.metrics) * 1000:.1f} ms each", wanted)
