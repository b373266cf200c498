"""The rigs by name, each begun anew for every test."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import aiohttp
import pytest

from tests.contract.drivers.rigs.ansible import (
    AnsiblePauseRig,
    AnsibleRestartRig,
    AnsibleRig,
    AnsibleRunRig,
    AnsibleThrottleRig,
)
from tests.contract.drivers.rigs.base import Rig, short_folder
from tests.contract.drivers.rigs.celery import (
    CeleryFoldersPauseRig,
    CeleryFoldersRig,
    CeleryFoldersThrottleRig,
    CeleryPauseRig,
    CeleryRestartRig,
    CeleryRig,
    CeleryThrottleRig,
)
from tests.contract.drivers.rigs.compose import (
    ComposePauseRig,
    ComposeRestartRig,
    ComposeRig,
    ComposeStartRig,
    ComposeStopRig,
    ComposeThrottleRig,
)
from tests.contract.drivers.rigs.docker import (
    DockerPauseRig,
    DockerRestartRig,
    DockerRig,
    DockerStartRig,
    DockerStopRig,
    DockerThrottleRig,
)
from tests.contract.drivers.rigs.gunicorn import (
    GunicornRestartRig,
    GunicornRig,
    GunicornSignalsRestartRig,
    GunicornSignalsRig,
)
from tests.contract.drivers.rigs.haproxy import HAProxyRig
from tests.contract.drivers.rigs.http import HttpPauseRig, HttpRestartRig, HttpRig, HttpRunRig, HttpThrottleRig
from tests.contract.drivers.rigs.kubernetes import (
    KubernetesCronRig,
    KubernetesDaemonRestartRig,
    KubernetesNodeRig,
    KubernetesPauseRig,
    KubernetesRestartRig,
    KubernetesRig,
    KubernetesStartRig,
    KubernetesStopRig,
)
from tests.contract.drivers.rigs.local import (
    CeilingRig,
    CommandRig,
    FilesRig,
    GovernanceRig,
    NotifyRig,
    PostmortemRig,
    SupervisedRig,
)
from tests.contract.drivers.rigs.postgres import PostgresPauseRig, PostgresRig
from tests.contract.drivers.rigs.process import ProcessRestartRig, ProcessRig, ProcessStartRig, ProcessStopRig
from tests.contract.drivers.rigs.sql import SqlitePauseRig, SqliteRig
from tests.contract.drivers.rigs.systemd import (
    SystemdRestartRig,
    SystemdRig,
    SystemdStartRig,
    SystemdStopRig,
    SystemdThrottleRig,
)

RIGS: Mapping[str, type[Rig]] = {
    "haproxy-shift": HAProxyRig,
    "gunicorn-scale": GunicornRig,
    "gunicorn-restart": GunicornRestartRig,
    "gunicorn-signals-scale": GunicornSignalsRig,
    "gunicorn-signals-restart": GunicornSignalsRestartRig,
    "process-scale": ProcessRig,
    "process-restart": ProcessRestartRig,
    "process-start": ProcessStartRig,
    "process-stop": ProcessStopRig,
    "sqlite-throttle": SqliteRig,
    "sqlite-pause": SqlitePauseRig,
    "postgres-throttle": PostgresRig,
    "postgres-pause": PostgresPauseRig,
    "http-scale": HttpRig,
    "http-throttle": HttpThrottleRig,
    "http-pause": HttpPauseRig,
    "http-restart": HttpRestartRig,
    "http-run": HttpRunRig,
    "celery-scale": CeleryRig,
    "celery-restart": CeleryRestartRig,
    "celery-throttle": CeleryThrottleRig,
    "celery-pause": CeleryPauseRig,
    "celery-folders-scale": CeleryFoldersRig,
    "celery-folders-throttle": CeleryFoldersThrottleRig,
    "celery-folders-pause": CeleryFoldersPauseRig,
    "docker-scale": DockerRig,
    "docker-restart": DockerRestartRig,
    "docker-pause": DockerPauseRig,
    "docker-throttle": DockerThrottleRig,
    "docker-start": DockerStartRig,
    "docker-stop": DockerStopRig,
    "compose-scale": ComposeRig,
    "compose-restart": ComposeRestartRig,
    "compose-pause": ComposePauseRig,
    "compose-throttle": ComposeThrottleRig,
    "compose-start": ComposeStartRig,
    "compose-stop": ComposeStopRig,
    "systemd-scale": SystemdRig,
    "systemd-restart": SystemdRestartRig,
    "systemd-throttle": SystemdThrottleRig,
    "systemd-start": SystemdStartRig,
    "systemd-stop": SystemdStopRig,
    "kubernetes-scale": KubernetesRig,
    "kubernetes-start": KubernetesStartRig,
    "kubernetes-stop": KubernetesStopRig,
    "kubernetes-pause": KubernetesPauseRig,
    "kubernetes-restart": KubernetesRestartRig,
    "kubernetes-daemons-restart": KubernetesDaemonRestartRig,
    "kubernetes-cron-pause": KubernetesCronRig,
    "kubernetes-node-pause": KubernetesNodeRig,
    "ansible-scale": AnsibleRig,
    "ansible-throttle": AnsibleThrottleRig,
    "ansible-pause": AnsiblePauseRig,
    "ansible-restart": AnsibleRestartRig,
    "ansible-run": AnsibleRunRig,
    "command-run": CommandRig,
    "files-reclaim": FilesRig,
    "governance-strictness": GovernanceRig,
    "governance-ceiling": CeilingRig,
    "governance-supervised": SupervisedRig,
    "postmortem-report": PostmortemRig,
    "notify": NotifyRig,
}


@pytest.fixture(
    params=[pytest.param(kind, id=name, marks=[pytest.mark.prove] if kind.slow else []) for name, kind in RIGS.items()]
)
async def rig(request: pytest.FixtureRequest, haproxy_binary: Path) -> AsyncIterator[Rig]:
    with short_folder() as folder:
        async with aiohttp.ClientSession() as http:
            made = request.param(folder, http, {"haproxy": haproxy_binary})
            try:
                made.start()
                made.started_at = time.time()  # whatever runs by now is older than the plan
                yield made
            finally:
                made.close()
