"""No tick does more than a fixed amount of work, however much there is: its calls are counted.

`TASKQ_TESTS=long` does it with a million of each.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest

from taskq.engine.engine import Engine
from taskq.engine.model import Delivery
from taskq.engine.ready import SKIP, Lane
from taskq.engine.results import Retention
from taskq.protocol.base import Request
from taskq.protocol.consuming import Claim, Heartbeat, Leave, Reap, Register
from taskq.protocol.operating import Control, ListDead, Peek, PurgeDead, Replay
from taskq.protocol.producing import Cancel, Enqueue, Unwatch, Wait
from taskq.protocol.values import Ack, Call, ErrorInfo, Fail, Options, WorkerInfo
from tests.kit.engine import EngineBench
from tests.kit.marks import LONG

MANY = 1_000_000 if LONG else 6_000
MOST_CALLS = 20_000  # of one tick; one that did all of it would need several times MANY

IDS = [str(number) for number in range(MANY)]
CLAIMS = MANY // 1000
BACK = Register(worker="w", consumer="c", group="default", queues=["q"])


class Counted:
    """Counts the calls of functions, those of Python and those written in C."""

    def __init__(self) -> None:
        self.calls = 0

    def __enter__(self) -> Counted:
        sys.setprofile(self._note)
        return self

    def __exit__(self, *_: object) -> None:
        sys.setprofile(None)

    def _note(self, frame: object, event: str, argument: object) -> None:
        self.calls += event in ("call", "c_call")


def worst_tick(bench: EngineBench, begin: Callable[[], object]) -> int:
    """The calls of the largest tick, from `begin` on until nothing is left to do at once."""
    with Counted() as counted:
        begin()
        bench.tick()
    worst = counted.calls
    while (due := bench.engine.next_deadline()) is not None and due <= bench.now:
        with Counted() as counted:
            bench.tick()
        worst = max(worst, counted.calls)
    return worst


def requested(*requests: Request[Any]) -> Callable[[EngineBench], Callable[[], object]]:
    """What begins with requests, all of one tick."""

    def prepared(bench: EngineBench) -> Callable[[], object]:
        return lambda: [bench.apply(request) for request in requests]

    return prepared


def later(seconds: float) -> Callable[[EngineBench], Callable[[], object]]:
    """What begins when time has passed."""

    def prepared(bench: EngineBench) -> Callable[[], object]:
        def begin() -> None:
            bench.now += seconds

        return begin

    return prepared


def without_room(bench: EngineBench) -> Callable[[], object]:
    """What begins when no more than one result may be kept."""

    def begin() -> None:
        bench.engine.ledger.results.retention = Retention(results=1)

    return begin


def waiting(bench: EngineBench, **how: Any) -> None:
    bench.enqueue(*IDS, **how)


def finished(bench: EngineBench) -> None:
    bench.register()
    bench.enqueue(*IDS, result_ttl=100)
    for _ in range(CLAIMS):
        bench.settle(*(Ack(each.receipt, each.id, None) for each in bench.claim(1000)))


def leased(bench: EngineBench) -> None:
    bench.register()
    bench.heartbeat()
    bench.enqueue(*IDS)
    for _ in range(CLAIMS):
        bench.claim(1000)


def leased_at_length(bench: EngineBench) -> None:
    """Many leases that last, and a few behind them that do not."""
    bench.register()
    bench.heartbeat()
    bench.enqueue(*(f"{id} {number}" for id in IDS for number in range(3)), lease=10_000)
    bench.enqueue(*IDS[:1000], lease=10)
    for _ in range(3 * CLAIMS + 1):
        bench.claim(1000)


def cancelled(bench: EngineBench) -> None:
    bench.register()
    bench.heartbeat()
    ids = [f"{id} {number}" for id in IDS for number in range(4)]
    bench.enqueue(*ids)
    for _ in range(4 * CLAIMS):
        bench.claim(1000)
    bench.apply(Cancel(ids=ids))
    bench.work_off()


def dead(bench: EngineBench) -> None:
    leased_bench = bench
    leased(leased_bench)
    error = ErrorInfo("ValueError", "no")
    leases = list(bench.engine.ledger.leases.items())
    bench.settle(*(Fail(receipt, each.message.id, error, final=True) for receipt, each in leases))


def watched(bench: EngineBench) -> None:
    bench.enqueue(*IDS)
    bench.apply(Wait(watch=1, add=IDS, wait=3600))
    bench.tick()
    bench.work_off()


def unknown(bench: EngineBench) -> None:
    bench.register(tasks=["other"])
    bench.enqueue(*IDS)


def grouped(bench: EngineBench) -> None:
    bench.register(3, worker="v", group="audit")
    bench.disconnect(3)
    bench.enqueue(*IDS)


def lane(bench: EngineBench) -> Lane[Delivery]:
    return bench.engine.ledger.group("q", "default").ready.lanes[Options().priority]


Prepare = Callable[[EngineBench], None]
Begin = Callable[[EngineBench], Callable[[], object]]


@pytest.mark.parametrize(
    ("prepare", "begin"),
    [
        pytest.param(lambda b: waiting(b, delay=10), later(10), id="due at once"),
        pytest.param(lambda b: waiting(b, expires=10), later(10), id="messages expire"),
        pytest.param(finished, later(100), id="results expire"),
        pytest.param(finished, without_room, id="results without room"),
        pytest.param(waiting, requested(Wait(watch=1, add=IDS, wait=9)), id="wait"),
        pytest.param(finished, requested(Wait(watch=1, add=IDS, wait=9)), id="wait for finished"),
        pytest.param(watched, requested(Unwatch(watch=1)), id="unwatch"),
        pytest.param(
            watched, lambda b: lambda: b.engine.disconnect(1, b.now), id="a watcher disconnects"
        ),
        pytest.param(waiting, requested(Control(queue="q", action="purge")), id="purge"),
        pytest.param(
            lambda b: waiting(b, delay=60),
            requested(Control(queue="q", action="purge")),
            id="purge of scheduled",
        ),
        pytest.param(
            grouped, requested(Control(queue="q", action="drop", group="audit")), id="drop"
        ),
        pytest.param(
            waiting, lambda b: lambda: b.engine.ledger.group("q", "audit"), id="a new group"
        ),
        pytest.param(waiting, lambda b: lambda: b.engine.ledger.queue("new"), id="a new queue"),
        pytest.param(waiting, requested(Peek(queue="q", limit=20)), id="peek"),
        pytest.param(
            lambda b: waiting(b, delay=60),
            requested(Peek(queue="q", limit=20, state="scheduled")),
            id="peek of scheduled",
        ),
        pytest.param(dead, requested(ListDead(limit=20)), id="list dead letters"),
        pytest.param(dead, requested(ListDead(error="none such")), id="search dead letters"),
        pytest.param(dead, requested(Replay()), id="replay"),
        pytest.param(dead, requested(PurgeDead()), id="purge dead letters"),
        pytest.param(dead, requested(PurgeDead(ids=IDS)), id="purge named dead letters"),
        pytest.param(leased, requested(Leave(worker="w")), id="leave"),
        pytest.param(
            leased, requested(Reap(worker="w", consumer="c", running=[], reason="")), id="reap"
        ),
        pytest.param(leased, requested(BACK), id="a consumer comes back without its messages"),
        pytest.param(
            cancelled,
            requested(Heartbeat(worker="w", info=WorkerInfo(), wait=9)),
            id="a worker comes back with cancelled messages",
        ),
        pytest.param(leased, later(3600), id="leases run out"),
        pytest.param(leased_at_length, later(60), id="a few of many leases run out"),
        pytest.param(
            lambda b: waiting(b, expires=10),
            lambda b: lambda: (later(10)(b)(), b.register()),
            id="a claim during an expiry",
        ),
        pytest.param(waiting, requested(Cancel(ids=IDS)), id="cancel"),
    ],
)
def test_the_work_of_a_tick_has_a_bound(prepare: Prepare, begin: Begin) -> None:
    bench = EngineBench()
    prepare(bench)
    bench.work_off()
    assert worst_tick(bench, begin(bench)) < MOST_CALLS


def test_a_claim_looks_at_a_bounded_number_of_messages_whose_task_it_does_not_know() -> None:
    bench = EngineBench()
    unknown(bench)
    claim = Claim(queues=["q"], n=10, wait=60)
    assert worst_tick(bench, lambda: bench.apply(claim, 2)) < MOST_CALLS
    bench.work_off()
    assert bench.stats().parked == MANY


@pytest.mark.parametrize("queues", [["q"], ["q", "p"]])
def test_parked_claims_together_look_at_a_bounded_number_of_unknown_messages(
    queues: list[str],
) -> None:
    bench = EngineBench()
    for number in range(50):
        bench.register(10 + number, worker=f"w{number}", queues=queues, tasks=["other"])
        bench.park_claim(10 + number, n=10, queues=queues)
    for queue in queues:
        calls = [Call(queue + id, b"") for id in IDS]
        bench.apply(Enqueue(queue=queue, task="t", options=Options(), calls=calls))
    assert worst_tick(bench, lambda: None) < MOST_CALLS
    assert [bench.stats(queue).parked for queue in queues] == [MANY] * len(queues)


def test_a_parked_claim_of_two_queues_gets_what_comes_while_one_has_many_unknown() -> None:
    bench = EngineBench()
    sessions = range(10, 13)
    for session in sessions:
        bench.register(session, worker=f"w{session}", queues=["q", "p"], tasks=["known"])
    rids = [bench.park_claim(session, n=1, queues=["q", "p"]) for session in sessions]
    bench.enqueue(*IDS, task="new")
    bench.enqueue(*"abc", task="known", queue="p")
    bench.work_off()
    assert [[each.id for each in bench.answer(rid).messages] for rid in rids] == [
        ["a"],
        ["b"],
        ["c"],
    ]


def test_a_claim_skips_a_bounded_number_of_cancelled_messages() -> None:
    bench = EngineBench()
    bench.enqueue(*(f"{id} {number}" for id in IDS for number in range(5)))
    bench.register()
    gone = [f"{id} {number}" for id in IDS[: MANY // 2] for number in range(5) if number]
    bench.call(Cancel(ids=gone))
    started = len(lane(bench))
    taken = len(bench.claim(1000))
    assert started - len(lane(bench)) <= taken + SKIP


def test_others_are_served_between_the_slices() -> None:
    bench = EngineBench()
    bench.enqueue(*IDS)
    purge = bench.apply(Control(queue="q", action="purge"))
    bench.enqueue("other", queue="p")
    assert bench.answer(purge) is None
    assert bench.stats("p").ready == 1
    bench.work_off()
    assert bench.answer(purge).count == MANY


def test_a_consumer_that_comes_back_is_told_all_that_was_released() -> None:
    bench = EngineBench()
    leased(bench)
    held = sorted(bench.engine.ledger.leases)
    back = Register(worker="w", consumer="c", group="default", queues=["q"], holding=held[::2])
    assert bench.call(back, 3).released == held[1::2]
    assert sorted(bench.engine.ledger.leases) == held[::2]


def test_a_worker_that_comes_back_is_told_all_that_was_cancelled() -> None:
    bench = EngineBench()
    cancelled(bench)
    held = sorted(bench.engine.ledger.leases)
    told: list[int] = []
    while len(told) < len(held):
        told += [stop.receipt for stop in bench.heartbeat(wait=9, session=7).stop]
    assert told == held


def test_what_an_operation_left_undone_is_done_when_it_is_asked_again(tmp_path: Any) -> None:
    from taskq.journal.sqlite import FILE, SqliteJournal

    bench = EngineBench(journal=SqliteJournal(tmp_path / FILE, "os"))
    bench.enqueue(*IDS)
    bench.apply(Control(queue="q", action="purge"))
    bench.tick()
    bench.restart()  # the broker was killed between two slices
    left = bench.stats().ready
    assert 0 < left < MANY
    assert bench.call(Control(queue="q", action="purge")).count == left
    assert isinstance(bench.engine, Engine)
    assert bench.journal is not None
    bench.journal.close()
