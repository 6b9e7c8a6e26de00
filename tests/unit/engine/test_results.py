"""Results: kept for their TTL, removed by the clock, and told from what never was."""

from __future__ import annotations

import gc
from array import array
from math import inf
from pathlib import Path
from types import FrameType

import pytest

from taskq.engine.capacity import UNBOUNDED, Capacity
from taskq.engine.engine import Engine
from taskq.engine.result import REMEMBERED
from taskq.engine.results import AT_ONCE, Retention
from taskq.engine.segment import pack
from taskq.engine.states import State
from taskq.errors import UnknownMessage
from taskq.journal.sqlite import FILE, SqliteJournal
from taskq.protocol.operating import GetStats
from taskq.protocol.producing import Cancel, Inspect, Wait
from taskq.protocol.values import Ack, JobInfo
from tests.kit.engine import MOMENT, EngineBench, ids


@pytest.fixture
def bench() -> EngineBench:
    bench = EngineBench()
    bench.register()
    return bench


def finish(bench: EngineBench, id: str, **options: float) -> None:
    bench.enqueue(id, **options)
    bench.ack(bench.claim_one())


def results(bench: EngineBench) -> int:
    return bench.call(GetStats()).broker.results


def test_a_result_lives_for_its_ttl(bench: EngineBench) -> None:
    finish(bench, "a", result_ttl=100)
    bench.after(100 - MOMENT)
    assert bench.end("a").value == b"value"
    bench.after(MOMENT)
    assert (bench.end("a").id, bench.end("a").state) == ("a", "forgotten")


def test_expiry_is_active_and_needs_no_reader(bench: EngineBench) -> None:
    for id in "abc":
        finish(bench, id, result_ttl=100)
    assert results(bench) == 3
    bench.after(100)
    assert results(bench) == 0


def test_the_clock_is_asked_for_the_first_expiry() -> None:
    bench = EngineBench()
    bench.enqueue("a", result_ttl=100)
    bench.call(Cancel(ids=["a"]))
    assert bench.engine.next_deadline() == bench.now + 100


def test_each_result_expires_in_its_own_time(bench: EngineBench) -> None:
    finish(bench, "long", result_ttl=1000)
    finish(bench, "short", result_ttl=100)
    bench.after(100)
    assert (bench.end("short").state, bench.end("long").state) == ("forgotten", "succeeded")
    bench.after(900)
    assert bench.end("long").state == "forgotten"
    assert results(bench) == 0


def test_a_short_ttl_hides_the_value_at_once_but_the_id_is_remembered(bench: EngineBench) -> None:
    finish(bench, "a", result_ttl=1)
    assert bench.end("a").value == b"value"
    bench.after(1)
    assert (bench.end("a").id, bench.end("a").state) == ("a", "forgotten")
    assert bench.enqueue("a") == ["a"]
    bench.after(REMEMBERED)
    assert bench.enqueue("a") == []


def test_a_ttl_of_0_stores_no_value(bench: EngineBench) -> None:
    finish(bench, "a", result_ttl=0)
    result = bench.engine.ledger.results.get("a")
    assert result is not None
    assert result.value is None


def test_a_ttl_without_end(bench: EngineBench) -> None:
    finish(bench, "a", result_ttl=inf)
    bench.after(10**9)
    assert bench.end("a").value == b"value"
    assert bench.engine.next_deadline() is None


def test_no_value_is_a_value_of_its_own(bench: EngineBench) -> None:
    bench.enqueue("a")
    message = bench.claim_one()
    bench.settle(Ack(message.receipt, "a", None))
    end = bench.end("a")
    assert (end.state, end.value) == ("succeeded", None)


