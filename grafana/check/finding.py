"""What the check finds, and the rules by which it does."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum


class Rule(StrEnum):
    """What can be wrong. The words are stable: they stand in `--ignore` and in the JSON."""

    TITLE_MISSING = "title-missing"
    DESCRIPTION_MISSING = "description-missing"
    UID_MISSING = "uid-missing"
    UID_DUPLICATE = "uid-duplicate"
    ID_DUPLICATE = "id-duplicate"
    PANELS_OVERLAP = "panels-overlap"
    PANEL_OUTSIDE = "panel-outside"
    DATASOURCE_FIXED = "datasource-fixed"
    UNIT_UNKNOWN = "unit-unknown"
    VARIABLE_UNDEFINED = "variable-undefined"
    VARIABLE_EMPTY = "variable-empty"
    QUERY_INVALID = "query-invalid"
    QUERY_FAILED = "query-failed"
    QUERY_EMPTY = "query-empty"
    METRIC_UNKNOWN = "metric-unknown"
    LEGEND_LABEL = "legend-label"
    LEGEND_AMBIGUOUS = "legend-ambiguous"
    RATE_ON_GAUGE = "rate-on-gauge"
    DELTA_ON_COUNTER = "delta-on-counter"

    @property
    def meaning(self) -> str:
        """What it means, in one sentence."""
        return _MEANINGS[self]


_MEANINGS = {
    Rule.TITLE_MISSING: "A dashboard, row or panel has no title.",
    Rule.DESCRIPTION_MISSING: "A panel with queries, or a dashboard, does not say what it shows.",
    Rule.UID_MISSING: "Without a uid a dashboard's address changes with every import.",
    Rule.UID_DUPLICATE: "Two dashboards with one uid overwrite each other.",
    Rule.ID_DUPLICATE: "Two panels of a dashboard have the same id: links and alerts find the wrong one.",
    Rule.PANELS_OVERLAP: "Two panels take the same place; Grafana moves one of them.",
    Rule.PANEL_OUTSIDE: "A panel reaches beyond the grid of 24 columns, or has no size.",
    Rule.DATASOURCE_FIXED: "A data source is named, or left to the default: the dashboard works in one Grafana only.",
    Rule.UNIT_UNKNOWN: "Grafana has no such unit and would print its name behind the number.",
    Rule.VARIABLE_UNDEFINED: "A variable is used that the dashboard does not define.",
    Rule.VARIABLE_EMPTY: "A variable that Prometheus should fill has no value.",
    Rule.QUERY_INVALID: "A query is no PromQL.",
    Rule.QUERY_FAILED: "Prometheus refuses a query.",
    Rule.QUERY_EMPTY: "A query finds nothing, and the panel does not say what that means (its `No value`).",
    Rule.METRIC_UNKNOWN: "A query names a metric that this Prometheus has never seen.",
    Rule.LEGEND_LABEL: "A legend names a label that the result does not have.",
    Rule.LEGEND_AMBIGUOUS: "Several series of one query have the same legend.",
    Rule.RATE_ON_GAUGE: "rate, irate or increase of a gauge: every fall counts as a restart.",
    Rule.DELTA_ON_COUNTER: "delta, idelta, deriv or predict_linear of a counter: a restart counts as a fall.",
}


@dataclass(frozen=True, order=True)
class Finding:
    """One fault and its place. `panel` is its title and id, or empty where the dashboard itself is meant."""

    file: str
    panel: str
    rule: Rule
    message: str

    def __str__(self) -> str:
        place = f"{self.file} {self.panel}" if self.panel else self.file
        return f"{place}: {self.message} [{self.rule}]"

    def as_json(self) -> dict[str, str]:
        return asdict(self)
