"""Leases: renewed, run out, ended by death or farewell, and forgiven."""

from __future__ import annotations

import pytest

from taskq.engine import commands as c
from taskq.engine.consumers import GRACE, HEARTBEAT
from taskq.errors import LeaseLost, UnknownConsumer
from tests.unit.engine.bench import WORKER, Bench, ids

HEART = WORKER + 100  # the session of the launcher


@pytest.fixture
def bench() -> Bench:
    bench = Bench()
    bench.register()
    return bench


# --- time ---------------------------------------------------------------------------------------


def test_a_lease_runs_out_exactly_at_its_end(bench: Bench) -> None:
    bench.enqueue("a", lease=20)
    bench.claim_one()
    assert bench.engine.next_deadline() == bench.now + 20
    bench.after(19.999)
    assert bench.state("a") == "leased"
    bench.after(0.001)
    assert bench.state("a") == "ready"
    assert bench.job("a").errors[0].kind == "WorkerLost"
    assert bench.stats().failed == 1


def test_a_heartbeat_renews_every_lease_of_its_worker(bench: Bench) -> None:
    bench.register(3, consumer="c2")
    bench.enqueue("a", "b", lease=20)
    bench.claim(1)
    bench.claim(1, session=3)
    for _ in range(10):
        bench.after(15)
        bench.heartbeat()
    assert (bench.state("a"), bench.state("b")) == ("leased", "leased")
    bench.after(20)
    assert (bench.state("a"), bench.state("b")) == ("ready", "ready")


def test_a_heartbeat_of_another_worker_renews_nothing(bench: Bench) -> None:
    bench.enqueue("a", lease=20)
    bench.claim_one()
    bench.after(15)
    bench.heartbeat("somebody else")
    bench.after(5)
    assert bench.state("a") == "ready"


def test_leases_of_different_length_end_each_in_its_time(bench: Bench) -> None:
    bench.enqueue("long", lease=50)
    bench.enqueue("short", lease=5)
    bench.claim()
    bench.after(5)
    assert (bench.state("short"), bench.state("long")) == ("ready", "leased")
    assert bench.engine.next_deadline() == bench.now + 45
    bench.after(45)
    assert bench.state("long") == "ready"


def test_the_shortest_lease_sets_the_pace_of_the_heartbeats(bench: Bench) -> None:
    assert bench.heartbeat().renew_in == HEARTBEAT
    beat = bench.park(c.Heartbeat(worker="w", info=c.WorkerInfo(), wait=60), HEART)
    bench.enqueue("a", lease=3)
    bench.claim_one()
    assert bench.answer(beat).renew_in == 1


def test_a_heartbeat_is_answered_when_the_next_is_wanted(bench: Bench) -> None:
    beat = bench.park(c.Heartbeat(worker="w", info=c.WorkerInfo(), wait=60), HEART)
    bench.after(HEARTBEAT - 0.001)
    assert bench.answer(beat) is None
    bench.after(0.001)
    assert bench.answer(beat) is not None


def test_extend_makes_one_lease_last_longer(bench: Bench) -> None:
    bench.enqueue("a", "b", lease=10)
    first, _ = bench.claim()
    bench.call(c.Extend(receipt=first.receipt, seconds=100))
    bench.after(10)
    assert (bench.state("a"), bench.state("b")) == ("leased", "ready")
    bench.after(89.999)
    assert bench.state("a") == "leased"
    bench.after(0.001)
    assert bench.state("a") == "ready"


def test_extend_never_shortens_and_leaves_the_start_alone(bench: Bench) -> None:
    bench.enqueue("a", lease=10)
    message = bench.claim_one()
    started = bench.now
    bench.call(c.Extend(receipt=message.receipt, seconds=100))
    bench.call(c.Extend(receipt=message.receipt, seconds=1))
    bench.after(50)
    assert bench.state("a") == "leased"
    assert bench.job("a").started_at == started


def test_an_extension_ends_with_its_delivery(bench: Bench) -> None:
    bench.enqueue("a", lease=10)
    message = bench.claim_one()
    bench.call(c.Extend(receipt=message.receipt, seconds=1000))
    bench.release(message)
    bench.claim_one()
    bench.after(10)
    assert bench.state("a") == "ready"


@pytest.mark.parametrize("how", ["extend", "report"])
def test_a_stale_receipt_gets_lease_lost(bench: Bench, how: str) -> None:
    bench.enqueue("a", lease=5)
    message = bench.claim_one()
    bench.after(5)
    request: c.Request[c.Done] = c.Extend(receipt=message.receipt, seconds=5)
    if how == "report":
        request = c.Report(receipt=message.receipt, progress=c.Progress(1))
    with pytest.raises(LeaseLost, match="stale"):
        bench.call(request)


