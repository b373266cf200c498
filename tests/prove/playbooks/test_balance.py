"""The playbooks whose effect HAProxy shows, from a real fault to their effect, and until it is given back.

On a demo of their own: where many runs did not help, Grace asks one person more, and scale-nodes is such a one.
"""

from __future__ import annotations

import pytest

from tests.prove.playbooks.stage import Stage

pytestmark = [pytest.mark.prove, pytest.mark.timeout(900)]


def test_shift_load_lowers_the_hot_shards_weight_and_raises_it_again_step_by_step(demo: Stage) -> None:
    assert demo.weights() == (100, 100)
    demo.inject("cpu")
    demo.until("a fifth of the weight", lambda: demo.weights() == (20, 100))
    demo.run_of("shift-load", "healed")
    demo.clear()
    way = demo.ways(demo.weights, (100, 100))
    assert way == sorted(way)
    assert len(way) > 2, "in steps"


def test_what_shift_load_did_not_help_is_undone_and_scale_nodes_adds_a_shard(demo: Stage) -> None:
    """A fifth of the requests needs too much CPU as well: the weight goes back, then a node is added, and kept.

    What only people may begin, only people give back: they are told when it is needed no more.
    """
    demo.inject("cpu", cpu_seconds="0.16")
    demo.until("a fifth of the weight", lambda: demo.weights() == (20, 100))
    demo.run_of("shift-load", "rolled_back")
    assert demo.weights() == (100, 100)
    assert demo.server("api-3") != "UP"
    demo.approve("scale-nodes")
    demo.until("HAProxy sends requests to a third shard", lambda: demo.server("api-3") == "UP")
    assert len(demo.pids("nodes")) == 1
    run = demo.run_of("scale-nodes", "ineffective", "healed")
    assert demo.server("api-3") == "UP", "kept, whether it helped or not"
    demo.clear()
    told = demo.loop.data / "notifications.log"
    demo.until(
        "a person is asked to give it back", lambda: f"grace runs release {run['id']}" in told.read_text(), 120.0
    )
    assert demo.server("api-3") == "UP", "tier_3 is a person's to say, there and back"
    demo.give_back("release", run)
    demo.until("the node is given back", lambda: not demo.pids("nodes") and demo.server("api-3") != "UP")
    assert not demo.loop.get(f"/api/v1/runs/{run['id']}")["kept"]
