"""Retries, dead letters, lost leases, lost workers."""

from __future__ import annotations

import time

import pytest

from taskq import errors
from taskq.protocol.backoff import Backoff
from taskq.protocol.consuming import Extend, Heartbeat, Reap, Register, Settle
from taskq.protocol.operating import ListDead, PurgeDead, Replay
from taskq.protocol.values import Delivered, Release, WorkerInfo
from tests.conformance.hand import Hand
from tests.support import wait_until


def test_retries_with_backoff_then_the_dead_letters(hand: Hand) -> None:
    hand.enqueue("a", retries=1, backoff=Backoff(base=0.05, jitter=False), payload=b"call")
    worker = hand.consumer()
    for attempt in (1, 2):
        (message,) = hand.claim(worker, wait=20)
        assert message.attempt == attempt
        hand.fail(worker, message)
    end = hand.end("a")
    assert end.state == "dead"
    assert end.error is not None
    assert (end.error.kind, end.error.traceback) == ("ValueError", "Traceback")
    reply = hand.broker.call(ListDead(queue=hand.queue))
    (entry,) = reply.entries
    assert (reply.total, entry.id, entry.payload, entry.reason, entry.attempts) == (
        1,
        hand.id("a"),
        b"call",
        "ValueError: no",
        2,
    )


def test_dead_letters_are_replayed_and_purged(hand: Hand) -> None:
    worker = hand.consumer()
    hand.enqueue("a", "b")
    for message in hand.claim(worker):
        hand.fail(worker, message)
    assert hand.broker.call(Replay(ids=[hand.id("a")])).count == 1
    (again,) = hand.claim(worker)
    assert (again.id, again.attempt) == (hand.id("a"), 1)
    hand.ack(worker, again, b"at last")
    assert hand.end("a").value == b"at last"
    assert hand.broker.call(PurgeDead(queue=hand.queue)).count == 1
    assert hand.end("b").state == "unknown"


def test_a_release_costs_nothing(hand: Hand) -> None:
    worker = hand.consumer()
    hand.enqueue("a")
    (message,) = hand.claim(worker)
    worker.call(Settle(outcomes=[Release(message.receipt, message.id)]))
    (again,) = hand.claim(worker)
    assert again.attempt == 1
    assert again.receipt > message.receipt


def test_a_stale_receipt_is_rejected(hand: Hand) -> None:
    worker = hand.consumer()
    hand.enqueue("a")
    (stale,) = hand.claim(worker)
    worker.call(Settle(outcomes=[Release(stale.receipt, stale.id)]))
    (message,) = hand.claim(worker)
    assert hand.ack(worker, stale, b"wrong") == [stale.receipt]
    with pytest.raises(errors.LeaseLost):
        worker.call(Extend(receipt=stale.receipt, seconds=10))
    assert hand.ack(worker, message, b"right") == []
    assert hand.ack(worker, message, b"right") == []  # the first reply may have been lost
    assert hand.end("a").value == b"right"


def test_a_lease_that_nobody_renews_runs_out(hand: Hand) -> None:
    lazy, keen = hand.consumer("lazy"), hand.consumer("keen")
    hand.enqueue("a", lease=0.1)
    (first,) = hand.claim(lazy)
    # not parked: a worker that lets a lease run out is given nothing until it is heard from
    (second,) = wait_until(lambda: hand.claim(keen, wait=0))
    assert (second.id, second.attempt) == (first.id, 2)
    assert hand.ack(lazy, first) == [first.receipt]
    assert hand.ack(keen, second) == []


def test_heartbeats_keep_a_lease(hand: Hand) -> None:
    worker, launcher = hand.consumer(), hand.connect()
    hand.enqueue("a", lease=0.5)
    (message,) = hand.claim(worker)
    end = time.monotonic() + 1.2
    beat = Heartbeat(worker=f"w-{hand.queue}-default", info=WorkerInfo(pid=7), wait=0.1)
    while time.monotonic() < end:
        assert launcher.call(beat).renew_in <= 0.5 / 3
    assert hand.ack(worker, message) == []


def test_a_dead_child_is_reaped(hand: Hand) -> None:
    worker = hand.consumer()
    hand.enqueue("running", "unstarted", max_deliveries=1)
    running, _ = hand.claim(worker)
    reap = Reap(
        worker=f"w-{hand.queue}-default",
        consumer="c",
        running=[running.receipt],
        reason="killed by signal 9",
    )
    assert hand.broker.call(reap).count == 2
    assert (hand.state("running"), hand.state("unstarted")) == ("dead", "ready")
    end = hand.end("running")
    assert end.error is not None
    assert (end.error.kind, end.error.text) == ("WorkerLost", "killed by signal 9")


def test_a_worker_that_vanishes_loses_its_messages_after_a_grace(hand: Hand) -> None:
    worker = hand.connect(hand.registration)
    hand.enqueue("a", lease=1000)
    (message,) = hand.claim(worker)
    other = hand.connect(
        lambda: Register(worker="other", consumer="c", group="default", queues=[hand.queue])
    )
    claimed: list[Delivered] = []
    park = hand.claiming(wait=15)
    other.send(park)
    hand.aside(lambda: claimed.extend(other.receive(park).messages))
    end = time.monotonic() + 0.1
    while time.monotonic() < end:  # by now it sleeps, with another deadline than the grace's end
        assert not claimed
    worker.close()
    wait_until(lambda: claimed, 10)
    assert [(again.id, again.attempt) for again in claimed] == [(message.id, 2)]


def test_a_task_that_nobody_knows_is_parked_and_shown(hand: Hand) -> None:
    hand.enqueue("a", task="new")
    assert hand.claim(hand.consumer("old", tasks=["old"])) == []
    assert (hand.state("a"), hand.stats().unknown) == ("held", {"new": 1})
    assert hand.names(hand.claim(hand.consumer("new", tasks=["new"]))) == ["a"]
