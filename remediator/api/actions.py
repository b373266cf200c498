"""What people may do, whoever carries their word: the API or the page.

Each takes who asks, checks what the role alone does not settle, writes one transaction with its audit entry, and raises
Refused with a reason where it may not be.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from catalog.model import Tier
from remediator.api.services import Services
from remediator.auth.tokens import Identity, Role
from remediator.errors import Refused
from remediator.governance.facts import Settings
from remediator.governance.ratchet import loosens
from remediator.ledger import approvals, incidents, runs, settings
from remediator.ledger.engine import Tx
from remediator.model import IncidentState, Outcome
from remediator.pipeline import hand
from remediator.pipeline.decide import current_settings, loosened_by, settings_json

Vote = Literal["approve", "reject"]
CLOSABLE = frozenset(set(IncidentState) - {IncidentState.ACTING, IncidentState.VERIFYING, IncidentState.CLOSED})
LONGEST_HOLD = 30 * 86400.0
"""Seconds."""


def _allowed(who: Identity, group: str | None) -> None:
    """Nothing, when the person's token is for this group of targets. Raises Refused."""
    if not who.covers(group):
        about = f"targets of the group {group}" if group else "what belongs to no target"
        raise Refused(f"the token of {who.name} is for {', '.join(who.groups)}, not for {about}", reason="role")


def _group_of(services: Services, target: str | None) -> str | None:
    found = services.parts.target(target)
    return None if found is None else found.blast_group


def _allowed_run(tx: Tx, who: Identity, run_id: str) -> None:
    found = runs.get(tx.connection, run_id)
    if found is not None:
        _allowed(who, found.group)


async def acknowledge(services: Services, who: Identity, incident_id: str, reason: str) -> None:
    """A person takes an incident: nothing more is done by Grace, and it ends when its metric is good again."""

    def store(tx: Tx) -> None:
        found = incidents.get(tx.connection, incident_id)
        assert found is not None
        _allowed(who, _group_of(services, found.target))
        if found.state not in CLOSABLE:
            raise Refused(f"incident {incident_id} is {found.state.value}; wait for its run to end", reason="busy")
        tx.record("incident_acknowledged", {"reason": reason}, incident_id=incident_id, actor=who.name)
        if found.state not in (IncidentState.ESCALATED, IncidentState.CONTAINED):
            incidents.move(tx, found, IncidentState.ESCALATED, reason=f"acknowledged by {who.name}", wake_at=tx.now)
        else:
            incidents.set_fields(tx, incident_id, reason=f"acknowledged by {who.name}")

    await services.parts.ledger.write(store)


async def close(services: Services, who: Identity, incident_id: str, reason: str) -> None:
    """A person ends an incident, and with it every plan that waits for it."""

    def store(tx: Tx) -> None:
        found = incidents.get(tx.connection, incident_id)
        assert found is not None
        _allowed(who, _group_of(services, found.target))
        if found.state not in CLOSABLE:
            raise Refused(f"incident {incident_id} is {found.state.value}", reason="busy")
        tx.record("incident_closed_by_person", {"reason": reason}, incident_id=incident_id, actor=who.name)
        for held in runs.of_incident(tx.connection, incident_id):
            approval = approvals.of_run(tx.connection, held.id)
            if approval is not None:
                approvals.settle(tx, approval, "void", f"the incident was closed by {who.name}", actor=who.name)
        incidents.move(
            tx,
            found,
            IncidentState.CLOSED,
            reason=f"closed by {who.name}: {reason}",
            wake_at=None,
            outcome=Outcome.ACKNOWLEDGED,
        )
        tx.on_commit.append(lambda: services.parts.publish("incident", incident_id))

    await services.parts.ledger.write(store)


async def vote(services: Services, who: Identity, approval_id: str, word: Vote, reason: str) -> None:
    """One person's word on a plan. Who loosened governance does not approve what that may allow."""

    def store(tx: Tx) -> None:
        loosened = loosened_by(tx.connection, services.parts, who.name) if word == "approve" else frozenset()
        if loosened:
            raise Refused(
                f"{who.name} loosened {', '.join(sorted(loosened))}, which may be what allows this plan: "
                "somebody else must approve it",
                reason="role",
            )
        asked = approvals.get(tx.connection, approval_id)
        if asked is not None:
            _allowed_run(tx, who, asked.run_id)
        approval = approvals.vote(tx, approval_id, name=who.name, vote=word, reason=reason)
        if approval.incident_id:
            incidents.wake(tx, approval.incident_id)
        tx.on_commit.append(services.parts.wake)
        tx.on_commit.append(lambda: services.stream.publish("approval", approval_id))

    await services.parts.ledger.write(store)


