"""What programs and services say is kept, and no secret with it: real processes, real files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from catalog.config import GraceConfig
from catalog.model import Verb
from remediator.app import running
from remediator.drivers.base import StepContext
from remediator.errors import GraceError, Permanent
from tests.contract.drivers.rigs.ansible import AnsibleRig
from tests.contract.drivers.rigs.http import HttpRunRig
from tests.contract.drivers.rigs.local import CommandRig

SECRET = "correct-horse-battery-staple"
HALVES = """
import os, sys, time
secret = open(os.environ["DB_PASSWORD_FILE"]).read().strip()
middle = len(secret) // 2
"""
REPORT = "open(sys.argv[1], 'w').write('# fine\\n')\n"


@pytest.fixture
def rig(begin: Any) -> Any:
    made = begin(CommandRig)
    (made.folder / "password").write_text(f"{SECRET}\n")
    return made


def job(rig: Any, code: str, **config: Any) -> Any:
    environment = {"DB_PASSWORD_FILE": str(rig.folder / "password")}
    argv = [sys.executable, "-c", HALVES + code + REPORT, "{report}"]
    given = {**rig.config(), "argv": argv, "env": environment, **config}
    rig.config = lambda: given
    return rig.target()


async def run(rig: Any, target: Any) -> str:
    """The log of one run, whether it ends well or not; nothing of it, nor of the error, holds a piece of the secret."""
    driver, said = rig.driver(), ""
    report = str((rig.folder / "reports").resolve() / "run_1-0.md")
    try:
        await driver.do(target, Verb.RUN, {"report": report}, rig.context())
    except GraceError as error:
        said = str(error)
    kept_files = {file.name: file.read_text() for file in (rig.folder / "reports").iterdir()}
    for kept in (said, *kept_files.values()):
        for size in (len(SECRET), 8):
            assert not any(SECRET[at : at + size] in kept for at in range(len(SECRET) - size + 1)), kept
    return kept_files["run_1-0.md.log"]


@pytest.mark.parametrize(
    "code",
    [
        "print(secret, 'after')",
        "print('before', secret, file=sys.stderr)",
        "os.write(1, secret[:middle].encode()); os.write(2, secret[middle:].encode())",
        "os.write(1, (secret[:middle] + '\\n').encode()); os.write(2, secret[middle:].encode())",
        "os.write(1, b'x' + secret[:3].encode()); time.sleep(0.3); os.write(1, secret[3:].encode())",
        "[os.write(1 + at % 2, letter.encode()) for at, letter in enumerate(secret)]",
        "import base64; print(base64.b64encode(('grace:' + secret).encode()).decode())",
        "raise SystemExit(f'postgresql://grace:{secret}@db/x is away')",
        "raise RuntimeError(secret)",
        "open(sys.argv[1], 'w').write('token: ' + secret); os._exit(3)",
        "open('/proc/self/fd/1', 'w').write(secret); os.kill(os.getpid(), 9)",
    ],
)
async def test_a_secret_that_a_job_prints(rig: Any, code: str) -> None:
    log = await run(rig, job(rig, code + "\n"))
    assert "•••••" in log or "_exit" in code


@pytest.mark.parametrize("before", range(70, 101, 6))
async def test_a_secret_at_the_end_of_what_is_kept(rig: Any, before: int) -> None:
    log = await run(rig, job(rig, f"print('.' * {before} + secret + '.' * 500_000)\n", output_limit=100))
    assert log.endswith("[cut here: there was more]\n")
    assert len(log) < 200


async def test_a_secret_in_the_report_itself(rig: Any) -> None:
    write = "open(sys.argv[1], 'w').write(f'# found\\n{secret}\\n'); sys.exit()\n"
    await run(rig, job(rig, write))
    assert (rig.folder / "reports" / "run_1-0.md").read_text() == "# found\n•••••\n"


async def test_a_secret_that_is_replaced_while_the_job_runs(rig: Any) -> None:
    """The old one and the new one are hidden."""
    code = "print(secret); open(os.environ['DB_PASSWORD_FILE'], 'w').write('brand-new'); print('brand-new')\n"
    log = await run(rig, job(rig, code))
    assert "brand-new" not in log


async def test_a_job_that_takes_too_long(rig: Any) -> None:
    log = await run(rig, job(rig, "print(secret, flush=True); time.sleep(60)\n", timeout=1))
    assert log == "•••••\n"


async def test_what_a_service_reports(begin: Any) -> None:
    """The token is read back to us in the job's answer."""
    rig = begin(HttpRunRig)
    program = rig.folder / "service.py"
    rig.token.write_text(SECRET)
    (rig.folder / "accepted").write_text(SECRET)
    assert '{"finding": "fine"}' in program.read_text()
    rig.close()
    program.write_text(program.read_text().replace('{"finding": "fine"}', '{"seen": self.headers["Authorization"]}'))
    from tests.contract.drivers.rigs import http

    source, http.SERVICE = http.SERVICE, program.read_text()
    try:
        (rig.folder / "port").unlink()
        rig.start()
        rig.token.write_text(SECRET)
        driver = rig.driver()
        before = await driver.observe(rig.target(), rig.verb, rig.context())
        desired = driver.desire(rig.target(), rig.verb, {}, before, rig.context())
        await driver.do(rig.target(), rig.verb, desired, rig.context())
    finally:
        http.SERVICE = source
    report = rig.folder / "reports" / "run_1-0.json"
    assert report.read_text() == '{"seen": "Bearer •••••"}'


