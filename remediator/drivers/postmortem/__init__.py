"""The story of an incident as a report that people read."""

from remediator.drivers.postmortem.driver import PostmortemConfig, PostmortemDriver

__all__ = ["PostmortemConfig", "PostmortemDriver"]
