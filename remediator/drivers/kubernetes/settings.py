"""What the inventory says of one object of a cluster, and what can be done to each kind."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field, StringConstraints

from catalog.model import Frozen, Verb

# What Kubernetes allows in names: nothing in it can leave its place in a path.
Name = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$", max_length=253)]
Namespace = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]

COUNTED = frozenset({Verb.SCALE, Verb.START, Verb.STOP, Verb.PAUSE, Verb.RESUME})
"""Verbs that set the replicas of a workload."""


class Kind(StrEnum):
    DEPLOYMENT = "Deployment"
    STATEFUL_SET = "StatefulSet"
    DAEMON_SET = "DaemonSet"
    CRON_JOB = "CronJob"
    NODE = "Node"


@dataclass(frozen=True, slots=True)
class Manner:
    """Where objects of a kind live, and what may be asked of them."""

    path: str
    verbs: frozenset[Verb]
    switch: str = ""
    """The boolean of `spec` that pauses it; a workload is paused by taking its pods away."""


MANNERS: Mapping[Kind, Manner] = {
    Kind.DEPLOYMENT: Manner("/apis/apps/v1/namespaces/{namespace}/deployments/{name}", COUNTED | {Verb.RESTART}),
    Kind.STATEFUL_SET: Manner("/apis/apps/v1/namespaces/{namespace}/statefulsets/{name}", COUNTED | {Verb.RESTART}),
    Kind.DAEMON_SET: Manner("/apis/apps/v1/namespaces/{namespace}/daemonsets/{name}", frozenset({Verb.RESTART})),
    Kind.CRON_JOB: Manner(
        "/apis/batch/v1/namespaces/{namespace}/cronjobs/{name}", frozenset({Verb.PAUSE, Verb.RESUME}), "suspend"
    ),
    Kind.NODE: Manner("/api/v1/nodes/{name}", frozenset({Verb.PAUSE, Verb.RESUME}), "unschedulable"),
}


class KubernetesConfig(Frozen):
    kind: Kind = Kind.DEPLOYMENT
    name: Name
    namespace: Namespace = "default"
    """Of no account for a Node."""
    kubeconfig: Path | None = None
    """Absent: Grace runs in the cluster and uses its own service account."""
    context: str | None = Field(default=None, max_length=253)
    """Which context of the kubeconfig; its current one where absent."""

    @property
    def path(self) -> str:
        return MANNERS[self.kind].path.format(namespace=self.namespace, name=self.name)

    @property
    def attributes(self) -> dict[str, str]:
        """The object as a role names it: `group`, `resource`, `name`, and `namespace` where it is in one."""
        parts = MANNERS[self.kind].path.split("/")
        place = {"namespace": self.namespace} if "{namespace}" in parts else {}
        return {"group": parts[2] if parts[1] == "apis" else "", "resource": parts[-2], "name": self.name, **place}

    @property
    def verbs(self) -> frozenset[Verb]:
        return MANNERS[self.kind].verbs

    @property
    def autoscalers(self) -> str:
        return f"/apis/autoscaling/v2/namespaces/{self.namespace}/horizontalpodautoscalers"
