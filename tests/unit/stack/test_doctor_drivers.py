"""`grace doctor` on the inventory alone: what is wrong, and what is only worth knowing."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import aiohttp
import pytest

from catalog.config import GraceConfig
from catalog.inventory import Inventory, Target
from catalog.load import load_catalog
from remediator.clock import SystemClock
from stack.doctor.setup import Finding, Setup
from stack.doctor.targets import drivers, targets


async def found(*targets: Target) -> list[Finding]:
    inventory = Inventory(targets={target.name: target for target in targets})
    setup = Setup(GraceConfig(), load_catalog(), inventory, SystemClock(), cast(aiohttp.ClientSession, None))
    return [finding async for finding in drivers(setup)]


async def test_what_playbooks_would_ask_and_a_driver_cannot_is_a_warning() -> None:
    pool = {"endpoint": "ipc:///run/circus.sock", "watcher": "w"}
    findings = await found(Target(name="ingestion", driver="process", config=pool))
    assert [(each.problem, each.is_warning, each.is_wrong) for each in findings] == [
        ("ingestion: process cannot throttle, so throttle-learning will be denied", True, False),
        ("ingestion: process cannot pause, so stop-ingestion-cycle will be denied", True, False),
    ]


async def test_a_fault_is_wrong() -> None:
    (finding,) = await found(Target(name="x", driver="nothing-of-the-kind"))
    assert finding.is_wrong
    assert not finding.is_warning


async def reaching(folder: Path, content: str | None, mode: int = 0o600) -> list[Finding]:
    file = folder / "people"
    if content is not None:
        file.write_text(content)
        file.chmod(mode)
    config = GraceConfig.model_validate({"notify": [{"name": "chat", "url_file": str(file)}]})
    setup = Setup(config, load_catalog(), Inventory(), SystemClock(), cast(aiohttp.ClientSession, None))
    return [finding async for finding in drivers(setup)]


async def test_a_channel_that_reaches_people_is_fine(tmp_path: Path) -> None:
    assert await reaching(tmp_path, "json://localhost/token\n") == []


async def test_a_channel_without_addresses_is_wrong_and_names_none(tmp_path: Path) -> None:
    for content in (None, "# nobody\n"):
        (finding,) = await reaching(tmp_path, content)
        assert finding.is_wrong
        assert str(tmp_path / "people") in finding.mend


async def test_addresses_that_grace_may_not_read_need_a_right_and_no_addresses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: object, **__: object) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", forbidden)
    (finding,) = await reaching(tmp_path, "json://localhost/token\n")
    assert finding.is_wrong
    assert finding.mend == f"let the user that Grace runs as read {tmp_path / 'people'}, and nobody else"


async def test_addresses_that_others_may_read_are_a_warning(tmp_path: Path) -> None:
    (finding,) = await reaching(tmp_path, "json://localhost/TOKEN\n", 0o644)
    assert finding.is_warning
    assert "TOKEN" not in finding.problem + finding.mend


async def allowed(tmp_path: Path, **config: Any) -> list[Finding]:
    spool = Target(name="spool", driver="files", config={"folders": [{"path": str(tmp_path), "older_than": "1h"}]})
    job = Target(name="job", driver="command", config={"argv": ["/bin/true", "{report}"], **config})
    inventory = Inventory(targets={"spool": spool, "job": job})
    setup = Setup(GraceConfig(data_dir=tmp_path), load_catalog(), inventory, SystemClock(), cast(Any, None))
    return [finding async for finding in targets(setup)]


async def test_what_grace_may_do_to_each_target_is_noted(tmp_path: Path) -> None:
    assert [(each.problem, each.note) for each in await allowed(tmp_path)] == [
        ("", "spool (files): may reclaim"),
        ("", "job (command): may run"),
    ]


async def test_what_grace_may_not_do_is_a_warning_with_its_reason(tmp_path: Path) -> None:
    _, warning, note = await allowed(tmp_path, argv=["/no/such/program", "{report}"])
    assert warning.is_warning
    assert "target job: Grace may not run it: there is no /no/such/program" in warning.problem
    assert "README of the driver command" in warning.mend
    assert note.note == "job (command): may not run"


async def test_a_target_that_does_not_answer_is_wrong() -> None:
    target = Target(name="lb", driver="haproxy", config={"socket": "/no", "backend": "b", "servers": {"a": "a"}})
    setup = Setup(GraceConfig(), load_catalog(), Inventory(targets={"lb": target}), SystemClock(), cast(Any, None))
    (finding,) = [each async for each in targets(setup)]
    assert finding.is_wrong
    assert "target lb: HAProxy at /no cannot be reached" in finding.problem
