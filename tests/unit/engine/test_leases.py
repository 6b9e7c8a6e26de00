"""Leases: renewed, extended, run out, and forgiven while the broker was away."""

from __future__ import annotations

import pytest

from taskq.engine.model import GRACE, HEARTBEAT
from taskq.errors import LeaseLost
from taskq.protocol.base import Done, Request
from taskq.protocol.consuming import Extend, Heartbeat, Report
from taskq.protocol.operating import GetStats
from taskq.protocol.producing import Cancel, Wait
from taskq.protocol.values import Progress, WorkerInfo
from tests.kit.engine import MOMENT, WORKER, EngineBench

HEART = WORKER + 100  # the session of the launcher


@pytest.fixture
def bench() -> EngineBench:
    bench = EngineBench()
    bench.register()
    return bench


def test_a_lease_runs_out_exactly_at_its_end(bench: EngineBench) -> None:
    bench.enqueue("a", lease=20)
    bench.claim_one()
    assert bench.engine.next_deadline() == bench.now + 20
    bench.after(20 - MOMENT)
    assert bench.state("a") == "leased"
    bench.after(MOMENT)
    assert bench.state("a") == "ready"
    assert bench.job("a").errors[0].kind == "WorkerLost"
    assert bench.stats().failed == 1


def test_each_loss_is_recorded_with_its_time_attempt_and_worker(bench: EngineBench) -> None:
    bench.enqueue("a", lease=20)
    for _ in range(2):
        bench.claim_one()
        bench.after(20)
    told = [(error.at, error.attempt, error.worker) for error in bench.job("a").errors]
    assert told == [(bench.now - 20, 1, "w"), (bench.now, 2, "w")]
    assert bench.stats().failed == 2


def test_a_heartbeat_renews_every_lease_of_its_worker(bench: EngineBench) -> None:
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


def test_a_heartbeat_of_another_worker_renews_nothing(bench: EngineBench) -> None:
    bench.enqueue("a", lease=20)
    bench.claim_one()
    bench.after(15)
    bench.heartbeat("somebody else")
    bench.after(5)
    assert bench.state("a") == "ready"


def test_leases_of_different_length_end_each_in_its_time(bench: EngineBench) -> None:
    bench.enqueue("long", lease=50)
    bench.enqueue("short", lease=5)
    bench.claim()
    bench.after(5)
    assert (bench.state("short"), bench.state("long")) == ("ready", "leased")
    assert bench.engine.next_deadline() == bench.now + 45
    bench.after(45)
    assert bench.state("long") == "ready"


def test_a_long_lease_does_not_hide_the_end_of_a_short_one(bench: EngineBench) -> None:
    bench.enqueue("short", lease=5)
    bench.enqueue("long", lease=50)
    bench.claim()
    assert bench.engine.next_deadline() == bench.now + 5
    bench.after(5)
    assert (bench.state("short"), bench.state("long")) == ("ready", "leased")


def test_the_shortest_lease_sets_the_pace_of_the_heartbeats(bench: EngineBench) -> None:
    assert bench.heartbeat().renew_in == HEARTBEAT
    beat = bench.park(Heartbeat(worker="w", info=WorkerInfo(), wait=60), HEART)
    bench.enqueue("a", lease=3)
    bench.claim_one()
    assert bench.answer(beat).renew_in == 1


def test_a_heartbeat_is_answered_when_the_next_is_wanted(bench: EngineBench) -> None:
    beat = bench.park(Heartbeat(worker="w", info=WorkerInfo(), wait=60), HEART)
    bench.after(HEARTBEAT - MOMENT)
    assert bench.answer(beat) is None
    bench.after(MOMENT)
    assert bench.replies[HEART] == [bench.answer(beat)]


def test_a_heartbeat_may_ask_for_a_shorter_wait(bench: EngineBench) -> None:
    beat = bench.park(Heartbeat(worker="w", info=WorkerInfo(), wait=1), HEART)
    bench.after(1)
    assert bench.answer(beat) is not None


def test_a_wait_on_the_connection_of_a_heartbeat_does_not_delay_it(bench: EngineBench) -> None:
    bench.enqueue("a", delay=1000)
    beat = bench.park(Heartbeat(worker="w", info=WorkerInfo(), wait=60), HEART)
    soon = bench.park(Wait(watch=1, add=["a"], wait=5), HEART)
    bench.after(5)
    assert (bench.answer(beat), bench.answer(soon) is not None) == (None, True)
    bench.after(HEARTBEAT - 5)
    assert bench.answer(beat) is not None


