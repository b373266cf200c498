"""What a real Prometheus answers to a dashboard: its variables filled in, every query asked."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from grafana.check import promql
from grafana.check.document import Annotation, Dashboard, Panel, Target, Variable
from grafana.check.finding import Finding, Rule
from grafana.check.moment import SCRAPE, moment, seconds, step, written
from grafana.check.prometheus import Prometheus, Refused, Series, Span, kind_of, names_of
from grafana.check.variables import Value, known_by_itself, replaced, used, value_of

REPEATED = 5
"""How many values of a repeated panel's variable are tried."""
_LABEL_VALUES = re.compile(r"label_values\((?:(.+),\s*)?(.+?)\)\s*", re.DOTALL)
_LABEL_NAMES = re.compile(r"label_names\((.*)\)\s*", re.DOTALL)
_METRICS = re.compile(r"metrics\((.+)\)\s*", re.DOTALL)
_QUERY_RESULT = re.compile(r"query_result\((.+)\)\s*", re.DOTALL)


@dataclass(frozen=True)
class Knowledge:
    """What one Prometheus knows: the kinds of metrics by family, and all their names."""

    kinds: Mapping[str, str] = field(default_factory=dict)
    names: frozenset[str] | None = None


@dataclass(frozen=True)
class Query:
    """One query and where it stands. `events` are results that may be absent: annotations."""

    panel: str
    letter: str
    expr: str
    legends: tuple[str, ...]
    instant: bool
    least: str
    points: int
    empty: str
    repeat: str
    unique: bool
    events: bool = False

    @property
    def place(self) -> str:
        return f"query {self.letter}" if self.panel else f"annotation {self.letter}"


def queries(dashboard: Dashboard) -> Iterator[Query]:
    """Every query to Prometheus that Grafana would ask; those that are hidden, and other data sources', are not."""
    kinds = {variable.name: variable.query for variable in dashboard.variables if variable.type == "datasource"}
    for panel in dashboard.panels:
        for target in panel.targets:
            if target.expr and not target.hidden and _is_prometheus(target.source or panel.source, kinds):
                yield _of_panel(panel, target)
    for annotation in dashboard.annotations:
        if annotation.expr and annotation.enabled and _is_prometheus(annotation.source, kinds):
            yield _of_annotation(annotation)


def read(dashboard: Dashboard, query: Query, knowledge: Knowledge) -> Iterator[Finding]:
    """What is wrong with a query as it is written."""
    names = frozenset(used(query.expr))
    try:
        tree = promql.parse_unresolved(query.expr, builtins(3600, 60), names)
    except promql.NoPromQL as problem:
        yield Finding(dashboard.file, query.panel, Rule.QUERY_INVALID, f"{query.place}: {problem}")
        return
    for use in promql.uses(tree):
        wrong = promql.wrong_function(use, kind_of(use.metric, knowledge.kinds))
        if wrong:
            rule = Rule.RATE_ON_GAUGE if use.function in promql.RATES else Rule.DELTA_ON_COUNTER
            yield Finding(dashboard.file, query.panel, rule, f"{query.place}: {wrong}")
        if knowledge.names is not None and use.metric not in knowledge.names and "$" not in use.metric:
            message = f"{query.place}: this Prometheus has never seen {use.metric}"
            yield Finding(dashboard.file, query.panel, Rule.METRIC_UNKNOWN, message)
    possible = promql.labels(tree)
    if possible is not None:
        for label in sorted(set().union(*map(promql.legend_labels, query.legends)) - possible):
            yield _no_label(dashboard, query, label)


