"""An engine of our own, and in it the images that `docker-compose.yml` names, made here of Debian's packages.

Only what stands behind the names differs: the project's Dockerfile is built as it is, on Debian's own Python.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from stack.packages import sources_of
from tests.contract.drivers.rigs.dockerd import CGROUPS
from tests.contract.drivers.rigs.packages import FOLDER, libraries, unpacked

ROOT = Path(__file__).parents[3]
COMPOSE = Path(sys.executable).parent / "docker-compose"
PACKAGES = ("docker.io", "containerd", "runc", "iptables", "tini", "debootstrap")
BASE = "grace-lab-base"
GET_PYTHON = """
apt-get -qq update
apt-get -y -qq install --no-install-recommends python3.11-venv busybox
ln -s /usr/bin/python3.11 /usr/local/bin/python
"""
POSTGRES_START = """#!/bin/sh
# What the official image's entry point does with these variables.
set -e
bin=$(echo /usr/lib/postgresql/*/bin)
data=/var/lib/postgresql/data
if [ ! -s $data/PG_VERSION ]; then
    $bin/initdb --pgdata=$data --username=$POSTGRES_USER --pwfile=$POSTGRES_PASSWORD_FILE $POSTGRES_INITDB_ARGS
    echo "host all all all scram-sha-256" >> $data/pg_hba.conf
    $bin/pg_ctl --pgdata=$data -o "-c listen_addresses=" -w start
    createdb --host=/var/run/postgresql --username=$POSTGRES_USER $POSTGRES_DB
    $bin/pg_ctl --pgdata=$data -w stop
fi
exec $bin/postgres -D $data -c "listen_addresses=*"
"""
_GET = """
RUN apt-get update -qq && cd /tmp && apt-get download -qq {package} && dpkg -x {package}_*.deb unpacked \\
    && cp -r unpacked/usr / && rm -r unpacked *.deb
"""
_WGET = "RUN ln -s /bin/busybox /usr/local/bin/wget\n"
STAND_INS: Mapping[str, str] = {
    "prom/prometheus": _GET.format(package="prometheus")
    + _WGET
    + "RUN install -d -o 65534 -g 65534 /prometheus\nUSER 65534:65534\nENTRYPOINT [\"/usr/bin/prometheus\"]\n",
    "prom/alertmanager": _GET.format(package="prometheus-alertmanager")
    + _WGET
    + "RUN install -d -o 65534 -g 65534 /alertmanager\nUSER 65534:65534\n"
    "ENTRYPOINT [\"/usr/bin/prometheus-alertmanager\"]\n",
    "haproxy": "RUN apt-get update -qq && apt-get install -y -qq --no-install-recommends haproxy\n" + _WGET,
    "postgres": "RUN groupadd -g 999 postgres && useradd -u 999 -g 999 postgres && mkdir -p /etc/postgresql-common"
    " && echo 'create_main_cluster = false' > /etc/postgresql-common/createcluster.conf"
    " && apt-get update -qq && apt-get install -y -qq --no-install-recommends postgresql\n"
    "COPY start.sh /start.sh\nRUN install -d -o 999 -g 999 /var/lib/postgresql/data\nUSER 999:999\n"
    'ENTRYPOINT ["/bin/sh", "/start.sh"]\n',
}  # fmt: skip
"""What stands in for each image: the lines after FROM. (There is no package of Grafana.)"""


def why_not() -> str:
    """Why this cannot be done here; empty where it can."""
    if os.geteuid() != 0:
        return "an engine needs root"
    needed = [name for name in ("unshare", "setpriv", "apt-get", "ip", "chroot") if shutil.which(name) is None]
    if needed:
        return f"this machine has no {', '.join(needed)}"
    return "" if os.access(CGROUPS, os.W_OK) else "an engine needs control groups"


@dataclass(frozen=True)
class Engine:
    """A running engine and its client."""

    folder: Path
    environment: Mapping[str, str]

    def docker(self, *argv: str, within: float = 900, stdin: Any = None) -> str:
        return _run(["docker", *argv], self.environment, within, stdin=stdin)


@contextmanager
def engine(folder: Path, *, isolated: bool) -> Iterator[Engine]:
    """An engine on this folder; `isolated` in a network of its own, with bridges and names, and no way out of it."""
    environment = _environment(folder)
    flags = ["--iptables=false", "--bridge=none"] if not isolated else []
    start = (
        f"mount -t proc proc /proc; ip link set lo up; exec dockerd --host unix://{folder}/docker.sock "
        f"--data-root {folder}/data --exec-root {folder}/exec --pidfile {folder}/dockerd.pid "
        f"--cgroup-parent {folder.name} --storage-driver=overlay2 --exec-opt native.cgroupdriver=cgroupfs "
        f"--userland-proxy=false --ip6tables=false {' '.join(flags)}"
    )
    with (folder / "log").open("ab") as log:
        child = subprocess.Popen(
            [
                "setpriv", "--pdeathsig", "KILL", "--",
                "unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", *(["--net"] if isolated else []), "--",
                "sh", "-c", start,
            ],
            env=environment, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        found = Engine(folder, environment)
        deadline = time.monotonic() + 60
        while not _answers(found):
            alive = child.poll() is None and time.monotonic() < deadline
            assert alive, (folder / "log").read_text()[-3000:]
            time.sleep(0.2)
        yield found
    finally:
        for path in (folder / "exec").rglob("*.pid"):
            path.unlink(missing_ok=True)
        os.killpg(child.pid, signal.SIGTERM)
        try:
            child.wait(15)
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait(15)
        (folder / "dockerd.pid").unlink(missing_ok=True)


def remove(folder: Path) -> None:
    """Everything of an engine that has ended."""
    shutil.rmtree(folder, ignore_errors=True)


def make_images(there: Engine, checkout: Path) -> None:
    """The base, the project's image by its own Dockerfile, and the stand-ins, under the names of the compose file."""
    with subprocess.Popen(["tar", "-C", _rootfs(), "-c", "."], stdout=subprocess.PIPE) as tar:
        there.docker("import", "-", BASE, stdin=tar.stdout)
    named = images(checkout)
    there.docker("tag", BASE, _python(checkout))
    there.docker("build", "--quiet", "--network=host", "--tag", named["grace"], str(checkout))
    for name, lines in STAND_INS.items():
        folder = there.folder / "images" / name.replace("/", "-")
        folder.mkdir(parents=True)
        (folder / "Dockerfile").write_text(f"FROM {BASE}\n{lines}")
        (folder / "start.sh").write_text(POSTGRES_START)
        there.docker("build", "--quiet", "--network=host", "--tag", named[name], str(folder))


def images(checkout: Path) -> dict[str, str]:
    """Every image of the compose file by its name without the tag."""
    done = _run([str(COMPOSE), "--profile", "*", "config", "--images"], dict(os.environ), 60, folder=checkout)
    return {line.rpartition(":")[0]: line for line in done.split()}


def _python(checkout: Path) -> str:
    first = next(line for line in (checkout / "Dockerfile").read_text().splitlines() if line.startswith("ARG"))
    return first.partition("=")[2]


def _rootfs() -> str:
    """A Debian with Python and busybox in a folder, made once and kept."""
    folder = Path(os.environ.get("GRACE_TOOLS") or FOLDER) / "rootfs"
    if (folder / ".made").exists():
        return str(folder)
    shutil.rmtree(folder, ignore_errors=True)
    (script,) = unpacked("debootstrap")
    environment = {
        **os.environ,
        "DEBOOTSTRAP_DIR": str(script / "usr/share/debootstrap"),
        "DEBIAN_FRONTEND": "noninteractive",
    }
    _run(
        [
            "sh",
            str(script / "usr/sbin/debootstrap"),
            "--variant=minbase",
            "--include=ca-certificates",
            "bookworm",
            str(folder),
            sources_of("bookworm").split()[2],  # the first mirror that this machine uses
        ],
        environment,
        600,
    )
    for file in ("/etc/resolv.conf", "/etc/ssl/certs/ca-certificates.crt"):
        shutil.copy(file, f"{folder}{file}")
    (folder / "etc/pip.conf").write_text("[global]\ncert = /etc/ssl/certs/ca-certificates.crt\n")
    _run(["chroot", str(folder), "sh", "-e", "-c", GET_PYTHON], environment, 600)
    (folder / ".made").touch()
    return str(folder)


def _environment(folder: Path) -> dict[str, str]:
    roots = unpacked(*PACKAGES)
    names = folder / "bin"
    names.mkdir(exist_ok=True)
    for root in roots:
        for name, program in (("iptables", "xtables-nft-multi"), ("docker-init", "tini-static")):
            for place in (root / "usr/sbin" / program, root / "usr/bin" / program):
                if place.is_file() and not (names / name).exists():
                    (names / name).symlink_to(place)
    search = [str(names), *(str(root / part) for root in roots for part in ("usr/sbin", "usr/bin"))]
    environment = libraries(*roots)
    extensions = [str(path) for root in roots for path in root.glob("usr/lib/*/xtables")]
    return {
        **environment,
        "PATH": os.pathsep.join([*search, "/usr/sbin", "/usr/bin", "/sbin", "/bin"]),
        "XTABLES_LIBDIR": ":".join(extensions),
        "DOCKER_HOST": f"unix://{folder}/docker.sock",
        "DOCKER_CONFIG": str(folder / "client"),
        "DOCKER_BUILDKIT": "0",
    }


def _answers(there: Engine) -> bool:
    return subprocess.run(["docker", "version"], env=dict(there.environment), capture_output=True).returncode == 0


def _run(
    argv: Sequence[str], environment: Mapping[str, str], within: float, *, folder: Path | None = None, stdin: Any = None
) -> str:
    done = subprocess.run(
        ["nice", "-n", "15", *argv], env=dict(environment), cwd=folder, stdin=stdin, capture_output=True, text=True,
        timeout=within, check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{' '.join(argv)}\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}"
    return done.stdout


class Stack:
    """The compose file of a checkout, on an engine, started in one of its ways."""

    def __init__(self, there: Engine, checkout: Path, *options: str) -> None:
        self._there = there
        self._checkout = checkout
        self._options = options

    def compose(self, *argv: str, within: float = 400) -> str:
        return _run([str(COMPOSE), *self._options, *argv], self._there.environment, within, folder=self._checkout)

    def up(self) -> None:
        """Everything there is an image for, healthy."""
        services = [name for name in yaml.safe_load(self.compose("config"))["services"] if name != "grafana"]
        try:
            self.compose("up", "--detach", "--wait", "--pull", "never", "--no-build", *services)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.compose('logs', '--tail', '10')}") from error

    def down(self) -> None:
        self.compose("down", "--volumes", "--timeout", "5")

    def grace(self, service: str, *argv: str, within: float = 300) -> str:
        """What the command line prints in this service's container."""
        return self.compose("exec", "-T", service, "grace", *argv, within=within)

    def python(self, service: str, script: str) -> str:
        return self.compose("exec", "-T", service, "python", "-c", script)

    def kill(self, service: str) -> None:
        self._there.docker("kill", self._id(service))

    def start(self, service: str) -> None:
        self._there.docker("start", self._id(service))

    def containers(self) -> dict[str, dict[str, Any]]:
        """What the engine says of every container, by service; those that ended too."""
        ids = self.compose("ps", "--all", "--quiet").split()
        found = json.loads(self._there.docker("inspect", *ids))
        return {each["Config"]["Labels"]["com.docker.compose.service"]: each for each in found}

    def _id(self, service: str) -> str:
        return self.compose("ps", "--all", "--quiet", service).strip()
