"""Limits: what counts, who is refused, who waits, and who is served first."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest

from taskq import errors
from taskq.engine.capacity import Capacity
from taskq.engine.engine import Engine
from taskq.protocol.base import Failed
from taskq.protocol.operating import Control, GetStats, Limit, Peek, PurgeDead, Replay
from taskq.protocol.producing import Cancel, Enqueue, Enqueued
from taskq.protocol.values import Ack, Call, Options
from tests.kit.engine import PRODUCER, WORKER, EngineBench
from tests.kit.messages import missing, naming

SECOND = 50  # another producer
THIRD = 51


@pytest.fixture
def bench() -> EngineBench:
    bench = EngineBench()
    bench.register(queues=["q", "p"])
    return bench


def limit(bench: EngineBench, messages: int = 0, size: int = 0, queue: str = "q") -> None:
    bench.call(Limit(queue=queue, max_messages=messages, max_bytes=size))


def request(
    *ids: str, wait: float = 10.0, payload: bytes = b"12345", queue: str = "q", **more: Any
) -> Enqueue:
    calls = [Call(id, payload) for id in ids]
    return Enqueue(queue=queue, task="t", options=Options(), calls=calls, wait=wait, **more)


def ready(bench: EngineBench, queue: str = "q") -> list[str]:
    return [message.id for message in bench.call(Peek(queue=queue, limit=1000)).messages]


def finish(bench: EngineBench, n: int = 1, queue: str = "q", session: int = WORKER) -> None:
    for message in bench.claim(n, queues=[queue], session=session):
        bench.ack(message)


def bounded(capacity: Capacity, queues: Iterable[str] = ("q", "p")) -> EngineBench:
    bench = EngineBench()
    bench.engine = Engine(capacity)
    bench.register(queues=list(queues))
    return bench


@pytest.mark.parametrize(
    "refused",
    [
        Limit(queue="typo", max_messages=-1),
        request("b", queue="typo", wait=0.0),
        request("b", queue="typo", wait=0.0, payload=b"more than ten"),
    ],
    ids=["limit", "full", "too large"],
)
def test_a_refused_request_makes_no_queue(refused: Limit | Enqueue) -> None:
    bench = bounded(Capacity(messages=1, bytes=10))
    bench.enqueue("a")
    before = [each.queue for each in bench.call(GetStats()).queues]
    with pytest.raises(errors.TaskqError):
        bench.call(refused)
    assert [each.queue for each in bench.call(GetStats()).queues] == before


def test_what_is_above_the_count_is_refused_with_what_to_do(bench: EngineBench) -> None:
    limit(bench, messages=2)
    bench.enqueue("a", "b")
    with pytest.raises(
        errors.QueueFull, match=naming("'q'", "2 messages of 14 bytes", "limit is 2 messages")
    ):
        bench.enqueue("c")
    assert ready(bench) == ["a", "b"]


def test_what_is_above_the_bytes_is_refused(bench: EngineBench) -> None:
    limit(bench, size=20)
    bench.enqueue("a", "b", payload=b"x" * 10)
    with pytest.raises(errors.QueueFull, match="20 bytes"):
        bench.enqueue("c", payload=b"x")
    bench.enqueue("empty", payload=b"")
    assert ready(bench) == ["a", "b", "empty"]


def test_a_request_is_accepted_whole_or_not_at_all(bench: EngineBench) -> None:
    limit(bench, messages=3)
    bench.enqueue("a", "b")
    with pytest.raises(errors.QueueFull):
        bench.enqueue("c", "d")
    assert ready(bench) == ["a", "b"]
    bench.enqueue("c")
    assert ready(bench) == ["a", "b", "c"]


def test_known_ids_need_no_room(bench: EngineBench) -> None:
    limit(bench, messages=1)
    bench.enqueue("a")
    assert bench.enqueue("a") == ["a"]
    assert bench.call(request("a")).existing == ["a"]


@pytest.mark.parametrize("wait", [0.0, 10.0])
def test_a_call_that_never_fits_is_too_large(bench: EngineBench, wait: float) -> None:
    limit(bench, size=4)
    with pytest.raises(errors.PayloadTooLarge, match=naming("call a", "5 bytes", "is 4")):
        bench.call(request("a", wait=wait))


def test_parked_scheduled_ready_and_leased_count(bench: EngineBench) -> None:
    bench.register(queues=["q"], tasks=["known"])
    limit(bench, messages=4)
    bench.enqueue("parked", task="unknown")
    assert bench.claim() == []
    bench.enqueue("leased", task="known")
    bench.claim_one()
    bench.enqueue("scheduled", delay=10, task="known")
    bench.enqueue("ready", task="known")
    assert {bench.state(s) for s in ("parked", "leased", "scheduled", "ready")} == {
        "parked", "leased", "scheduled", "ready",
    }  # fmt: skip
    with pytest.raises(errors.QueueFull):
        bench.enqueue("more")


@pytest.mark.parametrize("end", ["ack", "cancel", "expire", "purge", "bury"])
def test_every_end_makes_room(bench: EngineBench, end: str) -> None:
    limit(bench, messages=1, size=7)
    bench.enqueue("a", expires_at=bench.now + 5 if end == "expire" else None)
    rid = bench.park(request("b", wait=100), SECOND)
    if end == "ack":
        finish(bench)
    elif end == "cancel":
        bench.call(Cancel(ids=["a"]))
    elif end == "expire":
        bench.after(5)
    elif end == "purge":
        bench.call(Control(queue="q", action="purge"))
    else:
        bench.fail(bench.claim_one(), final=True)
    assert bench.answer(rid) == Enqueued(rid=rid)
    assert ready(bench) == ["b"]


def test_retries_returns_and_replays_are_never_refused(bench: EngineBench) -> None:
    limit(bench, messages=1)
    bench.enqueue("dead")
    bench.fail(bench.claim_one(), final=True)
    bench.enqueue("a", retries=1)
    bench.fail(bench.claim_one(), delay=0.0)
    bench.tick()
    bench.release(bench.claim_one())
    assert bench.call(Replay(ids=["dead"])).count == 1
    assert ready(bench) == ["dead", "a"]
    with pytest.raises(errors.QueueFull, match="2 messages of 14 bytes"):
        bench.enqueue("b")
    finish(bench, 2)
    bench.enqueue("b")
    assert bench.stats().unfinished_bytes == 7


def test_dead_letters_count_for_the_broker_and_not_for_the_queue() -> None:
    bench = bounded(Capacity(messages=2))
    limit(bench, messages=1)
    bench.bury("dead")
    bench.enqueue("a")
    with pytest.raises(errors.QueueFull, match=naming("the broker", "1 dead letters")):
        bench.enqueue("b", queue="p")
    bench.call(PurgeDead(ids=["dead"]))
    bench.enqueue("b", queue="p")


def test_the_fullest_group_decides(bench: EngineBench) -> None:
    limit(bench, messages=1)
    bench.register(5, worker="w2", group="audit")
    bench.enqueue("a")
    finish(bench)
    with pytest.raises(errors.QueueFull, match=naming("group 'audit'")):
        bench.enqueue("b")


def test_a_group_full_of_unknown_tasks_says_so(bench: EngineBench) -> None:
    limit(bench, messages=3)
    bench.register(5, worker="w2", group="my audit", tasks=["known"])
    bench.enqueue("a", "b", task="shop.refund")
    assert bench.claim(session=5) == []
    bench.enqueue("c", task="known")
    finish(bench, 3)
    told = refusal(bench)
    assert not missing(told, "group 'my audit'", "2 of them are parked", "shop.refund")
    assert not missing(told, "taskq queue purge q -g 'my audit'", "start more workers")
    finish(bench, session=5)
    bench.enqueue("d", task="shop.order")
    assert bench.claim(session=5) == []
    finish(bench)
    told = refusal(bench)
    assert not missing(told, "3 of them are parked", "tasks shop.refund, shop.order")
    assert "more workers" not in told
    bench.register(6, worker="w3", group="my audit", tasks=["shop.refund", "shop.order"])
    told = refusal(bench)
    assert not missing(told, "start more workers")
    assert "parked" not in told
    bench.call(Control(queue="q", action="purge", group="my audit"))
    bench.enqueue("e")


def test_unknown_tasks_of_the_default_group_are_named(bench: EngineBench) -> None:
    bench = EngineBench()
    bench.register(tasks=["known"])
    limit(bench, messages=5)
    for number in range(5):
        bench.enqueue(str(number), task=f"shop.t{number}")
    assert bench.claim(n=5) == []
    told = refusal(bench)
    assert not missing(told, "group 'default'", "tasks shop.t0, shop.t1, shop.t2, …")
    assert not missing(told, "taskq queue purge q -g default")


def refusal(bench: EngineBench) -> str:
    with pytest.raises(errors.QueueFull) as refused:
        bench.enqueue("refused")
    return str(refused.value)


def test_a_waiting_producer_is_served_when_there_is_room(bench: EngineBench) -> None:
    limit(bench, messages=1)
    bench.enqueue("a")
    rid = bench.park(request("b"))
    assert bench.stats().producers == 1
    finish(bench)
    assert bench.answer(rid) == Enqueued(rid=rid)
    assert bench.stats().producers == 0


def test_a_waiting_producer_gives_up_after_its_time(bench: EngineBench) -> None:
    limit(bench, messages=1)
    bench.enqueue("a")
    rid = bench.park(request("b", wait=10))
    bench.after(9.999)
    assert bench.answer(rid) is None
    bench.after(0.001)
    assert bench.answer(rid).error == "QueueFull"
    assert not missing(bench.answer(rid).text, "10 s", "queue 'q'")
    finish(bench)
    assert ready(bench) == []


def test_a_request_without_calls_waits_for_nobody(bench: EngineBench) -> None:
    limit(bench, messages=1)
    bench.enqueue("a")
    bench.park(request("b"), SECOND)
    assert bench.call(request(wait=5)) == Enqueued(rid=bench.last_rid)


def test_producers_are_served_in_the_order_in_which_they_came(bench: EngineBench) -> None:
    limit(bench, messages=1)
    bench.enqueue("a")
    first = bench.park(request("b"), SECOND)
    second = bench.park(request("c"), PRODUCER)
    finish(bench)
    assert (bench.answer(first) is None, bench.answer(second) is None) == (False, True)
    finish(bench)
    assert ready(bench) == ["c"]


def test_nobody_overtakes_who_waits(bench: EngineBench) -> None:
    limit(bench, size=20)
    bench.enqueue("a", payload=b"x" * 15)
    large = bench.park(request("large", payload=b"x" * 10), SECOND)
    with pytest.raises(errors.QueueFull, match="other producers wait"):
        bench.call(request("small", payload=b"x", wait=0))
    small = bench.park(request("small", payload=b"x"), THIRD)
    bench.disconnect(SECOND)
    assert bench.answer(large) is None
    assert bench.answer(small) is not None


def test_who_is_lost_between_two_ticks_lets_the_next_one_in_at_once(bench: EngineBench) -> None:
    limit(bench, size=20)
    bench.enqueue("a", payload=b"x" * 15)
    bench.park(request("large", payload=b"x" * 10), SECOND)
    small = bench.park(request("small", payload=b"x"), THIRD)
    bench.engine.disconnect(SECOND, bench.now)
    assert bench.engine.next_deadline() == bench.now
    bench.tick()
    assert bench.answer(small) is not None


def test_more_calls_than_the_limit_go_in_as_the_queue_is_worked_off(bench: EngineBench) -> None:
    limit(bench, messages=3)
    names = [f"m{n}" for n in range(10)]
    rid = bench.park(request(*names))
    seen = []
    while bench.answer(rid) is None:
        assert len(ready(bench)) == 3
        seen.append(bench.claim_one().id)
        bench.settle(Ack(bench.engine.ledger.fence, seen[-1], b""))
    assert seen + ready(bench) == names


def test_what_was_accepted_in_time_stays_and_the_rest_is_reported(bench: EngineBench) -> None:
    limit(bench, messages=2)
    rid = bench.park(request("a", "b", "c", "d", wait=5))
    finish(bench)
    bench.after(5)
    assert bench.answer(rid) == Enqueued(rest=1, rid=rid)
    assert ready(bench) == ["b", "c"]


def test_an_early_ack_makes_room_in_the_same_tick(bench: EngineBench) -> None:
    limit(bench, messages=1)
    calls = [Call(id, b"") for id in ("a", "b", "c")]
    rid = bench.park(
        Enqueue(queue="q", task="t", options=Options(ack_early=True), calls=calls, wait=10)
    )
    assert [message.id for message in bench.claim(1)] == ["a"]
    assert [message.id for message in bench.claim(1)] == ["b"]
    assert bench.answer(rid) is not None


def test_a_parked_claim_and_a_waiting_producer_drive_each_other(bench: EngineBench) -> None:
    limit(bench, messages=1)
    bench.register(6, worker="w6")
    claim = bench.park_claim(WORKER, n=1)
    other = bench.park_claim(6, n=1)
    calls = [Call(id, b"") for id in ("a", "b", "c")]
    rid = bench.apply(
        Enqueue(queue="q", task="t", options=Options(ack_early=True), calls=calls, wait=10)
    )
    bench.tick()
    assert bench.answer(rid) is not None
    told = [m.id for parked in (claim, other) for m in bench.answer(parked).messages]
    assert sorted(told) == ["a", "b"]
    assert ready(bench) == ["c"]


def test_a_raised_or_removed_limit_lets_them_in(bench: EngineBench) -> None:
    limit(bench, messages=1)
    bench.enqueue("a")
    first, second = bench.park(request("b"), SECOND), bench.park(request("c"), THIRD)
    limit(bench, messages=2)
    assert bench.answer(first) is not None
    assert bench.answer(second) is None
    limit(bench, messages=0)
    assert bench.answer(second) is not None


def test_a_lowered_limit_only_refuses_what_comes(bench: EngineBench) -> None:
    bench.enqueue("a", "b", "c")
    limit(bench, messages=1)
    assert ready(bench) == ["a", "b", "c"]
    finish(bench, 2)
    with pytest.raises(errors.QueueFull):
        bench.enqueue("d")


def test_each_limit_is_set_alone_and_none_may_be_negative(bench: EngineBench) -> None:
    bench.call(Limit(queue="new", max_messages=5))
    bench.call(Limit(queue="new", max_bytes=6))
    assert (bench.stats("new").max_messages, bench.stats("new").max_bytes) == (5, 6)
    with pytest.raises(errors.TaskqError, match="at least 1"):
        bench.call(Limit(queue="new", max_bytes=-1))
    with pytest.raises(errors.TaskqError, match="name of a queue"):
        bench.call(Limit(queue="", max_bytes=1))
    assert (bench.stats("new").max_messages, bench.stats("new").max_bytes) == (5, 6)


def test_queues_do_not_hold_each_other_up(bench: EngineBench) -> None:
    limit(bench, messages=1)
    limit(bench, messages=1, queue="p")
    bench.enqueue("a")
    bench.enqueue("b", queue="p")
    mine, theirs = bench.park(request("c"), SECOND), bench.park(request("d", queue="p"), THIRD)
    finish(bench, queue="p")
    assert (bench.answer(mine) is None, bench.answer(theirs) is None) == (True, False)


def test_an_id_that_another_queue_has_taken_meanwhile_waits_no_longer(bench: EngineBench) -> None:
    for queue in ("p", "q"):
        limit(bench, messages=1, queue=queue)
        bench.enqueue(f"first of {queue}", queue=queue)
    first = bench.park(request("a", queue="p"), SECOND)
    second = bench.park(request("a"), THIRD)
    finish(bench)
    assert bench.answer(second) == Enqueued(rid=second)
    assert bench.answer(first) == Enqueued(existing=["a"], rid=first)


def test_the_broker_as_a_whole_serves_its_producers_in_turn() -> None:
    bench = bounded(Capacity(bytes=20))
    bench.enqueue("a", payload=b"x" * 20)
    large = bench.park(request("large", payload=b"x" * 15), SECOND)
    small = bench.park(request("small", payload=b"x", queue="p"), THIRD)
    bench.call(Cancel(ids=["a"]))
    assert bench.answer(large) is not None
    assert bench.answer(small) is not None
    next_large = bench.park(request("next", payload=b"x" * 10), SECOND)
    with pytest.raises(errors.QueueFull, match="other producers wait"):
        bench.call(request("hasty", payload=b"x", queue="p", wait=0))
    finish(bench)
    assert bench.answer(next_large) is not None
    assert bench.call(GetStats()).broker.bytes == 11


def test_a_full_disk_turns_the_waiting_away(bench: EngineBench) -> None:
    limit(bench, messages=1)
    bench.enqueue("a")
    rid = bench.park(request("b"))
    bench.engine.refuse_parked("DiskFull", "no room on the disk")
    bench.tick()
    assert bench.answer(rid) == Failed(error="DiskFull", text="no room on the disk", rid=rid)
    assert not bench.engine.has_parked_enqueues
