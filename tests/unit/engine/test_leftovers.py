"""What has ended is not kept in memory by the line, the lane or the timer in which it waited."""

from __future__ import annotations

import gc

import pytest

from taskq.engine.model import Message
from taskq.engine.sweeping import SWEEP
from taskq.protocol.operating import Control
from taskq.protocol.producing import Cancel
from taskq.protocol.values import Ack
from tests.kit.engine import EngineBench

MANY = 3 * SWEEP


@pytest.fixture
def bench() -> EngineBench:
    return EngineBench()


def _kept() -> int:
    gc.collect()
    return sum(isinstance(each, Message) for each in gc.get_objects())


def _ids(round: int) -> list[str]:
    return [f"{round}-{number}" for number in range(MANY // 3)]


def test_what_expires_in_a_queue_that_nobody_consumes(bench: EngineBench) -> None:
    before = _kept()
    for round in range(9):
        bench.enqueue(*_ids(round), expires=1)
        bench.after(1)
    assert _kept() - before <= MANY


def test_what_ends_long_before_it_would_expire(bench: EngineBench) -> None:
    before = _kept()
    bench.register()
    for round in range(9):
        bench.enqueue(*_ids(round), expires=86400)
        bench.settle(*(Ack(each.receipt, each.id, None) for each in bench.claim(n=MANY)))
    assert _kept() - before <= MANY


def test_what_is_cancelled_long_before_it_is_due(bench: EngineBench) -> None:
    before = _kept()
    for round in range(9):
        bench.enqueue(*_ids(round), delay=86400)
        bench.call(Cancel(ids=_ids(round)))
    assert _kept() - before <= MANY
    bench.enqueue("later", delay=10)
    assert bench.engine.next_deadline() == bench.now + 10


def test_what_is_purged_while_no_worker_knows_its_task(bench: EngineBench) -> None:
    before = _kept()
    bench.register(tasks=["other"])
    for round in range(9):
        bench.enqueue(*_ids(round))
        assert bench.claim(n=MANY) == []
        bench.call(Control(queue="q", action="purge"))
    assert _kept() - before <= MANY


def test_what_a_dropped_group_had_long_before_it_is_due(bench: EngineBench) -> None:
    before = _kept()
    for round in range(9):
        bench.register(3, worker="w2", group="typo")
        bench.disconnect(3)
        bench.enqueue(*_ids(round), delay=86400)
        bench.call(Control(queue="q", action="purge", group="default"))
        bench.call(Control(queue="q", action="drop", group="typo"))
    assert _kept() - before <= MANY


def test_what_a_new_group_was_given_long_before_it_expires(bench: EngineBench) -> None:
    bench.register()
    bench.enqueue(*_ids(0), *_ids(1), *_ids(2), expires=86400)
    timers = len(bench.engine.ledger.timers)
    bench.register(3, worker="w2", group="audit")
    bench.work_off()
    assert len(bench.engine.ledger.timers) == timers
    while messages := bench.claim(n=MANY):
        bench.settle(*(Ack(each.receipt, each.id, None) for each in messages))
    while messages := bench.claim(n=MANY, session=3):
        bench.settle(*(Ack(each.receipt, each.id, None) for each in messages))
    assert bench.stats(group="audit").succeeded == MANY
    assert len(bench.engine.ledger.timers) <= SWEEP


def test_a_swept_line_keeps_its_order(bench: EngineBench) -> None:
    bench.enqueue(*_ids(0), *_ids(1))
    kept = _ids(0)[::100] + _ids(1)[::100]
    bench.call(Cancel(ids=[id for id in _ids(0) + _ids(1) if id not in kept]))
    bench.register()
    assert [message.id for message in bench.claim(n=MANY)] == kept


def test_what_is_handed_back_again_and_again_expires_by_one_timer(bench: EngineBench) -> None:
    bench.enqueue("a", expires=60)
    bench.register()
    before = len(bench.engine.ledger.timers)
    for _ in range(100):
        bench.release(bench.claim_one())
    assert len(bench.engine.ledger.timers) <= before + 1
    bench.after(60)
    assert bench.end("a").state == "expired"
