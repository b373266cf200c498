"""A small API server of Kubernetes, as strict as the real one in what Grace asks of it, and its controllers.

It refuses what the real one refuses: an unknown token (401), a request that no rule allows (403), an object that is not
there (404), a change of an older version (409), another content type (415), a Scale of another kind or name (400), a
count that is negative (422). It numbers every change, raises `generation` for changes of `spec` alone, keeps nothing of
a dry run, and tells watchers of every change. Its controllers bring pods up and down one at a time.
"""

from __future__ import annotations

import asyncio
import copy
import json
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

WORKLOADS = {"deployments": "Deployment", "statefulsets": "StatefulSet", "daemonsets": "DaemonSet"}
KINDS = {**WORKLOADS, "cronjobs": "CronJob", "nodes": "Node", "horizontalpodautoscalers": "HorizontalPodAutoscaler"}
PLACES = re.compile(
    r"^/(?:api/v1|apis/(?P<group>[a-z]+)/(?P<version>v[12]))"
    r"(?:/namespaces/(?P<namespace>[^/]+))?/(?P<plural>[a-z]+)(?:/(?P<name>[^/]+))?(?:/(?P<sub>[a-z]+))?$"
)
VERSIONS = {"apps": "v1", "batch": "v1", "autoscaling": "v2", None: None}
REVIEWS = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews"
TICK = 0.01

Json = dict[str, Any]


