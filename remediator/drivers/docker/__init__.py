"""Containers of a Docker engine that carry our label."""

from remediator.drivers.docker.driver import DockerConfig, DockerDriver

__all__ = ["DockerConfig", "DockerDriver"]
