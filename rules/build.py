"""Everything that `grace rules build` writes, as relative names and texts."""

from __future__ import annotations

from collections.abc import Mapping

from catalog.model import Catalog, TimeScale
from rules import alertmanager
from rules.compile import compile_rules
from rules.operator import prometheus_rule
from rules.promtests import test_files


def build(
    catalog: Catalog,
    scale: TimeScale | None = None,
    receivers: alertmanager.Receivers | None = None,
    *,
    docs: str = "docs",
    tests: bool = True,
) -> Mapping[str, str]:
    """Rule files at the top, so that `*.yml` there are rule files only; the rest in folders.

    Without `tests` none of the promtool tests, which take longer than all the rest. Raises ValueError where the scale
    makes an interval shorter than a scrape.
    """
    scale = scale or TimeScale()
    rules = compile_rules(catalog, scale, docs=docs)
    return {
        **rules,
        "alertmanager/alertmanager.yml": alertmanager.config(catalog, scale, receivers),
        "alertmanager/fragment.yml": alertmanager.fragment(catalog, scale, receivers),
        **(test_files(catalog, scale) if tests else {}),
        "operator/grace-rules.yml": prometheus_rule(catalog, rules),
    }