class Refusal(Exception):
    def __init__(self, code: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.code, self.reason = code, reason

    def response(self) -> web.Response:
        body = {"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": self.code}
        return web.json_response({**body, "reason": self.reason, "message": str(self)}, status=self.code)


@dataclass
class FakeCluster:
    """Runs in a thread of its own. `objects` maps (plural, name) to what the server holds; all in one namespace."""

    token: str = "let-me-in"
    namespace: str = "shop"
    objects: dict[tuple[str, str], Json] = field(default_factory=dict)
    rules: set[str] | None = None
    """`verb plural[/sub]` that the token may; None is everything."""
    asked: list[tuple[str, str]] = field(default_factory=list)
    """Method and path of every request that was let in."""
    used: set[str] = field(default_factory=set)
    """Of these, `group/plural[/sub] verb`, as a role names what it allows."""
    before_write: Callable[[], None] = lambda: None
    """Somebody else, in the moment before a change is carried out."""
    silent: bool = False
    garbled: bytes | None = None
    stuck: bool = False
    """New pods never become ready."""
    pods: dict[str, list[Json]] = field(default_factory=dict)
    """Workload → its pods, oldest first: `revision` and `ready`."""
    port: int = 0
    _version: int = 100
    _watchers: list[asyncio.Queue[Json]] = field(default_factory=list)

    def __enter__(self) -> FakeCluster:
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), daemon=True)
        self._thread.start()
        assert started.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._done.set)
        self._thread.join(10)

    async def _serve(self, started: threading.Event) -> None:
        self._loop, self._done = asyncio.get_running_loop(), asyncio.Event()
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(application, shutdown_timeout=0.1)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self.port = runner.addresses[0][1]
        controllers = asyncio.create_task(self._control())
        started.set()
        await self._done.wait()
        controllers.cancel()
        await runner.cleanup()

    # -- what tests put in and read

    def add(self, plural: str, name: str, spec: Json, **metadata: Any) -> Json:
        self._version += 1
        made = {
            "kind": KINDS[plural],
            "metadata": {"name": name, "resourceVersion": str(self._version), "generation": 1, "uid": name, **metadata},
            "spec": spec,
            "status": {},
        }
        self.objects[plural, name] = made
        return made

    def deploy(self, plural: str, name: str, replicas: int, **spec: Any) -> None:
        """A workload that has been running for a while."""
        template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": [{"name": "main", "image": "x"}]}}
        counted = {} if plural == "daemonsets" else {"replicas": replicas}
        self.add(plural, name, {**counted, "template": template, **spec})
        made = self.objects[plural, name]
        self.pods[name] = [{"revision": _revision(made), "ready": True} for _ in range(replicas)]
        self._report(plural, name)

    def change(self, plural: str, name: str, **spec: Any) -> None:
        """Somebody else changes an object."""
        made = self.objects[plural, name]
        self._store(plural, name, {**made, "spec": {**made["spec"], **spec}})

    # -- requests

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if self.silent:
            await asyncio.sleep(3600)
        if self.garbled is not None:
            return web.Response(body=self.garbled, content_type="application/json")
        try:
            return await self._handle(request)
        except Refusal as refusal:
            return refusal.response()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != f"Bearer {self.token}":
            raise Refusal(401, "Unauthorized", "Unauthorized")
        if request.path == REVIEWS and request.method == "POST":
            return self._reviewed(await request.json())
        place = PLACES.match(request.path)
        if place is None or place["plural"] not in KINDS or VERSIONS.get(place["group"], "?") != place["version"]:
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        plural, name, sub = place["plural"], place["name"], place["sub"]
        verb = {"GET": "get" if name else "list", "PUT": "update", "PATCH": "patch"}.get(request.method)
        if "watch" in request.query:
            verb = "watch"
        if verb is None:
            raise Refusal(405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
        whole = f"{plural}/{sub}" if sub else plural
        if self.rules is not None and f"{verb} {whole}" not in self.rules:
            raise Refusal(
                403, "Forbidden", f'{whole} "{name}" is forbidden: User "grace" cannot {verb} resource "{whole}"'
            )
        self.asked.append((request.method, request.path))
        self.used.add(f"{place['group'] or ''}/{whole} {verb}")
        if (plural == "nodes") != (place["namespace"] is None) or place["namespace"] not in (None, self.namespace):
            raise Refusal(404, "NotFound", f'{plural} "{name}" not found')
        if verb == "watch":
            return await self._watch(request, plural)
        if name is None:
            return self._list(request, plural)
        if (plural, name) not in self.objects:
            raise Refusal(404, "NotFound", f'{plural} "{name}" not found')
        if verb == "get":
            return web.json_response(self._shown(plural, name, sub))
        return web.json_response(await self._write(request, plural, name, sub))

    def _reviewed(self, review: Json) -> web.Response:
        """Every account may ask what it may do."""
        if review.get("kind") != "SelfSubjectAccessReview" or review.get("apiVersion") != "authorization.k8s.io/v1":
            raise Refusal(400, "BadRequest", "the object provided is unrecognized")
        asked = review["spec"]["resourceAttributes"]
        whole = f"{asked['resource']}/{asked['subresource']}" if asked.get("subresource") else asked["resource"]
        allowed = self.rules is None or f"{asked['verb']} {whole}" in self.rules
        return web.json_response({**review, "status": {"allowed": allowed}}, status=201)

    def _list(self, request: web.Request, plural: str) -> web.Response:
        names = sorted(name for kind, name in self.objects if kind == plural)
        first, limit = int(request.query.get("continue") or 0), int(request.query.get("limit") or 0)
        page = names[first : first + limit] if limit else names[first:]
        more = str(first + len(page)) if first + len(page) < len(names) else ""
        # Objects in a list carry no kind of their own.
        items = [{key: value for key, value in self.objects[plural, name].items() if key != "kind"} for name in page]
        metadata = {"resourceVersion": str(self._version), "continue": more}
        return web.json_response({"kind": f"{KINDS[plural]}List", "metadata": metadata, "items": items})

    def _shown(self, plural: str, name: str, sub: str | None) -> Json:
        made = self.objects[plural, name]
        if sub is None:
            return made
        if sub != "scale" or plural not in ("deployments", "statefulsets"):
            raise Refusal(404, "NotFound", "the server could not find the requested resource")
        metadata = {"name": name, "namespace": self.namespace, "resourceVersion": made["metadata"]["resourceVersion"]}
        # The real one leaves a count of zero out.
        spec = {"replicas": made["spec"]["replicas"]} if made["spec"]["replicas"] else {}
        status = {"replicas": made["status"].get("replicas", 0), "selector": f"app={name}"}
        return {"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status}

    async def _write(self, request: web.Request, plural: str, name: str, sub: str | None) -> Json:
        kind = request.content_type
        if request.method == "PATCH" and kind not in (
            "application/merge-patch+json", "application/strategic-merge-patch+json",
        ):  # fmt: skip
            raise Refusal(415, "UnsupportedMediaType", f"the body of the request was in an unknown format - {kind}")
        if request.method == "PUT" and kind != "application/json":
            raise Refusal(415, "UnsupportedMediaType", f"the body of the request was in an unknown format - {kind}")
        dry = request.query.get("dryRun")
        if dry not in (None, "All"):
            raise Refusal(422, "Invalid", f'dryRun: Unsupported value: "{dry}": supported values: "All"')
        try:
            body = json.loads(await request.read())
        except ValueError as error:
            raise Refusal(400, "BadRequest", "the object provided is unrecognized") from error
        self.before_write()
        shown = self._shown(plural, name, sub)
        new = _merged(shown, body) if request.method == "PATCH" else body
        self._check(shown, new, body)
        made = copy.deepcopy(self.objects[plural, name])
        if sub == "scale":
            made["spec"]["replicas"] = _replicas(new)
        else:
            if "replicas" in made["spec"]:
                _replicas(new)
            made["spec"], made["metadata"] = new["spec"], {**new["metadata"], **_kept(made)}
        if dry:
            return made
        self._store(plural, name, made)
        return self._shown(plural, name, sub)

    def _check(self, shown: Json, new: Json, body: Json) -> None:
        """As the real one does for what Grace changes."""
        for key in ("kind", "apiVersion"):
            if shown.get(key) is not None and new.get(key) != shown[key]:
                raise Refusal(400, "BadRequest", f"{key} in the body ({new.get(key)}) does not match {shown[key]}")
        metadata = new.get("metadata")
        if not isinstance(metadata, dict) or metadata.get("name") != shown["metadata"]["name"]:
            raise Refusal(400, "BadRequest", "the name of the object does not match the name on the URL")
        told = (body.get("metadata") or {}).get("resourceVersion")
        if told is not None and told != shown["metadata"]["resourceVersion"]:
            raise Refusal(
                409,
                "Conflict",
                "Operation cannot be fulfilled: the object has been modified; please apply your changes to the latest"
                " version and try again",
            )

    def _store(self, plural: str, name: str, made: Json) -> None:
        old = self.objects.get((plural, name))
        if old is not None and old["spec"] == made["spec"] and _annotated(old) == _annotated(made):
            return  # a change of nothing is none: the version stays
        self._version += 1
        raised = int(old is None or old["spec"] != made["spec"])
        made = copy.deepcopy(made)
        made["metadata"]["resourceVersion"] = str(self._version)
        made["metadata"]["generation"] += raised
        self.objects[plural, name] = made
        self._tell(plural, made)

    def _tell(self, plural: str, made: Json) -> None:
        for queue in self._watchers:
            queue.put_nowait({"plural": plural, "type": "MODIFIED", "object": copy.deepcopy(made)})

    async def _watch(self, request: web.Request, plural: str) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        queue: asyncio.Queue[Json] = asyncio.Queue()
        self._watchers.append(queue)
        try:
            await response.prepare(request)
            while True:
                event = await queue.get()
                if event.pop("plural") == plural:
                    await response.write(json.dumps(event).encode() + b"\n")
        finally:
            self._watchers.remove(queue)

    # -- controllers

    async def _control(self) -> None:
        while True:
            await asyncio.sleep(TICK)
            for (plural, name), made in list(self.objects.items()):
                if plural in WORKLOADS:
                    self._step(plural, name, made)
                elif plural == "horizontalpodautoscalers":
                    self._autoscale(made)

    def _autoscale(self, scaler: Json) -> None:
        """An autoscaler sets what it holds right, whoever else set something."""
        reference = scaler["spec"]["scaleTargetRef"]
        name = reference["name"]
        made = self.objects.get(("deployments", name)) if reference["kind"] == "Deployment" else None
        if made is not None and made["spec"]["replicas"]:
            self.change("deployments", name, replicas=scaler["spec"]["minReplicas"])

    def _step(self, plural: str, name: str, made: Json) -> None:
        """One pod comes, becomes ready or goes: never fewer ready ones than asked for, never more than one too many."""
        pods, revision = self.pods[name], _revision(made)
        paused = made["spec"].get("paused") or made["spec"].get("updateStrategy", {}).get("type") == "OnDelete"
        wanted = len(pods) if plural == "daemonsets" else made["spec"]["replicas"]
        old = [] if paused else [pod for pod in pods if pod["revision"] != revision]
        coming = next((pod for pod in pods if not pod["ready"]), None)
        if coming is not None and not self.stuck:
            coming["ready"] = True
        elif coming is None and plural == "daemonsets" and old:
            pods[pods.index(old[0])] = {"revision": revision, "ready": False}
        elif len(pods) < wanted + bool(old and wanted) and plural != "daemonsets":
            pods.append({"revision": revision, "ready": False})
        elif len(pods) > wanted:
            pods.remove(old[0] if old else pods[-1])
        self._report(plural, name)

    def _report(self, plural: str, name: str) -> None:
        made, pods = self.objects[plural, name], self.pods[name]
        updated = sum(pod["revision"] == _revision(made) for pod in pods)
        ready = sum(pod["ready"] for pod in pods)
        told = {"observedGeneration": made["metadata"]["generation"]}
        if plural == "daemonsets":
            told |= {"desiredNumberScheduled": len(pods), "currentNumberScheduled": len(pods)}
            told |= {"updatedNumberScheduled": updated, "numberReady": ready}
        else:
            # The real one leaves counts of zero out.
            counts = {"replicas": len(pods), "updatedReplicas": updated, "readyReplicas": ready}
            told |= {key: count for key, count in counts.items() if count}
        if told != made["status"]:
            self._version += 1
            made["status"] = told
            made["metadata"]["resourceVersion"] = str(self._version)
            self._tell(plural, made)


def _revision(made: Json) -> str:
    return json.dumps(made["spec"]["template"], sort_keys=True)


def _kept(made: Json) -> Json:
    """What a client cannot change."""
    return {key: made["metadata"][key] for key in ("uid", "generation", "resourceVersion")}


def _annotated(made: Json) -> Any:
    return [made["metadata"].get(key) for key in ("annotations", "labels")]


def _replicas(made: Mapping[str, Any]) -> int:
    value = made["spec"].get("replicas", 0) if isinstance(made.get("spec"), dict) else None
    if isinstance(value, bool) or not isinstance(value, int):
        raise Refusal(400, "BadRequest", "json: cannot unmarshal into Go struct field ScaleSpec.spec.replicas of int32")
    if value < 0:
        raise Refusal(422, "Invalid", f"spec.replicas: Invalid value: {value}: must be greater than or equal to 0")
    return value


def _merged(old: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(old) if isinstance(old, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged(merged.get(key), value)
    return merged
