"""Collector `kubernetes`: how many of a workload's wanted pods are ready. Needs `grace[kubernetes]`.

It asks for nothing but `get` on the workloads that it is told of.
"""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Literal

import aiohttp
from pydantic import Field

from catalog.config import FilePath
from catalog.document import Where
from catalog.model import Catalog, Frozen
from exporter.collectors.base import CollectError, CollectorConfig, Probe, Setting, installed
from exporter.families import Measured, Reading, gauge, labels_of

READY = "infra.pod_ready_ratio"
SERIES = "grace_pod_ready_ratio"
MAX_ANSWER = 4 * 1024 * 1024
"""Bytes of one workload, as the cluster tells it."""
COUNTS: Mapping[str, tuple[str, str]] = {
    "Deployment": ("deployments", "readyReplicas"),
    "StatefulSet": ("statefulsets", "readyReplicas"),
    "DaemonSet": ("daemonsets", "numberReady"),
}
"""By kind: its name in a path, and where its status counts the ready."""
_NAME = r"^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$"


class WorkloadConfig(Frozen):
    kind: Literal["Deployment", "StatefulSet", "DaemonSet"] = "Deployment"
    """What it is."""
    name: str = Field(pattern=_NAME)
    """Its name in the cluster."""
    resource: str | None = Field(default=None, min_length=1)
    """What it is called in the catalog's series; its name where absent."""

    @property
    def known_as(self) -> str:
        return self.resource or self.name


class KubernetesConfig(CollectorConfig):
    collector: Literal["kubernetes"]
    """How many of a workload's wanted pods are ready."""
    namespace: str = Field(default="default", pattern=_NAME)
    """Where the workloads are."""
    workloads: tuple[WorkloadConfig, ...] = Field(min_length=1)
    """Each is measured by itself."""
    kubeconfig: FilePath | None = None
    """Else the service account of the pod that the exporter runs in."""
    context: str | None = None
    """Of the kubeconfig; its current one where absent."""

    def faults(self, catalog: Catalog) -> Iterator[tuple[Where, str]]:
        yield from super().faults(catalog)
        if not installed("kubernetes_asyncio"):
            yield ("collector",), "the Kubernetes client is not installed: pip install 'grace[kubernetes]'"
        for index, each in enumerate(self.metric_ids):
            if each in catalog.metrics and each != READY:
                yield ("metric_ids", index), f"kubernetes measures {READY}, not {each}"
        resources = [each.known_as for each in self.workloads]
        for index, each in enumerate(resources):
            if each in resources[:index]:
                first = resources.index(each)
                yield ("workloads", index), f"workloads[{first}] is called so too: give one of them a resource"


class KubernetesCollector:
    """One probe for each workload, over one client."""

    def __init__(self, config: KubernetesConfig, setting: Setting) -> None:
        self._config = config
        self._client: Any = None
        self._connecting = asyncio.Lock()
        on = setting.wanted(config.metric_ids)
        pace = setting.pace(on, config)
        self.probes: Sequence[Probe] = tuple(
            Probe(f"{each.kind} {each.name}", pace, partial(self._collect, each)) for each in config.workloads if on
        )

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    async def _collect(self, workload: WorkloadConfig) -> Reading:
        plural, _ = COUNTS[workload.kind]
        path = f"/apis/apps/v1/namespaces/{self._config.namespace}/{plural}/{workload.name}"
        share = ready_share(await self._get(path), workload.kind)
        found = gauge(SERIES, labels_of({"resource": workload.known_as}), share)
        return Reading() if found is None else Reading((found,), frozenset({Measured(READY, workload.known_as)}))

    async def _get(self, path: str) -> Any:
        client = await self._connected()
        try:
            answer = await client.call_api(
                path, "GET", auth_settings=["BearerToken"], header_params={"Accept": "application/json"},
                _preload_content=False,
            )  # fmt: skip
            async with answer:
                body = await answer.content.read(MAX_ANSWER + 1)
                while len(body) <= MAX_ANSWER and (more := await answer.content.read(MAX_ANSWER)):
                    body += more
        except (aiohttp.ClientError, OSError) as error:
            raise CollectError(f"the cluster cannot be reached ({type(error).__name__})") from error
        if answer.status == 401:
            # The credential may have expired: it is read anew the next time, if no other probe has done so meanwhile.
            if self._client is client:
                self._client = None
            await client.close()
        if answer.status != 200:
            raise CollectError(f"the cluster answered {path} with {answer.status}")
        if len(body) > MAX_ANSWER:
            raise CollectError(f"the cluster answered {path} with more than {MAX_ANSWER // 1024} KiB")
        try:
            return json.loads(body)
        except (ValueError, RecursionError) as error:
            raise CollectError(f"the cluster answered {path} with something that is no JSON") from error

    async def _connected(self) -> Any:
        async with self._connecting:
            if self._client is None:
                # The library takes a second to import, in which scrapes go on.
                client = await asyncio.to_thread(importlib.import_module, "kubernetes_asyncio.client")
                config = await asyncio.to_thread(importlib.import_module, "kubernetes_asyncio.config")
                settings = client.Configuration()
                try:
                    if self._config.kubeconfig is None:
                        config.load_incluster_config(settings)
                    else:
                        await config.load_kube_config(
                            str(self._config.kubeconfig), self._config.context, settings, persist_config=False
                        )
                except Exception as error:  # Whatever may be wrong with a file: the loader raises as it comes.
                    raise CollectError(f"there are no credentials for the cluster ({type(error).__name__})") from error
                self._client = client.ApiClient(settings)
        return self._client


def ready_share(workload: Any, kind: str) -> float | None:
    """Ready ÷ wanted pods, at most 1 (a roll-out has more for a while); None where none is wanted.

    Raises CollectError for what is no such workload.
    """
    if not isinstance(workload, dict) or workload.get("kind") != kind:
        raise CollectError(f"the cluster's answer is no {kind}")
    spec, status = (_part(workload, name) for name in ("spec", "status"))
    # A count of zero is left out of the status; replicas left out of the spec are one.
    wanted = status.get("desiredNumberScheduled", 0) if kind == "DaemonSet" else spec.get("replicas", 1)
    ready = status.get(COUNTS[kind][1], 0)
    if not all(isinstance(each, int) and each >= 0 for each in (wanted, ready)):
        raise CollectError(f"the {kind} counts no pods")
    return min(ready / wanted, 1.0) if wanted else None


def _part(workload: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    part = workload.get(name, {})
    if not isinstance(part, dict):
        raise CollectError(f"the workload has no {name}")
    return part
