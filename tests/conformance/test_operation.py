"""Cancel, expiry, pause, groups, statistics."""

from __future__ import annotations

from taskq.protocol.consuming import Heartbeat, Leave, Report, Settle
from taskq.protocol.operating import Control, GetStats, Peek
from taskq.protocol.producing import Cancel, Inspect
from taskq.protocol.values import Abandon, Progress, WorkerInfo
from tests.conformance.hand import Hand
from tests.support import wait_until


def test_cancel_what_waits_and_ask_what_runs(hand: Hand) -> None:
    worker, launcher = hand.consumer(), hand.connect()
    hand.enqueue("running")
    (message,) = hand.claim(worker)
    hand.enqueue("waiting")
    beat = Heartbeat(worker=f"w-{hand.queue}-default", info=WorkerInfo(), wait=30)
    launcher.send(beat)
    reply = hand.broker.call(Cancel(ids=[hand.id("running"), hand.id("waiting")]))
    assert (reply.cancelled, reply.asked) == ([hand.id("waiting")], [hand.id("running")])
    assert launcher.receive(beat).cancel == [message.receipt]
    worker.call(Settle(outcomes=[Abandon(message.receipt, message.id)]))
    assert (hand.end("running").state, hand.end("waiting").state) == ("cancelled", "cancelled")


def test_expiry(hand: Hand) -> None:
    now = hand.broker.call(GetStats()).broker.now
    hand.enqueue("a", expires_at=now + 0.05)
    assert hand.end("a").state == "expired"
    assert hand.claim(hand.consumer()) == []


def test_early_ack(hand: Hand) -> None:
    hand.enqueue("a", ack_early=True)
    (message,) = hand.claim(hand.consumer())
    assert message.ack_early
    assert hand.end("a").state == "succeeded"


def test_results_outlive_their_ttl_by_nothing(hand: Hand) -> None:
    worker = hand.consumer()
    hand.enqueue("a", result_ttl=0.05)
    (message,) = hand.claim(worker)
    hand.ack(worker, message, b"x")
    wait_until(lambda: hand.end("a").state == "forgotten")


def test_pause_resume_purge_and_peek(hand: Hand) -> None:
    worker = hand.consumer()
    hand.enqueue("a", "b")
    hand.broker.call(Control(queue=hand.queue, action="pause"))
    assert hand.claim(worker) == []
    assert hand.stats().paused
    peeked = hand.broker.call(Peek(queue=hand.queue)).messages
    assert [(preview.id, preview.size) for preview in peeked] == [
        (hand.id("a"), 7),
        (hand.id("b"), 7),
    ]
    parked = hand.claiming(n=1, wait=30)
    worker.send(parked)
    hand.broker.call(Control(queue=hand.queue, action="resume"))
    assert hand.names(worker.receive(parked).messages) == ["a"]
    assert hand.broker.call(Control(queue=hand.queue, action="purge")).count == 1
    assert hand.end("b").state == "unknown"


def test_groups_each_get_a_copy(hand: Hand) -> None:
    first, audit = hand.consumer(), hand.consumer(group="audit")
    hand.enqueue("a")
    (copy,) = hand.claim(audit)
    hand.ack(audit, copy, b"audit")
    (message,) = hand.claim(first)
    hand.ack(first, message, b"result")
    assert hand.end("a").value == b"result"
    assert (hand.stats().succeeded, hand.stats("audit").succeeded) == (1, 1)


def test_stats_and_inspect(hand: Hand) -> None:
    worker = hand.consumer()
    hand.enqueue("a", "b", priority=1)
    hand.enqueue("later", delay=1000)
    (message,) = hand.claim(worker, 1)
    worker.call(Report(receipt=message.receipt, progress=Progress(1, 2, "half")))
    stats = hand.stats()
    assert (stats.ready, stats.scheduled, stats.leased, stats.consumers) == (1, 1, 1, 1)
    assert stats.bytes == 3 * len(b"payload")
    (job,) = hand.broker.call(Inspect(id=hand.id("a"))).jobs
    assert (job.state, job.priority, job.attempts) == ("leased", 1, 1)
    assert job.worker == f"w-{hand.queue}-default"
    assert job.progress is not None
    assert job.progress.note == "half"
    workers = {entry.name: entry for entry in hand.broker.call(GetStats()).workers}
    assert workers[f"w-{hand.queue}-default"].leased == 1


def test_leave_returns_everything(hand: Hand) -> None:
    worker = hand.consumer()
    hand.enqueue("a")
    hand.claim(worker)
    assert hand.broker.call(Leave(worker=f"w-{hand.queue}-default")).count == 1
    assert hand.state("a") == "ready"
