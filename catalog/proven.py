"""Where each playbook has been tried: from an alert to its end, and on which platforms.

`FROM_AN_ALERT` names the test that runs it in the whole loop; `PROVEN` has drivers' names, as an inventory uses them. A
test runs every pair on the real thing (`tests/contract/drivers/test_matrix.py`), and fails where the table says more or
less than it runs; another one fails where a test that is named here is not there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

_RESTART = ("ansible", "celery", "compose", "docker", "gunicorn", "http", "kubernetes", "process", "systemd")
_SCALE = _RESTART

PROVEN: Mapping[str, Sequence[str]] = {
    "scale-api-shard": _SCALE,
    "restart-workers": _RESTART,
    "spawn-extra-workers": _SCALE,
    "scale-workers": _SCALE,
    "spawn-emergency-shard": ("compose", "docker", "kubernetes", "process", "systemd"),
    "throttle-learning": ("ansible", "celery", "compose", "docker", "http", "sql", "systemd"),
    "stop-ingestion-cycle": ("ansible", "celery", "compose", "docker", "http", "kubernetes", "sql"),
    "run-trust-analysis": ("ansible", "command", "http"),
    "shift-load": ("haproxy",),
    "scale-nodes": _SCALE,
    "cleanup-disk": ("files",),
}

_WORKLOAD = "tests/prove/playbooks/test_end_to_end.py::test_"
_BALANCE = "tests/prove/playbooks/test_balance.py::test_"
_GOVERNANCE = "tests/prove/playbooks/test_governance.py::test_"

FROM_AN_ALERT: Mapping[str, str] = {
    "scale-api-shard": f"{_WORKLOAD}scale_api_shard_adds_a_gunicorn_worker_and_gives_it_back",
    "restart-workers": f"{_WORKLOAD}restart_workers_replaces_every_worker_of_both_shards",
    "spawn-extra-workers": f"{_WORKLOAD}spawn_extra_workers_adds_two_and_gives_them_back_one_by_one",
    "scale-workers": f"{_WORKLOAD}scale_workers_adds_half_as_many_and_gives_them_back",
    "spawn-emergency-shard": f"{_WORKLOAD}spawn_emergency_shard_starts_the_standby_pool_where_workers_did_not_help",
    "throttle-learning": f"{_WORKLOAD}throttle_learning_halves_the_limit_until_a_person_releases_it",
    "stop-ingestion-cycle": f"{_WORKLOAD}stop_ingestion_cycle_follows_run_trust_analysis_until_a_person_releases_it",
    "run-trust-analysis": f"{_WORKLOAD}stop_ingestion_cycle_follows_run_trust_analysis_until_a_person_releases_it",
    "tighten-guardrails": f"{_GOVERNANCE}tighten_guardrails_leaves_to_people_what_grace_was_confident_enough_for",
    "downgrade-autonomy-tier": f"{_GOVERNANCE}downgrade_autonomy_tier_asks_one_person_more_until_it_is_released",
    "run-postmortem": f"{_GOVERNANCE}run_postmortem_writes_the_incident_down",
    "lock-planner-supervised": f"{_GOVERNANCE}lock_planner_supervised_leaves_every_change_to_people",
    "shift-load": f"{_BALANCE}shift_load_lowers_the_hot_shards_weight_and_raises_it_again_step_by_step",
    "scale-nodes": f"{_BALANCE}what_shift_load_did_not_help_is_undone_and_scale_nodes_adds_a_shard",
    "cleanup-disk": f"{_WORKLOAD}cleanup_disk_deletes_what_has_expired_and_nothing_else",
}
"""Playbook → the test that injects a fault and waits for the alert, the effect and the way back."""
