"""A real systemd as PID 1 of a small machine of our own: private processes, mounts, network and control groups.

Its root is an overlay over this machine's, whose changes lie in memory; its `/run` is a folder here, so that its bus
can be reached from outside. It ends with this process.
"""

from __future__ import annotations

import atexit
import os
import shutil
import signal
import subprocess
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil
import pytest

from tests.contract.drivers.rigs.base import until

CGROUPS = Path("/sys/fs/cgroup")
SYSTEMD = Path("/lib/systemd/systemd")


def _unified() -> Path | None:
    """Where the one hierarchy of version 2 is, on machines that have no other; None where there are those of version 1.

    `GRACE_CGROUPS=2` takes the hierarchy of version 2 that many machines have beside those of version 1: it has no
    controllers then, so that quotas cannot be tried.
    """
    if (CGROUPS / "cgroup.controllers").exists():
        return CGROUPS
    return CGROUPS / "unified" if os.environ.get("GRACE_CGROUPS") == "2" else None


UNIFIED = _unified()
START = r"""
set -eu
folder=$1; root=$folder/root
mount --make-rprivate /
mount -t tmpfs tmpfs "$folder/rw"
mkdir "$folder/rw/upper" "$folder/rw/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/rw/upper,workdir=$folder/rw/work" "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs tmpfs "$root/dev" -o mode=755
for name in null zero full random urandom tty; do
    touch "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts devpts "$root/dev/pts"
mount -t tmpfs tmpfs "$root/dev/shm"
ln -s /proc/self/fd "$root/dev/fd"
mount --bind "$folder/run" "$root/run"
mount -t tmpfs tmpfs "$root/tmp"
groups=$root/sys/fs/cgroup
if [ -n "$UNIFIED" ]; then
    mount -t cgroup2 cgroup2 "$groups"
else
    mount -t tmpfs tmpfs "$groups" -o mode=755
    for path in /sys/fs/cgroup/*/; do
        name=$(basename "$path")
        mkdir "$groups/$name"
        case $name in
            unified) mount -t cgroup2 cgroup2 "$groups/$name" ;;
            systemd) mount -t cgroup -o none,name=systemd cgroup "$groups/$name" ;;
            *) mount -t cgroup -o "$name" cgroup "$groups/$name" ;;
        esac
    done
fi
units=$root/etc/systemd/system
mkdir -p "$units"
for unit in \
    systemd-udevd.service systemd-udevd-kernel.socket systemd-udevd-control.socket systemd-udev-trigger.service \
    systemd-modules-load.service systemd-sysctl.service systemd-binfmt.service proc-sys-fs-binfmt_misc.automount \
    dev-hugepages.mount dev-mqueue.mount sys-kernel-debug.mount sys-kernel-tracing.mount sys-kernel-config.mount \
    sys-fs-fuse-connections.mount systemd-journald.service systemd-journald.socket systemd-journald-dev-log.socket \
    systemd-journald-audit.socket systemd-logind.service systemd-tmpfiles-setup.service \
    systemd-tmpfiles-setup-dev.service systemd-remount-fs.service systemd-firstboot.service getty.target swap.target
do ln -sf /dev/null "$units/$unit"; done
printf '[Unit]\nRequires=dbus.socket\nAfter=dbus.socket\n' > "$units/rig.target"
cd "$root"
mkdir -p .outside
pivot_root . .outside
umount -l /.outside
exec env -i container=docker PATH=/usr/bin:/usr/sbin:/bin:/sbin \
    /lib/systemd/systemd --unit=rig.target --log-target=console --show-status=no
"""


@dataclass(frozen=True, slots=True)
class Machine:
    folder: Path
    leader: int
    """Its PID 1, as it is called out here."""

    @property
    def bus(self) -> Path:
        """The system bus' socket."""
        return self.folder / "run" / "dbus" / "system_bus_socket"

    def systemctl(self, *argv: str, check: bool = True) -> str:
        """What its own tool prints: how tests look, without the driver."""
        return self.inside("systemctl", *argv, check=check)

    def inside(self, *argv: str, check: bool = True) -> str:
        """What a program prints that is run inside."""
        inside = ["nsenter", "--target", str(self.leader), "--all", *argv]
        done = subprocess.run(inside, capture_output=True, text=True, timeout=60)
        assert not check or done.returncode == 0, done.stderr
        return done.stdout

    def define(self, unit: str, text: str) -> None:
        """Write a unit file; systemd reads one that is new when it is first asked for it."""
        units = self.folder / "run" / "systemd" / "system"
        units.mkdir(parents=True, exist_ok=True)
        (units / unit).write_text(text)

    def end(self, unit: str) -> None:
        """Stop it at once (a template: all its instances)."""
        name, dot, kind = unit.rpartition(".")
        self.systemctl("kill", "--signal=KILL", f"{name}*{dot}{kind}", check=False)

    def _group(self, hierarchy: str, unit: str) -> Path | None:
        top = UNIFIED if UNIFIED is not None else CGROUPS / hierarchy
        return next((top / self.folder.name).rglob(unit), None)

    def pids(self, unit: str) -> list[int]:
        """Its processes, from the kernel, as they are called out here."""
        group = self._group("systemd", unit)
        return sorted(int(pid) for pid in (group / "cgroup.procs").read_text().split()) if group else []

    def quota(self, unit: str) -> float | None:
        """Percent of one processor that the kernel lets it have; None is without limit."""
        group = self._group("cpu", unit)
        if group is None:
            return None
        if UNIFIED is not None:
            most, period = (group / "cpu.max").read_text().split()
            return None if most == "max" else 100 * int(most) / int(period)
        quota = int((group / "cpu.cfs_quota_us").read_text())
        return None if quota < 0 else 100 * quota / int((group / "cpu.cfs_period_us").read_text())


