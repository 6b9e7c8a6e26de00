"""Consumer groups: each is given every message, and none touches another's."""

from __future__ import annotations

import pytest

from taskq.protocol.operating import Control, GetStats
from taskq.protocol.producing import Cancel
from tests.kit.engine import WORKER, EngineBench, ids

AUDIT = 3


@pytest.fixture
def bench() -> EngineBench:
    bench = EngineBench()
    bench.register()
    bench.register(AUDIT, worker="auditor", group="audit")
    return bench


def test_each_group_gets_each_message(bench: EngineBench) -> None:
    bench.enqueue("a", "b")
    assert ids(bench.claim()) == ["a", "b"]
    assert ids(bench.claim(session=AUDIT)) == ["a", "b"]


def test_the_result_comes_from_the_first_group(bench: EngineBench) -> None:
    bench.enqueue("a")
    bench.ack(bench.claim_one(AUDIT), b"audit")
    assert bench.state("a") == "ready"
    bench.ack(bench.claim_one(), b"default")
    assert bench.end("a").value == b"default"


def test_the_message_stays_until_the_last_group_is_done(bench: EngineBench) -> None:
    bench.enqueue("a")
    bench.ack(bench.claim_one())
    assert bench.end("a").state == "succeeded"
    assert (bench.state("a", "default"), bench.state("a", "audit")) == ("succeeded", "ready")
    bench.ack(bench.claim_one(AUDIT))
    assert bench.engine.ledger.messages == {}


def test_a_receipt_of_one_group_settles_nothing_of_another(bench: EngineBench) -> None:
    bench.enqueue("a")
    bench.claim_one()
    audit = bench.claim_one(AUDIT)
    bench.fail(audit)
    assert (bench.state("a", "default"), bench.state("a", "audit")) == ("leased", "dead")
    assert (bench.stats().dead, bench.stats(group="audit").dead) == (0, 1)


def test_retries_and_deaths_are_each_groups_own(bench: EngineBench) -> None:
    bench.enqueue("a", retries=1)
    bench.fail(bench.claim_one())
    assert bench.claim_one(AUDIT).attempt == 1
    assert bench.job("a", "audit").errors == []


def test_a_new_group_is_given_what_is_alive(bench: EngineBench) -> None:
    bench.enqueue(*"abcde")
    bench.call(Cancel(ids=["e"]))
    done, running, dead = bench.claim(3)
    bench.ack(done)
    bench.fail(dead)
    for message in bench.claim(session=AUDIT):
        bench.ack(message)
    bench.register(4, worker="late", group="late")
    assert running.id == "b"
    assert ids(bench.claim(session=4)) == ["b", "d"]


def test_a_new_group_waits_for_the_eta_too(bench: EngineBench) -> None:
    bench.enqueue("a", delay=10)
    bench.register(4, worker="late", group="late")
    assert bench.claim(session=4) == []
    bench.after(10)
    assert ids(bench.claim(session=4)) == ["a"]


def test_a_new_group_made_after_the_eta_gets_it_at_once(bench: EngineBench) -> None:
    bench.enqueue("a", delay=10)
    bench.after(20)
    bench.register(4, worker="late", group="late")
    assert ids(bench.claim(session=4)) == ["a"]


def test_a_new_group_is_given_what_lies_behind_messages_of_other_queues(bench: EngineBench) -> None:
    bench.enqueue("a")
    bench.enqueue("x", queue="other")
    bench.enqueue("b")
    bench.register(9, worker="late", group="late")
    assert ids(bench.claim(session=9)) == ["a", "b"]


def test_groups_of_one_queue_only(bench: EngineBench) -> None:
    bench.enqueue("a", queue="other")
    assert bench.claim(session=AUDIT) == []
    groups = {(entry.queue, entry.group) for entry in bench.call(GetStats()).queues}
    assert groups == {("q", "default"), ("q", "audit"), ("other", "default")}


def test_two_consumers_of_one_group_share(bench: EngineBench) -> None:
    bench.register(4, consumer="c2")
    bench.enqueue("a", "b")
    assert ids(bench.claim(1)) + ids(bench.claim(1, session=4)) == ["a", "b"]


def test_pause_and_purge_of_one_group(bench: EngineBench) -> None:
    bench.enqueue("a")
    bench.call(Control(queue="q", group="audit", action="pause"))
    assert bench.claim(session=AUDIT) == []
    assert bench.call(Control(queue="q", group="audit", action="purge")).count == 1
    assert ids(bench.claim(session=WORKER)) == ["a"]


def test_cancel_reaches_every_group(bench: EngineBench) -> None:
    bench.enqueue("a")
    bench.call(Cancel(ids=["a"]))
    assert bench.stats().cancelled == bench.stats(group="audit").cancelled == 1


def test_a_purge_of_the_first_group_leaves_the_others(bench: EngineBench) -> None:
    bench.enqueue("a")
    bench.call(Control(queue="q", group="default", action="purge"))
    assert bench.end("a").state == "unknown"
    assert ids(bench.claim(session=AUDIT)) == ["a"]


def test_a_double_ack_of_a_second_group_is_accepted(bench: EngineBench) -> None:
    bench.enqueue("a")
    message = bench.claim_one(AUDIT)
    assert bench.ack(message) == []
    assert bench.ack(message) == []
