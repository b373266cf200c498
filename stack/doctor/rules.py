"""Has Prometheus loaded the rules that this catalog compiles to?"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Any

from catalog.expression import parsed
from rules.compile import rule_groups
from stack.doctor.setup import Finding, Setup, wrong


async def rules(setup: Setup) -> AsyncIterator[Finding]:
    """Every rule group of the catalog, as it is now, is loaded and evaluates."""
    answer = await setup.prometheus.ask("GET", "/api/v1/rules")
    loaded = {group["name"]: group for group in answer["data"]["groups"]}
    wanted = [
        group for groups in rule_groups(setup.catalog, setup.config.time_scale).values() for group in groups
    ]  # as they stand in the rule files
    absent = [str(group["name"]) for group in wanted if group["name"] not in loaded]
    if absent:
        some = ", ".join(absent[:3]) + (f" and {len(absent) - 3} more" if len(absent) > 3 else "")
        yield wrong(
            f"rules are not loaded: {some}", "`grace rules build --out DIR`, name DIR/*.yml in rule_files, reload"
        )
    differing = [
        str(group["name"])
        for group in wanted
        if group["name"] in loaded and _expressions(group["rules"]) != _expressions(loaded[str(group["name"])]["rules"])
    ]
    if differing:
        yield wrong(
            f"loaded rules are not what the catalog says: {', '.join(differing[:3])}",
            "`grace rules build` writes them again; then reload Prometheus",
        )
    for group in loaded.values():
        failing = [rule for rule in group["rules"] if rule.get("health") == "err"]
        if str(group["name"]).startswith("grace.") and failing:
            yield wrong(
                f"rule {failing[0]['name']} of {group['name']} fails: {failing[0].get('lastError', '')}",
                "check the series it reads",
            )


def _expressions(rules: Any) -> list[tuple[str, str]]:
    """What the rules of a group compute, however it is spelled."""
    found = []
    for rule in rules:
        name = rule.get("record") or rule.get("alert") or rule["name"]
        found.append((str(name), _normal(str(rule.get("expr") or rule["query"]))))
    return found


def _normal(expression: str) -> str:
    try:
        spelled = str(parsed(expression).prettify())
    except ValueError:
        spelled = expression  # Too deep to be looked into: compared as it is.
    return re.sub(r"\s+", "", spelled)
