"""A consumer group is removed, with its copies and nothing else."""

from __future__ import annotations

import gc

import pytest

from taskq import errors
from taskq.engine.capacity import Capacity
from taskq.engine.engine import Engine
from taskq.engine.model import Delivery
from taskq.engine.operations import SLICE
from taskq.protocol.consuming import Claim, Extend, Register
from taskq.protocol.operating import Control, GetStats, Limit, ListDead, Replay
from taskq.protocol.producing import Cancel, Enqueue, Enqueued, Inspect
from taskq.protocol.values import Call, Options
from tests.kit.engine import WORKER, EngineBench, ids
from tests.kit.messages import naming

TYPO = 3


@pytest.fixture
def bench() -> EngineBench:
    bench = EngineBench()
    bench.register()
    leave_a_group(bench)
    return bench


def leave_a_group(bench: EngineBench) -> None:
    """What a worker leaves that was started once with a mistyped name."""
    bench.register(TYPO, worker="w2", group="typo")
    bench.disconnect(TYPO)


def drop(bench: EngineBench, group: str = "typo", queue: str = "q") -> int:
    return bench.call(Control(queue=queue, action="drop", group=group)).count


def groups(bench: EngineBench) -> list[str]:
    return [each.group for each in bench.call(GetStats()).queues if each.queue == "q"]


def test_it_is_gone_with_its_copies_and_gets_no_more(bench: EngineBench) -> None:
    bench.enqueue("a", "b")
    bench.enqueue("later", delay=50)
    assert drop(bench) == 3
    assert groups(bench) == ["default"]
    bench.enqueue("c")
    assert [job.group for job in bench.call(Inspect(id="a")).jobs] == ["default"]
    claimed = bench.claim()
    assert ids(claimed) == ["a", "b", "c"]
    for message in claimed:
        bench.ack(message)
    bench.after(50)
    assert ids(bench.claim()) == ["later"]


def test_what_had_only_ended_elsewhere_goes_with_it(bench: EngineBench) -> None:
    bench.enqueue("a", "b", payload=b"12345")
    bench.ack(bench.claim_one(), b"42")
    drop(bench)
    assert list(bench.engine.ledger.messages) == ["b"]
    assert bench.engine.ledger.bytes == 5
    assert bench.end("a").value == b"42"
    assert bench.engine.ledger.specs.of("q", "t", Options()).uses == 1


def test_a_dead_letter_of_another_group_stays_and_is_replayed(bench: EngineBench) -> None:
    bench.bury("a")
    assert drop(bench) == 1
    assert bench.state("a") == "dead"
    bench.call(Replay(ids=["a"]))
    bench.ack(bench.claim_one())
    assert bench.engine.ledger.messages == {}


def test_its_own_dead_letters_and_parked_ones_go(bench: EngineBench) -> None:
    bench.register(TYPO, worker="w2", group="typo", tasks=["t"])
    bench.enqueue("dead")
    bench.enqueue("parked", task="unknown")
    (message,) = bench.claim(session=TYPO)
    bench.fail(message, final=True)
    bench.disconnect(TYPO)
    stats = bench.stats(group="typo")
    assert (stats.dead, stats.parked) == (1, 1)
    assert drop(bench) == 2
    assert bench.call(ListDead()).total == 0
    assert bench.call(GetStats()).broker.parked == 0


def test_its_leases_are_stale_from_then_on(bench: EngineBench) -> None:
    bench.register(TYPO, worker="w2", group="typo")
    bench.enqueue("a", "b", "c", retries=3)
    a, b, late = bench.claim(session=TYPO)
    bench.ack(a)
    bench.fail(b, delay=0)
    bench.disconnect(TYPO)
    assert drop(bench) == 2
    assert bench.ack(late) == [late.receipt]
    with pytest.raises(errors.LeaseLost):
        bench.call(Extend(receipt=late.receipt, id=late.id, seconds=10))
    bench.after(100)  # its worker is dismissed, nothing comes back
    assert groups(bench) == ["default"]
    assert [worker.name for worker in bench.call(GetStats()).workers] == ["w"]


