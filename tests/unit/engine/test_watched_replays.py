"""Waiting for dead letters that are replayed before their waiter has heard of them."""

from __future__ import annotations

import pytest

from taskq.protocol.consuming import Settle
from taskq.protocol.operating import Replay
from taskq.protocol.values import Ack, ErrorInfo, Fail
from tests.kit.engine import PRODUCER, WORKER, EngineBench
from tests.unit.engine.test_watches import WAITER, told, wait


@pytest.fixture
def bench() -> EngineBench:
    bench = EngineBench()
    bench.register()
    return bench


def test_a_dead_letter_replayed_before_its_waiter_heard_of_it_is_waited_for(
    bench: EngineBench,
) -> None:
    bench.bury("a")
    bench.enqueue("b")
    b = bench.claim_one()
    bench.park(wait("b"), WAITER)
    bench.call(Replay(ids=["a"]))
    a = bench.claim_one()
    rid = bench.park(wait("a"), WAITER)
    bench.ack(b)
    assert told(bench.answer(rid)) == ["b"]
    bench.fail(a)  # told to the watch while nobody waits on it
    bench.call(Replay(ids=["a"]))
    reply = bench.call(wait(seconds=60), WAITER)
    assert (reply.finished, reply.pending) == ([], 1)
    rid = bench.park(wait(), WAITER)
    bench.ack(bench.claim_one())
    (finished,) = bench.answer(rid).finished
    assert (finished.id, finished.state) == ("a", "succeeded")


def test_a_dead_letter_replayed_in_the_tick_of_its_death(bench: EngineBench) -> None:
    bench.enqueue("a")
    message = bench.claim_one()
    rid = bench.park(wait("a"), WAITER)
    bench.apply(Settle(outcomes=[Fail(message.receipt, "a", ErrorInfo("E", ""))]), 2)
    bench.apply(Replay(ids=["a"]), PRODUCER)
    bench.tick()
    reply = bench.answer(rid)
    assert reply is None or (reply.finished == [] and reply.pending == 1)


def test_a_replay_does_not_hold_up_what_else_there_is_to_tell(bench: EngineBench) -> None:
    bench.enqueue("a", "b")
    a, b = bench.claim()
    rid = bench.park(wait("a", "b"), WAITER)
    outcomes = [Fail(a.receipt, "a", ErrorInfo("E", "")), Ack(b.receipt, "b", b"")]
    bench.apply(Settle(outcomes=list(outcomes)), WORKER)
    bench.apply(Replay(ids=["a"]), PRODUCER)
    bench.tick()
    reply = bench.answer(rid)
    assert (told(reply), reply.pending) == (["b"], 1)


def test_adding_again_what_was_replayed_before_anybody_heard_of_it(bench: EngineBench) -> None:
    bench.enqueue("a", "b")
    a, b = bench.claim()
    rid = bench.park(wait("a", "b"), WAITER)
    bench.ack(b)
    assert told(bench.answer(rid)) == ["b"]
    bench.fail(a)
    bench.call(Replay(ids=["a"]))
    rid = bench.park(wait("a"), WAITER)
    bench.ack(bench.claim_one())
    assert told(bench.answer(rid)) == ["a"]
