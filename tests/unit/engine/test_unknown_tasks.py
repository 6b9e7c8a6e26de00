"""A task that no consumer knows is parked, shown, and given to the first one that knows it."""

from __future__ import annotations

import pytest

from taskq.protocol.consuming import Heartbeat
from taskq.protocol.operating import Control, GetStats
from taskq.protocol.producing import Cancel
from taskq.protocol.values import WorkerInfo
from tests.kit.engine import WORKER, EngineBench, ids


@pytest.fixture
def bench() -> EngineBench:
    bench = EngineBench()
    bench.register(tasks=["known"])
    return bench


def test_an_unknown_task_is_parked_and_shown(bench: EngineBench) -> None:
    bench.enqueue("a", task="new")
    bench.enqueue("b", task="known")
    assert ids(bench.claim()) == ["b"]
    assert bench.state("a") == "parked"
    assert bench.stats().unknown == {"new": 1}
    assert bench.call(GetStats()).broker.parked == 1


def test_the_worker_gets_the_unknown_task_at_once(bench: EngineBench) -> None:
    assert bench.heartbeat().unknown == []
    waiting = bench.park(Heartbeat(worker="w", info=WorkerInfo(), wait=10), session=WORKER + 100)
    bench.enqueue("a", "b", task="shop.new")
    bench.claim()
    assert bench.answer(waiting).unknown == ["shop.new"]
    assert bench.heartbeat().unknown == ["shop.new"]


def test_a_task_that_another_worker_knows_is_not_reported(bench: EngineBench) -> None:
    bench.register(3, worker="w2", tasks=["new"])
    waiting = bench.park(Heartbeat(worker="w", info=WorkerInfo(), wait=10), session=WORKER + 100)
    bench.enqueue("a", task="new")
    bench.claim()
    assert bench.state("a") == "parked"
    assert bench.answer(waiting) is None
    assert bench.heartbeat().unknown == []


def test_it_goes_to_a_consumer_that_knows_it_first_and_in_order(bench: EngineBench) -> None:
    bench.enqueue("a", "b", task="new")
    assert bench.claim() == []
    bench.enqueue("c", task="new")
    bench.register(3, consumer="c2", tasks=["new"])
    assert ids(bench.claim(session=3)) == ["a", "b", "c"]
    assert bench.stats().unknown == {}
    assert bench.engine.ledger.group("q", "default").parked.lanes == {}


def test_a_parked_claim_is_served_once_its_consumer_has_more_tasks(bench: EngineBench) -> None:
    rid = bench.park_claim()
    bench.enqueue("a", task="new")
    assert bench.state("a") == "parked"
    bench.register(tasks=["known", "new"])
    assert ids(bench.answer(rid).messages) == ["a"]


def test_a_parked_claim_of_one_that_knows_is_served(bench: EngineBench) -> None:
    bench.register(3, consumer="c2", tasks=["new"])
    waiting = bench.park_claim(3)
    bench.park_claim()
    bench.enqueue("a", task="new")
    assert ids(bench.answer(waiting).messages) == ["a"]


def test_a_release_as_unknown_parks_it(bench: EngineBench) -> None:
    bench.register(3, consumer="all", tasks=None)
    bench.enqueue("a", task="x")
    message = bench.claim_one(session=3)
    bench.release(message, unknown=True)
    job = bench.job("a")
    assert (job.state, job.attempts) == ("parked", 0)


def test_what_is_released_as_unknown_goes_to_a_claim_that_waits_and_knows_it(
    bench: EngineBench,
) -> None:
    bench.register(3, consumer="all", tasks=None)
    bench.register(4, consumer="other", tasks=["x"])
    bench.enqueue("a", task="x")
    message = bench.claim_one(session=3)
    waiting = bench.park_claim(4)
    bench.release(message, unknown=True)
    assert ids(bench.answer(waiting).messages) == ["a"]


def test_a_portable_message_can_go_anywhere(bench: EngineBench) -> None:
    bench.enqueue("a", task="<lambda>", carries_code=True)
    assert ids(bench.claim()) == ["a"]


def test_part_of_the_parked_ones_may_be_taken(bench: EngineBench) -> None:
    bench.enqueue("a", "b", "c", task="new")
    bench.claim()
    bench.register(3, consumer="c2", tasks=["new"])
    assert ids(bench.claim(2, session=3)) == ["a", "b"]
    assert bench.stats().unknown == {"new": 1}
    assert ids(bench.claim(2, session=3)) == ["c"]


def test_a_parked_one_can_be_cancelled_and_purged(bench: EngineBench) -> None:
    bench.enqueue("a", "b", task="new")
    bench.claim()
    bench.call(Cancel(ids=["a"]))
    assert bench.stats().unknown == {"new": 1}
    assert bench.call(Control(queue="q", action="purge")).count == 1
    assert (bench.stats().unknown, bench.stats().parked) == ({}, 0)
    bench.register(3, consumer="c2", tasks=["new"])
    assert bench.claim(session=3) == []


def test_a_parked_one_expires(bench: EngineBench) -> None:
    bench.enqueue("a", task="new", expires_at=bench.now + 5)
    bench.claim()
    bench.after(5)
    assert (bench.state("a"), bench.stats().unknown) == ("expired", {})


def test_a_parked_one_that_was_lost_with_a_worker_is_dealt_out_alone(bench: EngineBench) -> None:
    bench.register(3, consumer="c3")
    bench.enqueue("a", "poison", task="new", lease=5)
    first, _ = bench.claim(2, session=3)
    bench.release(first)
    bench.after(5)
    assert bench.claim() == []
    assert (bench.state("a"), bench.state("poison")) == ("parked", "parked")
    bench.register(3, consumer="c3", tasks=["new"])
    assert ids(bench.claim(session=3)) == ["a"]
    assert ids(bench.claim(session=3)) == ["poison"]
