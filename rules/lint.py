"""What is likely wrong with rules that Prometheus accepts: any rule file, not only ours.

Each check takes its name and its idea from pint's, as far as a file alone can tell: no server is asked.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import promql_parser
import yaml

from catalog.expression import parsed
from rules import shape
from rules.promql import duration

LARGEST = 10_000_000
"""Bytes of a rule file; longer ones are not read."""
_TEMPLATE = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_LABEL = re.compile(r"\$labels\.([A-Za-z_][A-Za-z0-9_]*)")
_COUNTING = frozenset({"rate", "irate", "increase", "delta", "idelta", "deriv"})
_SAMPLING = frozenset({"topk", "bottomk", "limitk", "limit_ratio"})


@dataclass(frozen=True, order=True)
class Issue:
    """Something to look at, and where; `check` is the name of what found it."""

    file: str
    line: int
    check: str
    rule: str
    what: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line} {self.rule}: {self.what} ({self.check})"


@dataclass(frozen=True)
class Rule:
    """One rule as it stands in a file."""

    file: str
    line: int
    group: str
    place: int
    """Of the rule in its group, from 0."""
    name: str
    is_alert: bool
    expr: Any
    """The parsed expression."""
    hold: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str] = field(default_factory=dict)

    def issue(self, check: str, what: str) -> Issue:
        return Issue(self.file, self.line, check, self.name, what)


def lint(files: Sequence[Path], scrape: float = 15.0) -> list[Issue]:
    """Everything that any check finds in these files, in their order. `scrape` is the scrape interval in seconds.

    A file that cannot be read as rules is an issue of its own, `syntax`.
    """
    rules: list[Rule] = []
    issues: list[Issue] = []
    for file in files:
        for found in _read(file):
            (rules if isinstance(found, Rule) else issues).append(found)  # type: ignore[arg-type]
    for rule in rules:
        for check in (_comparison, _template, _absent, _aggregate, _fragile, _impossible, _nan, _vector_matching):
            issues += check(rule)
        issues += _rate(rule, scrape)
    return sorted({*issues, *_dependency(rules), *_duplicate(rules)})


def _read(file: Path) -> Iterator[Rule | Issue]:
    try:
        if file.stat().st_size > LARGEST:
            raise ValueError(f"longer than {LARGEST} bytes")
        # Nodes, not values: they know their lines, and aliases are not multiplied.
        document = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.SafeLoader)
    except (OSError, ValueError, yaml.YAMLError) as error:
        yield Issue(str(file), 1, "syntax", "file", f"cannot be read: {' '.join(str(error).split())}")
        return
    except RecursionError:
        yield Issue(str(file), 1, "syntax", "file", "cannot be read: nested too deeply")
        return
    groups = _items(_mapping(document).get("groups"))
    if not groups:
        yield Issue(str(file), 1, "syntax", "file", "there is no list of groups in it, so it holds no rules")
    for group in groups:
        held = _mapping(group)
        name = _text(held.get("name"))
        for place, node in enumerate(_items(held.get("rules"))):
            rule = _mapping(node)
            called = _text(rule.get("alert")) or _text(rule.get("record"))
            line = node.start_mark.line + 1
            try:
                expr = parsed(_text(rule.get("expr")))
            except ValueError as error:
                yield Issue(
                    str(file), line, "syntax", called, f"no PromQL that can be read: {' '.join(str(error).split())}"
                )
                continue
            yield Rule(
                str(file),
                line,
                name,
                place,
                called,
                "alert" in rule,
                expr,
                _text(rule.get("for")),
                _texts(rule.get("labels")),
                _texts(rule.get("annotations")),
            )


def _comparison(rule: Rule) -> Iterator[Issue]:
    if rule.is_alert and not shape.conditional(rule.expr):
        yield rule.issue("comparison", "fires as long as the series exists; compare it with something")


def _template(rule: Rule) -> Iterator[Issue]:
    if not rule.is_alert:
        return
    known = shape.labels(rule.expr)
    for key, text in {**rule.annotations, **rule.labels}.items():
        inner = " ".join(_TEMPLATE.findall(text))
        if text.count("{{") != text.count("}}"):
            yield rule.issue("template", f"{key}: a template is not closed")
        if key in rule.labels and re.search(r"\$value|\.Value", inner):
            yield rule.issue("template", f"label {key}: a value makes another alert at every evaluation")
        for label in _LABEL.findall(inner):
            if known is not None and label not in known and label not in rule.labels:
                yield rule.issue("template", f"{key}: the expression leaves no label {label}")


def _absent(rule: Rule) -> Iterator[Issue]:
    calls = {call.func.name for call in shape.calls(rule.expr)}
    if rule.is_alert and "absent" in calls and not rule.hold:
        yield rule.issue("absent", "fires when Prometheus starts, before the first scrape; give it a `for`")


def _aggregate(rule: Rule) -> Iterator[Issue]:
    by = shape.outermost_by(rule.expr)
    level, colon, _ = rule.name.partition(":")
    if not rule.is_alert and colon and by is not None and level != "_".join(by) and set(by) != set(level.split("_")):
        yield rule.issue("aggregate", f"its name says {level!r}, but it is aggregated by ({', '.join(by)})")


def _fragile(rule: Rule) -> Iterator[Issue]:
    for each in shape.aggregations(rule.expr):
        if rule.is_alert and str(each.op) in _SAMPLING:
            yield rule.issue("fragile", f"{each.op} picks other series at every evaluation, and the alert resolves")
    for each in shape.binaries(rule.expr):
        if shape.arithmetic(each) and not shape.matched(each):
            sides = [shape.is_without(side) for side in (each.lhs, each.rhs)]
            if any(sides) and not all(sides):
                yield rule.issue("fragile", "a label added to one side stops both from matching; say on(…)")


def _impossible(rule: Rule) -> Iterator[Issue]:
    for selector in shape.selectors(rule.expr):
        equal: dict[str, set[str]] = {}
        for matcher in selector.matchers.matchers:
            if matcher.op == promql_parser.MatchOp.Equal:
                equal.setdefault(matcher.name, set()).add(matcher.value)
        for label, values in equal.items():
            if len(values) > 1:
                yield rule.issue("impossible", f"{label} cannot be {' and '.join(sorted(values))} at once")
    for each in shape.binaries(rule.expr):
        for label in shape.on(each):
            for side in (each.lhs, each.rhs):
                known = shape.labels(side)
                if known is not None and label not in known:
                    yield rule.issue("impossible", f"on({label}): one side has no label {label}")
        low, high = shape.bounds(each)
        if low > high:
            yield rule.issue("impossible", f"nothing is above {low:g} and below {high:g}")


def _nan(rule: Rule) -> Iterator[Issue]:
    for each in shape.binaries(rule.expr):
        if (shape.returns_bool(each) or str(each.op) == "!=") and shape.may_be_nan(each.lhs):
            yield rule.issue("nan", "0/0 compares as if it were a number; drop it with `> -Inf` first")


def _rate(rule: Rule, scrape: float) -> Iterator[Issue]:
    for call in shape.calls(rule.expr):
        if call.func.name in _COUNTING:
            for matrix in call.args:
                held = shape.seconds(matrix)
                if held is not None and held < 2 * scrape:
                    yield rule.issue(
                        "rate",
                        f"{call.func.name} over {duration(held)} may hold one scrape; take 4 × {duration(scrape)}",
                    )


def _dependency(rules: Sequence[Rule]) -> Iterator[Issue]:
    """A record that is read before it is written, or in another group, is an evaluation old, or older."""
    places: dict[str, list[Rule]] = {}
    for rule in rules:
        if not rule.is_alert:
            places.setdefault(rule.name, []).append(rule)
    for rule in rules:
        for name in sorted({selector.name for selector in shape.selectors(rule.expr) if selector.name}):
            writers = places.get(name, [])
            here = [each for each in writers if (each.file, each.group) == (rule.file, rule.group)]
            if writers and not here:
                yield rule.issue("dependency", f"{name} is recorded by another group, so it is an evaluation old")
            if here and all(each.place > rule.place for each in here):
                yield rule.issue("dependency", f"{name} is recorded below, so it is an evaluation old")


def _duplicate(rules: Sequence[Rule]) -> Iterator[Issue]:
    seen: dict[tuple[object, ...], Rule] = {}
    for rule in rules:
        first = seen.setdefault((rule.is_alert, rule.name, tuple(sorted(rule.labels.items()))), rule)
        if first is not rule:
            yield rule.issue("duplicate", f"the same name and labels as {first.file}:{first.line}")


def _vector_matching(rule: Rule) -> Iterator[Issue]:
    for each in shape.binaries(rule.expr):
        left, right = shape.labels(each.lhs), shape.labels(each.rhs)
        if shape.matched(each) or left is None or right is None or left == right or str(each.op) == "or":
            continue
        if not shape.is_scalar(each.lhs) and not shape.is_scalar(each.rhs):
            differ = ", ".join(sorted(left ^ right))
            yield rule.issue("vector_matching", f"only one side has {differ}, so nothing matches; say on(…)")


def _mapping(node: yaml.Node | None) -> dict[str, yaml.Node]:
    return {_text(key): value for key, value in node.value} if isinstance(node, yaml.MappingNode) else {}


def _items(node: yaml.Node | None) -> list[yaml.Node]:
    return list(node.value) if isinstance(node, yaml.SequenceNode) else []


def _text(node: yaml.Node | None) -> str:
    return str(node.value) if isinstance(node, yaml.ScalarNode) else ""


def _texts(node: yaml.Node | None) -> dict[str, str]:
    return {key: _text(value) for key, value in _mapping(node).items()}
