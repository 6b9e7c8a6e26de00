"""Limits: `QueueFull` at once, or waiting for room, with a deadline and in order."""

from __future__ import annotations

import pytest

from taskq import errors
from taskq.protocol.operating import Limit
from taskq.protocol.producing import Enqueue
from tests.conformance.hand import Hand
from tests.support import wait_until


def offer(hand: Hand, *names: str, wait: float = 20.0) -> Enqueue:
    request = hand.request(*names)
    request.wait = wait
    return request


def test_a_full_queue_refuses_and_keeps_what_it_has(hand: Hand) -> None:
    hand.broker.call(Limit(queue=hand.queue, max_messages=2))
    hand.enqueue("a", "b")
    with pytest.raises(errors.QueueFull, match=f"'{hand.queue}' is full"):
        hand.enqueue("c")
    assert hand.stats().ready == 2
    hand.broker.call(Limit(queue=hand.queue, max_messages=0))
    hand.enqueue("c")


def test_bytes_are_a_limit_of_their_own(hand: Hand) -> None:
    hand.broker.call(Limit(queue=hand.queue, max_bytes=10))
    hand.enqueue("a", payload=b"x" * 10)
    with pytest.raises(errors.QueueFull):
        hand.enqueue("b", payload=b"x")
    with pytest.raises(errors.PayloadTooLarge):
        hand.enqueue("b", payload=b"x" * 11)


def test_a_producer_waits_for_room(hand: Hand) -> None:
    worker = hand.consumer()
    hand.broker.call(Limit(queue=hand.queue, max_messages=1))
    hand.enqueue("a")
    first, second = hand.connect(), hand.connect()
    requests = offer(hand, "b"), offer(hand, "c")
    first.send(requests[0])
    wait_until(lambda: hand.stats().producers == 1)
    second.send(requests[1])
    wait_until(lambda: hand.stats().producers == 2)
    for name in "abc":
        (message,) = hand.claim(worker, wait=20)
        assert hand.names([message]) == [name]
        hand.ack(worker, message)
    assert first.receive(requests[0]).rest == second.receive(requests[1]).rest == 0


def test_a_producer_gives_up_after_its_time(hand: Hand) -> None:
    hand.broker.call(Limit(queue=hand.queue, max_messages=1))
    hand.enqueue("a")
    with pytest.raises(errors.QueueFull, match=r"no room within 0\.05 s"):
        hand.broker.call(offer(hand, "b", wait=0.05))
    assert (hand.stats().producers, hand.stats().ready) == (0, 1)


def test_a_producer_that_goes_leaves_nothing(hand: Hand) -> None:
    hand.broker.call(Limit(queue=hand.queue, max_messages=1))
    hand.enqueue("a")
    connection = hand.broker.connect()
    connection.send(offer(hand, "b"))
    wait_until(lambda: hand.stats().producers == 1)
    connection.close()
    wait_until(lambda: hand.stats().producers == 0)
    hand.broker.call(Limit(queue=hand.queue, max_messages=0))
    assert hand.stats().ready == 1


def test_many_calls_go_through_a_small_queue_in_order(hand: Hand) -> None:
    hand.broker.call(Limit(queue=hand.queue, max_messages=3))
    names = [str(number) for number in range(20)]
    producer, worker = hand.connect(), hand.consumer()
    request = offer(hand, *names)
    producer.send(request)
    seen = []
    while len(seen) < len(names):
        messages = hand.claim(worker, wait=20)
        assert len(messages) <= 3
        seen += hand.names(messages)
        for message in messages:
            hand.ack(worker, message)
    assert seen == names
    assert producer.receive(request).existing == []
