"""One more container like another: the same image to the byte, the same settings, our own mark."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from remediator.drivers.docker.engine import Engine, Info
from remediator.errors import Permanent

MARK = "grace.clone-of"
"""The label by which a clone is known; its value is the name of the container it was made from."""
_OTHERS = ("com.docker.compose.", "com.docker.stack.", "com.docker.swarm.")
"""Labels by which other programs know what is theirs."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What the engine is asked to make."""

    config: Mapping[str, Any]
    further_networks: Mapping[str, Mapping[str, Any]]
    """Joined after it was made: older engines take one network at a time."""

    @classmethod
    def of(cls, seed: Info) -> Recipe:
        """From a container that is there. Raises Permanent for a description that makes no sense."""
        try:
            config, host = dict(seed["Config"]), dict(seed["HostConfig"])
            name = str(seed["Name"]).removeprefix("/")
            labels = {key: value for key, value in (config["Labels"] or {}).items() if not key.startswith(_OTHERS)}
            config["Labels"] = {**labels, MARK: name}
            config["Image"] = seed["Image"]  # by its digest: the tag may mean another one by now
            # The engine's own choice for the seed.
            config.pop("Hostname", None)
            config.pop("MacAddress", None)
            host.pop("ContainerIDFile", None)
            networks = _networks(seed, str(host["NetworkMode"]))
        except (KeyError, TypeError, AttributeError) as error:
            raise Permanent(f"the engine describes a container in an unknown way ({type(error).__name__})") from error
        first = dict(list(networks.items())[:1])
        return cls(
            {**config, "HostConfig": host, "NetworkingConfig": {"EndpointsConfig": first}},
            {network: endpoint for network, endpoint in networks.items() if network not in first},
        )

    async def make(self, engine: Engine, name: str) -> None:
        """Make it and start it."""
        made = await engine.create(name, self.config)
        for network, endpoint in self.further_networks.items():
            await engine.connect(network, made, endpoint)
        await engine.start(made)


def fixed_ports(seed: Info) -> list[str]:
    """Ports of this machine that the container claims for itself, which no clone can claim too."""
    bindings = seed["HostConfig"].get("PortBindings") or {}
    return sorted(
        port
        for port, places in bindings.items()
        if any(str(place.get("HostPort") or "0") != "0" for place in places or ())
    )


def _networks(seed: Info, mode: str) -> dict[str, Mapping[str, Any]]:
    """The networks of its own choice, with the names by which it is found there."""
    if mode in ("host", "none", "default", "bridge") or mode.startswith("container:"):
        return {}
    joined: Mapping[str, Mapping[str, Any]] = seed["NetworkSettings"]["Networks"] or {}
    own = str(seed["Id"])[:12]
    found = {
        network: {"Aliases": [alias for alias in endpoint.get("Aliases") or () if alias != own]}
        for network, endpoint in joined.items()
    }
    # The network of the mode is the one that it is made in.
    return {**({mode: found[mode]} if mode in found else {}), **found}
