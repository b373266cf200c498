"""One service of a Compose project."""

from remediator.drivers.compose.driver import ComposeConfig, ComposeDriver

__all__ = ["ComposeConfig", "ComposeDriver"]
