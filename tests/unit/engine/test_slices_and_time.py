"""Operations that take many ticks go by the time of each tick, not by that of their request."""

from __future__ import annotations

import pytest

from taskq.engine.model import GRACE
from taskq.engine.operations import SLICE
from taskq.protocol.consuming import Leave, Reap
from taskq.protocol.operating import Control, GetStats, ListDead, Replay
from taskq.protocol.producing import Cancel
from tests.kit.engine import WORKER, EngineBench

MANY = 3 * SLICE
IDS = [str(number) for number in range(MANY)]


@pytest.fixture
def bench() -> EngineBench:
    bench = EngineBench()
    bench.register()
    return bench


def slowly(bench: EngineBench) -> None:
    """Work off what is under way, with a second between two slices."""
    while bench.engine.ledger.operations:
        bench.tick(bench.now + 1)
    bench.work_off()


@pytest.mark.parametrize(
    "request_",
    [Leave(worker="w"), Reap(worker="w", consumer="c", running=[], reason="signal 9")],
    ids=["leave", "reap"],
)
def test_what_expires_while_it_is_handed_back_is_not_left_waiting(
    bench: EngineBench, request_: Leave | Reap
) -> None:
    bench.enqueue(*(f"other{id}" for id in IDS), queue="other")
    bench.enqueue(*IDS, expires=0.5)
    bench.claim(MANY)
    bench.apply(Control(queue="other", action="purge"))  # so that timers are ahead of the slices
    bench.apply(request_)
    slowly(bench)
    bench.after(10)
    assert (bench.stats().ready, bench.stats().leased) == (0, 0)
    assert bench.stats().expired == MANY


def test_a_result_is_as_old_as_its_cancellation(bench: EngineBench) -> None:
    bench.enqueue(*IDS, result_ttl=1)
    rid = bench.apply(Cancel(ids=IDS))
    slowly(bench)
    assert bench.answer(rid).cancelled == IDS
    assert bench.job(IDS[-1]).finished_at == bench.now
    assert bench.end(IDS[-1]).state == "cancelled"


@pytest.mark.parametrize("event", ["reap", "timeout"])
def test_dead_letters_are_in_order_though_one_was_buried_by_a_later_slice(
    bench: EngineBench, event: str
) -> None:
    bench.enqueue(*IDS)
    bench.claim(MANY)
    bench.register(WORKER + 1, consumer="c2", holding=[])
    bench.enqueue("last", max_deliveries=1, retries=0)
    last = bench.claim_one()
    bench.enqueue("other")
    other = bench.claim_one(session=WORKER + 1)
    bench.apply(
        Reap(
            worker="w",
            consumer="c",
            running=[last.receipt],
            reason="signal 9",
            timed_out=event == "timeout",
        )
    )
    bench.tick(bench.now + 1)
    bench.fail(other, final=True)
    died_at = bench.now
    slowly(bench)
    assert [entry.id for entry in bench.call(ListDead()).entries] == ["other", "last"]
    assert [entry.id for entry in bench.call(ListDead(since=died_at + 0.5)).entries] == ["last"]


def test_a_replay_keeps_the_order_of_the_dead_letters_and_its_place_in_line(
    bench: EngineBench,
) -> None:
    bench.bury(*IDS)
    bench.apply(Replay())
    bench.tick(bench.now + 1)
    bench.enqueue("later")
    slowly(bench)
    assert [message.id for message in bench.claim(1000)] == [*IDS, "later"]


def test_a_replay_with_a_rate_counts_from_its_request(bench: EngineBench) -> None:
    bench.bury(*IDS)
    asked_at = bench.now
    bench.apply(Replay(rate=SLICE))
    slowly(bench)
    due = [bench.job(id).due_at for id in IDS]
    assert due == [asked_at + number / SLICE for number in range(MANY)]
    bench.after(asked_at + MANY / SLICE - bench.now)
    assert bench.stats().ready == MANY


def test_what_ends_while_a_purge_is_under_way_is_not_counted_by_it(bench: EngineBench) -> None:
    bench.enqueue(*IDS, expires=1.5)
    rid = bench.apply(Control(queue="q", action="purge"))
    slowly(bench)
    purged = bench.answer(rid).count
    assert purged + bench.stats().expired == MANY


def begin_to_end_leases(bench: EngineBench) -> int:
    """Let the leases of many messages run out; how many are left after the first slices."""
    bench.enqueue(*IDS, lease=10)
    bench.claim(MANY)
    bench.tick(bench.now + 10)
    left = len(bench.engine.ledger.leases)
    assert 0 < left < MANY
    return left


def test_a_heartbeat_saves_the_leases_that_have_not_been_ended(bench: EngineBench) -> None:
    left = begin_to_end_leases(bench)
    bench.heartbeat()
    bench.work_off()
    assert bench.stats().leased == left
    bench.after(9)
    assert bench.stats().leased == left
    bench.after(1)
    assert bench.stats().leased == 0


def test_what_is_claimed_while_others_end_has_its_full_lease(bench: EngineBench) -> None:
    begin_to_end_leases(bench)
    bench.enqueue("late", lease=5, priority=0)
    late = bench.claim_one()
    slowly(bench)
    assert bench.state("late") == "leased"
    bench.after(late.lease)
    assert bench.state("late") == "ready"
    assert bench.stats().leased == 0


def test_leases_end_though_their_worker_goes_when_they_were_looked_at(bench: EngineBench) -> None:
    bench.enqueue(*IDS, lease=3600)
    bench.enqueue(*(f"short{id}" for id in IDS), lease=10)
    bench.claim(2 * MANY)
    bench.tick(bench.now + 10)
    bench.disconnect(WORKER)
    slowly(bench)
    bench.after(GRACE)
    assert bench.stats().leased == 0
    assert bench.call(GetStats()).workers == []


def test_a_worker_that_returns_between_two_slices_stays(bench: EngineBench) -> None:
    bench.enqueue(*IDS, lease=3600)
    held = [message.receipt for message in bench.claim(MANY)]
    bench.disconnect(WORKER)
    bench.tick(bench.now + GRACE)
    left = len(bench.engine.ledger.leases)
    assert 0 < left < MANY
    bench.register(3, holding=held)
    bench.heartbeat()
    bench.work_off()
    assert bench.stats().leased == left
    assert [worker.name for worker in bench.call(GetStats()).workers] == ["w"]
