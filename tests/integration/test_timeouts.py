"""`timeout=` bounds the wait also when the broker does not answer, and the error is a `TimeoutError`.

The client's own times are as good as for ever here, so whatever waits for one of them does not return.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from taskq import TaskQueue, as_completed, wait
from taskq.backends import embedded
from taskq.backends.autostart import start_lock
from taskq.errors import BrokerTimeout, BrokerUnavailable
from taskq.protocol.operating import Ping
from taskq.transport.directory import BrokerDirectory
from tests.kit.processes import end, send

FOR_EVER = 600.0  # seconds
PATIENCE = 20.0  # seconds
SHORT = 0.2  # seconds that the calls are given

Ask = Callable[[TaskQueue, Any], object]
ASKS: dict[str, Ask] = {
    "result": lambda queue, handles: handles[0].result(SHORT),
    "exception": lambda queue, handles: handles[0].exception(SHORT),
    "results": lambda queue, handles: handles.results(SHORT),
    "as_completed": lambda queue, handles: list(as_completed(handles, SHORT)),
}


@pytest.fixture
def queue(short_dir: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[TaskQueue]:
    monkeypatch.setenv("TASKQ_RECONNECT", str(FOR_EVER))
    queue = TaskQueue("timed", broker=f"embedded:{short_dir / 'b'}")
    queue.task(abs, name="one")
    pid = queue.broker.call(Ping()).pid
    for name in ("HANDSHAKE", "START", "KEY_BACK"):
        monkeypatch.setattr(embedded, name, FOR_EVER)
    monkeypatch.setattr("taskq.backends.channel.REPLY_TIMEOUT", FOR_EVER)
    yield queue
    monkeypatch.undo()
    end(pid, signal.SIGKILL)
    queue.close()


def in_time(call: Callable[[], object]) -> object:
    """What the call returns or raises, in a thread of its own; fails if it does not come to an end."""
    ends: list[object] = []

    def run() -> None:
        try:
            ends.append(call())
        except BaseException as error:
            ends.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert ends, "it has not returned"
    return ends[0]


def broker_of(queue: TaskQueue) -> int:
    pid = queue.broker.call(Ping()).pid
    assert pid is not None
    return pid


@pytest.mark.parametrize("name", ASKS)
@pytest.mark.parametrize("connected", [True, False], ids=["connected", "not-connected"])
def test_33_a_stopped_broker_is_a_timeout(queue: TaskQueue, name: str, connected: bool) -> None:
    handles = queue.tasks["one"].map([-1, -2])

    def ask() -> object:
        if connected:  # this thread has a connection of its own
            handles[0].info()
        send(pid, signal.SIGSTOP)
        return ASKS[name](queue, handles)

    pid = broker_of(queue)
    error = in_time(ask)
    assert isinstance(error, TimeoutError)
    assert isinstance(error, BrokerTimeout)
    send(pid, signal.SIGCONT)
    assert [handle.status() for handle in handles] == ["ready", "ready"]


@pytest.mark.parametrize("connected", [True, False], ids=["connected", "not-connected"])
def test_33_wait_next_to_a_stopped_broker_says_what_is_not_done(
    queue: TaskQueue, connected: bool
) -> None:
    handles = queue.tasks["one"].map([-1, -2])

    def ask() -> object:
        if connected:
            handles[0].info()
        send(broker, signal.SIGSTOP)
        return wait(handles, SHORT)

    broker = broker_of(queue)
    assert in_time(ask) == (set(), set(handles))


def test_33_wait_without_a_timeout_raises_what_the_broker_does(
    queue: TaskQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    handles = queue.tasks["one"].map([-1, -2])
    monkeypatch.setattr("taskq.backends.channel.REPLY_TIMEOUT", SHORT)
    monkeypatch.setattr("taskq.client.waiting.FIRST_SLICE", SHORT)
    monkeypatch.setattr("taskq.client.waiting.SLICE", SHORT)
    send(broker_of(queue), signal.SIGSTOP)
    with pytest.raises(BrokerTimeout):
        wait(handles)


@pytest.mark.parametrize("connected", [True, False], ids=["connected", "not-connected"])
def test_12_a_broker_that_is_gone_and_started_by_another_is_a_timeout(
    queue: TaskQueue, short_dir: Path, connected: bool
) -> None:
    handle = queue.tasks["one"](-1)

    def ask() -> object:
        if connected:
            handle.info()
        end(pid, signal.SIGKILL)
        return handle.result(SHORT)

    pid = broker_of(queue)
    with start_lock(BrokerDirectory(short_dir / "b"), 0.0):
        error = in_time(ask)
    assert isinstance(error, TimeoutError)
    assert isinstance(error, BrokerUnavailable)
    assert handle.status() == "ready"
    end(broker_of(queue), signal.SIGKILL)


@pytest.mark.parametrize("connected", [True, False], ids=["connected", "not-connected"])
def test_12_a_broker_that_is_gone_and_that_nobody_starts_is_a_timeout(
    queue: TaskQueue, short_dir: Path, connected: bool
) -> None:
    id, pid = queue.tasks["one"](-1).id, broker_of(queue)
    far = TaskQueue("timed", broker=f"unix:{short_dir / 'b' / 'sock'}")
    handle = far.handle(id)

    def ask() -> object:
        if connected:
            handle.info()
        end(pid, signal.SIGKILL)
        return handle.result(SHORT)

    assert handle.status() == "ready"
    assert isinstance(in_time(ask), BrokerTimeout)
    far.close()
    assert queue.handle(id).status() == "ready"
    end(broker_of(queue), signal.SIGKILL)
