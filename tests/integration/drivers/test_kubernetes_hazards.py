"""Where the kubernetes driver could do harm; and that the server it is tried against refuses what a real one does."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml
from pydantic import ValidationError

from catalog.model import Verb
from remediator import drivers
from remediator.drivers.kubernetes import KubernetesConfig
from remediator.drivers.kubernetes.workload import RESTARTED_AT, moment, restarted_at
from remediator.errors import Permanent, Refused, Transient
from tests.contract.drivers.conftest import RIGS
from tests.contract.drivers.rigs.base import until
from tests.contract.drivers.rigs.cluster import FakeCluster
from tests.contract.drivers.rigs.kubernetes import (
    KubernetesCronRig,
    KubernetesDaemonRestartRig,
    KubernetesNodeRig,
    KubernetesPauseRig,
    KubernetesRestartRig,
    KubernetesRig,
)

README = (Path(drivers.__file__).parent / "kubernetes" / "README.md").read_text()


class StatefulRestartRig(KubernetesRestartRig):
    plural = "statefulsets"
    object_kind = "StatefulSet"


EVERY = [kind for kind in RIGS.values() if kind.kind == "kubernetes"]
_made: list[Any] = []


def closed_in_the_end(rig: Any) -> Any:
    _made.append(rig.driver())
    return _made[-1]


@pytest.fixture(autouse=True)
async def _close_drivers() -> AsyncIterator[None]:
    yield
    while _made:
        await _made.pop().close()


async def plan(rig: Any) -> tuple[Any, Any, Any]:
    driver = closed_in_the_end(rig)
    before = await driver.observe(rig.target(), rig.verb, rig.context())
    return driver, before, driver.desire(rig.target(), rig.verb, rig.args, before, rig.context())


def scaler(cluster: FakeCluster, name: str = "api", kind: str = "Deployment", called: str = "api-hpa") -> None:
    reference = {"apiVersion": "apps/v1", "kind": kind, "name": name}
    cluster.add("horizontalpodautoscalers", called, {"scaleTargetRef": reference, "minReplicas": 2, "maxReplicas": 9})


class TestAutoscalers:
    async def test_a_workload_that_has_one_is_left_to_it(self, begin: Any) -> None:
        rig = begin(KubernetesRig)
        scaler(rig.cluster)
        with pytest.raises(Refused, match="api-hpa") as caught:
            await plan(rig)
        assert caught.value.reason == "autoscaled"
        assert rig.effect() == 2

    async def test_one_that_came_after_the_plan(self, begin: Any) -> None:
        rig = begin(KubernetesRig)
        driver, _, desired = await plan(rig)
        scaler(rig.cluster)
        with pytest.raises(Refused) as caught:
            await driver.do(rig.target(), rig.verb, desired, rig.context())
        assert caught.value.reason == "autoscaled"
        assert ("PUT", "/apis/apps/v1/namespaces/shop/deployments/api/scale") not in rig.cluster.asked

    async def test_those_of_others_are_none_of_ours(self, begin: Any) -> None:
        rig = begin(KubernetesRig)
        scaler(rig.cluster, name="other")
        scaler(rig.cluster, kind="StatefulSet", called="namesake")
        driver, _, desired = await plan(rig)
        await driver.do(rig.target(), rig.verb, desired, rig.context())
        assert await rig.settled(driver, rig.verb, desired)

    async def test_one_on_the_last_page_is_found(self, begin: Any) -> None:
        rig = begin(KubernetesRig)
        for number in range(600):
            scaler(rig.cluster, name=f"other-{number}", called=f"a-{number}")
        scaler(rig.cluster, called="zz")
        with pytest.raises(Refused, match="zz"):
            await plan(rig)

    async def test_not_being_allowed_to_look_for_them_is_no_answer(self, begin: Any) -> None:
        rig = begin(KubernetesRig)
        rig.cluster.rules = {"get deployments", "get deployments/scale", "update deployments/scale"}
        with pytest.raises(Refused) as caught:
            await plan(rig)
        assert caught.value.reason == "permission"

    async def test_a_restart_does_not_disturb_one(self, begin: Any) -> None:
        rig = begin(KubernetesRestartRig)
        scaler(rig.cluster)
        driver, _, desired = await plan(rig)
        await driver.do(rig.target(), rig.verb, desired, rig.context())
        assert await rig.settled(driver, rig.verb, desired)


class TestConflicts:
    @pytest.mark.parametrize("kind", [KubernetesRig, KubernetesRestartRig, KubernetesPauseRig, KubernetesCronRig])
    async def test_somebody_else_was_faster(self, begin: Any, kind: type[KubernetesRig]) -> None:
        rig = begin(kind)
        driver, _, desired = await plan(rig)

        def meddle() -> None:
            rig.cluster.before_write = lambda: None
            rig.cluster.change(rig.plural, "api", minReadySeconds=1)

        rig.cluster.before_write = meddle
        with pytest.raises(Transient, match="somebody else"):
            await driver.do(rig.target(), rig.verb, desired, rig.context())
        # What they changed stands, and trying again (the controllers make new versions too) does ours on top of it.
        for _ in range(10):
            with suppress(Transient):
                await driver.do(rig.target(), rig.verb, desired, rig.context())
                break
        assert await rig.settled(driver, rig.verb, desired)
        assert rig.cluster.objects[rig.plural, "api"]["spec"]["minReadySeconds"] == 1


class TestRollouts:
    async def test_a_rollout_is_waited_for_by_looking(self, begin: Any) -> None:
        rig = begin(KubernetesRig)
        rig.cluster.stuck = True
        driver, _, desired = await plan(rig)
        await driver.do(rig.target(), rig.verb, desired, rig.context())
        assert not await rig.settled(driver, rig.verb, desired, within=0.5)
        rig.cluster.stuck = False
        assert await rig.settled(driver, rig.verb, desired)

    async def test_a_controller_that_has_not_looked_yet_is_not_believed(self, begin: Any) -> None:
        """Right after a change the status still tells of the time before it."""
        rig = begin(KubernetesRestartRig)
        driver, before, desired = await plan(rig)
        stale = {**before, "restarted_at": desired["younger_than"] + 1, "seen": False}
        assert not driver.reached(rig.verb, desired, stale)
        assert driver.reached(rig.verb, desired, {**stale, "seen": True})

    async def test_a_restart_never_has_fewer_ready_pods(self, begin: Any) -> None:
        rig = begin(KubernetesRestartRig)
        driver, _, desired = await plan(rig)
        watched = asyncio.create_task(ready_counts(rig.cluster, "deployments"))
        await asyncio.sleep(0.1)
        await driver.do(rig.target(), rig.verb, desired, rig.context())
        assert await rig.settled(driver, rig.verb, desired)
        watched.cancel()
        counts = await watched
        assert counts
        assert min(counts) >= 2

    async def test_somebody_elses_later_restart_counts(self, begin: Any) -> None:
        rig = begin(KubernetesRestartRig)
        driver, _, desired = await plan(rig)
        template = {"metadata": {"annotations": {RESTARTED_AT: moment(rig.started_at + 5)}}}
        rig.cluster.change("deployments", "api", template=template)
        asked = len(rig.cluster.asked)
        await driver.do(rig.target(), rig.verb, desired, rig.context())
        assert [method for method, _ in rig.cluster.asked[asked:]] == ["GET"]

    @pytest.mark.parametrize(
        ("kind", "spec", "why"),
        [
            (KubernetesRestartRig, {"paused": True}, "paused"),
            (KubernetesDaemonRestartRig, {"updateStrategy": {"type": "OnDelete"}}, "OnDelete"),
            (KubernetesDaemonRestartRig, {"updateStrategy": {"rollingUpdate": {"partition": 2}}}, "partition"),
        ],
    )
    async def test_a_restart_that_would_come_to_nothing(
        self, begin: Any, kind: type[KubernetesRig], spec: Any, why: str
    ) -> None:
        rig = begin(kind)
        driver, _, desired = await plan(rig)
        rig.cluster.change(rig.plural, "api", **spec)
        with pytest.raises(Refused, match=why):
            await plan(rig)
        with pytest.raises(Refused, match=why):
            await driver.do(rig.target(), rig.verb, desired, rig.context())

    @pytest.mark.parametrize("epoch", [0.0, 1_700_000_000.123, 1_700_000_000.1239999, 1_800_000_000.9999999])
    def test_the_moment_written_is_not_before_the_moment_meant(self, epoch: float) -> None:
        found = {"spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: moment(epoch)}}}}}
        read = restarted_at(found)
        assert read is not None
        assert 0 <= read - epoch < 0.0021

    @pytest.mark.parametrize("text", ["yesterday", "", "2026-13-01T00:00:00Z"])
    def test_a_date_that_is_none_is_no_restart(self, text: str) -> None:
        found = {"spec": {"template": {"metadata": {"annotations": {RESTARTED_AT: text}}}}}
        assert restarted_at(found) is None


class TestAccess:
    async def test_a_credential_that_expires_is_read_anew(self, begin: Any) -> None:
        rig = begin(KubernetesRig)
        driver, _, desired = await plan(rig)
        rig.cluster.token = "renewed"
        with pytest.raises(Refused) as caught:
            await driver.do(rig.target(), rig.verb, desired, rig.context())
        assert caught.value.reason == "permission"
        assert "let-me-in" not in str(caught.value)
        rig.kubeconfig(rig.cluster, "renewed")
        await driver.do(rig.target(), rig.verb, desired, rig.context())
        assert await rig.settled(driver, rig.verb, desired)

    @pytest.mark.parametrize(
        "kind", [KubernetesRig, KubernetesRestartRig, KubernetesPauseRig, KubernetesDaemonRestartRig,
                 KubernetesCronRig, KubernetesNodeRig]
    )  # fmt: skip
    async def test_the_rights_that_the_readme_names_suffice(self, begin: Any, kind: type[KubernetesRig]) -> None:
        rig = begin(kind)
        rig.cluster.rules = {
            f"{verb} {resource}"
            for rule in yaml.safe_load(README.split("```text\n")[1].split("```")[0])["rules"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }
        driver, _, desired = await plan(rig)
        await driver.do(rig.target(), rig.verb, desired, rig.context())
        assert await rig.settled(driver, rig.verb, desired)

    async def test_the_readme_names_no_right_that_is_not_used(self, begin: Any) -> None:
        """What the server was asked for in all, over every verb and kind and its undo, is what the role allows."""
        used: set[str] = set()
        for kind in (*EVERY, StatefulRestartRig):
            rig = begin(kind)
            driver, before, desired = await plan(rig)
            await driver.do(rig.target(), rig.verb, desired, rig.context())
            assert await rig.settled(driver, rig.verb, desired)
            observed = await driver.observe(rig.target(), rig.verb, rig.context())
            back = driver.give_back(rig.verb, before, desired, observed)
            if back is not None:
                await driver.do(rig.target(), back[0], back[1], rig.context())
            used |= rig.cluster.used
        allowed = {
            f"{group}/{resource} {verb}"
            for rule in yaml.safe_load(README.split("```text\n")[1].split("```")[0])["rules"]
            for group in rule["apiGroups"]
            for resource in rule["resources"]
            for verb in rule["verbs"]
        }
        assert used == allowed

    async def test_an_object_that_is_not_there(self, begin: Any) -> None:
        rig = begin(KubernetesRig)
        with pytest.raises(Permanent, match="not found"):
            await closed_in_the_end(rig).observe(rig.target(name="absent"), rig.verb, rig.context())

    async def test_a_cluster_that_is_not_there(self, begin: Any) -> None:
        rig = begin(KubernetesRig)
        target = rig.target()
        rig.cluster.__exit__()
        rig.stack.pop_all()
        with pytest.raises(Transient, match="cannot be reached"):
            await closed_in_the_end(rig).observe(target, rig.verb, rig.context())

    @pytest.mark.parametrize("content", ["", "no yaml: [", "clusters: []", "[]"])
    async def test_a_kubeconfig_that_is_none(self, begin: Any, content: str) -> None:
        rig = begin(KubernetesRig)
        target = rig.target()
        spoil(rig.file, content)
        with pytest.raises(Permanent, match="cannot be used"):
            await closed_in_the_end(rig).observe(target, rig.verb, rig.context())

    async def test_outside_a_cluster_there_is_no_service_account(self, begin: Any) -> None:
        rig = begin(KubernetesRig)
        with pytest.raises(Permanent, match="service account"):
            await closed_in_the_end(rig).observe(rig.target(kubeconfig=None), rig.verb, rig.context())

    @pytest.mark.parametrize(
        "answer",
        [b"[]", b"{}", b'{"items": 1}', b'{"kind": "Scale", "spec": {"replicas": -1}}', b'{"spec": []}', b"null"],
    )
    async def test_answers_that_are_none(self, begin: Any, answer: bytes) -> None:
        rig = begin(KubernetesRig)
        with FakeCluster(garbled=answer) as other:
            target = rig.target(kubeconfig=rig.kubeconfig(other, "x"))
            for ask in (
                plan_on(rig, target),
                closed_in_the_end(rig).do(target, rig.verb, {"replicas": 3}, rig.context()),
            ):
                with pytest.raises((Permanent, Refused)):
                    await ask


def spoil(file: str, content: str) -> None:
    Path(file).write_text(content)


async def plan_on(rig: Any, target: Any) -> None:
    driver = closed_in_the_end(rig)
    before = await driver.observe(target, rig.verb, rig.context())
    driver.desire(target, rig.verb, rig.args, before, rig.context())


@pytest.mark.parametrize(
    "name", ["../../nodes/x", "a/b", "", "-a", "a?b", "a%2fb", "A", "--help", "{{x}}", "a\n", "${x}"]
)
def test_a_name_never_leaves_its_place_in_a_path(name: str) -> None:
    for field in ("name", "namespace"):
        with pytest.raises(ValidationError):
            KubernetesConfig(**{"name": "api", "namespace": "shop", field: name})


async def test_what_a_kind_cannot_do_is_said(begin: Any) -> None:
    rig = begin(KubernetesCronRig)
    with pytest.raises(Refused, match="CronJob, which cannot scale") as caught:
        await closed_in_the_end(rig).observe(rig.target(), Verb.SCALE, rig.context())
    assert caught.value.reason == "missing_capability"


async def ready_counts(cluster: FakeCluster, plural: str) -> list[int]:
    """Ready pods at every change that a watcher is told of, until cancelled."""
    counts: list[int] = []
    url = f"http://127.0.0.1:{cluster.port}/apis/apps/v1/namespaces/shop/{plural}?watch=true"
    headers = {"Authorization": f"Bearer {cluster.token}"}
    try:
        async with aiohttp.ClientSession() as http, http.get(url, headers=headers) as answer:
            async for line in answer.content:
                counts.append(json.loads(line)["object"]["status"].get("readyReplicas", 0))
    except asyncio.CancelledError:
        return counts
    return counts


class TestTheServer:
    """It refuses what the real one refuses: a driver that is green against it has not been waved through."""

    @pytest.fixture
    def cluster(self) -> Any:
        with FakeCluster() as cluster:
            cluster.deploy("deployments", "api", 2)
            yield cluster

    async def ask(self, cluster: FakeCluster, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, Any]:
        headers = {"Authorization": f"Bearer {more.get('token', cluster.token)}"}
        headers["Content-Type"] = more.get("content_type", "application/json")
        url = f"http://127.0.0.1:{cluster.port}/apis/apps/v1/namespaces/shop{path}"
        data = None if body is None else json.dumps(body)
        async with (
            aiohttp.ClientSession() as http,
            http.request(method, url, data=data, headers=headers, params=more.get("params")) as answer,
        ):
            return answer.status, await answer.json()

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"kind": "Deployment"}, 400),
            ({"apiVersion": "apps/v1"}, 400),
            ({"metadata": {"name": "other"}}, 400),
            ({"metadata": {"name": "api", "resourceVersion": "1"}}, 409),
            ({"spec": {"replicas": -1}}, 422),
            ({"spec": {"replicas": "3"}}, 400),
            ({"spec": {"replicas": 2.5}}, 400),
            ({}, 200),
        ],
    )
    async def test_a_scale_is_checked(self, cluster: FakeCluster, change: Any, code: int) -> None:
        _, scale = await self.ask(cluster, "GET", "/deployments/api/scale")
        body = {**scale, "spec": {"replicas": 3}, **change}
        status, said = await self.ask(cluster, "PUT", "/deployments/api/scale", body)
        assert status == code, said
        assert cluster.objects["deployments", "api"]["spec"]["replicas"] == (3 if code == 200 else 2)

    async def test_nothing_is_kept_of_a_dry_run(self, cluster: FakeCluster) -> None:
        _, scale = await self.ask(cluster, "GET", "/deployments/api/scale")
        body = {**scale, "spec": {"replicas": 3}}
        before = json.dumps(cluster.objects["deployments", "api"])
        status, _ = await self.ask(cluster, "PUT", "/deployments/api/scale", body, params={"dryRun": "All"})
        assert status == 200
        assert json.dumps(cluster.objects["deployments", "api"]) == before
        assert (await self.ask(cluster, "PUT", "/deployments/api/scale", body, params={"dryRun": "yes"}))[0] == 422
        broken = {**body, "spec": {"replicas": -1}}
        assert (await self.ask(cluster, "PUT", "/deployments/api/scale", broken, params={"dryRun": "All"}))[0] == 422

    async def test_who_asks_what_is_checked(self, cluster: FakeCluster) -> None:
        assert (await self.ask(cluster, "GET", "/deployments/api", token="wrong"))[0] == 401
        cluster.rules = {"get deployments"}
        assert (await self.ask(cluster, "GET", "/deployments/api"))[0] == 200
        assert (await self.ask(cluster, "GET", "/deployments/api/scale"))[0] == 403
        assert (await self.ask(cluster, "GET", "/deployments"))[0] == 403
        cluster.rules = None
        assert (await self.ask(cluster, "GET", "/deployments/absent"))[0] == 404
        assert (await self.ask(cluster, "GET", "/daemonsets/api/scale"))[0] == 404
        assert (await self.ask(cluster, "DELETE", "/deployments/api"))[0] == 405
        assert (await self.ask(cluster, "PATCH", "/deployments/api", {}))[0] == 415

    async def test_an_autoscaler_wins(self, cluster: FakeCluster) -> None:
        """Which is why the driver does not begin."""
        scaler(cluster)
        cluster.change("deployments", "api", replicas=5)
        until(lambda: cluster.objects["deployments", "api"]["spec"]["replicas"] == 2, 5)
