"""Two lines for a WSGI service (Flask, Django, Bottle …):

from exporter.middleware.wsgi import instrument
app.wsgi_app = instrument(app.wsgi_app)
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry

from exporter.middleware.instruments import UNMATCHED, RequestTracker, Stopwatch, tracker_for

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


def template(environ: WSGIEnvironment) -> str | None:
    """The rule Flask matched, or what the service put into `environ["grace.route"]`, or None."""
    written = environ.get("grace.route")
    if written is None:
        written = getattr(getattr(environ.get("werkzeug.request"), "url_rule", None), "rule", None)
    return written if isinstance(written, str) else None


def instrument(
    app: WSGIApplication,
    *,
    trust_request_start: bool = False,
    registry: CollectorRegistry | None = None,
    route: Callable[[WSGIEnvironment], str | None] = template,
) -> WSGIApplication:
    """The app, with every request counted and timed until its body was sent.

    `route` gives a request's route template after it was handled (None: counted as unmatched, never by its raw path).
    """
    tracker = tracker_for(registry)

    def measured(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        call = _Call(tracker, environ, route, environ.get("HTTP_X_REQUEST_START") if trust_request_start else None)

        def watched_start(status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None, /) -> Any:
            call.code = int(status[:3])
            return start_response(status, headers, exc_info) if exc_info else start_response(status, headers)

        try:
            return _Body(app(environ, watched_start), call)
        except BaseException:
            call.code = 500
            call.end()
            raise

    return measured


class _Call:
    """One request, from the call to the closing of its body."""

    def __init__(
        self,
        tracker: RequestTracker,
        environ: WSGIEnvironment,
        route: Callable[[WSGIEnvironment], str | None],
        started_header: str | None,
    ) -> None:
        self.code = 500
        self._tracker = tracker
        self._environ = environ
        self._route = route
        self._stopwatch = Stopwatch(started_header)
        self._ended = False
        tracker.begin()

    def end(self) -> None:
        if not self._ended:
            self._ended = True
            self._tracker.end(
                str(self._environ.get("REQUEST_METHOD", "")),
                self._route(self._environ) or UNMATCHED,
                self.code,
                self._stopwatch.seconds(),
            )


class _Body:
    """The app's body; closing it (which every WSGI server does) ends the call."""

    def __init__(self, body: Iterable[bytes], call: _Call) -> None:
        self._body = body
        self._call = call

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            self._call.end()
