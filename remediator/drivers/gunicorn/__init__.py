"""Workers of gunicorn masters: how many, and how old. Through the control socket, or by signals."""

from remediator.drivers.gunicorn.driver import GunicornConfig, GunicornDriver

__all__ = ["GunicornConfig", "GunicornDriver"]
