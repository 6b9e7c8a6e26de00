"""Waiting for ids: one, many, again, unknown ones, too long, and from a connection that closes."""

from __future__ import annotations

import pytest

from taskq.engine import waiting
from taskq.engine.operations import SLICE
from taskq.protocol.base import Done
from taskq.protocol.consuming import Settle
from taskq.protocol.operating import Control
from taskq.protocol.producing import Cancel, Unwatch, Wait, Waited
from taskq.protocol.values import Ack, ErrorInfo, Fail
from tests.kit.engine import MOMENT, WORKER, EngineBench

WAITER = 5


@pytest.fixture
def bench() -> EngineBench:
    bench = EngineBench()
    bench.register()
    return bench


def wait(*add: str, seconds: float = 60, watch: int = 1) -> Wait:
    return Wait(watch=watch, add=list(add), wait=seconds)


def told(reply: Waited) -> list[str]:
    return [entry.id for entry in reply.finished]


def test_a_wait_is_answered_when_its_message_ends(bench: EngineBench) -> None:
    bench.enqueue("a")
    message = bench.claim_one()
    rid = bench.park(wait("a"), WAITER)
    bench.ack(message, b"42")
    reply = bench.answer(rid)
    assert [(entry.id, entry.state, entry.value) for entry in reply.finished] == [
        ("a", "succeeded", b"42")
    ]
    assert reply.pending == 0


def test_what_has_ended_is_reported_at_once(bench: EngineBench) -> None:
    bench.enqueue("a")
    bench.ack(bench.claim_one())
    assert told(bench.call(wait("a"), WAITER)) == ["a"]


@pytest.mark.parametrize("end", ["dead", "cancelled", "expired", "unknown"])
def test_every_end_is_reported(bench: EngineBench, end: str) -> None:
    bench.enqueue("a", expires_at=bench.now + 5 if end == "expired" else None)
    rid = bench.park(wait("a", seconds=600), WAITER)
    if end == "dead":
        bench.fail(bench.claim_one())
    elif end == "cancelled":
        bench.call(Cancel(ids=["a"]))
    elif end == "expired":
        bench.after(5)
    else:
        bench.call(Control(queue="q", action="purge"))
    (finished,) = bench.answer(rid).finished
    assert (finished.id, finished.state) == ("a", end)


def test_an_unknown_id_is_reported_as_such_at_once(bench: EngineBench) -> None:
    (finished,) = bench.call(wait("never"), WAITER).finished
    assert (finished.id, finished.state) == ("never", "unknown")


def test_many_are_reported_as_they_end_each_once(bench: EngineBench) -> None:
    bench.enqueue(*"abc")
    a, b, x = bench.claim()
    rid = bench.park(wait(*"abc"), WAITER)
    bench.settle(Ack(b.receipt, "b", b""), Ack(a.receipt, "a", b""))
    reply = bench.answer(rid)
    assert (told(reply), reply.pending) == (["b", "a"], 1)
    rid = bench.park(wait(), WAITER)
    bench.ack(x)
    reply = bench.answer(rid)
    assert (told(reply), reply.pending) == (["c"], 0)


def test_what_ends_between_two_waits_is_reported_by_the_second(bench: EngineBench) -> None:
    bench.enqueue("a", "b")
    a, b = bench.claim()
    rid = bench.park(wait("a", "b"), WAITER)
    bench.ack(a)
    assert told(bench.answer(rid)) == ["a"]
    bench.ack(b)
    assert told(bench.call(wait(), WAITER)) == ["b"]


def test_adding_an_id_again_does_not_tell_it_twice(bench: EngineBench) -> None:
    bench.enqueue("a", "b")
    a, _ = bench.claim()
    rid = bench.park(wait("a", "b"), WAITER)
    second = bench.park(wait("a", "b"), WAITER)
    superseded = bench.answer(rid)
    assert (told(superseded), superseded.pending) == ([], 2)
    assert bench.engine.ledger.watchers.watches() == 1
    bench.ack(a)
    reply = bench.answer(second)
    assert (told(reply), reply.pending) == (["a"], 1)


def test_adding_an_id_again_with_a_new_one_adds_the_new_one(bench: EngineBench) -> None:
    bench.enqueue("a", "b")
    _, b = bench.claim()
    bench.park(wait("a"), WAITER)
    rid = bench.park(wait("a", "b"), WAITER)
    bench.ack(b)
    reply = bench.answer(rid)
    assert (told(reply), reply.pending) == (["b"], 1)


