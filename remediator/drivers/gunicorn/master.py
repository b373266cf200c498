"""One gunicorn master as the kernel shows it: is it really the one, and which of its children are workers."""

from __future__ import annotations

import os
import re
import time
from pathlib import Path
from signal import Signals

import psutil

from remediator.drivers.births import Birth, birth
from remediator.errors import Permanent, Refused, Transient

_TITLE = re.compile(r"gunicorn: (?P<role>\S+)(?: \[(?P<name>[^\]]*)\])?")
# Seconds by which a pidfile may seem older than its process: file systems round, clocks are set.
_CLOCK_SLACK = 5.0
_HEARTBEAT_FILE = "wgunicorn-"
# Seconds that a worker is given to boot where its heartbeat cannot be read.
_BLIND_BOOT = 3.0


class Master:
    """A verified master process. `find` is the only way to one."""

    def __init__(self, name: str, process: psutil.Process, command: list[str]) -> None:
        self.name = name
        self._process = process
        self._command = command

    @property
    def pid(self) -> int:
        return self._process.pid

    @classmethod
    def find(cls, name: str, pidfile: Path, proc_name: str | None) -> Master:
        """The master whose pid stands in `pidfile`.

        Raises Transient when it is not running now, Permanent when the pid belongs to something else: pids are
        reused, and a signal to a stranger is worse than none.
        """
        pid, written = _read(name, pidfile)
        try:
            process = psutil.Process(pid)
            command, born = process.cmdline(), birth(pid)
        except psutil.Error as error:
            raise Transient(f"gunicorn {name} is not running: no process has the pid in {pidfile}") from error
        if born is None or not command:
            raise Transient(f"gunicorn {name} is not running: process {pid} has just ended")
        if Path(f"{pidfile}.2").exists():
            raise Transient(f"gunicorn {name} is being upgraded (USR2): wait until {pidfile}.2 is gone")
        if not _is_gunicorn(command):
            raise Permanent(f"{pidfile} names process {pid}, which is not gunicorn: the file is stale")
        if born.at > written + _CLOCK_SLACK:
            raise Permanent(f"{pidfile} is older than process {pid} that it names: the pid was used again")
        title = _TITLE.match(command[0])
        if title is not None and title["role"] != "master":
            raise Permanent(f"{pidfile} names process {pid}, a gunicorn {title['role']}, not a master")
        if proc_name is not None and _name_of(command) != proc_name:
            raise Permanent(f"{pidfile} names process {pid}, a gunicorn that is not called {proc_name!r}")
        return cls(name, process, command)

    def workers(self) -> tuple[Birth, ...]:
        """Living workers, the oldest first. Zombies and gunicorn's other helper processes do not count."""
        try:
            children = self._process.children()
        except psutil.Error as error:
            raise Transient(f"gunicorn {self.name} (pid {self.pid}) went away") from error
        found = [worker for child in children if (worker := _worker(child, self._command)) is not None]
        return tuple(sorted(found, key=lambda worker: (worker.ticks, worker.pid)))

    def serves(self, worker: Birth) -> bool:
        """Has this worker entered its loop? It beats from then on; before, its heartbeat file bears the wall clock.

        gunicorn's own `booted` is set in the worker and never reaches the master (27.0), so it cannot be asked.
        """
        try:
            for entry in Path(f"/proc/{worker.pid}/fd").iterdir():
                if os.path.basename(os.readlink(entry)).startswith(_HEARTBEAT_FILE):
                    return entry.stat().st_mtime <= time.monotonic()
        except PermissionError:
            return time.time() - worker.at >= _BLIND_BOOT
        except OSError:
            return False  # it ended while being looked at
        return False

    def check_rights(self) -> None:
        """Raises Refused where this process may not signal it."""
        try:
            os.kill(self.pid, 0)
        except PermissionError as error:
            raise self._forbidden() from error

    def signal(self, number: Signals) -> None:
        """Send a signal to the master, if it still is the process that was verified."""
        try:
            self._process.send_signal(number)  # psutil makes sure that the pid was not used again
        except psutil.AccessDenied as error:
            raise self._forbidden() from error
        except psutil.NoSuchProcess as error:
            raise Transient(f"gunicorn {self.name} (pid {self.pid}) went away") from error

    def signal_worker(self, worker: Birth, number: Signals) -> None:
        """Send a signal to a worker if it still is that one; a worker that is gone is no error."""
        try:
            process = psutil.Process(worker.pid)
            if birth(worker.pid) == worker and process.ppid() == self.pid:
                process.send_signal(number)
        except psutil.AccessDenied as error:
            raise self._forbidden() from error
        except psutil.NoSuchProcess:
            return

    def _forbidden(self) -> Refused:
        return Refused(f"may not signal gunicorn {self.name}: run Grace as the same user", reason="permission")


def _read(name: str, pidfile: Path) -> tuple[int, float]:
    """The pid in the file and when it was written."""
    try:
        return int(pidfile.read_text(encoding="ascii").strip()), pidfile.stat().st_mtime
    except PermissionError as error:
        raise Refused(f"may not read {pidfile}: run Grace as gunicorn's user", reason="permission") from error
    except OSError as error:
        raise Transient(f"gunicorn {name} is not running: {pidfile}: {error.strerror or error}") from error
    except ValueError as error:
        raise Permanent(f"{pidfile} holds no pid") from error


def _worker(child: psutil.Process, master_command: list[str]) -> Birth | None:
    try:
        if child.status() == psutil.STATUS_ZOMBIE:
            return None
        command = child.cmdline()
    except psutil.NoSuchProcess:
        return None
    title = _TITLE.match(command[0]) if command else None
    # With setproctitle the role is in the title; without, a forked worker has its master's very command line,
    # which a helper that was exec'ed (a resource tracker, a shell) has not.
    is_worker = title["role"] == "worker" if title is not None else command == master_command
    return birth(child.pid) if is_worker else None


def _is_gunicorn(command: list[str]) -> bool:
    """`gunicorn …`, `/path/python /path/gunicorn …`, `python -m gunicorn …`, `gunicorn: master [name]`."""
    return _TITLE.match(command[0]) is not None or "gunicorn" in [os.path.basename(part) for part in command[:4]]


def _name_of(command: list[str]) -> str | None:
    title = _TITLE.match(command[0])
    if title is not None:
        return title["name"]
    for index, part in enumerate(command[:-1]):
        if part in ("-n", "--name"):
            return command[index + 1]
    return next((part.removeprefix("--name=") for part in command if part.startswith("--name=")), None)
