"""One run of one playbook, in a process group of its own, and what its events tell."""

from __future__ import annotations

import asyncio
import fcntl
import json
import os
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from remediator.drivers.ansible.settings import AnsibleConfig
from remediator.drivers.command.job import Job, Limits
from remediator.drivers.redactor import Redactor
from remediator.errors import Permanent, Refused, Transient

_INHERITED = ("PATH", "HOME", "USER", "LANG", "LC_ALL", "TZ")
_OUTPUT_LIMIT = 1024 * 1024
_EVENT_LIMIT = 1024 * 1024
_MARK = "GRACE_ANSIBLE_RUN"
_FORBIDDEN = ("permission denied", "password is required", "missing sudo password", "incorrect sudo password")


@dataclass(frozen=True, slots=True)
class Told:
    """What a run said in the end."""

    changed: int
    """Tasks that changed something, over all hosts."""
    value: object
    """What `set_stats` told as `grace_value`; None where it told nothing."""
    report: object = None
    """What it told as `grace_report`."""


class Runner:
    """Runs playbooks of one target, one at a time: also those of an attempt that was cut off are waited for."""

    def __init__(self, config: AnsibleConfig, place: Path, redactor: Callable[[], Redactor]) -> None:
        self._config = config
        self._place = place
        self._redactor = redactor

    async def run(self, file: str, *, check: bool, variables: Mapping[str, Any], timeout: float) -> Told:
        """Run it to its end. Raises Refused, Transient (a host cannot be reached) or Permanent (a task failed)."""
        if find_spec("ansible_runner") is None or find_spec("ansible") is None:
            raise Permanent("Ansible is not installed; install grace[ansible]")
        self._must_be_readable(file)
        with self._alone() as lock, tempfile.TemporaryDirectory(prefix="run-", dir=self._place) as name:
            private = Path(name)
            self._furnish(private, check, variables)
            log = self._place / "last.log"
            mark = f"{_MARK}={private}"
            job = Job(
                argv=(sys.executable, "-m", "ansible_runner", "run", str(private), "-p", file, "--ident", "grace"),
                env=self._environment() | {_MARK: str(private)},
                cwd=private,
                timeout=timeout,
                output_limit=_OUTPUT_LIMIT,
                user=None,
                limits=Limits(),
                redactor=self._redactor,
            )
            try:
                code = await job.run(log, lock)
            except TimeoutError as error:
                _end_all(mark)
                raise Permanent(f"{file} did not end within {timeout:g} s and was killed; see {log}") from error
            except asyncio.CancelledError:
                _end_all(mark)
                raise
            return _told(private / "artifacts" / "grace" / "job_events", code, file, log)

    def _must_be_readable(self, file: str) -> None:
        for path in (self._config.folder / file, self._config.hosts):
            try:
                found = path.exists()
            except PermissionError:
                found = True
            if not found:
                raise Permanent(f"there is no {path}: correct the inventory")
            if not os.access(path, os.R_OK, effective_ids=True):
                raise Refused(f"may not read {path}", reason="permission")

    @contextmanager
    def _alone(self) -> Iterator[int]:
        """A lock that the job inherits: it is held as long as anything of an earlier attempt runs."""
        try:
            self._place.mkdir(parents=True, exist_ok=True, mode=0o700)
            lock = os.open(self._place / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except PermissionError as error:
            raise Refused(f"may not write {self._place}", reason="permission") from error
        except OSError as error:
            raise Transient(f"{self._place} cannot be written: {error.strerror}") from error
        try:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise Transient(f"a run of an earlier attempt has not ended: {self._place}/lock is held") from error
            yield lock
        finally:
            os.close(lock)

    def _furnish(self, private: Path, check: bool, variables: Mapping[str, Any]) -> None:
        """The folder that ansible-runner expects."""
        (private / "project").symlink_to(self._config.folder)
        (private / "inventory").symlink_to(self._config.hosts)
        (private / "env").mkdir()
        (private / "env" / "extravars").write_text(json.dumps(dict(variables)), encoding="utf-8")
        if check:
            (private / "env" / "cmdline").write_text("--check", encoding="utf-8")

    def _environment(self) -> dict[str, str]:
        inherited = {key: os.environ[key] for key in _INHERITED if key in os.environ}
        beside = str(Path(sys.executable).parent)
        path = os.pathsep.join([beside, inherited.get("PATH", os.defpath)])
        # Ansible refuses to run in a locale that is not UTF-8.
        return {"LC_ALL": "C.UTF-8"} | inherited | {"PATH": path} | dict(self._config.env)


def _end_all(mark: str) -> None:
    """Kill whatever carries this mark in its environment: Ansible puts its workers in sessions of their own, so that
    ending the runner's process group leaves them, and the tasks they are at, behind."""
    needle = mark.encode()
    while left := [pid for pid in _pids() if needle in _environ_of(pid)]:
        for pid in left:
            with suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit() and int(name) != os.getpid()]


def _environ_of(pid: int) -> list[bytes]:
    """Empty for a process that is gone, dead, or somebody else's."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _told(events: Path, code: int, file: str, log: Path) -> Told:
    said = list(_events(events))
    unreachable = [event for event in said if event.get("event") == "runner_on_unreachable"]
    failed = [event for event in said if event.get("event") == "runner_on_failed" and not _ignored(event)]
    if any(word in json.dumps(event).lower() for event in unreachable + failed for word in _FORBIDDEN):
        raise Refused(f"{file}: a host does not allow it; see {log}", reason="permission")
    if unreachable:
        raise Transient(f"{file}: a host cannot be reached; see {log}")
    if code != 0:
        raise Permanent(f"{file} failed ({'a task' if failed else f'exit code {code}'}); see {log}")
    stats = next((event["event_data"] for event in said if event.get("event") == "playbook_on_stats"), None)
    if not isinstance(stats, dict):
        raise Permanent(f"{file} ended without telling how; see {log}")
    changed, told = stats.get("changed"), stats.get("artifact_data")
    count = sum(changed.values()) if isinstance(changed, dict) else 0
    found = told if isinstance(told, dict) else {}
    return Told(count, found.get("grace_value"), found.get("grace_report"))


def _ignored(event: Mapping[str, Any]) -> bool:
    return bool((event.get("event_data") or {}).get("ignore_errors"))


def _events(folder: Path) -> Iterator[dict[str, Any]]:
    for file in sorted(folder.glob("*.json"), key=lambda path: int(path.name.partition("-")[0])):
        if file.stat().st_size > _EVENT_LIMIT:
            continue
        event = json.loads(file.read_text(encoding="utf-8"))
        if isinstance(event, dict):
            yield event
