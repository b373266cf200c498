"""The catalog, parsed: frozen, fully resolved, safe to share between tasks.

Values keep the units people think in (ms, percent); `Unit.factor` converts an edge into Prometheus base units
(seconds, ratios 0-1). Edges are converted, never values: 350 ms is exactly 0.35, while 0.35 s times 1000 is not always
350.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from decimal import Decimal
from enum import IntEnum, StrEnum
from functools import cache
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from catalog.matcher import parse_matchers
from catalog.notation import (
    DURATION_PATTERN,
    parse_bands,
    parse_response,
    parsed_promql,
    plain_decimal,
)
from catalog.notation import parse_duration as parse_duration
from catalog.verbs import wrong_args

ID_PATTERN = r"^[a-z][a-z0-9]*(?:[._-][a-z0-9]+)*$"
SERIES_PATTERN = r"^[a-zA-Z_:][a-zA-Z0-9_:]*(?:\{[^{}\n]*\})?$"

Seconds = Annotated[
    float,
    BeforeValidator(parse_duration),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": DURATION_PATTERN, "examples": ["30s", "5m", "1h30m"]},
                {"type": "number", "minimum": 0},
            ],
            "description": "A duration such as 30s, 5m or 1h30m, or a number of seconds.",
        }
    ),
]
Id = Annotated[str, Field(pattern=ID_PATTERN, max_length=100, examples=["orders.backlog", "drain-queue"])]
SeriesName = Annotated[
    str,
    Field(pattern=SERIES_PATTERN, max_length=500, examples=["orders_backlog", 'orders_total{state="failed"}']),
    AfterValidator(parsed_promql),
]
"""A series, with matchers where only some of it count: `grace_http_requests_total{code=~"5.."}`."""


class Frozen(BaseModel):
    """What every model of the catalog is: immutable, and strict about names it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False)


class Category(StrEnum):
    API = "api"
    EXECUTOR = "executor"
    LEARNING = "learning"
    AUTONOMY = "autonomy"
    INFRA = "infra"


class Unit(StrEnum):
    """How people read a value. `factor` times a value in this unit is the value in Prometheus base units."""

    MILLISECONDS = "ms"
    SECONDS = "seconds"
    RATIO = "ratio"
    PERCENT = "percent"
    COUNT = "count"
    PER_SECOND = "per_second"
    PER_WINDOW = "per_window"

    @property
    def factor(self) -> Decimal:
        return {Unit.MILLISECONDS: Decimal("0.001"), Unit.PERCENT: Decimal("0.01")}.get(self, Decimal(1))

    @property
    def base(self) -> Unit:
        """The Prometheus base unit: units with the same base convert into each other."""
        return {Unit.MILLISECONDS: Unit.SECONDS, Unit.PERCENT: Unit.RATIO}.get(self, self)


class Band(StrEnum):
    GOOD = "good"
    WARNING = "warning"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        """0 good, 1 warning, 2 critical: the value of `resource:grace_band:sample`."""
        return (Band.GOOD, Band.WARNING, Band.CRITICAL).index(self)


class Severity(StrEnum):
    WARNING = "warning"
    CRITICAL = "critical"


class Edges(Frozen):
    """One bad side of a metric, in the metric's own unit.

    `warning` is where warning begins (`warning_owns_edge` says whether a value exactly there is warning or still good);
    beyond `critical` is critical, a value exactly there is warning.
    """

    warning: Annotated[Decimal, AfterValidator(plain_decimal)]
    critical: Annotated[Decimal, AfterValidator(plain_decimal)]
    warning_owns_edge: bool = True


def _bands_as_written(schema: dict[str, Any]) -> None:
    schema["properties"] = {
        name: {"type": "string", "examples": examples}
        for name, examples in (
            ("good", ["< 350", "> 85", "70..85"]),
            ("warning", ["350..500", "60..70, 85..90"]),
            ("critical", ["> 500", "< 60, > 90"]),
        )
    }
    schema["required"] = ["good", "warning", "critical"]


