"""Enqueue: one and many, the same id again, and what is refused."""

from __future__ import annotations

from math import inf, nan

import pytest

from taskq.engine import producing
from taskq.errors import PayloadTooLarge, TaskqError
from taskq.protocol.base import Failed
from taskq.protocol.operating import GetStats
from taskq.protocol.producing import Cancel, Enqueue
from taskq.protocol.values import MAX_ID, Ack, Call, Options
from tests.kit.engine import EngineBench, ids
from tests.kit.messages import naming


@pytest.fixture
def bench() -> EngineBench:
    bench = EngineBench()
    bench.register()
    return bench


def test_many_in_one_request_keep_their_order(bench: EngineBench) -> None:
    names = [f"{n:04}" for n in range(2000)]
    assert bench.enqueue(*names) == []
    assert ids(bench.claim(2000)) + ids(bench.claim(2000)) == names


def test_none_is_fine(bench: EngineBench) -> None:
    assert bench.enqueue() == []


def test_a_known_id_is_left_as_it_is(bench: EngineBench) -> None:
    bench.enqueue("a", payload=b"first")
    assert bench.enqueue("a", "b", payload=b"second") == ["a"]
    assert [message.payload for message in bench.claim()] == [b"first", b"second"]
    assert bench.call(GetStats()).broker.acknowledged == 2


@pytest.mark.parametrize("state", ["scheduled", "leased", "dead", "succeeded", "cancelled"])
def test_an_id_is_known_in_every_state(bench: EngineBench, state: str) -> None:
    bench.enqueue("a", delay=5 if state == "scheduled" else 0)
    if state not in ("scheduled", "cancelled"):
        message = bench.claim_one()
        if state == "dead":
            bench.fail(message)
        elif state == "succeeded":
            bench.ack(message)
    elif state == "cancelled":
        bench.call(Cancel(ids=["a"]))
    assert bench.state("a") == state
    assert bench.enqueue("a") == ["a"]
    assert bench.state("a") == state


def test_the_same_id_twice_in_one_request(bench: EngineBench) -> None:
    assert bench.enqueue("a", "a") == ["a"]
    assert ids(bench.claim()) == ["a"]


def test_an_id_is_one_message_in_all_queues(bench: EngineBench) -> None:
    bench.enqueue("a")
    assert bench.enqueue("a", queue="other") == ["a"]


@pytest.mark.parametrize("name", ["queue", "task"])
def test_names_must_not_be_empty(bench: EngineBench, name: str) -> None:
    with pytest.raises(TaskqError, match="name"):
        bench.enqueue("a", **{name: ""})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("option", "bad"),
    [
        ("priority", -1),
        ("priority", 4),
        ("lease", 0.0),
        ("lease", -1.0),
        ("lease", nan),
        ("result_ttl", -1.0),
        ("result_ttl", nan),
        ("delay", inf),
        ("delay", nan),
        ("eta_at", inf),
        ("eta_at", nan),
        ("expires_at", inf),
        ("expires_at", nan),
    ],
)
def test_numbers_that_would_stop_the_clock_are_refused(
    bench: EngineBench, option: str, bad: float
) -> None:
    with pytest.raises(TaskqError, match=option):
        bench.enqueue("a", **{option: bad})  # type: ignore[arg-type]
    assert bench.state("a") == "unknown"
    assert bench.engine.next_deadline() is None


def test_54_a_payload_over_the_limit_refuses_the_whole_request(
    bench: EngineBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(producing, "MAX_PAYLOAD", 10)
    bench.enqueue("exact", payload=b"x" * 10)
    calls = [Call("small", b""), Call("big", b"x" * 11)]
    with pytest.raises(PayloadTooLarge, match="big"):
        bench.call(Enqueue(queue="q", task="t", options=Options(), calls=calls))
    assert ids(bench.claim()) == ["exact"]


def test_an_id_over_the_limit_refuses_the_whole_request(bench: EngineBench) -> None:
    exact = "€" * MAX_ID
    bench.enqueue(exact)
    with pytest.raises(TaskqError, match=naming("id", "1,001 characters", "1,000")):
        bench.enqueue("small", "x" * (MAX_ID + 1))
    assert ids(bench.claim()) == [exact]


def test_calls_of_one_task_share_their_options_in_memory(bench: EngineBench) -> None:
    bench.enqueue("a", retries=3)
    bench.enqueue("b", retries=3)
    messages = bench.engine.ledger.messages
    assert messages["a"].spec is messages["b"].spec


def test_options_of_tasks_that_are_gone_do_not_pile_up(bench: EngineBench) -> None:
    for n in range(3000):
        bench.enqueue(f"{n}", task=f"task{n}")
        bench.ack(bench.claim_one())
    assert len(bench.engine.ledger.specs) < 1100


def test_options_in_use_are_kept_however_many_there_are(
    bench: EngineBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskq.engine.specs.IDLE", 0)
    bench.enqueue("a", "b")
    for message in bench.claim():
        assert len(bench.engine.ledger.specs) == 1
        bench.ack(message)
    assert not len(bench.engine.ledger.specs)


def test_a_refusal_carries_the_request_id(bench: EngineBench) -> None:
    rid = bench.apply(Enqueue(queue="", task="t", options=Options(), calls=[]))
    bench.tick()
    reply = bench.answer(rid)
    assert (type(reply), reply.error) == (Failed, "TaskqError")


class CountedId(str):
    """An id that counts how often it is compared."""

    compared = 0

    def __eq__(self, other: object) -> bool:
        CountedId.compared += 1
        return str.__eq__(self, other)

    __hash__ = str.__hash__


def test_a_repeated_request_is_not_compared_with_all_results(bench: EngineBench) -> None:
    many = [f"id{number}" for number in range(300)]
    bench.enqueue(*many)
    bench.settle(*(Ack(each.receipt, each.id, None) for each in bench.claim(len(many))))
    CountedId.compared = 0
    calls = [Call(CountedId(id), b"payload") for id in many]
    request = Enqueue(queue="q", task="t", options=Options(), calls=calls)
    assert bench.call(request).existing == many
    assert CountedId.compared < 20 * len(many)
