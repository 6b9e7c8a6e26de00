"""Attempts, deliveries and deaths: what each counts, also after a crash and in the end."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from taskq.journal.sqlite import SqliteJournal
from taskq.protocol.operating import Control, ListDead, Replay
from tests.kit.engine import EngineBench


@pytest.fixture
def bench() -> Iterator[EngineBench]:
    with closing(SqliteJournal(":memory:", "os")) as journal:
        bench = EngineBench(journal=journal)
        bench.register()
        yield bench


def counts(bench: EngineBench, id: str = "a") -> tuple[int, int, int]:
    job = bench.job(id)
    return job.attempts, job.deliveries, job.deaths


def test_what_is_handed_back_was_delivered_and_not_attempted(bench: EngineBench) -> None:
    bench.enqueue("a")
    for _ in range(3):
        bench.release(bench.claim_one())
    assert counts(bench) == (0, 3, 0)
    message = bench.claim_one()
    assert (message.attempt, message.failures) == (1, 0)
    bench.ack(message)
    assert counts(bench) == (1, 4, 0)


def test_deaths_are_no_attempts_of_the_task(bench: EngineBench) -> None:
    bench.enqueue("a", retries=1, max_deliveries=3)
    bench.reap(running=[bench.claim_one().receipt])
    bench.register()
    assert counts(bench) == (0, 1, 1)
    message = bench.claim_one()
    assert (message.attempt, message.failures) == (2, 0)
    bench.fail(message, delay=0)
    assert counts(bench) == (1, 2, 1)
    message = bench.claim_one()
    assert (message.attempt, message.failures) == (3, 1)
    bench.fail(message)
    (letter,) = bench.call(ListDead()).entries
    assert (letter.attempts, letter.deliveries, letter.deaths) == (2, 3, 1)


def test_failures_do_not_use_up_max_deliveries(bench: EngineBench) -> None:
    bench.enqueue("a", retries=10, max_deliveries=2)
    for _ in range(5):
        bench.fail(bench.claim_one(), delay=0)
    bench.reap(running=[bench.claim_one().receipt])
    assert bench.state("a") == "ready"
    bench.register()
    bench.reap(running=[bench.claim_one().receipt])
    assert bench.state("a") == "dead"


def test_a_replay_begins_with_fresh_attempts_and_deaths(bench: EngineBench) -> None:
    bench.enqueue("a", max_deliveries=1)
    bench.reap(running=[bench.claim_one().receipt])
    bench.register()
    bench.call(Replay(ids=["a"]))
    assert counts(bench) == (0, 1, 0)
    message = bench.claim_one()
    assert message.attempt == 1
    bench.ack(message)
    assert counts(bench) == (1, 2, 0)


def test_the_counts_survive_a_crash(bench: EngineBench) -> None:
    bench.enqueue("a", "done", retries=3, max_deliveries=5)
    first, done = bench.claim()
    bench.ack(done)
    bench.fail(first, delay=0)
    bench.release(bench.claim_one())
    bench.reap(running=[bench.claim_one().receipt])
    bench.restart()
    assert (counts(bench), counts(bench, "done")) == ((1, 3, 1), (1, 1, 0))
    bench.register()
    bench.claim_one()
    bench.restart()
    assert counts(bench) == (1, 4, 1)


def test_what_is_purged_is_counted_and_shown_to_nobody(bench: EngineBench) -> None:
    bench.register(3, consumer="audit", group="audit")
    bench.enqueue("a")
    bench.call(Control(queue="q", group="default", action="purge"))
    assert [job.group for job in bench.jobs("a")] == ["audit"]
    bench.restart()
    assert [job.group for job in bench.jobs("a")] == ["audit"]
    assert (bench.stats().purged, bench.stats(group="audit").ready) == (1, 1)


def test_running_counts_what_is_known_to_have_begun() -> None:
    bench = EngineBench()
    bench.register()
    bench.register(3, worker="auditor", group="audit")
    bench.enqueue(*"abc")
    a, b, _ = bench.claim()
    assert (bench.stats().leased, bench.stats().running) == (3, 0)
    bench.heartbeat(running=[b.receipt])
    assert (bench.stats().running, bench.stats(group="audit").running) == (2, 0)
    bench.ack(a)
    bench.ack(b)
    assert (bench.stats().leased, bench.stats().running) == (1, 0)
