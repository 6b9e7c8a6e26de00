"""Claims that wait: served when something comes, in fair shares, and never after their time."""

from __future__ import annotations

import pytest

from taskq.engine.handlers import REPLY_BYTES
from taskq.engine.ready import SKIP
from taskq.protocol.consuming import Claim, Leave, Reap
from taskq.protocol.operating import Control, Replay
from taskq.protocol.producing import Cancel, Enqueue
from taskq.protocol.values import Call, Options
from tests.kit.engine import MOMENT, WORKER, EngineBench, ids


@pytest.fixture
def bench() -> EngineBench:
    bench = EngineBench()
    for session in (WORKER, 3, 4):
        bench.register(session, consumer=f"c{session}")
    return bench


def test_a_parked_claim_gets_what_is_enqueued(bench: EngineBench) -> None:
    rid = bench.park_claim()
    bench.enqueue("a")
    assert ids(bench.answer(rid).messages) == ["a"]


def test_a_parked_claim_gets_what_becomes_due(bench: EngineBench) -> None:
    bench.enqueue("a", delay=5)
    rid = bench.park_claim()
    bench.after(5 - MOMENT)
    assert bench.answer(rid) is None
    bench.after(MOMENT)
    assert ids(bench.answer(rid).messages) == ["a"]


@pytest.mark.parametrize("how", ["release", "lapse", "retry", "reap", "leave", "replay", "resume"])
def test_a_parked_claim_gets_what_comes_back(bench: EngineBench, how: str) -> None:
    bench.register(9, worker="other")
    bench.enqueue("a", lease=10, retries=how != "replay")
    if how == "resume":
        bench.call(Control(queue="q", action="pause"))
        rid = bench.park_claim()
        bench.call(Control(queue="q", action="resume"))
        assert ids(bench.answer(rid).messages) == ["a"]
        return
    message = bench.claim_one(session=9)
    rid = bench.park_claim()
    if how == "release":
        bench.release(message)
    elif how == "lapse":
        bench.after(10)
    elif how == "retry":
        bench.fail(message, delay=1.0)
        bench.after(1)
    elif how == "reap":
        bench.call(Reap(worker="other", consumer="c", running=[message.receipt], reason=""))
    elif how == "leave":
        bench.call(Leave(worker="other"))
    else:
        bench.fail(message)
        bench.call(Replay(ids=["a"]))
    assert ids(bench.answer(rid).messages) == ["a"]


def test_a_claim_is_over_in_its_time_exactly(bench: EngineBench) -> None:
    rid = bench.park_claim(wait=5)
    assert bench.engine.next_deadline() == bench.now + 5
    bench.after(5 - MOMENT)
    assert bench.answer(rid) is None
    bench.after(MOMENT)
    assert bench.answer(rid).messages == []
    bench.enqueue("a")
    assert bench.state("a") == "ready"


def test_a_claim_may_wait_for_less_than_a_second(bench: EngineBench) -> None:
    rid = bench.park_claim(wait=0.5)
    bench.enqueue("a")
    assert ids(bench.answer(rid).messages) == ["a"]


def test_drained_says_whether_anything_can_still_come(bench: EngineBench) -> None:
    def drained(wait: float = 0) -> bool:
        return bench.call(Claim(queues=["q"], n=1, wait=wait), WORKER).drained

    assert drained()
    bench.enqueue("a", delay=5)
    assert not drained()
    bench.after(5)
    message = bench.claim_one(session=3)
    assert not drained()
    bench.ack(message)
    assert drained()
    bench.enqueue("b")
    bench.call(Control(queue="q", action="pause"))
    assert drained()  # nobody will be given it as things are
    bench.call(Control(queue="q", action="resume"))
    assert not drained()


