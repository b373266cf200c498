"""Ready pods, told by an API server that refuses what the real one refuses."""

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from catalog.load import load_catalog
from exporter.collectors.base import CollectError, Setting
from exporter.collectors.kubernetes import MAX_ANSWER, KubernetesCollector, KubernetesConfig, ready_share
from tests.contract.drivers.rigs.cluster import FakeCluster
from tests.integration.exporter.conftest import until


@pytest.fixture
def cluster() -> Iterator[FakeCluster]:
    with FakeCluster() as found:
        yield found


class Watch:
    def __init__(self, folder: Path, cluster: FakeCluster, *workloads: dict[str, Any]) -> None:
        self.file = folder / "kubeconfig"
        self.cluster = cluster
        self.log_in(cluster.token)
        (folder / "catalog.yaml").write_text("metrics: [{id: infra.pod_ready_ratio, enabled: true}]\n")
        catalog = load_catalog([folder / "catalog.yaml"])
        written = {"name": "pods", "collector": "kubernetes", "namespace": cluster.namespace, "kubeconfig": self.file}
        config = KubernetesConfig.model_validate(
            {**written, "metric_ids": ["infra.pod_ready_ratio"], "workloads": workloads}
        )
        assert not list(config.faults(catalog))
        self.collector = KubernetesCollector(config, Setting(catalog, 15.0))

    def log_in(self, token: str) -> None:
        written = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{self.cluster.port}"}}],
            "users": [{"name": "grace", "user": {"token": token}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "grace"}}],
        }
        self.file.write_text(json.dumps(written))

    async def share(self, index: int = 0) -> dict[str, float]:
        reading = await self.collector.probes[index].collect()
        return {dict(each.labels)["resource"]: each.value for family in reading.families for each in family.samples}


async def test_ready_pods_of_every_kind_of_workload(cluster: FakeCluster, tmp_path: Path) -> None:
    kinds = (("deployments", "Deployment"), ("statefulsets", "StatefulSet"), ("daemonsets", "DaemonSet"))
    for plural, name in kinds:
        cluster.deploy(plural, name.lower(), 4)
    cluster.stuck = True
    cluster.pods["statefulset"][0]["ready"] = False
    until(lambda: cluster.objects["statefulsets", "statefulset"]["status"]["readyReplicas"] == 3)
    watch = Watch(tmp_path, cluster, *({"kind": name, "name": name.lower()} for _, name in kinds))
    shares = [await watch.share(index) for index in range(3)]
    assert shares == [{"deployment": 1.0}, {"statefulset": 0.75}, {"daemonset": 1.0}]
    await watch.collector.close()
    assert {method for method, _ in cluster.asked} == {"GET"}


async def test_it_needs_no_right_but_to_get(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.deploy("deployments", "api", 2)
    cluster.rules = {"get deployments"}
    watch = Watch(tmp_path, cluster, {"name": "api", "resource": "shop"})
    assert await watch.share() == {"shop": 1.0}
    cluster.rules = set()
    with pytest.raises(CollectError, match="with 403"):
        await watch.share()
    await watch.collector.close()


async def test_a_late_refusal_leaves_the_client_that_another_probe_has_made(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    cluster.deploy("deployments", "api", 2)
    watch = Watch(tmp_path, cluster, {"name": "api"})
    cluster.token = "another"
    late, going = asyncio.Event(), asyncio.Event()
    old = await watch.collector._connected()
    ask = old.call_api

    async def refused_late(*args: Any, **given: Any) -> Any:
        answer = await ask(*args, **given)
        going.set()
        await late.wait()
        return answer

    old.call_api = refused_late
    first = asyncio.create_task(watch.share())
    await going.wait()
    old.call_api = ask
    with pytest.raises(CollectError, match="with 401"):
        await watch.share()
    watch.log_in("another")
    assert await watch.share() == {"api": 1.0}
    new = watch.collector._client
    late.set()
    with pytest.raises(CollectError):
        await first
    assert watch.collector._client is new
    await watch.collector.close()


async def test_new_credentials_count_after_a_refusal(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.deploy("deployments", "api", 2)
    watch = Watch(tmp_path, cluster, {"name": "api"}, {"name": "absent"})
    with pytest.raises(CollectError, match="with 404"):
        await watch.share(1)
    cluster.token = "another"
    with pytest.raises(CollectError, match="with 401") as refused:
        await watch.share()
    assert "let-me-in" not in str(refused.value)
    watch.log_in("another")
    assert await watch.share() == {"api": 1.0}
    await watch.collector.close()


async def test_an_answer_that_is_too_long_is_told_as_such(cluster: FakeCluster, tmp_path: Path) -> None:
    cluster.deploy("deployments", "api", 2)
    cluster.objects["deployments", "api"]["metadata"]["annotations"] = {"note": "x" * MAX_ANSWER}
    watch = Watch(tmp_path, cluster, {"name": "api"})
    with pytest.raises(CollectError, match="deployments/api with more than 4096 KiB"):
        await watch.share()
    await watch.collector.close()


async def test_without_a_kubeconfig_there_are_no_credentials(cluster: FakeCluster, tmp_path: Path) -> None:
    watch = Watch(tmp_path, cluster, {"name": "api"})
    watch.file.unlink()
    with pytest.raises(CollectError, match="no credentials"):
        await watch.share()


@pytest.mark.parametrize(
    ("kind", "workload", "share"),
    [
        ("Deployment", {"spec": {"replicas": 4}, "status": {"readyReplicas": 1}}, 0.25),
        ("Deployment", {"spec": {"replicas": 4}, "status": {}}, 0.0),
        ("Deployment", {"spec": {"replicas": 4}, "status": {"readyReplicas": 5}}, 1.0),
        ("Deployment", {"spec": {"replicas": 0}, "status": {}}, None),
        ("Deployment", {"spec": {}, "status": {"readyReplicas": 1}}, 1.0),
        ("DaemonSet", {"spec": {}, "status": {"desiredNumberScheduled": 2, "numberReady": 1}}, 0.5),
        ("DaemonSet", {"spec": {}, "status": {}}, None),
    ],
)
def test_the_share_is_of_those_wanted(kind: str, workload: Any, share: float | None) -> None:
    assert ready_share({"kind": kind, **workload}, kind) == share


@pytest.mark.parametrize(
    "answer",
    [
        None,
        [],
        {"kind": "Status"},
        {"kind": "Deployment", "spec": []},
        {"kind": "Deployment", "spec": {"replicas": "2"}, "status": {}},
        {"kind": "Deployment", "spec": {"replicas": -1}, "status": {}},
    ],
)
def test_another_answer_is_a_failure(answer: Any) -> None:
    with pytest.raises(CollectError):
        ready_share(answer, "Deployment")
