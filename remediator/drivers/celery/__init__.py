"""Celery workers: the size of their pools, what they take, and how fast."""

from remediator.drivers.celery.driver import CeleryDriver
from remediator.drivers.celery.settings import CeleryConfig

__all__ = ["CeleryConfig", "CeleryDriver"]
