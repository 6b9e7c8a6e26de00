"""The loop, one tick at a time, with real sockets and a clock that the test moves."""

from __future__ import annotations

import errno
import pickle
import socket
import struct
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from taskq.broker.host import Host
from taskq.broker.limits import Limits
from taskq.broker.loop import Loop
from taskq.engine.changes import Changes
from taskq.engine.engine import Engine
from taskq.errors import JournalError
from taskq.journal.none import NoJournal
from taskq.protocol import frames as wire
from taskq.protocol.base import Failed, Reply, Request
from taskq.protocol.consuming import Claim, Claimed, Heartbeat, Register, Registered
from taskq.protocol.operating import Peek, Ping, Pong
from taskq.protocol.producing import Enqueue, Enqueued, Wait, Waited
from taskq.protocol.values import Call, Options, WorkerInfo
from taskq.transport import address
from taskq.transport.handshake import BUSY, ClientHandshake
from tests.kit.clock import ManualClock

KEY = b"k" * 64


class RecordingJournal(NoJournal):
    """Counts commits, and fails when told to."""

    def __init__(self) -> None:
        self.commits = 0
        self.failing = False

    def commit(self, changes: Changes) -> None:
        if self.failing:
            raise JournalError("the disk is gone")
        self.commits += 1
        super().commit(changes)


class LoopBench:
    """A loop, and clients for it."""

    def __init__(self, limits: Limits | None = None, idle_exit: float | None = None) -> None:
        self.clock: Any = ManualClock()
        self.engine = Engine()
        self.journal = RecordingJournal()
        self.host = Host(self.engine, self.journal, self.clock)
        self.folder = tempfile.TemporaryDirectory(prefix="tq")
        self.path = str(Path(self.folder.name) / "sock")
        self.listener = address.listen(self.path)
        self.loop = Loop(self.listener, self.host, KEY, "bench", limits, idle_exit)
        self.clients: list[Client] = []

    def ticks(self, count: int = 1) -> None:
        for _ in range(count):
            self.loop.tick(0)

    def unauthenticated(self) -> Client:
        client = Client(self.path)
        self.clients.append(client)
        return client

    def client(self) -> Client:
        client = self.unauthenticated()
        handshake = ClientHandshake(KEY, "bench")
        message = handshake.hello()
        while not handshake.done:
            client.sock.sendall(wire.frame(message))
            self.ticks(2)
            (body,) = client.bodies()
            message = handshake.receive(body)
        return client

    def close(self) -> None:
        for client in self.clients:
            client.sock.close()
        self.loop.close()
        self.listener.close()
        self.folder.cleanup()


class Client:
    """The other end, which never blocks."""

    def __init__(self, path: str) -> None:
        self.sock = address.dial(path, 5.0)
        self.sock.setblocking(False)
        self.reader = wire.FrameReader(wire.MAX_REPLY)

    def send(self, *requests: Request[Any]) -> None:
        self.sock.sendall(b"".join(wire.encode(request) for request in requests))

    def bodies(self) -> list[bytes]:
        try:
            return [bytes(body) for body in self.reader.feed(self.sock.recv(2**20))]
        except BlockingIOError:
            return []

    def replies(self) -> list[Reply]:
        return [wire.decode_reply(body) for body in self.bodies()]

    @property
    def hung_up(self) -> bool:
        """Whether the broker has closed; unread replies are skipped."""
        try:
            while self.sock.recv(2**20):
                pass
        except BlockingIOError:
            return False
        except ConnectionResetError:
            return True
        return True


@pytest.fixture
def make() -> Iterator[Callable[..., LoopBench]]:
    made: list[LoopBench] = []

    def make(limits: Limits | None = None, idle_exit: float | None = None) -> LoopBench:
        made.append(LoopBench(limits, idle_exit))
        return made[-1]

    yield make
    for bench in made:
        bench.close()


@pytest.fixture
def bench(make: Callable[..., LoopBench]) -> LoopBench:
    return make()


def enqueue(number: int, rid: int = 1, **options: float) -> Enqueue:
    return Enqueue(
        rid=rid,
        queue="q",
        task="t",
        options=Options(**options),  # type: ignore[arg-type]  # floats only
        calls=[Call(f"m{number}", b"p")],
    )


def test_a_request_is_answered(bench: LoopBench) -> None:
    client = bench.client()
    client.send(Ping(rid=5))
    bench.ticks()
    (pong,) = client.replies()
    assert isinstance(pong, Pong)
    assert pong.rid == 5


def test_all_requests_of_one_tick_share_one_commit(bench: LoopBench) -> None:
    one, two = bench.client(), bench.client()
    before = bench.journal.commits
    one.send(enqueue(1, 1), enqueue(2, 2))
    two.send(enqueue(3, 1))
    bench.ticks()
    assert bench.journal.commits == before + 1
    assert one.replies() == [Enqueued(rid=1), Enqueued(rid=2)]
    assert two.replies() == [Enqueued(rid=1)]


