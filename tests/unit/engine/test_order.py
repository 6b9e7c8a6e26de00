"""Who comes first: priority, order of acceptance, and the time at which a message is due."""

from __future__ import annotations

import pytest

from taskq.protocol.operating import Replay
from taskq.protocol.producing import Cancel
from tests.kit.engine import MOMENT, EngineBench, ids


@pytest.fixture
def bench() -> EngineBench:
    bench = EngineBench()
    bench.register()
    return bench


def test_first_in_first_out(bench: EngineBench) -> None:
    for id in "abcde":
        bench.enqueue(id)
    assert ids(bench.claim(2)) == ["a", "b"]
    assert ids(bench.claim()) == ["c", "d", "e"]


def test_the_lowest_priority_number_comes_first(bench: EngineBench) -> None:
    bench.enqueue("low", priority=3)
    bench.enqueue("medium", priority=2)
    bench.enqueue("critical", priority=0)
    bench.enqueue("high", priority=1)
    bench.enqueue("medium2", priority=2)
    assert ids(bench.claim()) == ["critical", "high", "medium", "medium2", "low"]


def test_queues_in_the_order_of_the_claim(bench: EngineBench) -> None:
    bench.enqueue("a", queue="q")
    bench.enqueue("b", queue="other", priority=0)
    assert ids(bench.claim(queues=["q", "other"])) == ["a", "b"]


def test_a_claim_takes_from_its_queues_only(bench: EngineBench) -> None:
    bench.enqueue("a", queue="other")
    assert bench.claim(queues=["q"]) == []


def test_what_comes_back_keeps_its_place(bench: EngineBench) -> None:
    bench.enqueue("a", "b", "c")
    first, second = bench.claim(2)
    bench.release(second)
    bench.release(first)
    assert ids(bench.claim()) == ["a", "b", "c"]


def test_what_was_delayed_comes_back_to_where_it_was_due(bench: EngineBench) -> None:
    bench.enqueue("delayed", delay=10)
    bench.after(5)
    bench.enqueue("plain")
    bench.after(5)
    first, second = bench.claim()
    assert ids([first, second]) == ["plain", "delayed"]
    bench.release(second)
    bench.release(first)
    assert ids(bench.claim()) == ["plain", "delayed"]


def test_what_comes_back_interleaves_with_what_is_there(bench: EngineBench) -> None:
    bench.enqueue(*"abcdefgh")
    taken = bench.claim(6)
    for message in (taken[4], taken[0], taken[2]):
        bench.release(message)
    bench.enqueue("i")
    assert ids(bench.claim()) == ["a", "c", "e", "g", "h", "i"]


@pytest.mark.parametrize("n", [0, -1])
def test_a_claim_of_none_takes_none(bench: EngineBench, n: int) -> None:
    bench.enqueue("a")
    assert bench.claim(n) == []
    assert bench.state("a") == "ready"


def test_a_delay_is_never_early(bench: EngineBench) -> None:
    bench.enqueue("a", delay=10)
    assert bench.state("a") == "scheduled"
    bench.after(10 - MOMENT)
    assert bench.claim() == []
    bench.after(MOMENT)
    assert ids(bench.claim()) == ["a"]


def test_an_eta_is_never_early(bench: EngineBench) -> None:
    bench.enqueue("a", eta_at=bench.now + 5)
    bench.tick(bench.now + 5 - MOMENT)
    assert bench.claim() == []
    bench.after(MOMENT)
    assert ids(bench.claim()) == ["a"]


def test_the_later_of_delay_and_eta_holds(bench: EngineBench) -> None:
    bench.enqueue("a", delay=10, eta_at=bench.now + 5)
    bench.enqueue("b", delay=5, eta_at=bench.now + 10)
    bench.after(9)
    assert bench.claim() == []
    bench.after(1)
    assert ids(bench.claim()) == ["a", "b"]


def test_an_eta_in_the_past_is_now(bench: EngineBench) -> None:
    bench.enqueue("a", eta_at=1.0)
    assert ids(bench.claim()) == ["a"]


def test_what_was_delayed_stands_in_line_from_when_it_is_due(bench: EngineBench) -> None:
    bench.enqueue("a", delay=10)
    bench.enqueue("b")
    bench.after(5)
    bench.enqueue("c")
    bench.after(10)
    bench.enqueue("d")
    assert ids(bench.claim()) == ["b", "c", "a", "d"]


def test_a_retry_goes_behind_those_that_wait(bench: EngineBench) -> None:
    bench.enqueue(*"abc", retries=1)
    failing = bench.claim_one()
    bench.after(1)
    bench.fail(failing, delay=0)
    bench.after(1)
    bench.enqueue("d")
    assert ids(bench.claim()) == ["b", "c", "a", "d"]


def test_a_replayed_one_goes_behind_those_that_wait(bench: EngineBench) -> None:
    bench.bury("a")
    bench.after(1)
    bench.enqueue(*"bc")
    bench.after(1)
    bench.call(Replay(ids=["a"]))
    assert ids(bench.claim()) == ["b", "c", "a"]


def test_a_retry_that_comes_back_keeps_its_place(bench: EngineBench) -> None:
    bench.enqueue(*"ab", retries=1)
    bench.fail(bench.claim_one(), delay=1)
    bench.after(2)
    bench.enqueue("c")
    _, again = bench.claim(2)
    bench.release(again)
    assert ids(bench.claim()) == ["a", "c"]


def test_what_becomes_due_late_stands_between_those_before_and_after_it(bench: EngineBench) -> None:
    bench.enqueue("a")
    bench.enqueue("b", delay=3)
    bench.now += 5  # the host was busy when b became due
    bench.enqueue("c")
    assert ids(bench.claim()) == ["a", "b", "c"]


def test_a_whole_batch_becomes_due_at_once_in_order(bench: EngineBench) -> None:
    bench.enqueue(*[f"{n:03}" for n in range(100)], delay=1)
    bench.after(1)
    assert ids(bench.claim(100)) == [f"{n:03}" for n in range(100)]


def test_cancelled_entries_are_skipped(bench: EngineBench) -> None:
    bench.enqueue(*"abcd")
    bench.call(Cancel(ids=["a", "c"]))
    assert ids(bench.claim()) == ["b", "d"]


def test_next_deadline_is_the_due_time_of_the_earliest(bench: EngineBench) -> None:
    assert bench.engine.next_deadline() is None
    bench.enqueue("a", delay=50)
    bench.enqueue("b", delay=20)
    assert bench.engine.next_deadline() == bench.now + 20
    bench.after(20)
    assert bench.engine.next_deadline() == bench.now + 30


def test_43_what_fell_due_while_nobody_was_there_runs_once(bench: EngineBench) -> None:
    bench.enqueue(*"ab", delay=5)
    bench.enqueue("c", eta_at=bench.now + 50)
    bench.after(10**6)
    assert ids(bench.claim()) == ["a", "b", "c"]
    assert bench.claim() == []
