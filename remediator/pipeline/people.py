"""Telling people: through the `notify` driver, once per occasion however often this process dies."""

from __future__ import annotations

import structlog

from catalog.model import Verb
from remediator.drivers.base import StepContext
from remediator.errors import GraceError
from remediator.model import Incident
from remediator.pipeline.parts import GOVERNANCE, Parts

log = structlog.get_logger(__name__)


async def tell(parts: Parts, occasion: str, message: str, incident: Incident | None = None) -> bool:
    """Tell people; was it told just now? `occasion` is the key: the same one is told once."""
    driver = parts.drivers["notify"]
    target = GOVERNANCE.model_copy(
        update={"driver": "notify", "config": {"channels": [_channel(each) for each in parts.config.notify]}}
    )
    context = StepContext(
        run_id="",
        step=0,
        key=occasion,
        started_at=parts.clock.now(),
        resource=incident.resource if incident else "",
        incident_id=incident.id if incident else "",
        message=message,
    )
    try:
        before = await driver.observe(target, Verb.NOTIFY, context)
        desired = driver.desire(target, Verb.NOTIFY, {}, before, context)
        if driver.reached(Verb.NOTIFY, desired, before):
            return False
        await driver.do(target, Verb.NOTIFY, desired, context)
    except GraceError as error:
        log.error("people_not_told", occasion=occasion, error=str(error))
        return False
    return True


def _channel(channel: object) -> dict[str, str]:
    name, file = getattr(channel, "name", ""), getattr(channel, "file", None)
    return {"name": name, **({"file": str(file)} if file else {})}
