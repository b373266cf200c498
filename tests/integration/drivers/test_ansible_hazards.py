"""Where the ansible driver could do harm, tried with real Ansible."""

from __future__ import annotations

import asyncio
from typing import Any

import psutil
import pytest
from pydantic import ValidationError

from remediator.drivers.ansible import AnsibleConfig
from remediator.drivers.ansible.runner import Runner
from remediator.errors import Permanent, Refused, Transient
from tests.contract.drivers.rigs.ansible import AnsibleRig
from tests.contract.drivers.rigs.base import until

# A run of Ansible takes seconds; what needs none is tried at every `make test`.
runs = pytest.mark.prove

BASE = {"folder": "/etc/grace/plays", "hosts": "/etc/grace/hosts"}
SET = '    - ansible.builtin.copy: {content: "{{ grace_wanted }}", dest: "{{ place }}"}\n'
TASKS = "- hosts: all\n  gather_facts: false\n  tasks:\n"


@pytest.mark.parametrize(
    "file", ["../x.yml", "/etc/x.yml", "a/../../x.yml", "--check.yml", "x", "x.yml --become", "a//b.yml", "",
             "x.yml\n", "$(x).yml"]
)  # fmt: skip
def test_a_file_never_leaves_the_folder_nor_is_an_option(file: str) -> None:
    for field in ("read", "apply"):
        play = {"read": "read.yml", "apply": "apply.yml", field: file}
        with pytest.raises(ValidationError):
            AnsibleConfig.model_validate({**BASE, "scale": play})


@pytest.mark.parametrize("variable", ["", "a b", "ansible_become=true", "{{x}}", "-x", "a.b"])
def test_a_variable_is_a_name(variable: str) -> None:
    with pytest.raises(ValidationError):
        AnsibleConfig.model_validate({**BASE, "scale": {"read": "r.yml", "apply": "a.yml", "variable": variable}})


async def test_a_verb_without_a_playbook_is_said(begin: Any) -> None:
    rig = begin(AnsibleRig)
    with pytest.raises(Refused) as caught:
        await rig.driver().observe(rig.target(scale=None), rig.verb, rig.context())
    assert caught.value.reason == "missing_capability"


async def test_a_playbook_that_is_not_there(begin: Any) -> None:
    rig = begin(AnsibleRig)
    with pytest.raises(Permanent, match="there is no"):
        await rig.driver().observe(rig._with(read="absent.yml"), rig.verb, rig.context())


@runs
async def test_what_the_playbook_gets_is_a_number_and_nothing_of_ours(
    begin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig = begin(AnsibleRig)
    monkeypatch.setenv("GRACE_SECRET", "hunter2")
    tell = '    - ansible.builtin.copy: {content: "{{ grace_wanted | type_debug }}", dest: "{{ place }}.type"}\n'
    write(rig, "apply", f"    - ansible.builtin.shell: env > {rig.value}.env\n{tell}{SET}")
    await rig.driver().do(rig.target(), rig.verb, {"value": 3}, rig.context())
    assert (rig.folder / "value.type").read_text() == "int"
    assert "hunter2" not in (rig.folder / "value.env").read_text()


@runs
async def test_a_reading_that_changes_something_is_an_error(begin: Any) -> None:
    rig = begin(AnsibleRig)
    with pytest.raises(Permanent, match="changed something"):
        await rig.driver().observe(rig._with(check=False), rig.verb, rig.context())


@runs
async def test_a_playbook_that_ends_well_and_does_nothing_is_noticed(begin: Any) -> None:
    rig = begin(AnsibleRig)
    write(rig, "apply", "    - ansible.builtin.debug: {msg: done}\n")
    with pytest.raises(Permanent, match="reads 2 instead of 3"):
        await rig.driver().do(rig.target(), rig.verb, {"value": 3}, rig.context())


@runs
async def test_a_task_that_fails_is_told_and_its_words_stay_in_the_log(begin: Any) -> None:
    rig = begin(AnsibleRig)
    write(rig, "apply", "    - ansible.builtin.fail: {msg: the password is hunter2}\n")
    with pytest.raises(Permanent, match="a task") as caught:
        await rig.driver().do(rig.target(), rig.verb, {"value": 3}, rig.context())
    assert "hunter2" not in str(caught.value)
    log = rig.folder / "ansible" / "thing" / "last.log"
    assert "hunter2" in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600
    assert [path.name for path in log.parent.iterdir()] in (["last.log", "lock"], ["lock", "last.log"])


@runs
async def test_a_host_that_cannot_be_reached(begin: Any) -> None:
    rig = begin(AnsibleRig)
    rig.hosts.write_text("away ansible_connection=ssh ansible_host=127.0.0.1 ansible_port=1 place=/x\n")
    with pytest.raises(Transient, match="cannot be reached"):
        await rig.driver().observe(rig.target(), rig.verb, rig.context())


@runs
async def test_a_file_that_may_not_be_written(begin: Any) -> None:
    rig = begin(AnsibleRig)
    write(rig, "apply", "    - ansible.builtin.fail: {msg: \"[Errno 13] Permission denied: '/etc/pool'\"}\n")
    with pytest.raises(Refused) as caught:
        await rig.driver().do(rig.target(), rig.verb, {"value": 3}, rig.context())
    assert caught.value.reason == "permission"


@runs
async def test_a_run_that_is_cancelled_is_gone_with_all_it_started(begin: Any) -> None:
    rig = begin(AnsibleRig)
    marker = rig.folder / "pid"
    write(rig, "read", f"    - ansible.builtin.shell: echo $$ > {marker}; sleep 60\n      check_mode: false\n")
    task = asyncio.create_task(rig.driver().observe(rig.target(), rig.verb, rig.context()))
    await asyncio.to_thread(until, lambda: marker.exists() and marker.read_text().strip() != "", 30)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    until(lambda: not psutil.pid_exists(int(marker.read_text())), 5)


@runs
async def test_a_run_that_takes_too_long_is_gone_with_all_it_started(begin: Any) -> None:
    rig = begin(AnsibleRig)
    marker = rig.folder / "pid"
    write(rig, "apply", f"    - ansible.builtin.shell: echo $$ > {marker}; sleep 60\n")
    runner = Runner(AnsibleConfig.model_validate(rig.config()), rig.folder / "place")
    with pytest.raises(Permanent, match="was killed"):
        await runner.run("apply.yml", check=False, variables={"grace_wanted": 3}, timeout=20)
    until(lambda: not psutil.pid_exists(int(marker.read_text())), 5)


@runs
async def test_runs_on_one_target_never_overlap(begin: Any) -> None:
    """Also with what a Grace that was killed left running: it holds the lock until it has ended."""
    rig = begin(AnsibleRig)
    place = rig.folder / "ansible" / "thing"
    place.mkdir(parents=True)
    code = f"import fcntl, os, time; fd = os.open('{place}/lock', os.O_RDWR | os.O_CREAT); fcntl.flock(fd, 2)"
    code += "; print(1, flush=True); time.sleep(60)"
    other = await asyncio.create_subprocess_exec("python3", "-c", code, stdout=asyncio.subprocess.PIPE)
    assert other.stdout is not None
    await other.stdout.readline()
    with pytest.raises(Transient, match="earlier attempt"):
        await rig.driver().observe(rig.target(), rig.verb, rig.context())
    other.kill()
    await other.wait()
    assert await rig.driver().observe(rig.target(), rig.verb, rig.context()) == {"value": 2}


def write(rig: Any, name: str, tasks: str) -> None:
    (rig.plays / f"{name}.yml").write_text(TASKS + tasks)