def test_a_worker_that_comes_back_makes_it_again_with_what_is_alive(bench: EngineBench) -> None:
    bench.enqueue("a", "b")
    bench.ack(bench.claim_one())
    drop(bench)
    bench.enqueue("c")
    bench.register(TYPO, worker="w2", group="typo", holding=[1, 2])
    assert ids(bench.claim(session=TYPO)) == ["b", "c"]
    assert bench.stats(group="typo").purged == 0


def test_what_may_be_dropped_is_checked_without_a_change(bench: EngineBench) -> None:
    before = groups(bench)
    bench.call(Control(queue="q", action="may_drop", group="typo"))
    assert groups(bench) == before
    with pytest.raises(errors.TaskqError, match="so it stays"):
        bench.call(Control(queue="q", action="may_drop", group="default"))


@pytest.mark.parametrize(
    ("queue", "group", "tokens"),
    [
        ("q", "default", ["'default'", "'q'", "results"]),
        ("q", "", ["consumer group"]),
        ("q", "none", ["'q'", "'none'", "default", "typo"]),
        ("none", "typo", ["queue 'none'", "q"]),
        ("", "typo", ["queue ''"]),
    ],
)
def test_what_cannot_be_dropped(
    bench: EngineBench, queue: str, group: str, tokens: list[str]
) -> None:
    bench.enqueue("a")
    with pytest.raises(errors.TaskqError, match=naming(*tokens)):
        drop(bench, group, queue)
    assert groups(bench) == ["default", "typo"]


def test_a_group_that_somebody_works_stays(bench: EngineBench) -> None:
    bench.enqueue("a")
    bench.register(TYPO, worker="w2", group="typo")
    with pytest.raises(errors.TaskqError, match=naming("'typo'", "1 consumer")):
        drop(bench)
    bench.register(4, worker="w3", group="typo")
    with pytest.raises(errors.TaskqError, match="has 2 consumers"):
        drop(bench)
    assert bench.stats(group="typo").ready == 1


def test_nor_does_one_go_in_which_a_claim_is_parked(bench: EngineBench) -> None:
    bench.register(TYPO, worker="w2", group="typo", queues=["p"])
    rid = bench.park_claim(TYPO, queues=["q"])  # beyond what it has registered for
    with pytest.raises(errors.TaskqError, match="1 consumer"):
        drop(bench)
    bench.enqueue("a")
    assert ids(bench.answer(rid).messages) == ["a"]


def test_the_same_group_of_another_queue_stays(bench: EngineBench) -> None:
    bench.register(TYPO, worker="w2", group="typo", queues=["p"])
    bench.enqueue("a", queue="p")
    (message,) = bench.claim(session=TYPO, queues=["p"])
    drop(bench)
    assert bench.ack(message) == []
    assert bench.stats("p", "typo").succeeded == 1


def test_producers_that_waited_for_room_in_it_get_in(bench: EngineBench) -> None:
    bench.call(Limit(queue="q", max_messages=1))
    bench.enqueue("a")
    bench.ack(bench.claim_one())
    with pytest.raises(errors.QueueFull, match=naming("group 'typo'", "taskq queue drop")):
        bench.enqueue("b")
    calls = [Call("b", b"")]
    rid = bench.park(Enqueue(queue="q", task="t", options=Options(), calls=calls, wait=10), 50)
    claimed = bench.park_claim()
    drop(bench)
    assert bench.answer(rid) == Enqueued(rid=rid)
    assert ids(bench.answer(claimed).messages) == ["b"]


def test_producers_that_waited_for_room_in_the_broker_get_in(bench: EngineBench) -> None:
    bench.engine = Engine(Capacity(messages=1))
    bench.register()
    leave_a_group(bench)
    bench.enqueue("a")
    bench.ack(bench.claim_one())
    rid = bench.park(
        Enqueue(queue="q", task="t", options=Options(), calls=[Call("b", b"")], wait=10), 50
    )
    drop(bench)
    assert bench.answer(rid) == Enqueued(rid=rid)


