"""The dead-letter queue: list, filter, get, replay, replay slowly, purge."""

from __future__ import annotations

import pytest

from taskq.engine.handlers import REPLY_BYTES
from taskq.errors import TaskqError, UnknownMessage
from taskq.protocol.operating import ListDead, Peek, PurgeDead, Replay
from taskq.protocol.values import ErrorInfo, Fail
from tests.kit.engine import MOMENT, EngineBench, ids


@pytest.fixture
def bench() -> EngineBench:
    bench = EngineBench()
    bench.register()
    return bench


def listed(bench: EngineBench, **filters: str | int) -> list[str]:
    reply = bench.call(ListDead(**filters))  # type: ignore[arg-type]
    return [entry.id for entry in reply.entries]


def test_an_entry_has_every_attempt(bench: EngineBench) -> None:
    bench.enqueue("a", task="mail.send", payload=b"call", retries=1)
    first_at = bench.now
    bench.fail(bench.claim_one(), delay=0)
    bench.after(5)
    bench.fail(bench.claim_one())
    reply = bench.call(ListDead(id="a"))
    (entry,) = reply.entries
    assert (entry.id, entry.queue, entry.group, entry.task) == ("a", "q", "default", "mail.send")
    assert (entry.payload, entry.reason, entry.attempts) == (b"call", "ValueError: no", 2)
    assert entry.deliveries == 2
    assert (entry.enqueued_at, entry.first_failed_at, entry.last_failed_at) == (
        first_at,
        first_at,
        first_at + 5,
    )
    assert [error.attempt for error in entry.errors] == [1, 2]
    assert reply.total == 1
    assert bench.job("a").finished_at == first_at + 5


def test_listing_filters_and_limits_oldest_first(bench: EngineBench) -> None:
    bench.bury("b", task="mail.send")
    bench.after(1)
    bench.bury("a", task="mail.read")
    bench.enqueue("c", task="other")
    message = bench.claim_one()
    bench.settle(Fail(message.receipt, "c", ErrorInfo("KeyError", "'x'")))
    assert listed(bench) == ["b", "a", "c"]
    assert listed(bench, limit=2) == ["b", "a"]
    assert listed(bench, limit=0) == []
    assert listed(bench, task="mail") == ["b", "a"]
    assert listed(bench, error="KeyError") == ["c"]
    assert listed(bench, error="'x'", task="mail") == []
    assert listed(bench, queue="q") == ["b", "a", "c"]
    assert listed(bench, queue="other") == []
    assert listed(bench, id="nobody") == []
    assert bench.call(ListDead(task="mail", limit=1)).total == 3
    assert bench.call(ListDead(since=bench.now)).entries[0].id == "a"


def test_peek_shows_them_in_the_order_of_their_deaths(bench: EngineBench) -> None:
    bench.enqueue("a", "b")
    for message in reversed(bench.claim()):
        bench.fail(message)
        bench.after(1)
    peeked = bench.call(Peek(queue="q", state="dead")).messages
    assert [preview.id for preview in peeked] == ["b", "a"]


def test_a_list_goes_on_behind_an_entry(bench: EngineBench) -> None:
    for id in "abc":  # at one instant
        bench.bury(id)
    page = bench.call(ListDead(limit=2))
    assert page.more
    behind = {"since": page.entries[1].last_failed_at, "after": "b", "after_group": "default"}
    assert listed(bench, **behind) == ["c"]
    bench.call(Replay(ids=["b"]))
    assert listed(bench, **behind) == ["a", "c"]  # that place is gone: rather twice than never
    bench.after(1)
    bench.fail(bench.claim_one())
    assert listed(bench, **behind) == ["a", "c", "b"]  # b has died again, which is another place


def test_a_list_is_cut_where_a_reply_would_be_too_large(bench: EngineBench) -> None:
    for id in "abc":
        bench.bury(id, payload=bytes(5 * 2**20))
    page = bench.call(ListDead())
    assert ([entry.id for entry in page.entries], page.more) == (["a", "b"], True)


def test_several_groups_are_listed_in_the_order_of_their_deaths(bench: EngineBench) -> None:
    for id, queue in (("a", "q"), ("b", "q2"), ("c", "q")):
        bench.enqueue(id, queue=queue)
        bench.fail(bench.claim_one(queues=[queue]), final=True)
        bench.after(1)
    assert listed(bench) == ["a", "b", "c"]


def test_replay_begins_with_fresh_counts(bench: EngineBench) -> None:
    bench.bury("a", retries=0, max_deliveries=1)
    assert bench.call(Replay(ids=["a"])).count == 1
    assert listed(bench) == []
    message = bench.claim_one()
    assert message.attempt == 1
    bench.ack(message, b"now")
    assert bench.end("a").value == b"now"


def test_a_replayed_one_can_die_again(bench: EngineBench) -> None:
    bench.bury("a", retries=1)
    bench.call(Replay(ids=["a"]))
    bench.fail(bench.claim_one(), delay=0)
    bench.fail(bench.claim_one())
    assert bench.state("a") == "dead"
    assert bench.stats().dead == 1