class Bands(Frozen):
    """Where good, warning and critical lie: `high` where high values are bad, `low` where low ones are, or both."""

    model_config = ConfigDict(json_schema_extra=_bands_as_written)

    high: Edges | None = None
    low: Edges | None = None

    @model_validator(mode="before")
    @classmethod
    def _read(cls, written: Any) -> Any:
        if isinstance(written, Mapping) and not {"high", "low"} & set(written):
            return parse_bands(written)
        return written

    def of(self, value: float) -> Band | None:
        """The one band a value (in the metric's unit) lies in; None for NaN and the infinities, which are no data."""
        if not math.isfinite(value):
            return None
        exact = Decimal(repr(float(value)))
        for edges, sign in ((self.high, 1), (self.low, -1)):
            if edges is not None and sign * exact > sign * edges.critical:
                return Band.CRITICAL
        for edges, sign in ((self.high, 1), (self.low, -1)):
            if edges is None:
                continue
            beyond = sign * exact > sign * edges.warning
            if beyond or (edges.warning_owns_edge and exact == edges.warning):
                return Band.WARNING
        return Band.GOOD

    def side(self, value: float) -> Literal["high", "low"] | None:
        """The side on which a bad value lies; None for a good value or no data."""
        if self.of(value) in (None, Band.GOOD):
            return None
        middle_high = self.high is not None and Decimal(repr(float(value))) >= self.high.warning
        return "high" if middle_high else "low"


class Aggregate(StrEnum):
    """How a window's samples become the window's one value."""

    AVG = "avg"
    MAX = "max"
    SAME = "same"
    """The derivation itself, taken over the window (a histogram quantile, a ratio of events)."""


class Empty(StrEnum):
    """What "there is nothing" means for a metric whose source is alive."""

    IDLE = "idle"
    ZERO = "zero"
    ABSENT = "absent"


# How Prometheus derives the value from the raw series. Series names are what the exporter exposes, in base units.


class Gauge(Frozen):
    """The reading itself. With `present`, the reading may be missing while that series says the source lives (idle)."""

    kind: Literal["gauge"] = "gauge"
    series: SeriesName
    present: SeriesName | None = None


class GaugeRatio(Frozen):
    """`numerator` / `denominator`, both gauges summed by resource; 0/0 is no value."""

    kind: Literal["gauge_ratio"] = "gauge_ratio"
    numerator: SeriesName
    denominator: SeriesName


class Rate(Frozen):
    """Per-second rate of a counter, summed by resource, divided by the gauge `per` where given."""

    kind: Literal["rate"] = "rate"
    counter: SeriesName
    per: SeriesName | None = None


class Quantile(Frozen):
    """A quantile of a histogram (its base name, without _bucket)."""

    kind: Literal["quantile"] = "quantile"
    histogram: SeriesName
    quantile: float = Field(gt=0, lt=1)


class Events(Frozen):
    """Exact increase of a counter over the interval."""

    kind: Literal["events"] = "events"
    counter: SeriesName


class EventRatio(Frozen):
    """Increase of `numerator` over increase of `denominator` (counters); idle below `at_least`."""

    kind: Literal["event_ratio"] = "event_ratio"
    numerator: SeriesName
    denominator: SeriesName
    at_least: int = Field(default=1, ge=1, le=1_000_000)


class Age(Frozen):
    """Now minus a timestamp series; 0 where only `present` exists (the source was read and held nothing)."""

    kind: Literal["age"] = "age"
    timestamp: SeriesName
    present: SeriesName


Derivation = Annotated[Gauge | GaugeRatio | Rate | Quantile | Events | EventRatio | Age, Field(discriminator="kind")]


def _source_as_written(schema: dict[str, Any]) -> None:
    name = schema["properties"]["collector"]
    whole = {key: schema.pop(key) for key in ("type", "properties", "required", "additionalProperties")}
    schema["anyOf"] = [{key: name[key] for key in ("type", "enum")}, whole]


