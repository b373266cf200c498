"""`scale`, `restart`, `start`, `stop`, `pause` and `resume` of one object of a cluster."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel

from catalog.inventory import Target
from catalog.model import Verb
from remediator.drivers.base import State, StepContext, World
from remediator.drivers.kubernetes import workload
from remediator.drivers.kubernetes.cluster import Cluster
from remediator.drivers.kubernetes.settings import COUNTED, MANNERS, KubernetesConfig
from remediator.drivers.permission import Permission
from remediator.drivers.scaling import grown
from remediator.errors import Permanent, Refused

_ANSWER_WITHIN = 10.0
_REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"


class KubernetesDriver:
    kind: ClassVar[str] = "kubernetes"
    verbs: ClassVar[frozenset[Verb]] = COUNTED | {Verb.RESTART}
    Config: ClassVar[type[BaseModel]] = KubernetesConfig

    def __init__(self, world: World) -> None:
        self._clusters: dict[tuple[Path | None, str | None], Cluster] = {}

    async def observe(self, target: Target, verb: Verb, context: StepContext) -> State:
        config, cluster, timeout = self._reach(target, verb)
        found = await cluster.get(config.path, timeout)
        if _switch(config):
            return {"paused": bool(workload.part(found, "spec").get(_switch(config)))}
        observed = workload.pods(config, found)
        if verb is Verb.RESTART:
            asked, hindrance = workload.restarted_at(found), workload.in_the_way(config, found)
            return {**observed, "restarted_at": asked, "in_the_way": hindrance}
        return {**observed, "autoscaler": await self._autoscaler(target, verb)}

    async def may(self, target: Target, verb: Verb, context: StepContext) -> Permission:
        config, cluster, timeout = self._reach(target, verb)
        counted = verb in COUNTED and not _switch(config)
        wanted = config.attributes | ({"subresource": "scale", "verb": "update"} if counted else {"verb": "patch"})
        review = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}
        answer = await cluster.post(_REVIEWS, {**review, "spec": {"resourceAttributes": wanted}}, timeout)
        status = workload.part(answer, "status")
        what = f"{wanted['verb']} {wanted['resource']}{'/scale' if counted else ''}"
        if status.get("allowed") is True:
            return Permission(True)
        return Permission(False, f"its role does not allow to {what} of {config.name}")

    def desire(
        self, target: Target, verb: Verb, args: Mapping[str, Any], observed: State, context: StepContext
    ) -> State:
        config = _config(target, verb)
        if _switch(config):
            goal = verb is Verb.PAUSE
            if observed["paused"] == goal:
                raise Refused(f"{target.name} is {'paused' if goal else 'running'} already", reason="at_limit")
            return {"paused": goal}
        now = observed["replicas"]
        if verb is Verb.RESTART:
            if observed["in_the_way"]:
                raise Refused(f"{target.name} would not restart: {observed['in_the_way']}", reason="not_now")
            if not now:
                raise Refused(f"{target.name} has no pod to restart", reason="nothing_to_do")
            return {"younger_than": context.started_at}
        if observed["autoscaler"]:
            raise workload.autoscaled(config, observed["autoscaler"])
        return {"replicas": _replicas(target, verb, args, now)}

    async def do(self, target: Target, verb: Verb, desired: State, context: StepContext) -> None:
        config = _config(target, verb)
        if _switch(config):
            await self._switch_over(target, verb, bool(desired["paused"]))
        elif verb is Verb.RESTART:
            await self._restart(target, desired["younger_than"])
        else:
            await self._scale(target, verb, desired["replicas"])

    async def _scale(self, target: Target, verb: Verb, replicas: int) -> None:
        config, cluster, timeout = self._reach(target, verb)
        path = f"{config.path}/scale"
        found = await cluster.get(path, timeout)
        if found.get("kind") != "Scale":
            raise Permanent(f"the cluster answered {path} with something that is no Scale")
        if workload.count(workload.part(found, "spec"), "replicas") == replicas:
            return
        # Looked at once more: one may have come since the plan.
        scaler = await self._autoscaler(target, verb)
        if scaler is not None:
            raise workload.autoscaled(config, scaler)
        metadata = {"name": config.name, "namespace": config.namespace, "resourceVersion": workload.version(found)}
        body = {"apiVersion": "autoscaling/v1", "kind": "Scale", "metadata": metadata, "spec": {"replicas": replicas}}
        await cluster.put(path, body, timeout)

    async def _restart(self, target: Target, since: float) -> None:
        """Change the pods' template by a date alone: the cluster then replaces them as its strategy says."""
        config, cluster, timeout = self._reach(target, Verb.RESTART)
        found = await cluster.get(config.path, timeout)
        asked = workload.restarted_at(found)
        if asked is not None and asked >= since:
            return
        hindrance = workload.in_the_way(config, found)
        if hindrance:
            raise Refused(f"{target.name} would not restart: {hindrance}", reason="not_now")
        annotations = {workload.RESTARTED_AT: workload.moment(since)}
        spec = {"template": {"metadata": {"annotations": annotations}}}
        await cluster.merge(config.path, _change(found, spec), timeout)

    async def _switch_over(self, target: Target, verb: Verb, paused: bool) -> None:
        config, cluster, timeout = self._reach(target, verb)
        found = await cluster.get(config.path, timeout)
        if bool(workload.part(found, "spec").get(_switch(config))) != paused:
            await cluster.merge(config.path, _change(found, {_switch(config): paused}), timeout)

    def reached(self, verb: Verb, desired: State, observed: State) -> bool:
        if "paused" in desired:
            return bool(observed["paused"] == desired["paused"])
        if not workload.settled(observed, renewed=verb is Verb.RESTART):
            return False
        if verb is Verb.RESTART:
            return observed["restarted_at"] is not None and bool(observed["restarted_at"] >= desired["younger_than"])
        return bool(observed["replicas"] == desired["replicas"])

    def give_back(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[Verb, State] | None:
        if verb is Verb.RESTART:
            return None
        opposite = {Verb.PAUSE: Verb.RESUME, Verb.RESUME: Verb.PAUSE, Verb.STOP: Verb.START}
        if "paused" in desired:
            changed = before["paused"] != desired["paused"] == observed["paused"]
            return (opposite[verb], {"paused": before["paused"]}) if changed else None
        was, asked, now = before["replicas"], desired["replicas"], observed["replicas"]
        if asked > was and now > was:
            # What others added since then stays.
            back = {Verb.SCALE: Verb.SCALE, Verb.RESUME: Verb.PAUSE}.get(verb, Verb.SCALE if was else Verb.STOP)
            return back, {"replicas": max(was, now - (asked - was))}
        if asked < was and now == asked:
            return opposite.get(verb, Verb.SCALE), {"replicas": was}
        return None

    def release_steps(self, verb: Verb, before: State, desired: State, observed: State) -> tuple[State, ...]:
        back = self.give_back(verb, before, desired, observed)
        if back is None:
            return ()
        if "paused" in back[1]:
            return (back[1],)
        goal, now = back[1]["replicas"], observed["replicas"]
        way = range(now - 1, goal - 1, -1) if goal < now else range(now + 1, goal + 1)
        return tuple({"replicas": count} for count in way)

    async def close(self) -> None:
        for cluster in self._clusters.values():
            await cluster.close()
        self._clusters.clear()

    async def _autoscaler(self, target: Target, verb: Verb) -> str | None:
        config, cluster, timeout = self._reach(target, verb)
        return workload.autoscaler(config, await cluster.items(config.autoscalers, timeout))

    def _reach(self, target: Target, verb: Verb) -> tuple[KubernetesConfig, Cluster, float]:
        config = _config(target, verb)
        key = (config.kubeconfig, config.context)
        cluster = self._clusters.setdefault(key, Cluster(*key))
        return config, cluster, min(_ANSWER_WITHIN, target.step_timeout / 2)


def _config(target: Target, verb: Verb) -> KubernetesConfig:
    config = KubernetesConfig.model_validate(target.config)
    if verb not in config.verbs:
        raise Refused(f"{target.name} is a {config.kind}, which cannot {verb}", reason="missing_capability")
    return config


def _switch(config: KubernetesConfig) -> str:
    return MANNERS[config.kind].switch


def _change(found: Mapping[str, Any], spec: Mapping[str, Any]) -> Mapping[str, Any]:
    """A change of this version alone: where somebody else was faster, the cluster answers with a conflict."""
    return {"metadata": {"resourceVersion": workload.version(found)}, "spec": spec}


def _replicas(target: Target, verb: Verb, args: Mapping[str, Any], now: int) -> int:
    if verb is Verb.SCALE:
        return grown(target.name, now, target.limits, args)
    if verb in (Verb.STOP, Verb.PAUSE):
        goal, at_limit = 0, now == 0
    else:
        goal = target.limits.max if verb is Verb.START else max(target.limits.min, 1)
        at_limit = now >= goal
    if at_limit:
        raise Refused(f"{target.name} has {now} pods of {target.limits.max} allowed", reason="at_limit")
    return goal
