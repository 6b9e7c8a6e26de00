"""What threads, a signal handler or a fork may see of the client's lazily filled attributes: all of
one, or nothing."""

# ruff: noqa: B023 - a function is called in the round that makes it

from __future__ import annotations

import os
import pickle
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from recording_broker import recorded_queue

from taskq import ResultHandle, TaskQueue, errors
from taskq.backends.embedded import UnixBroker
from taskq.backends.memory import MemoryBroker
from taskq.client.default import the_default_queue
from taskq.client.digit_limit import raise_digit_limit
from taskq.client.waiter import Waiter
from taskq.codec.ref import CallRef
from taskq.protocol.operating import GetStats
from taskq.protocol.values import Finished
from tests.kit.races import interrupted, together

ROUNDS = 150


def test_a_call_that_carries_its_code_says_so() -> None:
    for number in range(ROUNDS):
        queue, broker = recorded_queue()
        task = queue.task(lambda n: n)
        together(task, 4)
        carried = [request.options.carries_code for request in broker.requests]
        assert carried == [True] * 4, f"round {number}"
        assert all(request.calls[0].payload[1:2] == b"v" for request in broker.requests)


def test_there_is_one_default_queue(monkeypatch: pytest.MonkeyPatch) -> None:
    for _ in range(ROUNDS):
        monkeypatch.setattr("taskq.client.default.made", {})
        assert len(set(map(id, together(lambda _: the_default_queue(), 4)))) == 1


def test_threads_that_unpickle_a_queue_share_it() -> None:
    for number in range(ROUNDS):
        data = pickle.dumps(TaskQueue(f"shared-{number}", broker="embedded:/nowhere"))
        assert len(set(map(id, together(lambda _: pickle.loads(data), 4)))) == 1


def test_queues_are_made_while_others_are_unpickled() -> None:
    kept = TaskQueue("kept", broker="embedded:/nowhere")
    data = pickle.dumps(kept)

    def work(number: int) -> list[TaskQueue]:
        if number % 2:
            return [TaskQueue(f"made-{number}-{count}") for count in range(200)]
        return [pickle.loads(data) for _ in range(200)]

    assert all(queue is kept for queue in together(work)[0])


@pytest.mark.parametrize("line", range(3))
def test_every_thread_that_asks_for_an_unknown_id_gets_the_error(line: int) -> None:
    handle = TaskQueue("q", broker="memory:").handle("unknown")

    def ask() -> None:
        with pytest.raises(errors.UnknownMessage):
            handle.result(10)

    with pytest.raises(errors.UnknownMessage):
        interrupted(lambda: handle.result(10), ResultHandle.result.__code__, line, ask)
    assert type(handle.exception(10)) is errors.UnknownMessage


@pytest.fixture
def digits() -> Iterator[int]:
    """The interpreter's limit for the text of an int."""
    before = sys.get_int_max_str_digits()
    default = sys.int_info.default_max_str_digits
    sys.set_int_max_str_digits(default)
    yield default
    sys.set_int_max_str_digits(before)


@pytest.mark.parametrize("line", range(8))
def test_who_sees_a_large_result_can_print_it(digits: int, line: int) -> None:
    queue, _ = recorded_queue()
    large = 10 ** (digits * 2)
    call = CallRef("recorded", "i", "t")
    value = queue.codec.encode_result(call, large)
    finished = Finished(id="i", queue="recorded", task="t", state="succeeded", value=value)
    handle: ResultHandle[int] = queue.handle("i")

    def look() -> None:
        if handle.is_settled:
            assert str(handle.result()).startswith("100")

    interrupted(lambda: handle.settle(finished), ResultHandle.settle.__code__, line, look)
    look()
    assert handle.is_settled


@pytest.mark.parametrize("line", range(8))
def test_the_digit_limit_is_that_of_the_largest_result(digits: int, line: int) -> None:
    small, large = 10 ** (digits * 2), 10 ** (digits * 4)
    interrupted(
        lambda: raise_digit_limit(small),
        raise_digit_limit.__code__,
        line,
        lambda: raise_digit_limit(large),
    )
    raise_digit_limit(large)
    assert str(small)
    assert str(large)


def test_a_signal_handler_that_connects_gets_the_broker_that_its_thread_gets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    queue = TaskQueue("q", broker="memory:")
    seen: list[object] = []

    def connect(url: str | None, name: str) -> MemoryBroker:
        if not seen:
            seen.append(None)
            seen.append(queue.broker)  # as a handler would that comes in just here
        return MemoryBroker()

    monkeypatch.setattr("taskq.backends.connect", connect)
    assert queue.broker is seen[1] is queue.broker


def test_a_signal_handler_does_not_enter_the_engine_of_its_thread() -> None:
    refused: list[str] = []

    def clock() -> float:
        if armed:
            armed.clear()
            with pytest.raises(errors.BrokerUnavailable) as caught:
                broker.call(GetStats())  # as a handler would that comes in just here
            refused.append(str(caught.value))
        return 1000.0

    armed: list[bool] = []
    broker = MemoryBroker(SimpleNamespace(now=clock, ahead=float))  # type: ignore[arg-type]
    armed.append(True)
    broker.call(GetStats())
    assert "signal handler" in refused[0]
    assert broker.call(GetStats()).broker.acknowledged == 0


@pytest.mark.parametrize("line", range(3))
def test_a_signal_handler_may_wait_while_its_thread_begins_to(
    line: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("taskq.client.waiter.IDLE", 0.0)
    waiter = Waiter(TaskQueue("q", broker="memory:").broker)
    told = {"a": threading.Event(), "b": threading.Event()}

    def add(id: str) -> None:
        waiter.add(id, lambda end: told[id].set())

    thread = threading.Thread(
        target=lambda: interrupted(lambda: add("a"), Waiter.add.__code__, line, lambda: add("b")),
        daemon=True,
    )
    thread.start()
    thread.join(10)
    assert not thread.is_alive(), "it waits for itself"
    assert told["a"].wait(10)
    assert told["b"].wait(10)
    for other in threading.enumerate():
        if "taskq-waiter" in other.name:
            other.join(10)


@pytest.mark.filterwarnings("ignore:.*multi-threaded:DeprecationWarning")
def test_29_a_fork_while_a_thread_reads_the_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, over = threading.Event(), threading.Event()
    parent = os.getpid()

    def read_key(path: Path) -> bytes:
        if os.getpid() == parent:
            reading.set()
            over.wait(20)
        return b"k" * 32

    monkeypatch.setattr("taskq.backends.embedded.read_key", read_key)
    (tmp_path / "key").touch()
    broker: Any = UnixBroker(tmp_path / "sock")
    thread = threading.Thread(target=lambda: broker.payload_key)
    thread.start()
    assert reading.wait(10)
    pid = os.fork()
    if pid == 0:
        signal.alarm(10)  # ends a child that waits for ever
        os._exit(broker.payload_key is None)
    over.set()
    thread.join()
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