class Source(Frozen):
    """Which exporter collector measures it; the deployment's own details (a DSN, a directory) are its configuration."""

    model_config = ConfigDict(json_schema_extra=_source_as_written)

    collector: Literal[
        "psutil", "sql", "multiprocess", "events", "http", "kubernetes", "remediator", "celery", "redis", "prometheus"
    ]
    """`prometheus` means that its series is there already: no collector of ours measures it."""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, written: Any) -> Any:
        return {"collector": written} if isinstance(written, str) else written


class Tier(IntEnum):
    """1 observe and tell; 2 reversible, low risk; 3 wider effect; 4 who is in control, or capacity that costs money."""

    TIER_1 = 1
    TIER_2 = 2
    TIER_3 = 3
    TIER_4 = 4

    def __str__(self) -> str:
        return f"tier_{self.value}"

    @classmethod
    def parse(cls, text: object) -> Tier:
        """The tier written as `tier_2`. Raises ValueError for anything else."""
        if isinstance(text, Tier):
            return text
        for tier in cls:
            if text == str(tier):
                return tier
        raise ValueError(f"{text!r} is not a tier; write tier_1, tier_2, tier_3 or tier_4")


TierName = Annotated[
    Tier,
    BeforeValidator(Tier.parse),
    PlainSerializer(str, when_used="json"),
    WithJsonSchema({"type": "string", "enum": [str(tier) for tier in Tier]}),
]


class Risk(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Verb(StrEnum):
    """What can be done to a target; a driver says which of these it can."""

    SCALE = "scale"
    RESTART = "restart"
    SHIFT = "shift"
    THROTTLE = "throttle"
    PAUSE = "pause"
    RESUME = "resume"
    START = "start"
    STOP = "stop"
    RUN = "run"
    RECLAIM = "reclaim"
    GOVERN = "govern"
    REPORT = "report"
    NOTIFY = "notify"


class Relation(StrEnum):
    """Where a step acts: on the incident's target, on what the inventory relates to it, or on Grace itself."""

    TARGET = "target"
    EDGE = "edge"
    STANDBY = "standby"
    NODES = "nodes"
    RECLAIM = "reclaim"
    ANALYSIS = "analysis"
    GOVERNANCE = "governance"


class VerifiedBy(StrEnum):
    METRIC = "metric"
    EFFECT = "effect"
    CONTAINMENT = "containment"


class IfIneffective(StrEnum):
    KEEP = "keep"
    UNDO = "undo"
    NOTHING = "nothing"
    """There is nothing to keep or undo (a rolling restart, a report)."""


class Release(StrEnum):
    """Who gives back what a run changed: Grace stepwise, once the metric stayed good; only a person; nobody."""

    STEPWISE = "stepwise"
    PERSON = "person"
    NEVER = "never"


class PlaybookStep(Frozen):
    """One verb on one related target. `args` are numbers and words of the catalog's author, never of an alert."""

    verb: Verb
    on: Relation = Relation.TARGET
    args: Mapping[str, int | float | str] = Field(default_factory=dict, validate_default=True)

    @field_validator("args")
    @classmethod
    def _check_args(
        cls, args: Mapping[str, int | float | str], info: ValidationInfo
    ) -> Mapping[str, int | float | str]:
        problem = wrong_args(info.data["verb"].value, args) if "verb" in info.data else None
        if problem:
            raise ValueError(problem)
        return args


class CommandPrecondition(Frozen):
    """A precondition that a command answers: exit code 0 is true."""

    command: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=100, examples=["no-deploy-running"])
    """A target of the inventory whose driver is `command`."""


