"""From enqueue to result."""

from __future__ import annotations

import os
from itertools import pairwise

from taskq.protocol.consuming import Settle
from taskq.protocol.producing import Wait
from taskq.protocol.values import Ack
from tests.conformance.hand import Hand


def test_enqueue_claim_ack_wait(hand: Hand) -> None:
    hand.enqueue("a", payload=b"\x00\xffcall")
    worker = hand.consumer()
    (message,) = hand.claim(worker)
    assert (message.queue, message.task, message.payload, message.attempt) == (
        hand.queue,
        "t",
        b"\x00\xffcall",
        1,
    )
    assert hand.ack(worker, message, b"42\x00") == []
    end = hand.end("a")
    assert (end.state, end.value, end.error) == ("succeeded", b"42\x00", None)


def test_order_is_by_priority_then_first_in_first_out(hand: Hand) -> None:
    hand.enqueue("low", priority=3)
    hand.enqueue("b1", "b2")
    hand.enqueue("critical", priority=0)
    hand.enqueue("b3")
    claimed = hand.claim(hand.consumer())
    assert hand.names(claimed) == ["critical", "b1", "b2", "b3", "low"]
    assert all(one.receipt < next.receipt for one, next in pairwise(claimed))


def test_the_same_id_is_one_message(hand: Hand) -> None:
    assert hand.enqueue("a", payload=b"first") == []
    assert hand.enqueue("a", "b", payload=b"second") == [hand.id("a")]
    assert [message.payload for message in hand.claim(hand.consumer())] == [b"first", b"second"]


def test_ten_thousand_in_one_request(hand: Hand) -> None:
    all_names = [f"{n:05}" for n in range(10_000)]
    hand.enqueue(*all_names)
    worker = hand.consumer()
    seen: list[str] = []
    while messages := hand.claim(worker, 1000):
        seen += hand.names(messages)
        worker.call(Settle(outcomes=[Ack(m.receipt, m.id, b"r") for m in messages]))
    assert seen == all_names
    assert hand.stats().succeeded == 10_000


def test_big_payloads_and_results(hand: Hand) -> None:
    payload = os.urandom(3 * 2**20)
    hand.enqueue("a", payload=payload)
    worker = hand.consumer()
    (message,) = hand.claim(worker)
    assert message.payload == payload
    hand.ack(worker, message, payload[::-1])
    assert hand.end("a").value == payload[::-1]


def test_many_big_results_come_over_several_answers(hand: Hand) -> None:
    worker = hand.consumer()
    hand.enqueue(*"abcdef")
    for message in hand.claim(worker):
        hand.ack(worker, message, bytes(3 * 2**20))
    seen: list[str] = []
    add = [hand.id(name) for name in "abcdef"]
    while len(seen) < 6:
        reply = hand.broker.call(Wait(watch=1, add=add, wait=20))
        add = []
        seen += [end.id for end in reply.finished if len(end.value or b"") == 3 * 2**20]
        assert reply.pending == 6 - len(seen)
    assert len(set(seen)) == 6
