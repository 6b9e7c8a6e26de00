"""Connections of workers: closed, opened again, changed, and out of date."""

from __future__ import annotations

import pytest

from taskq.engine.model import GRACE
from taskq.engine.operations import SLICE
from taskq.errors import UnknownConsumer
from taskq.protocol.consuming import Heartbeat, Leave, Register
from taskq.protocol.operating import GetStats
from taskq.protocol.producing import Cancel, Wait
from taskq.protocol.values import WorkerInfo
from tests.kit.engine import MOMENT, WORKER, EngineBench, ids

HEART = WORKER + 100  # the session of the launcher


@pytest.fixture
def bench() -> EngineBench:
    bench = EngineBench()
    bench.register()
    return bench


def test_a_worker_without_any_connection_has_a_grace(bench: EngineBench) -> None:
    bench.enqueue("a", lease=1000)
    bench.claim_one()
    bench.disconnect(WORKER)
    bench.after(GRACE - MOMENT)
    assert bench.state("a") == "leased"
    bench.after(MOMENT)
    assert bench.state("a") == "ready"
    assert "connections were closed" in bench.job("a").errors[0].text
    assert bench.call(GetStats()).workers == []


def test_a_lease_shorter_than_the_grace_ends_in_its_own_time(bench: EngineBench) -> None:
    bench.enqueue("a", lease=GRACE / 2)
    bench.claim_one()
    bench.disconnect(WORKER)
    bench.after(GRACE / 2)
    assert bench.state("a") == "ready"
    assert "lease ran out" in bench.job("a").errors[0].text
    assert len(bench.call(GetStats()).workers) == 1
    bench.after(GRACE / 2)
    assert bench.call(GetStats()).workers == []


def test_a_worker_that_returns_within_the_grace_keeps_its_leases(bench: EngineBench) -> None:
    bench.enqueue("a", lease=1000)
    message = bench.claim_one()
    bench.disconnect(WORKER)
    bench.after(GRACE / 2)
    assert bench.register(9, holding=[message.receipt]) == 0
    bench.after(500)
    assert bench.state("a") == "leased"
    assert bench.ack(message) == []


def test_one_connection_of_a_worker_is_enough(bench: EngineBench) -> None:
    bench.heartbeat()
    bench.enqueue("a", lease=100)
    bench.claim_one()
    bench.disconnect(WORKER)
    bench.after(90)
    assert bench.state("a") == "leased"


def test_registering_releases_what_the_consumer_does_not_hold(bench: EngineBench) -> None:
    bench.enqueue("a", "b", max_deliveries=1)
    held, lost = bench.claim_one(), bench.claim_one()
    bench.disconnect(WORKER)
    assert bench.register(9, holding=[held.receipt]) == 1
    assert (bench.job("b").state, bench.job("b").deaths) == ("ready", 0)
    assert bench.ack(lost) == [lost.receipt]
    assert bench.ack(held) == []


def test_a_consumer_on_a_new_connection_leaves_the_old_one(bench: EngineBench) -> None:
    bench.register(9)
    with pytest.raises(UnknownConsumer):
        bench.claim(session=WORKER)
    bench.enqueue("a")
    assert ids(bench.claim(session=9)) == ["a"]
    bench.disconnect(WORKER)
    bench.after(GRACE * 2)
    assert bench.state("a") == "leased"
    assert bench.stats().consumers == 1


def test_a_connection_that_becomes_another_consumer_gives_the_first_one_up(
    bench: EngineBench,
) -> None:
    bench.register(consumer="second")
    assert bench.stats().consumers == 1
    bench.disconnect(WORKER)
    assert bench.stats().consumers == 0


def test_a_consumer_that_was_given_up_may_come_back_elsewhere(bench: EngineBench) -> None:
    bench.register(consumer="second")
    bench.register(9, consumer="c")
    bench.enqueue("a", "b")
    assert (ids(bench.claim(1)), ids(bench.claim(1, session=9))) == (["a"], ["b"])


def test_a_consumer_that_changes_its_queues_counts_for_the_new_ones(bench: EngineBench) -> None:
    bench.register(queues=["other"])
    assert (bench.stats().consumers, bench.stats("other").consumers) == (0, 1)


def test_a_connection_that_changes_its_worker_is_the_old_ones_no_more(bench: EngineBench) -> None:
    bench.enqueue("a", lease=1000)
    bench.claim_one()
    bench.register(worker="other", consumer="c")
    bench.after(GRACE)
    assert bench.state("a") == "ready"


def test_a_connection_that_beats_for_another_worker_is_the_old_ones_no_more(
    bench: EngineBench,
) -> None:
    bench.heartbeat("first", session=9)
    bench.heartbeat("second", session=9)
    bench.after(GRACE)
    assert [worker.name for worker in bench.call(GetStats()).workers] == ["w", "second"]


def test_a_parked_heartbeat_ends_with_its_own_connection_and_no_other(bench: EngineBench) -> None:
    bench.enqueue("a")
    message = bench.claim_one()
    request = Heartbeat(worker="w", info=WorkerInfo(), wait=60)
    beat = bench.park(request, HEART)
    gone = bench.park(Heartbeat(worker="other", info=WorkerInfo(), wait=60), HEART + 1)
    bench.register(3, worker="other", consumer="c3", queues=["q2"])
    bench.enqueue("b", queue="q2")
    bench.claim_one(3, queues=["q2"])
    bench.disconnect(WORKER)
    bench.disconnect(HEART + 1)
    bench.call(Cancel(ids=["a", "b"]))
    assert bench.answer(beat).cancel == [message.receipt]
    assert bench.answer(gone) is None


def test_nothing_rings_for_a_connection_that_has_closed(bench: EngineBench) -> None:
    bench.enqueue("a", delay=1000)
    rids = [bench.park_claim(wait=5), bench.park(Wait(watch=1, wait=5, add=["a"]), 9)]
    bench.disconnect(WORKER)
    bench.disconnect(9)
    bench.disconnect(77)  # it has never said a word
    bench.after(60)
    assert [bench.answer(rid) for rid in rids] == [None, None]


def test_a_farewell_does_not_touch_a_successor_of_the_same_name(bench: EngineBench) -> None:
    bench.call(Leave(worker="w"), HEART)
    bench.register(9)  # the worker was started again while an old connection is still open
    bench.enqueue("a", lease=30)
    message = bench.claim_one(session=9)
    bench.disconnect(WORKER)
    for _ in range(10):
        bench.after(10)
        bench.heartbeat(session=9)
    assert bench.state("a") == "leased"
    assert bench.ack(message) == []
    assert [worker.name for worker in bench.call(GetStats()).workers] == ["w"]


def test_a_successor_that_comes_during_a_long_farewell_keeps_its_leases(
    bench: EngineBench,
) -> None:
    bench.enqueue(*(str(number) for number in range(2 * SLICE)), lease=5)
    bench.claim(2 * SLICE)
    farewell = bench.apply(Leave(worker="w"), HEART)
    bench.apply(Register(worker="w", consumer="new", group="default", queues=["q"]), 3)
    bench.work_off()
    assert bench.answer(farewell).count == 2 * SLICE
    message = bench.claim_one(session=3)
    for _ in range(3):
        bench.heartbeat()
        bench.after(4)
    assert bench.state(message.id) == "leased"


def test_claims_need_a_registration(bench: EngineBench) -> None:
    with pytest.raises(UnknownConsumer, match="register"):
        bench.claim(session=77)
