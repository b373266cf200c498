"""Bands in PromQL: an expression in base units becomes 0 good, 1 warning, 2 critical."""

from __future__ import annotations

from decimal import Decimal

from catalog.model import Bands, Edges, Unit
from rules.promql import number


def band(value: str, bands: Bands, unit: Unit) -> str:
    """The rank of the band that `value` lies in. No value gives no band; NaN must have been dropped before.

    Edges are converted into base units as decimals, values never: 350 ms is exactly 0.35.
    """
    terms = []
    for edges, beyond in ((bands.high, ">"), (bands.low, "<")):
        if edges is not None:
            warning = f"{beyond}=" if edges.warning_owns_edge else beyond
            terms += [
                f"({value} {warning} bool {number(base(edges.warning, unit))})",
                f"({value} {beyond} bool {number(base(edges.critical, unit))})",
            ]
    return "\n+ ".join(terms)


def base(edge: Decimal, unit: Unit) -> Decimal:
    """An edge in Prometheus base units (seconds, ratios 0-1)."""
    return edge * unit.factor


def words(edges: Edges, side: str, severity: str, label: str) -> str:
    """Where a band lies, for people: `above 85 %`."""
    edge = edges.critical if severity == "critical" else edges.warning
    beyond = "above" if side == "high" else "below"
    at = "at or " if severity == "warning" and edges.warning_owns_edge else ""
    return f"{at}{beyond} {number(edge)} {label}"