def test_05_no_reply_leaves_when_the_commit_fails(bench: LoopBench) -> None:
    client = bench.client()
    bench.journal.failing = True
    client.send(enqueue(1))
    with pytest.raises(JournalError):
        bench.ticks()
    assert client.replies() == []


def test_a_parked_claim_is_answered_by_another_client_s_message(bench: LoopBench) -> None:
    worker, producer = bench.client(), bench.client()
    worker.send(
        Register(rid=1, worker="w", consumer="c", group="default", queues=["q"]),
        Claim(rid=2, queues=["q"], n=1, wait=60),
    )
    bench.ticks()
    assert [type(reply) for reply in worker.replies()] == [Registered]
    producer.send(enqueue(1))
    bench.ticks()
    (claimed,) = worker.replies()
    assert isinstance(claimed, Claimed)
    assert [message.id for message in claimed.messages] == ["m1"]


def test_the_loop_sleeps_until_something_falls_due(bench: LoopBench) -> None:
    client = bench.client()
    assert bench.loop.next_timeout() is None
    client.send(enqueue(1), Wait(rid=2, watch=1, add=["m1"], wait=30))
    bench.ticks()
    client.replies()
    assert bench.loop.next_timeout() == 30
    bench.clock.time += 30
    bench.ticks()
    (waited,) = client.replies()
    assert isinstance(waited, Waited)
    assert waited.finished == []


def test_67_an_ill_typed_frame_closes_that_connection_and_no_other(bench: LoopBench) -> None:
    bad, good = bench.client(), bench.client()
    bad.send(enqueue(1))
    bad.sock.sendall(wire.frame(b"\x93\xa5Claim\x00\x00"))
    good.send(Ping(rid=1))
    bench.ticks()
    assert "ProtocolError" in [getattr(reply, "error", "") for reply in bad.replies()]
    assert bad.hung_up
    assert isinstance(good.replies()[0], Pong)


