"""How a connection behaves: errors by name, pipelines, descriptors, threads."""

from __future__ import annotations

import select

import pytest

from taskq import errors
from taskq.backends.port import Broker
from taskq.protocol.base import Reply, Request
from taskq.protocol.consuming import Claim, Extend, Report, Settle
from taskq.protocol.operating import Control, Peek, Ping, Replay
from taskq.protocol.producing import Cancel, Enqueue, Inspect
from taskq.protocol.values import Ack, Options, Progress
from taskq.worker.runtime.in_flight import InFlight
from taskq.worker.runtime.retrying import RetryingConnection
from taskq.worker.runtime.settling import settle_outcomes
from tests.kit.port import PortBench
from tests.kit.waiting import wait_until


@pytest.mark.parametrize(
    ("request_", "error"),
    [
        (Inspect(id="nobody"), errors.UnknownMessage),
        (Cancel(ids=["nobody"]), errors.UnknownMessage),
        (Replay(ids=["nobody"]), errors.UnknownMessage),
        (Claim(queues=["q"], n=1, wait=0), errors.UnknownConsumer),
        (Extend(receipt=10**15, id="no", seconds=1), errors.LeaseLost),
        (Report(receipt=10**15, id="no", progress=Progress(1)), errors.LeaseLost),
        (Control(queue="nowhere", action="pause"), errors.TaskqError),
        (Peek(queue="nowhere"), errors.TaskqError),
        (Enqueue(queue="", task="t", options=Options(), calls=[]), errors.TaskqError),
        (Enqueue(queue="q", task="t", options=Options(priority=9), calls=[]), errors.TaskqError),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Request) else None,
)
def test_a_refusal_raises_the_error_that_it_names(
    broker: Broker, request_: Request[Reply], error: type[Exception]
) -> None:
    with pytest.raises(error) as caught:
        broker.call(request_)
    assert type(caught.value) is error
    assert str(caught.value)
    assert broker.call(Ping()).pid  # the conversation goes on


def test_ping(broker: Broker) -> None:
    pong = broker.call(Ping())
    assert (pong.durability.kind in ("fsync", "none"), pong.uptime >= 0) == (True, True)
    assert pong.version


def test_a_broker_has_a_key_and_a_limit(broker: Broker) -> None:
    assert len(broker.payload_key) >= 32
    assert broker.max_payload > 2**20
    assert broker.url


def test_a_turn_settles_and_claims(bench: PortBench) -> None:
    worker = bench.consumer()
    bench.enqueue(*"abc")
    (message,) = bench.claim(worker, 1)
    seen = []
    while message:
        seen.append(message.id)
        claim = bench.claiming(1)
        assert worker.turn([Ack(message.receipt, message.id, b"")], claim) == []
        message = next(iter(worker.receive(claim).messages), None)
    assert seen == [bench.id(name) for name in "abc"]


def test_a_parked_turn_wakes_its_descriptor(bench: PortBench) -> None:
    worker = bench.consumer()
    bench.enqueue("a")
    (message,) = bench.claim(worker)
    park = bench.claiming(wait=30)
    assert worker.turn([Ack(message.receipt, message.id, b"")], park) == []
    assert not worker.arrived(park)
    assert not select.select([worker.fileno()], [], [], 0)[0]
    bench.aside(lambda: bench.enqueue("b"))
    assert wait_until(lambda: worker.arrived(park) or _readable(worker.fileno()))
    assert bench.names(worker.receive(park).messages) == ["b"]


def test_outcomes_that_do_not_fit_into_a_frame_together_are_settled(bench: PortBench) -> None:
    worker = bench.consumer()
    bench.enqueue(*"abc")
    messages = bench.claim(worker)
    sizes = [8 * 2**20 - 1, 62 * 2**20, 10]
    outcomes = [Ack(m.receipt, m.id, bytes(size)) for m, size in zip(messages, sizes, strict=True)]
    registration = bench.registration()
    registration.holding = [message.receipt for message in messages]
    link = RetryingConnection(bench.broker, lambda: registration, lambda seconds: True, 30.0)
    settle_outcomes(link, InFlight(), outcomes, claim := bench.claiming(1))
    assert link.attempt(lambda connection: connection.receive(claim)).messages == []
    link.close()
    assert [len(bench.end(name).value or b"") for name in "abc"] == sizes


def _readable(descriptor: int) -> bool:
    return bool(select.select([descriptor], [], [], 0)[0])


def test_calls_go_on_while_a_request_is_parked(bench: PortBench) -> None:
    worker = bench.consumer()
    park = bench.claiming(wait=30)
    worker.send(park)
    for n in range(20):
        assert worker.call(Ping()).pid
        assert worker.call(bench.request(f"{n}", delay=1000)).existing == []
    worker.call(bench.request("now"))
    assert bench.names(worker.receive(park).messages) == ["now"]


def test_another_claim_withdraws_the_parked_one(bench: PortBench) -> None:
    worker = bench.consumer()
    park = bench.claiming(wait=30)
    worker.send(park)
    assert worker.call(Claim(queues=[], n=0, wait=0.0)).messages == []
    bench.enqueue("a")
    assert worker.arrived(park)
    assert worker.receive(park).messages == []
    assert bench.state("a") == "ready"


def test_a_closed_connection_takes_its_parked_claim_along(bench: PortBench) -> None:
    gone, there = bench.consumer("gone"), bench.consumer("there")
    gone.send(bench.claiming(wait=30))
    gone.call(Ping())
    gone.close()
    park = bench.claiming(wait=30)
    there.send(park)
    wait_until(lambda: bench.stats().consumers == 1)
    bench.enqueue("a")
    assert bench.names(there.receive(park).messages) == ["a"]


def test_a_closed_connection_refuses_calls(bench: PortBench) -> None:
    connection = bench.connect()
    connection.close()
    connection.close()
    with pytest.raises(errors.BrokerUnavailable):
        connection.call(Ping())


def test_a_call_that_takes_too_long_is_a_broker_timeout(bench: PortBench) -> None:
    worker = bench.consumer()
    with pytest.raises(errors.BrokerTimeout):
        worker.call(bench.claiming(wait=30), timeout=0.05)


def test_many_threads_at_once(bench: PortBench) -> None:
    threads = [
        bench.aside(lambda t=t: [bench.enqueue(f"{t}-{n}") for n in range(25)])  # type: ignore[misc]
        for t in range(8)
    ]
    worker = bench.consumer()
    seen: set[str] = set()
    while len(seen) < 200:
        messages = bench.claim(worker, wait=20)
        assert messages
        worker.call(Settle(outcomes=[Ack(m.receipt, m.id, b"") for m in messages]))
        assert not seen & {m.id for m in messages}
        seen |= {m.id for m in messages}
    for thread in threads:
        thread.join(20)
    assert bench.stats().succeeded == 200


def test_two_consumers_never_get_the_same_message(bench: PortBench) -> None:
    seen: list[str] = []

    def work(name: str) -> None:
        worker = bench.consumer(name)
        while messages := bench.claim(worker, 7, wait=0.3):
            worker.call(Settle(outcomes=[Ack(m.receipt, m.id, b"") for m in messages]))
            seen.extend(m.id for m in messages)

    threads = [bench.aside(lambda n=n: work(f"c{n}")) for n in range(3)]  # type: ignore[misc]
    bench.enqueue(*[f"{n}" for n in range(300)])
    for thread in threads:
        thread.join(30)
    assert len(seen) == len(set(seen)) == 300