class Asker:
    """Asks one Prometheus what dashboards would. `now` is the Unix time that is taken for now."""

    def __init__(self, prometheus: Prometheus, now: float, since: float | None = None) -> None:
        self._prometheus = prometheus
        self._now = now
        self._since = since

    async def knowledge(self) -> Knowledge:
        """What kinds of metrics there are, and which names."""
        everything = Span(self._now - 30 * 86400, self._now)
        kinds, names = await asyncio.gather(
            self._prometheus.kinds(), self._prometheus.label_values("__name__", everything)
        )
        return Knowledge(kinds, names_of(kinds, names))

    async def findings(self, dashboard: Dashboard, asked: Sequence[Query]) -> list[Finding]:
        """What Prometheus' answers say about the dashboard's variables and queries. Raises Unreachable."""
        span = self._span(dashboard)
        values, found = await self._values(dashboard, span)
        for each in await asyncio.gather(*(self._answered(dashboard, query, span, values) for query in asked)):
            found += each
        return found

    def _span(self, dashboard: Dashboard) -> Span:
        if self._since is not None:
            return Span(self._now - self._since, self._now)
        try:
            return Span(moment(dashboard.since, self._now), moment(dashboard.until, self._now))
        except ValueError:
            return Span(self._now - 6 * 3600, self._now)

    async def _values(self, dashboard: Dashboard, span: Span) -> tuple[dict[str, Value], list[Finding]]:
        """What each variable stands for, in the order of the dashboard: later ones may use earlier ones."""
        values, found = dict(builtins(span.end - span.start, SCRAPE)), []
        for variable in dashboard.variables:
            offered = known_by_itself(variable)
            if offered is None:
                try:
                    offered = await self._offered(variable, values, span)
                except Refused as problem:
                    message = f"variable {variable.name}: {problem}"
                    found.append(Finding(dashboard.file, "", Rule.QUERY_FAILED, message))
                    offered = variable.current
                if not offered:
                    message = f"variable {variable.name}: {variable.query} finds nothing"
                    found.append(Finding(dashboard.file, "", Rule.VARIABLE_EMPTY, message))
            values[variable.name] = value_of(variable, offered)
        return values, found

    async def _offered(self, variable: Variable, values: Mapping[str, Value], span: Span) -> tuple[str, ...]:
        query, ask = replaced(variable.query, values), self._prometheus
        if found := _LABEL_VALUES.fullmatch(query):
            match = (found[1] or "").strip()
            texts = await ask.label_values(found[2].strip(), span, "" if match.replace(" ", "") == "{}" else match)
        elif found := _LABEL_NAMES.fullmatch(query):
            pattern = found[1].strip()
            texts = await ask.label_names(span, f'{{__name__=~".*{pattern}.*"}}' if pattern else "")
        elif found := _METRICS.fullmatch(query):
            names = await ask.label_values("__name__", span)
            texts = [name for name in names if re.search(found[1], name)]
        elif found := _QUERY_RESULT.fullmatch(query):
            texts = await ask.texts(found[1], span.end)
        else:
            texts = await ask.label_values("__name__", span, query)
        return tuple(dict.fromkeys(_matching(texts, variable.regex)))

    async def _answered(
        self, dashboard: Dashboard, query: Query, span: Span, values: Mapping[str, Value]
    ) -> list[Finding]:
        place = dashboard.file, query.panel
        if any(name not in values for name in used(query.expr)):
            return []
        if any(not values[name].chosen for name in used(query.expr)):
            # Said already: the variable has no value.
            return []
        found: list[Series] = []
        for each in _repeated(values, query.repeat):
            try:
                found += await self._ask(query, span, each)
            except Refused as problem:
                return [Finding(*place, Rule.QUERY_FAILED, f"{query.place}: {problem}")]
        if not found:
            if query.empty or query.events:
                return []
            return [Finding(*place, Rule.QUERY_EMPTY, f"{query.place} finds nothing: {' '.join(query.expr.split())}")]
        return list(self._legends(dashboard, query, found))

    async def _ask(self, query: Query, span: Span, values: Mapping[str, Value]) -> list[Series]:
        least = seconds(replaced(query.least, values)) or SCRAPE
        every = step(span.end - span.start, query.points, least)
        expr = replaced(query.expr, {**values, **builtins(span.end - span.start, every)})
        if query.instant:
            return await self._prometheus.series_now(expr, span.end)
        return await self._prometheus.series(expr, span, every)

    def _legends(self, dashboard: Dashboard, query: Query, found: Sequence[Series]) -> Iterator[Finding]:
        named = sorted(set().union(*map(promql.legend_labels, query.legends)))
        missing = [label for label in named if not any(label in series.labels for series in found)]
        yield from (_no_label(dashboard, query, label) for label in missing)
        if query.unique and not missing and not query.repeat and query.legends and query.legends[0] != "__auto":
            names = Counter(promql.rendered(query.legends[0], series.labels) for series in found)
            name, times = names.most_common(1)[0]
            if times > 1:
                message = f"{query.place}: {times} series are called “{name}”"
                yield Finding(dashboard.file, query.panel, Rule.LEGEND_AMBIGUOUS, message)