def test_the_latest_of_the_forgotten_are_distinguished_from_the_unknown(
    bench: EngineBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskq.engine.results.FORGOTTEN", 2)
    for id in "abc":
        finish(bench, id, result_ttl=100)
        bench.after(100)
    assert [bench.end(id).state for id in "abc"] == ["unknown", "forgotten", "forgotten"]


def test_inspect_shows_the_end(bench: EngineBench) -> None:
    bench.enqueue("a", task="work", priority=1)
    message = bench.claim_one()
    bench.after(3)
    bench.ack(message)
    job = bench.job("a")
    assert (job.state, job.task, job.queue, job.priority) == ("succeeded", "work", "q", 1)
    assert (job.attempts, job.worker, job.enqueued_at) == (1, "w", bench.now - 3)
    assert (job.started_at, job.finished_at) == (bench.now - 3, bench.now)
    assert (job.id, job.deliveries, job.due_at) == ("a", 1, bench.now - 3)
    assert (job.errors, job.size) == ([], len(b"value"))


def test_inspect_shows_what_runs(bench: EngineBench) -> None:
    bench.enqueue("a", task="work", priority=1, delay=3, retries=1)
    created_at = bench.now
    bench.after(3)
    bench.fail(bench.claim_one(), delay=2)
    waiting = bench.job("a")
    assert (waiting.state, waiting.attempts, waiting.due_at) == ("scheduled", 1, bench.now + 2)
    bench.after(2)
    bench.claim_one()
    assert bench.job("a") == JobInfo(
        id="a",
        state="leased",
        queue="q",
        task="work",
        group="default",
        priority=1,
        attempts=1,
        deliveries=2,
        enqueued_at=created_at,
        due_at=created_at + 5,
        started_at=bench.now,
        finished_at=None,
        worker="w",
        errors=waiting.errors,
        progress=None,
        size=len(b"payload"),
        consumer="c",
    )
    assert [error.attempt for error in waiting.errors] == [1]


def test_inspect_shows_that_nobody_has_begun(bench: EngineBench) -> None:
    bench.enqueue("a")
    job = bench.job("a")
    assert (job.worker, job.started_at, job.attempts) == ("", None, 0)


def test_inspect_of_the_unknown_is_an_error(bench: EngineBench) -> None:
    with pytest.raises(UnknownMessage, match="'nothing'"):
        bench.job("nothing")


def test_a_late_message_with_a_forgotten_id_is_a_new_one(bench: EngineBench) -> None:
    finish(bench, "a", result_ttl=100)
    bench.after(100)
    bench.enqueue("a")
    assert ids(bench.claim()) == ["a"]
    assert bench.state("a") == "leased"


# --- bounds -------------------------------------------------------------------------------------


def bounded(capacity: Capacity = UNBOUNDED, **bounds: int) -> EngineBench:
    bench = EngineBench()
    bench.engine = Engine(capacity, Retention(**bounds))
    bench.register()
    return bench


def test_beyond_the_bound_the_oldest_expire_early() -> None:
    bench = bounded(results=3)
    for id in "abcde":
        finish(bench, id)
    assert [bench.end(id).state for id in "abcde"] == ["forgotten"] * 2 + ["succeeded"] * 3
    broker = bench.call(GetStats()).broker
    assert (broker.results, broker.evicted_results, broker.max_results) == (3, 2, 3)


def test_bytes_are_bounded_too() -> None:
    bench = bounded(bytes=2 * len(b"value"))
    for id in "abc":
        finish(bench, id)
    assert [bench.end(id).state for id in "abc"] == ["forgotten", "succeeded", "succeeded"]
    broker = bench.call(GetStats()).broker
    assert (broker.result_bytes, broker.max_result_bytes) == (10, 10)


def test_what_has_to_go_in_its_own_tick_leaves_nothing_in_the_journal(tmp_path: Path) -> None:
    bench = EngineBench(journal=SqliteJournal(tmp_path / FILE, "os"))
    bench.engine = bench.reload()
    bench.engine.ledger.results.retention = Retention(results=2)
    bench.register()
    finish(bench, "long", result_ttl=1000)
    finish(bench, "longer", result_ttl=2000)
    finish(bench, "short", result_ttl=100)
    assert list(bench.engine.ledger.results) == ["long", "longer"]
    assert list(bench.reload().ledger.results) == ["long", "longer"]
    assert bench.journal is not None
    bench.journal.close()


def test_more_may_finish_in_one_tick_than_are_kept(tmp_path: Path) -> None:
    bench = EngineBench(journal=SqliteJournal(tmp_path / FILE, "os"))
    bench.engine = bench.reload()
    bench.engine.ledger.results.retention = Retention(results=2)
    bench.register()
    for many in (["a", "b", "c"], [f"later{number}" for number in range(5)]):
        bench.enqueue(*many)
        bench.settle(*(Ack(each.receipt, each.id, None) for each in bench.claim(len(many))))
    assert list(bench.engine.ledger.results) == ["later3", "later4"]
    assert list(bench.reload().ledger.results) == ["later3", "later4"]
    assert bench.journal is not None
    bench.journal.close()


def test_results_make_way_for_messages_where_the_bytes_of_the_broker_are_bounded() -> None:
    bench = bounded(Capacity(bytes=27))
    for id in "abcd":
        finish(bench, id)
    assert results(bench) == 4
    bench.enqueue("e", payload=b"0123456789")
    assert results(bench) == 3
    bench.enqueue("f", payload=b"0123456789")
    assert results(bench) == 1


def test_a_result_that_has_no_room_is_reported_to_its_waiter() -> None:
    bench = bounded(bytes=1)
    bench.enqueue("a")
    waiting = bench.park(Wait(watch=1, add=["a"], wait=60))
    bench.ack(bench.claim_one())
    (finished,) = bench.answer(waiting).finished
    bench.work_off()
    assert (finished.value, results(bench)) == (b"value", 0)


def test_a_value_in_memory_takes_room_for_its_ttl_only() -> None:
    bench = bounded(bytes=len(b"value") * 2)
    finish(bench, "long", result_ttl=1000)
    for number in range(5):
        finish(bench, f"short{number}", result_ttl=1)
        bench.after(1)
    assert bench.end("long").value == b"value"
    assert bench.enqueue("short0") == ["short0"], "its id is remembered for a minute"
    assert (results(bench), bench.engine.ledger.results.bytes) == (6, len(b"value"))
    bench.after(REMEMBERED)
    assert results(bench) == 1


def test_nothing_in_memory_holds_what_had_to_go() -> None:
    bench = bounded(results=1)
    finish(bench, "gone")
    gone = bench.engine.ledger.results.get("gone")
    finish(bench, "kept")
    gc.collect()
    holders = [each for each in gc.get_referrers(gone) if not isinstance(each, FrameType)]
    assert holders == []


def test_what_has_to_go_goes_in_slices() -> None:
    bench = bounded(results=1)
    many = [str(number) for number in range(5 * AT_ONCE)]
    entries = [pack(number, 0, inf, 0, State.SUCCEEDED) for number in range(len(many))]
    # as after a restart with a lower bound
    bench.engine.ledger.results.restore(many, entries, array("d", [inf] * len(many)), 0)
    left = []
    while bench.engine.next_deadline() == bench.now:
        bench.tick()
        left.append(len(bench.engine.ledger.results))
    assert left[0] < len(many)
    assert left[-1] == 1
    assert len(left) == 5


def test_expiry_goes_in_slices(bench: EngineBench) -> None:
    many = [str(number) for number in range(5 * AT_ONCE)]
    bench.enqueue(*many, result_ttl=100)
    bench.settle(*(Ack(each.receipt, each.id, None) for each in bench.claim(len(many))))
    bench.tick(bench.now + 100)
    assert bench.work_off() >= 4
    assert results(bench) == 0


def test_the_journal_gives_back_what_is_asked_for(tmp_path: Path) -> None:
    bench = EngineBench(journal=SqliteJournal(tmp_path / FILE, "os"))
    bench.engine = bench.reload()
    bench.register()
    finish(bench, "a", result_ttl=100)
    finish(bench, "b", result_ttl=200)
    assert [bench.end(id).value for id in "ab"] == [b"value"] * 2
    assert bench.job("a").worker == "w"
    rid = bench.apply(Wait(watch=1, add=["a", "b"], wait=0))
    bench.after(100)  # its row is removed in the tick of the answer
    assert [each.state for each in bench.answer(rid).finished] == ["forgotten", "succeeded"]
    assert bench.journal is not None
    bench.journal.close()


@pytest.mark.parametrize(("head", "shown"), [(0, b""), (3, b"pay"), (10**9, b"payload"), (-1, b"")])
def test_inspect_shows_as_much_of_the_payload_as_was_asked_for(
    bench: EngineBench, head: int, shown: bytes
) -> None:
    bench.enqueue("a", carries_code=True)
    (job,) = bench.call(Inspect(id="a", head=head)).jobs
    assert (job.payload, job.size, job.carries_code) == (shown, 7, True)


def test_inspect_shows_no_more_than_64_kib(bench: EngineBench) -> None:
    bench.enqueue("a", payload=bytes(100_000))
    (job,) = bench.call(Inspect(id="a", head=10**9)).jobs
    assert len(job.payload) == 2**16
