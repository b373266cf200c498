"""What a change of the catalog means, in words: what fires earlier, what runs by itself, what is gone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

from catalog.explain import INEFFECTIVE, RELEASED, VERIFIED, band_texts, derivation_text, duration_text, step_text
from catalog.model import Catalog, Edges, Frozen, MetricCatalogEntry, PlaybookDefinition, Responses


def changes(old: Catalog, new: Catalog) -> tuple[str, ...]:
    """One line for every difference that has a meaning; nothing where the two mean the same."""
    return (*_metrics(old, new), *_playbooks(old, new), *_bindings(old, new))


def _metrics(old: Catalog, new: Catalog) -> Iterator[str]:
    for key in [*old.metrics, *(key for key in new.metrics if key not in old.metrics)]:
        before, after = old.metrics.get(key), new.metrics.get(key)
        if after is None:
            yield f"{key}: gone; it is no longer measured, and its alert no longer fires"
        elif before is None:
            bands = " / ".join(band_texts(after.bands))
            yield f"{key}: new{'' if after.enabled else ', but off'}; {bands} {after.unit_label}"
        else:
            yield from (f"{key}: {said}" for said in _metric(before, after))


def _metric(before: MetricCatalogEntry, after: MetricCatalogEntry) -> Iterator[str]:
    if before.enabled != after.enabled:
        yield "turned on" if after.enabled else "turned off: it is no longer measured, and its alert no longer fires"
    if before.bands != after.bands or before.unit is not after.unit:
        yield from _edges(before, after)
    for name, was, now in (
        ("measured every", before.interval, after.interval),
        ("window", before.window, after.window),
    ):
        if was != now:
            yield f"{name} {duration_text(now)}, was {duration_text(was)}"
    if before.derive != after.derive:
        yield f"its value is {derivation_text(after.derive)}, was {derivation_text(before.derive)}"
    for band, was_, now_ in (("warning", before.warning, after.warning), ("critical", before.critical, after.critical)):
        yield from _responses(band, was_, now_)
    yield from _plain(
        before, after, "title", "description", "category", "unit_label", "resource_is", "source", "aggregate", "empty"
    )


def _edges(before: MetricCatalogEntry, after: MetricCatalogEntry) -> Iterator[str]:
    if before.unit is not after.unit:
        was, now = (f"{' / '.join(band_texts(each.bands))} {each.unit_label}" for each in (before, after))
        yield f"the unit is another: {now}, was {was}"
        return
    for side, was_edges, now_edges in (
        ("high", before.bands.high, after.bands.high),
        ("low", before.bands.low, after.bands.low),
    ):
        if was_edges is None or now_edges is None:
            if was_edges is not now_edges:
                yield f"{side} values are {'now bad too' if now_edges else 'no longer bad'}"
            continue
        yield from _edge(side, was_edges, now_edges, after.unit_label)


def _edge(side: str, was: Edges, now: Edges, unit: str) -> Iterator[str]:
    beyond = "above" if side == "high" else "below"
    for band in ("warning", "critical"):
        first: Decimal = getattr(was, band)
        second: Decimal = getattr(now, band)
        if first != second:
            earlier = (second < first) == (side == "high")
            sooner = "earlier" if earlier else "later"
            yield f"{band} {beyond} {second:f} {unit}, was {first:f}: fires {sooner}"
    if was.warning_owns_edge != now.warning_owns_edge:
        yield f"a value of exactly {now.warning:f} {unit} is {'warning' if now.warning_owns_edge else 'good'} now"


def _responses(band: str, was: Responses, now: Responses) -> Iterator[str]:
    for side, first, second in (("high", was.high, now.high), ("low", was.low, now.low)):
        if first != second and not (side == "low" and (was.low, now.low) == (was.high, now.high)):
            alike = was.high == was.low and now.high == now.low
            lists = [", ".join(map(str, each)) or "nothing" for each in (second, first)]
            yield f"on {band}{'' if alike else f' ({side} side)'}: {lists[0]}; was {lists[1]}"


def _playbooks(old: Catalog, new: Catalog) -> Iterator[str]:
    for key in [*old.playbooks, *(key for key in new.playbooks if key not in old.playbooks)]:
        before, after = old.playbooks.get(key), new.playbooks.get(key)
        if after is None:
            yield f"{key}: gone; it can no longer be run"
        elif before is None:
            yield f"{key}: new, {after.tier}; {'; '.join(map(step_text, after.steps))}"
        else:
            yield from (f"{key}: {said}" for said in _playbook(before, after))


def _playbook(before: PlaybookDefinition, after: PlaybookDefinition) -> Iterator[str]:
    if before.tier != after.tier:
        meaning = "it may run with fewer people's consent" if after.tier < before.tier else "it asks more of people"
        yield f"{after.tier}, was {before.tier}: {meaning}"
    if before.steps != after.steps:
        now, was = ("; ".join(map(step_text, each.steps)) for each in (after, before))
        yield f"does {now}; was {was}"
    for words, name in ((VERIFIED, "verified_by"), (INEFFECTIVE, "if_ineffective"), (RELEASED, "release")):
        first, second = getattr(before, name), getattr(after, name)
        if first != second:
            yield f"{name} {second.value} ({words[second]}), was {first.value}"
    if before.safety != after.safety:
        yield "is a safety playbook now: it applies at once" if after.safety else "is no longer a safety playbook"
    yield from _plain(before, after, "title", "description", "risk", "runbook")


def _bindings(old: Catalog, new: Catalog) -> Iterator[str]:
    for said, these, others in (
        ("no longer bound", old.bindings, new.bindings),
        ("bound now", new.bindings, old.bindings),
    ):
        for binding in these:
            if binding not in others:
                proof = "" if binding.verify else "; without `verify` every run is held"
                yield (
                    f"alerts with {', '.join(binding.matchers)}: {said} to "
                    f"{', '.join(binding.playbooks)} on {binding.target}{proof}"
                )


def _plain(before: Frozen, after: Frozen, *names: str) -> Iterator[str]:
    for name in names:
        first, second = before.model_dump(mode="json")[name], after.model_dump(mode="json")[name]
        if first != second:
            yield f"{name.replace('_', ' ')}: {_said(second)}, was {_said(first)}"


def _said(value: object) -> str:
    if isinstance(value, dict):
        return " ".join(map(str, value.values()))
    return str(value) if value not in ("", None) else "nothing"


def words(lines: Sequence[str]) -> str:
    """The changes as they are printed."""
    return "\n".join(lines) if lines else "no difference"