class PlaybookDefinition(Frozen):
    """A known fix: what it does, how much it may, how it is verified and what happens when it does not help."""

    id: Id
    title: str = Field(min_length=1)
    description: str = ""
    tier: TierName
    risk: Risk
    steps: tuple[PlaybookStep, ...] = Field(min_length=1)
    verified_by: VerifiedBy
    if_ineffective: IfIneffective
    release: Release = Release.NEVER
    precondition: Annotated[str, AfterValidator(parsed_promql)] | CommandPrecondition | None = None
    """PromQL that must give something other than 0 for the playbook to run, or a command that must end with exit code
    0 (`{command: TARGET}`, a target whose driver is `command`). What cannot be asked counts as false."""
    shadow: bool = False
    """Decided and recorded, never touched."""
    safety: bool = False
    """One of the playbooks that only reduce what runs alone (the safety ratchet)."""
    runbook: str | None = None


def _response_as_written(schema: dict[str, Any]) -> None:
    for key in ("properties", "required", "additionalProperties"):
        schema.pop(key, None)
    schema["type"] = "string"
    schema["pattern"] = r"^(?:[a-z][a-z0-9._-]*|tell:.+)$"
    schema["examples"] = ["scale-workers", "tell:reviewers", "escalate"]


class Response(Frozen):
    """One thing that may be done about a band: run a playbook, tell a group of people, or escalate."""

    model_config = ConfigDict(json_schema_extra=_response_as_written)

    kind: Literal["playbook", "tell", "escalate"]
    name: str = ""

    @model_validator(mode="before")
    @classmethod
    def _read(cls, written: Any) -> Any:
        return parse_response(written) if isinstance(written, str) else written

    def __str__(self) -> str:
        return {"playbook": self.name, "tell": f"tell:{self.name}", "escalate": "escalate"}[self.kind]


def _responses_as_written(schema: dict[str, Any]) -> None:
    side = schema["properties"]["high"]
    by_side = {"type": "object", "properties": schema.pop("properties"), "additionalProperties": False}
    schema.pop("type")
    schema.pop("additionalProperties")
    schema["anyOf"] = [{"type": "array", "items": side["items"]}, by_side]


class Responses(Frozen):
    """What may be done, in order, for a band: one list, or for two-sided metrics one for each side."""

    model_config = ConfigDict(json_schema_extra=_responses_as_written)

    high: tuple[Response, ...] = ()
    low: tuple[Response, ...] = ()

    @model_validator(mode="before")
    @classmethod
    def _read(cls, written: Any) -> Any:
        return {"high": written, "low": written} if isinstance(written, list | tuple) else written

    def on(self, side: Literal["high", "low"] | None) -> tuple[Response, ...]:
        """The responses on one side; without a side those of the high one."""
        return self.low if side == "low" else self.high


class MetricCatalogEntry(Frozen):
    """One metric: how it is collected, derived and banded, and what may be done about it."""

    id: Id
    title: str = Field(min_length=1)
    description: str = ""
    category: Category
    unit: Unit
    unit_label: str
    """The unit as people write it: "ms", "%", "req/s per worker"."""
    enabled: bool = True
    interval: Annotated[Seconds, Field(ge=1, le=86400)]
    """How often it is measured."""
    window: Annotated[Seconds, Field(le=7 * 86400)]
    """What is looked back on; at least one interval."""
    resource_is: str
    """What one `resource` of it is, in words: "service", "host", "volume", "pool"."""
    source: Source
    derive: Derivation
    aggregate: Aggregate
    empty: Empty
    bands: Bands
    warning: Responses = Responses()
    critical: Responses = Responses()

    @field_validator("window")
    @classmethod
    def _holds_an_interval(cls, window: float, info: ValidationInfo) -> float:
        if window < info.data.get("interval", 0):
            raise ValueError("the window must be at least one interval long")
        return window

    @field_validator("warning", "critical")
    @classmethod
    def _names_sides_that_exist(cls, responses: Responses, info: ValidationInfo) -> Responses:
        bands = info.data.get("bands")
        if bands is not None and None in (bands.high, bands.low) and responses.high != responses.low:
            raise ValueError("the bands have one side only: write one list, without high and low")
        return responses

    @property
    def alertname(self) -> str:
        """CamelCase of the id: infra.cpu_utilization is InfraCpuUtilization."""
        return "".join(part.capitalize() for part in re.split(r"[._-]", self.id))

    def responses(self, band: Band, side: Literal["high", "low"] | None = None) -> tuple[Response, ...]:
        """What may be done in this band, in the catalog's order; nothing for good."""
        if band is Band.GOOD:
            return ()
        return (self.critical if band is Band.CRITICAL else self.warning).on(side)


