"""Audit entries in words: what happened, one line each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from remediator.words import moment, printable, shown

Body = Mapping[str, Any]


def timeline(entries: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """One line an entry, oldest first: time, who, what."""
    actors = max((len(shown(entry.get("actor"))) for entry in entries), default=0)
    for entry in entries:
        who = shown(entry.get("actor")).ljust(actors)
        yield f"{moment(entry.get('at'))}  {who}  {sentence(str(entry.get('kind')), entry.get('body') or {})}"


def sentence(kind: str, body: Body) -> str:
    """What an entry says, on one line; a kind without words of its own is shown with everything it holds."""
    words = _WORDS.get(kind)
    if words is None:
        return f"{printable(kind.replace('_', ' '))}: {shown(body)}" if body else printable(kind.replace("_", " "))
    return words(body)


def _of(body: Body, *names: str) -> str:
    return " ".join(shown(body[name]) for name in names if body.get(name) not in (None, "", [], {}))


def _because(body: Body, name: str = "reason") -> str:
    return f": {shown(body[name])}" if body.get(name) else ""


def _alert(body: Body) -> str:
    about = _of(body, "severity", "metric_id") or _of(body, "severity", "alertname")
    resource = f" on {shown(body['resource'])}" if body.get("resource") else ""
    return f"alert {_of(body, 'status')}: {about}{resource} ({_of(body, 'meaning')})"


def _decision(body: Body) -> str:
    target = f" on {shown(body['target'])}" if body.get("target") else ""
    needed = f", {shown(body['approvals_needed'])} approvals needed" if body.get("approvals_needed") else ""
    why = body.get("reasons") or body.get("why")
    verdict = f"{shown(body.get('verdict'))} ({shown(why)})" if why else shown(body.get("verdict"))
    known = f"confidence {shown(body.get('confidence'))}, evidence {shown(body.get('evidence'))}"
    return f"decision: {shown(body.get('playbook'))} ({shown(body.get('tier'))}){target}: {verdict}, {known}{needed}"


def _moved(what: str) -> Callable[[Body], str]:
    def words(body: Body) -> str:
        outcome = f" ({shown(body['outcome'])})" if body.get("outcome") else ""
        return f"{what} {_of(body, 'from')} → {_of(body, 'to')}{outcome}{_because(body)}"

    return words


def _intended(body: Body) -> str:
    again = f", attempt {shown(body['attempt'])}" if body.get("attempt") not in (None, 1) else ""
    return (
        f"{_of(body, 'phase')} step {_of(body, 'step') or '0'}: {_of(body, 'verb')} {_of(body, 'target')} through "
        f"{_of(body, 'driver')}, from {shown(body.get('before'))} to {shown(body.get('desired'))}{again}"
    )


def _ended(body: Body) -> str:
    found = f", now {shown(body['after'])}" if body.get("after") else ""
    phase, step = _of(body, "phase"), shown(body.get("step"))
    return f"{phase} step {step} {_of(body, 'result')}{found}{_because(body, 'error')}"


def _asked(body: Body) -> str:
    needed = body.get("needed")
    people = "person" if needed == 1 else "people"
    return (
        f"approval {_of(body, 'approval')} asked of {shown(needed)} {people} for a {_of(body, 'tier')} plan, until "
        f"{moment(body.get('expires_at'))}"
    )


def _settled(status: str) -> Callable[[Body], str]:
    return lambda body: f"approval {_of(body, 'approval')} {status}{_because(body)}"


def _snapshot(body: Body) -> str:
    known = {name: value for name, value in body.items() if name not in ("moment", "metric_id", "resource")}
    return f"measurements {_of(body, 'moment')}: {shown(known)}"


_WORDS: Mapping[str, Callable[[Body], str]] = {
    "alert_received": _alert,
    "alert_absent": lambda body: f"Alertmanager does not hold the alert any more ({_of(body, 'polls')} times)",
    "incident_opened": lambda body: f"incident opened: {_of(body, 'band', 'metric_id')} on {_of(body, 'resource')}",
    "incident_moved": _moved("incident"),
    "incident_acknowledged": lambda body: f"a person has it{_because(body)}",
    "incident_closed_by_person": lambda body: f"closed by a person{_because(body)}",
    "run_moved": _moved("run"),
    "decision": _decision,
    "step_intended": _intended,
    "step_done": _ended,
    "step_failed": _ended,
    "snapshot": _snapshot,
    "approval_asked": _asked,
    "approval_vote": lambda body: f"{_of(body, 'vote')} on approval {_of(body, 'approval')}{_because(body)}",
    **{f"approval_{status}": _settled(status) for status in ("approved", "rejected", "expired", "void")},
    "people_told": lambda body: f"people told ({_of(body, 'whom')}){_because(body, 'note')}",
    "undo_asked": lambda body: f"undo asked for{_because(body)}",
    "release_asked": lambda body: f"release asked for{_because(body)}",
    "released": lambda body: f"given back{_because(body)}",
    "governance_changed": lambda body: (
        f"governance changed: {shown({k: v for k, v in body.items() if k != 'reason'})}" + _because(body)
    ),
}
