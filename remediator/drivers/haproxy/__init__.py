"""Weights of servers in an HAProxy backend, through the runtime API on a unix socket."""

from remediator.drivers.haproxy.driver import HAProxyConfig, HAProxyDriver

__all__ = ["HAProxyConfig", "HAProxyDriver"]
