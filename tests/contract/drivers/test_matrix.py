"""The same playbooks, as they are shipped, on every platform: planned, acted and undone by the pipeline itself.

What became of it is read from the platform, not from the driver.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from catalog.config import GraceConfig
from catalog.inventory import Inventory, Target
from catalog.model import PlaybookDefinition, Verb
from catalog.policy import Policy
from catalog.proven import PROVEN
from remediator.audit.checkpoint import Checkpointer
from remediator.clock import SystemClock
from remediator.drivers.base import Driver
from remediator.errors import Transient
from remediator.ledger import runs
from remediator.ledger.engine import Ledger, Tx
from remediator.model import Plan, Run, RunState
from remediator.pipeline import act
from remediator.pipeline.parts import Parts
from remediator.pipeline.plan import render
from tests.contract.drivers.conftest import RIGS
from tests.contract.drivers.matrix import CATALOG, cases, expected, is_slow, platforms, related, shown
from tests.contract.drivers.rigs.base import Rig, short_folder, until

DONE_FOR_GOOD = frozenset({Verb.RESTART, Verb.RUN, Verb.RECLAIM})


class Away:
    """A Prometheus that answers nothing: what is hot is known from the incident's resource."""

    async def measurements(self, *_: Any) -> Any:
        raise Transient("away")

    async def instant(self, *_: Any) -> Any:
        raise Transient("away")


@asynccontextmanager
async def remediator(rig: Rig, playbook: PlaybookDefinition) -> AsyncIterator[Parts]:
    """The pipeline's own parts, around one target that is the rig, or that names it as what the playbook acts on."""
    data = rig.folder / "grace"
    data.mkdir()
    clock = SystemClock()
    ledger = await Ledger.open(data / "ledger.db", clock)
    driver: Driver = rig.driver()
    thing = rig.target()
    front = Target(name="front", driver=rig.kind, **related(playbook))
    parts = Parts(
        ledger=ledger,
        clock=clock,
        config=GraceConfig(data_dir=rig.folder),
        catalog=CATALOG,
        inventory=Inventory(targets={"thing": thing, "front": front}),
        policy=Policy(),
        prometheus=Away(),  # type: ignore[arg-type]
        alertmanager=None,  # type: ignore[arg-type]
        drivers={rig.kind: driver},
        checkpointer=Checkpointer(data / "audit.key", data / "checkpoints.log"),
        owner="test",
    )
    try:
        yield parts
    finally:
        await driver.close()
        await ledger.close()


async def planned(parts: Parts, rig: Rig, playbook: PlaybookDefinition) -> Run:
    """A run of the rendered plan, as a person would have approved it."""
    run_id = rig.context().run_id  # under which the rig looks for a report
    plan = await render(
        parts,
        playbook,
        target_name="front" if related(playbook) else "thing",
        resource=rig.resource,
        run_id=run_id,
        created_at=time.time(),
        incident_id=None,
    )
    assert isinstance(plan, Plan), plan

    def begin(tx: Tx) -> Run | None:
        runs.create(
            tx, plan, incident_id=None, state=RunState.PLANNED, verdict="allow", reasons=("approved",),
            confidence=1.0, evidence="confirmed", by="test", run_id=run_id,
        )  # fmt: skip
        runs.move(tx, run_id, RunState.RUNNING, started_at=tx.now)
        return runs.claim(tx, run_id, parts.owner, 600)

    run = await parts.ledger.write(begin)
    assert run is not None
    return run


@pytest.fixture(
    params=[
        pytest.param(case, id=f"{case[0].id}-{case[1]}", marks=[pytest.mark.prove] if is_slow(*case) else [])
        for case in cases()
    ]
)
async def case(request: pytest.FixtureRequest, haproxy_binary: Path) -> AsyncIterator[tuple[PlaybookDefinition, Rig]]:
    playbook, name = request.param
    with short_folder() as folder:
        async with aiohttp.ClientSession() as http:
            rig = RIGS[name](folder, http, {"haproxy": haproxy_binary})
            try:
                rig.start()
                yield playbook, rig
            finally:
                rig.close()


async def test_a_playbook_has_its_effect_and_gives_it_back(case: tuple[PlaybookDefinition, Rig]) -> None:
    playbook, rig = case
    before = rig.effect()
    async with remediator(rig, playbook) as parts:
        run = await planned(parts, rig, playbook)
        ended: list[bool] = []
        assert await act.execute(parts, run, rig.resource, None, lambda tx: ended.append(True)) is None
        assert ended == [True]
        goal = expected(playbook, rig, before)
        until(lambda: shown(playbook, rig.effect()) == goal, 10)
        assert await act.undo(parts, run, rig.resource, None) is None
        if playbook.steps[0].verb in DONE_FOR_GOOD:
            assert shown(playbook, rig.effect()) == goal
        else:
            until(lambda: rig.effect() == before, 20)


def test_the_table_of_the_reference_says_what_is_tried_here_and_nothing_else() -> None:
    assert {playbook: list(kinds) for playbook, kinds in PROVEN.items()} == platforms()


def test_every_playbook_that_acts_on_a_target_is_tried() -> None:
    assert set(platforms()) == {
        playbook.id
        for playbook in CATALOG.playbooks.values()
        if playbook.steps[0].verb.value not in ("govern", "report", "notify")
    }