def test_several_are_replayed_by_their_ids(bench: EngineBench) -> None:
    bench.bury(*"abc")
    assert bench.call(Replay(ids=["a", "c"])).count == 2
    assert (ids(bench.claim()), listed(bench)) == (["a", "c"], ["b"])


def test_replay_all_of_a_queue(bench: EngineBench) -> None:
    bench.bury("a", "b")
    bench.register(3, consumer="c3", queues=["other"])
    bench.enqueue("x", queue="other")
    bench.fail(bench.claim_one(3, queues=["other"]))
    assert bench.call(Replay(queue="q")).count == 2
    assert (ids(bench.claim()), listed(bench)) == (["a", "b"], ["x"])


def test_replay_at_a_rate(bench: EngineBench) -> None:
    bench.bury(*"abcd")
    assert bench.call(Replay(queue="q", rate=2.0)).count == 4
    assert ids(bench.claim()) == ["a"]
    bench.after(0.5 - MOMENT)
    assert bench.claim() == []
    bench.after(MOMENT)
    assert ids(bench.claim()) == ["b"]
    bench.after(1)
    assert ids(bench.claim()) == ["c", "d"]


def test_replay_at_less_than_one_a_second(bench: EngineBench) -> None:
    bench.bury(*"ab")
    bench.call(Replay(queue="q", rate=0.5))
    assert ids(bench.claim()) == ["a"]
    bench.after(2 - MOMENT)
    assert bench.claim() == []
    bench.after(MOMENT)
    assert ids(bench.claim()) == ["b"]


@pytest.mark.parametrize("rate", [0.0, -1.0, float("nan")])
def test_a_rate_must_be_above_0(bench: EngineBench, rate: float) -> None:
    bench.bury("a")
    with pytest.raises(TaskqError, match="rate"):
        bench.call(Replay(queue="q", rate=rate))
    assert listed(bench) == ["a"]


def test_purge_forgets_without_a_result(bench: EngineBench) -> None:
    bench.bury("a", "b")
    assert bench.call(PurgeDead(ids=["a"])).count == 1
    assert (listed(bench), bench.state("a")) == (["b"], "unknown")
    assert bench.call(PurgeDead(queue="q")).count == 1
    assert bench.engine.ledger.messages == {}
    stats = bench.stats()
    assert (stats.dead, stats.purged, stats.bytes) == (0, 2, 0)


def test_a_purge_keeps_to_its_queue_and_group(bench: EngineBench) -> None:
    bench.register(3, worker="auditor", group="audit")
    bench.enqueue("a")
    bench.enqueue("x", queue="q2")
    for message in [bench.claim_one(), bench.claim_one(3), bench.claim_one(queues=["q2"])]:
        bench.fail(message)
    assert bench.call(PurgeDead(queue="q", group="audit")).count == 1
    assert (bench.state("a"), bench.state("x")) == ("dead", "dead")
    assert bench.call(PurgeDead(queue="q")).count == 1
    assert (bench.state("a"), bench.state("x")) == ("unknown", "dead")


@pytest.mark.parametrize("request_type", [Replay, PurgeDead])
def test_an_unknown_id_refuses_all(
    bench: EngineBench, request_type: type[Replay | PurgeDead]
) -> None:
    bench.bury("a")
    with pytest.raises(UnknownMessage, match="'nobody'"):
        bench.call(request_type(ids=["a", "nobody"]))
    assert listed(bench) == ["a"]


@pytest.mark.parametrize("request_type", [Replay, PurgeDead])
def test_the_same_id_twice_counts_once(
    bench: EngineBench, request_type: type[Replay | PurgeDead]
) -> None:
    bench.bury("a")
    assert bench.call(request_type(ids=["a", "a"])).count == 1


def test_groups_have_dead_letters_of_their_own(bench: EngineBench) -> None:
    bench.register(3, worker="auditor", group="audit")
    bench.enqueue("a")
    bench.fail(bench.claim_one())
    bench.fail(bench.claim_one(3))
    assert len(listed(bench)) == 2
    assert listed(bench, group="audit") == ["a"]
    assert bench.call(Replay(ids=["a"], group="audit")).count == 1
    assert (bench.state("a", "default"), bench.state("a", "audit")) == ("dead", "ready")


def test_a_dead_letter_keeps_its_id_taken(bench: EngineBench) -> None:
    bench.bury("a")
    assert bench.enqueue("a") == ["a"]


def test_letters_with_big_errors_come_in_pages(bench: EngineBench) -> None:
    bench.enqueue(*"abc")
    error = ErrorInfo("E", "why", pickled=bytes(REPLY_BYTES // 2))
    for message in bench.claim():
        bench.settle(Fail(message.receipt, message.id, error, final=True))
    page = bench.call(ListDead())
    assert ([entry.id for entry in page.entries], page.more) == (["a", "b"], True)