@pytest.mark.prove
async def test_what_a_playbook_prints(begin: Any) -> None:
    rig = begin(AnsibleRig)
    base = dict(rig.config())
    rig.config = lambda: {**base, "env": {**base["env"], "VAULT_PASSWORD": SECRET}}
    tasks = "    - ansible.builtin.fail: {msg: \"the vault says {{ lookup('env', 'VAULT_PASSWORD') }}\"}\n"
    (rig.plays / "apply.yml").write_text("- hosts: all\n  gather_facts: false\n  tasks:\n" + tasks)
    with pytest.raises(Permanent) as caught:
        await rig.driver().do(rig.target(), rig.verb, {"value": 3}, rig.context())
    log = (rig.folder / "ansible" / "thing" / "last.log").read_text()
    assert "the vault says •••••" in log
    assert SECRET not in log + str(caught.value)


async def test_a_running_remediator_knows_its_own_secrets(tmp_path: Path) -> None:
    """Its own token, and the password of another target, in what a job prints."""
    (tmp_path / "password").write_text(SECRET)
    code = f"{HALVES}print(open({str(tmp_path / 'tokens' / 'admin')!r}).read(), secret)\n{REPORT}"
    inventory = {
        "database": {
            "driver": "sql",
            "config": {"url": "sqlite:////nowhere/x.db", "password_file": str(tmp_path / "password"), "settings": {}},
        },
        "job": {
            "driver": "command",
            "config": {
                "argv": [sys.executable, "-c", code, "{report}"],
                "env": {"DB_PASSWORD_FILE": str(tmp_path / "password")},
            },
        },
    }
    (tmp_path / "inventory.yml").write_text(yaml.safe_dump({"targets": inventory}))
    config = GraceConfig(data_dir=tmp_path, inventory=tmp_path / "inventory.yml")
    async with running(config) as remediator:
        parts = remediator.parts
        context = StepContext(run_id="run_1", step=0, key="run_1:0", started_at=0.0, reports=parts.reports)
        target = parts.target("job")
        assert target is not None
        driver = parts.drivers["command"]
        desired = driver.desire(target, Verb.RUN, {}, {}, context)
        await driver.do(target, Verb.RUN, desired, context)
        log = (parts.reports / "run_1-0.md.log").read_text()
        token = (tmp_path / "tokens" / "admin").read_text().strip()
    assert log == "••••• •••••\n"
    assert token.startswith("grace_")