async def start(services: Services, who: Identity, playbook: str, target: str, reason: str) -> str:
    """Start a playbook by hand, or hold it for approval; the run's id."""
    _allowed(who, _group_of(services, target))
    return await hand.start(
        services.parts, playbook, target, by=who.name, reason=reason, check=lambda plan: _allowed(who, plan.group)
    )


async def cancel(services: Services, who: Identity, run_id: str, reason: str) -> None:
    """End a run that waits or is being verified."""
    await services.parts.ledger.write(lambda tx: _allowed_run(tx, who, run_id))
    await hand.cancel(services.parts, run_id, by=who.name, reason=reason)


async def give_back(services: Services, who: Identity, run_id: str, reason: str, *, release: bool) -> None:
    """Undo a run, or release what it keeps. What tightened governance is given back by an admin only.

    A driver never loosens governance: the admin's word does, as far as nobody has changed the setting since.
    """
    found = await services.parts.ledger.read(lambda connection: runs.get(connection, run_id))
    if found is not None:
        _allowed(who, found.group)
    governed = found is not None and any(step.driver == "governance" for step in found.plan)
    if governed and not who.may(Role.ADMIN):
        raise Refused("this run tightened governance: only an admin may loosen it", reason="role")
    await hand.ask_undo(services.parts, run_id, by=who.name, reason=reason, release=release)
    if governed:
        await services.parts.ledger.write(lambda tx: _loosen(services, tx, who, run_id, reason))


def _loosen(services: Services, tx: Tx, who: Identity, run_id: str, reason: str) -> None:
    now = settings_json(current_settings(tx.connection, services.parts))
    back: dict[str, Any] = {}
    for step in runs.steps_of(tx.connection, run_id):
        if (step.driver, step.phase, step.state) == ("governance", "do", "done"):
            back |= {name: step.before[name] for name, value in step.desired.items() if now.get(name) == value}
    if back:
        settings.put(tx, back, by=who.name, reason=reason, run_id=run_id)
        tx.on_commit.append(services.parts.wake)
        tx.on_commit.append(lambda: services.parts.publish("governance", "settings"))


async def change_settings(services: Services, who: Identity, changes: Mapping[str, Any], reason: str) -> None:
    """Change settings of governance: operators may tighten, only admins loosen."""
    parts = services.parts

    def store(tx: Tx) -> None:
        before = current_settings(tx.connection, parts)
        after = _changed(before, changes)
        if not who.may(Role.ADMIN) and loosens(before, after):
            raise Refused("this loosens governance: only an admin may", reason="role")
        settings.put(tx, dict(changes), by=who.name, reason=reason)
        tx.on_commit.append(parts.wake)
        tx.on_commit.append(lambda: parts.publish("governance", "settings"))

    await parts.ledger.write(store)


def _changed(before: Settings, changes: Mapping[str, Any]) -> Settings:
    return Settings(
        ceiling=Tier.parse(changes.get("ceiling", before.ceiling)),
        strictness=changes.get("strictness", before.strictness),
        supervised=changes.get("supervised", before.supervised),
        frozen=changes.get("frozen", before.frozen),
        shadow=changes.get("shadow", before.shadow),
    )


async def confirm_policy(services: Services, who: Identity, reason: str) -> None:
    """Put a changed policy file in force that loosens something."""
    parts = services.parts
    policy, names = parts.pending_policy, sorted(parts.pending)
    if policy is None:
        raise Refused("no changed policy file waits for confirmation", reason="unknown")
    await parts.ledger.write(
        lambda tx: tx.record("policy_confirmed", {"loosens": names, "reason": reason}, actor=who.name)
    )
    parts.policy, parts.pending_policy, parts.pending = policy, None, frozenset()
    parts.confirmed_by = who.name
    parts.wake()


async def hold(services: Services, who: Identity, target: str, seconds: float, reason: str) -> None:
    """Nothing new starts on this target for so many seconds."""
    parts = services.parts
    if parts.target(target) is None:
        raise Refused(f"the inventory has no target {target!r}", reason="unknown")
    _allowed(who, _group_of(services, target))
    await parts.ledger.write(lambda tx: settings.hold(tx, target, until=tx.now + seconds, by=who.name, reason=reason))


async def unhold(services: Services, who: Identity, target: str, reason: str) -> None:
    """End a hold."""
    _allowed(who, _group_of(services, target))
    if not await services.parts.ledger.write(lambda tx: settings.unhold(tx, target, by=who.name, reason=reason)):
        raise Refused(f"target {target!r} is not on hold", reason="unknown")
    services.parts.wake()
