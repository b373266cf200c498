"""Workloads and nodes of a Kubernetes cluster."""

from remediator.drivers.kubernetes.driver import KubernetesDriver
from remediator.drivers.kubernetes.settings import KubernetesConfig

__all__ = ["KubernetesConfig", "KubernetesDriver"]
