"""The same rules as a PrometheusRule, for teams whose Prometheus is run by the operator."""

from __future__ import annotations

import re
from collections.abc import Mapping

from catalog.model import Catalog
from rules.compile import GROUPS, header
from rules.yamltext import Value, dump

_LINE = re.compile(r"^(?=.)", re.MULTILINE)


def prometheus_rule(catalog: Catalog, files: Mapping[str, str]) -> str:
    """One resource with every group of the rule `files`, which `compile_rules` gave.

    Which namespace and labels select it is the cluster's business: patch them in.
    """
    value: Value = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "grace", "labels": {"app.kubernetes.io/name": "grace"}},
    }
    groups = "".join(_LINE.sub("  ", text.partition(GROUPS)[2]) for text in files.values())
    return f"{dump(value, header(catalog))}spec:\n  {GROUPS}{groups}"
