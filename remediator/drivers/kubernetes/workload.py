"""What an object of a cluster says of itself, checked. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from remediator.drivers.kubernetes.settings import Kind, KubernetesConfig
from remediator.errors import Permanent, Refused

RESTARTED_AT = "kubectl.kubernetes.io/restartedAt"
"""The annotation that `kubectl rollout restart` sets: whoever looks finds what they know."""

Json = Mapping[str, Any]


def pods(config: KubernetesConfig, found: Json) -> dict[str, Any]:
    """How many pods are asked for, and how far the cluster has come."""
    spec, status = part(found, "spec"), part(found, "status")
    if config.kind is Kind.DAEMON_SET:
        wanted = count(status, "desiredNumberScheduled")
        have = {"pods": "currentNumberScheduled", "updated": "updatedNumberScheduled", "ready": "numberReady"}
    else:
        wanted = count(spec, "replicas", 1)
        have = {"pods": "replicas", "updated": "updatedReplicas", "ready": "readyReplicas"}
    seen = count(status, "observedGeneration") >= count(part(found, "metadata"), "generation")
    return {"replicas": wanted, **{name: count(status, field) for name, field in have.items()}, "seen": seen}


def settled(observed: Mapping[str, Any], *, renewed: bool) -> bool:
    """Has the cluster done what was asked: every pod there and ready (`renewed`: and a new one), and no other?"""
    wanted = observed["replicas"]
    counted = ("pods", "ready", "updated") if renewed else ("pods", "ready")
    return bool(observed["seen"]) and all(observed[name] == wanted for name in counted)


def restarted_at(found: Json) -> float | None:
    """Epoch seconds of the last restart that was asked for; None where none ever was."""
    template = part(part(found, "spec"), "template")
    annotations = part(part(template, "metadata"), "annotations")
    text = annotations.get(RESTARTED_AT)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None  # somebody's own words: no restart of ours
    return moment.timestamp() if moment.tzinfo else moment.replace(tzinfo=UTC).timestamp()


def moment(epoch: float) -> str:
    """RFC 3339, in UTC; never earlier than `epoch`, so that reading it back proves a restart after it."""
    return datetime.fromtimestamp(math.ceil(epoch * 1000) / 1000, UTC).isoformat(timespec="milliseconds")


def in_the_way(config: KubernetesConfig, found: Json) -> str:
    """Why a restart that is asked for would not happen; empty where nothing is in the way."""
    spec = part(found, "spec")
    if spec.get("paused"):
        return "its rollouts are paused"
    strategy = part(spec, "updateStrategy")
    if strategy.get("type") == "OnDelete":
        return "its update strategy is OnDelete: pods are replaced by hand"
    if count(part(strategy, "rollingUpdate"), "partition"):
        return "its rolling update stops at a partition"
    return ""


def autoscaler(config: KubernetesConfig, scalers: Iterable[Json]) -> str | None:
    """The name of the autoscaler that sets this workload's replicas."""
    for scaler in scalers:
        reference = part(part(scaler, "spec"), "scaleTargetRef")
        if (reference.get("kind"), reference.get("name")) == (config.kind.value, config.name):
            return str(part(scaler, "metadata").get("name", "?"))[:253]
    return None


def autoscaled(config: KubernetesConfig, name: str) -> Refused:
    return Refused(
        f"{config.kind} {config.name} is scaled by the autoscaler {name}: change its limits instead",
        reason="autoscaled",
    )


def version(found: Json) -> str:
    """The resourceVersion, without which a change could overwrite somebody else's."""
    told = part(found, "metadata").get("resourceVersion")
    if not isinstance(told, str) or not told:
        raise Permanent("the cluster answered an object without a resourceVersion")
    return told


def part(found: Json, name: str) -> Json:
    """A mapping inside; empty where absent."""
    inner = found.get(name)
    if inner is None:
        return {}
    if not isinstance(inner, dict):
        raise Permanent(f"the cluster answered an object whose {name} is none")
    return inner


def count(found: Json, name: str, absent: int = 0) -> int:
    """A whole number from zero; `absent` where the cluster leaves it out."""
    told = found.get(name)
    if told is None:
        return absent
    if not isinstance(told, int) or isinstance(told, bool) or told < 0:
        raise Permanent(f"the cluster answered an object whose {name} is no count")
    return told
