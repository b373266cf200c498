"""A service's own control endpoint: numbers and switches that it lets others read and set."""

from remediator.drivers.http.driver import HttpDriver
from remediator.drivers.http.settings import HttpConfig

__all__ = ["HttpConfig", "HttpDriver"]
