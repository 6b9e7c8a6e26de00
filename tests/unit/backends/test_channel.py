"""The client's connection, against a broker whose replies the test has written beforehand."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from types import SimpleNamespace
from typing import Any

import pytest

from taskq.backends.attempts import Within
from taskq.backends.channel import Channel
from taskq.backends.greeting import Greeting
from taskq.errors import (
    AuthenticationFailed,
    BrokerTimeout,
    BrokerUnavailable,
    LeaseLost,
    PayloadTooLarge,
    ProtocolError,
)
from taskq.protocol import frames as wire
from taskq.protocol.base import Done, Failed, Reply, Request
from taskq.protocol.consuming import Claim, Claimed, Heartbeat, Register, Settle, Settled
from taskq.protocol.operating import Durability, Ping, Pong
from taskq.protocol.producing import Unwatch, Wait
from taskq.protocol.values import WorkerInfo
from tests.kit.messages import naming
from tests.kit.races import interrupted

GREETING = Register(worker="w", consumer="c", group="default", queues=["q"])


HANG_UP = "hang up"
Answer = Reply | tuple[Reply, ...] | str | None


class Script:
    """A broker that answers each request it hears with the next answer of its script: one reply,
    several, none, or by hanging up. Each connection is a socket pair with a thread at its far end."""

    def __init__(self) -> None:
        self.scripts: list[tuple[Answer, ...] | Exception] = []
        self.heard: list[list[Request[Any]]] = []
        self.far: list[socket.socket] = []
        self.threads: list[threading.Thread] = []

    def connection(self, *answers: Answer) -> None:
        """The next connection answers this, and nothing more."""
        self.scripts.append(answers)

    def refusal(self, error: Exception) -> None:
        """The next attempt to connect fails."""
        self.scripts.append(error)

    def dial(self, timeout: float, bounded: bool) -> socket.socket:
        if not self.scripts:
            raise ConnectionRefusedError("nobody there")
        script = self.scripts.pop(0)
        if isinstance(script, Exception):
            raise script
        near, far = socket.socketpair()
        self.heard.append([])
        self.far.append(far)
        thread = threading.Thread(target=self._serve, args=(far, script, self.heard[-1]))
        thread.start()
        self.threads.append(thread)
        return near

    def _serve(
        self, far: socket.socket, script: tuple[Answer, ...], heard: list[Request[Any]]
    ) -> None:
        reader, answers = wire.FrameReader(), iter(script)
        while data := far.recv(2**16):
            out = bytearray()
            for body in reader.feed(data):
                heard.append(wire.decode_request(body))
                answer = next(answers, None)
                if isinstance(answer, str):
                    far.shutdown(socket.SHUT_RDWR)
                    return
                replies = answer if isinstance(answer, tuple) else (answer,)
                for reply in replies:
                    if reply is not None:
                        wire.append(out, reply)
            if out:
                far.sendall(out)

    def close(self) -> None:
        for far in self.far:
            far.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()
        for far in self.far:
            far.close()


@pytest.fixture
def script() -> Iterator[Script]:
    script = Script()
    yield script
    script.close()


@pytest.fixture
def channel(script: Script) -> Iterator[Callable[..., Channel]]:
    made: list[Channel] = []

    def open_channel(greeting: Callable[[], Request[Any]] | None = None) -> Channel:
        begin = None if greeting is None else Greeting(greeting)
        made.append(Channel(script.dial, "unix:test", begin, patience=0.0))
        return made[-1]

    yield open_channel
    for each in made:
        each.close()


def pong(rid: int) -> Pong:
    return Pong(
        version="1", pid=1, directory="", durability=Durability("none"), uptime=0.0, rid=rid
    )


def test_a_call_gets_its_own_reply(script: Script, channel: Callable[..., Channel]) -> None:
    script.connection(pong(1), Done(count=4, rid=2))
    client = channel()
    assert client.call(Ping()) == pong(1)
    assert client.call(Unwatch(watch=1)).count == 4


def test_a_refusal_raises_its_error_and_the_connection_goes_on(
    script: Script, channel: Callable[..., Channel]
) -> None:
    script.connection(Failed(error="LeaseLost", text="too late", rid=1), pong(2))
    client = channel()
    with pytest.raises(LeaseLost, match="too late"):
        client.call(Unwatch(watch=1))
    assert client.call(Ping()).rid == 2
    assert len(script.far) == 1


def test_a_turn_is_one_write_and_the_reply_of_the_claim_waits(
    script: Script, channel: Callable[..., Channel]
) -> None:
    script.connection(None, (Claimed(messages=[], rid=2), Settled(rejected=[], rid=1)), pong(3))
    client = channel()
    claim = Claim(queues=["q"], n=1, wait=9)
    assert client.turn([], claim) == []
    assert client.arrived(claim)
    assert client.call(Ping()).rid == 3
    assert client.receive(claim) == Claimed(messages=[], rid=2)
    assert [type(each) for each in script.heard[0]] == [Settle, Claim, Ping]


def test_a_parked_request_does_not_block_calls(
    script: Script, channel: Callable[..., Channel]
) -> None:
    script.connection(None, pong(2))
    client = channel()
    beat = Heartbeat(worker="w", info=WorkerInfo(), wait=30)
    client.send(beat)
    assert client.call(Ping()).rid == 2
    assert not client.arrived(beat)
    script.far[0].sendall(wire.encode(Done(rid=1)))
    assert client.arrived(beat)
    assert client.receive(beat) == Done(rid=1)


def test_33_a_peer_that_never_replies_is_a_typed_timeout(
    script: Script, channel: Callable[..., Channel]
) -> None:
    script.connection()
    client = channel()
    with pytest.raises(BrokerTimeout, match=naming("unix:test", "0.01 s")):
        client.call(Ping(), timeout=0.01)


def test_a_large_reply_that_goes_on_coming_is_awaited_beyond_the_timeout(
    script: Script, channel: Callable[..., Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    script.connection()
    client = channel()
    reply = wire.encode(pong(1))
    pieces = [reply[:5], reply[5:7], reply[7:9], reply[9:11], reply[11:]]
    now = 0.0

    def monotonic() -> float:
        """Each look at the clock is 0.2 s later, and brings a piece."""
        nonlocal now
        now += 0.2
        if pieces:
            script.far[0].sendall(pieces.pop(0))
        return now

    monkeypatch.setattr("taskq.backends.channel.time", SimpleNamespace(monotonic=monotonic))
    monkeypatch.setattr("taskq.backends.attempts.time", SimpleNamespace(monotonic=monotonic))
    assert client.call(Ping(), timeout=0.5) == pong(1)


class QuietSocket(socket.socket):
    """Nothing comes in: reading takes its whole timeout, or the connection ends `after` seconds."""

    def __init__(self, clock: SimpleNamespace, after: float | None = None) -> None:
        super().__init__()
        self._clock = clock
        self._after = after

    def sendall(self, *_: object) -> None: ...

    def recv(self, *_: object) -> bytes:
        if self._after is not None:
            self._clock.now += self._after
            return b""
        self._clock.now += self.gettimeout()
        raise TimeoutError("timed out")


@pytest.mark.parametrize(
    ("timeout", "lost_after", "seconds"),
    [
        (None, None, 32.0),
        (10.0, None, 10.0),
        (70.0, None, 32.0),  # no longer than without one
        (None, 20.0, 52.0),  # a new connection gives new time
        (70.0, 20.0, 52.0),
        (40.0, 20.0, 40.0),  # but no more than the caller does
    ],
)
def test_33_when_a_silent_broker_is_given_up(
    monkeypatch: pytest.MonkeyPatch,
    timeout: float | None,
    lost_after: float | None,
    seconds: float,
) -> None:
    clock = SimpleNamespace(now=1000.0, monotonic=lambda: clock.now)
    monkeypatch.setattr("taskq.backends.channel.time", clock)
    monkeypatch.setattr("taskq.backends.attempts.time", clock)
    sockets = [QuietSocket(clock)]
    if lost_after is not None:
        sockets.insert(0, QuietSocket(clock, lost_after))
    client = Channel(lambda *_: sockets.pop(0), "unix:test")
    with closing(client), pytest.raises(BrokerTimeout, match="did not answer within"):
        client.call(Wait(watch=1, add=[], wait=2.0), timeout=timeout)
    assert clock.now == 1000 + seconds


def test_30_a_signal_at_the_end_of_a_call_leaves_no_deadline_to_the_next(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(now=1000.0, monotonic=lambda: clock.now)
    monkeypatch.setattr("taskq.backends.channel.time", clock)
    monkeypatch.setattr("taskq.backends.attempts.time", clock)
    sockets = [QuietSocket(clock), QuietSocket(clock, 20.0), QuietSocket(clock)]
    client = Channel(lambda *_: sockets.pop(0), "unix:test")

    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted(lambda: client.call(Ping(), timeout=10), Within.__exit__.__code__, 0, stop)
    with closing(client), pytest.raises(BrokerTimeout):
        client.call(Ping())
    assert clock.now == 1000 + 10 + 20 + 30


def test_33_a_reply_that_is_overdue_is_a_typed_timeout_too(
    script: Script, channel: Callable[..., Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    script.connection()
    client = channel()
    assert client.due() is None
    beat = Heartbeat(worker="w", info=WorkerInfo(), wait=0)
    client.send(beat)
    assert client.due() is not None
    assert not client.arrived(beat)
    monkeypatch.setattr("taskq.backends.channel.REPLY_TIMEOUT", 0.0)
    late = Heartbeat(worker="w", info=WorkerInfo(), wait=0)
    client.send(late)
    script.far[0].sendall(wire.encode(Done(rid=late.rid)))
    assert client.arrived(late)  # it came all the same
    client.receive(late)
    client.send(late)
    with pytest.raises(BrokerTimeout, match="did not answer"):
        client.arrived(late)
    assert client.due() is None


def test_30_after_a_timeout_the_next_call_gets_its_own_reply(
    script: Script, channel: Callable[..., Channel]
) -> None:
    script.connection()
    script.connection(pong(2))
    client = channel()
    with pytest.raises(BrokerTimeout):
        client.call(Unwatch(watch=1), timeout=0.01)
    assert client.call(Ping()) == pong(2)
    assert len(script.far) == 2
    assert [type(each) for each in script.heard[1]] == [Ping]


def test_30_an_exception_in_mid_call_closes_the_connection(
    script: Script, channel: Callable[..., Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    script.connection(Done(rid=1))
    script.connection(pong(2))
    client = channel()

    def interrupted(body: object) -> Reply:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("taskq.backends.channel.decode_reply", interrupted)
        with pytest.raises(KeyboardInterrupt):
            client.call(Unwatch(watch=1))
    assert client.call(Ping()) == pong(2)
    assert len(script.far) == 2


def test_12_a_lost_call_is_sent_again_after_the_greeting(
    script: Script, channel: Callable[..., Channel]
) -> None:
    script.connection(Done(rid=1), None, HANG_UP)
    script.connection(Done(rid=4), Claimed(messages=[], rid=2), Done(count=5, rid=3))
    client = channel(lambda: GREETING)
    claim = Claim(queues=["q"], n=1, wait=9)
    client.send(claim)
    assert client.call(Unwatch(watch=1)).count == 5
    assert client.receive(claim) == Claimed(messages=[], rid=2)
    assert [type(each) for each in script.heard[1]] == [Register, Claim, Unwatch]


def test_31_a_reply_that_was_not_taken_is_asked_for_again(
    script: Script, channel: Callable[..., Channel]
) -> None:
    # the broker takes back what a lost connection had claimed: the old reply is worth nothing
    script.connection(Claimed(messages=[], drained=True, rid=1), pong(2), HANG_UP)
    script.connection(None, pong(3))
    client = channel()
    claim = Claim(queues=["q"], n=1, wait=9)
    client.send(claim)
    client.call(Ping())
    client.call(Ping())
    assert not client.arrived(claim)
    script.far[1].sendall(wire.encode(Claimed(messages=[], drained=False, rid=1)))
    assert client.receive(claim).drained is False


def test_a_broker_that_is_gone_is_a_typed_error(
    script: Script, channel: Callable[..., Channel]
) -> None:
    script.connection(HANG_UP)
    client = channel()
    with pytest.raises(BrokerUnavailable, match=naming("unix:test")):
        client.call(Ping())
    with pytest.raises(BrokerUnavailable):
        channel()


def test_a_refused_key_is_not_tried_for_ever(
    script: Script, channel: Callable[..., Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskq.backends.attempts.AFTER_REFUSAL", 0.0)
    for _ in range(3):
        script.refusal(AuthenticationFailed("the broker refused our key"))
    script.connection()
    with pytest.raises(AuthenticationFailed):
        channel()
    script.scripts.insert(0, AuthenticationFailed("the broker died in the handshake"))
    channel()


@pytest.mark.parametrize("error", [BrokerTimeout, BrokerUnavailable])
def test_a_start_that_has_failed_is_not_tried_again(
    script: Script, error: type[BrokerUnavailable]
) -> None:
    script.refusal(error("the broker does not start"))
    script.refusal(ProtocolError("it was tried again"))
    with pytest.raises(error, match="does not start"):
        Channel(script.dial, "unix:test", patience=30.0)


def test_35_a_broken_or_unasked_reply_closes_the_connection(
    script: Script, channel: Callable[..., Channel]
) -> None:
    script.connection(Done(rid=77))
    script.connection(Failed(error="ProtocolError", text="you speak nonsense", rid=0))
    script.connection(pong(3))
    client = channel()
    with pytest.raises(ProtocolError, match=naming("reply", "unix:test")):
        client.call(Ping())
    with pytest.raises(ProtocolError, match="you speak nonsense"):
        client.call(Ping())
    assert client.call(Ping()).rid == 3


def test_54_a_request_over_the_limit_disturbs_nothing(
    script: Script, channel: Callable[..., Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    script.connection(pong(2))
    client = channel()

    def too_large(request: Request[Any]) -> bytearray:
        raise PayloadTooLarge("too large")

    with monkeypatch.context() as patch:
        patch.setattr("taskq.backends.channel.encode", too_large)
        with pytest.raises(PayloadTooLarge):
            client.call(Ping())
    assert client.call(Ping()).rid == 2
    assert len(script.far) == 1


def test_29_in_another_process_the_socket_is_left_alone(
    script: Script, channel: Callable[..., Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    script.connection(pong(1))
    script.connection(pong(2))
    client = channel()
    client.call(Ping())
    monkeypatch.setattr("os.getpid", lambda: -1)
    assert client.call(Ping()).rid == 2
    assert len(script.far) == 2


def test_a_closed_connection_says_so(script: Script, channel: Callable[..., Channel]) -> None:
    script.connection()
    client = channel()
    client.close()
    with pytest.raises(BrokerUnavailable, match="was closed"):
        client.call(Ping())
    with pytest.raises(BrokerUnavailable, match="was closed"):
        client.fileno()


def test_a_thread_that_ends_closes_its_connection(script: Script) -> None:
    script.connection(pong(1))

    def work() -> None:
        Channel(script.dial, "unix:test", patience=0.0).call(Ping())

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    script.threads[0].join(10)
    assert not script.threads[0].is_alive()


def test_a_broker_that_dies_of_our_request_is_not_sent_it_for_ever(
    script: Script, channel: Callable[..., Channel]
) -> None:
    for _ in range(5):
        script.connection(HANG_UP)
    client = channel()
    with pytest.raises(BrokerUnavailable, match=naming("unix:test", "log")):
        client.call(Ping())
    assert len(script.far) == 2


def test_34_a_broker_that_answers_in_between_may_go_away_often(
    script: Script, channel: Callable[..., Channel]
) -> None:
    for rid in range(1, 6):
        script.connection(pong(rid), HANG_UP)
    client = channel()
    for rid in range(1, 6):
        assert client.call(Ping()).rid == rid
    assert len(script.far) == 5