_matchers = cache(parse_matchers)


class Binding(Frozen):
    """A team's own alert, outside the catalog, bound to playbooks by Alertmanager matchers."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "matchers": 'alertname="HostDown", env=~"prod|stage"',
                    "target": "api",
                    "playbooks": ["restart-workers"],
                    "verify": 'up{job="api"} == 0',
                }
            ]
        }
    )

    matchers: Annotated[
        tuple[str, ...],
        Field(min_length=1),
        WithJsonSchema(
            {
                "anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}],
                "description": 'Alertmanager\'s matchers: `alertname="HostDown", env=~"prod|stage"`. All must match.',
            }
        ),
    ]
    """Alertmanager's matchers, one each; all must match."""
    target: str = Field(min_length=1)
    """The inventory's target that the playbooks act on."""
    playbooks: tuple[str, ...] = Field(min_length=1)
    verify: Annotated[str, AfterValidator(parsed_promql)] | None = Field(default=None, min_length=1)
    """PromQL that returns something while the fault lasts; without it every run of this binding is held."""

    @field_validator("matchers", mode="before")
    @classmethod
    def _read_matchers(cls, written: Any) -> Any:
        lines = [written] if isinstance(written, str) else written
        if not isinstance(lines, list | tuple) or not all(isinstance(line, str) for line in lines):
            return written
        found = [matcher for line in lines for matcher in parse_matchers(line)]
        if all(matcher.matches({}) for matcher in found):
            raise ValueError('it would match every alert; name at least one label, as in alertname="HostDown"')
        return [str(matcher) for matcher in found]

    def matches(self, labels: Mapping[str, str]) -> bool:
        """Whether an alert with these labels is meant."""
        return all(matcher.matches(labels) for line in self.matchers for matcher in _matchers(line))


class Catalog(Frozen):
    """Everything that is known: metrics and playbooks by id, in the order of their files, and bindings."""

    metrics: Mapping[str, MetricCatalogEntry]
    playbooks: Mapping[str, PlaybookDefinition]
    bindings: tuple[Binding, ...] = ()
    digest: str = ""
    """SHA-256 of the canonical content: two catalogs that mean the same have the same."""

    @property
    def enabled(self) -> tuple[MetricCatalogEntry, ...]:
        return tuple(metric for metric in self.metrics.values() if metric.enabled)

    def scaled(self, scale: TimeScale) -> Catalog:
        """The same catalog with every interval and window passed through `scale` (tests, drills)."""
        metrics = {
            key: metric.model_copy(
                update={
                    "interval": scale.interval(metric.interval),
                    "window": scale.interval(metric.interval) * metric.window / metric.interval,
                }
            )
            for key, metric in self.metrics.items()
        }
        return self.model_copy(update={"metrics": metrics})


class TimeScale(Frozen):
    """How intervals shrink for tests. `drill` is clamp(0.1 x interval, 2 s, 6 s); otherwise a plain factor."""

    factor: float = Field(default=1.0, gt=0, le=1)
    """What every interval is multiplied by."""
    drill: bool = False
    """Every interval a tenth, within 2 s and 6 s."""

    def interval(self, seconds: float) -> float:
        if self.drill:
            return min(max(0.1 * seconds, 2.0), 6.0)
        return seconds * self.factor

    def scrape_interval(self) -> float:
        """Seconds between scrapes: 15 s at full scale, never below 1 s."""
        return 1.0 if self.drill else max(1.0, 15.0 * self.factor)
