"""Celery's remote control: a command goes to named nodes through the broker, and every one of them must answer."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

from remediator.drivers.celery.settings import CeleryConfig
from remediator.errors import GraceError, Permanent, Refused, Transient

_LEEWAY = 2.0
_FORBIDDEN = (
    "permission denied",
    "noauth",
    "noperm",
    "no permission",
    "wrongpass",
    "invalid username-password",
    "access_refused",
    "access refused",
    "authentication",
)


class Remote:
    """One broker. Every call is bounded; calls wait for each other, so that one reply queue serves them all."""

    def __init__(self, config: CeleryConfig) -> None:
        self._config = config
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="celery remote control")
        self._app: Any = None
        self._used = ""

    async def ask(self, command: str, nodes: Sequence[str], timeout: float, **arguments: Any) -> Mapping[str, Any]:
        """Each node's answer. Raises Transient where one of them says nothing for `timeout` seconds."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(2 * timeout + _LEEWAY):
                replies = await loop.run_in_executor(self._thread, self._broadcast, command, nodes, timeout, arguments)
        except TimeoutError as error:
            raise Transient(f"the broker did not answer within {timeout:g} s") from error
        answers = _by_node(replies)
        silent = [node for node in nodes if node not in answers]
        if silent:
            raise Transient(f"{', '.join(silent)} did not answer {command!r} within {timeout:g} s: is it running?")
        return {node: answers[node] for node in nodes}

    async def tell(self, command: str, node: str, timeout: float, **arguments: Any) -> str | None:
        """Have one node change something: None when it said "ok", else what it said against it."""
        answer = (await self.ask(command, [node], timeout, **arguments))[node]
        if isinstance(answer, dict) and "ok" in answer:
            return None
        if isinstance(answer, dict) and "error" in answer:
            return str(answer["error"])
        raise Permanent(f"{node} answered {command!r} with something that is neither ok nor an error")

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _broadcast(self, command: str, nodes: Sequence[str], timeout: float, arguments: Mapping[str, Any]) -> Any:
        try:
            app = self._application(timeout)
            with app.connection_for_write() as connection:
                return app.control.broadcast(
                    command, dict(arguments), destination=list(nodes), reply=True, timeout=timeout,
                    connection=connection,
                )  # fmt: skip
        except GraceError:
            raise
        except Exception as error:  # every transport raises its own client library's errors
            raise self._translated(error) from error

    def _application(self, timeout: float) -> Any:
        url = self._url()
        if self._app is None or url != self._used:
            try:
                from celery import Celery
            except ImportError as error:
                raise Permanent("Celery is not installed; install grace[celery]") from error
            # Anew where the password was replaced since.
            self._app, self._used = Celery("grace", broker=url, set_as_current=False), url
            self._app.conf.update(
                accept_content=["json"],
                broker_pool_limit=0,
                broker_connection_timeout=timeout,
                # Once, without waiting for a broker to come up: whoever asks tries again later.
                broker_transport_options={
                    "max_retries": 0,
                    "interval_start": 0,
                    "interval_step": 0,
                    "socket_timeout": timeout,
                    "socket_connect_timeout": timeout,
                    **self._config.broker_options,
                },
            )
        return self._app

    def _url(self) -> str:
        file = self._config.password_file
        if file is None:
            return self._config.broker
        parts = urlsplit(self._config.broker)
        user, _, place = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{user.partition(':')[0]}:{quote(self._password(), safe='')}@{place}"))

    def _password(self) -> str:
        file = self._config.password_file
        if file is None:
            return unquote(urlsplit(self._config.broker).password or "")
        try:
            return file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise Permanent(f"the password file {file} cannot be read: {error.strerror}") from error

    def _translated(self, error: Exception) -> GraceError:
        said = str(error) or type(error).__name__
        if isinstance(error, PermissionError) or any(word in said.lower() for word in _FORBIDDEN):
            return Refused(f"the broker does not allow it: {said}", reason="permission")
        if isinstance(error, OSError) or type(error).__name__ in (
            "OperationalError",
            "ConnectionError",
            "TimeoutError",
        ):
            return Transient(f"the broker cannot be used now: {said}")
        return Permanent(f"the broker cannot be used: {type(error).__name__}: {said}")


def _by_node(replies: Any) -> dict[str, Any]:
    """Celery gives a list of one-node mappings."""
    found: dict[str, Any] = {}
    for reply in replies or ():
        if not isinstance(reply, dict):
            raise Permanent("a worker answered something that is no mapping")
        found.update(reply)
    return found
