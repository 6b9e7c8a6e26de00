"""Lost workers: counted, suspected, reaped; and farewells in good order."""

from __future__ import annotations

import pytest

from taskq.errors import UnknownConsumer
from taskq.protocol.consuming import Leave, Reap
from taskq.protocol.operating import GetStats
from tests.kit.engine import WORKER, EngineBench, ids

HEART = WORKER + 100  # the session of the launcher


@pytest.fixture
def bench() -> EngineBench:
    bench = EngineBench()
    bench.register()
    return bench


def test_after_max_deliveries_the_dead_letters(bench: EngineBench) -> None:
    bench.enqueue("a", max_deliveries=3, retries=99, lease=5)
    for attempt in (1, 2, 3):
        assert bench.claim_one().attempt == attempt
        bench.after(5)
    assert bench.state("a") == "dead"
    assert [error.kind for error in bench.job("a").errors] == ["WorkerLost"] * 3


def test_deaths_and_failures_are_counted_apart(bench: EngineBench) -> None:
    bench.enqueue("a", max_deliveries=2, retries=2, lease=5)
    bench.fail(bench.claim_one(), delay=0)
    bench.claim_one()
    bench.after(5)
    bench.fail(bench.claim_one(), delay=0)
    assert bench.state("a") == "ready"
    bench.claim_one()
    bench.after(5)
    assert bench.state("a") == "dead"


def test_what_was_lost_with_a_worker_is_dealt_out_alone(bench: EngineBench) -> None:
    bench.enqueue("a", "poison", "b", "c", lease=5)
    first, poison = bench.claim(2)
    bench.ack(first)
    bench.after(5)
    assert poison.id == "poison"
    assert ids(bench.claim()) == ["poison"]
    assert ids(bench.claim()) == ["b", "c"]


def test_a_suspect_behind_others_is_left_for_the_next_claim(bench: EngineBench) -> None:
    bench.enqueue("a", "poison", lease=5)
    bench.enqueue("b")
    first, _ = bench.claim(2)
    bench.release(first)
    bench.after(5)
    assert ids(bench.claim()) == ["a"]
    assert ids(bench.claim()) == ["poison"]
    assert ids(bench.claim()) == ["b"]


def test_a_failure_does_not_make_a_suspect(bench: EngineBench) -> None:
    bench.enqueue("a", "b", retries=1)
    for message in bench.claim():
        bench.fail(message, delay=0)
    assert ids(bench.claim()) == ["a", "b"]


def test_a_dead_consumer_loses_what_it_ran_and_returns_the_rest(bench: EngineBench) -> None:
    bench.enqueue("running", "unstarted")
    running, _ = bench.claim()
    assert bench.reap(running=[running.receipt]) == 2
    assert bench.stats().consumers == 0
    assert bench.job("running").deliveries == 1
    (error,) = bench.job("running").errors
    assert (error.kind, error.text) == ("WorkerLost", "signal 9")
    assert (bench.job("unstarted").deaths, bench.job("unstarted").errors) == (0, [])


def test_a_reaped_timeout_is_a_failed_attempt(bench: EngineBench) -> None:
    bench.enqueue("a", retries=1)
    message = bench.claim_one()
    bench.reap(running=[message.receipt], timed_out=True)
    job = bench.job("a")
    assert (job.state, job.errors[0].kind) == ("scheduled", "TaskTimeout")
    assert (job.errors[0].worker, job.errors[0].text) == ("w", "signal 9")


def test_a_reaped_cancellation_is_the_end(bench: EngineBench) -> None:
    bench.enqueue("a", "b")
    first, _ = bench.claim()
    bench.reap(running=[first.receipt], cancelled=True)
    assert (bench.state("a"), bench.state("b")) == ("cancelled", "ready")
    assert bench.ack(first) == [first.receipt]


def test_reaping_twice_or_somebody_unknown_does_nothing(bench: EngineBench) -> None:
    assert bench.reap("nobody") == 0
    assert bench.reap() == 0
    assert bench.reap() == 0
    request = Reap(worker="never seen", consumer="c", running=[], reason="")
    assert bench.call(request, HEART).count == 0
    assert [worker.name for worker in bench.call(GetStats()).workers] == ["w"]


def test_a_reaped_consumer_must_register_again(bench: EngineBench) -> None:
    bench.reap()
    with pytest.raises(UnknownConsumer):
        bench.claim()


def test_leaving_returns_everything_without_cost(bench: EngineBench) -> None:
    bench.enqueue("a", "b")
    taken = bench.claim()
    assert bench.call(Leave(worker="w"), HEART).count == 2
    assert [bench.job(id).deaths for id in "ab"] == [0, 0]
    assert bench.ack(taken[0]) == [taken[0].receipt]
    assert bench.call(GetStats()).workers == []
    assert bench.stats().consumers == 0
    assert bench.call(Leave(worker="w"), HEART).count == 0