def test_adding_again_what_has_ended_and_was_not_reported_yet(bench: EngineBench) -> None:
    bench.enqueue("a", "b")
    a, b = bench.claim()
    rid = bench.park(wait("a", "b"), WAITER)
    bench.ack(a)
    assert bench.answer(rid) is not None
    bench.ack(b)
    reply = bench.call(wait("b"), WAITER)
    assert (told(reply), reply.pending) == (["b"], 0)


def test_an_id_may_be_in_several_watches(bench: EngineBench) -> None:
    bench.enqueue("a")
    message = bench.claim_one()
    rids = [bench.park(wait("a", watch=n), WAITER + n) for n in (1, 2)]
    rids.append(bench.park(wait("a", watch=7), WAITER + 1))
    bench.ack(message)
    assert [told(bench.answer(rid)) for rid in rids] == [["a"]] * 3


def test_a_wait_is_over_in_its_time_exactly(bench: EngineBench) -> None:
    bench.enqueue("a", delay=1000)
    rid = bench.park(wait("a", seconds=2), WAITER)
    assert bench.engine.next_deadline() == bench.now + 2
    bench.after(2 - MOMENT)
    assert bench.answer(rid) is None
    bench.after(MOMENT)
    reply = bench.answer(rid)
    assert (reply.finished, reply.pending) == ([], 1)


def test_a_wait_may_be_shorter_than_a_second(bench: EngineBench) -> None:
    bench.enqueue("a")
    message = bench.claim_one()
    rid = bench.park(wait("a", seconds=0.5), WAITER)
    bench.ack(message)
    assert told(bench.answer(rid)) == ["a"]


def test_a_wait_that_ran_out_says_whose_queue_nobody_consumes(bench: EngineBench) -> None:
    bench.enqueue("a", queue="lonely")
    bench.enqueue("b", queue="q", delay=100)
    rid = bench.park(wait("a", "b", seconds=2), WAITER)
    bench.after(2)
    assert bench.answer(rid).unconsumed == ["lonely"]


def test_a_queue_whose_consumers_have_gone_is_unconsumed(bench: EngineBench) -> None:
    bench.enqueue("a")
    bench.disconnect(2)
    rid = bench.park(wait("a", seconds=2), WAITER)
    bench.after(2)
    assert bench.answer(rid).unconsumed == ["q"]


def test_a_wait_of_0_seconds_never_parks(bench: EngineBench) -> None:
    bench.enqueue("a")
    reply = bench.call(wait("a", seconds=0), WAITER)
    assert (reply.finished, reply.pending) == ([], 1)


def test_an_empty_wait_is_answered_at_once(bench: EngineBench) -> None:
    reply = bench.call(wait(), WAITER)
    assert (reply.finished, reply.pending) == ([], 0)


def test_two_deadlines_on_one_connection(bench: EngineBench) -> None:
    bench.enqueue("a", delay=1000)
    late = bench.park(wait("a", seconds=50, watch=1), WAITER)
    soon = bench.park(wait("a", seconds=10, watch=2), WAITER)
    bench.after(10)
    assert (bench.answer(late), bench.answer(soon) is not None) == (None, True)
    bench.after(40)
    assert bench.answer(late) is not None


def test_unwatch_forgets(bench: EngineBench) -> None:
    bench.enqueue("a")
    rid = bench.park(wait("a"), WAITER)
    bench.call(Unwatch(watch=1), WAITER)
    assert (told(bench.answer(rid)), bench.answer(rid).pending) == ([], 0)
    bench.ack(bench.claim_one())
    assert len(bench.replies[WAITER]) == 2
    bench.call(Unwatch(watch=1), WAITER)


def test_unwatch_in_the_tick_of_the_end_answers_the_wait_without_it(bench: EngineBench) -> None:
    bench.enqueue("a")
    message = bench.claim_one()
    rid = bench.park(wait("a"), WAITER)
    bench.apply(Settle(outcomes=[Ack(message.receipt, "a", b"")]), WORKER)
    bench.call(Unwatch(watch=1), WAITER)
    assert told(bench.answer(rid)) == []
    assert [type(reply) for reply in bench.replies[WAITER]] == [Waited, Done]


A_SLICE = waiting.IDS_IN_A_STEP * SLICE  # ids that a wait adds in one tick