def why_not() -> str:
    """Why no such machine can be started here; empty where one can."""
    if os.geteuid() != 0:
        return "a machine of our own needs root"
    needed = ("unshare", "nsenter", "pivot_root", "setpriv", "systemctl", "dbus-daemon")
    search = os.pathsep.join([os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])
    lacking = [name for name in needed if shutil.which(name, path=search) is None]
    if lacking or not SYSTEMD.exists():
        return f"a machine of our own needs {', '.join(lacking) or SYSTEMD}"
    top = UNIFIED if UNIFIED is not None else CGROUPS / "systemd"
    if not (top / "cgroup.procs").exists() or not os.access(top, os.W_OK):
        return f"a machine of our own needs control groups of its own below {top}"
    return ""


def has_quotas() -> bool:
    """Whether the kernel can limit a unit's share of a processor here."""
    if UNIFIED is None:
        return (CGROUPS / "cpu").exists()
    return "cpu" in (UNIFIED / "cgroup.controllers").read_text().split()


@cache
def machine() -> Machine:
    """One machine serves all tests of this process."""
    # Only root mounts a root of its own, and systemd needs control groups: neither can be had by asking.
    if reason := why_not():
        pytest.skip(reason)
    folder = Path(tempfile.mkdtemp(prefix="gd-pid1-"))
    folder.chmod(0o755)
    for name in ("rw", "root", "run"):
        (folder / name).mkdir()
    log = (folder / "log").open("wb")
    groups = _groups(folder.name)
    child = subprocess.Popen(
        [
            "setpriv", "--pdeathsig", "KILL", "--",
            "sh", "-c", 'for each in $GROUPS_OF_RIG; do echo $$ > "$each/cgroup.procs"; done; exec "$@"', "sh",
            "unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--net", "--cgroup", "--kill-child=KILL", "--",
            "sh", "-c", START, "sh", str(folder),
        ],
        stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True,
        env={"PATH": os.environ["PATH"] + ":/usr/sbin:/sbin", "GROUPS_OF_RIG": " ".join(map(str, groups)),
             "UNIFIED": str(UNIFIED or "")},
    )  # fmt: skip
    atexit.register(_end, child, folder)
    bus = folder / "run" / "dbus" / "system_bus_socket"
    until(lambda: bus.exists() or child.poll() is not None, 30)
    assert child.poll() is None, (folder / "log").read_text()[-2000:]
    (leader,) = psutil.Process(child.pid).children()
    return Machine(folder, leader.pid)


def _groups(name: str) -> list[Path]:
    """A control group of our own in each hierarchy; in the one of version 2, with every controller that there is."""
    if UNIFIED is not None:
        controllers = (UNIFIED / "cgroup.controllers").read_text().split()
        (UNIFIED / "cgroup.subtree_control").write_text(" ".join(f"+{each}" for each in controllers))
        (UNIFIED / name).mkdir()
        return [UNIFIED / name]
    made = []
    for hierarchy in sorted(path for path in CGROUPS.iterdir() if (path / "cgroup.procs").exists()):
        group = hierarchy / name
        group.mkdir()
        for needed in ("cpuset.cpus", "cpuset.mems"):
            if (hierarchy / needed).exists():
                (group / needed).write_text((hierarchy / needed).read_text())
        made.append(group)
    return made


def _end(child: subprocess.Popen[bytes], folder: Path) -> None:
    os.killpg(child.pid, signal.SIGKILL)  # the kernel ends all that is in its namespace
    child.wait(20)
    until(lambda: _without_groups(folder.name), 20)
    shutil.rmtree(folder, ignore_errors=True)


def _without_groups(name: str) -> bool:
    tops = [UNIFIED / name] if UNIFIED is not None else CGROUPS.glob(f"*/{name}")
    groups = [path for top in tops for path in (top, *top.rglob("*")) if path.is_dir()]
    for path in sorted(groups, reverse=True):
        try:
            path.rmdir()
        except OSError:
            return False
    return True
