"""Is this request meant for us, and from a page of ours? Defence against DNS rebinding and cross-site requests."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection
from functools import lru_cache
from urllib.parse import urlsplit


def host_allowed(host: str, names: Collection[str]) -> bool:
    """May a request name this `Host` (with or without a port)?

    `localhost`, any IP address, and the given names (lower case, without port) may. Rebinding needs a name that an
    attacker's DNS answers, which an address never is.
    """
    place = _place(host, "http")
    return place is not None and (place[0] == "localhost" or _is_address(place[0]) or place[0] in names)


def origin_allowed(origin: str, host: str) -> bool:
    """Is a browser's `Origin` the site that `Host` names? Schemes may differ: TLS may end at a proxy before us."""
    scheme, separator, place = origin.partition("://")
    if not separator or scheme not in _PORTS:
        return False  # "null" too: a sandboxed frame or a file
    theirs, ours = _place(place, scheme), _place(host, scheme)
    return theirs is not None and theirs == ours


@lru_cache(maxsize=256)
def is_loopback(address: str | None) -> bool:
    """Does this peer address belong to this machine?"""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:
        return False
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return (mapped or parsed).is_loopback


_PORTS = {"http": 80, "https": 443}


@lru_cache(maxsize=256)  # the same few hosts, with every request
def _place(host: str, scheme: str) -> tuple[str, int] | None:
    """Host name and port, the scheme's own where none is written; None when it is no host."""
    try:
        parts = urlsplit(f"{scheme}://{host}")
        port = parts.port
    except ValueError:
        return None
    if not parts.hostname or parts.netloc != host or "@" in host:
        return None
    return parts.hostname, _PORTS[scheme] if port is None else port


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
