"""Workers and clients behind a network that cuts, loses and falls silent."""

from __future__ import annotations

import signal
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic
from types import FrameType

import pytest

from taskq import backends
from taskq.backends.port import Connection
from taskq.client import waiting
from taskq.errors import BrokerTimeout
from taskq.protocol.operating import GetStats, Ping
from taskq.protocol.producing import Enqueue, Inspect
from taskq.protocol.values import Call, Options
from tests.integration import worker_app as app
from tests.kit.broker import BrokerProcess
from tests.kit.messages import missing, naming
from tests.kit.proxy import Proxy
from tests.kit.scene import Scene
from tests.kit.waiting import wait_until
from tests.kit.worker import PATIENCE


def enqueue(id: str) -> Enqueue:
    return Enqueue(queue="q", task="t", options=Options(), calls=[Call(id, b"p")])


@pytest.fixture
def connect(proxy: Proxy) -> Iterator[Callable[[], Connection]]:
    """Opens connections through the proxy."""
    opened: list[Connection] = []

    def connect() -> Connection:
        opened.append(backends.connect(proxy.url, "q").connect())
        return opened[-1]

    yield connect
    for connection in opened:
        connection.close()


class Interrupted(Exception):
    """What the signal handler of a program raises."""


def test_30_after_a_signal_in_mid_call_the_next_call_gets_its_own_reply(
    proxy: Proxy, tcp_broker: BrokerProcess, connect: Callable[[], Connection]
) -> None:
    connection = connect()
    assert connection.call(Ping()).pid == tcp_broker.pid
    proxy.deafen()  # so the call is certainly under way when the signal comes

    def ring(signum: int, frame: FrameType | None) -> None:
        raise Interrupted

    before = signal.signal(signal.SIGALRM, ring)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(Interrupted):
            connection.call(GetStats())
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    proxy.deafen(False)
    assert connection.call(Ping()).pid == tcp_broker.pid
    assert proxy.connections == 2


def test_31_an_enqueue_whose_reply_is_lost_is_one_message(
    proxy: Proxy, connect: Callable[[], Connection]
) -> None:
    connection = connect()
    proxy.lose_reply(b"m-31")
    assert connection.call(enqueue("m-31")).existing == ["m-31"]  # it was sent twice
    assert proxy.cuts == 1
    assert connection.call(GetStats()).broker.acknowledged == 1


@pytest.mark.parametrize("keep", [0, 1, 20])
def test_32_a_claim_whose_reply_is_lost_is_delivered_again_at_once(
    far_scene: Scene, proxy: Proxy, keep: int
) -> None:
    far_scene.worker()
    proxy.cut_reply(b"m-32", keep)
    handle = app.gate.options(id="m-32")(None, far_scene.path("runs"))
    handle.result(PATIENCE)
    assert proxy.cuts == 1
    assert len(far_scene.lines("runs")) == 1
    assert handle.info().attempts == 1  # the lost delivery cost nothing


def test_32_an_ack_whose_reply_is_lost_is_sent_again(far_scene: Scene, proxy: Proxy) -> None:
    worker = far_scene.worker()
    handle = app.gate.options(id="m-ack")(far_scene.path("open"), far_scene.path("runs"))
    wait_until(lambda: far_scene.lines("runs"))
    proxy.lose_reply(b"m-ack")
    Path(far_scene.path("open")).touch()
    handle.result(PATIENCE)
    wait_until(lambda: proxy.cuts == 1)
    assert app.add(1, 2).result(PATIENCE) == 3
    assert len(far_scene.lines("runs")) == 1
    assert "LeaseLost" not in worker.output


def test_33_a_broker_that_falls_silent_is_a_typed_timeout(
    proxy: Proxy, connect: Callable[[], Connection]
) -> None:
    connection = connect()
    connection.call(Ping())
    proxy.deafen()
    with pytest.raises(BrokerTimeout, match=naming(proxy.url, "0.2 s")):
        connection.call(Ping(), timeout=0.2)
    with pytest.raises(BrokerTimeout, match=naming(proxy.url, "not answer")):
        backends.connect(proxy.url, "q").connect(patience=0)


@pytest.mark.timeout(20)  # the patience without a deadline is 30 s
def test_33_a_wait_with_a_deadline_ends_soon_after_it_when_the_broker_is_silent(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(waiting, "ANSWER", 0.2)
    broker = backends.connect(proxy.url, "q")
    broker.call(enqueue("m"))
    watch = waiting.ResultWatch(broker, ("m",))
    assert watch.next(monotonic() + 0.01) == []
    proxy.deafen()
    with pytest.raises(BrokerTimeout, match=naming(proxy.url, "not answer")):
        watch.next(monotonic() + 0.1)
    watch.close()
    broker.close()


def test_33_a_worker_whose_broker_never_replies_says_so_and_leaves(
    far_scene: Scene, proxy: Proxy
) -> None:
    proxy.deafen()
    worker = far_scene.worker(ready=False, TASKQ_RECONNECT="0.2")
    assert not missing(worker.ready_line(), proxy.url, "not answer")
    assert worker.exit_code() == 3


def test_34_drops_in_a_row_do_not_end_consumption(
    far_scene: Scene, proxy: Proxy, tcp_broker: BrokerProcess
) -> None:
    tasks = 600
    worker = far_scene.worker("-c", "2")
    runs = far_scene.path("runs")
    handles = app.gate.starmap((None, runs) for _ in range(tasks))
    for share in (1, 2, 3):
        wait_until(lambda share=share: len(far_scene.lines("runs")) >= tasks * share // 5)
        proxy.drop()
    assert len(handles.results(PATIENCE)) == tasks
    proxy.drop()  # while both claims are parked
    assert app.add(1, 2).result(PATIENCE) == 3
    assert len(far_scene.lines("runs")) == tasks  # what was in hand stayed in hand
    assert "LeaseLost" not in worker.output


@pytest.mark.parametrize("direction", ["requests", "replies"])
def test_35_a_reset_at_any_byte_gives_every_call_its_own_reply(
    proxy: Proxy,
    tcp_broker: BrokerProcess,
    connect: Callable[[], Connection],
    monkeypatch: pytest.MonkeyPatch,
    direction: str,
) -> None:
    monkeypatch.setattr("taskq.backends.reconnect.FIRST_DELAY", 0.001)
    sent = 0

    def converse() -> None:
        nonlocal sent
        sent += 1
        connection, id = connect(), f"m-{sent}"
        assert connection.call(Ping()).pid == tcp_broker.pid
        assert connection.call(enqueue(id)).existing in ([], [id])
        assert connection.call(Inspect(id=id)).jobs[0].id == id
        assert connection.call(enqueue(id)).existing == [id]
        assert connection.call(GetStats()).broker.acknowledged == sent
        connection.close()

    converse()
    whole = proxy.passed[direction == "replies"]
    for cut_at in range(whole + 1):
        proxy.limit(**{direction: cut_at})
        converse()
    assert proxy.cuts >= whole


def test_the_proxy_passes_everything_on_when_nothing_is_ordered(
    far_scene: Scene, proxy: Proxy
) -> None:
    far_scene.worker("-c", "2")
    sums = app.add.starmap((n, n) for n in range(500)).results(PATIENCE)
    assert Counter(sums) == Counter(2 * n for n in range(500))
    assert proxy.cuts == 0