def builtins(length: float, every: float) -> Mapping[str, Value]:
    """Grafana's own variables for a span of `length` seconds, drawn every `every` seconds."""
    rate = max(every + SCRAPE, 4 * SCRAPE)
    texts = {
        "__interval": written(every),
        "__interval_ms": str(round(every * 1000)),
        "__rate_interval": written(rate),
        "__rate_interval_ms": str(round(rate * 1000)),
        "__range": written(round(length)),
        "__range_s": str(round(length)),
        "__range_ms": str(round(length * 1000)),
    }
    return {name: Value((text,), raw=True) for name, text in texts.items()}


def _of_panel(panel: Panel, target: Target) -> Query:
    return Query(
        panel=panel.name,
        letter=target.ref,
        expr=target.expr,
        legends=(target.legend,) if target.legend else (),
        instant=target.instant,
        least=target.interval or panel.interval,
        points=panel.points,
        empty=panel.empty,
        repeat=panel.repeat,
        unique=panel.type != "table" and not target.buckets,
    )


def _of_annotation(annotation: Annotation) -> Query:
    return Query(
        panel="",
        letter=annotation.name,
        expr=annotation.expr,
        legends=annotation.legends,
        instant=False,
        least="60s",
        points=0,
        empty="",
        repeat="",
        unique=False,
        events=True,
    )


def _is_prometheus(source: Any, variables: Mapping[str, str]) -> bool:
    """A query with an expression and no other kind of data source named is taken for one to Prometheus."""
    if isinstance(source, dict) and isinstance(source.get("type"), str) and source["type"]:
        return bool(source["type"] == "prometheus")
    name = source.get("uid") if isinstance(source, dict) else source
    names = list(used(name)) if isinstance(name, str) else []
    return not names or variables.get(names[0], "prometheus") == "prometheus"


def _repeated(values: Mapping[str, Value], variable: str) -> Iterable[Mapping[str, Value]]:
    if variable not in values:
        return [values]
    value = values[variable]
    return [{**values, variable: replace(value, chosen=(each,), raw=False)} for each in value.chosen[:REPEATED]]


def _matching(texts: Iterable[str], regex: str) -> Iterator[str]:
    """Texts as a variable's `regex` changes them: its group `value`, its first group, or the whole match."""
    pattern = regex.strip()
    if not pattern:
        yield from texts
        return
    slashes = re.fullmatch(r"/(.*)/([a-z]*)", pattern, re.DOTALL)
    if slashes:
        pattern = slashes[1]
    try:
        compiled = re.compile(re.sub(r"\(\?<(\w+)>", r"(?P<\1>", pattern))
    except re.error:
        # JavaScript knows more than Python does; what it would leave is not known, so nothing is left out.
        yield from texts
        return
    for text in texts:
        found = compiled.search(text)
        if found:
            groups = found.groupdict()
            yield groups.get("value") or (found[1] if compiled.groups else found[0])


def _no_label(dashboard: Dashboard, query: Query, label: str) -> Finding:
    message = f"{query.place}: the legend names {label}, which the result does not have"
    return Finding(dashboard.file, query.panel, Rule.LEGEND_LABEL, message)
