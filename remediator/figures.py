"""Metrics of how well Grace does: what was decided and why, how long it took, what is spent, what is set."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from sqlalchemy.engine import Connection

from catalog.model import Category
from remediator.governance.verdict import Reason, Verdict
from remediator.ledger import figures, settings
from remediator.ledger.figures import SECONDS, SHARES, Spread
from remediator.pipeline.decide import STORM, current_settings
from remediator.pipeline.parts import Parts

# Shown from the beginning with 0: the increase of a series that is born with its first event misses just that one.
_NOTHING_DECIDED = {(verdict.value, reason.value): 0 for verdict in Verdict for reason in Reason}
_CATEGORIES = tuple(category.value for category in Category)
_ANSWERS = ("approved", "rejected", "expired", "void")


SELDOM = 50
"""How many times longer than it takes to count the past nothing is counted."""
WAITS = 2.0
"""Seconds."""


class Decisions:
    """Counts verdicts and reasons from the audit log as it grows, since this was made."""

    def __init__(self, seen: int) -> None:
        self._seen = seen
        self._counted: Counter[tuple[str, str]] = Counter()

    def read(self, connection: Connection) -> tuple[int, Counter[tuple[str, str]], int]:
        """From where it was read, what is new, and up to where: for `add`."""
        begun = self._seen
        found, last = figures.decisions(connection, begun)
        return begun, found, last

    def add(self, read: tuple[int, Counter[tuple[str, str]], int]) -> Metric:
        begun, found, last = read
        # Two scrapes at once may have read the same entries: only the first of them counts.
        if begun == self._seen:
            self._counted.update(found)
            self._seen = last
        family = CounterMetricFamily(
            "grace_remediator_decisions",
            "Verdicts on plans, once for each of their reasons.",
            labels=["verdict", "reason"],
        )
        for (verdict, reason), count in sorted({**_NOTHING_DECIDED, **self._counted}.items()):
            family.add_metric([verdict, reason], count)
        return family


class Times:
    """How long things took, over all that the ledger holds: as good after a restart and on every replica.

    The whole past is counted, so the longer that takes the more seldom it is done: at most a fiftieth of the time.
    A scrape waits for it `WAITS` seconds; then it says what was counted last.
    """

    def __init__(self, parts: Parts, clock: Callable[[], float] = time.monotonic) -> None:
        self._parts = parts
        self._clock = clock
        self._families: list[Metric] = []
        self._due = 0.0
        self._counting: asyncio.Task[None] | None = None

    async def families(self) -> list[Metric]:
        """The histograms; empty only where the first count takes too long. Raises LedgerUnavailable."""
        if self._counting is None and self._clock() >= self._due:
            self._counting = asyncio.create_task(self._count(), name="times")
        if self._counting is not None:
            counting = self._counting
            await asyncio.wait([counting], timeout=WAITS)
            if counting.done():
                self._counting = None
                counting.result()
        return self._families

    async def close(self) -> None:
        """Wait for what is being counted."""
        if self._counting is not None:
            await asyncio.gather(self._counting, return_exceptions=True)

    async def _count(self) -> None:
        began = self._clock()
        playbooks = tuple(self._parts.catalog.playbooks)
        self._families = await self._parts.ledger.read(lambda connection: list(times(connection, playbooks)))
        ended = self._clock()
        self._due = ended + SELDOM * (ended - began)


def families(connection: Connection, parts: Parts) -> list[Metric]:
    """Everything else that the ledger tells at one moment."""
    return [*_budgets(connection, parts), *_governance(connection, parts)]


def times(connection: Connection, playbooks: Sequence[str]) -> Iterator[Metric]:
    """The histograms, counted by the database."""
    for name, help_text, label, known, spreads, bounds in (
        (
            "detect_seconds",
            "From an alert's beginning to its incident.",
            "category",
            _CATEGORIES,
            figures.detected,
            SECONDS,
        ),
        ("decide_seconds", "From an incident to its first plan.", "category", _CATEGORIES, figures.decided, SECONDS),
        ("act_seconds", "From a plan to the end of its last step.", "category", _CATEGORIES, figures.acted, SECONDS),
        (
            "verify_seconds",
            "From a run's last step to its result.",
            "category",
            _CATEGORIES,
            figures.verified,
            SECONDS,
        ),
        ("heal_seconds", "From an incident to its verified heal.", "category", _CATEGORIES, figures.healed, SECONDS),
        (
            "approval_wait_seconds",
            "How long approvals waited, by how they ended.",
            "status",
            _ANSWERS,
            figures.answered,
            SECONDS,
        ),
        (
            "confidence",
            "The confidence of plans that were let through or held.",
            "playbook",
            playbooks,
            figures.confidence,
            SHARES,
        ),
    ):
        yield _histogram(f"grace_remediator_{name}", help_text, label, known, spreads(connection), bounds)


def _histogram(
    name: str, help_text: str, label: str, known: Iterable[str], spreads: Iterable[Spread], bounds: Sequence[float]
) -> Metric:
    family = HistogramMetricFamily(name, help_text, labels=[label])
    nothing = {each: Spread(each, (0,) * len(bounds), 0, 0.0) for each in known}
    for spread in {**nothing, **{each.label: each for each in spreads}}.values():
        buckets = [(repr(bound), below) for bound, below in zip(bounds, spread.below, strict=True)]
        family.add_metric([spread.label], [*buckets, ("+Inf", spread.count)], spread.sum)
    return family


def _budgets(connection: Connection, parts: Parts) -> Iterator[Metric]:
    working = GaugeMetricFamily(
        "grace_remediator_run_active",
        "1 while a run has its target to itself.",
        labels=["playbook", "target", "state", "metric_id", "resource"],
    )
    for labels in figures.at_work(connection):
        working.add_metric(labels, 1)
    yield working
    started = GaugeMetricFamily(
        "grace_remediator_runs_last_hour", "Runs that began in the last hour.", labels=["target"]
    )
    for target, count in figures.spent(connection, parts.clock.now()).items():
        started.add_metric([target], count)
    yield started
    limits = GaugeMetricFamily(
        "grace_remediator_runs_limit", "Runs an hour above which plans are held.", labels=["scope"]
    )
    limits.add_metric(["target"], parts.policy.rates.per_target_hour)
    limits.add_metric(["all"], parts.policy.rates.all_hour)
    yield limits
    strikes = GaugeMetricFamily(
        "grace_remediator_strikes",
        "Runs that did not help an open incident.",
        labels=["metric_id", "resource"],
    )
    for labels_of, count in figures.strikes(connection).items():
        strikes.add_metric(labels_of, count)
    yield strikes
    yield GaugeMetricFamily(
        "grace_remediator_strikes_limit",
        "Runs without help after which a person is wanted.",
        value=parts.policy.strikes,
    )


def _governance(connection: Connection, parts: Parts) -> Iterator[Metric]:
    now = current_settings(connection, parts)
    storm = settings.load(connection).get(STORM)
    for name, help_text, value in (
        ("ceiling_tier", "The highest tier that runs alone.", now.ceiling),
        ("strictness", "0 to 3: the higher, the less runs alone.", now.strictness),
        ("supervised", "1 while every change waits for a person.", now.supervised),
        ("frozen", "1 while nothing new starts.", now.frozen),
        ("shadow", "1 while plans are judged and not carried out.", now.shadow),
        ("storm", "1 while so much is wrong at once that every change is held.", bool(storm and storm["active"])),
    ):
        yield GaugeMetricFamily(f"grace_remediator_{name}", help_text, value=float(value))
