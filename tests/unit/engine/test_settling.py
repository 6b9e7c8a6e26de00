"""How deliveries end: acknowledged, failed, released, abandoned, or said to by the wrong one."""

from __future__ import annotations

import pytest

from taskq.protocol.backoff import Backoff
from taskq.protocol.consuming import Claim, Settle
from taskq.protocol.producing import Cancel
from taskq.protocol.values import Abandon, Ack, Delivered, Outcome, Release
from tests.kit.engine import MOMENT, EngineBench, failure, ids
from tests.kit.snapshot import snapshot

TEN = Backoff(base=10, factor=3, max=1000, jitter=False)


@pytest.fixture
def bench() -> EngineBench:
    bench = EngineBench()
    bench.register()
    return bench


def test_ack_succeeds_and_keeps_the_value(bench: EngineBench) -> None:
    bench.enqueue("a")
    assert bench.ack(bench.claim_one(), b"42") == []
    end = bench.end("a")
    assert (end.state, end.value, end.error) == ("succeeded", b"42", None)
    assert bench.engine.ledger.messages == {}


def test_a_delivery_carries_all_that_the_worker_needs(bench: EngineBench) -> None:
    bench.enqueue("a", task="mail.send", payload=b"xyz", timeout=7.0, lease=12.0)
    message = bench.claim_one()
    assert (message.id, message.queue, message.task, message.payload) == (
        "a",
        "q",
        "mail.send",
        b"xyz",
    )
    assert (message.attempt, message.timeout, message.lease, message.ack_early) == (
        1,
        7.0,
        12.0,
        False,
    )


def test_receipts_rise_strictly(bench: EngineBench) -> None:
    bench.enqueue("a", "b", retries=1, backoff=Backoff(base=0))
    first, second = bench.claim()
    bench.fail(first)
    again = bench.claim_one()
    assert first.receipt < second.receipt < again.receipt


def test_a_failure_without_retries_goes_to_the_dead_letters(bench: EngineBench) -> None:
    bench.enqueue("a")
    bench.fail(bench.claim_one())
    assert bench.state("a") == "dead"
    end = bench.end("a")
    assert end.state == "dead"
    assert end.error is not None
    assert end.error.kind == "ValueError"


def test_a_retry_waits_for_its_backoff_and_counts_attempts(bench: EngineBench) -> None:
    bench.enqueue("a", retries=2, backoff=TEN)
    for attempt, wait in ((1, 10), (2, 30)):
        message = bench.claim_one()
        assert message.attempt == attempt
        bench.fail(message)
        assert bench.state("a") == "scheduled"
        bench.after(wait - MOMENT)
        assert bench.claim() == []
        bench.after(MOMENT)
    last = bench.claim_one()
    assert last.attempt == 3
    bench.fail(last)
    assert bench.state("a") == "dead"


def test_the_jitter_comes_from_the_host(bench: EngineBench) -> None:
    bench.enqueue("a", retries=1, backoff=Backoff(base=10))
    bench.jitter = 0.5
    bench.fail(bench.claim_one())
    assert bench.job("a").due_at == bench.now + 7.5


def test_the_worker_may_set_the_delay(bench: EngineBench) -> None:
    bench.enqueue("a", retries=1, backoff=TEN)
    bench.fail(bench.claim_one(), delay=2.0)
    assert bench.job("a").due_at == bench.now + 2


def test_a_negative_delay_is_at_once(bench: EngineBench) -> None:
    bench.enqueue("a", retries=1)
    bench.fail(bench.claim_one(), delay=-5.0)
    assert ids(bench.claim()) == ["a"]


@pytest.mark.parametrize("delay", [float("inf"), float("nan")])
def test_a_delay_that_is_no_time_does_not_reach_the_clock(bench: EngineBench, delay: float) -> None:
    bench.enqueue("a", retries=1, backoff=TEN)
    bench.fail(bench.claim_one(), delay=delay)
    assert bench.job("a").due_at == bench.now + 10


def test_a_final_failure_is_not_retried(bench: EngineBench) -> None:
    bench.enqueue("a", retries=10)
    bench.fail(bench.claim_one(), final=True)
    assert bench.state("a") == "dead"


def test_the_latest_twenty_errors_are_kept(bench: EngineBench) -> None:
    bench.enqueue("a", retries=30, backoff=Backoff(base=0))
    for _ in range(25):
        bench.fail(bench.claim_one())
    errors = bench.job("a").errors
    assert [error.attempt for error in errors] == list(range(6, 26))


