"""Retries, dead letters, lost leases, lost workers."""

from __future__ import annotations

import time

import pytest

from taskq import errors
from taskq.protocol.backoff import Backoff
from taskq.protocol.consuming import Begin, Extend, Heartbeat, Reap, Register, Settle
from taskq.protocol.operating import ListDead, PurgeDead, Replay
from taskq.protocol.values import Delivered, Release, WorkerInfo
from tests.kit.port import PortBench
from tests.kit.waiting import wait_until


def test_retries_with_backoff_then_the_dead_letters(bench: PortBench) -> None:
    bench.enqueue("a", retries=1, backoff=Backoff(base=0.05, jitter=False), payload=b"call")
    worker = bench.consumer()
    for attempt in (1, 2):
        (message,) = bench.claim(worker, wait=20)
        assert message.attempt == attempt
        bench.fail(worker, message)
    end = bench.end("a")
    assert end.state == "dead"
    assert end.error is not None
    assert (end.error.kind, end.error.traceback) == ("ValueError", "Traceback")
    reply = bench.broker.call(ListDead(queue=bench.queue))
    (entry,) = reply.entries
    assert (reply.total, entry.id, entry.payload, entry.reason, entry.attempts) == (
        1,
        bench.id("a"),
        b"call",
        "ValueError: no",
        2,
    )


def test_dead_letters_are_replayed_and_purged(bench: PortBench) -> None:
    worker = bench.consumer()
    bench.enqueue("a", "b")
    for message in bench.claim(worker):
        bench.fail(worker, message)
    assert bench.broker.call(Replay(ids=[bench.id("a")])).count == 1
    (again,) = bench.claim(worker)
    assert (again.id, again.attempt) == (bench.id("a"), 1)
    bench.ack(worker, again, b"at last")
    assert bench.end("a").value == b"at last"
    assert bench.broker.call(PurgeDead(queue=bench.queue)).count == 1
    assert bench.end("b").state == "unknown"


def test_of_the_dead_letters_those_that_fit_are_replayed_and_purged(bench: PortBench) -> None:
    worker = bench.consumer()
    bench.enqueue("a", task="mail.send")
    bench.enqueue("b", task="order")
    for message in bench.claim(worker):
        bench.fail(worker, message)
    call = bench.broker.call
    assert call(Replay(queue=bench.queue, task="mail", error="KeyError")).count == 0
    assert call(Replay(ids=[bench.id("a")], task="order")).count == 0
    assert call(Replay(queue=bench.queue, task="mail", error="ValueError: no")).count == 1
    assert (bench.state("a"), bench.state("b")) == ("ready", "dead")
    assert call(PurgeDead(queue=bench.queue, task="mail")).count == 0
    assert call(PurgeDead(queue=bench.queue, error="no")).count == 1


def test_a_release_costs_nothing(bench: PortBench) -> None:
    worker = bench.consumer()
    bench.enqueue("a")
    (message,) = bench.claim(worker)
    worker.call(Settle(outcomes=[Release(message.receipt, message.id)]))
    (again,) = bench.claim(worker)
    assert again.attempt == 1
    assert again.receipt > message.receipt


def test_a_stale_receipt_is_rejected(bench: PortBench) -> None:
    worker = bench.consumer()
    bench.enqueue("a")
    (stale,) = bench.claim(worker)
    worker.call(Settle(outcomes=[Release(stale.receipt, stale.id)]))
    (message,) = bench.claim(worker)
    assert bench.ack(worker, stale, b"wrong") == [stale.receipt]
    with pytest.raises(errors.LeaseLost):
        worker.call(Extend(receipt=stale.receipt, id=stale.id, seconds=10))
    assert bench.ack(worker, message, b"right") == []
    assert bench.ack(worker, message, b"right") == []  # the first reply may have been lost
    assert bench.end("a").value == b"right"


def test_a_lease_that_nobody_renews_runs_out(bench: PortBench) -> None:
    lazy, keen = bench.consumer("lazy"), bench.consumer("keen")
    bench.enqueue("a", lease=0.1)
    (first,) = bench.claim(lazy)
    # not parked: a worker that lets a lease run out is given nothing until it is heard from
    (second,) = wait_until(lambda: bench.claim(keen, wait=0))
    assert (second.id, second.attempt) == (first.id, 2)
    assert bench.ack(lazy, first) == [first.receipt]
    assert bench.ack(keen, second) == []


def test_heartbeats_keep_a_lease(bench: PortBench) -> None:
    worker, launcher = bench.consumer(), bench.connect()
    bench.enqueue("a", lease=0.5)
    (message,) = bench.claim(worker)
    end = time.monotonic() + 1.2
    beat = Heartbeat(worker=f"w-{bench.queue}-default", info=WorkerInfo(pid=7), wait=0.1)
    while time.monotonic() < end:
        assert launcher.call(beat).renew_in <= 0.5 / 3
    assert bench.ack(worker, message) == []


def test_a_dead_child_is_reaped(bench: PortBench) -> None:
    worker = bench.consumer()
    bench.enqueue("running", "unstarted")
    running, _ = bench.claim(worker)
    reap = Reap(
        worker=f"w-{bench.queue}-default",
        consumer="c",
        running=[running.receipt],
        reason="killed by signal 9",
    )
    reaped = bench.broker.call(reap)
    assert (reaped.count, [ended.receipt for ended in reaped.ended]) == (2, [running.receipt])
    assert (bench.state("running"), bench.state("unstarted")) == ("ready", "ready")


def test_a_message_that_may_not_be_lost_is_dealt_alone_and_announced(bench: PortBench) -> None:
    worker = bench.consumer()
    bench.enqueue("a", "b", max_deliveries=1)
    (message,) = bench.claim(worker)
    assert message.announce
    worker.call(Begin(receipt=message.receipt, id=message.id))
    reap = Reap(
        worker=f"w-{bench.queue}-default",
        consumer="c",
        running=[message.receipt],
        reason="killed by signal 9",
    )
    bench.broker.call(reap)
    assert bench.state("a") == "dead"
    end = bench.end("a")
    assert end.error is not None
    assert (end.error.kind, end.error.text) == ("WorkerLost", "killed by signal 9")


def test_a_worker_that_vanishes_loses_its_messages_after_a_grace(bench: PortBench) -> None:
    worker = bench.connect(bench.registration)
    bench.enqueue("a", lease=1000)
    (message,) = bench.claim(worker)
    other = bench.connect(
        lambda: Register(worker="other", consumer="c", group="default", queues=[bench.queue])
    )
    claimed: list[Delivered] = []
    park = bench.claiming(wait=15)
    other.send(park)
    bench.aside(lambda: claimed.extend(other.receive(park).messages))
    end = time.monotonic() + 0.1
    while time.monotonic() < end:  # by now it sleeps, with another deadline than the grace's end
        assert not claimed
    worker.close()
    wait_until(lambda: claimed, 10)
    assert [(again.id, again.attempt) for again in claimed] == [(message.id, 2)]


def test_a_task_that_nobody_knows_is_parked_and_shown(bench: PortBench) -> None:
    bench.enqueue("a", task="new")
    assert bench.claim(bench.consumer("old", tasks=["old"])) == []
    assert (bench.state("a"), bench.stats().unknown) == ("parked", {"new": 1})
    assert bench.names(bench.claim(bench.consumer("new", tasks=["new"]))) == ["a"]
