"""What the journal gives back is what the engine had, after each single operation."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator

import pytest

from taskq.engine.changes import Changes
from taskq.engine.operations import SLICE
from taskq.journal.none import NoJournal
from taskq.journal.sqlite import SqliteJournal
from taskq.protocol.consuming import Register
from taskq.protocol.operating import Control, GetStats, ListDead
from taskq.protocol.producing import Cancel, Inspect
from taskq.protocol.values import Ack
from tests.kit.engine import MOMENT, EngineBench, ids
from tests.kit.snapshot import snapshot
from tests.unit.journal.operations import OPERATIONS


@pytest.fixture
def bench(connections: list[sqlite3.Connection]) -> Iterator[EngineBench]:
    journal = SqliteJournal(":memory:", "os")
    yield EngineBench(journal=journal)
    journal.close()


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_loading_gives_back_what_was_there(
    bench: EngineBench, operation: Callable[[EngineBench], None]
) -> None:
    operation(bench)
    bench.tick()
    assert bench.engine.ledger.seq
    assert snapshot(bench.reload()) == snapshot(bench.engine)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_loading_twice_gives_the_same(
    bench: EngineBench, operation: Callable[[EngineBench], None]
) -> None:
    operation(bench)
    bench.restart()
    bench.after(0)
    assert snapshot(bench.reload()) == snapshot(bench.engine)


def test_the_first_message_of_a_new_queue_is_there_after_a_restart(bench: EngineBench) -> None:
    bench.enqueue("a")
    bench.restart()
    bench.register()
    assert ids(bench.claim()) == ["a"]


def test_work_goes_on_after_a_restart_where_it_stopped(bench: EngineBench) -> None:
    bench.register()
    bench.enqueue(*"abcd", retries=1, lease=20)
    a, b, *_ = bench.claim(3)
    bench.fail(b, delay=30)
    bench.after(5)
    bench.restart()
    assert bench.register(holding=[a.receipt]) == 1  # c was in the reply that nobody got
    assert bench.ack(a, b"42") == []
    others = bench.claim()
    assert ids(others) == ["c", "d"]
    for other in others:
        bench.ack(other)
    bench.after(25)
    (retry,) = bench.claim()
    assert (retry.id, retry.attempt) == ("b", 2)
    assert retry.receipt > 3
    assert bench.end("a").value == b"42"


def test_a_worker_has_a_full_lease_to_come_back(bench: EngineBench) -> None:
    bench.register()
    bench.enqueue("a", lease=20)
    bench.claim_one()
    bench.after(19)
    bench.restart()
    bench.after(20 - MOMENT)
    assert bench.state("a") == "leased"
    bench.after(MOMENT)
    assert bench.state("a") == "ready"
    assert bench.call(GetStats()).workers == []


def test_what_ends_after_a_restart_does_not_come_back_with_the_next(bench: EngineBench) -> None:
    bench.enqueue("a", "b", "c", retries=1)
    bench.register()
    bench.fail(bench.claim_one(), delay=0)
    bench.restart()
    bench.register()
    first, second = bench.claim(2)
    bench.ack(first)
    bench.ack(second)
    bench.restart()
    assert list(bench.engine.ledger.messages) == ["c"]


def test_an_end_that_is_the_first_thing_after_a_restart_is_kept(bench: EngineBench) -> None:
    bench.register()
    bench.enqueue("a")
    a = bench.claim_one()
    bench.restart()
    assert bench.ack(a, b"42") == []
    bench.restart()
    assert bench.end("a").value == b"42"


def test_numbers_may_be_used_up_to_the_last_mark(
    bench: EngineBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskq.engine.engine.AHEAD", 2)
    bench.register()
    for count in range(1, 8):
        bench.enqueue(f"{count}")
        bench.claim(1)
        engine = bench.reload()
        assert len(engine.ledger.messages) == count
        assert engine.ledger.seq >= bench.engine.ledger.seq
        assert engine.ledger.fence >= bench.engine.ledger.fence


def test_several_messages_in_a_commit_of_their_own_are_all_there(bench: EngineBench) -> None:
    bench.enqueue("a")  # with the first marks and the group
    bench.enqueue("b", "c")
    assert list(bench.reload().ledger.messages) == ["a", "b", "c"]


def test_a_short_lease_sets_the_pace_of_the_heartbeats_after_a_restart_too(
    bench: EngineBench,
) -> None:
    bench.register()
    bench.enqueue("a", lease=3)
    bench.claim_one()
    bench.restart()
    assert bench.heartbeat().renew_in == 1


def test_delivery_counts_survive_so_poison_ends(bench: EngineBench) -> None:
    bench.enqueue("poison", max_deliveries=3, lease=5)
    for _ in range(3):
        bench.register()
        bench.claim_one()
        bench.restart()
        bench.after(5)
    assert bench.state("poison") == "dead"


def test_a_cancel_request_survives_and_is_reported_again(bench: EngineBench) -> None:
    bench.register()
    bench.enqueue("a", "b")
    a, b = bench.claim()
    bench.call(Cancel(ids=["a"]))
    bench.call(Cancel(ids=["b"], terminate=True))
    bench.restart()
    attended = bench.heartbeat(wait=60)
    assert (attended.cancel, attended.terminate) == ([a.receipt], [b.receipt])


def test_dead_letters_keep_their_order(bench: EngineBench) -> None:
    bench.register()
    bench.enqueue("a", "b")
    a, b = bench.claim()
    bench.fail(b)
    bench.after(1)
    bench.fail(a)
    before = [entry.id for entry in bench.call(ListDead()).entries]
    bench.restart()
    assert [entry.id for entry in bench.call(ListDead()).entries] == before == ["b", "a"]


def test_a_group_that_came_after_a_death_is_not_given_the_dead_after_a_restart(
    bench: EngineBench,
) -> None:
    bench.register()
    bench.bury("a")
    bench.register(3, worker="w2", group="audit")
    bench.restart()
    assert [job.group for job in bench.call(Inspect(id="a")).jobs] == ["default"]


def test_seq_and_fence_rise_across_restarts_even_when_no_row_is_left(bench: EngineBench) -> None:
    receipts, seqs = [], []
    for n in range(4):
        bench.register()
        bench.enqueue(f"{n}", result_ttl=0)
        message = bench.claim_one()
        receipts.append(message.receipt)
        seqs.append(bench.engine.ledger.seq)
        bench.ack(message)
        bench.after(1000)
        assert not bench.engine.ledger.messages
        assert not len(bench.engine.ledger.results)
        bench.restart()
    assert receipts == sorted(set(receipts))
    assert seqs == sorted(set(seqs))


def test_totals_survive_their_messages(bench: EngineBench) -> None:
    bench.register()
    bench.enqueue(*"abcde", result_ttl=0, retries=1)
    bench.call(Cancel(ids=["e"]))
    a, b, *_ = bench.claim(3)
    bench.ack(a)
    bench.fail(b)
    bench.call(Control(queue="q", action="purge"))
    bench.enqueue("x", expires_at=bench.now + 1)
    bench.after(1000)
    before = bench.stats()
    bench.restart()
    after = bench.stats()
    assert (after.succeeded, after.cancelled, after.expired) == (1, 1, 1)
    assert (after.purged, after.failed) == (before.purged, before.failed)
    assert after.purged == 2


def test_a_dropped_group_does_not_come_back_with_a_restart(
    bench: EngineBench, connections: list[sqlite3.Connection]
) -> None:
    bench.register()
    bench.bury("dead")
    bench.register(3, worker="w2", group="typo")
    bench.enqueue("a", "b", retries=1)
    a, b = bench.claim()
    ended, held = bench.claim(session=3)
    bench.ack(ended)  # the row of `a` tells of the group, though it is done with it
    bench.disconnect(3)
    assert bench.call(Control(queue="q", group="typo", action="drop")).count == 1
    rows = connections[-1].execute("SELECT name FROM consumer_group").fetchall()
    assert rows == [("default",)]
    bench.restart()
    assert [entry.group for entry in bench.call(GetStats()).queues] == ["default"]
    assert bench.settle(Ack(held.receipt, "b", None)) == [held.receipt]
    assert (bench.ack(a), bench.ack(b)) == ([], [])
    assert list(bench.engine.ledger.messages) == ["dead"]


def test_a_removal_that_a_crash_has_interrupted_goes_on(bench: EngineBench) -> None:
    bench.register(3, worker="w2", group="audit")
    many = [str(number) for number in range(5 * SLICE)]
    bench.enqueue(*many)
    for message in bench.claim(SLICE, session=3):
        bench.ack(message)
    bench.disconnect(3)
    bench.apply(Control(queue="q", group="audit", action="drop"))
    bench.tick()
    bench.restart()
    assert bench.stats(group="audit").ready == 0  # or what was done there would be done again
    bench.work_off()
    assert [entry.group for entry in bench.call(GetStats()).queues] == ["default"]
    assert bench.stats().ready == len(many)
    assert snapshot(bench.reload()) == snapshot(bench.engine)


def test_what_a_start_gives_to_a_new_group_is_kept_over_the_next(bench: EngineBench) -> None:
    many = [str(number) for number in range(6 * SLICE)]
    bench.enqueue(*many)
    bench.apply(Register(worker="w2", consumer="c", group="late", queues=["q"]), 3)
    bench.tick()
    for _ in range(9):  # from here on the slices of the group are small
        bench.apply(Cancel(ids=["nobody"] * 10 * SLICE, missing_ok=True))
    for start in range(0, 2 * SLICE, SLICE // 4):
        bench.apply(Cancel(ids=many[start : start + SLICE // 4]))
    bench.tick()  # most of what the group had been given is gone, and it is not full
    for _ in range(3):
        bench.restart()
    bench.work_off()
    assert bench.stats(group="late").ready == bench.stats().ready > 0


def test_a_group_that_was_dropped_and_made_again_keeps_to_its_new_beginning(
    bench: EngineBench,
) -> None:
    bench.register()
    bench.register(3, worker="w2", group="audit")
    bench.enqueue("a")
    bench.fail(bench.claim_one(), final=True)
    bench.disconnect(3)
    bench.apply(Control(queue="q", group="audit", action="drop"))
    bench.apply(Register(worker="w2", consumer="c", group="audit", queues=["q"]), 3)
    bench.tick()
    bench.enqueue("b")
    bench.restart()
    bench.register(3, worker="w2", group="audit")
    assert ids(bench.claim(session=3)) == ["b"]  # `a` was dead when the group was made


def test_a_double_settle_is_accepted_after_a_restart_too(bench: EngineBench) -> None:
    bench.register()
    bench.enqueue("a", "b", retries=1)
    a, b = bench.claim()
    bench.ack(a)
    bench.fail(b)
    bench.restart()
    assert bench.ack(a) == []
    assert bench.fail(b) == []
    assert bench.fail(a) == [a.receipt]


def test_43_what_fell_due_while_the_broker_was_down(bench: EngineBench) -> None:
    bench.enqueue("a", delay=5)
    bench.enqueue("late", delay=5, expires_at=bench.now + 50)
    bench.now += 100
    bench.restart()
    bench.register()
    assert ids(bench.claim()) == ["a"]
    assert bench.state("late") == "expired"


def test_an_expiry_is_kept_in_mind_over_a_restart(bench: EngineBench) -> None:
    bench.enqueue("a", expires_at=bench.now + 50)
    bench.restart()
    assert bench.engine.next_deadline() == bench.now + 50
    bench.after(50)
    assert bench.state("a") == "expired"


def test_the_last_time_is_that_of_the_last_commit(bench: EngineBench) -> None:
    assert bench.journal is not None
    assert bench.journal.last_time() == 0.0
    bench.enqueue("a")
    bench.after(10)
    assert bench.journal.last_time() == 1000.0
    bench.enqueue("b")
    assert bench.journal.last_time() == 1010.0
    bench.register()
    bench.after(10)
    bench.ack(bench.claim_one())
    assert bench.journal.last_time() == 1020.0


def test_the_last_time_is_known_when_no_message_is_left(bench: EngineBench) -> None:
    assert bench.journal is not None
    bench.enqueue("a")
    bench.call(Control(queue="q", action="purge"))
    assert bench.journal.last_time() == 1000.0


def test_nothing_is_written_when_nothing_changes(
    bench: EngineBench, connections: list[sqlite3.Connection]
) -> None:
    bench.enqueue("a")
    before = connections[-1].total_changes
    bench.call(GetStats())
    bench.call(Inspect(id="a"))
    bench.after(10)
    assert connections[-1].total_changes == before


def test_no_row_is_left_of_what_is_forgotten(
    bench: EngineBench, connections: list[sqlite3.Connection]
) -> None:
    assert bench.journal is not None
    bench.register()
    for n in range(50):
        bench.enqueue(f"{n}", retries=1)
        bench.fail(bench.claim_one(), delay=0)
        bench.ack(bench.claim_one())
    bench.now += 10_000
    bench.enqueue("new")  # in the commit that forgets the results
    for table, rows in (("message", 1), ("state", 0), ("result", 0)):
        (count,) = connections[-1].execute(f"SELECT count(*) FROM {table}").fetchone()
        assert count == rows, table


def test_no_journal_has_the_same_face() -> None:
    journal = NoJournal()
    bench = EngineBench()
    bench.enqueue("a")
    journal.commit(Changes())
    journal.load(bench.engine, 0.0)
    assert (journal.last_time(), journal.durability) == (0.0, "none")
    assert journal.has_room(0.0)
    journal.close()


def test_leases_are_loaded_in_the_order_of_their_claims(bench: EngineBench) -> None:
    bench.register()
    bench.enqueue("a", "b")
    first, _ = bench.claim()
    bench.release(first)
    bench.claim_one()
    bench.restart()
    assert (bench.stats().leased, bench.stats().running) == (2, 1)
    (consumer,) = bench.engine.ledger.workers["w"].consumers.values()
    assert [each.message.id for each in consumer.leases.values()] == ["b", "a"]
