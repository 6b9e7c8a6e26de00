"""Limits: `QueueFull` at once, or waiting for room, with a deadline and in order."""

from __future__ import annotations

import pytest

from taskq import errors
from taskq.protocol.operating import Limit
from taskq.protocol.producing import Enqueue
from tests.kit.port import PortBench
from tests.kit.waiting import wait_until


def offer(bench: PortBench, *names: str, wait: float = 20.0) -> Enqueue:
    request = bench.request(*names)
    request.wait = wait
    return request


def test_a_full_queue_refuses_and_keeps_what_it_has(bench: PortBench) -> None:
    bench.broker.call(Limit(queue=bench.queue, max_messages=2))
    bench.enqueue("a", "b")
    with pytest.raises(errors.QueueFull, match=f"'{bench.queue}' is full"):
        bench.enqueue("c")
    assert bench.stats().ready == 2
    bench.broker.call(Limit(queue=bench.queue, max_messages=0))
    bench.enqueue("c")


def test_bytes_are_a_limit_of_their_own(bench: PortBench) -> None:
    bench.broker.call(Limit(queue=bench.queue, max_bytes=10))
    bench.enqueue("a", payload=b"x" * 10)
    with pytest.raises(errors.QueueFull):
        bench.enqueue("b", payload=b"x")
    with pytest.raises(errors.PayloadTooLarge):
        bench.enqueue("b", payload=b"x" * 11)


def test_a_producer_waits_for_room(bench: PortBench) -> None:
    worker = bench.consumer()
    bench.broker.call(Limit(queue=bench.queue, max_messages=1))
    bench.enqueue("a")
    first, second = bench.connect(), bench.connect()
    requests = offer(bench, "b"), offer(bench, "c")
    first.send(requests[0])
    wait_until(lambda: bench.stats().producers == 1)
    second.send(requests[1])
    wait_until(lambda: bench.stats().producers == 2)
    for name in "abc":
        (message,) = bench.claim(worker, wait=20)
        assert bench.names([message]) == [name]
        bench.ack(worker, message)
    assert first.receive(requests[0]).rest == second.receive(requests[1]).rest == 0


def test_a_producer_gives_up_after_its_time(bench: PortBench) -> None:
    bench.broker.call(Limit(queue=bench.queue, max_messages=1))
    bench.enqueue("a")
    with pytest.raises(errors.QueueFull, match=r"no room within 0\.05 s"):
        bench.broker.call(offer(bench, "b", wait=0.05))
    assert (bench.stats().producers, bench.stats().ready) == (0, 1)


def test_a_producer_that_goes_leaves_nothing(bench: PortBench) -> None:
    bench.broker.call(Limit(queue=bench.queue, max_messages=1))
    bench.enqueue("a")
    connection = bench.broker.connect()
    connection.send(offer(bench, "b"))
    wait_until(lambda: bench.stats().producers == 1)
    connection.close()
    wait_until(lambda: bench.stats().producers == 0)
    bench.broker.call(Limit(queue=bench.queue, max_messages=0))
    assert bench.stats().ready == 1


def test_many_calls_go_through_a_small_queue_in_order(bench: PortBench) -> None:
    bench.broker.call(Limit(queue=bench.queue, max_messages=3))
    names = [str(number) for number in range(20)]
    producer, worker = bench.connect(), bench.consumer()
    request = offer(bench, *names)
    producer.send(request)
    seen = []
    while len(seen) < len(names):
        messages = bench.claim(worker, wait=20)
        assert len(messages) <= 3
        seen += bench.names(messages)
        for message in messages:
            bench.ack(worker, message)
    assert seen == names
    assert producer.receive(request).existing == []
