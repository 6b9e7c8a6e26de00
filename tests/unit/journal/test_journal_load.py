"""What the journal gives back is what the engine had, after each single operation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf

import pytest

from taskq.engine import commands as c
from taskq.engine.retry import Backoff
from taskq.journal.none import NoJournal
from taskq.journal.sqlite import SqliteJournal
from tests.unit.engine.bench import WORKER, Bench, failure, ids
from tests.unit.engine.snapshot import snapshot


@pytest.fixture
def bench() -> Iterator[Bench]:
    journal = SqliteJournal(":memory:", "os")
    yield Bench(journal=journal)
    journal.close()


def enqueue_variants(bench: Bench) -> None:
    bench.enqueue("plain", payload=b"\x00\xff" * 100)
    bench.enqueue("empty", payload=b"")
    bench.enqueue("delayed", delay=50)
    bench.enqueue("eta", eta_at=bench.now + 20)
    bench.enqueue("expiring", expires_at=bench.now + 100)
    bench.enqueue("critical", priority=0)
    bench.enqueue("elsewhere", queue="other", result_ttl=inf, timeout=3.0)
    bench.enqueue("ünïcode", task="tâche", backoff=Backoff(steps=(1.0, 2.5)))


def claim(bench: Bench) -> None:
    bench.register()
    bench.enqueue(*"abcd", retries=3, lease=20)
    bench.claim(3)


def ack(bench: Bench) -> None:
    claim(bench)
    bench.settle(c.Ack(1, "a", b"42"), c.Ack(2, "b", None))


def fail(bench: Bench) -> None:
    claim(bench)
    error = c.ErrorInfo("mod.Error", "text", "Traceback …", b"\x80pickled", worker="w")
    bench.settle(c.Fail(1, "a", error), c.Fail(2, "b", error, True), c.Fail(3, "c", error, delay=5))


def release(bench: Bench) -> None:
    claim(bench)
    bench.settle(c.Release(1, "a"), c.Release(2, "b", True), c.Abandon(3, "c"))


def park_unknown(bench: Bench) -> None:
    bench.register(tasks=["known"])
    bench.enqueue(*"abc", task="new")
    bench.claim()


def take_parked(bench: Bench) -> None:
    park_unknown(bench)
    bench.register(3, consumer="c2", tasks=["new"])
    bench.claim(2, session=3)


def lapse(bench: Bench) -> None:
    claim(bench)
    bench.after(20)


def reap(bench: Bench) -> None:
    claim(bench)
    bench.reap(running=[1])


def reap_timeout(bench: Bench) -> None:
    claim(bench)
    bench.reap(running=[1], timed_out=True)


def reap_cancelled(bench: Bench) -> None:
    claim(bench)
    bench.reap(running=[1], cancelled=True)


def leave(bench: Bench) -> None:
    claim(bench)
    bench.call(c.Leave(worker="w"))


def register_again(bench: Bench) -> None:
    claim(bench)
    bench.register(9, holding=[2])


def extend(bench: Bench) -> None:
    claim(bench)
    bench.call(c.Extend(receipt=1, seconds=100))
    bench.after(50)


def cancel(bench: Bench) -> None:
    claim(bench)
    bench.call(c.Cancel(ids=["a", "d"]))
    bench.call(c.Cancel(ids=["b"], terminate=True))


def cancel_then_end(bench: Bench) -> None:
    cancel(bench)
    bench.settle(failure(c.Delivered(1, "a", "", "", b"", 1, None, 1.0)))


def expire(bench: Bench) -> None:
    bench.enqueue("a", "b", expires_at=bench.now + 5)
    bench.after(5)


def become_due(bench: Bench) -> None:
    bench.enqueue("a", delay=5)
    bench.enqueue("b", delay=50)
    bench.after(5)


def early(bench: Bench) -> None:
    bench.register()
    bench.enqueue("a", "b", early=True)
    bench.claim(1)


def pause(bench: Bench) -> None:
    bench.enqueue("a")
    bench.call(c.Control(queue="q", action="pause"))


def resume(bench: Bench) -> None:
    pause(bench)
    bench.call(c.Control(queue="q", action="resume"))


def purge(bench: Bench) -> None:
    claim(bench)
    bench.enqueue("later", delay=50)
    bench.call(c.Control(queue="q", action="purge"))


def replay(bench: Bench) -> None:
    bench.register()
    bench.bury(*"abcd")
    bench.call(c.Replay(ids=["b"]))
    bench.call(c.Replay(queue="q", rate=2.0))


def purge_dead(bench: Bench) -> None:
    bench.register()
    bench.bury(*"abcd")
    bench.call(c.PurgeDead(ids=["b"]))


def second_group(bench: Bench) -> None:
    bench.register()
    bench.register(3, worker="auditor", group="audit")
    bench.enqueue(*"abcd", retries=1)
    for message in bench.claim(2):
        bench.ack(message)
    first, second, *_ = bench.claim(3, session=3)
    bench.ack(first)
    bench.fail(second, final=True)


def late_group(bench: Bench) -> None:
    claim(bench)
    bench.ack(c.Delivered(1, "a", "", "", b"", 1, None, 1.0))
    bench.fail(c.Delivered(2, "b", "", "", b"", 1, None, 1.0), final=True)
    bench.register(3, worker="late", group="late")
    bench.enqueue("e")


def group_in_the_tick_of_its_messages(bench: Bench) -> None:
    bench.apply(c.Enqueue("q", "t", c.Options(), [c.Call("a", b"")]))
    bench.apply(c.Register("w", "c", "late", ["q"]))
    bench.apply(c.Enqueue("q", "t", c.Options(), [c.Call("b", b"")]))
    bench.tick()


def purge_of_one_group(bench: Bench) -> None:
    second_group(bench)
    bench.call(c.Control(queue="q", group="default", action="purge"))


def results_expire(bench: Bench) -> None:
    bench.register()
    bench.enqueue("a", result_ttl=100)
    bench.enqueue("b", result_ttl=200)
    for message in bench.claim():
        bench.ack(message)
    bench.after(150)


def add_claim_and_settle_in_one_tick(bench: Bench) -> None:
    bench.register()
    for id in "abc":
        bench.apply(c.Enqueue("q", "t", c.Options(retries=1), [c.Call(id, b"x")]))
    bench.apply(c.Claim(["q"], 2, 0), WORKER)
    bench.apply(c.Settle([c.Ack(1, "a", b"1"), failure(c.Delivered(2, "b", "", "", b"", 1, 0, 0))]))
    bench.tick()


def add_and_cancel_in_one_tick(bench: Bench) -> None:
    bench.apply(c.Enqueue("q", "t", c.Options(), [c.Call("a", b"x")]))
    bench.apply(c.Cancel(["a"]))
    bench.tick()


def add_and_purge_in_one_tick(bench: Bench) -> None:
    bench.apply(c.Enqueue("q", "t", c.Options(), [c.Call("a", b"x")]))
    bench.apply(c.Control(queue="q", action="purge"))
    bench.apply(c.Enqueue("q", "t", c.Options(), [c.Call("a", b"y")]))
    bench.tick()


OPERATIONS = [
    enqueue_variants,
    claim,
    ack,
    fail,
    release,
    park_unknown,
    take_parked,
    lapse,
    reap,
    reap_timeout,
    reap_cancelled,
    leave,
    register_again,
    extend,
    cancel,
    cancel_then_end,
    expire,
    become_due,
    early,
    pause,
    resume,
    purge,
    replay,
    purge_dead,
    second_group,
    late_group,
    group_in_the_tick_of_its_messages,
    purge_of_one_group,
    results_expire,
    add_claim_and_settle_in_one_tick,
    add_and_cancel_in_one_tick,
    add_and_purge_in_one_tick,
]


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_loading_gives_back_what_was_there(
    bench: Bench, operation: Callable[[Bench], None]
) -> None:
    operation(bench)
    bench.tick()
    assert bench.engine.ledger.seq
    assert snapshot(bench.reload()) == snapshot(bench.engine)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.__name__)
def test_loading_twice_gives_the_same(bench: Bench, operation: Callable[[Bench], None]) -> None:
    operation(bench)
    bench.restart()
    bench.after(0)
    assert snapshot(bench.reload()) == snapshot(bench.engine)


def test_the_first_message_of_a_new_queue_is_there_after_a_restart(bench: Bench) -> None:
    bench.enqueue("a")
    bench.restart()
    bench.register()
    assert ids(bench.claim()) == ["a"]


def test_work_goes_on_after_a_restart_where_it_stopped(bench: Bench) -> None:
    bench.register()
    bench.enqueue(*"abcd", retries=1, lease=20)
    a, b, *_ = bench.claim(3)
    bench.fail(b, delay=30)
    bench.after(5)
    bench.restart()
    assert bench.register(holding=[a.receipt]) == 1  # c was in the reply that nobody got
    assert bench.ack(a, b"42") == []
    assert ids(bench.claim()) == ["c", "d"]
    bench.after(25)
    (retry,) = bench.claim()
    assert (retry.id, retry.attempt) == ("b", 2)
    assert retry.receipt > 3
    assert bench.end("a").value == b"42"


def test_a_worker_has_a_full_lease_to_come_back(bench: Bench) -> None:
    bench.register()
    bench.enqueue("a", lease=20)
    bench.claim_one()
    bench.after(19)
    bench.restart()
    bench.after(19.999)
    assert bench.state("a") == "leased"
    bench.after(0.001)
    assert bench.state("a") == "ready"
    assert bench.call(c.GetStats()).workers == []


def test_delivery_counts_survive_so_poison_ends(bench: Bench) -> None:
    bench.enqueue("poison", max_deliveries=3, lease=5)
    for _ in range(3):
        bench.register()
        bench.claim_one()
        bench.restart()
        bench.after(5)
    assert bench.state("poison") == "dead"


def test_a_cancel_request_survives_and_is_told_again(bench: Bench) -> None:
    bench.register()
    bench.enqueue("a", "b")
    a, b = bench.claim()
    bench.call(c.Cancel(ids=["a"]))
    bench.call(c.Cancel(ids=["b"], terminate=True))
    bench.restart()
    attended = bench.heartbeat(wait=60)
    assert (attended.cancel, attended.terminate) == ([a.receipt], [b.receipt])


def test_dead_letters_keep_their_order(bench: Bench) -> None:
    bench.register()
    bench.enqueue("a", "b")
    a, b = bench.claim()
    bench.fail(b)
    bench.after(1)
    bench.fail(a)
    before = [entry.id for entry in bench.call(c.ListDead()).entries]
    bench.restart()
    assert [entry.id for entry in bench.call(c.ListDead()).entries] == before == ["b", "a"]


def test_seq_and_fence_rise_across_restarts_even_when_no_row_is_left(bench: Bench) -> None:
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


def test_totals_survive_their_messages(bench: Bench) -> None:
    bench.register()
    bench.enqueue(*"abcde", result_ttl=0, retries=1)
    bench.call(c.Cancel(ids=["e"]))
    a, b, *_ = bench.claim(3)
    bench.ack(a)
    bench.fail(b)
    bench.call(c.Control(queue="q", action="purge"))
    bench.enqueue("x", expires_at=bench.now + 1)
    bench.after(1000)
    before = bench.stats()
    bench.restart()
    after = bench.stats()
    assert (after.succeeded, after.cancelled, after.expired) == (1, 1, 1)
    assert (after.purged, after.failed) == (before.purged, before.failed)
    assert after.purged == 2


def test_a_double_settle_is_accepted_after_a_restart_too(bench: Bench) -> None:
    bench.register()
    bench.enqueue("a", "b", retries=1)
    a, b = bench.claim()
    bench.ack(a)
    bench.fail(b)
    bench.restart()
    assert bench.ack(a) == []
    assert bench.fail(b) == []
    assert bench.fail(a) == [a.receipt]


def test_fault_43_what_fell_due_while_the_broker_was_down(bench: Bench) -> None:
    bench.enqueue("a", delay=5)
    bench.enqueue("late", delay=5, expires_at=bench.now + 50)
    bench.now += 100
    bench.restart()
    bench.register()
    assert ids(bench.claim()) == ["a"]
    assert bench.state("late") == "expired"


def test_the_last_time_is_that_of_the_last_commit(bench: Bench) -> None:
    assert bench.journal is not None
    assert bench.journal.last_time() == 0.0
    bench.enqueue("a")
    bench.after(10)
    assert bench.journal.last_time() == 1000.0
    bench.enqueue("b")
    assert bench.journal.last_time() == 1010.0


def test_nothing_is_written_when_nothing_changes(bench: Bench) -> None:
    bench.enqueue("a")
    assert bench.journal is not None
    before = bench.journal._db.total_changes
    bench.call(c.GetStats())
    bench.call(c.Inspect(id="a"))
    bench.after(10)
    assert bench.journal._db.total_changes == before


def test_no_row_is_left_of_what_is_forgotten(bench: Bench) -> None:
    assert bench.journal is not None
    bench.register()
    for n in range(50):
        bench.enqueue(f"{n}", retries=1)
        bench.fail(bench.claim_one(), delay=0)
        bench.ack(bench.claim_one())
    bench.after(10_000)
    for table in ("message", "state", "result"):
        (count,) = bench.journal._db.execute(f"SELECT count(*) FROM {table}").fetchone()
        assert count == 0, table


def test_no_journal_has_the_same_face() -> None:
    journal = NoJournal()
    bench = Bench()
    bench.enqueue("a")
    journal.load(bench.engine, 0.0)
    assert (journal.last_time(), journal.durability) == (0.0, "none")
    journal.close()
