"""A token that is for some groups of targets acts on these alone; reading and tightening everything are not limited."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from catalog.policy import Policy
from remediator.api import actions
from remediator.auth.tokens import Identity, Role, digest_of, new_token
from remediator.errors import Refused
from remediator.ledger import approvals, runs
from remediator.ledger.tokens import LedgerTokens
from remediator.model import RunState
from tests.unit.remediator.simulation import Simulation, simulation

CPU = "infra.cpu_utilization"
ASKS = Policy(ceiling="tier_1")
EDGE = Identity("eve", Role.OPERATOR, ("edge", "api"))
WORKERS = Identity("wim", Role.OPERATOR, ("workers",))
ANYWHERE = Identity("ann", Role.OPERATOR)


def services(sim: Simulation) -> Any:
    return SimpleNamespace(parts=sim.parts, stream=SimpleNamespace(publish=lambda kind, name: None))


async def test_an_approval_counts_only_from_who_is_for_its_target() -> None:
    async with simulation(policy=ASKS) as sim:
        sim.measure(CPU, "api-1", "ccc")
        await sim.alert(CPU, "api-1")
        asked = await sim.approval()
        for word in ("approve", "reject"):
            with pytest.raises(Refused, match="the token of wim is for workers, not for targets of the group edge"):
                await actions.vote(services(sim), WORKERS, asked.id, word, "why not")
        assert (await sim.approval()).given == 0
        await actions.vote(services(sim), EDGE, asked.id, "approve", "seen the graphs")
        await sim.scheduler.settle()
        assert sim.driver.effects == [("edge", "shift", 1)]

        (run,) = await sim.executions()
        await sim.go_on(CPU, "api-1", "ggg")
        with pytest.raises(Refused, match="not for targets of the group edge"):
            await actions.give_back(services(sim), WORKERS, run.id, "why not", release=False)
        await actions.give_back(services(sim), ANYWHERE, run.id, "enough", release=False)


async def test_runs_holds_and_incidents_are_for_who_is_for_their_target() -> None:
    async with simulation(policy=ASKS) as sim:
        with pytest.raises(Refused, match="not for targets of the group workers"):
            await actions.start(services(sim), EDGE, "scale-workers", "workers", "more")
        only_api = Identity("kim", Role.OPERATOR, ("api",))
        with pytest.raises(Refused, match="not for targets of the group edge"):
            await actions.start(services(sim), only_api, "shift-load", "api", "what is acted on is the balancer")
        run_id = await actions.start(services(sim), WORKERS, "scale-workers", "workers", "more")
        with pytest.raises(Refused, match="not for targets of the group workers"):
            await actions.cancel(services(sim), EDGE, run_id, "why not")
        await actions.cancel(services(sim), WORKERS, run_id, "enough")
        found = await sim.parts.ledger.read(lambda connection: runs.get(connection, run_id))
        assert found is not None
        assert found.state in (RunState.CANCELLED, RunState.HELD)

        with pytest.raises(Refused, match="not for"):
            await actions.hold(services(sim), EDGE, "workers", 60.0, "why not")
        await actions.hold(services(sim), WORKERS, "workers", 60.0, "deploy")
        with pytest.raises(Refused, match="not for"):
            await actions.unhold(services(sim), EDGE, "workers", "why not")

        await sim.alert("infra.memory_utilization", "nobodys-host")
        incident = await sim.incident()
        for limited in (EDGE, WORKERS):
            with pytest.raises(Refused, match="not for what belongs to no target"):
                await actions.close(services(sim), limited, incident.id, "why not")
        await actions.acknowledge(services(sim), ANYWHERE, incident.id, "mine")

        await actions.change_settings(services(sim), WORKERS, {"frozen": True}, "anybody may stop everything")


async def test_who_may_not_approve_a_plan_does_not_count_towards_its_approvers() -> None:
    async with simulation(policy=Policy(ceiling="tier_1", approvals={"tier_2": 2})) as sim:
        tokens = LedgerTokens(sim.parts.ledger)
        for who in (EDGE, WORKERS):
            await tokens.add(who, digest_of(new_token()))
        sim.measure(CPU, "api-1", "ccc")
        await sim.alert(CPU, "api-1")
        asked = await sim.approval()
        with pytest.raises(Refused, match="2 distinct people must approve"):
            await actions.vote(services(sim), EDGE, asked.id, "approve", "seen")
        await tokens.add(Identity("bea", Role.APPROVER, ("edge",)), digest_of(new_token()))
        await actions.vote(services(sim), EDGE, asked.id, "approve", "seen")
        found = await sim.parts.ledger.read(lambda connection: approvals.get(connection, asked.id))
        assert found is not None
        assert found.given == 1


async def test_the_groups_of_a_token_are_kept_and_listed() -> None:
    async with simulation() as sim:
        tokens = LedgerTokens(sim.parts.ledger)
        secret = new_token()
        await tokens.add(EDGE, digest_of(secret))
        await tokens.add(ANYWHERE, digest_of(new_token()))
        assert await tokens.find(digest_of(secret)) == EDGE
        assert {each.name: each.groups for each in await tokens.list()} == {"eve": ("edge", "api"), "ann": ()}
        added = [body for kind, body in await sim.audit() if kind == "token_added"]
        assert [body["groups"] for body in added] == [["edge", "api"], []]
