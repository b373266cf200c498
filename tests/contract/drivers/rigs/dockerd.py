"""A real Docker engine of our own: private socket, data, processes, mounts and networks. It ends with this process."""

from __future__ import annotations

import atexit
import io
import os
import shutil
import signal
import subprocess
import tarfile
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from tests.contract.drivers.rigs.base import until
from tests.contract.drivers.rigs.packages import libraries, unpacked

IMAGE = "grace-rig:1"
CGROUPS = Path("/sys/fs/cgroup")
FLAGS = (
    "--iptables=false", "--ip6tables=false", "--ip-forward=false", "--ip-masq=false", "--bridge=none",
    "--userland-proxy=false", "--exec-opt", "native.cgroupdriver=cgroupfs",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Dockerd:
    """A running engine. `run` starts a container of the machine's own programs."""

    folder: Path
    programs: Mapping[str, str]
    """The environment in which its client is found."""
    parent: str
    """Name of the control group that holds its containers."""

    @property
    def url(self) -> str:
        return f"unix://{self.folder}/docker.sock"

    def client(self, *argv: str, program: str = "docker") -> str:
        """What the engine's own client prints: how tests look, without the driver."""
        environment = {**self.programs, "DOCKER_HOST": self.url}
        done = subprocess.run([program, *argv], env=environment, capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def run(self, name: str, *options: str, command: str = 'trap "exit 0" TERM; sleep 3600 & wait') -> str:
        """The id of a new container."""
        shared = ("-v", "/usr:/usr:ro", "-v", "/etc/ld.so.cache:/etc/ld.so.cache:ro")
        if "--network" not in options:
            shared = (*shared, "--network", "host")
        argv = ("--pull", "never", "--name", name, *shared, *options, IMAGE, "/bin/sh", "-c", command)
        return self.client("run", "--detach", *argv).strip()

    def remove(self, label: str) -> None:
        """Everything that carries this label."""
        ids = self.client("ps", "--all", "--quiet", "--filter", f"label={label}").split()
        if ids:
            self.client("rm", "--force", "--volumes", *ids)

    def quota(self, container: str) -> float | None:
        """Processors that the kernel lets it have; None is without limit."""
        for file in (CGROUPS / "cpu" / self.parent / container / "cpu.cfs_quota_us",):
            if file.exists():
                quota = int(file.read_text())
                return None if quota < 0 else quota / int(file.with_name("cpu.cfs_period_us").read_text())
        quota_text, period = (CGROUPS / self.parent / container / "cpu.max").read_text().split()
        return None if quota_text == "max" else int(quota_text) / int(period)


def why_not() -> str:
    """Why no engine can be started here; empty where one can."""
    if os.geteuid() != 0:
        return "an engine needs root"
    if shutil.which("unshare") is None or shutil.which("apt-get") is None:
        return "an engine needs unshare, and apt-get to get it"
    if not os.access(CGROUPS, os.W_OK) or not (any(CGROUPS.glob("*/tasks")) or (CGROUPS / "cgroup.procs").exists()):
        return "an engine needs control groups"
    return ""


@cache
def engine() -> Dockerd:
    """One engine serves all tests of this process."""
    # Without root or control groups no engine starts at all, whoever asks; the drivers' unit tests still run.
    if reason := why_not():
        pytest.skip(reason)
    roots = unpacked("docker.io", "containerd", "runc")
    search = [str(folder) for root in roots for folder in (root / "usr/bin", root / "usr/sbin") if folder.is_dir()]
    environment = libraries(*roots)
    environment["PATH"] = os.pathsep.join([*search, "/usr/sbin", "/usr/bin", "/sbin", "/bin"])
    environment.pop("DOCKER_HOST", None)
    folder = Path(tempfile.mkdtemp(prefix="gd-docker-"))
    folder.chmod(0o755)
    environment["DOCKER_CONFIG"] = str(folder / "client")
    parent = folder.name
    found = Dockerd(folder, environment, parent)
    log = (folder / "log").open("wb")
    # In namespaces of its own, so that whatever it mounts and starts is gone when it is; it dies with this process.
    child = subprocess.Popen(
        [
            "setpriv", "--pdeathsig", "KILL", "--",
            "unshare", "--mount", "--pid", "--net", "--fork", "--mount-proc", "--kill-child=KILL", "--",
            "dockerd", "--host", found.url, "--data-root", f"{folder}/data", "--exec-root", f"{folder}/exec",
            "--pidfile", f"{folder}/dockerd.pid", "--cgroup-parent", parent, *FLAGS,
        ],
        env=environment, stdout=log, stderr=log, start_new_session=True,
    )  # fmt: skip
    atexit.register(_end, child, folder, parent)
    until(lambda: child.poll() is not None or _answers(found), 30)
    assert child.poll() is None, (folder / "log").read_text()[-2000:]
    _import_image(found)
    return found


def _answers(found: Dockerd) -> bool:
    asked = subprocess.run(["docker", "--host", found.url, "version"], env=found.programs, capture_output=True)
    return asked.returncode == 0


def _import_image(found: Dockerd) -> None:
    """Empty folders and links: the programs are the machine's own, mounted when a container is run."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for name in ("usr", "etc", "tmp", "proc", "sys", "dev", "run", "var"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.mode = tarfile.DIRTYPE, 0o755
            tar.addfile(entry)
        for name in ("bin", "sbin", "lib", "lib64"):
            entry = tarfile.TarInfo(name)
            entry.type, entry.linkname = tarfile.SYMTYPE, f"usr/{name}"
            tar.addfile(entry)
    argv = ["docker", "--host", found.url, "import", "-", IMAGE]
    subprocess.run(argv, env=found.programs, input=made.getvalue(), check=True, capture_output=True)


def _end(child: subprocess.Popen[bytes], folder: Path, parent: str) -> None:
    os.killpg(child.pid, signal.SIGKILL)  # the kernel ends all that is in its namespace
    child.wait(20)
    until(lambda: _without_groups(parent), 20)
    shutil.rmtree(folder, ignore_errors=True)


def _without_groups(parent: str) -> bool:
    """Whether the control groups of the engine are gone; they can be removed once the last process is."""
    tops = [CGROUPS / parent, *(one / parent for one in CGROUPS.iterdir() if one.is_dir())]
    groups = [path for top in tops if top.is_dir() for path in (top, *top.rglob("*")) if path.is_dir()]
    for path in sorted(groups, reverse=True):
        try:
            path.rmdir()
        except OSError:
            return False
    return True
