"""Ids: one belongs to the first group, and is free once that one has forgotten it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from taskq.engine.capacity import Capacity
from taskq.errors import UnknownMessage
from taskq.journal.sqlite import SqliteJournal
from taskq.protocol.operating import Control, GetStats, ListDead, PurgeDead, Replay
from taskq.protocol.producing import Cancel
from taskq.protocol.values import Ack
from tests.kit.engine import WORKER, EngineBench, ids
from tests.kit.snapshot import snapshot

AUDIT = 3


@pytest.fixture
def bench() -> Iterator[EngineBench]:
    journal = SqliteJournal(":memory:", "os")
    bench = EngineBench(journal=journal)
    bench.register()
    bench.register(AUDIT, worker="auditor", group="audit")
    yield bench
    journal.close()


def superseded(bench: EngineBench) -> None:
    """`default` purges a message that `audit` still has; its id is given to another one."""
    bench.enqueue("a", payload=b"first")
    bench.call(Control(queue="q", group="default", action="purge"))
    assert bench.enqueue("a", payload=b"second") == []


def test_an_id_is_known_while_the_result_is_kept(bench: EngineBench) -> None:
    bench.enqueue("a", result_ttl=100)
    bench.ack(bench.claim_one())
    bench.after(99)
    assert bench.enqueue("a") == ["a"]


def test_an_id_is_free_when_the_result_has_expired(bench: EngineBench) -> None:
    bench.enqueue("a", result_ttl=100)
    bench.ack(bench.claim_one())
    bench.after(100)
    assert bench.enqueue("a") == []
    bench.ack(bench.claim_one(), b"again")
    assert bench.end("a").value == b"again"


def test_an_id_is_free_after_a_purge(bench: EngineBench) -> None:
    superseded(bench)
    assert bench.state("a") == "ready"
    assert [message.payload for message in bench.claim()] == [b"second"]


def test_a_dead_letter_of_the_first_group_keeps_its_id(bench: EngineBench) -> None:
    bench.bury("a")
    bench.after(10_000)
    assert bench.enqueue("a") == ["a"]


def test_other_groups_are_given_both_messages(bench: EngineBench) -> None:
    superseded(bench)
    first, second = bench.claim(session=AUDIT)
    assert (first.payload, second.payload) == (b"first", b"second")
    assert bench.settle(Ack(first.receipt, "a", b""), Ack(second.receipt, "a", b"")) == []
    assert bench.stats(group="audit").succeeded == 2
    assert bench.state("a") == "ready"


def test_an_outcome_of_the_older_message_may_come_twice(bench: EngineBench) -> None:
    bench.register(4, worker="late", group="late")
    superseded(bench)
    message = bench.claim_one(AUDIT)
    assert bench.ack(message) == []
    assert bench.ack(message) == []


@pytest.mark.parametrize("order", [1, -1])
def test_nothing_is_left_when_both_have_ended(bench: EngineBench, order: int) -> None:
    superseded(bench)
    bench.ack(bench.claim_one())
    for message in bench.claim(session=AUDIT)[::order]:
        bench.ack(message)
    ledger = bench.engine.ledger
    assert (ledger.message_count, ledger.bytes, ledger.named("a")) == (0, 0, [])


def test_the_result_of_the_newer_message_is_shown(bench: EngineBench) -> None:
    superseded(bench)
    bench.ack(bench.claim_one(), b"value")
    _, second = bench.claim(session=AUDIT)
    bench.ack(second)
    (job,) = bench.jobs("a")
    assert (job.group, job.state) == ("default", "succeeded")


def test_what_is_left_of_an_older_message_is_shown_when_nothing_else_is(bench: EngineBench) -> None:
    superseded(bench)
    bench.ack(bench.claim_one())
    bench.ack(bench.claim(session=AUDIT)[1])
    bench.after(10_000)
    assert bench.state("a", "audit") in ("ready", "leased")
    assert bench.enqueue("a", payload=b"third") == []
    assert bench.claim_one().payload == b"third"


def test_cancelling_reaches_the_newest_message_only(bench: EngineBench) -> None:
    superseded(bench)
    assert bench.call(Cancel(ids=["a"])).cancelled == ["a"]
    assert [message.payload for message in bench.claim(session=AUDIT)] == [b"first"]


def test_cancelling_what_has_ended_spares_the_older_message(bench: EngineBench) -> None:
    superseded(bench)
    bench.ack(bench.claim_one())
    bench.ack(bench.claim(session=AUDIT)[1])
    reply = bench.call(Cancel(ids=["a"]))
    assert (reply.cancelled, reply.asked) == ([], [])


def dead_twice(bench: EngineBench) -> None:
    """Both messages of one id are dead letters of `audit`, one second apart."""
    superseded(bench)
    for message in bench.claim(session=AUDIT):
        bench.fail(message, final=True)
        bench.after(1)


def test_two_dead_letters_of_one_id_are_listed(bench: EngineBench) -> None:
    dead_twice(bench)
    for request in (ListDead(), ListDead(id="a")):
        entries = bench.call(request).entries
        assert [entry.payload for entry in entries] == [b"first", b"second"]
    first = bench.call(ListDead(limit=1)).entries[0]
    after = ListDead(since=first.last_failed_at, after="a", after_group="audit")
    assert [entry.payload for entry in bench.call(after).entries] == [b"second"]


def test_two_dead_letters_of_one_id_are_replayed(bench: EngineBench) -> None:
    dead_twice(bench)
    assert bench.call(Replay(ids=["a"], group="audit")).count == 2
    assert ids(bench.claim(session=AUDIT)) == ["a", "a"]


def test_two_dead_letters_of_one_id_are_purged(bench: EngineBench) -> None:
    dead_twice(bench)
    with pytest.raises(UnknownMessage):
        bench.call(PurgeDead(ids=["a"], group="default"))
    assert bench.call(PurgeDead(ids=["a"])).count == 2
    assert bench.stats(group="audit").dead == 0
    assert bench.state("a") == "ready"


def test_both_messages_count_for_the_limit_of_the_broker(bench: EngineBench) -> None:
    superseded(bench)
    assert bench.call(GetStats()).broker.messages == 2
    assert bench.engine.ledger.bytes == len(b"firstsecond")
    bench.capacity = Capacity(messages=2)
    bench.restart()
    with pytest.raises(Exception, match="it holds 2 messages"):
        bench.enqueue("b")


def test_both_messages_are_there_after_a_restart(bench: EngineBench) -> None:
    dead_twice(bench)
    assert snapshot(bench.reload()) == snapshot(bench.engine)
    bench.restart()
    bench.register()
    assert bench.claim_one(WORKER).payload == b"second"
    assert [entry.payload for entry in bench.call(ListDead(id="a")).entries] == [
        b"first",
        b"second",
    ]


def test_a_new_group_is_given_the_older_message_too(bench: EngineBench) -> None:
    superseded(bench)
    bench.register(4, worker="late", group="late")
    assert [each.payload for each in bench.claim(session=4)] == [b"first", b"second"]


def test_dropping_the_idle_group_leaves_the_newer_message(bench: EngineBench) -> None:
    superseded(bench)
    bench.disconnect(AUDIT)
    assert bench.call(Control(queue="q", group="audit", action="drop")).count == 2
    assert bench.engine.ledger.message_count == 1
    assert bench.claim_one().payload == b"second"
