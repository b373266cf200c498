"""Telling people: through the `notify` driver, once per occasion, however many replicas there are and die.

The ledger remembers what was told. It is marked afterwards: who dies in between tells again rather than never; on the
same data folder the notifications' own file prevents even that.
"""

from __future__ import annotations

import structlog

from catalog.model import Verb
from remediator.drivers.base import StepContext
from remediator.errors import GraceError
from remediator.ledger import told
from remediator.model import Incident
from remediator.pipeline.parts import GOVERNANCE, Parts

log = structlog.get_logger(__name__)


async def tell(parts: Parts, occasion: str, message: str, incident: Incident | None = None) -> bool:
    """Tell people; was it told just now? `occasion` is the key: the same one is told once."""
    if await parts.ledger.glance(lambda connection: told.holds(connection, occasion)):
        return False
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
        # Whom the notifications' own files know to be told is not told again: it need not be asked before.
        desired = driver.desire(target, Verb.NOTIFY, {}, {}, context)
        await driver.do(target, Verb.NOTIFY, desired, context)
    except GraceError as error:
        log.error("people_not_told", occasion=occasion, error=str(error))
        return False
    await parts.ledger.write(lambda tx: told.keep(tx, occasion, incident.id if incident else None))
    return True


def _channel(channel: object) -> dict[str, str]:
    places = {key: getattr(channel, key, None) for key in ("file", "url_file")}
    return {"name": getattr(channel, "name", ""), **{key: str(path) for key, path in places.items() if path}}
