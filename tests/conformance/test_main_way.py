"""From enqueue to result."""

from __future__ import annotations

import os
from itertools import pairwise

from taskq.protocol.consuming import Settle
from taskq.protocol.producing import Wait
from taskq.protocol.values import Ack
from tests.kit.port import PortBench


def test_enqueue_claim_ack_wait(bench: PortBench) -> None:
    bench.enqueue("a", payload=b"\x00\xffcall")
    worker = bench.consumer()
    (message,) = bench.claim(worker)
    assert (message.queue, message.task, message.payload, message.attempt) == (
        bench.queue,
        "t",
        b"\x00\xffcall",
        1,
    )
    assert bench.ack(worker, message, b"42\x00") == []
    end = bench.end("a")
    assert (end.state, end.value, end.error) == ("succeeded", b"42\x00", None)


def test_order_is_by_priority_then_first_in_first_out(bench: PortBench) -> None:
    bench.enqueue("low", priority=3)
    bench.enqueue("b1", "b2")
    bench.enqueue("critical", priority=0)
    bench.enqueue("b3")
    claimed = bench.claim(bench.consumer())
    assert bench.names(claimed) == ["critical", "b1", "b2", "b3", "low"]
    assert all(one.receipt < next.receipt for one, next in pairwise(claimed))


def test_the_same_id_is_one_message(bench: PortBench) -> None:
    assert bench.enqueue("a", payload=b"first") == []
    assert bench.enqueue("a", "b", payload=b"second") == [bench.id("a")]
    assert [message.payload for message in bench.claim(bench.consumer())] == [b"first", b"second"]


def test_ten_thousand_in_one_request(bench: PortBench) -> None:
    all_names = [f"{n:05}" for n in range(10_000)]
    bench.enqueue(*all_names)
    worker = bench.consumer()
    seen: list[str] = []
    while messages := bench.claim(worker, 1000):
        seen += bench.names(messages)
        worker.call(Settle(outcomes=[Ack(m.receipt, m.id, b"r") for m in messages]))
    assert seen == all_names
    assert bench.stats().succeeded == 10_000


def test_big_payloads_and_results(bench: PortBench) -> None:
    payload = os.urandom(3 * 2**20)
    bench.enqueue("a", payload=payload)
    worker = bench.consumer()
    (message,) = bench.claim(worker)
    assert message.payload == payload
    bench.ack(worker, message, payload[::-1])
    assert bench.end("a").value == payload[::-1]


def test_many_big_results_come_over_several_answers(bench: PortBench) -> None:
    worker = bench.consumer()
    bench.enqueue(*"abcdef")
    for message in bench.claim(worker):
        bench.ack(worker, message, bytes(3 * 2**20))
    seen: list[str] = []
    add = [bench.id(name) for name in "abcdef"]
    while len(seen) < 6:
        reply = bench.broker.call(Wait(watch=1, add=add, wait=20))
        add = []
        seen += [end.id for end in reply.finished if len(end.value or b"") == 3 * 2**20]
        assert reply.pending == 6 - len(seen)
    assert len(set(seen)) == 6