def test_a_release_costs_neither_an_attempt_nor_a_delivery(bench: EngineBench) -> None:
    bench.enqueue("a", max_deliveries=1)
    for _ in range(10):
        message = bench.claim_one()
        assert message.attempt == 1
        bench.release(message)
    job = bench.job("a")
    assert (job.state, job.attempts, job.errors) == ("ready", 0, [])
    assert bench.stats().failed == 0


def test_abandon_after_a_cancel(bench: EngineBench) -> None:
    bench.enqueue("a")
    message = bench.claim_one()
    bench.call(Cancel(ids=["a"]))
    bench.settle(Abandon(message.receipt, "a"))
    assert bench.end("a").state == "cancelled"


OUTCOMES = ["ack", "fail", "release", "abandon"]


def outcome(kind: str, message: Delivered) -> Outcome:
    return {
        "ack": Ack(message.receipt, message.id, b"late"),
        "fail": failure(message),
        "release": Release(message.receipt, message.id),
        "abandon": Abandon(message.receipt, message.id),
    }[kind]


@pytest.mark.parametrize("kind", OUTCOMES)
@pytest.mark.parametrize("now", ["ready", "leased", "succeeded", "dead", "cancelled"])
def test_a_stale_receipt_changes_nothing(bench: EngineBench, kind: str, now: str) -> None:
    bench.enqueue("a", lease=5, max_deliveries=1 if now == "dead" else 5)
    stale = bench.claim_one()
    if now == "cancelled":
        bench.call(Cancel(ids=["a"]))
    bench.after(5)
    if now in ("leased", "succeeded"):
        second = bench.claim_one()
        if now == "succeeded":
            bench.ack(second, b"right")
    assert bench.state("a") == now
    before = snapshot(bench.engine)
    assert bench.settle(outcome(kind, stale)) == [stale.receipt]
    assert snapshot(bench.engine) == before


@pytest.mark.parametrize("kind", OUTCOMES)
def test_a_receipt_of_another_message_changes_nothing(bench: EngineBench, kind: str) -> None:
    bench.enqueue("a", "b")
    first, second = bench.claim()
    before = snapshot(bench.engine)
    mixed = outcome(kind, Delivered(first.receipt, "b", "q", "t", b"", 1, None, 30.0))
    assert bench.settle(mixed) == [first.receipt]
    assert snapshot(bench.engine) == before
    assert bench.ack(second) == []


@pytest.mark.parametrize("kind", OUTCOMES)
@pytest.mark.parametrize("retries", [0, 1])
def test_the_same_outcome_twice_is_accepted_because_its_reply_may_be_lost(
    bench: EngineBench, kind: str, retries: int
) -> None:
    bench.enqueue("a", retries=retries)
    message = bench.claim_one()
    assert bench.settle(outcome(kind, message)) == []
    before = snapshot(bench.engine)
    assert bench.settle(outcome(kind, message)) == []
    assert snapshot(bench.engine) == before


def test_another_outcome_after_an_ack_is_stale(bench: EngineBench) -> None:
    bench.enqueue("a")
    message = bench.claim_one()
    bench.ack(message)
    assert bench.fail(message) == [message.receipt]
    assert bench.end("a").state == "succeeded"


def test_an_ack_after_a_failure_is_stale(bench: EngineBench) -> None:
    bench.enqueue("a", retries=1)
    message = bench.claim_one()
    bench.fail(message)
    assert bench.ack(message) == [message.receipt]
    assert bench.state("a") == "scheduled"


def test_one_settle_may_hold_good_and_stale_ones(bench: EngineBench) -> None:
    bench.enqueue("a", "b")
    first, second = bench.claim()
    bench.release(first)
    taken = bench.claim_one()
    assert taken.id == "a"
    rejected = bench.settle(
        Ack(first.receipt, "a", b""),
        Ack(second.receipt, "b", b""),
        Ack(taken.receipt, "a", b"x"),
    )
    assert rejected == [first.receipt]
    assert (bench.end("a").value, bench.end("b").value) == (b"x", b"")


def test_settling_is_heard_in_the_same_tick_as_the_claim_that_follows(bench: EngineBench) -> None:
    bench.enqueue("a", "b")
    first = bench.claim_one()
    settle = bench.apply(Settle(outcomes=[Ack(first.receipt, "a", b"")]), 2)
    claim = bench.apply(Claim(queues=["q"], n=1, wait=10), 2)
    bench.tick()
    assert bench.answer(settle).rejected == []
    assert ids(bench.answer(claim).messages) == ["b"]