def test_the_hint_at_dropping_is_given_where_it_helps(bench: EngineBench) -> None:
    bench.call(Limit(queue="q", max_messages=1))
    bench.enqueue("a")
    bench.register(TYPO, worker="w2", group="typo")
    bench.ack(bench.claim_one())
    with pytest.raises(errors.QueueFull) as refused:
        bench.enqueue("b")
    assert "drop" not in str(refused.value)  # it has a worker
    bench.ack(bench.claim_one(TYPO))
    bench.disconnect(WORKER)
    bench.enqueue("c")
    with pytest.raises(errors.QueueFull) as refused:
        bench.enqueue("d")
    assert "drop" not in str(refused.value)  # it is the default group


def test_a_paused_group_that_is_made_again_is_not_paused(bench: EngineBench) -> None:
    bench.call(Control(queue="q", action="pause", group="typo"))
    bench.enqueue("a")
    drop(bench)
    bench.register(TYPO, worker="w2", group="typo")
    assert ids(bench.claim(session=TYPO)) == ["a"]


def test_it_is_not_looked_at_again_in_its_last_tick(bench: EngineBench) -> None:
    bench.apply(Control(queue="q", action="pause", group="typo"))
    bench.apply(Control(queue="q", action="drop", group="typo"))
    assert [group.name for group in bench.engine.ledger.groups_to_serve] == []
    bench.tick()
    assert groups(bench) == ["default"]


def test_an_expiry_goes_on_in_the_other_groups(bench: EngineBench) -> None:
    bench.enqueue("a", expires=10)
    drop(bench)
    bench.after(10)
    assert bench.end("a").state == "expired"
    assert bench.engine.ledger.messages == {}


def test_a_group_that_comes_in_the_middle_is_given_what_was_alive_in_it() -> None:
    bench = EngineBench()
    bench.register()
    leave_a_group(bench)
    many = [str(number) for number in range(9 * SLICE)]
    bench.enqueue(*many)
    for message in bench.claim(len(many))[4 * SLICE :]:
        bench.ack(message)  # these are alive in `typo` only
    bench.apply(Control(queue="q", action="drop", group="typo"))
    while len(bench.engine.ledger.messages) == len(many):
        bench.tick()
    alive = len(bench.engine.ledger.messages)
    bench.apply(Register(worker="w3", consumer="c", group="late", queues=["q"]), TYPO)
    bench.work_off()
    assert bench.stats(group="late").ready == alive


def test_a_claim_from_elsewhere_in_the_middle_does_not_keep_the_group() -> None:
    bench = EngineBench()
    leave_a_group(bench)
    bench.enqueue(*(str(number) for number in range(2 * SLICE)))
    bench.register(TYPO, worker="w3", group="typo", queues=["p"])
    bench.apply(Control(queue="q", action="drop", group="typo"))
    waiting = bench.apply(Claim(queues=["q"], n=1, wait=60), TYPO)
    bench.work_off()
    assert ids(bench.answer(waiting).messages) == ["0"]  # of the group that it made
    assert bench.stats(group="typo").consumers == 0
    bench.disconnect(TYPO)
    assert drop(bench) == 2 * SLICE


def test_its_copies_are_freed_without_the_collector(bench: EngineBench) -> None:
    def kept() -> int:
        return sum(isinstance(each, Delivery) for each in gc.get_objects())

    gc.collect()
    gc.disable()
    try:
        before = kept()
        bench.register(tasks=["t"])
        bench.enqueue(*(str(n) for n in range(100)))
        bench.enqueue("later", delay=1e6)  # its timer knows it until it rings
        for message in bench.claim():
            bench.ack(message)
        bench.enqueue("parked", task="unknown")
        bench.call(Cancel(ids=["later", "parked"]))
        assert kept() - before >= 100
        drop(bench)
        assert bench.engine.ledger.messages == {}
        assert kept() - before <= 5
    finally:
        gc.enable()
