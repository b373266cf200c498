"""The same rules as a PrometheusRule, for teams whose Prometheus is run by the operator."""

from __future__ import annotations

from catalog.model import Catalog, TimeScale
from rules.compile import header, rule_groups
from rules.yamltext import Value, dump


def prometheus_rule(catalog: Catalog, scale: TimeScale, *, docs: str = "docs") -> str:
    """One resource with every group. Which namespace and labels select it is the cluster's business: patch them in."""
    groups: list[Value] = [group for file in rule_groups(catalog, scale, docs=docs).values() for group in file]
    value: Value = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "grace", "labels": {"app.kubernetes.io/name": "grace"}},
        "spec": {"groups": groups},
    }
    return dump(value, header(catalog))
