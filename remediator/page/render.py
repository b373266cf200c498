"""Templates and what they call: every value is escaped, and no stranger's text is ever a template."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from aiohttp import web

from remediator.bands import shown_value
from remediator.story import sentence
from remediator.words import moment, shown

if TYPE_CHECKING:
    from jinja2 import Environment

HEADERS: Mapping[str, str] = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""Sent with every page: nothing but our own files is loaded, and nobody frames us."""
MARKS = {"good": "●", "warning": "▲", "critical": "■", "idle": "○", "no data": "·"}
"""A shape for each band, for who does not tell the colours apart."""


def respond(template: str, values: Mapping[str, Any], *, status: int = 200) -> web.Response:
    """The template with its values, as a page."""
    text = environment().get_template(template).render(values)
    return web.Response(text=text, status=status, content_type="text/html", headers=HEADERS)


@cache
def environment() -> Environment:
    """The templates, compiled at their first use."""
    # Imported here: who never opens the page does without its 2 MB of memory.
    from jinja2 import Environment, PackageLoader, StrictUndefined

    made = Environment(
        loader=PackageLoader("remediator.page"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(FILTERS)
    made.globals["marks"] = MARKS
    return made


def ago(seconds: float | None, now: float) -> str:
    """How long ago, in the largest unit that is not 0; `in 5 min` for what is still to come."""
    if seconds is None:
        return "-"
    words = span(abs(now - seconds))
    return f"in {words}" if seconds > now else f"{words} ago"


def span(seconds: float) -> str:
    """A duration in one unit: `12 s`, `3 min`, `5 h`, `2 d`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def told(entry: Mapping[str, Any]) -> str:
    """An audit entry in words."""
    return sentence(str(entry.get("kind")), entry.get("body") or {})


def state_words(state: str) -> str:
    return state.replace("_", " ")


FILTERS: Mapping[str, Callable[..., str]] = {
    "ago": ago,
    "moment": moment,
    "shown": shown,
    "shown_value": shown_value,
    "told": told,
    "words": state_words,
}
