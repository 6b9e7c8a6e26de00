"""Pause, resume, purge, peek, and the counters."""

from __future__ import annotations

from random import random

import pytest

from taskq.engine.tick import Tick
from taskq.errors import TaskqError
from taskq.protocol.backoff import Backoff
from taskq.protocol.operating import Control, GetStats, Peek
from taskq.protocol.producing import Cancel, Inspect
from tests.kit.engine import EngineBench, ids


@pytest.fixture
def bench() -> EngineBench:
    bench = EngineBench()
    bench.register()
    return bench


def control(bench: EngineBench, action: str, queue: str = "q") -> int:
    return bench.call(Control(queue=queue, action=action)).count


def test_a_paused_queue_hands_out_nothing_and_takes_everything(bench: EngineBench) -> None:
    bench.enqueue("a")
    assert control(bench, "pause") == 1
    assert bench.claim() == []
    bench.enqueue("b")
    assert bench.stats().paused
    control(bench, "resume")
    assert ids(bench.claim()) == ["a", "b"]


def test_what_runs_goes_on_while_paused(bench: EngineBench) -> None:
    bench.enqueue("a")
    message = bench.claim_one()
    control(bench, "pause")
    assert bench.ack(message) == []


def test_purge_drops_what_waits_and_only_that(bench: EngineBench) -> None:
    bench.bury("dead")
    bench.enqueue("running")
    running = bench.claim_one()
    bench.enqueue("ready")
    bench.enqueue("scheduled", delay=50)
    bench.enqueue("elsewhere", queue="other")
    assert control(bench, "purge") == 2
    assert [bench.state(id) for id in ("ready", "scheduled")] == ["unknown"] * 2
    assert [bench.state(id) for id in ("dead", "running", "elsewhere")] == [
        "dead",
        "leased",
        "ready",
    ]
    assert (bench.stats().purged, bench.stats().ready, bench.stats().scheduled) == (2, 0, 0)
    assert bench.call(GetStats()).broker.acknowledged == 5
    assert bench.ack(running) == []
    bench.after(50)
    assert bench.claim() == []


def test_a_purged_id_may_be_used_again(bench: EngineBench) -> None:
    bench.enqueue("a")
    control(bench, "purge")
    assert bench.enqueue("a") == []
    assert ids(bench.claim()) == ["a"]


@pytest.mark.parametrize(("queue", "action"), [("none", "pause"), ("", "purge"), ("q", "stop")])
def test_a_wrong_queue_or_action_is_refused(bench: EngineBench, queue: str, action: str) -> None:
    bench.enqueue("a")
    with pytest.raises(TaskqError, match=repr(action if queue == "q" else queue)):
        control(bench, action, queue)
    assert bench.state("a") == "ready"


def test_the_refusal_of_an_unknown_action_names_all(bench: EngineBench) -> None:
    bench.enqueue("a")
    with pytest.raises(
        TaskqError, match="pause, resume, purge, drop, may_drop, drop_queue, may_dr"
    ):
        control(bench, "stop")


def test_peek_shows_the_order_in_which_they_would_run(bench: EngineBench) -> None:
    bench.enqueue("b", task="x", payload=b"12345")
    bench.enqueue("a", priority=0)
    bench.enqueue("late", delay=20)
    bench.enqueue("soon", delay=10)

    def peek(state: str, limit: int = 20) -> list[str]:
        return [m.id for m in bench.call(Peek(queue="q", state=state, limit=limit)).messages]

    assert peek("ready") == ["a", "b"]
    assert peek("ready", 1) == ["a"]
    assert peek("ready", 0) == []
    assert peek("scheduled") == ["soon", "late"]
    assert peek("dead") == peek("leased") == []
    assert ids(bench.claim(1)) == ["a"]
    assert (peek("ready"), peek("leased")) == (["b"], ["a"])
    (preview,) = bench.call(Peek(queue="q")).messages
    assert (preview.task, preview.size, preview.state) == ("x", 5, "ready")
    assert (preview.priority, preview.attempts, preview.due_at) == (2, 0, bench.now)


def test_peek_into_one_group(bench: EngineBench) -> None:
    bench.register(3, worker="auditor", group="audit")
    bench.enqueue("a")
    bench.claim()
    in_audit = bench.call(Peek(queue="q", group="audit", state="ready")).messages
    assert [preview.id for preview in in_audit] == ["a"]


@pytest.mark.parametrize(("queue", "state"), [("none", "ready"), ("q", "happy"), ("", "ready")])
def test_peek_refuses_what_is_not_there(bench: EngineBench, queue: str, state: str) -> None:
    with pytest.raises(TaskqError):
        bench.call(Peek(queue=queue, state=state))


def test_the_counters_follow_every_step(bench: EngineBench) -> None:
    plain = Backoff(base=10, jitter=False)
    bench.enqueue(*"abcdefgh", retries=1, backoff=plain, payload=b"12345")
    bench.enqueue("x", expires_at=bench.now + 1)
    a, b, x, _ = bench.claim(4)
    bench.ack(a)
    bench.fail(b)
    bench.fail(x, final=True)
    bench.call(Cancel(ids=["e"]))
    bench.after(1)
    stats = bench.stats()
    assert (stats.ready, stats.scheduled, stats.leased) == (3, 1, 1)
    assert (stats.succeeded, stats.dead, stats.cancelled, stats.expired) == (1, 1, 1, 1)
    assert (stats.failed, stats.purged, stats.parked) == (2, 0, 0)
    assert stats.bytes == 5 * 6  # all but the finished, the cancelled and the expired
    assert stats.consumers == 1
    assert stats.oldest_ready_at == bench.now - 1
    broker = bench.call(GetStats()).broker
    assert (broker.acknowledged, broker.messages, broker.results) == (9, 6, 3)
    assert broker.now == bench.now


def test_looking_changes_nothing(bench: EngineBench) -> None:
    bench.enqueue("a")
    bench.engine.apply(1, GetStats(), Tick(bench.now, random))
    bench.engine.apply(1, Inspect(id="a"), Tick(bench.now, random))
    assert bench.engine.take_changes() is None


def test_an_engine_is_empty_when_a_restart_would_lose_nothing() -> None:
    bench = EngineBench()
    assert bench.engine.empty()
    bench.enqueue("a")
    assert not bench.engine.empty()
    bench.call(Cancel(ids=["a"]))
    assert not bench.engine.empty()
    bench.after(10_000)
    assert bench.engine.empty()


def test_the_oldest_may_be_one_that_came_back(bench: EngineBench) -> None:
    bench.enqueue("a")
    since = bench.now
    message = bench.claim_one()
    bench.after(1)
    bench.enqueue("b")
    assert bench.stats().oldest_ready_at == bench.now
    bench.release(message)
    assert bench.stats().oldest_ready_at == since
