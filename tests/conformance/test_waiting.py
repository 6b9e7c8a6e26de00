"""Parked claims and waits, answered from another thread or by the clock."""

from __future__ import annotations

from taskq.protocol.operating import GetStats
from taskq.protocol.producing import Unwatch, Wait
from tests.conformance.hand import Hand


def test_a_parked_claim_gets_what_another_thread_enqueues(hand: Hand) -> None:
    worker = hand.consumer()
    park = hand.claiming(wait=30)
    worker.send(park)
    assert not worker.arrived(park)
    hand.aside(lambda: hand.enqueue("a"))
    assert hand.names(worker.receive(park).messages) == ["a"]


def test_a_parked_claim_gets_what_falls_due(hand: Hand) -> None:
    hand.enqueue("a", delay=0.05)
    assert hand.state("a") == "scheduled"
    worker = hand.consumer()
    assert hand.claim(worker) == []
    assert hand.names(hand.claim(worker, wait=20)) == ["a"]


def test_an_eta_is_never_early(hand: Hand) -> None:
    eta = hand.broker.call(GetStats()).broker.now + 0.1
    hand.enqueue("a", eta_at=eta)
    assert hand.names(hand.claim(hand.consumer(), wait=20)) == ["a"]
    assert hand.broker.call(GetStats()).broker.now >= eta


def test_a_claim_that_finds_nothing_says_so_in_time(hand: Hand) -> None:
    worker = hand.consumer()
    reply = worker.call(hand.claiming(wait=0.05))
    assert (reply.messages, reply.drained) == ([], True)
    hand.enqueue("a", delay=1000)
    assert not worker.call(hand.claiming()).drained


def test_a_wait_is_answered_by_a_worker_in_another_thread(hand: Hand) -> None:
    hand.enqueue("a", "b")

    def work() -> None:
        worker = hand.consumer()
        for message in hand.claim(worker):
            hand.ack(worker, message, message.id.encode())

    hand.aside(work)
    add = [hand.id("a"), hand.id("b")]
    seen: dict[str, bytes | None] = {}
    while len(seen) < 2:
        reply = hand.broker.call(Wait(watch=1, add=add, wait=20))
        seen |= {end.id: end.value for end in reply.finished}
        add = []
    assert seen == {id: id.encode() for id in (hand.id("a"), hand.id("b"))}


def test_a_wait_that_runs_out_tells_of_the_unconsumed_queue(hand: Hand) -> None:
    hand.enqueue("a")
    reply = hand.broker.call(Wait(watch=1, add=[hand.id("a")], wait=0.05))
    assert (reply.finished, reply.pending, reply.unconsumed) == ([], 1, [hand.queue])
    hand.broker.call(Unwatch(watch=1))


def test_a_wait_for_an_unknown_id(hand: Hand) -> None:
    assert hand.end("never").state == "unknown"


def test_each_thread_has_watches_of_its_own(hand: Hand) -> None:
    hand.enqueue("a")
    seen: list[str] = []
    threads = [hand.aside(lambda: seen.append(hand.end("a").state)) for _ in range(4)]
    worker = hand.consumer()
    (message,) = hand.claim(worker, wait=20)
    hand.ack(worker, message)
    for thread in threads:
        thread.join(20)
    assert seen == ["succeeded"] * 4
