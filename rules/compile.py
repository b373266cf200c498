"""A catalog becomes rule files: one per metric, and one for Grace itself."""

from __future__ import annotations

from collections.abc import Mapping

from catalog.model import Catalog, TimeScale
from rules.groups import group
from rules.meta import meta_group
from rules.output import MARK
from rules.yamltext import Value, dump

GROUPS = "groups:\n"
"""The line that the groups of a rule file stand below."""


def header(catalog: Catalog) -> str:
    """The comment that every generated file begins with."""
    # Not the catalog's digest: a changed playbook or description elsewhere would make every file differ.
    known, used = len(catalog.metrics), len(catalog.enabled)
    return f"{MARK}; what is changed here is lost.\nFrom a catalog of {known} metrics, {used} of them on."


def rule_groups(catalog: Catalog, scale: TimeScale, *, docs: str = "docs") -> dict[str, list[dict[str, Value]]]:
    """The groups of every rule file, by its name: one for each metric that is on, and one for Grace itself.

    Raises ValueError where the scale makes an interval shorter than a scrape.
    """
    files = {f"{metric.id}.yml": [group(metric, scale, docs)] for metric in catalog.enabled}
    return {**files, "grace.yml": [meta_group(scale, docs)]}


def compile_rules(catalog: Catalog, scale: TimeScale | None = None, *, docs: str = "docs") -> Mapping[str, str]:
    """The text of every rule file by its name. `catalog` is at full scale; `scale` shrinks its intervals and windows.

    `docs` is the folder or URL that `runbook_url` points into. The same catalog always gives the same bytes.
    """
    return {
        name: dump({"groups": groups}, header(catalog))
        for name, groups in rule_groups(catalog, scale or TimeScale(), docs=docs).items()
    }
