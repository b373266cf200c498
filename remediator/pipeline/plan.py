"""Plan: a candidate playbook becomes rendered steps, computed once from what was observed.

Rendering takes names from the inventory and numbers from the catalog. From the alert comes only the resource, which
drivers compare with names they know.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from catalog.inventory import Target
from catalog.model import Band, MetricCatalogEntry, PlaybookDefinition, PlaybookStep, Response, Tier, Verb
from remediator.audit.canonical import canonical
from remediator.drivers import builtin_driver
from remediator.drivers.base import Driver, StepContext
from remediator.errors import GraceError, Permanent, Refused
from remediator.governance.order import Candidate, ordered
from remediator.ledger import runs
from remediator.model import Incident, Plan, PlannedStep, Run, RunState
from remediator.pipeline.look import heat
from remediator.pipeline.parts import GOVERNANCE, Parts

TELLING = frozenset({Verb.REPORT, Verb.NOTIFY})
"""Verbs that change nothing."""


@dataclass(frozen=True, slots=True)
class Unplannable:
    """Why a candidate could not be rendered: it is denied with this reason."""

    reason: str
    detail: str


class UnknownTarget(Refused):
    """The inventory has no such target."""


class MissingCapability(Refused):
    """The target lacks the relation, or its driver the verb."""


def resolve(parts: Parts, target_name: str | None, step: PlaybookStep) -> tuple[Target, Driver]:
    """The target and driver of one step. Raises UnknownTarget or MissingCapability."""
    builtin = builtin_driver(step.verb)
    if builtin is not None:
        return replace_driver(GOVERNANCE, builtin), parts.drivers[builtin]
    base = parts.target(target_name)
    if base is None:
        raise UnknownTarget("the inventory has no target for this resource", reason="unknown_target")
    name = base.related(step.on)
    related = parts.target(name)
    if related is None:
        raise MissingCapability(
            f"target {base.name} names no {step.on.value} in the inventory", reason="missing_capability"
        )
    driver = parts.drivers.get(related.driver)
    if driver is None or step.verb not in driver.verbs:
        raise MissingCapability(
            f"target {related.name} ({related.driver}) cannot {step.verb.value}", reason="missing_capability"
        )
    return related, driver


def replace_driver(target: Target, driver: str) -> Target:
    return target.model_copy(update={"driver": driver})


def target_of_step(parts: Parts, step: PlannedStep) -> Target:
    """The target a rendered step names. Raises Permanent when the inventory has lost it since."""
    target = parts.target(step.target)
    if target is None:
        raise Permanent(f"target {step.target} is no longer in the inventory")
    return replace_driver(target, step.driver)


def context_for(parts: Parts, run: Run, index: int, resource: str) -> StepContext:
    """What a driver may know about this step; the same at every attempt."""
    return StepContext(
        run_id=run.id,
        step=index,
        key=f"{run.id}:{index}",
        started_at=run.created_at,
        resource=resource,
        reports=parts.reports,
        incident_id=run.incident_id or "",
        playbook_id=run.playbook_id,
    )


async def render(
    parts: Parts,
    playbook: PlaybookDefinition,
    *,
    target_name: str | None,
    resource: str,
    run_id: str,
    created_at: float,
    incident_id: str | None,
) -> Plan | Unplannable:
    """The plan: every step's target observed and its desired state computed. Unplannable says why there is none."""
    steps: list[PlannedStep] = []
    tier = playbook.tier
    acted_on: Target | None = None
    for index, step in enumerate(playbook.steps):
        try:
            target, driver = resolve(parts, target_name, step)
            context = StepContext(
                run_id=run_id,
                step=index,
                key=f"{run_id}:{index}",
                started_at=created_at,
                resource=resource,
                heat=await heat_for(parts, target, step.verb),
                reports=parts.reports,
                incident_id=incident_id or "",
                playbook_id=playbook.id,
            )
            before = await driver.observe(target, step.verb, context)
            desired = driver.desire(target, step.verb, step.args, before, context)
        except Refused as refusal:
            return Unplannable(refusal.reason, str(refusal))
        except GraceError as error:
            return Unplannable("unobservable", f"the target could not be observed: {error}")
        acted_on = acted_on or target
        steps.append(PlannedStep(step.verb, target.name, target.driver, dict(before), dict(desired)))
    assert acted_on is not None
    return Plan(
        playbook_id=playbook.id,
        tier=tier,
        risk=playbook.risk.value,
        target=acted_on.name,
        group=acted_on.blast_group,
        steps=tuple(steps),
        digest=digest(playbook.id, tier, tuple(steps)),
    )


def plan_of(run: Run, playbook: PlaybookDefinition) -> Plan:
    """The plan that a held run was made for."""
    return Plan(run.playbook_id, run.tier, playbook.risk.value, run.target, run.group, run.plan, run.digest)


def digest(playbook_id: str, tier: Tier, steps: tuple[PlannedStep, ...]) -> str:
    """SHA-256 (hex) of exactly what will be done, and to what, as it was seen: what an approval is bound to."""
    body = {"playbook": playbook_id, "tier": str(tier), "steps": [step.as_json() for step in steps]}
    return hashlib.sha256(canonical(body)).hexdigest()


def candidates(
    parts: Parts,
    metric: MetricCatalogEntry,
    incident: Incident,
    side: Any,
    past: list[Run],
    records: dict[str, tuple[int, int]],
) -> tuple[Response, ...]:
    """What may still be done about this incident, in order: playbooks that it has not tried, then the rest."""
    tried = {run.playbook_id for run in past if _spent(run)}
    responses = metric.responses(incident.band, side)
    playbooks = [each.name for each in responses if each.kind == "playbook" and each.name not in tried]
    line = ordered(
        (Candidate(name, parts.catalog.playbooks[name].tier, *records.get(name, (0, 0))) for name in playbooks),
        parts.policy,
    )
    others = tuple(each for each in responses if each.kind != "playbook")
    return tuple(Response(kind="playbook", name=each.playbook_id) for each in line) + others


def _spent(run: Run) -> bool:
    """Has this incident had its try with this run's playbook: it was executed, turned down, or let expire?"""
    return run.started_at is not None or run.state in (RunState.EXPIRED, RunState.CANCELLED)


def records_of(connection: Any, parts: Parts, band: Band, metric: MetricCatalogEntry) -> dict[str, tuple[int, int]]:
    """Verified outcomes of every playbook that this band may use."""
    offered = (*metric.responses(band, "high"), *metric.responses(band, "low"))
    names = {each.name for each in offered if each.kind == "playbook"}
    return {name: runs.outcomes(connection, name) for name in names}


async def heat_for(parts: Parts, target: Target, verb: Verb) -> dict[str, float]:
    """How hot each resource is, for a verb that goes by it; empty for any other, and where it cannot be asked."""
    if verb is not Verb.SHIFT:
        return {}
    name = str(target.config.get("hot_by", "infra.cpu_utilization"))
    metric = parts.catalog.metrics.get(name)
    if metric is None:
        return {}
    try:
        return await heat(parts, metric)
    except GraceError:
        # Not needed where the incident's resource is a backend; the driver refuses where it is.
        return {}
