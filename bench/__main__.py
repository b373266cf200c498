"""`python -m bench [NAME…]`: runs every benchmark, or the named ones, and prints their figures."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator, Mapping

from bench.figure import Figure

BENCHES: Mapping[str, str] = {
    "exporter": "bench.exporter",
    "audit": "bench.audit",
    "ledger": "bench.ledger",
    "loop": "bench.loop",
    "rules": "bench.rules",
    "evaluation": "bench.evaluation",
}
"""Name → module with `figures() -> Iterator[Figure]`."""


def main(names: list[str]) -> int:
    """0, or 2 when a name is unknown."""
    unknown = [name for name in names if name not in BENCHES]
    if unknown:
        print(f"unknown: {', '.join(unknown)}; there are: {', '.join(BENCHES)}", file=sys.stderr)
        return 2
    for name in names or BENCHES:
        print(name, flush=True)
        figures: Iterator[Figure] = importlib.import_module(BENCHES[name]).figures()
        for figure in figures:
            wanted = f"   (wanted: {figure.wanted})" if figure.wanted else ""
            print(f"  {figure.what:<62} {figure.value:>22}{wanted}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
