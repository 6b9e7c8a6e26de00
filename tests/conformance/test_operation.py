"""Cancel, expiry, pause, groups, statistics."""

from __future__ import annotations

import pytest

from taskq.errors import TaskqError
from taskq.protocol.consuming import Heartbeat, Leave, Report, Settle
from taskq.protocol.operating import Control, GetStats, Limit, Peek
from taskq.protocol.producing import Cancel, Inspect
from taskq.protocol.values import Abandon, Progress, WorkerInfo
from tests.kit.port import PortBench
from tests.kit.waiting import wait_until


def test_cancel_what_waits_and_ask_what_runs(bench: PortBench) -> None:
    worker, launcher = bench.consumer(), bench.connect()
    bench.enqueue("running")
    (message,) = bench.claim(worker)
    bench.enqueue("waiting")
    beat = Heartbeat(worker=f"w-{bench.queue}-default", info=WorkerInfo(), wait=30)
    launcher.send(beat)
    reply = bench.broker.call(Cancel(ids=[bench.id("running"), bench.id("waiting")]))
    assert (reply.cancelled, reply.asked) == ([bench.id("waiting")], [bench.id("running")])
    assert launcher.receive(beat).cancel == [message.receipt]
    worker.call(Settle(outcomes=[Abandon(message.receipt, message.id)]))
    assert (bench.end("running").state, bench.end("waiting").state) == ("cancelled", "cancelled")


def test_expiry(bench: PortBench) -> None:
    now = bench.broker.call(GetStats()).broker.now
    bench.enqueue("a", expires_at=now + 0.05)
    assert bench.end("a").state == "expired"
    assert bench.claim(bench.consumer()) == []


def test_early_ack(bench: PortBench) -> None:
    bench.enqueue("a", ack_early=True)
    (message,) = bench.claim(bench.consumer())
    assert message.ack_early
    assert bench.end("a").state == "succeeded"


def test_results_outlive_their_ttl_by_nothing(bench: PortBench) -> None:
    worker = bench.consumer()
    bench.enqueue("a", result_ttl=0.05)
    (message,) = bench.claim(worker)
    bench.ack(worker, message, b"x")
    wait_until(lambda: bench.end("a").state == "forgotten")


def test_an_empty_queue_is_dropped_with_its_limit(bench: PortBench) -> None:
    bench.broker.call(Limit(queue=bench.queue, max_messages=1))
    bench.enqueue("a")
    drop = Control(queue=bench.queue, action="drop_queue")
    with pytest.raises(TaskqError, match="not empty"):
        bench.broker.call(drop)
    worker = bench.consumer()
    (message,) = bench.claim(worker)
    bench.ack(worker, message)
    with pytest.raises(TaskqError, match="1 consumer"):
        bench.broker.call(drop)
    worker.close()
    wait_until(lambda: bench.stats().consumers == 0)
    bench.broker.call(drop)
    assert bench.end("a").state == "succeeded"
    assert bench.queue not in {each.queue for each in bench.broker.call(GetStats()).queues}
    bench.enqueue("b", "c")
    assert bench.stats().max_messages == 0


def test_pause_resume_purge_and_peek(bench: PortBench) -> None:
    worker = bench.consumer()
    bench.enqueue("a", "b")
    bench.broker.call(Control(queue=bench.queue, action="pause"))
    assert bench.claim(worker) == []
    assert bench.stats().paused
    peeked = bench.broker.call(Peek(queue=bench.queue)).messages
    assert [(preview.id, preview.size) for preview in peeked] == [
        (bench.id("a"), 7),
        (bench.id("b"), 7),
    ]
    parked = bench.claiming(n=1, wait=30)
    worker.send(parked)
    bench.broker.call(Control(queue=bench.queue, action="resume"))
    assert bench.names(worker.receive(parked).messages) == ["a"]
    assert bench.broker.call(Control(queue=bench.queue, action="purge")).count == 1
    assert bench.end("b").state == "unknown"


def test_groups_each_get_a_copy(bench: PortBench) -> None:
    first, audit = bench.consumer(), bench.consumer(group="audit")
    bench.enqueue("a")
    (copy,) = bench.claim(audit)
    bench.ack(audit, copy, b"audit")
    (message,) = bench.claim(first)
    bench.ack(first, message, b"result")
    assert bench.end("a").value == b"result"
    assert (bench.stats().succeeded, bench.stats("audit").succeeded) == (1, 1)


def test_an_id_is_not_kept_by_a_group_that_nobody_works(bench: PortBench) -> None:
    first, audit = bench.consumer(), bench.consumer(group="audit")
    bench.enqueue("a")
    bench.broker.call(Control(queue=bench.queue, group="default", action="purge"))
    assert bench.end("a").state == "unknown"
    assert bench.enqueue("a") == []
    (message,) = bench.claim(first)
    bench.ack(first, message, b"second")
    assert bench.end("a").value == b"second"
    assert bench.names(bench.claim(audit)) == ["a", "a"]


def test_stats_and_inspect(bench: PortBench) -> None:
    worker = bench.consumer()
    bench.enqueue("a", "b", priority=1)
    bench.enqueue("later", delay=1000)
    (message,) = bench.claim(worker, 1)
    worker.call(Report(receipt=message.receipt, id=message.id, progress=Progress(1, 2, "half")))
    stats = bench.stats()
    assert (stats.ready, stats.scheduled, stats.leased, stats.consumers) == (1, 1, 1, 1)
    assert stats.bytes == 3 * len(b"payload")
    (job,) = bench.broker.call(Inspect(id=bench.id("a"))).jobs
    assert (job.state, job.priority, job.attempts) == ("leased", 1, 0)
    assert job.worker == f"w-{bench.queue}-default"
    assert job.progress is not None
    assert job.progress.note == "half"
    workers = {entry.name: entry for entry in bench.broker.call(GetStats()).workers}
    assert workers[f"w-{bench.queue}-default"].leased == 1


def test_leave_returns_everything(bench: PortBench) -> None:
    worker = bench.consumer()
    bench.enqueue("a")
    bench.claim(worker)
    assert bench.broker.call(Leave(worker=f"w-{bench.queue}-default")).count == 1
    assert bench.state("a") == "ready"
