"""Lost workers: counted, suspected, reaped; and farewells in good order."""

from __future__ import annotations

import pytest

from taskq.errors import LeaseLost, UnknownConsumer
from taskq.protocol.consuming import Begin, Claim, Leave, Reap
from taskq.protocol.operating import GetStats, Peek
from taskq.protocol.values import Ended
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


def test_of_what_a_lost_worker_had_only_the_first_counts_as_begun(bench: EngineBench) -> None:
    bench.enqueue("first", "second", lease=5)
    bench.claim()
    bench.after(5)
    assert [len(bench.job(id).errors) for id in ("first", "second")] == [1, 0]
    assert bench.job("second").errors == []


def test_what_the_heartbeat_says_to_run_has_begun_and_what_came_before(bench: EngineBench) -> None:
    bench.enqueue("settled", "ended", "running", "waiting", lease=5)
    settled, _ended, running, _ = bench.claim()
    bench.ack(settled)
    bench.heartbeat(running=[running.receipt])
    bench.after(5)
    counts = {id: len(bench.job(id).errors) for id in ("ended", "running", "waiting")}
    assert counts == {"ended": 1, "running": 1, "waiting": 0}


def test_what_was_never_begun_is_never_buried(bench: EngineBench) -> None:
    bench.enqueue("a", max_deliveries=1, lease=5)
    for _ in range(5):
        (message,) = bench.call(Claim(queues=["q"], n=9, wait=0), WORKER).messages
        assert message.announce
        bench.after(5)
        assert (bench.state("a"), bench.job("a").errors) == ("ready", [])
    bench.claim_one()  # and announces it
    bench.after(5)
    assert bench.state("a") == "dead"


def test_what_may_not_be_lost_even_once_is_dealt_alone(bench: EngineBench) -> None:
    bench.enqueue("a", "b", max_deliveries=1)
    assert ids(bench.claim()) == ["a"]
    assert ids(bench.claim()) == ["b"]


def test_what_is_acknowledged_early_is_dealt_in_batches(bench: EngineBench) -> None:
    bench.enqueue("a", "b", max_deliveries=1, ack_early=True)
    assert [message.announce for message in bench.claim()] == [False, False]


def test_a_poison_in_the_middle_of_a_batch_ends_as_a_dead_letter(bench: EngineBench) -> None:
    bench.enqueue("a", "poison", "b", max_deliveries=3, lease=5)
    bench.claim()
    bench.after(5)  # it may have been any of them
    starts = 0
    while bench.state("poison") == "ready":
        message = bench.claim_one()  # alone
        if message.id == "poison":
            starts += 1
            bench.after(5)
        else:
            bench.ack(message)
    assert (bench.state("poison"), starts) == ("dead", 3)
    assert (bench.state("a"), bench.state("b")) == ("succeeded", "ready")


def test_beginning_what_was_lost_is_refused(bench: EngineBench) -> None:
    bench.enqueue("a", max_deliveries=1, lease=5)
    message = bench.claim_one()
    bench.after(5)
    with pytest.raises(LeaseLost):
        bench.call(Begin(receipt=message.receipt, id=message.id), WORKER)


def test_what_was_begun_and_not_settled_is_lost_with_its_consumer(bench: EngineBench) -> None:
    bench.enqueue("ended", "running", "waiting")
    ended, running, _ = bench.claim()
    bench.reap(running=[running.receipt], began=running.receipt)
    counts = [len(bench.job(id).errors) for id in ("ended", "running", "waiting")]
    assert counts == [1, 1, 0]
    assert ended.receipt < running.receipt


def test_the_reaper_hears_what_became_of_what_had_begun(bench: EngineBench) -> None:
    bench.enqueue("a", "b")
    first, _ = bench.claim()
    request = Reap(worker="w", consumer="c", running=[first.receipt], reason="signal 9")
    reaped = bench.call(request, HEART)
    assert reaped.ended == [Ended(first.receipt, "a", "t", "ready")]


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


def test_a_look_at_what_is_leased_says_who_has_it_since_when_and_what_runs(
    bench: EngineBench,
) -> None:
    bench.enqueue("a", "b")
    running, _ = bench.claim()
    bench.heartbeat(running=[running.receipt])
    found = bench.call(Peek(queue="q", state="leased")).messages
    seen = [(each.id, each.consumer, each.leased_at, each.is_running) for each in found]
    assert seen == [("a", "c", bench.now, True), ("b", "c", bench.now, False)]
    jobs = [bench.job(id) for id in "ab"]
    assert [(each.consumer, each.is_running) for each in jobs] == [("c", True), ("c", False)]
    bench.ack(running)
    assert (bench.job("a").consumer, bench.job("a").is_running) == ("", False)
