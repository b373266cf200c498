"""How a drill reads an incident's course: its times, its end, and what people are told."""

from __future__ import annotations

from typing import Any

import pytest

from demo.alerts import FiringAlert
from demo.course import Course, End
from demo.grace_api import Incident, Run

SINCE = 1000.0


def incident(**changes: Any) -> Incident:
    """An open CPU incident of api-1, ten seconds after the fault."""
    usual: dict[str, Any] = {
        "id": "inc_1",
        "metric_id": "infra.cpu_utilization",
        "resource": "api-1",
        "band": "critical",
        "state": "open",
        "opened_at": SINCE + 10,
        "changed_at": SINCE + 10,
    }
    return Incident.model_validate(usual | changes)


def run(**changes: Any) -> Run:
    """Its planned shift-load."""
    usual: dict[str, Any] = {
        "id": "run_1",
        "incident_id": "inc_1",
        "playbook_id": "shift-load",
        "target": "edge",
        "state": "planned",
        "verdict": "allow",
        "reasons": [],
        "confidence": 0.8,
        "created_at": SINCE + 11,
    }
    return Run.model_validate(usual | changes)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def course(said: list[str]) -> Course:
    return Course("infra.cpu_utilization", "api-1", SINCE, lambda _, text: said.append(text))


def test_a_heal_has_four_times_each_said_once(course: Course, said: list[str]) -> None:
    course.see([incident()], [], SINCE + 10)
    course.see([incident(state="verifying")], [run(state="verifying", acted_at=SINCE + 12)], SINCE + 13)
    healed = incident(state="closed", outcome="healed", closed_at=SINCE + 24)
    for _ in range(3):
        course.see([healed], [run(state="healed", acted_at=SINCE + 12)], SINCE + 25)
    assert course.end is End.HEALED
    assert course.marks == {"detect": 10.0, "decide": 11.0, "act": 12.0, "heal": 24.0}
    assert len(said) == len(set(said)) == 5


@pytest.mark.parametrize(
    ("state", "end"),
    [
        ("open", None),
        ("acting", None),
        ("contained", End.CONTAINED),
        ("escalated", End.ESCALATED),
        ("waiting_approval", End.HELD),
        ("cooling", End.HELD),
        ("blind", None),
    ],
)
def test_what_a_state_comes_to(course: Course, state: str, end: End | None) -> None:
    course.see([incident(state=state)], [], SINCE + 20)
    assert course.end is end


@pytest.mark.parametrize("outcome", ["self_resolved", "acknowledged", None])
def test_what_closed_otherwise_is_no_heal(course: Course, outcome: str | None) -> None:
    course.see([incident(state="closed", outcome=outcome, closed_at=SINCE + 20)], [], SINCE + 20)
    assert course.end is End.CLOSED
    assert "heal" not in course.marks


def test_an_older_incident_and_another_resource_are_not_this_fault(course: Course) -> None:
    course.see([incident(opened_at=SINCE - 60), incident(resource="api-2")], [], SINCE + 20)
    assert course.incident is None
    assert "no incident was opened" in course.why()


def test_a_run_for_another_incident_is_not_counted(course: Course) -> None:
    course.see([incident()], [run(incident_id="inc_2"), run(incident_id=None)], SINCE + 20)
    assert course.runs == []
    assert "decide" not in course.marks


def test_what_went_away_by_itself_is_watched_when_it_comes_back(course: Course) -> None:
    gone = incident(state="closed", outcome="self_resolved", closed_at=SINCE + 15)
    course.see([gone], [], SINCE + 16)
    back = incident(id="inc_2", opened_at=SINCE + 20, state="closed", outcome="healed", closed_at=SINCE + 40)
    course.see([back, gone], [], SINCE + 41)
    assert course.end is End.HEALED


def test_a_heal_stays_a_heal_whatever_comes_later(course: Course) -> None:
    healed = incident(state="closed", outcome="healed", closed_at=SINCE + 24)
    later = incident(id="inc_2", opened_at=SINCE + 30, state="closed", outcome="self_resolved", closed_at=SINCE + 40)
    course.see([later, healed], [], SINCE + 41)
    assert course.end is End.HEALED


def test_people_are_told_of_this_metric_since_the_fault(course: Course) -> None:
    course.told([FiringAlert("infra.cpu_utilization", "api-1", SINCE - 60, ("people",))])
    course.told([FiringAlert("infra.cpu_utilization", "api-2", SINCE + 5, ("people",))])
    course.told([FiringAlert("infra.cpu_utilization", "api-1", SINCE + 5, ("nobody",))])
    assert course.end is None
    course.told([FiringAlert("infra.cpu_utilization", "api-1", SINCE + 5, ("grace", "people"))])
    assert course.end is End.ESCALATED
    assert course.marks == {"detect": 5.0}