@pytest.mark.parametrize("count", [A_SLICE, A_SLICE + 1, 2 * A_SLICE])
def test_unwatch_while_a_wait_adds_its_ids_answers_the_wait(bench: EngineBench, count: int) -> None:
    names = enqueue_many(bench, count)
    rid = bench.apply(wait(*names), WAITER)
    assert bench.answer(rid) is None
    bench.call(Unwatch(watch=1), WAITER)
    bench.work_off()
    assert (told(bench.answer(rid)), bench.answer(rid).pending) == ([], 0)
    assert bench.engine.ledger.watchers.ids() == []


@pytest.mark.parametrize("count", [A_SLICE, A_SLICE + 1, 2 * A_SLICE])
def test_nothing_is_left_of_a_connection_that_closes_while_a_wait_adds_its_ids(
    bench: EngineBench, count: int
) -> None:
    names = enqueue_many(bench, count)
    bench.apply(wait(*names), WAITER)
    bench.disconnect(WAITER)
    bench.work_off()
    assert bench.engine.ledger.watchers.ids() == []
    bench.call(Cancel(ids=names))
    bench.after(60)
    assert not any(told(reply) for reply in bench.replies.get(WAITER, []))


def test_a_watch_with_nothing_left_stays_while_another_wait_adds(
    bench: EngineBench,
) -> None:
    names = [str(number) for number in range(2 * A_SLICE)]  # unknown: told at once
    for number in range(2, 10):  # with so many others, it adds fewer in a tick than it is told of
        bench.apply(wait(*names, watch=number), WAITER + 1)
    bench.apply(wait(*names), WAITER)
    while bench.engine.ledger.operations:
        bench.apply(wait(), WAITER)
        bench.tick()
    while (reply := bench.call(wait(seconds=0), WAITER)).pending:
        assert reply.finished
    heard = [
        id for reply in bench.replies[WAITER] if isinstance(reply, Waited) for id in told(reply)
    ]
    assert sorted(heard) == sorted(names)


def enqueue_many(bench: EngineBench, count: int) -> list[str]:
    """Enqueue so many messages; their ids."""
    names = [str(number) for number in range(count)]
    bench.enqueue(*names)
    return names


def test_every_watch_hears_of_ends_in_one_tick_though_another_has_two(bench: EngineBench) -> None:
    bench.enqueue(*"abc")
    messages = bench.claim()
    two = bench.park(wait("a", "b"), WAITER)
    one = bench.park(wait("c"), WAITER + 1)
    bench.settle(*(Ack(message.receipt, message.id, b"") for message in messages))
    assert (told(bench.answer(two)), told(bench.answer(one))) == (["a", "b"], ["c"])


def test_no_watch_is_left_of_what_was_reported(bench: EngineBench) -> None:
    bench.enqueue("a")
    bench.park(wait("a"), WAITER)
    assert bench.engine.ledger.watchers.watches() == 1
    bench.ack(bench.claim_one())
    assert not bench.engine.ledger.watchers.watches()


def test_nothing_is_left_of_a_closed_connection(bench: EngineBench) -> None:
    bench.enqueue("a", "b")
    rid = bench.park(wait("a", "b"), WAITER)
    other = bench.park(wait("a"), WAITER + 1)
    bench.disconnect(WAITER)
    bench.ack(bench.claim_one())
    assert bench.answer(rid) is None
    assert told(bench.answer(other)) == ["a"]
    assert bench.engine.ledger.watchers.ids() == []


def test_36_ten_thousand_waiters(bench: EngineBench) -> None:
    bench.enqueue("a")
    message = bench.claim_one()
    for session in range(100, 10_100):
        bench.apply(wait("a"), session)
    bench.tick()
    bench.ack(message)
    assert sum(len(bench.replies.get(session, ())) for session in range(100, 10_100)) == 10_000


@pytest.mark.parametrize("how", ["value", "error"])
def test_big_answers_come_in_pieces(
    bench: EngineBench, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.setattr(waiting, "REPLY_BYTES", 1000)
    names = [f"{n}" for n in range(10)]
    bench.enqueue(*names)
    for message in bench.claim():
        if how == "value":
            bench.ack(message, b"x" * 400)
        else:
            error = ErrorInfo("E", "why", "x" * 200, b"x" * 200)
            bench.settle(Fail(message.receipt, message.id, error, final=True))
    seen = []
    reply = bench.call(wait(*names), WAITER)
    while True:
        seen += told(reply)
        assert len(reply.finished) <= 2
        if not reply.pending:
            break
        reply = bench.call(wait(), WAITER)
    assert seen == names