def test_66_73_pickles_and_stock_methods_are_refused_undecoded(
    bench: LoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    def poisoned(*args: object, **kwargs: object) -> None:
        raise AssertionError("the broker unpickled something")

    frames = [
        pickle.dumps((ident, method, (), {}))
        for ident, method in [("0", "#GETVALUE"), (None, "shutdown"), (None, "create")]
    ]
    monkeypatch.setattr(pickle, "loads", poisoned)
    monkeypatch.setattr(pickle, "Unpickler", poisoned)
    for frame in frames:
        client = bench.client()
        client.sock.sendall(wire.frame(frame))
        bench.ticks()
        (failed,) = client.replies()
        assert isinstance(failed, Failed)
        assert failed.error == "ProtocolError"
        assert client.hung_up
    client = bench.client()
    client.send(Ping())
    bench.ticks()
    assert isinstance(client.replies()[0], Pong)


def test_68_an_oversized_header_closes_the_connection(bench: LoopBench) -> None:
    client = bench.client()
    client.sock.sendall(struct.pack("!i", 2**31 - 1))
    bench.ticks()
    (failed,) = client.replies()
    assert isinstance(failed, Failed)
    assert "over the limit" in failed.text
    assert client.hung_up


def test_65_a_wrong_key_gets_no_answer(bench: LoopBench) -> None:
    client = bench.unauthenticated()
    handshake = ClientHandshake(b"wrong" * 10, "bench")
    client.sock.sendall(wire.frame(handshake.hello()))
    bench.ticks(2)
    (hello,) = client.bodies()
    client.sock.sendall(wire.frame(handshake.receive(hello)))
    bench.ticks()
    assert client.bodies() == []
    assert client.hung_up


def test_a_client_dropped_in_the_handshake_learns_that_it_is_not_the_key(
    make: Callable[..., LoopBench],
) -> None:
    bench = make(Limits(pending_handshakes=2))

    def greeted() -> Client:
        client = bench.unauthenticated()
        client.sock.sendall(wire.frame(ClientHandshake(KEY, "bench").hello()))
        bench.ticks(2)
        assert len(client.bodies()) == 1
        return client

    crowded, late = greeted(), greeted()
    bench.clock.time += 3
    ending = greeted()
    assert crowded.bodies() == [BUSY]
    assert crowded.hung_up
    bench.clock.time += 3
    bench.ticks()
    assert late.bodies() == [BUSY]
    assert late.hung_up
    bench.loop.close()
    assert ending.bodies() == [BUSY]
    assert ending.hung_up


def test_a_request_before_the_end_of_the_handshake_is_not_served(bench: LoopBench) -> None:
    client = bench.unauthenticated()
    hello = wire.frame(ClientHandshake(KEY, "bench").hello())
    client.sock.sendall(hello + wire.encode(enqueue(1)))
    bench.ticks(2)
    assert client.hung_up
    assert not bench.engine.ledger.messages


def test_frames_of_the_unauthenticated_are_small(bench: LoopBench) -> None:
    client = bench.unauthenticated()
    client.sock.sendall(struct.pack("!i", 5000))
    bench.ticks(2)
    assert client.hung_up


def test_70_the_handshake_has_one_deadline_for_all_of_it(bench: LoopBench) -> None:
    client = bench.unauthenticated()
    bench.ticks()
    for byte in wire.frame(ClientHandshake(KEY, "bench").hello())[:6]:
        assert not client.hung_up
        client.sock.sendall(bytes([byte]))
        bench.clock.time += 0.9
        bench.ticks()
    assert client.hung_up


def test_69_the_oldest_handshake_goes_when_there_are_too_many(
    make: Callable[..., LoopBench],
) -> None:
    bench = make(Limits(pending_handshakes=3))
    known = bench.client()
    clients = [bench.unauthenticated() for _ in range(5)]
    bench.ticks(2)
    assert [client.hung_up for client in clients] == [True, True, False, False, False]
    known.send(Ping())
    bench.ticks()
    assert isinstance(known.replies()[0], Pong)


def test_beyond_the_limit_newcomers_wait_until_one_leaves(make: Callable[..., LoopBench]) -> None:
    bench = make(Limits(connections=2))
    first, _second = bench.client(), bench.client()
    third = bench.unauthenticated()
    third.sock.sendall(wire.frame(ClientHandshake(KEY, "bench").hello()))
    bench.ticks(3)
    assert third.bodies() == []
    assert bench.loop._selector.select(0) == [], "the loop would spin"
    first.sock.close()
    bench.ticks(3)
    assert len(third.bodies()) == 1


def test_50_without_descriptors_it_pauses_and_serves_the_others(
    bench: LoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = bench.client()
    attempts = []

    def exhausted(listener: socket.socket) -> None:
        attempts.append(1)
        raise OSError(errno.EMFILE, "too many open files")

    monkeypatch.setattr(socket.socket, "accept", exhausted)
    bench.unauthenticated()
    known.send(Ping(rid=1))
    bench.ticks(5)
    assert len(attempts) == 1
    assert isinstance(known.replies()[0], Pong)
    timeout = bench.loop.next_timeout()
    assert timeout is not None
    assert timeout == pytest.approx(0.1)
    monkeypatch.undo()
    bench.clock.time += 0.2
    bench.ticks(2)
    assert bench.loop.pending_handshakes == 1


def test_55_a_client_that_does_not_read_is_dropped(make: Callable[..., LoopBench]) -> None:
    bench = make(Limits(backlog=100_000))
    greedy, other = bench.client(), bench.client()
    for number in range(20):
        greedy.send(
            Enqueue(
                queue="q", task="t", options=Options(), calls=[Call(f"m{number}", b"x" * 50_000)]
            )
        )
        bench.ticks()
    assert len(greedy.replies()) == 20
    greedy.send(Register(worker="w", consumer="c", group="default", queues=["q"]))
    for _ in range(20):
        greedy.send(Claim(queues=["q"], n=1, wait=0))
        bench.ticks()
        if bench.loop.connections == 1:
            break
    assert bench.loop.connections == 1
    other.send(Ping())
    bench.ticks()
    assert isinstance(other.replies()[0], Pong)


def test_55_a_client_that_asks_for_too_much_at_once_is_dropped(
    make: Callable[..., LoopBench],
) -> None:
    bench = make(Limits(backlog=100_000))
    greedy = bench.client()
    for number in range(4):
        greedy.send(
            Enqueue(
                queue="q", task="t", options=Options(), calls=[Call(f"m{number}", b"x" * 50_000)]
            )
        )
        bench.ticks()
    greedy.send(*(Peek(queue="q", state="ready", limit=4) for _ in range(3000)))
    bench.ticks()
    assert bench.loop.connections == 0


def test_a_large_reply_goes_out_in_parts(bench: LoopBench) -> None:
    client = bench.client()
    payload = b"x" * 2_000_000
    request = Enqueue(queue="q", task="t", options=Options(), calls=[Call("m", payload)])
    data = memoryview(bytes(wire.encode(request)))
    while data:
        data = data[client.sock.send(data) :]
        bench.ticks()
    bench.ticks()
    client.send(
        Register(worker="w", consumer="c", group="default", queues=["q"]),
        Claim(queues=["q"], n=1, wait=0),
    )
    replies: list[Reply] = []
    for _ in range(200):
        bench.ticks()
        replies += client.replies()
        if len(replies) == 3:
            break
    claimed = replies[-1]
    assert isinstance(claimed, Claimed)
    assert claimed.messages[0].payload == payload
    assert bench.loop.next_timeout() != 0


def test_a_lost_connection_frees_what_it_waited_for(bench: LoopBench) -> None:
    worker, producer = bench.client(), bench.client()
    worker.send(
        Register(worker="w", consumer="c", group="default", queues=["q"]),
        Claim(queues=["q"], n=1, wait=60),
    )
    bench.ticks()
    worker.sock.close()
    bench.ticks()
    producer.send(enqueue(1))
    bench.ticks()
    assert producer.replies() == [Enqueued(rid=1)]
    assert bench.engine.ledger.queue("q").groups["default"].counts[2] == 1  # ready


def test_time_in_which_the_broker_was_stopped_is_forgiven(
    bench: LoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    forgiven: list[float] = []
    monkeypatch.setattr(bench.engine, "extend_for_pause", forgiven.append)
    client = bench.client()
    client.send(enqueue(1), Wait(rid=2, watch=1, add=["m1"], wait=10))
    bench.ticks()
    bench.loop.next_timeout()
    bench.clock.time += 10.015625
    bench.ticks()
    assert forgiven == []
    client.send(Wait(rid=3, watch=1, add=[], wait=10))
    bench.ticks()
    bench.loop.next_timeout()
    bench.clock.time += 100
    bench.ticks()
    assert forgiven == [90]


def test_31_a_pause_that_is_shorter_than_the_shortest_lease_is_forgiven_too(
    bench: LoopBench,
) -> None:
    worker = bench.client()
    worker.send(
        Register(rid=1, worker="w", consumer="c", group="default", queues=["q"]),
        enqueue(2, lease=1.0),
        Claim(rid=3, queues=["q"], n=1, wait=0),
        Heartbeat(rid=4, worker="w", info=WorkerInfo(), wait=10),
    )
    bench.ticks()
    bench.loop.next_timeout()
    bench.clock.time += 1.05  # the broker stands still; the next heartbeat was due after 0.33
    bench.ticks()
    assert bench.engine.ledger.leases
    bench.clock.time += 0.5
    bench.loop.next_timeout()
    bench.ticks()
    assert bench.engine.ledger.leases


def test_33_absolute_times_hold_by_the_wall_clock_whatever_ours_says(bench: LoopBench) -> None:
    bench.clock.fast = 86400.0  # the journal was written under a clock that was a day ahead
    wall = bench.clock.time - bench.clock.fast
    producer = bench.client()
    options, calls = Options(), [Call("m1", b"payload")]
    producer.send(
        Enqueue(
            rid=1,
            queue="q",
            task="t",
            options=options,
            calls=calls,
            eta_at=wall + 3600,
            expires_at=wall + 7200,
        )
    )
    bench.ticks()
    (message,) = bench.engine.ledger.messages.values()
    assert message.due_at == bench.clock.time + 3600
    assert message.expires_at == bench.clock.time + 7200


def test_it_leaves_when_idle_and_nothing_is_due(make: Callable[..., LoopBench]) -> None:
    bench = make(idle_exit=60)
    client = bench.client()
    bench.clock.time += 100
    bench.ticks()
    assert not bench.loop.is_stopping
    client.sock.close()
    bench.ticks()
    assert bench.loop.next_timeout() == 60
    bench.clock.time += 59
    bench.ticks()
    assert not bench.loop.is_stopping
    bench.clock.time += 1
    bench.ticks()
    assert bench.loop.is_stopping


def test_it_stays_for_what_is_due_soon_or_would_be_lost(make: Callable[..., LoopBench]) -> None:
    bench = make(idle_exit=60)
    bench.journal.durability = "os"
    client = bench.client()
    client.send(Enqueue(queue="q", task="t", options=Options(), calls=[Call("m", b"")], delay=100))
    bench.ticks()
    client.sock.close()
    bench.ticks()
    bench.clock.time += 60
    bench.ticks()
    assert not bench.loop.is_stopping, "a message falls due in 40 s"
    bench.journal.durability = "none"
    bench.clock.time += 60
    bench.ticks()
    assert not bench.loop.is_stopping, "without a journal the message would be lost"
    bench.journal.durability = "os"
    bench.clock.time += 60
    bench.ticks()
    assert bench.loop.is_stopping


def test_stop_ends_the_sleep(bench: LoopBench) -> None:
    bench.loop.stop()
    bench.loop.tick(30)
    assert bench.loop.is_stopping


def test_78_a_peer_of_another_user_is_refused(
    bench: LoopBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskq.transport.peercred.peer_uid", lambda sock: 12345)
    client = bench.unauthenticated()
    bench.ticks()
    assert client.hung_up
