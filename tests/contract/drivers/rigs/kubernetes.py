"""Objects of a cluster, behind the strict API server of `cluster`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from catalog.inventory import Target
from catalog.model import Verb
from tests.contract.drivers.rigs.base import Rig
from tests.contract.drivers.rigs.cluster import FakeCluster


class KubernetesRig(Rig):
    kind = "kubernetes"
    verb = Verb.SCALE
    args: Mapping[str, Any] = {"by": 1}
    expected: Any = 3
    replicas = 2
    plural = "deployments"
    object_kind = "Deployment"

    def start(self) -> None:
        self.cluster = self.stack.enter_context(FakeCluster())
        self.furnish()
        self.file = self.kubeconfig(self.cluster, self.cluster.token)
        self.before = [pod["revision"] for pod in self.cluster.pods.get("api", [])]

    def furnish(self) -> None:
        self.cluster.deploy(self.plural, "api", self.replicas)

    def kubeconfig(self, cluster: FakeCluster, token: str) -> str:
        body = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{cluster.port}"}}],
            "users": [{"name": "grace", "user": {"token": token}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "grace"}}],
        }
        file = self.folder / f"kubeconfig-{cluster.port}"
        file.write_text(yaml.safe_dump(body))
        return str(file)

    def config(self) -> Mapping[str, Any]:
        return {
            "kubeconfig": self.file,
            "namespace": self.cluster.namespace,
            "kind": self.object_kind,
            "name": "api",
        }

    def effect(self) -> Any:
        """Pods that are ready."""
        return sum(pod["ready"] for pod in self.cluster.pods["api"])

    def hanging(self) -> Target:
        other = self.stack.enter_context(FakeCluster(silent=True))
        return self.target(kubeconfig=self.kubeconfig(other, "x")).model_copy(update={"step_timeout": 1.0})

    def garbled(self) -> Target:
        other = self.stack.enter_context(FakeCluster(garbled=b'{"kind": "Deployment", "spec": ["\xff'))
        return self.target(kubeconfig=self.kubeconfig(other, "x"))

    def forbid(self) -> None:
        self.cluster.rules = {f"get {self.plural}", f"get {self.plural}/scale", "list horizontalpodautoscalers"}


class KubernetesStartRig(KubernetesRig):
    verb = Verb.START
    args: Mapping[str, Any] = {}
    replicas = 0
    expected: Any = 4


class KubernetesStopRig(KubernetesRig):
    verb = Verb.STOP
    args: Mapping[str, Any] = {}
    expected: Any = 0


class KubernetesPauseRig(KubernetesRig):
    verb = Verb.PAUSE
    args: Mapping[str, Any] = {}
    plural = "statefulsets"
    object_kind = "StatefulSet"
    expected: Any = 0


class KubernetesRestartRig(KubernetesRig):
    verb = Verb.RESTART
    args: Mapping[str, Any] = {}

    @staticmethod
    def expected(before: Any) -> Any:
        return [True] * len(before)

    def effect(self) -> Any:
        """Per pod: is it a new one, and ready?"""
        return [pod["revision"] not in self.before and pod["ready"] for pod in self.cluster.pods["api"]]


class KubernetesDaemonRestartRig(KubernetesRestartRig):
    plural = "daemonsets"
    object_kind = "DaemonSet"
    replicas = 3


class KubernetesCronRig(KubernetesRig):
    verb = Verb.PAUSE
    args: Mapping[str, Any] = {}
    plural = "cronjobs"
    object_kind = "CronJob"
    expected: Any = True
    switch = "suspend"

    def furnish(self) -> None:
        # The real one leaves a switch that is off out.
        self.cluster.add(self.plural, "api", {})

    def effect(self) -> Any:
        return self.cluster.objects[self.plural, "api"]["spec"].get(self.switch, False)


class KubernetesNodeRig(KubernetesCronRig):
    plural = "nodes"
    object_kind = "Node"
    switch = "unschedulable"
