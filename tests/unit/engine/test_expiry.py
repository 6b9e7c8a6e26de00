"""`expires` (not started in time) and `ack="early"` (at most once)."""

from __future__ import annotations

import pytest

from taskq.protocol.operating import Replay
from tests.kit.engine import EngineBench, ids


@pytest.fixture
def bench() -> EngineBench:
    bench = EngineBench()
    bench.register()
    return bench


def test_what_has_not_started_by_then_expires(bench: EngineBench) -> None:
    bench.enqueue("a", expires_at=bench.now + 5)
    assert bench.engine.next_deadline() == bench.now + 5
    bench.after(5)
    assert bench.end("a").state == "expired"
    assert bench.claim() == []


@pytest.mark.parametrize(("within", "at", "ends"), [(5, None, 5), (5, 3, 3), (3, 5, 3)])
def test_expires_is_counted_from_the_enqueue(
    bench: EngineBench, within: float, at: float | None, ends: float
) -> None:
    bench.enqueue("a", expires=within, expires_at=None if at is None else bench.now + at)
    assert bench.engine.next_deadline() == bench.now + ends


def test_what_is_scheduled_expires_too(bench: EngineBench) -> None:
    bench.enqueue("a", delay=10, expires_at=bench.now + 5)
    bench.after(5)
    assert bench.state("a") == "expired"


def test_what_runs_goes_on(bench: EngineBench) -> None:
    bench.enqueue("a", expires_at=bench.now + 5)
    message = bench.claim_one()
    bench.after(5)
    assert bench.ack(message) == []


def test_what_has_started_may_be_tried_again(bench: EngineBench) -> None:
    bench.enqueue("a", expires_at=bench.now + 5, retries=1)
    bench.fail(bench.claim_one(), delay=10)
    bench.after(10)
    assert ids(bench.claim()) == ["a"]


def test_what_was_handed_back_unstarted_after_its_time_expires(bench: EngineBench) -> None:
    bench.enqueue("a", expires_at=bench.now + 5)
    message = bench.claim_one()
    bench.after(6)
    bench.release(message)
    assert bench.state("a") == "expired"


def test_what_has_expired_already_is_never_handed_out(bench: EngineBench) -> None:
    bench.enqueue("a", expires_at=bench.now + 5)
    bench.enqueue("b")
    bench.now += 5  # the claim arrives before the tick in which the timer fires
    assert ids(bench.claim()) == ["b"]
    assert bench.state("a") == "expired"


def test_an_expiry_in_the_past(bench: EngineBench) -> None:
    bench.enqueue("a", expires_at=1.0)
    assert bench.state("a") == "expired"


def test_an_operator_may_replay_a_dead_letter_after_its_expiry(bench: EngineBench) -> None:
    bench.bury("a", expires_at=bench.now + 5)
    bench.after(100)
    bench.call(Replay(ids=["a"]))
    bench.after(1)
    assert ids(bench.claim()) == ["a"]


def test_the_copy_of_a_new_group_expires_too(bench: EngineBench) -> None:
    bench.enqueue("a", expires_at=bench.now + 5)
    bench.claim_one()
    bench.after(6)
    bench.register(3, worker="late", group="late")
    assert bench.stats(group="late").expired == 1
    assert bench.claim(session=3) == []


def test_early_ack_is_recorded_before_delivery(bench: EngineBench) -> None:
    bench.enqueue("a", ack_early=True)
    message = bench.claim_one()
    assert message.ack_early
    assert bench.end("a").state == "succeeded"
    bench.reap(running=[message.receipt])
    bench.register()
    assert bench.claim() == []


def test_settling_an_early_one_is_harmless(bench: EngineBench) -> None:
    bench.enqueue("a", ack_early=True)
    message = bench.claim_one()
    bench.fail(message)
    bench.ack(message)
    assert bench.end("a").state == "succeeded"
    assert bench.stats().succeeded == 1