def test_progress_is_shown_and_gone_with_the_attempt(bench: Bench) -> None:
    bench.enqueue("a")
    message = bench.claim_one()
    bench.call(c.Report(receipt=message.receipt, progress=c.Progress(3, 10, "files")))
    progress = bench.job("a").progress
    assert progress is not None
    assert (progress.done, progress.total, progress.note) == (3, 10, "files")
    bench.release(message)
    bench.claim_one()
    assert bench.job("a").progress is None


# --- deaths -------------------------------------------------------------------------------------


def test_after_max_deliveries_the_dead_letters(bench: Bench) -> None:
    bench.enqueue("a", max_deliveries=3, retries=99, lease=5)
    for attempt in (1, 2, 3):
        assert bench.claim_one().attempt == attempt
        bench.after(5)
    assert bench.state("a") == "dead"
    assert [error.kind for error in bench.job("a").errors] == ["WorkerLost"] * 3


def test_deaths_and_failures_are_counted_apart(bench: Bench) -> None:
    bench.enqueue("a", max_deliveries=2, retries=2, lease=5)
    bench.fail(bench.claim_one(), delay=0)
    bench.claim_one()
    bench.after(5)
    bench.fail(bench.claim_one(), delay=0)
    assert bench.state("a") == "ready"
    bench.claim_one()
    bench.after(5)
    assert bench.state("a") == "dead"


def test_what_was_lost_with_a_worker_is_dealt_out_alone(bench: Bench) -> None:
    bench.enqueue("a", "poison", "b", "c", lease=5)
    first, poison = bench.claim(2)
    bench.ack(first)
    bench.after(5)
    assert poison.id == "poison"
    assert ids(bench.claim()) == ["poison"]
    assert ids(bench.claim()) == ["b", "c"]


def test_a_suspect_behind_others_is_left_for_the_next_claim(bench: Bench) -> None:
    bench.enqueue("a", "poison", lease=5)
    bench.enqueue("b")
    first, _ = bench.claim(2)
    bench.release(first)
    bench.after(5)
    assert ids(bench.claim()) == ["a"]
    assert ids(bench.claim()) == ["poison"]
    assert ids(bench.claim()) == ["b"]


def test_a_failure_does_not_make_a_suspect(bench: Bench) -> None:
    bench.enqueue("a", "b", retries=1)
    for message in bench.claim():
        bench.fail(message, delay=0)
    assert ids(bench.claim()) == ["a", "b"]


def test_a_dead_consumer_loses_what_it_ran_and_returns_the_rest(bench: Bench) -> None:
    bench.enqueue("running", "unstarted")
    running, _ = bench.claim()
    assert bench.reap(running=[running.receipt]) == 2
    assert bench.job("running").deliveries == 1
    (error,) = bench.job("running").errors
    assert (error.kind, error.text) == ("WorkerLost", "signal 9")
    assert (bench.job("unstarted").deliveries, bench.job("unstarted").errors) == (0, [])


def test_a_reaped_timeout_is_a_failed_attempt(bench: Bench) -> None:
    bench.enqueue("a", retries=1)
    message = bench.claim_one()
    bench.reap(running=[message.receipt], timed_out=True)
    job = bench.job("a")
    assert (job.state, job.errors[0].kind) == ("scheduled", "TaskTimeout")


def test_a_reaped_cancellation_is_the_end(bench: Bench) -> None:
    bench.enqueue("a", "b")
    first, _ = bench.claim()
    bench.reap(running=[first.receipt], cancelled=True)
    assert (bench.state("a"), bench.state("b")) == ("cancelled", "ready")
    assert bench.ack(first) == [first.receipt]


def test_reaping_twice_or_somebody_unknown_does_nothing(bench: Bench) -> None:
    assert bench.reap("nobody") == 0
    assert bench.reap() == 0
    assert bench.reap() == 0
    request = c.Reap(worker="never seen", consumer="c", running=[], reason="")
    assert bench.call(request, HEART).count == 0
    assert [worker.name for worker in bench.call(c.GetStats()).workers] == ["w"]


def test_a_reaped_consumer_must_register_again(bench: Bench) -> None:
    bench.reap()
    with pytest.raises(UnknownConsumer):
        bench.claim()


def test_leaving_returns_everything_without_cost(bench: Bench) -> None:
    bench.enqueue("a", "b")
    taken = bench.claim()
    assert bench.call(c.Leave(worker="w"), HEART).count == 2
    assert [bench.job(id).deliveries for id in "ab"] == [0, 0]
    assert bench.ack(taken[0]) == [taken[0].receipt]
    assert bench.call(c.GetStats()).workers == []
    assert bench.stats().consumers == 0
    assert bench.call(c.Leave(worker="w"), HEART).count == 0


# --- connections --------------------------------------------------------------------------------


