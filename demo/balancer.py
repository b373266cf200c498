"""The load balancer's configuration: HAProxy in front of the shards."""

from __future__ import annotations

from collections.abc import Mapping

from demo.layout import SHARDS, SPARES, Layout


def balancer_config(place: Layout, port: int, agent_ports: Mapping[str, int]) -> str:
    """haproxy.cfg: a frontend on 127.0.0.1:`port`, backend `api` with a server per shard, each of weight 100.

    A server takes as many requests at once as its shard has workers (its agent says how many); the balancer keeps the
    rest waiting and sets `X-Request-Start`, so that waiting counts as latency. Weights belong to the runtime API.
    A spare shard's server is in maintenance until its agent says that it is there.
    """
    servers = "\n".join(
        f"    server {shard} unix@{place.shard_socket(shard)} agent-port {agent_ports[shard]}"
        + (" disabled" if shard in SPARES else "")
        for shard in (*SHARDS, *SPARES)
    )
    return f"""# Written by `grace up`; changes are overwritten.
global
    maxconn 256
    nbthread 1
    stats socket {place.balancer_socket} mode 600 level admin
    stats timeout 30s

defaults
    mode http
    timeout connect 2s
    timeout client 30s
    timeout server 30s
    timeout queue 30s
    timeout check 5s
    option redispatch
    retries 2

frontend demo
    bind 127.0.0.1:{port}
    http-request set-header X-Request-Start t=%[date(0,us)]
    default_backend api

backend api
    balance roundrobin
    # A worker takes one connection at a time: each request is one, to whichever worker is free.
    option http-server-close
    http-reuse never
    option httpchk GET /healthz
    default-server check inter 2s fastinter 500ms fall 4 rise 1 maxconn 1 weight 100
    default-server agent-check agent-inter 1s agent-addr 127.0.0.1
{servers}
"""