@pytest.mark.parametrize("delay", [0, 100])
def test_a_claim_that_waited_in_vain_reports_drained_too(bench: EngineBench, delay: float) -> None:
    if delay:
        bench.enqueue("a", delay=delay)
    rid = bench.park_claim(wait=5)
    bench.after(5)
    assert bench.answer(rid).drained is (not delay)


def test_a_claim_gets_fewer_of_large_messages(bench: EngineBench) -> None:
    bench.enqueue(*"abcd", payload=bytes(REPLY_BYTES // 2))
    assert ids(bench.claim(n=4)) == ["a", "b"]
    assert ids(bench.claim(n=4)) == ["c", "d"]


def test_waiting_consumers_share_what_comes(bench: EngineBench) -> None:
    rids = [bench.park_claim(session) for session in (WORKER, 3, 4)]
    bench.enqueue(*"abcdefg")
    shares = [ids(bench.answer(rid).messages) for rid in rids]
    assert sorted(id for share in shares for id in share) == list("abcdefg")
    assert sorted(len(share) for share in shares) == [2, 2, 3]


def test_shares_are_fair_in_spite_of_tasks_that_nobody_knows() -> None:
    bench = EngineBench()
    for session in (WORKER, 3):
        bench.register(session, consumer=f"c{session}", tasks=["known"])
    bench.enqueue(*"uvwxyz", task="new")
    assert bench.claim() == []
    rids = [bench.park_claim(session) for session in (WORKER, 3)]
    bench.enqueue(*"abcd", task="known")
    assert [len(bench.answer(rid).messages) for rid in rids] == [2, 2]


def test_a_share_is_no_more_than_asked_for(bench: EngineBench) -> None:
    small = bench.park_claim(WORKER, n=1)
    big = bench.park_claim(3)
    bench.enqueue(*"abcdef")
    assert len(bench.answer(small).messages) == 1
    assert len(bench.answer(big).messages) == 5


def test_one_message_goes_to_one_claim(bench: EngineBench) -> None:
    rids = [bench.park_claim(session) for session in (WORKER, 3, 4)]
    bench.enqueue("a")
    assert sum(bench.answer(rid) is not None for rid in rids) == 1
    bench.enqueue("b")
    assert sum(bench.answer(rid) is not None for rid in rids) == 2


def test_a_claim_waits_on_several_queues(bench: EngineBench) -> None:
    bench.register(queues=["q", "other"], consumer="c2")
    rid = bench.park_claim(queues=["q", "other"])
    bench.enqueue("a", queue="other")
    assert ids(bench.answer(rid).messages) == ["a"]
    bench.enqueue("b")
    assert bench.state("b") == "ready"


def test_a_claim_that_was_answered_is_not_served_from_its_other_queue(bench: EngineBench) -> None:
    rid = bench.park_claim(queues=["q", "other"])
    bench.apply(Enqueue(queue="q", task="t", options=Options(), calls=[Call("a", b"")]))
    bench.apply(Enqueue(queue="other", task="t", options=Options(), calls=[Call("b", b"")]))
    bench.tick()
    assert len(bench.replies[WORKER]) == 2  # the registration and one claim
    given = set(ids(bench.answer(rid).messages))
    assert given
    assert {id for id in "ab" if bench.state(id) == "leased"} == given


def test_a_closed_connection_is_never_served(bench: EngineBench) -> None:
    bench.park_claim(WORKER)
    rid = bench.park_claim(3)
    bench.disconnect(WORKER)
    bench.enqueue("a")
    assert ids(bench.answer(rid).messages) == ["a"]


@pytest.mark.parametrize("end", ["reap", "leave", "take over"])
def test_a_dead_consumer_is_never_served(bench: EngineBench, end: str) -> None:
    bench.park_claim(WORKER)
    if end == "reap":
        bench.reap("c2")
    elif end == "leave":
        bench.call(Leave(worker="w"))
    else:
        bench.register(9, consumer="c2")
    bench.enqueue("a")
    assert bench.state("a") == "ready"


def test_a_second_claim_takes_the_place_of_the_first(bench: EngineBench) -> None:
    first = bench.park_claim()
    assert bench.claim() == []
    assert bench.answer(first).messages == []
    bench.enqueue("a")
    assert bench.answer(first).messages == []
    assert bench.state("a") == "ready"


def test_a_claim_of_nothing_withdraws_the_parked_one(bench: EngineBench) -> None:
    bench.park_claim()
    reply = bench.call(Claim(queues=[], n=0, wait=0), WORKER)
    assert reply.messages == []
    bench.enqueue("a")
    assert bench.state("a") == "ready"


def test_nothing_is_left_of_a_thousand_claims(bench: EngineBench) -> None:
    for n in range(1000):
        rid = bench.park_claim(wait=60)
        bench.enqueue(f"{n}")
        (message,) = bench.answer(rid).messages
        bench.ack(message)
    assert len(bench.engine.ledger.timers) < 20
    (group,) = bench.engine.ledger.queues["q"].groups.values()
    assert not group.claims


def test_the_suspect_is_alone_in_a_parked_claim_too(bench: EngineBench) -> None:
    bench.enqueue("poison", lease=10)
    bench.claim_one(session=3)
    bench.call(Control(queue="q", action="pause"))
    bench.enqueue("a", "b")
    bench.after(10)
    rid = bench.park_claim()
    bench.call(Control(queue="q", action="resume"))
    assert ids(bench.answer(rid).messages) == ["poison"]


def test_a_silent_worker_is_given_no_more_until_it_is_heard_from(bench: EngineBench) -> None:
    # a stopped process keeps its parked claims; each would take the message and lose it again
    first, second = bench.park_claim(3), bench.park_claim(4)
    bench.enqueue("a", lease=10)
    assert ids(bench.answer(first).messages) == ["a"]
    bench.after(10)
    assert bench.answer(second) is None
    assert bench.job("a").state == "ready"
    bench.register(9, worker="other")
    assert ids(bench.call(Claim(queues=["q"], n=1, wait=0), 9).messages) == ["a"]
    bench.enqueue("b")
    assert bench.answer(second) is None
    bench.heartbeat()
    assert ids(bench.answer(second).messages) == ["b"]


def test_a_silent_worker_is_heard_from_by_a_claim_too(bench: EngineBench) -> None:
    bench.enqueue("a", lease=10)
    bench.claim(session=3)
    rid = bench.park_claim(4)
    bench.after(10)
    assert bench.answer(rid) is None
    bench.enqueue("b")
    assert ids(bench.claim(1, session=3)) == ["a"]
    assert ids(bench.answer(rid).messages) == ["b"]


def park_behind_stale_entries(bench: EngineBench) -> None:
    """Park messages whose task nobody knows, and cancel so many that one claim cannot skip them."""
    bench.register(tasks=["other"])
    many = [str(number) for number in range(3 * SKIP)]
    bench.enqueue(*many)
    while bench.stats().parked < len(many):
        bench.claim()
        bench.work_off()
    bench.call(Cancel(ids=many[: SKIP + 1]))


def test_a_claim_finds_what_is_parked_behind_stale_entries(bench: EngineBench) -> None:
    park_behind_stale_entries(bench)
    bench.register(5, worker="w2")
    rid = bench.apply(Claim(queues=["q"], n=1, wait=60), session=5)
    bench.tick()
    bench.work_off()
    assert ids(bench.answer(rid).messages) == [str(SKIP + 1)]


def test_a_queue_is_not_drained_while_its_parked_messages_are_looked_for(
    bench: EngineBench,
) -> None:
    park_behind_stale_entries(bench)
    bench.register(5, worker="w2")
    reply = bench.call(Claim(queues=["q"], n=1, wait=0), session=5)
    assert (reply.messages, reply.drained) == ([], False)
    assert ids(bench.claim(1, session=5)) == [str(SKIP + 1)]