def test_extend_makes_one_lease_last_longer(bench: EngineBench) -> None:
    bench.enqueue("a", "b", lease=10)
    first, _ = bench.claim()
    assert bench.call(Extend(receipt=first.receipt, id=first.id, seconds=100)).count == 1
    bench.after(10)
    assert (bench.state("a"), bench.state("b")) == ("leased", "ready")
    bench.after(90 - MOMENT)
    assert bench.state("a") == "leased"
    bench.after(MOMENT)
    assert bench.state("a") == "ready"


def test_extend_never_shortens_and_leaves_the_start_alone(bench: EngineBench) -> None:
    bench.enqueue("a", lease=10)
    message = bench.claim_one()
    started = bench.now
    bench.call(Extend(receipt=message.receipt, id=message.id, seconds=100))
    bench.call(Extend(receipt=message.receipt, id=message.id, seconds=1))
    bench.after(50)
    assert bench.state("a") == "leased"
    assert bench.job("a").started_at == started


def test_an_extension_ends_with_its_delivery(bench: EngineBench) -> None:
    bench.enqueue("a", lease=10)
    message = bench.claim_one()
    bench.call(Extend(receipt=message.receipt, id=message.id, seconds=1000))
    bench.release(message)
    bench.claim_one()
    bench.after(10)
    assert bench.state("a") == "ready"


@pytest.mark.parametrize("how", ["extend", "report"])
def test_a_stale_receipt_gets_lease_lost(bench: EngineBench, how: str) -> None:
    bench.enqueue("a", lease=5)
    message = bench.claim_one()
    bench.after(5)
    request: Request[Done] = Extend(receipt=message.receipt, id=message.id, seconds=5)
    if how == "report":
        request = Report(receipt=message.receipt, id=message.id, progress=Progress(1))
    with pytest.raises(LeaseLost, match="stale"):
        bench.call(request)


def test_progress_is_shown_and_gone_with_the_attempt(bench: EngineBench) -> None:
    bench.enqueue("a")
    message = bench.claim_one()
    report = Report(receipt=message.receipt, id=message.id, progress=Progress(3, 10, "files"))
    assert bench.call(report).count == 1
    progress = bench.job("a").progress
    assert progress is not None
    assert (progress.done, progress.total, progress.note) == (3, 10, "files")
    bench.release(message)
    bench.claim_one()
    assert bench.job("a").progress is None


def test_forgiven_time_makes_every_lease_longer(bench: EngineBench) -> None:
    bench.enqueue("old", "new", lease=10)
    bench.claim(1)
    bench.after(5)
    bench.heartbeat()
    bench.after(4)
    bench.claim(1)  # after the last heartbeat
    bench.now += 60  # stopped, and its clock went on
    bench.engine.extend_for_pause(60)
    bench.tick()
    assert (bench.state("old"), bench.state("new")) == ("leased", "leased")
    bench.after(6 - MOMENT)
    assert bench.state("old") == "leased"
    bench.after(MOMENT)
    assert (bench.state("old"), bench.state("new")) == ("ready", "leased")
    bench.after(4)
    assert bench.state("new") == "ready"


def test_forgiven_time_makes_the_grace_longer(bench: EngineBench) -> None:
    bench.enqueue("a", lease=1000)
    bench.claim_one()
    bench.disconnect(WORKER)
    bench.now += 60
    bench.engine.extend_for_pause(60)
    bench.tick()
    assert bench.state("a") == "leased"
    bench.after(GRACE)
    assert bench.state("a") == "ready"


def test_workers_are_listed_with_what_they_hold_and_did(bench: EngineBench) -> None:
    bench.enqueue(*"abcdef", retries=1)
    one, two, three, four, *_ = bench.claim()
    bench.ack(one)
    bench.ack(two)
    bench.fail(three)
    bench.release(four)
    bench.call(Cancel(ids=["d"]))
    info = WorkerInfo(host="box", pid=42)
    bench.call(Heartbeat(worker="w", info=info, wait=0), HEART)
    (worker,) = bench.call(GetStats()).workers
    assert worker.info == info
    assert (worker.name, worker.consumers, worker.leased) == ("w", 1, 2)
    assert worker.tasks == 3
    assert worker.seen_at == bench.now
