"""Stands in for kubectl on the pages of the documentation: there is no cluster here, but what they send one is read.

It knows the four commands that the pages use, holds what is applied to what the Prometheus Operator's definitions
require, remembers it in the folder it is run in, and prints what kubectl prints.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

GROUP = "monitoring.coreos.com"
APPLIED = Path(".applied")


def main(argv: Sequence[str]) -> str:
    """What is printed. Raises ValueError, KeyError or OSError for what a cluster would refuse."""
    words = list(argv)
    if words[:1] == ["-n"]:
        words = words[2:]
    match words:
        case ["get", "prometheus", "-A", "-o", "jsonpath={..ruleSelector}"]:
            return '{"matchLabels":{"release":"kube-prometheus-stack"}}'
        case ["apply", "-f", path]:
            return "\n".join(_applied(each) for each in yaml.safe_load_all(Path(path).read_text(encoding="utf-8")))
        case ["label", kind, name, label] if "=" in label:
            known = f"{kind}.{GROUP}/{name}"
            if known not in APPLIED.read_text(encoding="utf-8").split():
                raise ValueError(f"{known} not found")
            return f"{known} labeled"
        case ["create", "secret", "generic", name, source] if source.startswith("--from-file="):
            if not Path(source.rpartition("=")[2]).read_bytes():
                raise ValueError("an empty secret")
            return f"secret/{name} created"
        case _:
            raise ValueError(f"unknown command: {' '.join(argv)}")


def _applied(resource: Mapping[str, Any]) -> str:
    if resource["apiVersion"] != f"{GROUP}/v1":
        raise ValueError(f"no matches for version {resource['apiVersion']}")
    {"PrometheusRule": _rules, "ServiceMonitor": _monitor}[resource["kind"]](resource["spec"])
    known = f"{resource['kind'].lower()}.{GROUP}/{resource['metadata']['name']}"
    with APPLIED.open("a", encoding="utf-8") as applied:
        print(known, file=applied)
    return f"{known} created"


def _rules(spec: Mapping[str, Any]) -> None:
    for group in spec["groups"]:
        for rule in group["rules"]:
            if ("alert" in rule) == ("record" in rule) or not str(rule["expr"]):
                raise ValueError(f"{group['name']}: a rule is either an alert or a record, with an expression")


def _monitor(spec: Mapping[str, Any]) -> None:
    if not spec["selector"]["matchLabels"] or not all(each["port"] for each in spec["endpoints"]):
        raise ValueError("nothing is selected")


if __name__ == "__main__":
    print(main(sys.argv[1:]))
