"""Parked claims and waits, answered from another thread or by the clock."""

from __future__ import annotations

from taskq.protocol.operating import GetStats
from taskq.protocol.producing import Unwatch, Wait
from tests.kit.port import PortBench


def test_a_parked_claim_gets_what_another_thread_enqueues(bench: PortBench) -> None:
    worker = bench.consumer()
    park = bench.claiming(wait=30)
    worker.send(park)
    assert not worker.arrived(park)
    bench.aside(lambda: bench.enqueue("a"))
    assert bench.names(worker.receive(park).messages) == ["a"]


def test_a_parked_claim_gets_what_falls_due(bench: PortBench) -> None:
    worker = bench.consumer()
    claim = bench.claiming(wait=20)
    worker.send(claim)
    bench.enqueue("later", delay=3600)
    bench.enqueue("a", delay=0.05)
    assert bench.state("later") == "scheduled"
    assert bench.names(worker.receive(claim).messages) == ["a"]
    assert bench.claim(worker) == []


def test_an_eta_is_never_early(bench: PortBench) -> None:
    eta = bench.broker.call(GetStats()).broker.now + 0.1
    bench.enqueue("a", eta_at=eta)
    assert bench.names(bench.claim(bench.consumer(), wait=20)) == ["a"]
    assert bench.broker.call(GetStats()).broker.now >= eta


def test_a_claim_that_finds_nothing_says_so_in_time(bench: PortBench) -> None:
    worker = bench.consumer()
    reply = worker.call(bench.claiming(wait=0.05))
    assert (reply.messages, reply.drained) == ([], True)
    bench.enqueue("a", delay=1000)
    assert not worker.call(bench.claiming()).drained


def test_a_wait_is_answered_by_a_worker_in_another_thread(bench: PortBench) -> None:
    bench.enqueue("a", "b")

    def work() -> None:
        worker = bench.consumer()
        for message in bench.claim(worker):
            bench.ack(worker, message, message.id.encode())

    bench.aside(work)
    add = [bench.id("a"), bench.id("b")]
    seen: dict[str, bytes | None] = {}
    while len(seen) < 2:
        reply = bench.broker.call(Wait(watch=1, add=add, wait=20))
        seen |= {end.id: end.value for end in reply.finished}
        add = []
    assert seen == {id: id.encode() for id in (bench.id("a"), bench.id("b"))}


def test_a_wait_that_runs_out_reports_the_unconsumed_queue(bench: PortBench) -> None:
    bench.enqueue("a")
    reply = bench.broker.call(Wait(watch=1, add=[bench.id("a")], wait=0.05))
    assert (reply.finished, reply.pending, reply.unconsumed) == ([], 1, [bench.queue])
    bench.broker.call(Unwatch(watch=1))


def test_a_wait_whose_watch_is_removed_is_answered(bench: PortBench) -> None:
    bench.enqueue("a")
    connection = bench.connect()
    request = Wait(watch=1, add=[bench.id("a")], wait=3600)
    connection.send(request)
    connection.call(Unwatch(watch=1))
    assert connection.arrived(request)
    assert connection.receive(request).finished == []


def test_a_wait_for_an_unknown_id(bench: PortBench) -> None:
    assert bench.end("never").state == "unknown"


def test_each_thread_has_watches_of_its_own(bench: PortBench) -> None:
    bench.enqueue("a")
    seen: list[str] = []
    threads = [bench.aside(lambda: seen.append(bench.end("a").state)) for _ in range(4)]
    worker = bench.consumer()
    (message,) = bench.claim(worker, wait=20)
    bench.ack(worker, message)
    for thread in threads:
        thread.join(20)
    assert seen == ["succeeded"] * 4