def test_a_worker_without_any_connection_has_a_grace(bench: Bench) -> None:
    bench.enqueue("a", lease=1000)
    bench.claim_one()
    bench.disconnect(WORKER)
    bench.after(GRACE - 0.001)
    assert bench.state("a") == "leased"
    bench.after(0.001)
    assert bench.state("a") == "ready"
    assert "connections were closed" in bench.job("a").errors[0].text
    assert bench.call(c.GetStats()).workers == []


def test_a_worker_that_returns_within_the_grace_keeps_its_leases(bench: Bench) -> None:
    bench.enqueue("a", lease=1000)
    message = bench.claim_one()
    bench.disconnect(WORKER)
    bench.after(GRACE / 2)
    assert bench.register(9, holding=[message.receipt]) == 0
    bench.after(500)
    assert bench.state("a") == "leased"
    assert bench.ack(message) == []


def test_one_connection_of_a_worker_is_enough(bench: Bench) -> None:
    bench.heartbeat()
    bench.enqueue("a", lease=100)
    bench.claim_one()
    bench.disconnect(WORKER)
    bench.after(90)
    assert bench.state("a") == "leased"


def test_registering_releases_what_the_consumer_does_not_hold(bench: Bench) -> None:
    bench.enqueue("a", "b", max_deliveries=1)
    held, lost = bench.claim()
    bench.disconnect(WORKER)
    assert bench.register(9, holding=[held.receipt]) == 1
    assert (bench.job("b").state, bench.job("b").deliveries) == ("ready", 0)
    assert bench.ack(lost) == [lost.receipt]
    assert bench.ack(held) == []


def test_a_consumer_on_a_new_connection_leaves_the_old_one(bench: Bench) -> None:
    bench.register(9)
    with pytest.raises(UnknownConsumer):
        bench.claim(session=WORKER)
    bench.enqueue("a")
    assert ids(bench.claim(session=9)) == ["a"]
    bench.disconnect(WORKER)
    bench.after(GRACE * 2)
    assert bench.state("a") == "leased"
    assert bench.stats().consumers == 1


def test_a_connection_that_becomes_another_consumer_gives_the_first_one_up(bench: Bench) -> None:
    bench.register(consumer="second")
    assert bench.stats().consumers == 1
    bench.disconnect(WORKER)
    assert bench.stats().consumers == 0


def test_a_connection_that_changes_its_worker_is_the_old_ones_no_more(bench: Bench) -> None:
    bench.enqueue("a", lease=1000)
    bench.claim_one()
    bench.register(worker="other", consumer="c")
    bench.after(GRACE)
    assert bench.state("a") == "ready"


def test_a_farewell_does_not_touch_a_successor_of_the_same_name(bench: Bench) -> None:
    bench.call(c.Leave(worker="w"), HEART)
    bench.register(9)  # the worker was started again while an old connection is still open
    bench.enqueue("a", lease=30)
    message = bench.claim_one(session=9)
    bench.disconnect(WORKER)
    for _ in range(10):
        bench.after(10)
        bench.heartbeat(session=9)
    assert bench.state("a") == "leased"
    assert bench.ack(message) == []
    assert [worker.name for worker in bench.call(c.GetStats()).workers] == ["w"]


def test_claims_need_a_registration(bench: Bench) -> None:
    with pytest.raises(UnknownConsumer, match="register"):
        bench.claim(session=77)


# --- a broker that was away -----------------------------------------------------------------------


def test_forgiven_time_makes_every_lease_longer(bench: Bench) -> None:
    bench.enqueue("old", "new", lease=10)
    bench.claim(1)
    bench.after(5)
    bench.heartbeat()
    bench.after(4)
    bench.claim(1)  # after the last heartbeat
    bench.now += 60  # stopped, and its clock went on
    bench.engine.forgive(60)
    bench.tick()
    assert (bench.state("old"), bench.state("new")) == ("leased", "leased")
    bench.after(5.999)
    assert bench.state("old") == "leased"
    bench.after(0.001)
    assert (bench.state("old"), bench.state("new")) == ("ready", "leased")
    bench.after(4)
    assert bench.state("new") == "ready"


def test_forgiven_time_makes_the_grace_longer(bench: Bench) -> None:
    bench.enqueue("a", lease=1000)
    bench.claim_one()
    bench.disconnect(WORKER)
    bench.now += 60
    bench.engine.forgive(60)
    bench.tick()
    assert bench.state("a") == "leased"
    bench.after(GRACE)
    assert bench.state("a") == "ready"


def test_workers_are_listed_with_what_they_hold_and_did(bench: Bench) -> None:
    bench.enqueue(*"abcd", retries=1)
    one, two, three, _ = bench.claim()
    bench.ack(one)
    bench.fail(two)
    bench.release(three)
    bench.heartbeat()
    (worker,) = bench.call(c.GetStats()).workers
    assert (worker.name, worker.consumers, worker.leased) == ("w", 1, 1)
    assert worker.tasks == 2
    assert worker.seen_at == bench.now
